//! Every event that can stand in a log, with its record. The word of a type never changes its
//! meaning: a record that needs another shape becomes a new version `v` of the entry. A member added
//! to a record is optional, and absent means what entries without it meant.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::decision::{DecisionRecord, GrantRecord, Reason};
use super::epoch::{EndedEpoch, LostLog, RestoreGround};
use super::running::{ChunkRecord, CompletionRecord, Reconciliation};
use crate::base::*;

/// Version of the entries written today.
pub const ENTRY_VERSION: u32 = 1;

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident = $word:literal { $($(#[$fd:meta])* $field:ident: $ty:ty,)* })*) => {
        /// What happened.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "type", content = "record")]
        pub enum Event {
            $($(#[$doc])* #[serde(rename = $word)] $variant {
                $($(#[$fd])* #[doc = concat!("`", stringify!($field), "`.")] $field: $ty,)*
            },)*
        }
        impl Event {
            /// The word of the event's type, as in the leaf.
            #[must_use]
            pub const fn word(&self) -> &'static str {
                match self { $(Self::$variant { .. } => $word,)* }
            }
            /// The same word for as long as the program runs; `None`: no event has it.
            #[must_use]
            pub fn known_word(word: &str) -> Option<&'static str> {
                match word { $($word => Some($word),)* _ => None }
            }
        }
    };
}

events! {
    /// Registry: one code list or calendar was loaded; the record holds its rows.
    ReferenceLoaded = "reference.loaded" { list: String, sha256: Digest, rows: serde_json::Value, }
    /// Registry: a platform was registered.
    PlatformRegistered = "platform.registered" { platform: Code, }
    /// Registry: a platform's gate was stopped.
    PlatformSuspended = "platform.suspended" { suspension: SuspensionId, platform: Code, ground: Note, }
    /// Registry: the release of a platform was proposed.
    PlatformReleaseProposed = "platform.release_proposed" { suspension: SuspensionId, release: ReleaseId, }
    /// Registry: a platform was released by a second ops person.
    PlatformReleased = "platform.released" { suspension: SuspensionId, release: ReleaseId, }

    /// Processor: one ops person proposed another; a second must approve.
    OpsPersonProposed = "ops_person.proposed" { ops_person: OpsPersonId, role: String, }
    /// Processor: the only ops person added the second one, since nobody was there to approve it.
    OpsPersonAddedAlone = "ops_person.added_alone" { ops_person: OpsPersonId, role: String, }
    /// Processor: an ops person was added.
    OpsPersonAdded = "ops_person.added" { ops_person: OpsPersonId, role: String, }
    /// Processor: an ops person's access ended.
    OpsPersonEnded = "ops_person.ended" { ops_person: OpsPersonId, }
    /// Processor: an ops person enrolled a second factor, the first or another.
    OpsPersonFactorChanged = "ops_person.factor_changed" { ops_person: OpsPersonId, second_factor: SecondFactorId, }
    /// Processor: an ops person changed the password.
    OpsPersonPasswordChanged = "ops_person.password_changed" { ops_person: OpsPersonId, }
    /// Processor: an ops person asked for another e-mail address, which counts once it is proved.
    OpsPersonEmailAsked = "ops_person.email_asked" { ops_person: OpsPersonId, }
    /// Processor: an ops person's e-mail address is another one.
    OpsPersonEmailChanged = "ops_person.email_changed" { ops_person: OpsPersonId, }
    /// Processor: an ops person drew new recovery codes; the old ones ended.
    OpsPersonRecoveryCodesRenewed = "ops_person.recovery_codes_renewed" { ops_person: OpsPersonId, second_factor: SecondFactorId, }
    /// Processor: an ops person used a recovery code in place of the factor.
    OpsPersonRecoveryCodeUsed = "ops_person.recovery_code_used" { ops_person: OpsPersonId, second_factor: SecondFactorId, left: u32, }
    /// Processor: the recovery of an ops person was proposed by another one.
    OpsRecoveryProposed = "ops_recovery.proposed" { ops_recovery: OpsRecoveryId, ops_person: OpsPersonId, }
    /// Processor: it was approved by a third one.
    OpsRecoveryApproved = "ops_recovery.approved" { ops_recovery: OpsRecoveryId, }
    /// Processor: the notice to the person was delivered; the account can be entered 72 hours later,
    /// unless the recovery was withdrawn meanwhile.
    OpsRecoveryNotified = "ops_recovery.notified" {
        ops_recovery: OpsRecoveryId, ops_person: OpsPersonId, delivered_at: Instant, opens_at: Option<Instant>, closes_at: Option<Instant>,
    }
    /// Processor: it was withdrawn.
    OpsRecoveryWithdrawn = "ops_recovery.withdrawn" { ops_recovery: OpsRecoveryId, }
    /// Processor: an ops person came back with a new password and no factor.
    OpsPersonRecovered = "ops_person.recovered" { ops_person: OpsPersonId, ops_recovery: OpsRecoveryId, }
    /// Processor: a key for the gate or the admin surface was made.
    ProcessorKeyCreated = "processor_key.created" { api_key: ApiKeyId, surface: String, platform: Option<Code>, expires_at: Instant, }
    /// Processor: such a key was revoked.
    ProcessorKeyRevoked = "processor_key.revoked" { api_key: ApiKeyId, }
    /// Processor and registry: a public key for permits was published.
    PermitKeyPublished = "permit_key.published" { kid: String, public_key: serde_json::Value, }
    /// Processor and registry: a published key signs permits from here on.
    PermitKeyActivated = "permit_key.activated" { kid: String, }
    /// Processor and registry: another key signs; permits of this one can be redeemed until `needed_until_at`.
    PermitKeyRetired = "permit_key.retired" { kid: String, needed_until_at: Instant, }
    /// Processor and registry: the key counts for nothing; permits that it signed are refused from here on.
    PermitKeyWithdrawn = "permit_key.withdrawn" { kid: String, emergency: bool, }
    /// Processor and registry: a public key of the logs was published (base64 of its 32 bytes).
    LogKeyPublished = "log_key.published" { kid: String, public_key: String, }
    /// Processor and registry: the hand-over. From here on this key signs checkpoints, and the one before it no more.
    LogKeyActivated = "log_key.activated" { kid: String, before: Option<String>, }
    /// Processor and registry: the key is lost or in other hands; only what was kept elsewhere before counts.
    LogKeyWithdrawn = "log_key.withdrawn" { kid: String, }
    /// Processor: a log failed a check and is in quarantine; the cause names the first index.
    LogQuarantined = "log.quarantined" { log: String, cause: String, }
    /// Processor: operations ended the quarantine of a log, after a clean check of all of it.
    LogQuarantineEnded = "log.quarantine_ended" { log: String, }
    /// Any log: the first entry of each later epoch, after a restore. `ended`: the epochs since the last opening that
    /// is here; `unconfirmed`: nothing leaves until the state is confirmed; `lost`, in the processor's log: logs of which nothing is here.
    EpochOpened = "epoch.opened" {
        restore: RestoreId, ground: RestoreGround, ended: Vec<EndedEpoch>, unconfirmed: bool,
        #[serde(default, skip_serializing_if = "Vec::is_empty")] lost: Vec<LostLog>,
    }
    /// A person of the customer confirmed the state with which an epoch began.
    StateConfirmed = "state.confirmed" { epoch: u32, membership: MembershipId, }
    /// Entries of an earlier epoch that a restore had lost were supplied from a pack, up to the root that was kept outside. They
    /// are evidence again, and change nothing that holds.
    EntriesSupplied = "entries.supplied" { epoch: u32, from: u64, until: u64, root: Digest, }
    /// Processor: operations confirmed, at the command line, the state with which an epoch began: who and what counted then.
    ProcessorStateConfirmed = "processor_state.confirmed" {
        epoch: u32, staff: Vec<OpsPersonId>, api_keys: Vec<ApiKeyId>, suspensions: Vec<SuspensionId>, permit_keys: Vec<String>,
    }
    /// Processor: a second ops person approved a platform's key.
    ProcessorKeyApproved = "processor_key.approved" { api_key: ApiKeyId, platform: Code, }
    /// Processor: a key, or a reference behind requests, asked for more than is normal.
    UnusualActivity = "alarm.unusual_activity" {
        alarm: AlarmId, kind: String, subject: String, platform: Code, level: String,
        customers: u64, rows: u64, normal_customers: u64, normal_rows: u64, since_at: Instant,
    }
    /// Processor: a message was given up that no try can deliver; `customer` is absent for one to the staff.
    MessageUndeliverable = "message.undeliverable" { message: MessageId, customer: Option<CustomerId>, purpose: String, }

    /// Platform: a customer's external id appeared.
    ExternalIdAppeared = "external_id.appeared" { customer: CustomerId, external_id: Reference, }
    /// Platform: a request for an unknown customer, or with a permit that names none, was refused.
    UnknownRefused = "gate.unknown_refused" { request: serde_json::Value, reasons: Vec<Reason>, api_key: ApiKeyId, }
    /// Platform: a batch of completions came in; those it names for no export of the platform stand here, the others in their customers' logs.
    CompletionsReceived = "gate.completions_received" { count: u64, unknown: Vec<ExportId>, api_key: ApiKeyId, }

    /// The customer was registered.
    CustomerRegistered = "customer.registered" {
        name: Name, kind: String, country: Code, zone: String, language: Code,
        privacy_contacts: Vec<Email>, second_contacts: Vec<Email>,
    }
    /// Units were added.
    UnitsAdded = "customer.units_added" { units: Vec<(Reference, Name)>, }
    /// Every export of the customer was stopped.
    CustomerSuspended = "customer.suspended" { suspension: SuspensionId, made_by: SuspendedBy, ground: Note, }
    /// The release of a suspension made by ops was proposed.
    CustomerReleaseProposed = "customer.release_proposed" { suspension: SuspensionId, release: ReleaseId, }
    /// A suspension ended.
    CustomerReleased = "customer.released" { suspension: SuspensionId, release: ReleaseId, }

    /// An ops person tried something on this customer and was refused.
    OpsAttemptRefused = "ops.attempt_refused" { operation: String, status: u16, }

    /// The first signatory was proposed by one ops person.
    FirstSignatoryProposed = "first_signatory.proposed" { first_signatory: FirstSignatoryId, agreement: AgreementId, person: PersonId, }
    /// The first signatory was approved by a second ops person, and invited.
    FirstSignatoryApproved = "first_signatory.approved" { first_signatory: FirstSignatoryId, membership: MembershipId, }
    /// The notice to the agreement's contact was delivered; authority begins 72 hours later.
    FirstSignatoryNotified = "first_signatory.notified" {
        first_signatory: FirstSignatoryId, membership: MembershipId, delivered_at: Instant, authority_begins_at: Instant,
    }
    /// The first signatory was withdrawn before its authority began.
    FirstSignatoryWithdrawn = "first_signatory.withdrawn" { first_signatory: FirstSignatoryId, membership: Option<MembershipId>, }
    /// The notice about a first signatory was delivered after the withdrawal: no authority follows.
    FirstSignatoryNoticeVoid = "first_signatory.notice_void" { first_signatory: FirstSignatoryId, }
    /// A membership began.
    MembershipBegan = "membership.began" { membership: MembershipId, person: PersonId, role: String, until_on: Option<NaiveDate>, }
    /// A membership ended.
    MembershipEnded = "membership.ended" { membership: MembershipId, }
    /// Authority was granted.
    AuthorityGranted = "authority.granted" { membership: MembershipId, kind: String, units: Option<BTreeSet<Reference>>, begins_at: Instant, }
    /// Authority was taken back.
    AuthorityEnded = "authority.ended" { membership: MembershipId, kind: String, }
    /// A member enrolled a second factor, the first or another.
    PersonFactorChanged = "person.factor_changed" { membership: MembershipId, second_factor: SecondFactorId, }
    /// A member changed the password.
    PersonPasswordChanged = "person.password_changed" { membership: MembershipId, }
    /// A member asked for another e-mail address, which counts once it is proved.
    PersonEmailAsked = "person.email_asked" { membership: MembershipId, }
    /// A member's e-mail address is another one.
    PersonEmailChanged = "person.email_changed" { membership: MembershipId, }
    /// A member drew new recovery codes; the old ones ended.
    PersonRecoveryCodesRenewed = "person.recovery_codes_renewed" { membership: MembershipId, second_factor: SecondFactorId, }
    /// A member used a recovery code in place of the factor.
    PersonRecoveryCodeUsed = "person.recovery_code_used" { membership: MembershipId, second_factor: SecondFactorId, left: u32, }
    /// The recovery of a member's account was proposed by one ops person.
    AccountRecoveryProposed = "account_recovery.proposed" { account_recovery: AccountRecoveryId, agreement: AgreementId, membership: MembershipId, }
    /// It was approved by a second ops person.
    AccountRecoveryApproved = "account_recovery.approved" { account_recovery: AccountRecoveryId, }
    /// The notice to the agreement's contact was delivered; the account can be entered 72 hours later,
    /// unless the recovery was withdrawn meanwhile.
    AccountRecoveryNotified = "account_recovery.notified" {
        account_recovery: AccountRecoveryId, membership: MembershipId, delivered_at: Instant,
        opens_at: Option<Instant>, closes_at: Option<Instant>,
    }
    /// It was withdrawn.
    AccountRecoveryWithdrawn = "account_recovery.withdrawn" { account_recovery: AccountRecoveryId, }
    /// A member came back with a new password and no factor; the recovery may have gone through another customer.
    PersonRecovered = "person.recovered" { membership: MembershipId, account_recovery: AccountRecoveryId, authority_suspended: bool, }
    /// A member's authority holds again after a recovery.
    AuthorityConfirmed = "authority.confirmed" { membership: MembershipId, }
    /// An API key was made.
    ApiKeyCreated = "api_key.created" { api_key: ApiKeyId, role: String, expires_at: Instant, }
    /// An API key was revoked.
    ApiKeyRevoked = "api_key.revoked" { api_key: ApiKeyId, }

    /// A document was stored.
    DocumentStored = "document.stored" { document: DocumentId, sha256: Digest, length: u64, media_type: String, }

    /// An agreement was prepared.
    AgreementPrepared = "agreement.prepared" {
        agreement: AgreementId, version: u32, platform: Code, external_id: Reference,
        parameters: serde_json::Value, contact: Email, document: DocumentId, document_sha256: Digest,
    }
    /// An agreement was offered.
    AgreementOffered = "agreement.offered" { agreement: AgreementId, }
    /// An agreement was accepted, with what the gate reads from it.
    AgreementAccepted = "agreement.accepted" {
        agreement: AgreementId, version: u32, membership: MembershipId, platform: Code, external_id: Reference,
        document_sha256: Digest, terms: AgreementTerms, in_force_from_at: Instant, in_force_until_at: Option<Instant>,
    }
    /// An agreement was terminated.
    AgreementTerminated = "agreement.terminated" { agreement: AgreementId, in_force_until_at: Instant, }

    /// A draft was written or changed.
    InstructionDrafted = "instruction.drafted" { instruction: InstructionId, version: u32, kind: InstructionKind, digest: Digest, }
    /// A version was signed. Its subjects stand apart.
    InstructionSigned = "instruction.signed" {
        instruction: InstructionId, version: u32, kind: InstructionKind, scope: Scope,
        valid_from_at: Instant, valid_until_at: Option<Instant>,
        document: DocumentId, document_sha256: Digest, membership: MembershipId,
    }
    /// An instruction was withdrawn.
    InstructionRevoked = "instruction.revoked" { instruction: InstructionId, membership: MembershipId, }
    /// A version was marked as appearing to infringe the law.
    InstructionContested = "instruction.contested" { contest: ContestId, instruction: InstructionId, version: u32, ground: Note, }
    /// A contested version was confirmed in writing.
    InstructionConfirmed = "instruction.confirmed" {
        contest: ContestId, instruction: InstructionId, version: u32, document: DocumentId, document_sha256: Digest, membership: MembershipId,
    }
    /// A recipient was added to the address book.
    RecipientAdded = "recipient.added" { recipient: RecipientId, legal_entity: Name, country: Code, role: Code, transfer_ground: Option<Note>, }

    /// An export was permitted.
    ExportPermitted = "export.permitted" { decision: DecisionRecord, grant: GrantRecord, }
    /// An export was refused.
    ExportRefused = "export.refused" { decision: DecisionRecord, }
    /// A dry run was answered; nothing was permitted or held.
    ExportTried = "export.tried" { decision: DecisionRecord, }
    /// A permit was redeemed.
    ExportRedeemed = "export.redeemed" {
        export: ExportId, presented_by: Code,
        #[serde(default, skip_serializing_if = "Option::is_none")] kid: Option<String>,
        decision: DecisionRecord,
    }
    /// A redemption was refused.
    RedemptionRefused = "export.redemption_refused" {
        export: ExportId, presented_by: Code, intact: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")] kid: Option<String>,
        decision: DecisionRecord,
    }
    /// One call permitted an export, redeemed its permit and authorised its only chunk: one decision for all three.
    ExportPermittedSingle = "export.single_permitted" { decision: DecisionRecord, grant: GrantRecord, }
    /// A chunk may leave.
    ChunkAuthorised = "export.chunk_authorised" { export: ExportId, chunk: ChunkRecord, decision: DecisionRecord, }
    /// A chunk may not leave; `stops`: for a reason that stops the export and not only the chunk.
    ChunkRefused = "export.chunk_refused" { export: ExportId, chunk: ChunkRecord, stops: bool, decision: DecisionRecord, }
    /// A platform reported that an export is complete. Without `reconciled` nothing of its volume was returned.
    ExportCompleted = "export.completed" {
        export: ExportId, delivered: Volume, sha256: Digest, over: BTreeSet<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")] reconciled: Option<Reconciliation>,
    }
    /// A platform reported that exports are complete: those of one customer in one batch.
    ExportsCompleted = "export.batch_completed" { completions: Vec<CompletionRecord>, }
    /// A platform reported that an export was aborted. Without `reconciled` nothing of its volume was returned.
    ExportAborted = "export.aborted" {
        export: ExportId, delivered: Volume,
        #[serde(default, skip_serializing_if = "Option::is_none")] reconciled: Option<Reconciliation>,
    }
    /// An export that had never ended was closed by the service.
    ExportSwept = "export.swept" { export: ExportId, reconciled: Reconciliation, }
    /// A platform reported that an export is complete which the service had closed, or which is void since a restore. That holds, and its volume with it.
    ExportReportedLate = "export.reported_late" {
        export: ExportId, delivered: Volume, sha256: Digest, over: BTreeSet<String>, reconciled: Reconciliation,
    }

    /// Subjects were erased from entries of this log, each named by its epoch and index.
    SubjectsErased = "subjects.erased" { entries: Vec<(u32, u64)>, ground: Code, }
    /// The hashes of the requests behind entries of this log were erased, each named by its epoch and index: what came after the subjects of its export were erased, or belonged to no customer.
    RequestsErased = "requests.erased" { entries: Vec<(u32, u64)>, ground: Code, }
    /// The bytes of a document were erased; its length and hash stay.
    DocumentErased = "document.erased" { document: DocumentId, document_sha256: Digest, ground: Code, }
}

crate::words! {
    /// Who stopped a customer's exports.
    pub enum SuspendedBy {
        /// A person of the customer.
        Customer = "customer",
        /// `ops_security`; never stops `return-at-end`.
        Ops = "ops",
    }
}

/// What the gate reads from an agreement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgreementTerms {
    /// IANA zone of its calendar days.
    pub zone: chrono_tz::Tz,
    /// Where recipients may be without a transfer ground.
    pub residency: Residency,
    /// The purposes it names.
    pub purposes: BTreeSet<Code>,
    /// The data categories it names.
    pub data_categories: BTreeSet<Code>,
}

/// Where personal data may be (promise P7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Residency {
    /// `eea_only`: the EU/EEA as of the day.
    EeaOnly(EeaOnly),
    /// The named countries; `EEA` stands for every member of the day.
    Countries(BTreeSet<Code>),
}

crate::words! {
    /// The word `eea_only`.
    pub enum EeaOnly {
        /// Only members of the EU/EEA.
        EeaOnly = "eea_only",
    }
}

impl Decode for Residency {
    fn decode(value: &serde_json::Value, at: &Pointer, faults: &mut Faults) -> Option<Self> {
        if value.is_array() {
            Decode::decode(value, at, faults).map(Self::Countries)
        } else {
            Decode::decode(value, at, faults).map(Self::EeaOnly)
        }
    }
}
