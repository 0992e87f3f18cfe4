//! The first signatory of a customer: named by two ops persons of both roles, told to the
//! agreement's contact, and without authority until 72 hours after that notice was delivered. A
//! stolen ops account would name itself; this is what it runs into. Until its authority begins, ops
//! can withdraw it.

use axum::extract::State;
use futures_util::future::BoxFuture;

use super::view::FirstSignatoryView;
use crate::app::App;
use crate::base::{AgreementId, CustomerId, Email, Error, FirstSignatoryId, Name, OpsPersonId, Page, Result, TypedId};
use crate::db::{Lock, LogId, Role, WriteTx};
use crate::delivery::{Delivered, NewMessage, enqueue};
use crate::evidence::{Actor, Event, NewEntry, Receipted, commit, commit_one, head_of};
use crate::http::{Created, CustomerRole, Json, OpsRole, PathId, Query};
use crate::identity::NOTICE_PURPOSE;
use crate::identity::caller::OpsCaller;
use crate::identity::decide::{Namer, approve, withdraw, withdrawn};
use crate::identity::model::{AuthorityKind, NamingRole};
use crate::identity::notice::{tell_contacts, welcome};
use crate::identity::store::{self, Enroller, ops_stepped_up, two_persons};

crate::request! {
    /// The person that the signed agreement names.
    pub struct NewFirstSignatory {
        /// The agreement, at least offered.
        agreement: AgreementId,
        /// E-mail, lower case.
        email: Email,
        /// Name.
        name: Name,
    }
}

crate::request! {
    /// An approval; it says nothing more.
    pub struct NewApproval {}
}

crate::request! {
    /// A withdrawal; it says nothing more.
    pub struct NewWithdrawal {}
}

/// Proposes a customer's first signatory.
#[utoipa::path(post, path = "/api/admin/v1/customers/{customer_id}/first-signatories", params(("customer_id" = CustomerId, Path, description = "The customer.")),
    request_body = NewFirstSignatory, responses((status = 201, body = Receipted<FirstSignatoryView>, description = "Proposed: a second ops person must approve.")))]
pub(super) async fn propose_first_signatory(
    State(app): State<App>,
    caller: OpsCaller,
    PathId(customer): PathId<CustomerId>,
    Json(new): Json<NewFirstSignatory>,
) -> Result<Created<Receipted<FirstSignatoryView>>> {
    let by = caller.person()?;
    let mut tx = app.db.write(Role::Ops, "propose_first_signatory", Lock::Heads, caller.scope_of(customer).customer().into(), &[]).await?;
    store::customer_name(tx.conn(), customer).await?;
    match store::agreement_contact(tx.conn(), customer, new.agreement).await? {
        Some((_, true)) => {}
        _ => return Err(Error::invalid("agreement", "not_offered", "must be an agreement that was offered to this customer")),
    }
    let (person, _) = store::person_for_invitation(&mut tx, &new.email, &new.name).await?;
    let id = store::insert_first_signatory(&mut tx, customer, new.agreement, (person, &new.name), by).await?;
    let body = format!(
        "{} was proposed as the first signatory of your institution for the agreement {}. A second person of the processor must approve; 72 hours later the person can sign for you. If this is wrong, tell us at once.",
        new.name, new.agreement
    );
    tell_contacts(&mut tx, customer, "first_signatory_proposed", id.uuid(), "A first signatory is proposed", body).await?;
    let view = store::first_signatory(tx.conn(), customer, id).await?.into();
    let event = Event::FirstSignatoryProposed { first_signatory: id, agreement: new.agreement, person };
    let receipt = commit_one(tx, NewEntry::new(customer, id, &caller.actor(), event)).await?;
    Ok(Created::at(format!("/api/admin/v1/customers/{customer}/first-signatories/{id}"), Receipted { value: view, receipt }))
}

pub(super) fn naming(role: OpsRole) -> Result<NamingRole> {
    match role {
        OpsRole::OpsAdmin => Ok(NamingRole::OpsAdmin),
        OpsRole::OpsPrivacy => Ok(NamingRole::OpsPrivacy),
        _ => Err(Error::Forbidden("only ops_admin and ops_privacy name a first signatory")),
    }
}

pub(super) async fn namer(tx: &mut WriteTx, ops_person: OpsPersonId) -> Result<Namer> {
    let role = naming(store::ops_person(tx.conn(), ops_person).await?.role)?;
    Ok(Namer { ops_person, role })
}

