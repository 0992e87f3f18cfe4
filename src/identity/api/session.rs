//! Sessions of the caller: listed, revoked, stepped up. A step-up is the password again and a code of
//! the second factor, and holds for five minutes; it is what a signature, an acceptance and an
//! approval demand. Without a factor there is none.

use axum::extract::State;

use super::proof::{Known, Presented, counted, proved};
use super::view::SessionView;
use crate::app::App;
use crate::base::{Error, Page, Result, SessionId, TypedId};
use crate::http::{ClientAddress, Created, Json, PathId, Query, Surface};
use crate::identity::caller::{InstitutionCaller, InstitutionCredential, OpsCaller, OpsCredential};
use crate::identity::model::Secret;
use crate::identity::store::{self, Act, Attempt, Holder};

crate::request! {
    /// A step-up.
    pub struct NewStepUp {
        /// The password, again.
        password: Secret,
        /// A code of the second factor, which was not used yet, or a recovery code.
        code: Secret,
    }
}

crate::request! {
    /// A revocation; it says nothing more.
    pub struct NewSessionRevocation {}
}

/// Whose sessions the caller's are, and which it is using.
pub(super) fn holder(caller: &InstitutionCaller) -> Result<(Holder, SessionId)> {
    match caller.credential() {
        InstitutionCredential::Session { session, person, membership } => {
            Ok((Holder::Member { customer: caller.customer(), person, membership }, session))
        }
        InstitutionCredential::Key(_) => Err(Error::Forbidden("an API key has no sessions")),
    }
}

pub(super) fn ops_holder(caller: &OpsCaller) -> Result<(Holder, SessionId)> {
    match caller.credential() {
        OpsCredential::Session { session, ops_person } => Ok((Holder::Ops(ops_person), session)),
        OpsCredential::Key(_) => Err(Error::Forbidden("an API key has no sessions")),
    }
}

async fn list(app: &App, holder: Holder, query: Query) -> Result<Json<Page<SessionView>>> {
    let page = query.page(&format!("sessions:{holder:?}"))?;
    let mut tx = app.db.read(holder.role(), "list_sessions", holder.home()).await?;
    let rows = store::sessions(tx.conn(), holder, &page).await?;
    let Page { data, next_cursor } = page.page(rows, |session| session.id.uuid());
    Ok(Json(Page { data: data.into_iter().map(SessionView::from).collect(), next_cursor }))
}

async fn revoke(app: &App, holder: Holder, id: SessionId) -> Result<SessionView> {
    let mut tx = app.db.housekeeping(holder.role(), "revoke_session", holder.home()).await?;
    let now = tx.now();
    let session = store::revoke_session(tx.conn(), holder, id, now).await?;
    tx.commit_effect().await?;
    Ok(session.into())
}

/// The surface of a holder's logins.
pub(super) const fn surface(holder: Holder) -> Surface {
    match holder {
        Holder::Member { .. } => Surface::Institution,
        Holder::Ops(_) => Surface::Admin,
    }
}

/// The credential of the holder, for an act in the session that asks.
///
/// # Errors
/// [`Error::NotFound`] for a session that is not the holder's; [`Error::Forbidden`] for another one.
pub(super) async fn own_credential(app: &App, (holder, present): (Holder, SessionId), id: SessionId) -> Result<store::Credential> {
    let mut tx = app.db.read(holder.role(), "own_credential", holder.home()).await?;
    store::session(tx.conn(), holder, id).await?;
    if id != present {
        return Err(Error::Forbidden("an act on another session than the one that asks"));
    }
    match holder {
        Holder::Member { person, .. } => store::credential_of_member(tx.conn(), person).await,
        Holder::Ops(ops_person) => store::credential_of_ops_person(tx.conn(), ops_person).await,
    }
}

async fn stepped_up(app: &App, client: ClientAddress, who: (Holder, SessionId), id: SessionId, body: &NewStepUp) -> Result<SessionView> {
    let place = app.passwords.place()?;
    let holder = who.0;
    let credential = own_credential(app, who, id).await?;
    if credential.factor.is_none() {
        return Err(Error::SecondFactorRequired);
    }
    let attempt = Attempt::of(surface(holder), Act::StepUp, &credential.email, client);
    counted(app, holder.role(), &attempt).await?;
    let presented = Presented { password: &body.password, code: Some(&body.code) };
    proved(app, holder.role(), place, &attempt, presented, Some(Known { credential: &credential, holder: Some(holder) })).await?;
    let mut tx = app.db.housekeeping(holder.role(), "step_up", holder.home()).await?;
    let now = tx.now();
    let session = store::step_up(tx.conn(), holder, id, now).await?;
    tx.commit_effect().await?;
    Ok(session.into())
}

