//! The way back of a person who lost password or factor, the way of the first signatory: two ops
//! persons of both roles, a notice to the agreement's contact, 72 hours, and then a token in the
//! person's own mailbox. It gives a password and no authority: that is suspended at every customer
//! until the customer confirms it. No ops person sees or sets anything but the proposal.

use axum::extract::State;
use futures_util::future::BoxFuture;

use super::first_signatory::{NewApproval, NewWithdrawal, namer, naming};
use crate::app::App;
use crate::base::{AccountRecoveryId, AgreementId, CustomerId, Error, Faults, MembershipId, Page, Result, TypedId as _};
use crate::db::{Lock, LogId, Role, WriteTx};
use crate::delivery::{Delivered, NewMessage, enqueue};
use crate::evidence::{Actor, Event, NewEntry, Receipted, commit_one};
use crate::http::{Created, Json, PathId, Query};
use crate::identity::RECOVERY_PURPOSE;
use crate::identity::account_change::AccountChange;
use crate::identity::caller::OpsCaller;
use crate::identity::decide::{self, Namer, approve, suspended_by_recovery};
use crate::identity::model::Secret;
use crate::identity::notice::{Recovered, mail_recovery};
use crate::identity::store::{self, AccountRecoveryView, Holder, ops_stepped_up, two_persons};
use crate::identity::token;

crate::request! {
    /// The recovery of a member's account.
    pub struct NewAccountRecovery {
        /// The person's membership at this customer.
        membership: MembershipId,
        /// The agreement whose contact is told.
        agreement: AgreementId,
    }
}

crate::request! {
    /// A person who comes back.
    pub struct NewAccountRecoveryAcceptance {
        /// The token from the mail.
        token: Secret,
        /// The new password, at least 12 characters.
        password: Secret,
    }
}

/// An account that was recovered.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct RecoveredAccount {
    /// Always true.
    pub recovered: bool,
}

/// What a token is called that cannot be used now.
pub(super) const UNKNOWN: &str = "is not a recovery that can be accepted: unknown, used, withdrawn, too early or too late";

type Answer = Result<Created<Receipted<AccountRecoveryView>>>;

async fn done(mut tx: WriteTx, caller: &OpsCaller, customer: CustomerId, id: AccountRecoveryId, event: Event) -> Answer {
    let view = store::recovery(tx.conn(), customer, id).await?;
    let receipt = commit_one(tx, NewEntry::new(customer, id, &caller.actor(), event)).await?;
    Ok(Created::at(format!("/api/admin/v1/customers/{customer}/account-recoveries/{id}"), Receipted { value: view, receipt }))
}

async fn begin(app: &App, caller: &OpsCaller, customer: CustomerId, name: &'static str) -> Result<WriteTx> {
    app.db.write(Role::Ops, name, Lock::Heads, caller.scope_of(customer).customer().into(), &[]).await
}

/// Proposes the recovery of a member's account.
#[utoipa::path(post, path = "/api/admin/v1/customers/{customer_id}/account-recoveries", params(("customer_id" = CustomerId, Path, description = "The customer.")),
    request_body = NewAccountRecovery, responses((status = 201, body = Receipted<AccountRecoveryView>, description = "Proposed: a second ops person must approve.")))]
pub(super) async fn propose_account_recovery(
    State(app): State<App>,
    caller: OpsCaller,
    PathId(customer): PathId<CustomerId>,
    Json(new): Json<NewAccountRecovery>,
) -> Answer {
    let mut tx = begin(&app, &caller, customer, "propose_account_recovery").await?;
    store::customer_name(tx.conn(), customer).await?;
    let by = ops_stepped_up(&mut tx, &caller).await?;
    let mut faults = Faults::default();
    if !matches!(store::agreement_contact(tx.conn(), customer, new.agreement).await?, Some((_, true))) {
        faults.add_at("agreement", "not_offered", "must be an agreement that was offered to this customer");
    }
    let person = store::person_of_membership(tx.conn(), customer, new.membership).await;
    if matches!(person, Err(Error::NotFound)) {
        faults.add_at("membership", "no_member", "must be a membership of this customer that its person has accepted and nobody has ended");
    }
    faults.check()?;
    let id = store::insert_recovery(&mut tx, customer, new.membership, person?.0, new.agreement, by).await?;
    let event = Event::AccountRecoveryProposed { account_recovery: id, agreement: new.agreement, membership: new.membership };
    done(tx, &caller, customer, id, event).await
}

/// Approves the recovery of a member's account: the agreement's contact and the person are told.
#[utoipa::path(post, path = "/api/admin/v1/customers/{customer_id}/account-recoveries/{account_recovery_id}/approvals",
    params(("customer_id" = CustomerId, Path, description = "The customer."), ("account_recovery_id" = AccountRecoveryId, Path, description = "The proposal.")),
    request_body = NewApproval, responses((status = 201, body = Receipted<AccountRecoveryView>, description = "Approved; the person can come back 72 hours after the notice is delivered.")))]
