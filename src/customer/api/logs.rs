//! Where the logs stand: a customer sees its own with every entry in it, ops see every log's size
//! and root, never content. What an entry commits to is not shown here; each kind of record has a
//! route of its own.

use axum::extract::State;

use crate::app::App;
use crate::base::{EntryId, Error, Instant, Page, Result, TypedId, from_value};
use crate::db::{LogId, Role};
use crate::evidence::{LogView, Receipt, StoredEntry, log_by_id, logs, page_of_entries};
use crate::http::{Json, Query};
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
            actor: member("actor")?,
            object: member("object")?,
            operation,
            receipt: entry.receipt(log),
        })
    }
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
        ("type" = Option<String>, Query, description = "Entries of this type only.")),
    responses((status = 200, body = Page<EntryView>, description = "One page.")))]
pub(super) async fn list_entries(State(app): State<App>, caller: InstitutionCaller, mut query: Query) -> Result<Json<Page<EntryView>>> {
    let word: Option<String> = query.optional("type");
    let page = query.page(&format!("entries:{}:{word:?}", caller.customer()))?;
    let mut read = app.db.read(Role::App, "list_entries", caller.log()).await?;
    let rows = page_of_entries(read.conn(), caller.log(), &page, word.as_deref()).await?;
    let Page { data, next_cursor } = page.page(rows, |entry| entry.id.uuid());
    let name = caller.customer().to_string();
    let data = data.iter().map(|entry| EntryView::of(entry, &name)).collect::<Result<_>>()?;
    Ok(Json(Page { data, next_cursor }))
}

/// Lists where every log stands.
#[utoipa::path(get, path = "/api/admin/v1/evidence/logs",
    params(("limit" = Option<u32>, Query, description = "At most this many, 1 to 100 (25)."), ("cursor" = Option<String>, Query, description = "From the page before.")),
    responses((status = 200, body = Page<LogView>, description = "One page, the reserved logs first.")))]
pub(super) async fn list_logs(State(app): State<App>, _: OpsCaller, query: Query) -> Result<Json<Page<LogView>>> {
    let page = query.page("logs")?;
    let mut read = app.db.read(Role::OpsRead, "list_logs", LogId::REGISTRY).await?;
    let rows = logs(read.conn(), &page).await?;
    Ok(Json(page.page(rows, LogView::id)))
}
