//! Accepting an invitation: a one-time token from a mail, and a first password. The person alone
//! sets it; nobody else's token, and no ops person, can.

use axum::extract::State;

use crate::app::App;
use crate::base::{Error, Faults, Result};
use crate::db::{LogId, Role};
use crate::http::{Created, Json};
use crate::identity::decide;
use crate::identity::model::Secret;
use crate::identity::store::{self, Invitee};
use crate::identity::token;

crate::request! {
    /// An invitation that is accepted.
    pub struct NewInvitationAcceptance {
        /// The token from the mail.
        token: Secret,
        /// The first password, at least 12 characters.
        password: Secret,
    }
}

/// An invitation that was accepted.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct AcceptedInvitation {
    /// Always true.
    pub accepted: bool,
}

async fn accept(app: &App, role: Role, body: &NewInvitationAcceptance) -> Result<Created<AcceptedInvitation>> {
    let mut faults = Faults::default();
    decide::new_password(body.password.length(), &mut faults);
    let unknown = "is not an invitation that can be accepted: unknown, used, or past its seven days";
    let hash = token::hash(body.token.expose());
    let mut tx = app.db.read(role, "invitation", LogId::PROCESSOR).await?;
    let now = tx.now();
    let invitee = store::open_invitation(tx.conn(), hash, now).await?;
    drop(tx);
    let is_for_surface = match invitee {
        Some(Invitee::Person(_)) => role == Role::App,
        Some(Invitee::Ops(_)) => role == Role::Ops,
        None => false,
    };
    if !is_for_surface {
        faults.add_at("token", "invitation", unknown);
    }
    faults.check()?;
    let password = app.passwords.hash(&body.password, app.db.entropy()).await?;
    let mut tx = app.db.housekeeping(role, "accept_invitation", LogId::PROCESSOR).await?;
    let now = tx.now();
    if !store::accept(tx.conn(), hash, &password, now).await? {
        return Err(Error::invalid("token", "invitation", unknown));
    }
    tx.commit_housekeeping().await?;
    Ok(Created::at("/api/v1/sessions", AcceptedInvitation { accepted: true }))
}

/// Accepts an invitation to a customer and sets the first password.
#[utoipa::path(post, path = "/api/v1/invitation-acceptances", request_body = NewInvitationAcceptance,
    responses((status = 201, body = AcceptedInvitation, description = "Accepted: log in with the password.")))]
pub(super) async fn accept_invitation(
    State(app): State<App>,
    Json(body): Json<NewInvitationAcceptance>,
) -> Result<Created<AcceptedInvitation>> {
    accept(&app, Role::App, &body).await
}

/// Accepts an invitation to the processor's staff and sets the first password.
#[utoipa::path(post, path = "/api/admin/v1/invitation-acceptances", request_body = NewInvitationAcceptance,
    responses((status = 201, body = AcceptedInvitation, description = "Accepted: log in with the password.")))]
pub(super) async fn accept_ops_invitation(
    State(app): State<App>,
    Json(body): Json<NewInvitationAcceptance>,
) -> Result<Created<AcceptedInvitation>> {
    accept(&app, Role::Ops, &body).await
}
