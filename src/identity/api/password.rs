//! Changing the own password: with step-up, by the person alone, told to all customers of the person.
//! Every other session of the person ends. Nobody else can set it, and no ops person can at all.

use axum::extract::State;

use super::session::{holder, ops_holder, surface};
use crate::app::App;
use crate::base::{Error, Faults, Instant, Result, SessionId};
use crate::evidence::Receipted;
use crate::http::{Created, Json};
use crate::identity::account_change::{AccountChange, Change};
use crate::identity::caller::{InstitutionCaller, OpsCaller};
use crate::identity::decide;
use crate::identity::model::Secret;
use crate::identity::store::{self, Holder};

crate::request! {
    /// A new password.
    pub struct NewPassword {
        /// At least 12 characters.
        password: Secret,
    }
}

/// A password that was changed.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct ChangedPassword {
    /// When.
    pub changed_at: Instant,
}

async fn change(app: &App, (holder, session): (Holder, SessionId), body: &NewPassword) -> Result<Created<Receipted<ChangedPassword>>> {
    let mut faults = Faults::default();
    decide::new_password(body.password.length(), &mut faults);
    faults.check()?;
    let mut read = app.db.read(holder.role(), "may_change_password", holder.home()).await?;
    let now = read.now();
    store::fresh_step_up(read.conn(), session, now).await?;
    drop(read);
    let hash = app.passwords.hash(&body.password, app.db.entropy()).await?;
    let mut change = AccountChange::begin(app, holder, "change_password").await?;
    let now = change.tx.now();
    if !store::change_password(change.tx.conn(), session, &hash, now).await? {
        return Err(Error::StepUpRequired);
    }
    change.note(Change::Password).await?;
    let receipt = change.commit().await?;
    let location = format!("{}me", surface(holder).prefix());
    Ok(Created::at(location, Receipted { value: ChangedPassword { changed_at: now }, receipt }))
}

/// Changes the caller's password; needs step-up.
#[utoipa::path(post, path = "/api/v1/me/passwords", request_body = NewPassword,
    responses((status = 201, body = Receipted<ChangedPassword>, description = "Changed; every other session of the person has ended.")))]
pub(super) async fn change_password(
    State(app): State<App>,
    caller: InstitutionCaller,
    Json(body): Json<NewPassword>,
) -> Result<Created<Receipted<ChangedPassword>>> {
    change(&app, holder(&caller)?, &body).await
}

/// Changes the ops caller's password; needs step-up.
#[utoipa::path(post, path = "/api/admin/v1/me/passwords", request_body = NewPassword,
    responses((status = 201, body = Receipted<ChangedPassword>, description = "Changed; every other session of the person has ended.")))]
pub(super) async fn change_ops_password(
    State(app): State<App>,
    caller: OpsCaller,
    Json(body): Json<NewPassword>,
) -> Result<Created<Receipted<ChangedPassword>>> {
    change(&app, ops_holder(&caller)?, &body).await
}
