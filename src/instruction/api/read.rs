//! Reading instructions: the customer its own, ops those of the customer named in the path.

use axum::extract::State;

use super::view::{InstructionLine, InstructionView, line, view};
use crate::app::App;
use crate::base::{CustomerId, Error, InstructionId, InstructionKind, Page, Result, TypedId};
use crate::db::Role;
use crate::http::{ETag, Json, PathId, Query};
use crate::identity::{InstitutionCaller, OpsCaller};
use crate::instruction::history::{HistoryLine, history};
use crate::instruction::store;

/// Lists the customer's instructions.
#[utoipa::path(get, path = "/api/v1/instructions",
    params(("kind" = inline(Option<InstructionKind>), Query, description = "Only of this kind"),
        ("limit" = Option<u32>, Query, description = "1 to 100, 25 when absent"), ("cursor" = Option<String>, Query, description = "next_cursor of the page before")),
    responses((status = 200, body = Page<InstructionLine>, description = "The instructions, without subjects")))]
pub(super) async fn list_instructions(
    State(app): State<App>,
    caller: InstitutionCaller,
    query: Query,
) -> Result<Json<Page<InstructionLine>>> {
    listed(&app, Role::App, caller.customer(), query).await
}

/// Lists a customer's instructions.
#[utoipa::path(get, path = "/api/admin/v1/customers/{customer_id}/instructions",
    params(("customer_id" = CustomerId, Path, description = "The customer"), ("kind" = inline(Option<InstructionKind>), Query, description = "Only of this kind"),
        ("limit" = Option<u32>, Query, description = "1 to 100, 25 when absent"), ("cursor" = Option<String>, Query, description = "next_cursor of the page before")),
    responses((status = 200, body = Page<InstructionLine>, description = "The instructions, without subjects")))]
pub(super) async fn list_customer_instructions(
    State(app): State<App>,
    caller: OpsCaller,
    PathId(customer): PathId<CustomerId>,
    query: Query,
) -> Result<Json<Page<InstructionLine>>> {
    listed(&app, Role::Ops, caller.scope_of(customer).customer(), query).await
}

async fn listed(app: &App, role: Role, customer: CustomerId, mut query: Query) -> Result<Json<Page<InstructionLine>>> {
    let kind: Option<InstructionKind> = query.optional("kind");
    let page = query.page(&format!("instructions:{customer}:{}", kind.map_or("", InstructionKind::word)))?;
    let mut tx = app.db.read(role, "instruction.list", customer.into()).await?;
    let now = tx.now();
    if role == Role::Ops {
        store::demand_customer(tx.conn(), customer).await?;
    }
    let found = store::list(tx.conn(), customer, kind, &page).await?;
    let lines = found.iter().map(|instruction| line(instruction, now)).collect();
    Ok(Json(page.page(lines, |line| line.id.uuid())))
}

/// Shows one instruction.
///
/// Its entity tag is demanded by what changes or signs its draft.
#[utoipa::path(get, path = "/api/v1/instructions/{instruction_id}",
    params(("instruction_id" = InstructionId, Path, description = "The instruction")),
    responses((status = 200, body = InstructionView, description = "The instruction with its draft, versions and contests")))]
pub(super) async fn show_instruction(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId(id): PathId<InstructionId>,
) -> Result<(ETag, Json<InstructionView>)> {
    shown(&app, Role::App, caller.customer(), id).await
}

/// Shows one instruction of a customer.
#[utoipa::path(get, path = "/api/admin/v1/customers/{customer_id}/instructions/{instruction_id}",
    params(("customer_id" = CustomerId, Path, description = "The customer"), ("instruction_id" = InstructionId, Path, description = "The instruction")),
    responses((status = 200, body = InstructionView, description = "The instruction with its draft, versions and contests")))]
pub(super) async fn show_customer_instruction(
    State(app): State<App>,
    caller: OpsCaller,
    PathId((customer, id)): PathId<(CustomerId, InstructionId)>,
) -> Result<(ETag, Json<InstructionView>)> {
    shown(&app, Role::Ops, caller.scope_of(customer).customer(), id).await
}

async fn shown(app: &App, role: Role, customer: CustomerId, id: InstructionId) -> Result<(ETag, Json<InstructionView>)> {
    let mut tx = app.db.read(role, "instruction.show", customer.into()).await?;
    let now = tx.now();
    let shown = view(&store::find(tx.conn(), customer, id).await?, now);
    Ok((ETag::of(&shown), Json(shown)))
}

/// Shows everything that happened to an instruction.
#[utoipa::path(get, path = "/api/v1/instructions/{instruction_id}/history",
    params(("instruction_id" = InstructionId, Path, description = "The instruction"), ("limit" = Option<u32>, Query, description = "At most this many, 1 to 100 (25)."), ("cursor" = Option<String>, Query, description = "From the page before.")),
    responses((status = 200, body = Page<HistoryLine>, description = "What happened, in order of time")))]
pub(super) async fn show_instruction_history(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId(id): PathId<InstructionId>,
    query: Query,
) -> Result<Json<Page<HistoryLine>>> {
    let page = query.page_by_text(&format!("history:{}:{id}", caller.customer()))?;
    let mut tx = app.db.read(Role::App, "instruction.history", caller.log()).await?;
    let now = tx.now();
    let instruction = store::find(tx.conn(), caller.customer(), id).await?;
    let lines = history(&instruction, now).into_iter().zip(1_usize..);
    // A line has no name but its number: lines are added at the end, and a draft's moves there.
    let seen = page.after_text.as_deref().map_or(Ok(0), str::parse).map_err(Error::internal)?;
    let Page { data, next_cursor } = page.page_by_text(lines.skip(seen).collect(), |(_, number)| number.to_string());
    Ok(Json(Page { data: data.into_iter().map(|(line, _)| line).collect(), next_cursor }))
}
