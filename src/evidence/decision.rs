//! The words in which the gate's decisions are recorded: what was asked, every reason of a
//! refusal, what was granted. Shared by the decision (`export`) and by `apply`, so that a
//! decision can be decided again from its entry. Pure.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::base::{
    AgreementId, ApiKeyId, Code, Decode, Digest, ExportId, Faults, Instant, InstructionId, Object, Pointer, Recipient, Reference, Selector,
    SuspensionId, Volume,
};

/// The present version of the rules by which the gate decides. A change that can alter an outcome
/// gets a new number, and `decide_export` keeps answering for every older one.
pub const RULES: u32 = 1;

crate::words! {
    /// Who stands behind a machine's request.
    pub enum RequesterKind {
        /// A person of the processor's or the institution's staff.
        Staff = "staff",
        /// A user of the platform.
        User = "user",
        /// A scheduled job.
        Job = "job",
    }
}

/// Who stands behind a machine's request: the first question after an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestedBy {
    /// staff, user or job.
    pub kind: RequesterKind,
    /// The platform's pseudonymous reference, never a name.
    #[serde(rename = "ref")]
    pub reference: Reference,
}

impl Decode for RequestedBy {
    fn decode(value: &serde_json::Value, at: &Pointer, faults: &mut Faults) -> Option<Self> {
        let mut object = Object::open(value, at, faults)?;
        let (kind, reference) = (object.field("kind", faults), object.field("ref", faults));
        object.close(faults);
        Some(Self { kind: kind?, reference: reference? })
    }
}

/// What a platform asks to hand out. Subjects stand apart from it wherever it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportRequest {
    /// The platform that asks: the key's own.
    pub platform: Code,
    /// The way the data would leave.
    pub channel: Code,
    /// The purpose.
    pub purpose: Code,
    /// The categories of data.
    pub data_categories: BTreeSet<Code>,
    /// Whose data.
    #[serde(skip)]
    pub subjects: Vec<Selector>,
    /// To whom.
    pub recipient: Recipient,
    /// The engagement of a sub-processor, if the recipient is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engagement: Option<Reference>,
    /// How much, at most.
    pub volume: Volume,
    /// Who stands behind the request.
    pub requested_by: RequestedBy,
}

crate::words! {
    /// Why the gate refuses. Each reason names the record that caused it.
    pub enum ReasonCode {
        /// No agreement was ever accepted, or the customer does not exist (P10).
        AgreementMissing = "agreement_missing",
        /// An agreement for the platform exists, and is not in force now (P10).
        AgreementNotInForce = "agreement_not_in_force",
        /// The customer's exports are suspended.
        CustomerSuspended = "customer_suspended",
        /// The platform is suspended.
        PlatformSuspended = "platform_suspended",
        /// The customer has agreements, none of them for this platform.
        PlatformNotCovered = "platform_not_covered",
        /// No signed instruction shares platform and purpose, or platform and recipient (P2).
        NoWrittenInstruction = "no_written_instruction",
        /// The instruction's window has not begun.
        InstructionNotYetValid = "instruction_not_yet_valid",
        /// The instruction's window is over.
        InstructionExpired = "instruction_expired",
        /// The customer withdrew the instruction.
        InstructionRevoked = "instruction_revoked",
        /// The instruction appears to infringe the law and was not confirmed (GDPR Art. 28(3)).
        InstructionContested = "instruction_contested",
        /// A one-time instruction is used, or held by an open permit.
        InstructionExhausted = "instruction_exhausted",
        /// A newer version of the instruction holds.
        InstructionSuperseded = "instruction_superseded",
        /// Entries of the customer's log were lost in a restore, and nobody has confirmed its state.
        StateUnconfirmed = "state_unconfirmed",
        /// The purpose can never be instructed (P3).
        PurposeProhibited = "purpose_prohibited",
        /// The agreement does not name the purpose (P1).
        PurposeNotInAgreement = "purpose_not_in_agreement",
        /// The instruction does not name the purpose (P1).
        PurposeNotInstructed = "purpose_not_instructed",
        /// The agreement does not name the category.
        CategoryNotInAgreement = "category_not_in_agreement",
        /// The instruction does not name the category.
        CategoryNotInstructed = "category_not_instructed",
        /// A special category (GDPR Art. 9) is not named by the instruction.
        SpecialCategoryNotNamed = "special_category_not_named",
        /// The instruction does not cover the subjects.
        SubjectsOutOfScope = "subjects_out_of_scope",
        /// The instruction does not name the channel.
        ChannelNotInstructed = "channel_not_instructed",
        /// The instruction does not name the recipient (P2).
        RecipientNotNamed = "recipient_not_named",
        /// The recipient's country is outside what the agreement allows, and no transfer ground is instructed (P7).
        RecipientOutsideResidency = "recipient_outside_residency",
        /// The instruction names another ground for the transfer than the request (GDPR Art. 44).
        ThirdCountryNotInstructed = "third_country_not_instructed",
        /// The volume passes the instruction's limit, or a limited dimension is not stated.
        VolumeExceedsInstruction = "volume_exceeds_instruction",
        /// The data is restricted (GDPR Art. 18).
        RestrictionInForce = "restriction_in_force",
        /// The recipient is a sub-processor whose engagement the customer has not authorised (P6).
        SubProcessorNotAuthorised = "sub_processor_not_authorised",
        /// A code is in no code list.
        UnknownCode = "unknown_code",
        /// The same key was asked again more than 300 s after its answer.
        AnswerTooOld = "answer_too_old",
        /// The permit is past its `exp`.
        PermitExpired = "permit_expired",
        /// The permit was redeemed before.
        PermitRedeemed = "permit_redeemed",
        /// The export was aborted.
        PermitAborted = "permit_aborted",
        /// The permit was issued to another platform.
        PermitBorrowed = "permit_borrowed",
        /// The permit's bytes are not those that were issued for this export.
        PermitAltered = "permit_altered",
        /// No redeemed permit of the platform stands behind the chunk.
        PermitNotRedeemed = "permit_not_redeemed",
        /// The export was reported complete, aborted, or closed because it had never ended.
        ExportClosed = "export_closed",
        /// The chunk's number was authorised before under another key.
        ChunkRepeated = "chunk_repeated",
        /// With this chunk more would leave than permitted, or a dimension that the permit states is not stated.
        VolumeExceedsPermit = "volume_exceeds_permit",
        /// The key that signed the permit was withdrawn.
        PermitKeyWithdrawn = "permit_key_withdrawn",
        /// The permit, or the export that runs on it, is of an epoch before a restore.
        PermitVoid = "permit_void",
    }
}

