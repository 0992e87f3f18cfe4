//! `/.well-known/log-keys.json`: the public keys by which anyone checks checkpoints and receipts,
//! past ones included: what a key signed must be verifiable for ever.

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::decide::{LogKey, LogKeyState};
use super::super::store;
use crate::app::App;
use crate::base::{Instant, Result};
use crate::db::{LogId, Role};
use crate::http::Json;

/// A public key of the logs.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct LogKeyView {
    /// Its id: SHA-256 of the public key's bytes, in hexadecimal digits.
    pub kid: String,
    /// Always `Ed25519` (RFC 8032).
    pub algorithm: &'static str,
    /// The 32 bytes in base64. In a signed note the key's name is the origin of the log.
    pub public_key: String,
    /// Where it stands in its life.
    pub state: LogKeyState,
    /// Since when it is published.
    pub published_at: Instant,
    /// Since when it signs, or signed.
    pub activated_at: Option<Instant>,
    /// Since when another signs.
    pub retired_at: Option<Instant>,
    /// Since when of what it signed only what was kept elsewhere before counts.
    pub withdrawn_at: Option<Instant>,
}

impl From<LogKey> for LogKeyView {
    fn from(key: LogKey) -> Self {
        Self {
            state: key.state(),
            kid: key.kid,
            algorithm: "Ed25519",
            public_key: STANDARD.encode(key.public_key),
            published_at: key.published_at,
            activated_at: key.activated_at,
            retired_at: key.retired_at,
            withdrawn_at: key.withdrawn_at,
        }
    }
}

/// Every public key of the logs.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct LogKeys {
    /// Public keys, oldest first.
    pub keys: Vec<LogKeyView>,
}

/// Gives the public keys of the logs, past ones included.
#[utoipa::path(get, path = "/.well-known/log-keys.json", responses((status = 200, body = LogKeys, description = "The keys.")))]
pub(super) async fn get_log_keys(State(app): State<App>) -> Result<impl IntoResponse> {
    let mut read = app.db.read(Role::Gate, "log_keys", LogId::REGISTRY).await?;
    let keys = store::log_keys(read.conn()).await?.into_iter().map(LogKeyView::from).collect();
    Ok(([(CACHE_CONTROL, "public, max-age=60")], Json(LogKeys { keys })))
}
