//! What a customer's log says holds, rebuilt by one pure `apply`. The gate's store must read equal
//! facts from the tables; replay decides on these. `apply` is keyed by the entry's version and
//! never changes for an old one.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use super::decision::{DecisionRecord, ExportRequest, GrantRecord, InstructionRef};
use super::event::{AgreementTerms, Event, SuspendedBy};
use super::running::{Closed, Reconciliation};
use crate::base::{
    AgreementId, Code, ContestId, Digest, ExportId, Instant, InstructionId, InstructionKind, Scope, Selector, SuspensionId, Volume,
};

/// An accepted agreement, as the gate reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgreementFacts {
    /// Version.
    pub version: u32,
    /// The platform it covers.
    pub platform: Code,
    /// Purposes, categories, residency, zone.
    pub terms: AgreementTerms,
    /// First instant in force.
    pub from: Instant,
    /// First instant no longer in force.
    pub until: Option<Instant>,
}

/// A signed version of an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionFacts {
    /// What it covers, without subjects.
    pub scope: Scope,
    /// Whose data it covers; `None` when erased.
    pub subjects: Option<Vec<Selector>>,
    /// Start of its window.
    pub valid_from: Instant,
    /// First instant after its window.
    pub valid_until: Option<Instant>,
    /// The document's hash.
    pub document_sha256: Digest,
    /// Epoch and index of its signature.
    pub signed: (u32, u64),
    /// Open contests.
    pub contests: BTreeSet<ContestId>,
}

/// An instruction with its signed versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstructionFacts {
    /// Kind.
    pub kind: InstructionKind,
    /// True once withdrawn.
    pub revoked: bool,
    /// Signed versions.
    pub versions: BTreeMap<u32, VersionFacts>,
}

/// An export: its permit and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportFacts {
    /// What was asked, without subjects.
    pub request: ExportRequest,
    /// Whose data was asked for; `None` when erased.
    pub subjects: Option<Vec<Selector>>,
    /// What was granted.
    pub grant: GrantRecord,
    /// True once redeemed.
    pub redeemed: bool,
    /// How it ended, once it has.
    pub closed: Option<Closed>,
    /// True once the platform has reported it complete after the service had closed it.
    pub reported_late: bool,
    /// True while the last chunk asked for was refused for a reason that stops the export.
    pub stopped: bool,
    /// Instant of its redemption or of the chunk authorised last.
    pub active_at: Option<Instant>,
    /// How many chunks were authorised.
    pub chunks: u64,
    /// The sum of them; a dimension that no chunk stated is unstated.
    pub authorised: Volume,
    /// Numbers of the chunks authorised. Tables are read for the number asked for only.
    pub chunk_numbers: BTreeSet<u32>,
    /// What of the instruction's used volume is this export's.
    pub counted: Used,
}

impl ExportFacts {
    /// A permit as it is issued.
    #[must_use]
    pub const fn permitted(request: ExportRequest, subjects: Option<Vec<Selector>>, grant: GrantRecord) -> Self {
        Self {
            request,
            subjects,
            grant,
            redeemed: false,
            closed: None,
            reported_late: false,
            stopped: false,
            active_at: None,
            chunks: 0,
            authorised: Volume { rows: None, files: None, bytes: None },
            chunk_numbers: BTreeSet::new(),
            counted: Used { rows: 0, files: 0, bytes: 0 },
        }
    }
    /// True if the permit is still waiting to be redeemed at `now`.
    #[must_use]
    pub fn holds(&self, now: Instant) -> bool {
        !self.redeemed && self.closed.is_none() && now < self.grant.expires_at
    }
    /// True if chunks of it may leave: redeemed, and not ended.
    #[must_use]
    pub const fn runs(&self) -> bool {
        self.redeemed && self.closed.is_none()
    }
}

