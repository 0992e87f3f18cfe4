//! `/.well-known/jwks.json`: the public keys by which anyone checks a permit's origin (RFC 7517).

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use crate::app::App;
use crate::base::Result;
use crate::db::{LogId, Role};
use crate::export::store;
use crate::http::Json;

/// A JSON Web Key Set.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct PermitKeySet {
    /// Public keys, oldest first.
    #[schema(value_type = Vec<Object>)]
    pub keys: Vec<Value>,
}

/// Gives the public keys of permits.
#[utoipa::path(get, path = "/.well-known/jwks.json", responses((status = 200, body = PermitKeySet, description = "The key set.")))]
pub(super) async fn get_permit_keys(State(app): State<App>) -> Result<impl IntoResponse> {
    let mut read = app.db.read(Role::Gate, "permit_keys", LogId::REGISTRY).await?;
    let mut keys = store::published_keys(read.conn()).await?;
    if keys.is_empty() {
        keys = vec![json!(app.permits.key_set().keys.first())];
    }
    Ok(([(CACHE_CONTROL, "public, max-age=300")], Json(PermitKeySet { keys })))
}
