//! Deciding again: every decision in a log, on the state rebuilt from the entries before it, must
//! come out the same, reasons included; and every reconciliation must say the same. Nobody has to
//! trust inputs stored beside the answer. Where subjects were erased, the recorded verdict of the
//! subject test stands in for them; all else is decided. Pure.

use super::chunk::{Chunk, decide_chunk, stops};
use super::closing::{Completion, may_complete, may_sweep, over, reconcile, reconcile_late};
use super::decide::{Considered, Decision, Presented, View, decide_again, decide_export, decide_redemption, decide_try_again};
use super::verify::PERMIT_SECONDS;
use crate::base::{ExportId, Instant, Result, Selector, Volume};
use crate::evidence::{
    Applied, Closed, DecisionRecord, Event, Facts, Outcome, RULES, Reconciliation, RegistryFacts, SINGLE_CHUNK, StoredEntry, apply,
    apply_registry,
};

/// A decision that comes out otherwise when it is decided again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Epoch of the entry.
    pub epoch: u32,
    /// Its index.
    pub index: u64,
    /// What is not the same.
    pub what: String,
}

/// What the first answer to a key was, for one that was given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstAnswer {
    /// A permit.
    Permit(ExportId),
    /// An export permitted, redeemed and authorised in one call.
    Single(ExportId),
    /// A dry run.
    Tried,
    /// A redemption, a chunk, or anything else that names its export itself.
    Other,
}

impl FirstAnswer {
    /// What the event answered.
    #[must_use]
    pub const fn of(event: &Event) -> Self {
        match event {
            Event::ExportPermitted { grant, .. } => Self::Permit(grant.export),
            Event::ExportPermittedSingle { grant, .. } => Self::Single(grant.export),
            Event::ExportTried { .. } => Self::Tried,
            _ => Self::Other,
        }
    }
}

/// An entry whose decision is to be decided again.
#[derive(Debug, Clone, Copy)]
pub struct Replayed<'a> {
    /// Its time.
    pub at: Instant,
    /// What happened.
    pub event: &'a Event,
    /// Its subjects, where it has some that are not erased.
    pub subjects: Option<&'a [Selector]>,
    /// For a key asked again: when it was answered first, and what.
    pub first: Option<(Instant, FirstAnswer)>,
}

/// Replays a customer's log against the registry's. Returns the rebuilt facts and every difference.
///
/// # Errors
/// When an entry cannot be read.
pub fn replay(registry: &[StoredEntry], log: &[StoredEntry]) -> Result<(Facts, Vec<Difference>)> {
    let mut facts = Facts::default();
    let mut present = RegistryFacts::default();
    let mut taken = 0_usize;
    let mut differences = Vec::new();
    for entry in log {
        let event = entry.event()?;
        let subjects = entry.selectors()?;
        let mut first = None;
        if let Some(decision) = decision_of(&event) {
            // The registry only grows, and a customer's decisions see it in order.
            let sees = (decision.registry_epoch, decision.registry_size);
            while let Some(next) = registry.get(taken).filter(|next| (next.epoch, next.index) < sees) {
                apply_registry(&mut present, &next.event()?);
                taken += 1;
            }
            let asked_first = decision.first_answer(entry.epoch).and_then(|at| log.iter().find(|e| (e.epoch, e.index) == at));
            first = asked_first.map(|e| Ok::<_, crate::base::Error>((e.at, FirstAnswer::of(&e.event()?)))).transpose()?;
        }
        let replayed = Replayed { at: entry.at, event: &event, subjects: subjects.as_deref(), first };
        if let Some(what) = differs(&replayed, &facts, &present) {
            differences.push(Difference { epoch: entry.epoch, index: entry.index, what });
        }
        apply(&mut facts, Applied { epoch: entry.epoch, index: entry.index, event: &event, subjects: subjects.as_deref() });
    }
    Ok((facts, differences))
}

/// The decision in an entry, if it carries one.
#[must_use]
pub const fn decision_of(event: &Event) -> Option<&DecisionRecord> {
    match event {
        Event::ExportPermitted { decision, .. }
        | Event::ExportRefused { decision }
        | Event::ExportTried { decision }
        | Event::ExportRedeemed { decision, .. }
        | Event::RedemptionRefused { decision, .. }
        | Event::ExportPermittedSingle { decision, .. }
        | Event::ChunkAuthorised { decision, .. }
        | Event::ChunkRefused { decision, .. } => Some(decision),
        _ => None,
    }
}

/// What comes out otherwise when an entry is decided, or reconciled, on the facts before it.
#[must_use]
pub fn differs(entry: &Replayed<'_>, facts: &Facts, registry: &RegistryFacts) -> Option<String> {
    decided_otherwise(entry, facts, registry).or_else(|| closing_differs(entry.event, facts, entry.at))
}

fn decided_otherwise(entry: &Replayed<'_>, facts: &Facts, registry: &RegistryFacts) -> Option<String> {
    let record = decision_of(entry.event)?;
    if record.rules != RULES || record.now != entry.at {
        return Some(format!("decided by rules {} at {}, and entered at {}", record.rules, record.now, entry.at));
    }
    let view = View { customer: facts, registry, recorded: Some(&record.subject_verdict) };
    let considered = match decide_once_more(entry, record, view) {
        Ok(considered) => considered,
        Err(what) => return Some(what),
    };
    let outcome = match &considered.decision {
        Decision::Allow(_) => Outcome::Allowed,
        Decision::Refuse(r) => Outcome::Refused { reasons: r.reasons.clone(), more_candidates: r.more_candidates },
    };
    let same = outcome == record.outcome
        && as_recorded(entry, &considered, facts)
        && considered.candidates == record.candidates
        && considered.subject_verdict == record.subject_verdict;
    (!same).then(|| format!("recorded {record:?}, decided again {considered:?}"))
}

