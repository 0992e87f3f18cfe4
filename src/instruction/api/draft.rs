//! Writing drafts: the customer's own, and those ops prepares for the customer's person to sign. A
//! draft has no force.

use axum::extract::State;

use super::view::{InstructionView, receipted, view};
use crate::app::App;
use crate::base::{CustomerId, InstructionId, Result, TypedId};
use crate::db::{Lock, Role, WriteTx};
use crate::evidence::{NewEntry, Receipted};
use crate::http::{Created, ETag, IfMatch, Json, PathId};
use crate::identity::{InstitutionCaller, OpsCaller};
use crate::instruction::{NewInstruction, store};

/// Reads the instruction as it will stand, commits, and adds tag and receipt.
async fn committed(
    mut tx: WriteTx,
    customer: CustomerId,
    id: InstructionId,
    entries: Vec<NewEntry>,
) -> Result<(ETag, Receipted<InstructionView>)> {
    let now = tx.now();
    let drafted = view(&store::find(tx.conn(), customer, id).await?, now);
    let etag = ETag::of(&drafted);
    let receipts = crate::evidence::commit(tx, entries).await?;
    Ok((etag, receipted(drafted, receipts)?))
}

/// Drafts an instruction.
///
/// It has no force before a person with authority for its kind and units signs it.
#[utoipa::path(post, path = "/api/v1/instructions", request_body = NewInstruction,
    responses((status = 201, body = Receipted<InstructionView>, description = "The instruction with its draft; ETag is what a signature names")))]
pub(super) async fn draft_instruction(
    State(app): State<App>,
    caller: InstitutionCaller,
    Json(body): Json<NewInstruction>,
) -> Result<(ETag, Created<Receipted<InstructionView>>)> {
    let customer = caller.customer();
    let mut tx = app.db.write(Role::App, "instruction.draft", Lock::Heads, caller.log(), &[]).await?;
    let (id, entries) = store::draft(&mut tx, customer, &caller.actor(), &body).await?;
    let (etag, drafted) = committed(tx, customer, id, entries).await?;
    Ok((etag, Created::at(format!("/api/v1/instructions/{id}"), drafted)))
}

/// Replaces the draft of an instruction, whole.
#[utoipa::path(put, path = "/api/v1/instructions/{instruction_id}/draft",
    params(("instruction_id" = InstructionId, Path, description = "The instruction"), ("If-Match" = String, Header, description = "ETag of the instruction as it was seen")),
    request_body = NewInstruction,
    responses((status = 200, body = Receipted<InstructionView>, description = "The instruction with its new draft")))]
pub(super) async fn replace_instruction_draft(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId(id): PathId<InstructionId>,
    seen: IfMatch,
    Json(body): Json<NewInstruction>,
) -> Result<(ETag, Json<Receipted<InstructionView>>)> {
    let customer = caller.customer();
    let mut tx = app.db.write(Role::App, "instruction.redraft", Lock::Heads, caller.log(), &[]).await?;
    let now = tx.now();
    let instruction = store::find(tx.conn(), customer, id).await?;
    seen.demand(&ETag::of(&view(&instruction, now)))?;
    let entries = store::replace(&mut tx, &caller.actor(), &instruction, &body).await?;
    let (etag, drafted) = committed(tx, customer, id, entries).await?;
    Ok((etag, Json(drafted)))
}

/// Starts a new version of a signed instruction as a draft.
///
/// It supersedes the versions before it when its window starts, once it is signed.
#[utoipa::path(post, path = "/api/v1/instructions/{instruction_id}/versions",
    params(("instruction_id" = InstructionId, Path, description = "The instruction")), request_body = NewInstruction,
    responses((status = 201, body = Receipted<InstructionView>, description = "The instruction with the draft of its next version")))]
pub(super) async fn start_instruction_version(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId(id): PathId<InstructionId>,
    Json(body): Json<NewInstruction>,
) -> Result<(ETag, Created<Receipted<InstructionView>>)> {
    let customer = caller.customer();
    let mut tx = app.db.write(Role::App, "instruction.version", Lock::Heads, caller.log(), &[]).await?;
    let instruction = store::find(tx.conn(), customer, id).await?;
    let entries = store::start(&mut tx, &caller.actor(), &instruction, &body).await?;
    let (etag, drafted) = committed(tx, customer, id, entries).await?;
    Ok((etag, Created::at(format!("/api/v1/instructions/{id}"), drafted)))
}

/// Prepares the draft of an instruction for a customer's person to sign.
#[utoipa::path(post, path = "/api/admin/v1/customers/{customer_id}/instruction-drafts",
    params(("customer_id" = CustomerId, Path, description = "The customer")), request_body = NewInstruction,
    responses((status = 201, body = Receipted<InstructionView>, description = "The instruction with its draft")))]
pub(super) async fn prepare_instruction_draft(
    State(app): State<App>,
    caller: OpsCaller,
    PathId(customer): PathId<CustomerId>,
    Json(body): Json<NewInstruction>,
) -> Result<(ETag, Created<Receipted<InstructionView>>)> {
    caller.person()?;
    let customer = caller.scope_of(customer).customer();
    let mut tx = app.db.write(Role::Ops, "instruction.prepare", Lock::Heads, customer.into(), &[]).await?;
    store::demand_customer(tx.conn(), customer).await?;
    let (id, entries) = store::draft(&mut tx, customer, &caller.actor(), &body).await?;
    let body = format!(
        "A draft of an instruction ({id}, {}) was prepared for your institution.\nIt has no force before a person of yours with authority signs it.\n",
        body.kind
    );
    crate::customer::tell_customer(&mut tx, "instruction_prepared", id.uuid(), "A draft of an instruction was prepared", body).await?;
    let (etag, drafted) = committed(tx, customer, id, entries).await?;
    Ok((etag, Created::at(format!("/api/admin/v1/customers/{customer}/instructions/{id}"), drafted)))
}
