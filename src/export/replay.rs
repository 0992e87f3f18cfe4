//! Deciding again: every decision in a log, on the state rebuilt from the entries before it, must
//! come out the same, reasons included; and every reconciliation must say the same. Nobody has to
//! trust inputs stored beside the answer. Pure.

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
        if let Some(decision) = decision_of(&event) {
            // The registry only grows, and a customer's decisions see it in order.
            while (taken as u64) < decision.registry_size && taken < registry.len() {
                apply_registry(&mut present, &registry[taken].event()?);
                taken += 1;
            }
            let view = View { customer: &facts, registry: &present };
            if let Some(what) = differs(entry, &event, subjects.as_deref(), view, log) {
                differences.push(Difference { epoch: entry.epoch, index: entry.index, what });
            }
        }
        if let Some(what) = closing_differs(&event, &facts, entry.at) {
            differences.push(Difference { epoch: entry.epoch, index: entry.index, what });
        }
        apply(&mut facts, Applied { epoch: entry.epoch, index: entry.index, event: &event, subjects: subjects.as_deref() });
    }
    Ok((facts, differences))
}

const fn decision_of(event: &Event) -> Option<&DecisionRecord> {
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

fn differs(entry: &StoredEntry, event: &Event, subjects: Option<&[Selector]>, view: View<'_>, log: &[StoredEntry]) -> Option<String> {
    let record = decision_of(event)?;
    if record.rules != RULES || record.now != entry.at {
        return Some(format!("decided by rules {} at {}, and entered at {}", record.rules, record.now, entry.at));
    }
    let first = record.again_of.and_then(|index| log.iter().find(|e| e.epoch == entry.epoch && e.index == index));
    let considered = decide_once_more(event, record, subjects, view, first)?;
    let outcome = match &considered.decision {
        Decision::Allow(_) => Outcome::Allowed,
        Decision::Refuse(r) => Outcome::Refused { reasons: r.reasons.clone(), more_candidates: r.more_candidates },
    };
    let cited = match (&considered.decision, event) {
        (Decision::Allow(grant), Event::ExportPermitted { grant: record, .. } | Event::ExportPermittedSingle { grant: record, .. }) => {
            grant.instruction() == record.instruction
                && grant.agreement() == (record.agreement, record.agreement_version)
                && grant.day() == record.day
                && grant.document_sha256() == record.document_sha256
                && record.issued_at == entry.at
                && record.expires_at.millis() - record.issued_at.millis() <= PERMIT_SECONDS * 1000
        }
        (Decision::Refuse(refusal), Event::ChunkRefused { export, stops: recorded, .. }) => {
            view.customer.exports.get(export).is_some_and(|export| stops(export, refusal) == *recorded)
        }
        _ => true,
    };
    let same = outcome == record.outcome
        && cited
        && considered.candidates == record.candidates
        && considered.subject_verdict == record.subject_verdict;
    (!same).then(|| format!("recorded {record:?}, decided again {considered:?}"))
}

/// `None` when the inputs are not there any more: that is for a verifier to report, not a difference.
fn decide_once_more(
    event: &Event,
    record: &DecisionRecord,
    subjects: Option<&[Selector]>,
    view: View<'_>,
    first: Option<&StoredEntry>,
) -> Option<Considered> {
    let first_at: Option<Instant> = first.map(|e| e.at);
    let mut request = record.request.clone();
    match event {
        Event::ExportRedeemed { export, presented_by, kid, .. } | Event::RedemptionRefused { export, presented_by, kid, .. } => {
            request.subjects = view.customer.exports.get(export)?.subjects.clone()?;
            let intact = !matches!(event, Event::RedemptionRefused { intact: false, .. });
            let presented = Presented { export: *export, by: presented_by, intact, kid: kid.as_deref(), first_at };
            Some(decide_redemption(&presented, &request, view, record.now))
        }
        Event::ChunkAuthorised { export, chunk, .. } | Event::ChunkRefused { export, chunk, .. } => {
            let of = view.customer.exports.get(export)?;
            request.subjects = of.subjects.clone()?;
            let chunk = Chunk { export: *export, by: &of.request.platform, number: chunk.chunk_no, volume: chunk.volume, first_at };
            Some(decide_chunk(&chunk, &request, view, record.now))
        }
        _ => {
            request.subjects = subjects?.to_vec();
            match (first.map(StoredEntry::event), first_at) {
                (Some(Ok(Event::ExportPermitted { grant, .. })), Some(at)) => {
                    Some(decide_again(grant.export, at, &request, view, record.now))
                }
                (Some(Ok(Event::ExportPermittedSingle { grant, .. })), Some(_)) => {
                    let platform = request.platform.clone();
                    let chunk = Chunk { export: grant.export, by: &platform, number: SINGLE_CHUNK, volume: request.volume, first_at };
                    Some(decide_chunk(&chunk, &request, view, record.now))
                }
                (Some(Ok(Event::ExportTried { .. })), Some(at)) => Some(decide_try_again(at, &request, view, record.now)),
                (Some(_), _) => None,
                _ => Some(decide_export(&request, view, record.now)),
            }
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
