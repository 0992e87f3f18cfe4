//! How an instruction is shown: its draft, its signed versions with where each stands, and what may
//! happen next. Equal views have equal entity tags, so a signature is of what was seen.

use crate::base::{
    ContestId, CustomerId, Digest, DocumentId, Error, Instant, InstructionId, InstructionKind, MembershipId, Note, Result, Scope, Selector,
};
use crate::evidence::{Receipt, Receipted};
use crate::instruction::decide::{self, Act};
use crate::instruction::history::EntryPlace;
use crate::instruction::model::{Contest, Draft, Instruction, InstructionState, Version, Wording};

/// An instruction.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct InstructionView {
    /// Id.
    pub id: InstructionId,
    /// The customer.
    pub customer: CustomerId,
    /// What it tells us to do.
    pub kind: InstructionKind,
    /// Where it stands now: where its present version stands.
    pub state: InstructionState,
    /// The version that counts now.
    pub present_version: Option<u32>,
    /// When its first draft was made.
    pub created_at: Instant,
    /// The draft of its next version.
    pub draft: Option<DraftView>,
    /// Signed versions, oldest first.
    pub versions: Vec<VersionView>,
    /// When it was withdrawn.
    pub revoked_at: Option<Instant>,
    /// The membership that withdrew it.
    pub revoked_by: Option<MembershipId>,
    /// What the customer may do next.
    pub next: Vec<NextAct>,
}

/// Whether something may be done with an instruction.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct NextAct {
    /// What.
    pub act: Act,
    /// The code of why not; null: it may be done.
    pub why_not: Option<&'static str>,
}

/// The draft of an instruction's next version.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct DraftView {
    /// The version it will be.
    pub version: u32,
    /// What it covers.
    pub scope: Scope,
    /// Whose data.
    pub subjects: Vec<Selector>,
    /// What is written, if typed.
    pub text: Option<Wording>,
    /// What is written, if it is a stored document.
    pub document: Option<DocumentId>,
    /// SHA-256 over all of it.
    pub digest: Digest,
    /// Who wrote it last.
    pub prepared_by: String,
    /// When.
    pub changed_at: Instant,
}

/// A signed version, which never changes.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct VersionView {
    /// From 1.
    pub version: u32,
    /// Where it stands now.
    pub state: InstructionState,
    /// What it covers.
    pub scope: Scope,
    /// Whose data.
    pub subjects: Vec<Selector>,
    /// What was written.
    pub document: DocumentId,
    /// Its SHA-256.
    pub document_sha256: Digest,
    /// Start of its window.
    pub valid_from_at: Instant,
    /// First instant after its window; null: open.
    pub valid_until_at: Option<Instant>,
    /// When it was signed.
    pub signed_at: Instant,
    /// The membership that signed it.
    pub signed_by: MembershipId,
    /// Where its entry stands in the customer's log.
    pub entry: EntryPlace,
    /// When an export under it was first redeemed.
    pub used_at: Option<Instant>,
    /// Marks as appearing to infringe the law.
    pub contests: Vec<ContestView>,
}

/// A mark of a version as appearing to infringe the law (GDPR Art. 28(3), last paragraph).
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct ContestView {
    /// Id.
    pub id: ContestId,
    /// Legal reason.
    pub ground: Note,
    /// When.
    pub contested_at: Instant,
    /// The ops person.
    pub contested_by: String,
    /// When the customer confirmed the version in writing; null: it stands still.
    pub confirmed_at: Option<Instant>,
    /// The membership that confirmed it.
    pub confirmed_by: Option<MembershipId>,
    /// What was written.
    pub confirmation_document: Option<DocumentId>,
}

/// An instruction in a list, without subjects.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct InstructionLine {
    /// Id.
    pub id: InstructionId,
    /// What it tells us to do.
    pub kind: InstructionKind,
    /// Where it stands now.
    pub state: InstructionState,
    /// When its first draft was made.
    pub created_at: Instant,
    /// The version that counts now.
    pub present_version: Option<u32>,
    /// What that version covers; of one never signed, its draft.
    pub scope: Option<Scope>,
    /// The version of its draft, if it has one.
    pub draft_version: Option<u32>,
}

/// The instruction at `now`.
pub(super) fn view(instruction: &Instruction, now: Instant) -> InstructionView {
    InstructionView {
        id: instruction.id,
        customer: instruction.customer,
        kind: instruction.kind,
        state: instruction.state(now),
        present_version: instruction.present(now),
        created_at: instruction.created_at,
        draft: instruction.draft.as_ref().map(draft),
        versions: instruction.versions.iter().map(|(number, one)| version(instruction, *number, one, now)).collect(),
        revoked_at: instruction.revoked.map(|(at, _)| at),
        revoked_by: instruction.revoked.map(|(_, by)| by),
        next: decide::next(instruction, now).into_iter().map(|(act, why_not)| NextAct { act, why_not }).collect(),
    }
}

/// The instruction as a line of a list.
pub(super) fn line(instruction: &Instruction, now: Instant) -> InstructionLine {
    let present_version = instruction.present(now);
    let signed = present_version.and_then(|number| instruction.versions.get(&number)).map(|version| &version.scope);
    InstructionLine {
        id: instruction.id,
        kind: instruction.kind,
        state: instruction.state(now),
        created_at: instruction.created_at,
        present_version,
        scope: signed.or_else(|| instruction.draft.as_ref().map(|draft| &draft.content.scope)).cloned(),
        draft_version: instruction.draft.as_ref().map(|draft| draft.version),
    }
}

fn draft(draft: &Draft) -> DraftView {
    DraftView {
        version: draft.version,
        scope: draft.content.scope.clone(),
        subjects: draft.content.subjects.clone(),
        text: draft.content.written.text().cloned(),
        document: draft.content.written.document(),
        digest: draft.digest,
        prepared_by: draft.prepared_by.clone(),
        changed_at: draft.changed_at,
    }
}

fn version(instruction: &Instruction, number: u32, version: &Version, now: Instant) -> VersionView {
    let (epoch, index) = version.signed;
    VersionView {
        version: number,
        state: instruction.version_state(number, now),
        scope: version.scope.clone(),
        subjects: version.subjects.clone(),
        document: version.document,
        document_sha256: version.document_sha256,
        valid_from_at: version.valid_from,
        valid_until_at: version.valid_until,
        signed_at: version.signed_at,
        signed_by: version.signed_by,
        entry: EntryPlace { epoch, index },
        used_at: version.used_at,
        contests: version.contests.iter().map(contest).collect(),
    }
}

fn contest(contest: &Contest) -> ContestView {
    let confirmation = contest.confirmation.as_ref();
    ContestView {
        id: contest.id,
        ground: contest.ground.clone(),
        contested_at: contest.at,
        contested_by: contest.by.clone(),
        confirmed_at: confirmation.map(|c| c.at),
        confirmed_by: confirmation.map(|c| c.by),
        confirmation_document: confirmation.map(|c| c.document),
    }
}

/// A view with the receipt of the last entry.
pub(super) fn receipted<T>(value: T, receipts: Vec<Receipt>) -> Result<Receipted<T>> {
    let receipt = receipts.into_iter().next_back().ok_or_else(|| Error::internal("a commit without a receipt"))?;
    Ok(Receipted { value, receipt })
}
