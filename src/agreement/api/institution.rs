//! Agreements as the customer sees them, and what its person with `agreement` authority for all
//! units does, since an agreement binds them all: accept the document's hash, end the agreement.

use axum::extract::State;

use super::view::{AgreementView, receipted, view};
use crate::agreement::store;
use crate::app::App;
use crate::base::{AgreementId, CustomerId, Digest, Instant, Page, Result, TypedId};
use crate::db::{Lock, LogId, Role, WriteTx};
use crate::evidence::Receipted;
use crate::http::{Created, ETag, Json, PathId, Query};
use crate::identity::{AuthorityKind, InstitutionCaller, Needs, signatory};

crate::request! {
    /// An acceptance: names what is accepted by its hash.
    pub struct NewAcceptance {
        /// SHA-256 of the agreement's document.
        document_sha256: Digest,
    }
}

crate::request! {
    /// The end of an agreement.
    pub struct NewTermination {
        /// From when; now when absent or past, never later than the agreement ends anyway.
        effective_at: Option<Instant>,
    }
}

/// Lists the customer's agreements.
#[utoipa::path(get, path = "/api/v1/agreements",
    params(("limit" = Option<u32>, Query, description = "1 to 100, 25 when absent"), ("cursor" = Option<String>, Query, description = "next_cursor of the page before")),
    responses((status = 200, body = Page<AgreementView>, description = "The agreements")))]
pub(super) async fn list_agreements(State(app): State<App>, caller: InstitutionCaller, query: Query) -> Result<Json<Page<AgreementView>>> {
    let customer = caller.customer();
    let page = query.page(&format!("agreements:{customer}:"))?;
    let mut tx = app.db.read(Role::App, "agreement.list", caller.log()).await?;
    let now = tx.now();
    let covered = store::covered(tx.conn(), customer, now).await?;
    let found = store::list(tx.conn(), customer, &page).await?;
    let views = found.into_iter().map(|agreement| view(customer, agreement, &covered, now)).collect();
    Ok(Json(page.page(views, |view| view.id.uuid())))
}

/// Shows one agreement.
#[utoipa::path(get, path = "/api/v1/agreements/{agreement_id}",
    params(("agreement_id" = AgreementId, Path, description = "The agreement")),
    responses((status = 200, body = AgreementView, description = "The agreement")))]
pub(super) async fn show_agreement(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId(id): PathId<AgreementId>,
) -> Result<(ETag, Json<AgreementView>)> {
    let customer = caller.customer();
    let mut tx = app.db.read(Role::App, "agreement.show", caller.log()).await?;
    let now = tx.now();
    let covered = store::covered(tx.conn(), customer, now).await?;
    let shown = view(customer, store::find(tx.conn(), customer, id).await?, &covered, now);
    Ok((ETag::of(&shown), Json(shown)))
}

/// Accepts an offered agreement with step-up.
///
/// The entry stands in the customer's log; the platform's name for the customer appears in the
/// platform's. Needs authority for agreements of all units.
#[utoipa::path(post, path = "/api/v1/agreements/{agreement_id}/acceptances",
    params(("agreement_id" = AgreementId, Path, description = "The agreement")), request_body = NewAcceptance,
    responses((status = 201, body = Receipted<AgreementView>, description = "The agreement, accepted")))]
pub(super) async fn accept_agreement(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId(id): PathId<AgreementId>,
    Json(body): Json<NewAcceptance>,
) -> Result<Created<Receipted<AgreementView>>> {
    let customer = caller.customer();
    let platform_log = platform_log(&app, &caller, id).await?;
    let mut tx = app.db.write(Role::App, "agreement.accept", Lock::Heads, caller.log(), &[platform_log]).await?;
    store::find(tx.conn(), customer, id).await?;
    let signatory = signatory(&mut tx, &caller, AuthorityKind::Agreement, &Needs::AllUnits).await?;
    let entries = store::accept(&mut tx, customer, signatory, id, body.document_sha256).await?;
    let accepted = present(&mut tx, customer, id).await?;
    let body = format!(
        "The agreement {id} for the platform {} was accepted for your institution by the member {}.\nIt is in force from {}.\n",
        accepted.platform,
        signatory.membership(),
        accepted.in_force_from_at.unwrap_or_else(|| tx.now()),
    );
    crate::customer::tell_customer(&mut tx, "agreement_accepted", id.uuid(), "An agreement was accepted", body).await?;
    let receipts = crate::evidence::commit(tx, entries).await?;
    Ok(Created::at(format!("/api/v1/agreements/{id}"), receipted(accepted, receipts)?))
}

/// The log that the acceptance writes besides the customer's: found before any head is locked.
async fn platform_log(app: &App, caller: &InstitutionCaller, id: AgreementId) -> Result<LogId> {
    let mut tx = app.db.read(Role::App, "agreement.platform", caller.log()).await?;
    let agreement = store::find(tx.conn(), caller.customer(), id).await?;
    crate::registry::platform_log(tx.conn(), &agreement.platform).await
}

async fn present(tx: &mut WriteTx, customer: CustomerId, id: AgreementId) -> Result<AgreementView> {
    let now = tx.now();
    let covered = store::covered(tx.conn(), customer, now).await?;
    Ok(view(customer, store::find(tx.conn(), customer, id).await?, &covered, now))
}

/// Ends an accepted agreement with step-up.
///
/// What stays possible then is in `wind_down`. Needs authority for agreements of all units.
#[utoipa::path(post, path = "/api/v1/agreements/{agreement_id}/terminations",
    params(("agreement_id" = AgreementId, Path, description = "The agreement")), request_body = NewTermination,
    responses((status = 201, body = Receipted<AgreementView>, description = "The agreement, terminated")))]
pub(super) async fn terminate_agreement(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId(id): PathId<AgreementId>,
    Json(body): Json<NewTermination>,
) -> Result<Created<Receipted<AgreementView>>> {
    let customer = caller.customer();
    let mut tx = app.db.write(Role::App, "agreement.terminate", Lock::Heads, caller.log(), &[]).await?;
    store::find(tx.conn(), customer, id).await?;
    let signatory = signatory(&mut tx, &caller, AuthorityKind::Agreement, &Needs::AllUnits).await?;
    let entries = store::terminate(&mut tx, customer, signatory, id, body.effective_at).await?;
    let ended = present(&mut tx, customer, id).await?;
    let body = format!(
        "The agreement {id} for the platform {} was terminated by the member {}.\nIt is in force until {}. After that only return, deletion, notices of breaches and audit are possible.\n",
        ended.platform,
        signatory.membership(),
        ended.in_force_until_at.unwrap_or_else(|| tx.now()),
    );
    crate::customer::tell_customer(&mut tx, "agreement_terminated", id.uuid(), "An agreement was terminated", body).await?;
    let receipts = crate::evidence::commit(tx, entries).await?;
    Ok(Created::at(format!("/api/v1/agreements/{id}"), receipted(ended, receipts)?))
}
