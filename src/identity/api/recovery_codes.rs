//! Renewing the own recovery codes, with step-up and without another factor: for codes that were
//! used, lost or seen. The old ones end, the new ones are shown this once.

use axum::extract::State;

use super::session::{holder, ops_holder, surface};
use super::view::SecondFactorView;
use crate::app::App;
use crate::base::{Error, Result, SessionId};
use crate::evidence::Receipted;
use crate::http::{Created, Json};
use crate::identity::account_change::{AccountChange, Change};
use crate::identity::caller::{InstitutionCaller, OpsCaller};
use crate::identity::recovery_code;
use crate::identity::store::{self, Holder};

crate::request! {
    /// New recovery codes; it says nothing more.
    pub struct NewRecoveryCodes {}
}

/// Recovery codes that were drawn: the only time they are shown.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct RenewedRecoveryCodes {
    /// Ten codes that each stand for the factor once. Keep them; they are not shown again.
    #[schema(format = Password)]
    pub recovery_codes: Vec<String>,
    /// The factor that they stand for.
    pub second_factor: SecondFactorView,
}

async fn renew(app: &App, (holder, session): (Holder, SessionId)) -> Result<Created<Receipted<RenewedRecoveryCodes>>> {
    let (recovery_codes, hashes) = recovery_code::draw(app.db.entropy());
    let mut change = AccountChange::begin(app, holder, "renew_recovery_codes").await?;
    let now = change.tx.now();
    store::fresh_step_up(change.tx.conn(), session, now).await?;
    let factor = store::factor_in_use(change.tx.conn(), holder.account()).await?.ok_or(Error::SecondFactorRequired)?.id;
    store::renew_codes(change.tx.conn(), factor, &hashes, now).await?;
    change.note(Change::RecoveryCodes(factor)).await?;
    let renewed = store::factor_in_use(change.tx.conn(), holder.account()).await?.ok_or(Error::SecondFactorRequired)?;
    let receipt = change.commit().await?;
    let value = RenewedRecoveryCodes { recovery_codes, second_factor: renewed.into() };
    Ok(Created::at(format!("{}me", surface(holder).prefix()), Receipted { value, receipt }))
}

/// Draws new recovery codes of the caller; needs step-up.
#[utoipa::path(post, path = "/api/v1/me/recovery-codes", request_body = NewRecoveryCodes,
    responses((status = 201, body = Receipted<RenewedRecoveryCodes>, description = "Drawn; those before have ended.")))]
pub(super) async fn renew_recovery_codes(
    State(app): State<App>,
    caller: InstitutionCaller,
    Json(NewRecoveryCodes {}): Json<NewRecoveryCodes>,
) -> Result<Created<Receipted<RenewedRecoveryCodes>>> {
    renew(&app, holder(&caller)?).await
}

/// Draws new recovery codes of the ops caller; needs step-up.
#[utoipa::path(post, path = "/api/admin/v1/me/recovery-codes", request_body = NewRecoveryCodes,
    responses((status = 201, body = Receipted<RenewedRecoveryCodes>, description = "Drawn; those before have ended.")))]
pub(super) async fn renew_ops_recovery_codes(
    State(app): State<App>,
    caller: OpsCaller,
    Json(NewRecoveryCodes {}): Json<NewRecoveryCodes>,
) -> Result<Created<Receipted<RenewedRecoveryCodes>>> {
    renew(&app, ops_holder(&caller)?).await
}