/// Volume that was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// Records.
    pub rows: u64,
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Used {
    /// This and a volume more; an unstated dimension counts as none.
    #[must_use]
    pub fn plus(self, volume: &Volume) -> Self {
        // As far as the table counts.
        let add = |used: u64, more: Option<u64>| used.saturating_add(more.unwrap_or(0)).min(i64::MAX.unsigned_abs());
        Self { rows: add(self.rows, volume.rows), files: add(self.files, volume.files), bytes: add(self.bytes, volume.bytes) }
    }
    /// This and less by a volume; an unstated dimension counts as none.
    #[must_use]
    pub fn less(self, volume: &Volume) -> Self {
        Self {
            rows: self.rows.saturating_sub(volume.rows.unwrap_or(0)),
            files: self.files.saturating_sub(volume.files.unwrap_or(0)),
            bytes: self.bytes.saturating_sub(volume.bytes.unwrap_or(0)),
        }
    }
    /// This as a volume that states every dimension.
    #[must_use]
    pub const fn stated(self) -> Volume {
        Volume { rows: Some(self.rows), files: Some(self.files), bytes: Some(self.bytes) }
    }
    /// The dimensions in the order of [`Volume::parts`].
    #[must_use]
    pub const fn parts(self) -> [u64; 3] {
        [self.rows, self.files, self.bytes]
    }
}

/// Everything the gate knows of one customer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Accepted agreements.
    pub agreements: BTreeMap<AgreementId, AgreementFacts>,
    /// Instructions with signed versions.
    pub instructions: BTreeMap<InstructionId, InstructionFacts>,
    /// Open suspensions of the customer.
    pub suspensions: BTreeMap<SuspensionId, SuspendedBy>,
    /// Exports.
    pub exports: BTreeMap<ExportId, ExportFacts>,
    /// Volume of redeemed exports, per version and day: the sum of what counts of each.
    pub usage: BTreeMap<InstructionRef, BTreeMap<NaiveDate, Used>>,
    /// True while nobody has confirmed the state in which a restore left the log.
    pub unconfirmed: bool,
}

impl Facts {
    /// A signed version.
    #[must_use]
    pub fn version(&self, at: InstructionRef) -> Option<(&InstructionFacts, &VersionFacts)> {
        let instruction = self.instructions.get(&at.id)?;
        Some((instruction, instruction.versions.get(&at.version)?))
    }
}

/// An entry as `apply` takes it.
#[derive(Debug, Clone, Copy)]
pub struct Applied<'a> {
    /// Epoch of the log.
    pub epoch: u32,
    /// Index in it.
    pub index: u64,
    /// What happened.
    pub event: &'a Event,
    /// Whose data, where the event has subjects that are not erased.
    pub subjects: Option<&'a [Selector]>,
}

/// Takes one entry into the facts. Entries of version 1.
pub fn apply(facts: &mut Facts, entry: Applied<'_>) {
    match entry.event {
        Event::AgreementAccepted { agreement, version, platform, terms, in_force_from_at, in_force_until_at, .. } => {
            let accepted = AgreementFacts {
                version: *version,
                platform: platform.clone(),
                terms: terms.clone(),
                from: *in_force_from_at,
                until: *in_force_until_at,
            };
            facts.agreements.insert(*agreement, accepted);
        }
        Event::AgreementTerminated { agreement, in_force_until_at } => {
            if let Some(agreement) = facts.agreements.get_mut(agreement) {
                agreement.until = Some(*in_force_until_at);
            }
        }
        Event::CustomerSuspended { suspension, made_by, .. } => {
            facts.suspensions.insert(*suspension, *made_by);
        }
        Event::CustomerReleased { suspension, .. } => {
            facts.suspensions.remove(suspension);
        }
        Event::EpochOpened { unconfirmed, .. } => open_epoch(facts, *unconfirmed),
        Event::StateConfirmed { .. } => facts.unconfirmed = false,
        Event::InstructionSigned { .. }
        | Event::InstructionRevoked { .. }
        | Event::InstructionContested { .. }
        | Event::InstructionConfirmed { .. } => {
            apply_instruction(facts, entry);
        }
        _ => apply_export(facts, entry),
    }
}

/// Every permit and running export of an older epoch is void.
fn open_epoch(facts: &mut Facts, unconfirmed: bool) {
    facts.unconfirmed |= unconfirmed;
    for export in facts.exports.values_mut() {
        export.closed.get_or_insert(Closed::Voided);
    }
}

