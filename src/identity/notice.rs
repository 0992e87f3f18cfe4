//! What the people of a customer are told about each other, and how the invited get in. Each act on
//! memberships and authority is told to all others who have authority over people, and to the
//! privacy contacts: a thief of one account cannot enrol another unseen.

use uuid::Uuid;

use super::store::{self, Invitee};
use super::token;
use crate::base::{CustomerId, Email, MembershipId, OpsPersonId, Result, TypedId};
use crate::db::{LogId, WriteTx};
use crate::delivery::{NewMessage, enqueue};

/// Tells everybody concerned but the one who acts.
pub(super) async fn tell_people(tx: &mut WriteTx, customer: CustomerId, actor: MembershipId, about: Uuid, body: String) -> Result<()> {
    let mut addresses = store::to_be_told(tx.conn(), customer, actor).await?;
    addresses.extend(store::own_customer(tx.conn()).await?.privacy_contacts);
    addresses.sort();
    addresses.dedup();
    for address in addresses {
        let subject = "People and authority at your institution have changed";
        let message =
            NewMessage { customer: customer.into(), purpose: "people_changed", subject_id: about, address, subject, body: body.clone() };
        enqueue(tx, message).await?;
    }
    Ok(())
}

/// Tells a customer's privacy contacts what ops did.
pub(super) async fn tell_contacts(
    tx: &mut WriteTx,
    customer: CustomerId,
    purpose: &'static str,
    about: Uuid,
    subject: &'static str,
    body: String,
) -> Result<()> {
    for address in store::contacts_for_ops(tx.conn(), customer).await? {
        let message = NewMessage { customer: customer.into(), purpose, subject_id: about, address, subject, body: body.clone() };
        enqueue(tx, message).await?;
    }
    Ok(())
}

/// Tells all other ops persons about a change of the staff: a stolen account adds nobody unseen.
pub(super) async fn tell_staff(tx: &mut WriteTx, actor: OpsPersonId, about: OpsPersonId, body: String) -> Result<()> {
    for address in store::staff_to_be_told(tx.conn(), [actor, about]).await? {
        let (purpose, subject) = ("staff_changed", "The staff has changed");
        enqueue(tx, NewMessage { customer: LogId::PROCESSOR, purpose, subject_id: about.uuid(), address, subject, body: body.clone() })
            .await?;
    }
    Ok(())
}

/// Sends an invitation with a one-time token to set the first password.
pub(super) async fn invite(tx: &mut WriteTx, log: LogId, invitee: Invitee, address: Email, route: &'static str, about: Uuid) -> Result<()> {
    let (text, hash) = token::draw(token::INVITATION, tx.entropy());
    let expires_at = store::insert_invitation(tx, invitee, hash).await?;
    let body = format!(
        "You have been invited to Mandate.\n\nSet your password by sending this token, with a password of at least 12 characters, to {route}:\n\n{text}\n\nThe token can be used once, until {expires_at}.\n"
    );
    let message =
        NewMessage { customer: log, purpose: "invitation", subject_id: about, address, subject: "Your invitation to Mandate", body };
    enqueue(tx, message).await?;
    Ok(())
}

/// Tells a person who has a password already that there is another membership.
pub(super) async fn tell_member(tx: &mut WriteTx, customer: CustomerId, address: Email, about: Uuid) -> Result<()> {
    let name = store::own_customer(tx.conn()).await?.name;
    let body = format!("You are now a member of {name} in Mandate. Log in with your present password and the customer {customer}.");
    let subject = "You have another membership in Mandate";
    let message = NewMessage { customer: customer.into(), purpose: "membership", subject_id: about, address, subject, body };
    enqueue(tx, message).await?;
    Ok(())
}
