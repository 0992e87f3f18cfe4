//! The way back of an ops person who lost password, factor and codes: two other ops persons with
//! step-up, neither of them a newcomer, a notice to the person's own address, 72 hours, and then a
//! token there. It gives a password; whoever comes back counts as none of two for 72 hours more.

use axum::extract::State;
use futures_util::future::BoxFuture;

use super::first_signatory::{NewApproval, NewWithdrawal};
use super::recovery::{NewAccountRecoveryAcceptance, RecoveredAccount, UNKNOWN};
use crate::app::App;
use crate::base::{Error, Faults, OpsPersonId, OpsRecoveryId, Page, Result, TypedId as _};
use crate::db::{Lock, LogId, Role, WriteTx};
use crate::delivery::{Delivered, NewMessage, enqueue};
use crate::evidence::{Actor, Event, NewEntry, Receipted, commit_one};
use crate::http::{Created, Json, PathId, Query};
use crate::identity::OPS_RECOVERY_PURPOSE;
use crate::identity::caller::OpsCaller;
use crate::identity::decide;
use crate::identity::notice::{Recovered, mail_recovery, tell_staff};
use crate::identity::store::{self, OpsRecoveryView, ops_stepped_up, two_persons};
use crate::identity::token;

crate::request! {
    /// The recovery of an ops person.
    pub struct NewOpsRecovery {
        /// The ops person, another one than who proposes it.
        ops_person: OpsPersonId,
    }
}

type Answer = Result<Created<Receipted<OpsRecoveryView>>>;

async fn begin(app: &App, name: &'static str) -> Result<WriteTx> {
    app.db.write(Role::Ops, name, Lock::Heads, LogId::PROCESSOR, &[]).await
}

/// Tells everybody with access but the one who acts, the person too, and commits.
async fn done(mut tx: WriteTx, caller: &OpsCaller, recovery: (OpsRecoveryId, OpsPersonId), did: &str, event: Event) -> Answer {
    let (id, ops_person) = recovery;
    let by = caller.person()?;
    let body = format!(
        "{by} {did} the recovery of the account of {ops_person}. If nobody knows why, withdraw it: POST /api/admin/v1/ops-recoveries/{id}/withdrawals."
    );
    tell_staff(&mut tx, by, by, body).await?;
    let value = store::ops_recovery(tx.conn(), id).await?;
    let receipt = commit_one(tx, NewEntry::new(LogId::PROCESSOR, id, &caller.actor(), event)).await?;
    Ok(Created::at(format!("/api/admin/v1/ops-recoveries/{id}"), Receipted { value, receipt }))
}

/// Proposes the recovery of another ops person's account.
#[utoipa::path(post, path = "/api/admin/v1/ops-recoveries", request_body = NewOpsRecovery,
    responses((status = 201, body = Receipted<OpsRecoveryView>, description = "Proposed: another ops person must approve.")))]
pub(super) async fn propose_ops_recovery(State(app): State<App>, caller: OpsCaller, Json(new): Json<NewOpsRecovery>) -> Answer {
    let mut tx = begin(&app, "propose_ops_recovery").await?;
    let by = ops_stepped_up(&mut tx, &caller).await?;
    let found = store::ops_person(tx.conn(), new.ops_person).await;
    if !matches!(&found, Ok(person) if person.admitted_at.is_some() && person.ended_at.is_none()) {
        return Err(Error::invalid("ops_person", "no_access", "must be an ops person with access"));
    }
    let id = store::insert_ops_recovery(&mut tx, new.ops_person, by).await?;
    let event = Event::OpsRecoveryProposed { ops_recovery: id, ops_person: new.ops_person };
    done(tx, &caller, (id, new.ops_person), "proposed", event).await
}

/// Approves the recovery of an ops person's account: the person is told.
#[utoipa::path(post, path = "/api/admin/v1/ops-recoveries/{ops_recovery_id}/approvals", params(("ops_recovery_id" = OpsRecoveryId, Path, description = "The proposal.")),
    request_body = NewApproval, responses((status = 201, body = Receipted<OpsRecoveryView>, description = "Approved; the person can come back 72 hours after the notice is delivered.")))]
pub(super) async fn approve_ops_recovery(
    State(app): State<App>,
    caller: OpsCaller,
    PathId(id): PathId<OpsRecoveryId>,
    Json(NewApproval {}): Json<NewApproval>,
) -> Answer {
    let mut tx = begin(&app, "approve_ops_recovery").await?;
    let present = store::ops_recovery(tx.conn(), id).await?;
    let by = ops_stepped_up(&mut tx, &caller).await?;
    two_persons(&mut tx, (present.proposed_by, present.proposed_at), by).await?;
    let address = store::ops_person(tx.conn(), present.ops_person).await?.email;
    let body = format!(
        "{} and {by} say that you have lost the way into your account in Mandate. 72 hours after this notice you can set a new password. If this is wrong, tell your colleagues at once: each of them can withdraw it.",
        present.proposed_by
    );
    let (purpose, subject) = (OPS_RECOVERY_PURPOSE, "The recovery of your account in Mandate");
    let notice = NewMessage { customer: LogId::PROCESSOR, purpose, subject_id: id.uuid(), address, subject, body };
    let notice = enqueue(&mut tx, notice).await?;
    store::approve_ops_recovery(&mut tx, id, by, notice).await?;
    done(tx, &caller, (id, present.ops_person), "approved", Event::OpsRecoveryApproved { ops_recovery: id }).await
}

