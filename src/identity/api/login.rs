//! Logging in, on both surfaces: e-mail and password (for ops the second factor too) against a
//! random token. Unknown and known persons take the same path and get the same answer; guessing is
//! slowed down per account and address, and a flood is turned away before it costs anything. A
//! customer's person shows the factor at step-up; until then a session reads and stops things.

use axum::extract::State;

use super::proof::{Known, Presented, counted, proved};
use crate::app::App;
use crate::base::{CustomerId, Email, Error, Fault, Instant, Result, SessionId, fresh_id};
use crate::db::{LogId, Role};
use crate::http::{ClientAddress, Created, Json, Surface};
use crate::identity::decide::membership_acts;
use crate::identity::model::Secret;
use crate::identity::store::{self, Act, Attempt, Holder};
use crate::identity::token;

crate::request! {
    /// A login of a person of a customer.
    pub struct NewSession {
        /// E-mail.
        email: Email,
        /// Password.
        password: Secret,
        /// Which customer to act for, where the person serves several; naming one accepts its invitation.
        customer: Option<CustomerId>,
    }
}

crate::request! {
    /// A login of an ops person.
    pub struct NewOpsSession {
        /// E-mail.
        email: Email,
        /// Password.
        password: Secret,
        /// A code of the second factor, or a recovery code; absent only before one is enrolled.
        code: Option<Secret>,
    }
}

/// A session that was just made: the only time its token is shown.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct CreatedSession {
    /// Its id.
    pub id: SessionId,
    /// The token: send it as `Authorization: Bearer`.
    #[schema(format = Password)]
    pub token: String,
    /// The customer it acts for; null for ops.
    pub customer: Option<CustomerId>,
    /// The role.
    pub role: String,
    /// Absolute end; 30 minutes without use end it too.
    pub expires_at: Instant,
}

/// Logs a person of a customer in.
#[utoipa::path(post, path = "/api/v1/sessions", request_body = NewSession,
    responses((status = 201, body = CreatedSession, description = "Logged in."), (status = 401, description = "Unknown e-mail or wrong password.")))]
pub(super) async fn log_in(State(app): State<App>, client: ClientAddress, Json(body): Json<NewSession>) -> Result<Created<CreatedSession>> {
    let place = app.passwords.place()?;
    let attempt = Attempt::of(Surface::Institution, Act::LogIn, &body.email, client);
    counted(&app, Role::App, &attempt).await?;
    let mut tx = app.db.read(Role::App, "credential", LogId::PROCESSOR).await?;
    let found = store::credential_of_email(tx.conn(), &body.email).await?;
    drop(tx);
    let known = found.as_ref().map(|credential| Known { credential, holder: None });
    proved(&app, Role::App, place, &attempt, Presented { password: &body.password, code: None }, known).await?;
    let person = found.and_then(|credential| credential.account.person()).ok_or(Error::Unauthenticated)?;
    let mut tx = app.db.read(Role::App, "memberships", LogId::PROCESSOR).await?;
    let now = tx.now();
    let mut bindings = store::memberships_of(tx.conn(), person).await?;
    drop(tx);
    bindings.retain(|b| b.zone.parse().is_ok_and(|zone| membership_acts(b.until_on, zone, now)));
    match body.customer {
        Some(customer) => bindings.retain(|b| b.customer == customer),
        // An invitation from elsewhere makes no login ambiguous, and is accepted by naming its customer.
        None if bindings.iter().any(|b| b.accepted) => bindings.retain(|b| b.accepted),
        None => {}
    }
    if bindings.len() > 1 {
        let choices: Vec<String> = bindings.iter().map(|b| format!("{} ({})", b.customer, b.customer_name)).collect();
        let detail = format!("is required, because you serve several customers: {}", choices.join(", "));
        return Err(Error::Invalid(vec![Fault { pointer: "/customer".to_owned(), code: "required", detail }]));
    }
    let binding = bindings.into_iter().next().ok_or(Error::Unauthenticated)?;
    let holder = Holder::Member { customer: binding.customer, person, membership: binding.membership };
    made(&app, holder, Some(binding.customer), binding.role).await
}

/// Logs an ops person in.
#[utoipa::path(post, path = "/api/admin/v1/sessions", request_body = NewOpsSession,
    responses((status = 201, body = CreatedSession, description = "Logged in; without a second factor, only to enrol one."), (status = 401, description = "Unknown e-mail, wrong password or wrong code.")))]
pub(super) async fn log_in_ops(
    State(app): State<App>,
    client: ClientAddress,
    Json(body): Json<NewOpsSession>,
) -> Result<Created<CreatedSession>> {
    let place = app.passwords.place()?;
    let attempt = Attempt::of(Surface::Admin, Act::LogIn, &body.email, client);
    counted(&app, Role::Ops, &attempt).await?;
    let mut tx = app.db.read(Role::Ops, "credential", LogId::PROCESSOR).await?;
    let found = store::credential_of_ops_email(tx.conn(), &body.email).await?;
    drop(tx);
    let holder = found.as_ref().and_then(|(credential, _)| credential.account.ops_person()).map(Holder::Ops);
    let known = found.as_ref().map(|(credential, _)| Known { credential, holder });
    proved(&app, Role::Ops, place, &attempt, Presented { password: &body.password, code: body.code.as_ref() }, known).await?;
    let ((_, role), holder) = found.zip(holder).ok_or(Error::Unauthenticated)?;
    made(&app, holder, None, role).await
}

async fn made(app: &App, holder: Holder, customer: Option<CustomerId>, role: String) -> Result<Created<CreatedSession>> {
    let mut tx = app.db.housekeeping(holder.role(), "log_in", holder.home()).await?;
    let now = tx.now();
    let (surface, prefix) = match holder {
        Holder::Member { .. } => ("/api/v1", token::SESSION),
        Holder::Ops(_) => ("/api/admin/v1", token::OPS_SESSION),
    };
    let (text, hash) = token::draw(prefix, app.db.entropy());
    let id: SessionId = fresh_id(now, app.db.entropy());
    let session = store::insert_session(tx.conn(), holder, id, hash, now).await?;
    tx.commit_housekeeping().await?;
    let view = CreatedSession { id, token: text, customer, role, expires_at: session.expires_at };
    Ok(Created::at(format!("{surface}/sessions/{id}"), view))
}
