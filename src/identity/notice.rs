//! What the people of a customer are told about each other, and how the invited get in. Each act on
//! memberships and authority is told to all others who have authority over people, and to the
//! privacy contacts: a thief of one account cannot enrol another unseen.

use uuid::Uuid;

use super::store::{self, Binding, Invitee};
use super::token;
use crate::base::{
    AccountRecoveryId, CustomerId, Email, Instant, MembershipId, OpsPersonId, OpsRecoveryId, PersonId, Result, TypedId as _,
};
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

/// Tells all other ops persons that one of them made a key that reads everything.
pub(super) async fn tell_of_key(tx: &mut WriteTx, actor: OpsPersonId, expires_at: Instant) -> Result<()> {
    let body = format!(
        "{actor} made an API key that reads what ops reads, until {expires_at}. If nobody knows why, revoke it: GET /api/admin/v1/api-keys lists the keys, POST /api/admin/v1/api-keys/KEY/revocations stops one."
    );
    for address in store::staff_to_be_told(tx.conn(), [actor, actor]).await? {
        let (purpose, subject) = ("key_made", "A key for reading was made");
        enqueue(tx, NewMessage { customer: LogId::PROCESSOR, purpose, subject_id: actor.uuid(), address, subject, body: body.clone() })
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

/// Tells a new member how to come in: by an invitation, or, who has a password already, by that.
pub(super) async fn welcome(
    tx: &mut WriteTx,
    (customer, name): (CustomerId, &str),
    (person, has_password): (PersonId, bool),
    address: Email,
    about: Uuid,
) -> Result<()> {
    if !has_password {
        return invite(tx, customer.into(), Invitee::Person(person), address, "POST /api/v1/invitation-acceptances", about).await;
    }
    let body = format!("You are now a member of {name} in Mandate. Log in with your present password and the customer {customer}.");
    let subject = "You have another membership in Mandate";
    let message = NewMessage { customer: customer.into(), purpose: "membership", subject_id: about, address, subject, body };
    enqueue(tx, message).await?;
    Ok(())
}

/// What a customer is told of a member's account.
pub(super) struct Notice {
    /// The member.
    pub about: MembershipId,
    /// In words.
    pub body: String,
}

/// Tells one customer of the person about a change of the account: its privacy contacts, everybody
/// with authority over people, and the person, who may not be the one who made it.
pub(super) async fn tell_of_account(tx: &mut WriteTx, at: &Binding, notice: Notice) -> Result<()> {
    let (home, log) = (tx.home(), LogId::from(at.customer));
    tx.act_for(log).await?;
    let mut addresses = store::to_be_told(tx.conn(), at.customer, notice.about).await?;
    addresses.extend(store::own_customer(tx.conn()).await?.privacy_contacts);
    addresses.push(store::person_of_membership(tx.conn(), at.customer, at.membership).await?.2);
    tx.act_for(home).await?;
    addresses.sort();
    addresses.dedup();
    for address in addresses {
        let subject = "An account at your institution has changed";
        let body = format!("{} If this is not as it should be, tell your institution and the processor at once.", notice.body);
        let message = NewMessage { customer: log, purpose: "account_changed", subject_id: notice.about.uuid(), address, subject, body };
        enqueue(tx, message).await?;
    }
    Ok(())
}

/// Tells an ops person, and every `ops_admin`, about a change of that person's account.
pub(super) async fn tell_ops(tx: &mut WriteTx, ops_person: OpsPersonId, words: &str) -> Result<()> {
    for address in store::ops_to_be_told(tx.conn(), ops_person).await? {
        let body = format!("The ops person {ops_person} {words}. If that was not this person, end the access at once.");
        let subject = "An ops account has changed";
        let message =
            NewMessage { customer: LogId::PROCESSOR, purpose: "account_changed", subject_id: ops_person.uuid(), address, subject, body };
        enqueue(tx, message).await?;
    }
    Ok(())
}

/// Whose account is given back.
pub(super) enum Recovered {
    /// A member's, through this customer.
    Member(CustomerId, AccountRecoveryId),
    /// An ops person's.
    Ops(OpsRecoveryId),
}

/// Mails the token that gives an account back, to the person's own address.
pub(super) async fn mail_recovery(
    tx: &mut WriteTx,
    recovered: Recovered,
    address: Email,
    text: &str,
    (opens_at, closes_at): (Instant, Instant),
) -> Result<()> {
    let (customer, subject_id, route, ends, told) = match recovered {
        Recovered::Member(customer, id) => {
            let ends = "and your authority is suspended until each institution confirms it";
            (customer.into(), id.uuid(), "/api/v1/account-recovery-acceptances", ends, "your institution and the processor")
        }
        Recovered::Ops(id) => {
            let ends = "and for 72 hours you count as none of two persons";
            (LogId::PROCESSOR, id.uuid(), "/api/admin/v1/ops-recovery-acceptances", ends, "your colleagues")
        }
    };
    let body = format!(
        "Your account in Mandate can be recovered. From {opens_at} to {closes_at}, send this token with a new password of at least 12 characters to POST {route}:\n\n{text}\n\nThe token can be used once. Your second factor ends with it, {ends}. If you did not ask for this, tell {told} at once.\n"
    );
    let subject = "The recovery of your account in Mandate";
    enqueue(tx, NewMessage { customer, purpose: "account_recovery", subject_id, address, subject, body }).await?;
    Ok(())
}

/// Mails to an address that somebody wants for the account: the token that proves it, with where it
/// goes and how long it is good; without one, that the address has an account already.
pub(super) async fn mail_to_new_address(
    tx: &mut WriteTx,
    about: Uuid,
    address: Email,
    proof: Option<(String, String, Instant)>,
) -> Result<()> {
    let body = match proof {
        Some((text, route, expires_at)) => format!(
            "Somebody asked to use this address for an account in Mandate. If that was you, prove it until {expires_at}: in a session with step-up, send this token to {route}:\n\n{text}\n\nIf it was not you, you need do nothing.\n"
        ),
        None => "Somebody asked to use this address for an account in Mandate. It belongs to another account, so nothing changes. If that was not you, you need do nothing.\n".to_owned(),
    };
    let (customer, subject) = (tx.home(), "An address for an account in Mandate");
    enqueue(tx, NewMessage { customer, purpose: "email_change", subject_id: about, address, subject, body }).await?;
    Ok(())
}
