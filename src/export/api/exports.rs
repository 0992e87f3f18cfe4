//! What a customer sees of its exports: what was permitted, exactly what left so far, whether it
//! runs, stopped or ended, and what differs. References of files are shown here and nowhere else.

use axum::extract::State;
use serde_json::Value;

use crate::app::App;
use crate::base::{Code, Error, ExportId, Instant, InstructionId, Page, Result, TypedId, Volume, from_value};
use crate::db::Role;
use crate::evidence::Reconciliation;
use crate::export::store::read::{ChunkRow, ExportRow, chunks, exports};
use crate::http::{Json, PathId, Query};
use crate::identity::InstitutionCaller;

crate::words! {
    /// Where an export stands.
    pub enum ExportState {
        /// The permit waits to be redeemed.
        Permitted = "permitted",
        /// The permit was not redeemed in time.
        Expired = "expired",
        /// The permit is redeemed; chunks may be asked for.
        Running = "running",
        /// The last chunk asked for was refused for a reason that stops the export.
        Stopped = "stopped",
        /// Reported complete.
        Completed = "completed",
        /// Aborted.
        Aborted = "aborted",
        /// Closed by the service, because it had never ended.
        Swept = "swept",
        /// Void since a restore of the service's data opened another epoch of the log.
        Voided = "voided",
    }
}

/// One hand-out of personal data.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct ExportView {
    /// Id.
    pub id: ExportId,
    /// Where it stands.
    pub state: ExportState,
    /// The platform.
    pub platform: Code,
    /// The cited instruction.
    pub instruction: InstructionId,
    /// Its version.
    pub instruction_version: i32,
    /// What was asked, without subjects.
    #[schema(value_type = Object)]
    pub request: Value,
    /// When it was permitted.
    pub permitted_at: Instant,
    /// Until when the permit could be redeemed.
    pub expires_at: Instant,
    /// When it was redeemed.
    pub redeemed_at: Option<Instant>,
    /// How many chunks were authorised: all that could leave so far.
    pub chunks: i64,
    /// The sum of them; a dimension that no chunk stated is absent.
    pub authorised: Volume,
    /// The number of the chunk authorised last.
    pub last_chunk_no: Option<i64>,
    /// When it was authorised.
    pub last_chunk_at: Option<Instant>,
    /// The platform's reference of the last file in it.
    pub last: Option<String>,
    /// Since when it is stopped.
    pub stopped_at: Option<Instant>,
    /// Index of the decision that stopped it.
    pub stopped_index: Option<i64>,
    /// When it was reported complete.
    pub completed_at: Option<Instant>,
    /// When it was aborted.
    pub aborted_at: Option<Instant>,
    /// When the service closed it, because it had never ended.
    pub swept_at: Option<Instant>,
    /// What the platform reported.
    #[schema(value_type = Option<Object>)]
    pub report: Option<Value>,
    /// What the platform reported after the service had closed the export or a restore had made it void, and
    /// how it agrees with the chunks.
    #[schema(value_type = Option<Object>)]
    pub late_report: Option<Value>,
    /// How the report agrees with the chunks; null until it ends.
    pub reconciliation: Option<Reconciliation>,
    /// Index of the decision in the customer's log.
    pub index: i64,
}

const fn state(row: &ExportRow, expired: bool) -> ExportState {
    match row {
        ExportRow { completed_at: Some(_), .. } => ExportState::Completed,
        ExportRow { aborted_at: Some(_), .. } => ExportState::Aborted,
        ExportRow { swept_at: Some(_), .. } => ExportState::Swept,
        ExportRow { voided: true, .. } => ExportState::Voided,
        ExportRow { stopped_at: Some(_), .. } => ExportState::Stopped,
        ExportRow { redeemed_at: Some(_), .. } => ExportState::Running,
        _ if expired => ExportState::Expired,
        _ => ExportState::Permitted,
    }
}

fn volume(rows: Option<i64>, files: Option<i64>, bytes: Option<i64>) -> Result<Volume> {
    let count = |n: Option<i64>| n.map(u64::try_from).transpose().map_err(Error::internal);
    Ok(Volume { rows: count(rows)?, files: count(files)?, bytes: count(bytes)? })
}

