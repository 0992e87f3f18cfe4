//! What a platform reports of an export: complete, with counts and the digest of what was
//! delivered, or aborted. A report is no decision; it changes nothing that was permitted. What
//! differs from what the chunks authorised is recorded with it and told to the customer.

use axum::extract::State;
use axum::response::Response;
use serde_json::json;

use super::answer::{ReportView, answer, hashes};
use crate::app::App;
use crate::base::{Digest, Error, ExportId, Reference, Result, Volume};
use crate::db::{LogId, Role};
use crate::export::gate::{self, Ask, Asked, Delivered};
use crate::export::store;
use crate::http::{IdempotencyKey, Json, PathId};
use crate::identity::PlatformCaller;

crate::request! {
    /// What was delivered.
    pub struct NewCompletion {
        /// Records.
        rows: Option<u64>,
        /// Files.
        files: Option<u64>,
        /// Bytes.
        bytes: Option<u64>,
        /// SHA-256 of what was delivered.
        sha256: Digest,
    }
}

crate::request! {
    /// What had been delivered when it was aborted.
    pub struct NewAbortion {
        /// Records.
        rows: Option<u64>,
        /// Files.
        files: Option<u64>,
        /// Bytes.
        bytes: Option<u64>,
    }
}

/// Reports an export complete.
///
/// Every dimension that its chunks state must be stated and agree with them; a difference, and a
/// completion without a chunk, is told to the customer. An export that the service has closed because
/// nothing was heard of it stays closed, and one that is void since a restore stays void: its report is
/// recorded once, told to the customer, and answered with the state `swept` or `voided`.
#[utoipa::path(post, path = "/gate/v1/exports/{export_id}/completions",
    params(("export_id" = ExportId, Path, description = "The export"), ("Idempotency-Key" = String, Header, description = "One key per report")),
    request_body = NewCompletion, responses((status = 201, body = ReportView, description = "Recorded.")))]
pub(super) async fn complete_export(
    State(app): State<App>,
    caller: PlatformCaller,
    PathId(export): PathId<ExportId>,
    key: IdempotencyKey,
    Json(body): Json<NewCompletion>,
) -> Result<Response> {
    let hashes = hashes(&key, &json!({"export": export, "body": body}));
    let volume = Volume { rows: body.rows, files: body.files, bytes: body.bytes };
    report(&app, caller, Ask::Complete(Delivered { export, volume, sha256: body.sha256 }), export, hashes).await
}

/// Reports an export aborted.
#[utoipa::path(post, path = "/gate/v1/exports/{export_id}/abortions",
    params(("export_id" = ExportId, Path, description = "The export"), ("Idempotency-Key" = String, Header, description = "One key per report")),
    request_body = NewAbortion, responses((status = 201, body = ReportView, description = "Recorded.")))]
pub(super) async fn abort_export(
    State(app): State<App>,
    caller: PlatformCaller,
    PathId(export): PathId<ExportId>,
    key: IdempotencyKey,
    Json(body): Json<NewAbortion>,
) -> Result<Response> {
    let hashes = hashes(&key, &json!({"export": export, "body": body}));
    let delivered = Volume { rows: body.rows, files: body.files, bytes: body.bytes };
    report(&app, caller, Ask::Abort { export, delivered }, export, hashes).await
}

async fn report(app: &App, caller: PlatformCaller, ask: Ask, export: ExportId, hashes: (Digest, Digest)) -> Result<Response> {
    let mut read = app.db.read(Role::Gate, "customer_of_export", LogId::REGISTRY).await?;
    let customer = store::customer_of_export(read.conn(), &caller.platform, export).await?.ok_or(Error::NotFound)?;
    drop(read);
    let customer_named: Reference = customer.to_string().parse().map_err(Error::internal)?;
    let asked = Asked { caller, customer_named, ask, hashes };
    answer(gate::answer(app, customer, &asked).await?)
}