fn apply_instruction(facts: &mut Facts, entry: Applied<'_>) {
    match entry.event {
        Event::InstructionSigned { instruction, version, kind, scope, valid_from_at, valid_until_at, document_sha256, .. } => {
            let signed = VersionFacts {
                scope: scope.clone(),
                subjects: entry.subjects.map(<[Selector]>::to_vec),
                valid_from: *valid_from_at,
                valid_until: *valid_until_at,
                document_sha256: *document_sha256,
                signed: (entry.epoch, entry.index),
                contests: BTreeSet::new(),
            };
            facts
                .instructions
                .entry(*instruction)
                .or_insert_with(|| InstructionFacts { kind: *kind, revoked: false, versions: BTreeMap::new() })
                .versions
                .insert(*version, signed);
        }
        Event::InstructionRevoked { instruction, .. } => {
            if let Some(instruction) = facts.instructions.get_mut(instruction) {
                instruction.revoked = true;
            }
        }
        Event::InstructionContested { contest, instruction, version, .. } => {
            if let Some(version) = version_mut(facts, *instruction, *version) {
                version.contests.insert(*contest);
            }
        }
        Event::InstructionConfirmed { contest, instruction, version, .. } => {
            if let Some(version) = version_mut(facts, *instruction, *version) {
                version.contests.remove(contest);
            }
        }
        _ => {}
    }
}

fn version_mut(facts: &mut Facts, instruction: InstructionId, version: u32) -> Option<&mut VersionFacts> {
    facts.instructions.get_mut(&instruction)?.versions.get_mut(&version)
}

fn apply_export(facts: &mut Facts, entry: Applied<'_>) {
    match entry.event {
        Event::ExportPermitted { decision, grant } => permit(facts, decision, grant, entry.subjects),
        Event::ExportPermittedSingle { decision, grant } => {
            permit(facts, decision, grant, entry.subjects);
            redeem(facts, grant.export, decision.now);
            authorise(facts, grant.export, SINGLE_CHUNK, &decision.request.volume, decision.now);
        }
        Event::ExportRedeemed { export, decision, .. } => redeem(facts, *export, decision.now),
        Event::ChunkAuthorised { export, chunk, decision } => authorise(facts, *export, chunk.chunk_no, &chunk.volume, decision.now),
        Event::ChunkRefused { export, stops: true, .. } => {
            if let Some(export) = facts.exports.get_mut(export) {
                export.stopped = true;
            }
        }
        Event::ExportCompleted { export, reconciled, .. } => close(facts, *export, Closed::Completed, reconciled.as_ref()),
        Event::ExportsCompleted { completions } => {
            for completion in completions.iter().filter(|c| c.conflict.is_none()) {
                close(facts, completion.export, Closed::Completed, completion.reconciled.as_ref());
            }
        }
        Event::ExportAborted { export, reconciled, .. } => close(facts, *export, Closed::Aborted, reconciled.as_ref()),
        Event::ExportSwept { export, reconciled } => close(facts, *export, Closed::Swept, Some(reconciled)),
        Event::ExportReportedLate { export, .. } => {
            if let Some(export) = facts.exports.get_mut(export) {
                export.reported_late = true;
            }
        }
        _ => {}
    }
}

/// The number of the only chunk of an export that was permitted, redeemed and authorised in one call.
pub const SINGLE_CHUNK: u32 = 1;

fn permit(facts: &mut Facts, decision: &DecisionRecord, grant: &GrantRecord, subjects: Option<&[Selector]>) {
    let export = ExportFacts::permitted(decision.request.clone(), subjects.map(<[Selector]>::to_vec), grant.clone());
    facts.exports.insert(grant.export, export);
}

fn redeem(facts: &mut Facts, export: ExportId, now: Instant) {
    let Some(export) = facts.exports.get_mut(&export) else { return };
    export.redeemed = true;
    export.active_at = Some(now);
    export.counted = Used::default().plus(&export.request.volume);
    let used = facts.usage.entry(export.grant.instruction).or_default().entry(export.grant.day).or_default();
    *used = used.plus(&export.request.volume);
}

fn authorise(facts: &mut Facts, export: ExportId, number: u32, volume: &Volume, now: Instant) {
    let Some(export) = facts.exports.get_mut(&export) else { return };
    export.stopped = false;
    export.active_at = Some(now);
    export.chunks += 1;
    export.authorised = export.authorised.plus(volume);
    export.chunk_numbers.insert(number);
}

fn close(facts: &mut Facts, export: ExportId, how: Closed, reconciled: Option<&Reconciliation>) {
    let Some(export) = facts.exports.get_mut(&export) else { return };
    export.closed = Some(how);
    if let Some(Reconciliation { returned, .. }) = reconciled.filter(|_| export.redeemed) {
        export.counted = export.counted.less(returned);
        let used = facts.usage.entry(export.grant.instruction).or_default().entry(export.grant.day).or_default();
        *used = used.less(returned);
    }
}
