//! Enrolling a second factor: begun (the secret is shown this once), then confirmed with the password
//! and a first code. The person alone does it; another factor in the place of one in use needs a
//! step-up with that one. What is confirmed is told to all customers of the person.

use axum::extract::State;

use super::proof::{counted, failed, right_password};
use super::session::{holder, ops_holder, own_credential, surface};
use super::view::SecondFactorView;
use crate::app::App;
use crate::base::{Error, Instant, Result, SecondFactorId, SessionId, TypedId as _, fresh_id};
use crate::evidence::Receipted;
use crate::http::{ClientAddress, Created, Json, PathId};
use crate::identity::account_change::{AccountChange, Change};
use crate::identity::caller::{InstitutionCaller, OpsCaller};
use crate::identity::decide::{ENROLMENT, enrolment_open};
use crate::identity::model::Secret;
use crate::identity::recovery_code;
use crate::identity::store::{self, Act, Attempt, Credential, Holder};
use crate::identity::totp::TotpSecret;

crate::request! {
    /// A second factor to be enrolled; it says nothing more.
    pub struct NewSecondFactor {}
}

crate::request! {
    /// The confirmation of a second factor.
    pub struct NewSecondFactorConfirmation {
        /// The password, again.
        password: Secret,
        /// A code that the authenticator shows.
        code: Secret,
    }
}

/// A second factor that was begun: the only time its secret is shown.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct BegunSecondFactor {
    /// Its id.
    pub id: SecondFactorId,
    /// For the authenticator: `otpauth://totp/…` with the secret. It is not shown again.
    #[schema(format = Password)]
    pub otpauth_uri: String,
    /// Until when it can be confirmed.
    pub expires_at: Instant,
}

/// A second factor that was confirmed: the only time its recovery codes are shown.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct ConfirmedSecondFactor {
    /// Ten codes that each stand for the factor once. Keep them; they are not shown again.
    #[schema(format = Password)]
    pub recovery_codes: Vec<String>,
    /// The factor.
    #[serde(flatten)]
    pub view: SecondFactorView,
}

/// Demands that a factor in use gives way only to who has it: a step-up in this session.
async fn may_replace(app: &App, holder: Holder, session: SessionId, credential: &Credential) -> Result<()> {
    if credential.factor.is_none() {
        return Ok(());
    }
    let mut tx = app.db.read(holder.role(), "may_replace_factor", holder.home()).await?;
    let now = tx.now();
    store::fresh_step_up(tx.conn(), session, now).await
}

async fn begin(app: &App, who: (Holder, SessionId), id: SessionId) -> Result<Created<BegunSecondFactor>> {
    let holder = who.0;
    let credential = own_credential(app, who, id).await?;
    may_replace(app, holder, id, &credential).await?;
    let secret = TotpSecret::draw(app.db.entropy());
    let mut tx = app.db.housekeeping(holder.role(), "begin_second_factor", holder.home()).await?;
    let now = tx.now();
    let factor: SecondFactorId = fresh_id(now, app.db.entropy());
    let sealed = app.secrets.seal(factor.uuid(), credential.account.uuid(), &secret, app.db.entropy())?;
    store::begin_factor(tx.conn(), credential.account, factor, &sealed, now).await?;
    tx.commit_housekeeping().await?;
    let view = BegunSecondFactor { id: factor, otpauth_uri: secret.uri(&credential.email), expires_at: now.plus(ENROLMENT) };
    Ok(Created::at(format!("{}me", surface(holder).prefix()), view))
}

