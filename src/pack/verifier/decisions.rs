//! The second passage over the customer's log: every decision of the gate again, on the state rebuilt
//! from the entries before it, and whether everything that was done had its mandate. What holds is
//! all that is kept in memory: an export that has ended, and that no later entry names, is let go.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant as Moment};

use super::authority::Members;
use super::finding::{Check, Findings, Place};
use super::leaves::{At, Gathered};
use super::stream::Lines;
use crate::base::{ExportId, Instant, Selector};
use crate::evidence::{Applied, Closed, Event, Facts, GrantRecord, RULES, RegistryFacts, apply, apply_registry};
use crate::export::{FirstAnswer, Replayed, decision_of, differs};
use crate::pack::format::*;

/// Types of the registry's entries that change what the gate reads.
const READ_BY_GATE: [&str; 3] = ["reference.", "platform.", "permit_key."];

/// Reads what the gate reads of the registry's log.
pub(super) fn registry_events(epoch: u32, lines: &mut Lines, into: &mut Vec<(At, Event)>) -> Result<(), u64> {
    let (mut index, mut text) = (0, String::new());
    while let Some(line) = lines.next() {
        let mut read = || -> Result<Option<Event>, serde_json::Error> {
            let entry: EntryLine<'_> = serde_json::from_slice(line)?;
            let leaf: Leaf<'_> = serde_json::from_str(entry.leaf.get())?;
            match entry.record {
                Some(record) if READ_BY_GATE.iter().any(|prefix| leaf.word.starts_with(prefix)) => {
                    event(leaf.word, record.get(), &mut text).map(Some)
                }
                _ => Ok(None),
            }
        };
        into.extend(read().map_err(|_| index)?.map(|event| ((epoch, index), event)));
        index += 1;
    }
    Ok(())
}

fn event(word: &str, record: &str, text: &mut String) -> Result<Event, serde_json::Error> {
    text.clear();
    text.push_str("{\"type\":\"");
    text.push_str(word);
    text.push_str("\",\"record\":");
    text.push_str(record);
    text.push('}');
    serde_json::from_str(text)
}

/// The second passage, over all epochs.
pub(super) struct Passage<'a> {
    pub found: &'a mut Findings,
    gathered: &'a Gathered,
    registry_log: &'a [(At, Event)],
    taken: usize,
    /// How much of the registry's log the last decision saw.
    seen: At,
    registry: RegistryFacts,
    facts: Facts,
    members: Members,
    /// What was answered first to keys that were asked again.
    firsts: BTreeMap<At, (Instant, FirstAnswer)>,
    /// Permits in the order in which they expire.
    expiring: VecDeque<(Instant, ExportId)>,
    text: String,
    /// Decisions that came out the same.
    pub decided: u64,
    /// Time spent on deciding them.
    pub took: Duration,
}

impl<'a> Passage<'a> {
    pub(super) fn new(found: &'a mut Findings, gathered: &'a Gathered, registry_log: &'a [(At, Event)]) -> Self {
        Self {
            found,
            gathered,
            registry_log,
            taken: 0,
            seen: (0, 0),
            registry: RegistryFacts::default(),
            facts: Facts::default(),
            members: Members::default(),
            firsts: BTreeMap::new(),
            expiring: VecDeque::new(),
            text: String::new(),
            decided: 0,
            took: Duration::ZERO,
        }
    }

    /// Reads one epoch of the customer's log.
    pub(super) fn run(&mut self, epoch: u32, lines: &mut Lines) {
        let mut index = 0;
        while let Some(line) = lines.next() {
            // The first passage has said what is wrong with a line.
            let Ok(entry) = serde_json::from_slice::<EntryLine<'_>>(line) else { return };
            let Ok(leaf) = serde_json::from_str::<Leaf<'_>>(entry.leaf.get()) else { return };
            let place = Place::entry(PackLog::Customer, epoch, index);
            let at = (epoch, index);
            index += 1;
            let Some(record) = entry.record else {
                let answer = if leaf.word == "export.tried" { FirstAnswer::Tried } else { FirstAnswer::Other };
                self.first(at, leaf.at, answer);
                continue;
            };
            let mut text = std::mem::take(&mut self.text);
            let read = event(leaf.word, record.get(), &mut text);
            self.text = text;
            let Ok(event) = read else {
                self.found.undecided(Check::Decisions, place, "its record does not have the shape of its type");
                continue;
            };
            let subjects = entry.subjects.map(|list| serde_json::from_str::<Vec<Selector>>(list.get())).transpose();
            let Ok(subjects) = subjects else {
                self.found.undecided(Check::Decisions, place, "its subjects cannot be read");
                continue;
            };
            let began = Moment::now();
            self.entry(at, leaf.at, &event, subjects.as_deref(), place);
            self.took += began.elapsed();
        }
    }

    fn first(&mut self, at: At, time: Instant, answer: FirstAnswer) {
        if self.gathered.asked_again.contains(&at) {
            self.firsts.insert(at, (time, answer));
        }
    }

    fn entry(&mut self, at: At, time: Instant, event: &Event, subjects: Option<&[Selector]>, place: Place) {
        self.decide(at, time, event, subjects, &place);
        if self.found.asks(Check::Mandates) {
            let what = self.members.apply(event).and_then(|()| self.members.signed(event, subjects, &self.facts, time));
            if let Err(what) = what.and_then(|()| self.mandate(event, time)) {
                self.found.tampered(Check::Mandates, place, what);
            }
        }
        self.first(at, time, FirstAnswer::of(event));
        apply(&mut self.facts, Applied { epoch: at.0, index: at.1, event, subjects });
        self.let_go(at, time, event);
    }

