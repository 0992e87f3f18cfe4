//! What a customer sees of its exports and of every decision about them, refusals and dry runs
//! included; ops see the decisions of one customer at a time.

use axum::extract::State;
use serde_json::Value;

use super::answer::ReasonView;
use crate::app::App;
use crate::base::{Code, CustomerId, Error, ExportId, Instant, InstructionId, Page, Result, TypedId, from_value};
use crate::db::{LogId, Role};
use crate::evidence::{Reason, ReasonCode};
use crate::export::store::read::{DecisionFilter, DecisionRow, ExportRow, decisions, exports};
use crate::http::{Json, PathId, Query};
use crate::identity::{InstitutionCaller, OpsCaller};

/// One hand-out of personal data.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct ExportView {
    /// Id.
    pub id: ExportId,
    /// permitted, expired, redeemed, completed or aborted.
    pub state: &'static str,
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
    /// When it was reported complete.
    pub completed_at: Option<Instant>,
    /// When it was aborted.
    pub aborted_at: Option<Instant>,
    /// What the platform reported.
    #[schema(value_type = Option<Object>)]
    pub report: Option<Value>,
    /// Index of the decision in the customer's log.
    pub index: i64,
}

impl ExportView {
    fn of(row: ExportRow, now: Instant) -> Self {
        let state = match (row.completed_at, row.aborted_at, row.redeemed_at) {
            (Some(_), _, _) => "completed",
            (_, Some(_), _) => "aborted",
            (_, _, Some(_)) => "redeemed",
            _ if now >= row.expires_at => "expired",
            _ => "permitted",
        };
        Self {
            id: row.id,
            state,
            platform: row.platform,
            instruction: row.instruction,
            instruction_version: row.instruction_version,
            request: row.request,
            permitted_at: row.decided_at,
            expires_at: row.expires_at,
            redeemed_at: row.redeemed_at,
            completed_at: row.completed_at,
            aborted_at: row.aborted_at,
            report: row.report,
            index: row.index,
        }
    }
}

/// One decision of the gate.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct DecisionView {
    /// Index in the customer's log.
    pub index: i64,
    /// When.
    pub at: Instant,
    /// The event: export.permitted, export.refused, export.tried, export.redeemed, export.redemption_refused.
    pub event: String,
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
            event: row.word,
            outcome: text("outcome"),
            platform: row.platform,
            request: decision.get("request").cloned().unwrap_or_default(),
            reasons: reasons.iter().map(ReasonView::from).collect(),
        })
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
    let views = rows.into_iter().map(|row| ExportView::of(row, now)).collect();
    Ok(Json(page.page(views, |view: &ExportView| view.id.uuid())))
}

/// Shows an export.
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
    row.map(|row| Json(ExportView::of(row, now))).ok_or(Error::NotFound)
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