pub(super) async fn approve_account_recovery(
    State(app): State<App>,
    caller: OpsCaller,
    PathId((customer, id)): PathId<(CustomerId, AccountRecoveryId)>,
    Json(NewApproval {}): Json<NewApproval>,
) -> Answer {
    let mut tx = begin(&app, &caller, customer, "approve_account_recovery").await?;
    let present = store::recovery(tx.conn(), customer, id).await?;
    let by = ops_stepped_up(&mut tx, &caller).await?;
    if present.withdrawn_at.is_some() {
        return Err(Error::conflict("withdrawn", "The recovery was withdrawn."));
    }
    let proposer = namer(&mut tx, present.proposed_by).await?;
    let approval = approve(proposer, Namer { ops_person: by, role: naming(caller.role)? }, present.approved_at.is_some())?;
    two_persons(&mut tx, (present.proposed_by, present.proposed_at), by).await?;
    let (contact, _) = store::agreement_contact(tx.conn(), customer, present.agreement).await?.ok_or(Error::NotFound)?;
    let (_, name, email) = store::person_of_membership(tx.conn(), customer, present.membership).await?;
    let institution = store::customer_name(tx.conn(), customer).await?;
    let body = format!(
        "{name} of {institution} has lost the way into the account in Mandate (agreement {}). 72 hours after this notice the person can set a new password; until your institution confirms it, the person can instruct nothing. If this is wrong, tell us at once: answer through the contact that your agreement names.",
        present.agreement
    );
    let subject = "The recovery of an account at your institution";
    let log = LogId::from(customer);
    let to_person =
        NewMessage { customer: log, purpose: "account_recovery_told", subject_id: id.uuid(), address: email, subject, body: body.clone() };
    enqueue(&mut tx, to_person).await?;
    tell_who_can_stop_it(&mut tx, customer, &present, &body).await?;
    let notice = NewMessage { customer: log, purpose: RECOVERY_PURPOSE, subject_id: id.uuid(), address: contact, subject, body };
    let notice = enqueue(&mut tx, notice).await?;
    store::approve_recovery(&mut tx, approval, customer, id, notice).await?;
    done(tx, &caller, customer, id, Event::AccountRecoveryApproved { account_recovery: id }).await
}

/// Tells a customer's privacy contacts, and whoever has authority over its people.
async fn tell_who_can_stop_it(tx: &mut WriteTx, customer: CustomerId, recovery: &AccountRecoveryView, body: &str) -> Result<()> {
    let mut addresses = store::to_be_told(tx.conn(), customer, recovery.membership).await?;
    addresses.extend(store::contacts_for_ops(tx.conn(), customer).await?);
    addresses.sort();
    addresses.dedup();
    for address in addresses {
        let id = recovery.id;
        let body = format!(
            "{body}\n\nA person of yours with authority over people can stop it: POST /api/v1/account-recoveries/{id}/withdrawals."
        );
        let subject = "The recovery of an account at your institution";
        let (customer, purpose) = (customer.into(), "account_recovery_told");
        enqueue(tx, NewMessage { customer, purpose, subject_id: id.uuid(), address, subject, body }).await?;
    }
    Ok(())
}

/// Withdraws the recovery of a member's account: its token is worth nothing from now on.
#[utoipa::path(post, path = "/api/admin/v1/customers/{customer_id}/account-recoveries/{account_recovery_id}/withdrawals",
    params(("customer_id" = CustomerId, Path, description = "The customer."), ("account_recovery_id" = AccountRecoveryId, Path, description = "The recovery.")),
    request_body = NewWithdrawal, responses((status = 201, body = Receipted<AccountRecoveryView>, description = "Withdrawn.")))]
pub(super) async fn withdraw_account_recovery(
    State(app): State<App>,
    caller: OpsCaller,
    PathId((customer, id)): PathId<(CustomerId, AccountRecoveryId)>,
    Json(NewWithdrawal {}): Json<NewWithdrawal>,
) -> Answer {
    let mut tx = begin(&app, &caller, customer, "withdraw_account_recovery").await?;
    store::recovery(tx.conn(), customer, id).await?;
    store::withdraw_recovery(&mut tx, customer, id).await?;
    done(tx, &caller, customer, id, Event::AccountRecoveryWithdrawn { account_recovery: id }).await
}

/// What the delivered notice sets in motion: a token in the person's mailbox, good 72 hours later.
pub(in crate::identity) fn recovery_notified(tx: &mut WriteTx, delivered: Delivered) -> BoxFuture<'_, Result<Vec<NewEntry>>> {
    Box::pin(async move {
        let customer = CustomerId::from(delivered.customer.0);
        let id = AccountRecoveryId::from(delivered.subject_id);
        let (text, hash) = token::draw(token::RECOVERY, tx.entropy());
        let (membership, open) = store::recovery_notified(tx, customer, id, delivered.message, hash).await?;
        // To a membership that was ended meanwhile no token is sent.
        if let (Some(term), Ok((_, _, email))) = (open, store::person_of_membership(tx.conn(), customer, membership).await) {
            mail_recovery(tx, Recovered::Member(customer, id), email, &text, term).await?;
        }
        let (opens_at, closes_at) = open.unzip();
        let event = Event::AccountRecoveryNotified { account_recovery: id, membership, delivered_at: tx.now(), opens_at, closes_at };
        Ok(vec![NewEntry::new(customer, id, &Actor::system(), event)])
    })
}