/// Approves a customer's first signatory: the person is invited, and the agreement's contact told.
#[utoipa::path(post, path = "/api/admin/v1/customers/{customer_id}/first-signatories/{first_signatory_id}/approvals",
    params(("customer_id" = CustomerId, Path, description = "The customer."), ("first_signatory_id" = FirstSignatoryId, Path, description = "The proposal.")),
    request_body = NewApproval, responses((status = 201, body = Receipted<FirstSignatoryView>, description = "Approved; authority begins 72 hours after the notice is delivered.")))]
pub(super) async fn approve_first_signatory(
    State(app): State<App>,
    caller: OpsCaller,
    PathId((customer, id)): PathId<(CustomerId, FirstSignatoryId)>,
    Json(NewApproval {}): Json<NewApproval>,
) -> Result<Created<Receipted<FirstSignatoryView>>> {
    let mut tx = app.db.write(Role::Ops, "approve_first_signatory", Lock::Heads, caller.scope_of(customer).customer().into(), &[]).await?;
    let present = store::first_signatory(tx.conn(), customer, id).await?;
    let by = ops_stepped_up(&mut tx, &caller).await?;
    if present.withdrawn_at.is_some() {
        return Err(withdrawn());
    }
    let proposer = namer(&mut tx, present.proposed_by).await?;
    let approval = approve(proposer, Namer { ops_person: by, role: naming(caller.role)? }, present.approved_at.is_some())?;
    two_persons(&mut tx, (present.proposed_by, present.proposed_at), by).await?;
    let (contact, _) = store::agreement_contact(tx.conn(), customer, present.agreement).await?.ok_or(Error::NotFound)?;
    let name = store::customer_name(tx.conn(), customer).await?;
    let role = CustomerRole::CustomerAdmin;
    let membership =
        store::insert_membership(&mut tx, Enroller::Ops(approval), customer, (present.person, &present.name), role, None).await?;
    let body = format!(
        "{} was named as the first signatory of {name} for the agreement {}. 72 hours after this notice the person can accept the agreement and sign instructions for your institution. If this is wrong, tell us at once: answer through the contact that your agreement names.",
        present.name, present.agreement
    );
    let subject = "Your institution's first signatory";
    let notice = NewMessage { customer: customer.into(), purpose: NOTICE_PURPOSE, subject_id: id.uuid(), address: contact, subject, body };
    let notice = enqueue(&mut tx, notice).await?;
    store::approve_first_signatory(&mut tx, approval, customer, id, membership, notice).await?;
    let known = store::person_for_invitation(&mut tx, &present.email, &present.name).await?;
    welcome(&mut tx, (customer, &name), known, present.email.clone(), id.uuid()).await?;
    let view = store::first_signatory(tx.conn(), customer, id).await?.into();
    let approved = Event::FirstSignatoryApproved { first_signatory: id, membership };
    let began = Event::MembershipBegan { membership, person: present.person, role: role.to_string(), until_on: None };
    let entries = vec![NewEntry::new(customer, id, &caller.actor(), approved), NewEntry::new(customer, membership, &caller.actor(), began)];
    let receipt = commit(tx, entries).await?.pop().ok_or_else(|| Error::internal("an entry without its receipt"))?;
    Ok(Created::at(format!("/api/admin/v1/customers/{customer}/first-signatories/{id}"), Receipted { value: view, receipt }))
}

/// Withdraws a customer's first signatory before its authority begins.
///
/// Its membership ends at once, the agreement's contact is told, and another can be proposed.
#[utoipa::path(post, path = "/api/admin/v1/customers/{customer_id}/first-signatories/{first_signatory_id}/withdrawals",
    params(("customer_id" = CustomerId, Path, description = "The customer."), ("first_signatory_id" = FirstSignatoryId, Path, description = "The proposal.")),
    request_body = NewWithdrawal, responses((status = 201, body = Receipted<FirstSignatoryView>, description = "Withdrawn: no authority begins.")))]