/// The record that caused a reason.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Cause {
    /// A field of the request: a JSON pointer.
    Request {
        /// Where in the request.
        pointer: String,
    },
    /// An agreement.
    Agreement {
        /// Its id.
        id: AgreementId,
        /// Its version.
        version: u32,
    },
    /// A version of an instruction.
    Instruction {
        /// Its id.
        id: InstructionId,
        /// The version.
        version: u32,
    },
    /// A suspension of the customer or the platform.
    Suspension {
        /// Its id.
        id: SuspensionId,
    },
    /// An export whose permit or use stands in the way.
    Export {
        /// Its id.
        id: ExportId,
    },
    /// A key that signs permits.
    PermitKey {
        /// Its id.
        kid: String,
    },
    /// The absence of any record.
    Nothing,
}

/// One reason of a refusal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Reason {
    /// Why.
    pub code: ReasonCode,
    /// The record that caused it.
    pub cause: Cause,
}

/// A version of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct InstructionRef {
    /// Its id.
    pub id: InstructionId,
    /// The version.
    pub version: u32,
}

/// What the subject test said, so that a decision stays replayable when subjects are erased.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectVerdict {
    /// The considered versions whose scope covers every subject of the request.
    pub covering: BTreeSet<InstructionRef>,
    /// The restrictions that forbid the whole request.
    pub forbidding: BTreeSet<InstructionRef>,
    /// How many restricted selectors inside wider ones are excepted.
    pub except_count: u64,
    /// True if the subjects had been erased when it was decided, so that nobody could be tested.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub erased: bool,
}

/// What a permit grants, as it is recorded: the claims, except its place in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantRecord {
    /// The export, and `jti` of the permit.
    pub export: ExportId,
    /// The one cited version.
    pub instruction: InstructionRef,
    /// The cited version's document.
    pub document_sha256: Digest,
    /// The cited agreement.
    pub agreement: AgreementId,
    /// Its version.
    pub agreement_version: u32,
    /// Salt of the selectors' hash in the permit.
    pub selectors_salt: Digest,
    /// The calendar day, in the agreement's zone, on which the volume counts.
    pub day: NaiveDate,
    /// `iat` and `nbf`.
    pub issued_at: Instant,
    /// `exp`.
    pub expires_at: Instant,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Allowed; the grant stands in the entry that carries it.
    Allowed,
    /// Refused, with every reason.
    Refused {
        /// At least one.
        reasons: Vec<Reason>,
        /// True if more instructions were looked at than are explained.
        more_candidates: bool,
    },
}

/// One decision of the gate: inputs that are not facts, and the outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// What was asked; for a redemption and a chunk, the request of the permit.
    pub request: ExportRequest,
    /// The customer as the platform named it.
    pub customer_named: Reference,
    /// The key that asked.
    pub api_key: ApiKeyId,
    /// Version of the rules.
    pub rules: u32,
    /// The time the decision was made for.
    pub now: Instant,
    /// Epoch of the registry's log.
    pub registry_epoch: u32,
    /// Entries of the registry's log that the decision saw.
    pub registry_size: u64,
    /// The versions considered, in order.
    pub candidates: Vec<InstructionRef>,
    /// What the subject test said.
    pub subject_verdict: SubjectVerdict,
    /// For a key asked again: the index of its first answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again_of: Option<u64>,
    /// Its epoch, where that is an older one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again_of_epoch: Option<u32>,
    /// The outcome.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl DecisionRecord {
    /// Epoch and index of the first answer, for a key asked again in this epoch.
    #[must_use]
    pub fn first_answer(&self, epoch: u32) -> Option<(u32, u64)> {
        self.again_of.map(|index| (self.again_of_epoch.unwrap_or(epoch), index))
    }
}
