//! Where the logs stand, and their entries one by one: a customer sees its own with every entry in
//! it, ops see every log's size and root, never content. What an entry commits to is not shown here;
//! each kind of record has a route of its own.

use axum::extract::State;

use super::super::summary;
use super::proofs::tree_of;
use crate::app::App;
use crate::base::{EntryId, Error, Instant, Page, Result, TypedId, from_value};
use crate::db::{LogId, Notary as _, Role};
use crate::evidence::{EntryFilter, LogView, Receipt, StoredEntry, entry_by_id, inclusion_proof, log_by_id, logs, page_of_entries};
use crate::http::{Json, PathId, Query};
use crate::identity::{InstitutionCaller, OpsCaller};

/// An entry of the customer's log: that something happened, when, by whom, about what.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct EntryView {
    /// Its id.
    pub id: EntryId,
    /// Index in the log.
    pub index: u64,
    /// When.
    pub at: Instant,
    /// What happened, such as `instruction.signed` or `ops.attempt_refused`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same in plain words.
    pub summary: String,
    /// Who acted: `mem_…` a member, `ops_…` staff of the processor, `key_…` a key, or `system`.
    pub actor: String,
    /// What it is about.
    pub object: String,
    /// For a refused attempt of the processor's staff: the operation that was tried.
    pub operation: Option<String>,
    /// Where the entry stands.
    pub receipt: Receipt,
}

impl EntryView {
    fn of(entry: &StoredEntry, log: &str) -> Result<Self> {
        let leaf: serde_json::Value = serde_json::from_slice(&entry.leaf).map_err(Error::internal)?;
        let member = |name: &str| from_value(leaf.get(name).unwrap_or(&serde_json::Value::Null)).map_err(Error::internal);
        let operation = entry.record.get("operation").and_then(|operation| operation.as_str()).map(str::to_owned);
        Ok(Self {
            id: entry.id,
            index: entry.index,
            at: entry.at,
            kind: entry.word.clone(),
            summary: summary(&entry.event()?),
            actor: member("actor")?,
            object: member("object")?,
            operation,
            receipt: entry.receipt(log),
        })
    }
}

/// An entry with what it takes to check that it stands in the log.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct EntryProofView {
    /// The entry.
    #[serde(flatten)]
    pub entry: EntryView,
    /// The leaf data: canonical JSON (RFC 8785). SHA-256 of `0x00` and its bytes is the leaf's hash.
    pub leaf: String,
    /// The inclusion path from the leaf upwards, in the log of the checkpoint in `proof` (RFC 6962).
    pub path: Vec<crate::base::Digest>,
    /// The same with the signed checkpoint, to be checked without the service (C2SP `tlog-proof`).
    pub proof: String,
}

/// Shows where the customer's log stands.
#[utoipa::path(get, path = "/api/v1/evidence/log", responses((status = 200, body = LogView, description = "Origin, size and root.")))]
pub(super) async fn get_log(State(app): State<App>, caller: InstitutionCaller) -> Result<Json<LogView>> {
    let mut read = app.db.read(Role::App, "get_log", caller.log()).await?;
    Ok(Json(log_by_id(read.conn(), caller.log()).await?))
}

/// Lists the entries of the customer's log, oldest first.
///
/// Everything that anybody did is here, acts and refused attempts of the processor's staff included.
#[utoipa::path(get, path = "/api/v1/evidence/entries",
    params(("limit" = Option<u32>, Query, description = "At most this many, 1 to 100 (25)."), ("cursor" = Option<String>, Query, description = "From the page before."),
        ("type" = Option<String>, Query, description = "Entries of this type only."),
        ("from_at" = Option<Instant>, Query, description = "Entries of this time and later only."),
        ("until_at" = Option<Instant>, Query, description = "Entries before this time only.")),
    responses((status = 200, body = Page<EntryView>, description = "One page.")))]
pub(super) async fn list_entries(State(app): State<App>, caller: InstitutionCaller, mut query: Query) -> Result<Json<Page<EntryView>>> {
    let filter = EntryFilter { word: query.optional("type"), from_at: query.optional("from_at"), until_at: query.optional("until_at") };
    let page = query.page(&format!("entries:{}", caller.customer()))?;
    let mut read = app.db.read(Role::App, "list_entries", caller.log()).await?;
    let rows = page_of_entries(read.conn(), caller.log(), &page, &filter).await?;
    let Page { data, next_cursor } = page.page(rows, |entry| entry.id.uuid());
    let name = caller.customer().to_string();
    let data = data.iter().map(|entry| EntryView::of(entry, &name)).collect::<Result<_>>()?;
    Ok(Json(Page { data, next_cursor }))
}

/// Shows one entry of the customer's log, with the proof that it stands there.
#[utoipa::path(get, path = "/api/v1/evidence/entries/{entry_id}",
    params(("entry_id" = EntryId, Path, description = "The entry.")),
    responses((status = 200, body = EntryProofView, description = "The entry and its proof.")))]
pub(super) async fn get_entry(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId(id): PathId<EntryId>,
) -> Result<Json<EntryProofView>> {
    let mut read = app.db.read(Role::App, "get_entry", caller.log()).await?;
    let entry = entry_by_id(read.conn(), caller.log(), id).await?;
    let signed = tree_of(&app, &mut read, caller.log(), entry.epoch).await?;
    let path = inclusion_proof(read.conn(), signed.tree, entry.index).await?;
    drop(read);
    Ok(Json(EntryProofView {
        entry: EntryView::of(&entry, &caller.customer().to_string())?,
        leaf: String::from_utf8(entry.leaf).map_err(Error::internal)?,
        proof: signed.proof(entry.index, path.clone()),
        path,
    }))
}

/// Where a log stands, signed.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct LogCheckpointView {
    /// Where it stands.
    #[serde(flatten)]
    pub log: LogView,
    /// The same as a signed note (C2SP `tlog-checkpoint`); null while nothing is in the log.
    pub note: Option<String>,
}

/// Lists where every log stands, with its signed checkpoint.
#[utoipa::path(get, path = "/api/admin/v1/evidence/logs",
    params(("limit" = Option<u32>, Query, description = "At most this many, 1 to 100 (25)."), ("cursor" = Option<String>, Query, description = "From the page before.")),
    responses((status = 200, body = Page<LogCheckpointView>, description = "One page, the reserved logs first.")))]
pub(super) async fn list_logs(State(app): State<App>, _: OpsCaller, query: Query) -> Result<Json<Page<LogCheckpointView>>> {
    let page = query.page("logs")?;
    let mut read = app.db.read(Role::OpsRead, "list_logs", LogId::REGISTRY).await?;
    let rows = logs(read.conn(), &page).await?;
    drop(read);
    let kid = app.db.standing().await?.kid;
    let Page { data, next_cursor } = page.page(rows, LogView::id);
    let signed = |log: LogView| {
        let kid = kid.as_ref().filter(|_| log.size > 0);
        LogCheckpointView { note: kid.and_then(|kid| app.notary.sign(kid, &log.origin, log.size, log.root)), log }
    };
    Ok(Json(Page { data: data.into_iter().map(signed).collect(), next_cursor }))
}
