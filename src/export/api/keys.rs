//! `/.well-known/jwks.json`: the public keys by which anyone checks a permit's origin (RFC 7517).
//! A withdrawn key is out of it at once, so a copy must not be kept longer than it says.

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use serde_json::Value;

use crate::app::App;
use crate::base::Result;
use crate::db::{LogId, Role};
use crate::export::{KEY_SET_MAX_AGE, permit_keys};
use crate::http::Json;

/// A JSON Web Key Set. A copy may be used for 60 s.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct PermitKeys {
    /// Public keys, oldest first.
    #[schema(value_type = Vec<Object>)]
    pub keys: Vec<Value>,
}

/// Gives the public keys of permits.
#[utoipa::path(get, path = "/.well-known/jwks.json", responses((status = 200, body = PermitKeys, description = "The key set.")))]
pub(super) async fn get_permit_keys(State(app): State<App>) -> Result<impl IntoResponse> {
    let mut read = app.db.read(Role::Gate, "permit_keys", LogId::REGISTRY).await?;
    let now = read.now();
    let keys = permit_keys(read.conn()).await?;
    let keys = keys.into_iter().filter(|key| key.is_in_set(now)).map(|key| key.public_key).collect();
    Ok(([(CACHE_CONTROL, format!("public, max-age={KEY_SET_MAX_AGE}"))], Json(PermitKeys { keys })))
}