/// Lists the caller's sessions.
#[utoipa::path(get, path = "/api/v1/sessions",
    params(("limit" = Option<u32>, Query, description = "At most this many, 1 to 100 (25)."), ("cursor" = Option<String>, Query, description = "From the page before.")),
    responses((status = 200, body = Page<SessionView>, description = "One page.")))]
pub(super) async fn list_sessions(State(app): State<App>, caller: InstitutionCaller, query: Query) -> Result<Json<Page<SessionView>>> {
    list(&app, holder(&caller)?.0, query).await
}

/// Revokes one of the caller's sessions.
#[utoipa::path(post, path = "/api/v1/sessions/{session_id}/revocations", params(("session_id" = SessionId, Path, description = "The session.")),
    request_body = NewSessionRevocation, responses((status = 201, body = SessionView, description = "Revoked: refused from the next request on.")))]
pub(super) async fn revoke_session(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId(id): PathId<SessionId>,
    Json(NewSessionRevocation {}): Json<NewSessionRevocation>,
) -> Result<Created<SessionView>> {
    Ok(Created::at("/api/v1/sessions", revoke(&app, holder(&caller)?.0, id).await?))
}

/// Steps the caller's session up.
#[utoipa::path(post, path = "/api/v1/sessions/{session_id}/step-ups", params(("session_id" = SessionId, Path, description = "The session in use.")),
    request_body = NewStepUp, responses((status = 201, body = SessionView, description = "Stepped up, for five minutes.")))]
pub(super) async fn step_up(
    State(app): State<App>,
    caller: InstitutionCaller,
    client: ClientAddress,
    PathId(id): PathId<SessionId>,
    Json(body): Json<NewStepUp>,
) -> Result<Created<SessionView>> {
    let view = stepped_up(&app, client, holder(&caller)?, id, &body).await?;
    Ok(Created::at("/api/v1/sessions", view))
}

/// Lists the ops caller's sessions.
#[utoipa::path(get, path = "/api/admin/v1/sessions",
    params(("limit" = Option<u32>, Query, description = "At most this many, 1 to 100 (25)."), ("cursor" = Option<String>, Query, description = "From the page before.")),
    responses((status = 200, body = Page<SessionView>, description = "One page.")))]
pub(super) async fn list_ops_sessions(State(app): State<App>, caller: OpsCaller, query: Query) -> Result<Json<Page<SessionView>>> {
    list(&app, ops_holder(&caller)?.0, query).await
}

/// Revokes one of the ops caller's sessions.
#[utoipa::path(post, path = "/api/admin/v1/sessions/{session_id}/revocations", params(("session_id" = SessionId, Path, description = "The session.")),
    request_body = NewSessionRevocation, responses((status = 201, body = SessionView, description = "Revoked: refused from the next request on.")))]
pub(super) async fn revoke_ops_session(
    State(app): State<App>,
    caller: OpsCaller,
    PathId(id): PathId<SessionId>,
    Json(NewSessionRevocation {}): Json<NewSessionRevocation>,
) -> Result<Created<SessionView>> {
    Ok(Created::at("/api/admin/v1/sessions", revoke(&app, ops_holder(&caller)?.0, id).await?))
}

/// Steps the ops caller's session up.
#[utoipa::path(post, path = "/api/admin/v1/sessions/{session_id}/step-ups", params(("session_id" = SessionId, Path, description = "The session in use.")),
    request_body = NewStepUp, responses((status = 201, body = SessionView, description = "Stepped up, for five minutes.")))]
pub(super) async fn step_up_ops(
    State(app): State<App>,
    caller: OpsCaller,
    client: ClientAddress,
    PathId(id): PathId<SessionId>,
    Json(body): Json<NewStepUp>,
) -> Result<Created<SessionView>> {
    let view = stepped_up(&app, client, ops_holder(&caller)?, id, &body).await?;
    Ok(Created::at("/api/admin/v1/sessions", view))
}
