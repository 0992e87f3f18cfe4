//! `POST /gate/v1/exports/{export_id}/chunks`: may this part of a running export leave now? Asked
//! before each chunk; a full decision each, so that what stops an export stops it at its next chunk.

use axum::extract::State;
use axum::response::Response;
use serde_json::json;

use super::answer::{ChunkAuthorisation, answer, hashes};
use super::ask::{platform_head, refuse_unknown};
use crate::app::App;
use crate::base::{Error, ExportId, Reference, Result, Volume, to_value};
use crate::db::{LogId, Role};
use crate::evidence::ReasonCode;
use crate::export::gate::{self, Ask, Asked, AskedChunk};
use crate::export::{store, touch};
use crate::http::{IdempotencyKey, Json, PathId, ProblemBody};
use crate::identity::PlatformCaller;

crate::request! {
    /// The next chunk of a running export.
    pub struct NewChunk {
        /// The platform's number of the chunk, once per export.
        chunk_no: u32,
        /// Records; must be stated if the permit states them.
        rows: Option<u64>,
        /// Files; must be stated if the permit states them.
        files: Option<u64>,
        /// Bytes; must be stated if the permit states them.
        bytes: Option<u64>,
        /// The platform's reference of the last file in it, so that the customer can be told how far an
        /// export came: pseudonymous, never a name.
        last: Option<Reference>,
    }
}

/// Asks whether the next chunk of a running export may leave.
///
/// All chunks together may not pass the permit's volume. A chunk that was allowed may be asked for
/// again with the same key for five minutes, and is decided again; its number under another key is
/// refused.
#[utoipa::path(post, path = "/gate/v1/exports/{export_id}/chunks",
    params(("export_id" = ExportId, Path, description = "The export"), ("Idempotency-Key" = String, Header, description = "One key per chunk")),
    request_body = NewChunk,
    responses((status = 201, body = ChunkAuthorisation, description = "The chunk may leave now."),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Refused, with every reason: nothing of the chunk may leave.")))]
pub(super) async fn authorise_chunk(
    State(app): State<App>,
    caller: PlatformCaller,
    PathId(export): PathId<ExportId>,
    key: IdempotencyKey,
    Json(body): Json<NewChunk>,
) -> Result<Response> {
    let hashes = hashes(&key, &json!({"export": export, "body": to_value(&body)}));
    let mut read = app.db.read(Role::Gate, "customer_of_export", LogId::REGISTRY).await?;
    let customer = store::customer_of_export(read.conn(), &caller.platform, export).await?;
    drop(read);
    let Some(customer) = customer else {
        let request = json!({"export": export, "chunk_no": body.chunk_no});
        touch::nobody(&app, &caller, &export.to_string(), None);
        let tx = platform_head(&app, &caller).await?;
        return refuse_unknown(&app, &caller, tx, request, ("chunks", hashes), ReasonCode::PermitNotRedeemed).await;
    };
    let customer_named: Reference = customer.to_string().parse().map_err(Error::internal)?;
    let volume = Volume { rows: body.rows, files: body.files, bytes: body.bytes };
    let ask = Ask::Chunk { export, chunk: AskedChunk { number: body.chunk_no, volume, last: body.last } };
    let asked = Asked { caller, customer_named, ask, hashes };
    answer(gate::answer(&app, customer, &asked).await?)
}