async fn confirm(
    app: &App,
    client: ClientAddress,
    who: (Holder, SessionId),
    (id, factor): (SessionId, SecondFactorId),
    body: &NewSecondFactorConfirmation,
) -> Result<Created<Receipted<ConfirmedSecondFactor>>> {
    let place = app.passwords.place()?;
    let holder = who.0;
    let credential = own_credential(app, who, id).await?;
    let mut read = app.db.read(holder.role(), "begun_factor", holder.home()).await?;
    let now = read.now();
    let begun = store::begun_factor(read.conn(), credential.account, factor).await?;
    drop(read);
    if !enrolment_open(begun.begun_at, now) {
        return Err(Error::NotFound);
    }
    may_replace(app, holder, id, &credential).await?;
    let attempt = Attempt::of(surface(holder), Act::StepUp, &credential.email, client);
    counted(app, holder.role(), &attempt).await?;
    let right = right_password(app, place, &body.password, Some(&credential)).await?;
    let secret = app.secrets.open(begun.id.uuid(), credential.account.uuid(), &begun.sealed)?;
    let Some(step) = secret.step_of(body.code.expose(), now, 0).filter(|_| right) else {
        return Err(failed(app, holder.role(), &attempt).await?);
    };
    let (recovery_codes, hashes) = recovery_code::draw(app.db.entropy());
    let mut change = AccountChange::begin(app, holder, "confirm_second_factor").await?;
    let now = change.tx.now();
    store::confirm_factor(change.tx.conn(), credential.account, factor, step, &hashes, now).await?;
    // Password and factor were shown just now: that is what a step-up is.
    store::step_up(change.tx.conn(), holder, id, now).await?;
    store::cleared(change.tx.conn(), &attempt, now).await?;
    change.note(Change::Factor(factor)).await?;
    let in_use = store::factor_in_use(change.tx.conn(), credential.account).await?.ok_or(Error::NotFound)?;
    let receipt = change.commit().await?;
    let value = ConfirmedSecondFactor { recovery_codes, view: in_use.into() };
    Ok(Created::at(format!("{}me", surface(holder).prefix()), Receipted { value, receipt }))
}

/// Begins a second factor of the caller: its secret is shown this once.
#[utoipa::path(post, path = "/api/v1/sessions/{session_id}/second-factors", params(("session_id" = SessionId, Path, description = "The session in use.")),
    request_body = NewSecondFactor, responses((status = 201, body = BegunSecondFactor, description = "Begun; confirm it within ten minutes.")))]
pub(super) async fn begin_second_factor(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId(id): PathId<SessionId>,
    Json(NewSecondFactor {}): Json<NewSecondFactor>,
) -> Result<Created<BegunSecondFactor>> {
    begin(&app, holder(&caller)?, id).await
}

/// Confirms a second factor of the caller, with the password and a first code.
#[utoipa::path(post, path = "/api/v1/sessions/{session_id}/second-factors/{second_factor_id}/confirmations",
    params(("session_id" = SessionId, Path, description = "The session in use."), ("second_factor_id" = SecondFactorId, Path, description = "The factor.")),
    request_body = NewSecondFactorConfirmation, responses((status = 201, body = Receipted<ConfirmedSecondFactor>, description = "In use, and the session is stepped up.")))]
pub(super) async fn confirm_second_factor(
    State(app): State<App>,
    caller: InstitutionCaller,
    client: ClientAddress,
    PathId(ids): PathId<(SessionId, SecondFactorId)>,
    Json(body): Json<NewSecondFactorConfirmation>,
) -> Result<Created<Receipted<ConfirmedSecondFactor>>> {
    confirm(&app, client, holder(&caller)?, ids, &body).await
}

/// Begins a second factor of the ops caller: its secret is shown this once.
#[utoipa::path(post, path = "/api/admin/v1/sessions/{session_id}/second-factors", params(("session_id" = SessionId, Path, description = "The session in use.")),
    request_body = NewSecondFactor, responses((status = 201, body = BegunSecondFactor, description = "Begun; confirm it within ten minutes.")))]
pub(super) async fn begin_ops_second_factor(
    State(app): State<App>,
    caller: OpsCaller,
    PathId(id): PathId<SessionId>,
    Json(NewSecondFactor {}): Json<NewSecondFactor>,
) -> Result<Created<BegunSecondFactor>> {
    begin(&app, ops_holder(&caller)?, id).await
}

/// Confirms a second factor of the ops caller, with the password and a first code.
#[utoipa::path(post, path = "/api/admin/v1/sessions/{session_id}/second-factors/{second_factor_id}/confirmations",
    params(("session_id" = SessionId, Path, description = "The session in use."), ("second_factor_id" = SecondFactorId, Path, description = "The factor.")),
    request_body = NewSecondFactorConfirmation, responses((status = 201, body = Receipted<ConfirmedSecondFactor>, description = "In use, and the session is stepped up.")))]
pub(super) async fn confirm_ops_second_factor(
    State(app): State<App>,
    caller: OpsCaller,
    client: ClientAddress,
    PathId(ids): PathId<(SessionId, SecondFactorId)>,
    Json(body): Json<NewSecondFactorConfirmation>,
) -> Result<Created<Receipted<ConfirmedSecondFactor>>> {
    confirm(&app, client, ops_holder(&caller)?, ids, &body).await
}
