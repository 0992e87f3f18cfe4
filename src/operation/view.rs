//! An operation as it is shown, and the answer that accepts one.

use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::base::{Error, Instant, OperationId};
use crate::http::Json;

crate::words! {
    /// Where an operation stands.
    pub enum OperationState {
        /// It has not begun.
        Waiting = "waiting",
        /// It is under way.
        Running = "running",
        /// Its result is there.
        Done = "done",
        /// It will not be done; the problem says why.
        Failed = "failed",
    }
}

/// How far an operation is.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct Progress {
    /// Steps done; of a report, rows.
    pub done: i64,
    /// Steps in all; null until it is known.
    pub total: Option<i64>,
}

/// What came of an operation.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct OperationResult {
    /// Where it can be fetched.
    pub location: String,
    /// Its media type.
    pub media_type: String,
    /// Bytes.
    pub length: i64,
}

/// Slow work and how far it is.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct OperationView {
    /// Id.
    pub id: OperationId,
    /// What is done, such as decision-report.
    pub kind: String,
    /// What was asked for.
    #[schema(value_type = Object)]
    pub request: Value,
    /// Where it stands.
    pub state: OperationState,
    /// How far it is.
    pub progress: Progress,
    /// When it was asked for.
    pub created_at: Instant,
    /// When it ended.
    pub ended_at: Option<Instant>,
    /// Until when it is kept.
    pub expires_at: Instant,
    /// What came of it, once it is done.
    pub result: Option<OperationResult>,
    /// Why it failed: type, title, status and detail.
    #[schema(value_type = Option<Object>)]
    pub problem: Option<Value>,
}

/// 202 with `Location` and the operation.
#[derive(Debug)]
pub struct Accepted(pub OperationView);

impl IntoResponse for Accepted {
    fn into_response(self) -> Response {
        let location = format!("/api/v1/operations/{}", self.0.id);
        let mut response = Json(self.0).into_response();
        if response.status() == StatusCode::OK {
            *response.status_mut() = StatusCode::ACCEPTED;
        }
        match HeaderValue::try_from(location) {
            Ok(location) => {
                response.headers_mut().insert(LOCATION, location);
                response
            }
            Err(error) => Error::internal(error).into_response(),
        }
    }
}
