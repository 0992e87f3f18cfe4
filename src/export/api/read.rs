//! What a customer sees of every decision about its exports, refusals and dry runs included; ops see
//! the decisions of one customer at a time.

use axum::extract::State;
use serde_json::Value;

use super::answer::ReasonView;
use crate::app::App;
use crate::base::{Code, CustomerId, Error, ExportId, Instant, Page, Result, TypedId, from_value};
use crate::db::{LogId, Role};
use crate::evidence::{Reason, ReasonCode};
use crate::export::store::read::{DecisionFilter, DecisionRow, decisions};
use crate::http::{Json, PathId, Query};
use crate::identity::{InstitutionCaller, OpsCaller};

/// One decision of the gate.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct DecisionView {
    /// Index in the customer's log.
    pub index: i64,
    /// When.
    pub at: Instant,
    /// The event: export.permitted, export.single_permitted, export.refused, export.tried, export.redeemed,
    /// export.redemption_refused, export.chunk_authorised, export.chunk_refused.
    pub event: String,
    /// The export it is about; null for an ask that made none.
    pub export: Option<ExportId>,
    /// allowed or refused.
    pub outcome: String,
    /// True for a dry run.
    pub dry_run: bool,
    /// The platform that asked.
    pub platform: Option<Code>,
    /// What was asked, without subjects.
    #[schema(value_type = Object)]
    pub request: Value,
    /// Why it was refused; empty when it was allowed.
    pub reasons: Vec<ReasonView>,
}

/// The export that a decision is about: its own member, or the grant's.
fn about(record: &Value) -> Option<ExportId> {
    let id = record.get("export").or_else(|| record.pointer("/grant/export"))?;
    id.as_str()?.parse().ok()
}

impl DecisionView {
    pub(super) fn of(row: DecisionRow) -> Result<Self> {
        let decision = row.record.get("decision").cloned().unwrap_or_default();
        let text = |name: &str| decision.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let reasons: Vec<Reason> = match decision.get("reasons") {
            Some(reasons) => from_value(reasons).map_err(Error::internal)?,
            None => Vec::new(),
        };
        Ok(Self {
            index: row.index,
            at: row.at,
            dry_run: row.word == "export.tried",
            export: about(&row.record),
            event: row.word,
            outcome: text("outcome"),
            platform: row.platform,
            request: decision.get("request").cloned().unwrap_or_default(),
            reasons: reasons.iter().map(ReasonView::from).collect(),
        })
    }
}

async fn page_of_decisions(app: &App, role: Role, customer: CustomerId, mut query: Query) -> Result<Json<Page<DecisionView>>> {
    let reason: Option<ReasonCode> = query.optional("reason");
    let filter = DecisionFilter {
        requested_by: query.optional("requested_by"),
        reason: reason.map(|code| code.to_string()),
        dry_run: query.optional("dry_run"),
        ..DecisionFilter::default()
    };
    let page = query.page(&format!("decisions:{customer}:{filter:?}"))?;
    let mut read = app.db.read(role, "list_decisions", LogId::from(customer)).await?;
    let rows = decisions(read.conn(), customer, &filter, Some(&page)).await?;
    let page = page.page(rows, |row: &DecisionRow| row.id.uuid());
    let data = page.data.into_iter().map(DecisionView::of).collect::<Result<_>>()?;
    Ok(Json(Page { data, next_cursor: page.next_cursor }))
}

/// Lists decisions of the gate, oldest first.
#[utoipa::path(get, path = "/api/v1/decisions",
    params(("limit" = Option<u32>, Query, description = "1 to 100"), ("cursor" = Option<String>, Query, description = "From the page before"),
        ("requested_by" = Option<String>, Query, description = "Who stood behind the request: its reference"),
        ("reason" = inline(Option<ReasonCode>), Query, description = "A reason of refusal"), ("dry_run" = Option<bool>, Query, description = "Dry runs only, or none")),
    responses((status = 200, body = Page<DecisionView>, description = "A page of decisions.")))]
pub(super) async fn list_decisions(State(app): State<App>, caller: InstitutionCaller, query: Query) -> Result<Json<Page<DecisionView>>> {
    page_of_decisions(&app, Role::App, caller.customer(), query).await
}

/// Lists the decisions of the gate about one customer, oldest first.
#[utoipa::path(get, path = "/api/admin/v1/customers/{customer_id}/decisions",
    params(("customer_id" = CustomerId, Path, description = "The customer"), ("limit" = Option<u32>, Query, description = "1 to 100"), ("cursor" = Option<String>, Query, description = "From the page before"),
        ("requested_by" = Option<String>, Query, description = "Who stood behind the request: its reference"),
        ("reason" = inline(Option<ReasonCode>), Query, description = "A reason of refusal"), ("dry_run" = Option<bool>, Query, description = "Dry runs only, or none")),
    responses((status = 200, body = Page<DecisionView>, description = "A page of decisions.")))]
pub(super) async fn list_customer_decisions(
    State(app): State<App>,
    caller: OpsCaller,
    PathId(customer): PathId<CustomerId>,
    query: Query,
) -> Result<Json<Page<DecisionView>>> {
    let scope = caller.scope_of(customer);
    let mut read = app.db.read(Role::Ops, "customer_exists", LogId::from(scope.customer())).await?;
    crate::evidence::head_of(read.conn(), LogId::from(scope.customer())).await?;
    drop(read);
    page_of_decisions(&app, Role::Ops, scope.customer(), query).await
}

/// Shows a decision by its index in the log.
#[utoipa::path(get, path = "/api/v1/decisions/{index}", params(("index" = u64, Path, description = "Index in the customer's log")),
    responses((status = 200, body = DecisionView, description = "The decision.")))]
pub(super) async fn get_decision(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId(index): PathId<u64>,
) -> Result<Json<DecisionView>> {
    let mut read = app.db.read(Role::App, "get_decision", caller.log()).await?;
    let filter = DecisionFilter { index: Some(index), ..DecisionFilter::default() };
    let row = decisions(read.conn(), caller.customer(), &filter, None).await?.into_iter().next();
    Ok(Json(DecisionView::of(row.ok_or(Error::NotFound)?)?))
}
