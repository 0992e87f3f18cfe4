//! Changing the own e-mail address: asked for with step-up, proved by a token that was mailed to it,
//! in a session with step-up too, and told to the old address and all customers of the person both
//! times. Whether the address has an account is told to nobody but the reader of its mail.

use axum::extract::State;

use super::session::{holder, ops_holder, surface};
use crate::app::App;
use crate::base::{Email, Error, Instant, Result, SessionId};
use crate::evidence::Receipted;
use crate::http::{Created, Json};
use crate::identity::account_change::{AccountChange, Change};
use crate::identity::caller::{InstitutionCaller, OpsCaller};
use crate::identity::decide::EMAIL_PROOF;
use crate::identity::model::Secret;
use crate::identity::notice::mail_to_new_address;
use crate::identity::store::{self, Holder};
use crate::identity::token;

crate::request! {
    /// Another e-mail address.
    pub struct NewEmailChange {
        /// The new address, lower case.
        email: Email,
    }
}

crate::request! {
    /// The proof of a new e-mail address.
    pub struct NewEmailConfirmation {
        /// The token from the mail.
        token: Secret,
    }
}

/// A change that waits for its proof.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct BegunEmailChange {
    /// The new address.
    pub email: Email,
    /// Until when it can be proved; asking again ends it too.
    pub expires_at: Instant,
}

/// An address that was changed.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct ChangedEmail {
    /// The address to log in with from now on.
    pub email: Email,
    /// When.
    pub changed_at: Instant,
}

async fn begin(
    app: &App,
    (holder, session): (Holder, SessionId),
    NewEmailChange { email }: NewEmailChange,
) -> Result<Created<Receipted<BegunEmailChange>>> {
    let mut change = AccountChange::begin(app, holder, "begin_email_change").await?;
    let now = change.tx.now();
    let expires_at = now.plus(EMAIL_PROOF);
    let (text, hash) = token::draw(token::EMAIL_CHANGE, change.tx.entropy());
    let free = store::begin_email_change(change.tx.conn(), session, (&email, hash), (now, expires_at)).await?;
    let route = format!("POST {}me/email-confirmations", surface(holder).prefix());
    mail_to_new_address(&mut change.tx, holder.account().uuid(), email.clone(), free.then_some((text, route, expires_at))).await?;
    change.note(Change::EmailAsked).await?;
    let receipt = change.commit().await?;
    Ok(Created::at(format!("{}me", surface(holder).prefix()), Receipted { value: BegunEmailChange { email, expires_at }, receipt }))
}

async fn confirm(
    app: &App,
    (holder, session): (Holder, SessionId),
    body: &NewEmailConfirmation,
) -> Result<Created<Receipted<ChangedEmail>>> {
    let mut change = AccountChange::begin(app, holder, "change_email").await?;
    let now = change.tx.now();
    store::fresh_step_up(change.tx.conn(), session, now).await?;
    // Before the change, so that the old address is told.
    change.note(Change::Email).await?;
    let proved = store::change_email(change.tx.conn(), session, token::hash(body.token.expose()), now).await?;
    let unknown = "is not the token of a change that you asked for: unknown, used, replaced, or past its 24 hours";
    let email = proved.ok_or_else(|| Error::invalid("token", "email_change", unknown))?;
    let receipt = change.commit().await?;
    Ok(Created::at(format!("{}me", surface(holder).prefix()), Receipted { value: ChangedEmail { email, changed_at: now }, receipt }))
}

/// Asks for another e-mail address of the caller; needs step-up.
///
/// A token is mailed to it. The answer is the same for an address that has an account already: its
/// reader is told, and no token leaves.
#[utoipa::path(post, path = "/api/v1/me/email-changes", request_body = NewEmailChange,
    responses((status = 201, body = Receipted<BegunEmailChange>, description = "A mail is on its way to the new address; nothing has changed yet.")))]
pub(super) async fn begin_email_change(
    State(app): State<App>,
    caller: InstitutionCaller,
    Json(body): Json<NewEmailChange>,
) -> Result<Created<Receipted<BegunEmailChange>>> {
    begin(&app, holder(&caller)?, body).await
}

/// Proves the caller's new e-mail address; needs step-up.
#[utoipa::path(post, path = "/api/v1/me/email-confirmations", request_body = NewEmailConfirmation,
    responses((status = 201, body = Receipted<ChangedEmail>, description = "Changed; every other session of the person has ended.")))]
pub(super) async fn confirm_email(
    State(app): State<App>,
    caller: InstitutionCaller,
    Json(body): Json<NewEmailConfirmation>,
) -> Result<Created<Receipted<ChangedEmail>>> {
    confirm(&app, holder(&caller)?, &body).await
}

/// Asks for another e-mail address of the ops caller; needs step-up.
///
/// A token is mailed to it. The answer is the same for an address that has an account already: its
/// reader is told, and no token leaves.
#[utoipa::path(post, path = "/api/admin/v1/me/email-changes", request_body = NewEmailChange,
    responses((status = 201, body = Receipted<BegunEmailChange>, description = "A mail is on its way to the new address; nothing has changed yet.")))]
pub(super) async fn begin_ops_email_change(
    State(app): State<App>,
    caller: OpsCaller,
    Json(body): Json<NewEmailChange>,
) -> Result<Created<Receipted<BegunEmailChange>>> {
    begin(&app, ops_holder(&caller)?, body).await
}

/// Proves the ops caller's new e-mail address; needs step-up.
#[utoipa::path(post, path = "/api/admin/v1/me/email-confirmations", request_body = NewEmailConfirmation,
    responses((status = 201, body = Receipted<ChangedEmail>, description = "Changed; every other session of the person has ended.")))]
pub(super) async fn confirm_ops_email(
    State(app): State<App>,
    caller: OpsCaller,
    Json(body): Json<NewEmailConfirmation>,
) -> Result<Created<Receipted<ChangedEmail>>> {
    confirm(&app, ops_holder(&caller)?, &body).await
}
