//! Where the logs stand: a customer sees its own, ops see every log's size and root, never content.

use axum::extract::State;

use crate::app::App;
use crate::base::{Page, Result};
use crate::db::{LogId, Role};
use crate::evidence::{LogView, log_by_id, logs};
use crate::http::{Json, Query};
use crate::identity::{InstitutionCaller, OpsCaller};

/// Shows where the customer's log stands.
#[utoipa::path(get, path = "/api/v1/evidence/log", responses((status = 200, body = LogView, description = "Origin, size and root.")))]
pub(super) async fn get_log(State(app): State<App>, caller: InstitutionCaller) -> Result<Json<LogView>> {
    let mut read = app.db.read(Role::App, "get_log", caller.log()).await?;
    Ok(Json(log_by_id(read.conn(), caller.log()).await?))
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