pub(super) async fn withdraw_first_signatory(
    State(app): State<App>,
    caller: OpsCaller,
    PathId((customer, id)): PathId<(CustomerId, FirstSignatoryId)>,
    Json(NewWithdrawal {}): Json<NewWithdrawal>,
) -> Result<Created<Receipted<FirstSignatoryView>>> {
    let by = caller.person()?;
    let mut tx = app.db.write(Role::Ops, "withdraw_first_signatory", Lock::Heads, caller.scope_of(customer).customer().into(), &[]).await?;
    let present = store::first_signatory(tx.conn(), customer, id).await?;
    let verdict = withdraw(present.withdrawn_at, present.authority_begins_at, tx.now())?;
    store::withdraw_first_signatory(&mut tx, verdict, customer, &present, by).await?;
    let (contact, _) = store::agreement_contact(tx.conn(), customer, present.agreement).await?.ok_or(Error::NotFound)?;
    let name = store::customer_name(tx.conn(), customer).await?;
    let body = format!(
        "{} is no longer named as the first signatory of {name} for the agreement {}: the processor has withdrawn it. The person cannot act for your institution.",
        present.name, present.agreement
    );
    let (purpose, subject) = ("first_signatory_withdrawn", "Your institution's first signatory was withdrawn");
    enqueue(&mut tx, NewMessage { customer: customer.into(), purpose, subject_id: id.uuid(), address: contact, subject, body }).await?;
    let view = store::first_signatory(tx.conn(), customer, id).await?.into();
    let ended =
        present.membership.map(|membership| NewEntry::new(customer, membership, &caller.actor(), Event::MembershipEnded { membership }));
    let event = Event::FirstSignatoryWithdrawn { first_signatory: id, membership: present.membership };
    let entries = ended.into_iter().chain([NewEntry::new(customer, id, &caller.actor(), event)]).collect();
    let receipt = commit(tx, entries).await?.pop().ok_or_else(|| Error::internal("an entry without its receipt"))?;
    Ok(Created::at(format!("/api/admin/v1/customers/{customer}/first-signatories/{id}"), Receipted { value: view, receipt }))
}

/// What the delivered notice sets in motion: authority of every kind, 72 hours later; nothing if the
/// first signatory was withdrawn before.
pub(in crate::identity) fn first_signatory_notified(tx: &mut WriteTx, delivered: Delivered) -> BoxFuture<'_, Result<Vec<NewEntry>>> {
    Box::pin(async move {
        let customer = CustomerId::from(delivered.customer.0);
        let id = FirstSignatoryId::from(delivered.subject_id);
        let actor = Actor::system();
        let Some((membership, begins_at)) = store::notified(tx, customer, id, delivered.message).await? else {
            return Ok(vec![NewEntry::new(customer, id, &actor, Event::FirstSignatoryNoticeVoid { first_signatory: id })]);
        };
        let event =
            Event::FirstSignatoryNotified { first_signatory: id, membership, delivered_at: tx.now(), authority_begins_at: begins_at };
        let mut entries = vec![NewEntry::new(customer, id, &actor, event)];
        for kind in AuthorityKind::ALL {
            let event = Event::AuthorityGranted { membership, kind: kind.to_string(), units: None, begins_at };
            entries.push(NewEntry::new(customer, membership, &actor, event));
        }
        Ok(entries)
    })
}

/// Lists a customer's first signatory.
#[utoipa::path(get, path = "/api/admin/v1/customers/{customer_id}/first-signatories",
    params(("customer_id" = CustomerId, Path, description = "The customer."), ("limit" = Option<u32>, Query, description = "At most this many, 1 to 100 (25)."), ("cursor" = Option<String>, Query, description = "From the page before.")),
    responses((status = 200, body = Page<FirstSignatoryView>, description = "One page.")))]
pub(super) async fn list_first_signatories(
    State(app): State<App>,
    caller: OpsCaller,
    PathId(customer): PathId<CustomerId>,
    query: Query,
) -> Result<Json<Page<FirstSignatoryView>>> {
    let page = query.page(&format!("first-signatories:{customer}"))?;
    let log = LogId::from(caller.scope_of(customer).customer());
    let mut tx = app.db.read(Role::Ops, "list_first_signatories", log).await?;
    head_of(tx.conn(), log).await?;
    let rows = store::first_signatories(tx.conn(), customer, &page).await?;
    let Page { data, next_cursor } = page.page(rows, |row| row.id.uuid());
    Ok(Json(Page { data: data.into_iter().map(FirstSignatoryView::from).collect(), next_cursor }))
}

/// Shows a customer's first signatory.
#[utoipa::path(get, path = "/api/admin/v1/customers/{customer_id}/first-signatories/{first_signatory_id}",
    params(("customer_id" = CustomerId, Path, description = "The customer."), ("first_signatory_id" = FirstSignatoryId, Path, description = "The proposal.")),
    responses((status = 200, body = FirstSignatoryView, description = "How far it has come.")))]
pub(super) async fn get_first_signatory(
    State(app): State<App>,
    caller: OpsCaller,
    PathId((customer, id)): PathId<(CustomerId, FirstSignatoryId)>,
) -> Result<Json<FirstSignatoryView>> {
    let mut tx = app.db.read(Role::Ops, "get_first_signatory", caller.scope_of(customer).customer().into()).await?;
    Ok(Json(store::first_signatory(tx.conn(), customer, id).await?.into()))
}
