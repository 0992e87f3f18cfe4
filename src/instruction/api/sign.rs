//! What only a person of the customer with authority and step-up does: sign the draft that was seen,
//! confirm a contested version in writing. Every signature is told to the privacy contacts.

use axum::extract::State;

use super::view::{InstructionView, receipted, view};
use crate::app::App;
use crate::base::{ContestId, DocumentId, Faults, InstructionId, Result, TypedId};
use crate::db::{Lock, Role};
use crate::evidence::Receipted;
use crate::http::{Created, ETag, IfMatch, Json, PathId};
use crate::identity::{InstitutionCaller, Needs, signatory};
use crate::instruction::model::Written;
use crate::instruction::{Wording, decide, store};

crate::request! {
    /// A signature: names the version of the draft.
    pub struct NewSignature {
        /// The version that the draft will be.
        version: u32,
    }
}

crate::request! {
    /// A confirmation in writing. Exactly one of `text` and `document`.
    pub struct NewConfirmation {
        /// The contest it answers.
        contest: ContestId,
        /// What is written, if typed.
        text: Option<Wording>,
        /// What is written, if it is a stored document.
        document: Option<DocumentId>,
    }
}

/// Signs the draft of an instruction with step-up.
///
/// Needs authority for its kind and for every unit of its subjects; a new version of a restriction
/// (GDPR Art. 18) also for every unit in which the versions before it hold.
#[utoipa::path(post, path = "/api/v1/instructions/{instruction_id}/signatures",
    params(("instruction_id" = InstructionId, Path, description = "The instruction"), ("If-Match" = String, Header, description = "ETag of the instruction as it was seen")),
    request_body = NewSignature,
    responses((status = 201, body = Receipted<InstructionView>, description = "The instruction with the signed version")))]
pub(super) async fn sign_instruction(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId(id): PathId<InstructionId>,
    seen: IfMatch,
    Json(body): Json<NewSignature>,
) -> Result<(ETag, Created<Receipted<InstructionView>>)> {
    let customer = caller.customer();
    let mut tx = app.db.write(Role::App, "instruction.sign", Lock::Heads, caller.log(), &[]).await?;
    let now = tx.now();
    let instruction = store::find(tx.conn(), customer, id).await?;
    seen.demand(&ETag::of(&view(&instruction, now)))?;
    let (draft, ..) = decide::may_sign(&instruction, body.version, now)?;
    let needs = decide::needs_to_sign(&instruction, &draft.content.subjects, now);
    let signatory = signatory(&mut tx, &caller, instruction.kind.into(), &needs).await?;
    let entries = store::sign(&mut tx, signatory, &instruction, body.version).await?;
    let signed = view(&store::find(tx.conn(), customer, id).await?, now);
    let notice = format!(
        "Version {} of the instruction {id} ({}) was signed for your institution by the member {} at {now}.\nIf nobody of yours did this, withdraw it at once.\n",
        body.version,
        instruction.kind,
        signatory.membership(),
    );
    crate::customer::tell_customer(&mut tx, "instruction_signed", id.uuid(), "An instruction was signed", notice).await?;
    let receipts = crate::evidence::commit(tx, entries).await?;
    Ok((ETag::of(&signed), Created::at(format!("/api/v1/instructions/{id}"), receipted(signed, receipts)?)))
}

/// Confirms a contested version in writing with step-up.
///
/// It is in force again. Needs the authority that signing it needs.
#[utoipa::path(post, path = "/api/v1/instructions/{instruction_id}/confirmations",
    params(("instruction_id" = InstructionId, Path, description = "The instruction")), request_body = NewConfirmation,
    responses((status = 201, body = Receipted<InstructionView>, description = "The instruction with the confirmed version")))]
pub(super) async fn confirm_instruction(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId(id): PathId<InstructionId>,
    Json(body): Json<NewConfirmation>,
) -> Result<Created<Receipted<InstructionView>>> {
    let customer = caller.customer();
    let mut faults = Faults::default();
    let written = Written::one_of(body.text.as_ref(), body.document, &mut faults);
    let written = faults.finish(written)?;
    let mut tx = app.db.write(Role::App, "instruction.confirm", Lock::Heads, caller.log(), &[]).await?;
    let now = tx.now();
    let instruction = store::find(tx.conn(), customer, id).await?;
    let needs = Needs::of_subjects(&decide::may_confirm(&instruction, body.contest, now)?.1.subjects);
    let signatory = signatory(&mut tx, &caller, instruction.kind.into(), &needs).await?;
    let entries = store::confirm(&mut tx, signatory, &instruction, body.contest, &written).await?;
    let confirmed = view(&store::find(tx.conn(), customer, id).await?, now);
    let notice = format!(
        "The contested instruction {id} ({}) was confirmed in writing for your institution by the member {} at {now}.\nIf nobody of yours did this, withdraw it at once.\n",
        instruction.kind,
        signatory.membership(),
    );
    crate::customer::tell_customer(&mut tx, "instruction_confirmed", id.uuid(), "A contested instruction was confirmed", notice).await?;
    let receipts = crate::evidence::commit(tx, entries).await?;
    Ok(Created::at(format!("/api/v1/instructions/{id}"), receipted(confirmed, receipts)?))
}
