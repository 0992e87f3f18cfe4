//! What stops an instruction: the customer withdraws it (no entity tag: stopping must not fail on a
//! stale copy; no step-up, but where the withdrawal itself releases: of a restriction), ops marks it
//! as appearing to infringe the law.

use axum::extract::State;

use super::view::{InstructionView, receipted, view};
use crate::app::App;
use crate::base::{CustomerId, Error, InstructionId, InstructionKind, MembershipId, Note, Result, TypedId};
use crate::db::{Lock, Role, WriteTx};
use crate::evidence::Receipted;
use crate::http::{Created, Json, PathId};
use crate::identity::{AuthorityKind, InstitutionCaller, InstitutionCredential, OpsCaller, held, signatory};
use crate::instruction::{decide, store};

crate::request! {
    /// A mark of a version as appearing to infringe the law.
    pub struct NewContest {
        /// The signed version.
        version: u32,
        /// Legal reason.
        ground: Note,
    }
}

/// Withdraws an instruction, all its versions.
///
/// Effective for every decision that starts after the answer. Needs authority for its kind, of any
/// unit, and no step-up. Withdrawing a restriction (GDPR Art. 18) releases: it needs step-up, and
/// authority for every unit in which the restriction holds.
#[utoipa::path(post, path = "/api/v1/instructions/{instruction_id}/revocations",
    params(("instruction_id" = InstructionId, Path, description = "The instruction")),
    responses((status = 201, body = Receipted<InstructionView>, description = "The instruction, withdrawn")))]
pub(super) async fn revoke_instruction(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId(id): PathId<InstructionId>,
) -> Result<Created<Receipted<InstructionView>>> {
    let customer = caller.customer();
    let mut tx = app.db.write(Role::App, "instruction.revoke", Lock::Heads, caller.log(), &[]).await?;
    let now = tx.now();
    let instruction = store::find(tx.conn(), customer, id).await?;
    let kind = instruction.kind.into();
    let membership = match instruction.kind {
        InstructionKind::Restriction => signatory(&mut tx, &caller, kind, &decide::needs_to_lift(&instruction, now)).await?.membership(),
        _ => may_stop(&mut tx, &caller, kind).await?,
    };
    let entries = store::revoke(&mut tx, membership, &instruction).await?;
    let revoked = view(&store::find(tx.conn(), customer, id).await?, now);
    let notice =
        format!("The instruction {id} ({}) was withdrawn for your institution by the member {membership} at {now}.\n", instruction.kind);
    crate::customer::tell_customer(&mut tx, "instruction_revoked", id.uuid(), "An instruction was withdrawn", notice).await?;
    let receipts = crate::evidence::commit(tx, entries).await?;
    Ok(Created::at(format!("/api/v1/instructions/{id}"), receipted(revoked, receipts)?))
}

/// The membership of a person with authority for the kind, of any unit.
async fn may_stop(tx: &mut WriteTx, caller: &InstitutionCaller, kind: AuthorityKind) -> Result<MembershipId> {
    let InstitutionCredential::Session { membership, .. } = caller.credential() else {
        return Err(Error::Forbidden("an API key where a person must act"));
    };
    let now = tx.now();
    let held = held(tx.conn(), caller.customer(), membership).await?;
    if decide::may_stop(&held, kind, now) { Ok(membership) } else { Err(Error::Forbidden("no authority for this act")) }
}

/// Marks a version of a customer's instruction as appearing to infringe the law.
///
/// It stops at once and the customer is told at once (GDPR Art. 28(3), last paragraph). Only the
/// customer can go on: by withdrawing it, narrowing it in a new version, or confirming it in writing.
#[utoipa::path(post, path = "/api/admin/v1/customers/{customer_id}/instructions/{instruction_id}/contests",
    params(("customer_id" = CustomerId, Path, description = "The customer"), ("instruction_id" = InstructionId, Path, description = "The instruction")),
    request_body = NewContest,
    responses((status = 201, body = Receipted<InstructionView>, description = "The instruction with the contested version")))]
pub(super) async fn contest_instruction(
    State(app): State<App>,
    caller: OpsCaller,
    PathId((customer, id)): PathId<(CustomerId, InstructionId)>,
    Json(body): Json<NewContest>,
) -> Result<Created<Receipted<InstructionView>>> {
    let person = caller.person()?;
    let customer = caller.scope_of(customer).customer();
    let mut tx = app.db.write(Role::Ops, "instruction.contest", Lock::Heads, customer.into(), &[]).await?;
    let now = tx.now();
    let instruction = store::find(tx.conn(), customer, id).await?;
    let (contest, entries) = store::contest(&mut tx, person, &instruction, body.version, &body.ground).await?;
    let contested = view(&store::find(tx.conn(), customer, id).await?, now);
    let notice = format!(
        "In our opinion version {} of your instruction {id} ({}) infringes the law (GDPR Art. 28(3)). We have stopped it.\nLegal reason: {}\n\
         A person of yours with authority can withdraw it, narrow it in a new version, or confirm it in writing (contest {contest}).\n",
        body.version, instruction.kind, body.ground,
    );
    crate::customer::tell_customer(&mut tx, "instruction_contested", contest.uuid(), "An instruction appears to infringe the law", notice)
        .await?;
    let receipts = crate::evidence::commit(tx, entries).await?;
    Ok(Created::at(format!("/api/admin/v1/customers/{customer}/instructions/{id}"), receipted(contested, receipts)?))
}