/// Withdraws the recovery of an ops person's account: its token is worth nothing from now on.
#[utoipa::path(post, path = "/api/admin/v1/ops-recoveries/{ops_recovery_id}/withdrawals", params(("ops_recovery_id" = OpsRecoveryId, Path, description = "The recovery.")),
    request_body = NewWithdrawal, responses((status = 201, body = Receipted<OpsRecoveryView>, description = "Withdrawn.")))]
pub(super) async fn withdraw_ops_recovery(
    State(app): State<App>,
    caller: OpsCaller,
    PathId(id): PathId<OpsRecoveryId>,
    Json(NewWithdrawal {}): Json<NewWithdrawal>,
) -> Answer {
    let mut tx = begin(&app, "withdraw_ops_recovery").await?;
    let present = store::ops_recovery(tx.conn(), id).await?;
    store::withdraw_ops_recovery(&mut tx, id).await?;
    done(tx, &caller, (id, present.ops_person), "withdrew", Event::OpsRecoveryWithdrawn { ops_recovery: id }).await
}

/// What the delivered notice sets in motion: a token in the person's mailbox, good 72 hours later.
pub(in crate::identity) fn ops_recovery_notified(tx: &mut WriteTx, delivered: Delivered) -> BoxFuture<'_, Result<Vec<NewEntry>>> {
    Box::pin(async move {
        let id = OpsRecoveryId::from(delivered.subject_id);
        let (text, hash) = token::draw(token::RECOVERY, tx.entropy());
        let (ops_person, address, open) = store::ops_recovery_notified(tx, id, delivered.message, hash).await?;
        if let (Some(term), Some(address)) = (open, address) {
            mail_recovery(tx, Recovered::Ops(id), address, &text, term).await?;
        }
        let (opens_at, closes_at) = open.unzip();
        let event = Event::OpsRecoveryNotified { ops_recovery: id, ops_person, delivered_at: tx.now(), opens_at, closes_at };
        Ok(vec![NewEntry::new(LogId::PROCESSOR, id, &Actor::system(), event)])
    })
}

/// Comes back to the staff with a recovery's token: sets a new password, ends factor and sessions.
#[utoipa::path(post, path = "/api/admin/v1/ops-recovery-acceptances", request_body = NewAccountRecoveryAcceptance,
    responses((status = 201, body = RecoveredAccount, description = "Recovered: log in with the password and enrol a second factor.")))]
pub(super) async fn accept_ops_recovery(
    State(app): State<App>,
    Json(body): Json<NewAccountRecoveryAcceptance>,
) -> Result<Created<RecoveredAccount>> {
    let mut faults = Faults::default();
    decide::new_password(body.password.length(), &mut faults);
    let hash = token::hash(body.token.expose());
    let mut read = app.db.read(Role::Ops, "open_ops_recovery", LogId::PROCESSOR).await?;
    let now = read.now();
    let found = store::open_ops_recovery(read.conn(), hash, now).await?;
    drop(read);
    if found.is_none() {
        faults.add_at("token", "account_recovery", UNKNOWN);
    }
    faults.check()?;
    let (id, ops_person) = found.ok_or(Error::NotFound)?;
    let password = app.passwords.hash(&body.password, app.db.entropy()).await?;
    let mut tx = begin(&app, "accept_ops_recovery").await?;
    let now = tx.now();
    if !store::recover_ops_person(tx.conn(), hash, &password, now).await? {
        return Err(Error::invalid("token", "account_recovery", UNKNOWN));
    }
    let body = format!(
        "The account of the ops person {ops_person} was recovered: the person has a new password, and for 72 hours counts as none of two. If that was not this person, end the access at once."
    );
    tell_staff(&mut tx, ops_person, ops_person, body).await?;
    let event = Event::OpsPersonRecovered { ops_person, ops_recovery: id };
    commit_one(tx, NewEntry::new(LogId::PROCESSOR, ops_person, &Actor::of(ops_person), event)).await?;
    Ok(Created::at("/api/admin/v1/sessions", RecoveredAccount { recovered: true }))
}

/// Lists the recoveries of ops persons.
#[utoipa::path(get, path = "/api/admin/v1/ops-recoveries",
    params(("limit" = Option<u32>, Query, description = "At most this many, 1 to 100 (25)."), ("cursor" = Option<String>, Query, description = "From the page before.")),
    responses((status = 200, body = Page<OpsRecoveryView>, description = "One page.")))]
pub(super) async fn list_ops_recoveries(State(app): State<App>, _: OpsCaller, query: Query) -> Result<Json<Page<OpsRecoveryView>>> {
    let page = query.page("ops-recoveries")?;
    let mut tx = app.db.read(Role::Ops, "list_ops_recoveries", LogId::PROCESSOR).await?;
    let rows = store::ops_recoveries(tx.conn(), &page).await?;
    Ok(Json(page.page(rows, |row| row.id.uuid())))
}

/// Shows the recovery of an ops person's account.
#[utoipa::path(get, path = "/api/admin/v1/ops-recoveries/{ops_recovery_id}", params(("ops_recovery_id" = OpsRecoveryId, Path, description = "The recovery.")),
    responses((status = 200, body = OpsRecoveryView, description = "How far it has come.")))]
pub(super) async fn get_ops_recovery(
    State(app): State<App>,
    _: OpsCaller,
    PathId(id): PathId<OpsRecoveryId>,
) -> Result<Json<OpsRecoveryView>> {
    let mut tx = app.db.read(Role::Ops, "get_ops_recovery", LogId::PROCESSOR).await?;
    Ok(Json(store::ops_recovery(tx.conn(), id).await?))
}