/// Comes back with a recovery's token: sets a new password, ends factor and sessions.
#[utoipa::path(post, path = "/api/v1/account-recovery-acceptances", request_body = NewAccountRecoveryAcceptance,
    responses((status = 201, body = RecoveredAccount, description = "Recovered: log in with the password and enrol a second factor.")))]
pub(super) async fn accept_account_recovery(
    State(app): State<App>,
    Json(body): Json<NewAccountRecoveryAcceptance>,
) -> Result<Created<RecoveredAccount>> {
    let mut faults = Faults::default();
    decide::new_password(body.password.length(), &mut faults);
    let hash = token::hash(body.token.expose());
    let mut read = app.db.read(Role::App, "open_recovery", LogId::PROCESSOR).await?;
    let now = read.now();
    let found = store::open_recovery(read.conn(), hash, now).await?;
    drop(read);
    if found.is_none() {
        faults.add_at("token", "account_recovery", UNKNOWN);
    }
    faults.check()?;
    let found = found.ok_or(Error::NotFound)?;
    let password = app.passwords.hash(&body.password, app.db.entropy()).await?;
    let mut read = app.db.read(Role::App, "memberships", LogId::PROCESSOR).await?;
    let memberships = store::accepted_memberships_of(read.conn(), found.person).await?;
    drop(read);
    let here = memberships.iter().find(|at| at.customer == found.customer).ok_or(Error::NotFound)?.membership;
    let holder = Holder::Member { customer: found.customer, person: found.person, membership: here };
    let mut change = AccountChange::begin(&app, holder, "accept_account_recovery").await?;
    let now = change.tx.now();
    if !store::recover_person(change.tx.conn(), hash, &password, now).await? {
        return Err(Error::invalid("token", "account_recovery", UNKNOWN));
    }
    for at in std::mem::take(&mut change.memberships) {
        let is_through = at.customer == found.customer;
        change.tx.act_for(at.customer.into()).await?;
        let zone = store::own_customer(change.tx.conn()).await?.zone;
        let others = store::people_elsewhere(change.tx.conn(), at.customer, at.membership, (now, now.date_in(zone))).await?;
        let suspended = suspended_by_recovery(is_through, others);
        if suspended {
            store::suspend_authority(change.tx.conn(), at.customer, at.membership, found.id, now).await?;
        } else {
            store::confirm_authority(change.tx.conn(), at.customer, at.membership, None, now).await?;
        }
        change.tx.act_for(holder.home()).await?;
        change.note_recovered(&at, found.id, suspended).await?;
    }
    change.commit().await?;
    Ok(Created::at("/api/v1/sessions", RecoveredAccount { recovered: true }))
}

/// Lists the recoveries of a customer's members.
#[utoipa::path(get, path = "/api/admin/v1/customers/{customer_id}/account-recoveries",
    params(("customer_id" = CustomerId, Path, description = "The customer."), ("limit" = Option<u32>, Query, description = "At most this many, 1 to 100 (25)."), ("cursor" = Option<String>, Query, description = "From the page before.")),
    responses((status = 200, body = Page<AccountRecoveryView>, description = "One page.")))]
pub(super) async fn list_account_recoveries(
    State(app): State<App>,
    caller: OpsCaller,
    PathId(customer): PathId<CustomerId>,
    query: Query,
) -> Result<Json<Page<AccountRecoveryView>>> {
    let page = query.page(&format!("account-recoveries:{customer}"))?;
    let log = LogId::from(caller.scope_of(customer).customer());
    let mut tx = app.db.read(Role::Ops, "list_account_recoveries", log).await?;
    crate::evidence::head_of(tx.conn(), log).await?;
    let rows = store::recoveries(tx.conn(), customer, None, &page).await?;
    Ok(Json(page.page(rows, |row| row.id.uuid())))
}

/// Shows the recovery of a member's account.
#[utoipa::path(get, path = "/api/admin/v1/customers/{customer_id}/account-recoveries/{account_recovery_id}",
    params(("customer_id" = CustomerId, Path, description = "The customer."), ("account_recovery_id" = AccountRecoveryId, Path, description = "The recovery.")),
    responses((status = 200, body = AccountRecoveryView, description = "How far it has come.")))]
pub(super) async fn get_account_recovery(
    State(app): State<App>,
    caller: OpsCaller,
    PathId((customer, id)): PathId<(CustomerId, AccountRecoveryId)>,
) -> Result<Json<AccountRecoveryView>> {
    let mut tx = app.db.read(Role::Ops, "get_account_recovery", caller.scope_of(customer).customer().into()).await?;
    Ok(Json(store::recovery(tx.conn(), customer, id).await?))
}