impl ExportView {
    fn of(row: ExportRow, now: Instant) -> Result<Self> {
        let reconciled = row.report.as_ref().and_then(|report| report.get("reconciled"));
        let reconciliation = reconciled.map(from_value).transpose().map_err(Error::internal)?;
        Ok(Self {
            id: row.id,
            state: state(&row, now >= row.expires_at),
            platform: row.platform,
            instruction: row.instruction,
            instruction_version: row.instruction_version,
            request: row.request,
            permitted_at: row.decided_at,
            expires_at: row.expires_at,
            redeemed_at: row.redeemed_at,
            chunks: row.chunks,
            authorised: volume(row.chunk_rows, row.chunk_files, row.chunk_bytes)?,
            last_chunk_no: row.last_chunk_no,
            last_chunk_at: row.last_chunk_at,
            last: row.last_reference,
            stopped_at: row.stopped_at,
            stopped_index: row.stopped_index,
            completed_at: row.completed_at,
            aborted_at: row.aborted_at,
            swept_at: row.swept_at,
            report: row.report,
            late_report: row.late_report,
            reconciliation,
            index: row.index,
        })
    }
}

/// One chunk that was authorised.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct ChunkView {
    /// The platform's number of it.
    pub chunk_no: i64,
    /// What could leave with it.
    pub volume: Volume,
    /// The platform's reference of the last file in it.
    pub last: Option<String>,
    /// When it was authorised.
    pub authorised_at: Instant,
    /// Index of the decision in the customer's log.
    pub index: i64,
}

impl ChunkView {
    fn of(row: ChunkRow) -> Result<Self> {
        let volume = volume(row.rows, row.files, row.bytes)?;
        Ok(Self { chunk_no: row.chunk_no, volume, last: row.last_reference, authorised_at: row.authorised_at, index: row.index })
    }
}

/// Lists exports, oldest first.
#[utoipa::path(get, path = "/api/v1/exports", params(("limit" = Option<u32>, Query, description = "1 to 100"), ("cursor" = Option<String>, Query, description = "From the page before")),
    responses((status = 200, body = Page<ExportView>, description = "A page of exports.")))]
pub(super) async fn list_exports(State(app): State<App>, caller: InstitutionCaller, query: Query) -> Result<Json<Page<ExportView>>> {
    let page = query.page(&format!("exports:{}", caller.customer()))?;
    let mut read = app.db.read(Role::App, "list_exports", caller.log()).await?;
    let now = read.now();
    let rows = exports(read.conn(), caller.customer(), None, Some(&page)).await?;
    let views = rows.into_iter().map(|row| ExportView::of(row, now)).collect::<Result<_>>()?;
    Ok(Json(page.page(views, |view: &ExportView| view.id.uuid())))
}

/// Shows an export, with exactly what could leave of it so far.
#[utoipa::path(get, path = "/api/v1/exports/{export_id}", params(("export_id" = ExportId, Path, description = "The export")),
    responses((status = 200, body = ExportView, description = "The export.")))]
pub(super) async fn get_export(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId(export): PathId<ExportId>,
) -> Result<Json<ExportView>> {
    let mut read = app.db.read(Role::App, "get_export", caller.log()).await?;
    let now = read.now();
    let row = exports(read.conn(), caller.customer(), Some(export), None).await?.into_iter().next();
    ExportView::of(row.ok_or(Error::NotFound)?, now).map(Json)
}

/// Lists the chunks of an export that were authorised, by their numbers.
#[utoipa::path(get, path = "/api/v1/exports/{export_id}/chunks",
    params(("export_id" = ExportId, Path, description = "The export"), ("limit" = Option<u32>, Query, description = "1 to 100"), ("cursor" = Option<String>, Query, description = "From the page before")),
    responses((status = 200, body = Page<ChunkView>, description = "A page of chunks.")))]
pub(super) async fn list_chunks(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId(export): PathId<ExportId>,
    query: Query,
) -> Result<Json<Page<ChunkView>>> {
    let page = query.page(&format!("chunks:{}:{export}", caller.customer()))?;
    let mut read = app.db.read(Role::App, "list_chunks", caller.log()).await?;
    exports(read.conn(), caller.customer(), Some(export), None).await?.first().ok_or(Error::NotFound)?;
    let rows = chunks(read.conn(), caller.customer(), export, &page).await?;
    let page = page.page(rows, ChunkRow::place);
    let data = page.data.into_iter().map(ChunkView::of).collect::<Result<_>>()?;
    Ok(Json(Page { data, next_cursor: page.next_cursor }))
}