/// True if the event says what follows from the decision: the outcome's word, the grant, whether the
/// export stops.
fn as_recorded(entry: &Replayed<'_>, considered: &Considered, facts: &Facts) -> bool {
    match (&considered.decision, entry.event) {
        (Decision::Allow(grant), Event::ExportPermitted { grant: record, .. } | Event::ExportPermittedSingle { grant: record, .. }) => {
            grant.instruction() == record.instruction
                && grant.agreement() == (record.agreement, record.agreement_version)
                && grant.day() == record.day
                && grant.document_sha256() == record.document_sha256
                && record.issued_at == entry.at
                && record.expires_at.millis() - record.issued_at.millis() <= PERMIT_SECONDS * 1000
        }
        (Decision::Allow(_), event) => {
            matches!(event, Event::ExportTried { .. } | Event::ExportRedeemed { .. } | Event::ChunkAuthorised { .. })
        }
        (Decision::Refuse(refusal), Event::ChunkRefused { export, stops: recorded, .. }) => {
            facts.exports.get(export).is_some_and(|export| stops(export, refusal) == *recorded)
        }
        (Decision::Refuse(_), event) => {
            matches!(event, Event::ExportTried { .. } | Event::ExportRefused { .. } | Event::RedemptionRefused { .. })
        }
    }
}

fn decide_once_more(entry: &Replayed<'_>, record: &DecisionRecord, view: View<'_>) -> Result<Considered, String> {
    let first_at = entry.first.map(|(at, _)| at);
    if record.again_of.is_some() && first_at.is_none() {
        return Err(format!("asked again after the entry {:?}, which is not there", record.again_of));
    }
    let mut request = record.request.clone();
    let of = |export: &ExportId| view.customer.exports.get(export).ok_or_else(|| format!("{export} was never permitted"));
    match entry.event {
        Event::ExportRedeemed { export, presented_by, kid, .. } | Event::RedemptionRefused { export, presented_by, kid, .. } => {
            request.subjects = of(export)?.subjects.clone().unwrap_or_default();
            let intact = !matches!(entry.event, Event::RedemptionRefused { intact: false, .. });
            let presented = Presented { export: *export, by: presented_by, intact, kid: kid.as_deref(), first_at };
            Ok(decide_redemption(&presented, &request, view, record.now))
        }
        Event::ChunkAuthorised { export, chunk, .. } | Event::ChunkRefused { export, chunk, .. } => {
            let of = of(export)?;
            request.subjects = of.subjects.clone().unwrap_or_default();
            let chunk = Chunk { export: *export, by: &of.request.platform, number: chunk.chunk_no, volume: chunk.volume, first_at };
            Ok(decide_chunk(&chunk, &request, view, record.now))
        }
        _ => {
            request.subjects = entry.subjects.unwrap_or_default().to_vec();
            Ok(match entry.first {
                None => decide_export(&request, view, record.now),
                Some((at, FirstAnswer::Permit(export))) => decide_again(export, at, &request, view, record.now),
                Some((_, FirstAnswer::Single(export))) => {
                    let platform = request.platform.clone();
                    let chunk = Chunk { export, by: &platform, number: SINGLE_CHUNK, volume: request.volume, first_at };
                    decide_chunk(&chunk, &request, view, record.now)
                }
                Some((at, FirstAnswer::Tried)) => decide_try_again(at, &request, view, record.now),
                Some((_, FirstAnswer::Other)) => return Err("asked again after an entry that answers no request".to_owned()),
            })
        }
    }
}
/// Reports without a reconciliation were made before there were chunks.
fn closing_differs(event: &Event, facts: &Facts, at: Instant) -> Option<String> {
    let nothing = Volume::default();
    let differs = |export: &ExportId, how, delivered: &Volume, recorded: Option<&Reconciliation>| {
        let recorded = recorded?;
        let again = facts.exports.get(export).map(|export| reconcile(export, how, delivered));
        (again.as_ref() != Some(recorded)).then(|| format!("recorded {recorded:?}, reconciled again {again:?}"))
    };
    match event {
        Event::ExportCompleted { export, delivered, reconciled, .. } => differs(export, Closed::Completed, delivered, reconciled.as_ref()),
        Event::ExportAborted { export, delivered, reconciled } => differs(export, Closed::Aborted, delivered, reconciled.as_ref()),
        Event::ExportsCompleted { completions } => completions.iter().find_map(|c| {
            let permitted = facts.exports.get(&c.export).map(|export| export.request.volume).unwrap_or_default();
            let beyond = (c.over != over(&permitted, &c.delivered)).then(|| format!("recorded {c:?}, over the permitted otherwise"));
            let taken = c.reconciled.as_ref().filter(|_| !c.late);
            beyond.or_else(|| differs(&c.export, Closed::Completed, &c.delivered, taken))
        }),
        Event::ExportReportedLate { export, delivered, over: beyond, reconciled, .. } => {
            let again = facts.exports.get(export).filter(|export| may_complete(export).is_ok_and(|does| does == Completion::Late));
            let again = again.map(|export| (over(&export.request.volume, delivered), reconcile_late(export, delivered)));
            let same = again.as_ref().is_some_and(|again| (&again.0, &again.1) == (beyond, reconciled));
            (!same).then(|| format!("recorded {reconciled:?} over {beyond:?}, reconciled again {again:?}"))
        }
        Event::ExportSwept { export, reconciled } => {
            let early = !facts.exports.get(export).is_some_and(|export| may_sweep(export, at));
            early.then(|| format!("{export} was closed too early")).or_else(|| differs(export, Closed::Swept, &nothing, Some(reconciled)))
        }
        _ => None,
    }
}