    fn decide(&mut self, at: At, time: Instant, event: &Event, subjects: Option<&[Selector]>, place: &Place) {
        if !self.found.asks(Check::Decisions) {
            return;
        }
        let mut first = None;
        if let Some(decision) = decision_of(event) {
            if decision.rules != RULES {
                let what = format!("this program does not know the rules {} by which it was decided", decision.rules);
                return self.found.undecided(Check::Decisions, place.clone(), what);
            }
            let sees = (decision.registry_epoch, decision.registry_size);
            if let Err(what) = self.registry_up_to(sees) {
                return self.found.tampered(Check::Decisions, place.clone(), what);
            }
            first = decision.first_answer(at.0).and_then(|first| self.firsts.get(&first).copied());
        }
        match differs(&Replayed { at: time, event, subjects, first }, &self.facts, &self.registry) {
            Some(what) => self.found.tampered(Check::Decisions, place.clone(), format!("decided again, it comes out otherwise: {what}")),
            None => self.decided += u64::from(decision_of(event).is_some()),
        }
    }

    /// Takes the registry's entries in up to a size. The registry only grows, and a customer's
    /// decisions see it in order.
    fn registry_up_to(&mut self, sees: At) -> Result<(), String> {
        let held = self.gathered.sizes.get(&(PackLog::Registry, sees.0)).copied().unwrap_or(0);
        if sees.1 > held {
            return Err(format!("it saw {} entries of the registry's epoch {}, and the pack holds {held}", sees.1, sees.0));
        }
        if sees < self.seen {
            return Err("it saw less of the registry's log than a decision before it".to_owned());
        }
        self.seen = sees;
        while let Some((_, event)) = self.registry_log.get(self.taken).filter(|(at, _)| *at < sees) {
            apply_registry(&mut self.registry, event);
            self.taken += 1;
        }
        Ok(())
    }

    /// Whether what was done had its mandate: an instruction in force, and an export that was permitted
    /// on it. Apart from the decision, so that nothing rests on the rules alone.
    fn mandate(&self, event: &Event, time: Instant) -> Result<(), String> {
        let permitted = |export: &ExportId| {
            let of = self.facts.exports.get(export).map(|export| &export.grant);
            of.ok_or_else(|| format!("{export} was never permitted"))
        };
        match event {
            Event::ExportPermitted { grant, .. } | Event::ExportPermittedSingle { grant, .. } => self.in_force(grant, time),
            Event::ExportRedeemed { export, .. } | Event::ChunkAuthorised { export, .. } => {
                let voided = self.facts.exports.get(export).is_some_and(|export| export.closed == Some(Closed::Voided));
                let grant = permitted(export)?;
                if voided { Err(format!("{export} is of an epoch before a restore, and void")) } else { self.in_force(grant, time) }
            }
            Event::ExportCompleted { export, .. } | Event::ExportAborted { export, .. } | Event::ExportSwept { export, .. } => {
                permitted(export).map(|_| ())
            }
            Event::ExportsCompleted { completions } => completions.iter().try_for_each(|c| permitted(&c.export).map(|_| ())),
            _ => Ok(()),
        }
    }

    fn in_force(&self, grant: &GrantRecord, time: Instant) -> Result<(), String> {
        if self.facts.unconfirmed {
            return Err("nobody had confirmed the state in which a restore left the log".to_owned());
        }
        let cited = format!("{} version {}", grant.instruction.id, grant.instruction.version);
        let Some((instruction, version)) = self.facts.version(grant.instruction) else {
            return Err(format!("it cites {cited}, which was never signed"));
        };
        let over = version.valid_until.is_some_and(|until| until <= time);
        if instruction.revoked || !version.contests.is_empty() || time < version.valid_from || over {
            return Err(format!("it cites {cited}, which was not in force"));
        }
        if version.document_sha256 != grant.document_sha256 {
            return Err(format!("it cites another document than {cited} was signed with"));
        }
        Ok(())
    }

    /// Lets go of exports that no later entry names and no decision looks at.
    fn let_go(&mut self, at: At, now: Instant, event: &Event) {
        let mut named: Vec<ExportId> = Vec::new();
        match event {
            Event::ExportPermitted { grant, .. } | Event::ExportPermittedSingle { grant, .. } => {
                self.expiring.push_back((grant.expires_at, grant.export));
                named.push(grant.export);
            }
            Event::ExportsCompleted { completions } => named.extend(completions.iter().map(|c| c.export)),
            Event::ExportRedeemed { export, .. }
            | Event::RedemptionRefused { export, .. }
            | Event::ChunkAuthorised { export, .. }
            | Event::ChunkRefused { export, .. }
            | Event::ExportCompleted { export, .. }
            | Event::ExportAborted { export, .. }
            | Event::ExportSwept { export, .. } => named.push(*export),
            _ => {}
        }
        while let Some((_, export)) = self.expiring.front().filter(|(expires_at, _)| *expires_at <= now) {
            named.push(*export);
            self.expiring.pop_front();
        }
        for export in named {
            let is_last = self.gathered.last_named.get(&export).is_none_or(|last| *last <= at);
            if is_last && self.is_settled(export, now) {
                self.facts.exports.remove(&export);
            }
        }
    }

    /// True if no decision from here on looks at the export, unless it names it.
    fn is_settled(&self, export: ExportId, now: Instant) -> bool {
        let Some(export) = self.facts.exports.get(&export) else { return false };
        let once = self.facts.version(export.grant.instruction).is_none_or(|(_, version)| version.scope.once);
        !(export.holds(now) || once && export.redeemed)
    }
}
