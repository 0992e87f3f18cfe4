//! What may happen next to an instruction, and why not. Signed versions never change; stopping
//! always works. Only the customer ends a contest: by withdrawing, narrowing or confirming in
//! writing (GDPR Art. 28(3), last paragraph). Pure: facts and `now` in, a verdict out.

use std::collections::BTreeSet;

use super::model::{Contest, Draft, Instruction, InstructionState, Version};
use crate::base::{ContestId, Error, Instant, InstructionKind, Reference, Result, Scope, Selector, Volume};
use crate::identity::{Authority, AuthorityKind, Needs};

impl Instruction {
    /// Where one of its signed versions stands at `now`; what ends it for good is said first.
    #[must_use]
    pub fn version_state(&self, number: u32, now: Instant) -> InstructionState {
        let Some(version) = self.versions.get(&number) else { return InstructionState::Draft };
        if self.revoked.is_some() {
            InstructionState::Revoked
        } else if self.versions.iter().any(|(other, newer)| *other > number && newer.valid_from <= now) {
            InstructionState::Superseded
        } else if version.valid_until.is_some_and(|until| until <= now) {
            InstructionState::Expired
        } else if version.scope.once && version.used_at.is_some() {
            InstructionState::Exhausted
        } else if version.is_contested() {
            InstructionState::Contested
        } else if now < version.valid_from {
            InstructionState::NotYetValid
        } else {
            InstructionState::InForce
        }
    }

    /// The version that counts at `now`: the newest whose window has begun, else the newest.
    #[must_use]
    pub fn present(&self, now: Instant) -> Option<u32> {
        let begun = self.versions.iter().rfind(|(_, version)| version.valid_from <= now);
        begun.or_else(|| self.versions.last_key_value()).map(|(number, _)| *number)
    }

    /// Where it stands at `now`: where its present version stands.
    #[must_use]
    pub fn state(&self, now: Instant) -> InstructionState {
        self.present(now).map_or(InstructionState::Draft, |number| self.version_state(number, now))
    }

    /// The subjects of its versions that are not over at `now`. A contest does not lift a
    /// restriction, so what is contested counts.
    fn standing(&self, now: Instant) -> impl Iterator<Item = &Selector> {
        use InstructionState::{Expired, Revoked, Superseded};
        let over = move |number: u32| matches!(self.version_state(number, now), Expired | Revoked | Superseded);
        self.versions.iter().filter(move |(number, _)| !over(**number)).flat_map(|(_, version)| &version.subjects)
    }

    /// Its contests with the versions they mark.
    pub fn contests(&self) -> impl Iterator<Item = (u32, &Contest)> {
        self.versions.iter().flat_map(|(number, version)| version.contests.iter().map(move |contest| (*number, contest)))
    }
}

const fn revoked() -> Error {
    Error::conflict("already-revoked", "The instruction was withdrawn; write a new one.")
}

/// The draft that may be changed.
///
/// # Errors
/// [`Error::Conflict`] when it is withdrawn or has no draft.
pub fn may_change(instruction: &Instruction) -> Result<&Draft> {
    if instruction.revoked.is_some() {
        return Err(revoked());
    }
    instruction.draft.as_ref().ok_or(Error::conflict("no-draft", "A signed version never changes; start a new version."))
}

/// The number of the next version, where one may be started.
///
/// # Errors
/// [`Error::Conflict`] when it is withdrawn, was never signed or has a draft.
pub fn may_start(instruction: &Instruction) -> Result<u32> {
    if instruction.revoked.is_some() {
        return Err(revoked());
    }
    if instruction.draft.is_some() {
        return Err(Error::conflict("draft-exists", "There is a draft already; change that one."));
    }
    let last = instruction.versions.last_key_value().map(|(number, _)| *number);
    last.map(|number| number + 1).ok_or(not_signed())
}

const fn not_signed() -> Error {
    Error::conflict("not-signed", "The instruction was never signed, so it has no force.")
}

/// The draft that may be signed, and the window it would have.
///
/// # Errors
/// [`Error::Conflict`] when it is withdrawn, has no draft, has another version as its draft, its
/// window is over, or it does not narrow a contested version.
pub fn may_sign(instruction: &Instruction, version: u32, now: Instant) -> Result<(&Draft, Instant, Option<Instant>)> {
    let draft = may_change(instruction)?;
    if draft.version != version {
        return Err(Error::conflict("version-differs", "The draft is of another version; read it again."));
    }
    let scope = &draft.content.scope;
    let from = scope.valid_from_at.map_or(now, |from| from.max(now));
    if scope.valid_until_at.is_some_and(|until| until <= from) {
        return Err(Error::conflict("window-over", "The window of the draft is over; change it."));
    }
    let contested = instruction.versions.values().filter(|version| version.is_contested());
    let mut wider = contested.filter(|old| !narrows((scope, &draft.content.subjects), (&old.scope, &old.subjects)));
    if wider.next().is_some() {
        return Err(Error::conflict("contested-not-narrowed", "A version is contested: narrow it, confirm it in writing, or withdraw it."));
    }
    Ok((draft, from, scope.valid_until_at))
}

/// Whether it may be withdrawn.
///
/// # Errors
/// [`Error::Conflict`] when it was never signed or is withdrawn.
pub fn may_revoke(instruction: &Instruction) -> Result<()> {
    if instruction.revoked.is_some() {
        return Err(revoked());
    }
    if instruction.versions.is_empty() { Err(not_signed()) } else { Ok(()) }
}

/// True if the authorities let their holder stop what needs this kind, whatever its units: stopping
/// must be easy.
#[must_use]
pub fn may_stop(held: &[Authority], kind: AuthorityKind, now: Instant) -> bool {
    held.iter().any(|authority| authority.kind == kind && authority.begins_at <= now)
}

/// What withdrawing a restriction needs authority for: it releases, so every unit that it holds in.
#[must_use]
pub fn needs_to_lift(instruction: &Instruction, now: Instant) -> Needs {
    Needs::of_subjects(instruction.standing(now))
}

/// What signing a draft with these subjects needs authority for. A new version of a restriction
/// takes the place of those before it, so it needs what lifting them needs as well.
#[must_use]
pub fn needs_to_sign(instruction: &Instruction, subjects: &[Selector], now: Instant) -> Needs {
    match instruction.kind {
        InstructionKind::Restriction => Needs::of_subjects(subjects.iter().chain(instruction.standing(now))),
        _ => Needs::of_subjects(subjects),
    }
}

/// Whether ops may mark a version as appearing to infringe the law.
///
/// # Errors
/// [`Error::Invalid`] when there is no such signed version, [`Error::Conflict`] when it has ended
/// or is contested.
pub fn may_contest(instruction: &Instruction, version: u32, now: Instant) -> Result<()> {
    match instruction.version_state(version, now) {
        InstructionState::Draft => Err(Error::invalid("version", "unknown_version", "must be a signed version of the instruction")),
        InstructionState::InForce | InstructionState::NotYetValid => Ok(()),
        InstructionState::Contested => Err(Error::conflict("already-contested", "The version is contested already.")),
        _ => Err(over()),
    }
}

const fn over() -> Error {
    Error::conflict("instruction-over", "The version has no force any more.")
}

/// The contested version that may be confirmed.
///
/// # Errors
/// [`Error::Invalid`] when the instruction has no such contest, [`Error::Conflict`] when it is
/// answered or the version has ended.
pub fn may_confirm(instruction: &Instruction, contest: ContestId, now: Instant) -> Result<(u32, &Version)> {
    let found = instruction.contests().find(|(_, one)| one.id == contest);
    let Some((number, found)) = found else {
        return Err(Error::invalid("contest", "unknown_contest", "must be a contest of the instruction"));
    };
    if instruction.revoked.is_some() {
        return Err(revoked());
    }
    if found.confirmation.is_some() {
        return Err(Error::conflict("already-confirmed", "The contest was answered in writing before."));
    }
    match (instruction.version_state(number, now), instruction.versions.get(&number)) {
        (InstructionState::Contested, Some(version)) => Ok((number, version)),
        _ => Err(over()),
    }
}

crate::words! {
    /// What the customer may do with an instruction.
    pub enum Act {
        /// Change its draft.
        ChangeDraft = "change_draft",
        /// Sign its draft.
        Sign = "sign",
        /// Start a new version.
        StartVersion = "start_version",
        /// Withdraw it.
        Revoke = "revoke",
    }
}

/// What the customer may do next, and for the rest the code of why not.
pub fn next(instruction: &Instruction, now: Instant) -> Vec<(Act, Option<&'static str>)> {
    let verdict = |act| match act {
        Act::ChangeDraft => may_change(instruction).map(drop),
        Act::Sign => may_change(instruction).and_then(|draft| may_sign(instruction, draft.version, now)).map(drop),
        Act::StartVersion => may_start(instruction).map(drop),
        Act::Revoke => may_revoke(instruction),
    };
    let why_not = |act| match verdict(act) {
        Ok(()) => None,
        Err(Error::Conflict { code, .. }) => Some(code),
        Err(_) => Some("not-possible"),
    };
    Act::ALL.iter().map(|act| (*act, why_not(*act))).collect()
}

/// True if the first says less than the second and nothing beside it.
fn narrows((new, new_subjects): (&Scope, &[Selector]), (old, old_subjects): (&Scope, &[Selector])) -> bool {
    let wide: BTreeSet<&Selector> = old_subjects.iter().collect();
    let persons: BTreeSet<_> = old_subjects.iter().filter_map(person).collect();
    let same_subjects = new_subjects.iter().collect::<BTreeSet<_>>() == wide;
    let within = new.platforms.is_subset(&old.platforms)
        && new.channels.is_subset(&old.channels)
        && new.purposes.is_subset(&old.purposes)
        && new.data_categories.is_subset(&old.data_categories)
        && new.recipients.iter().all(|recipient| old.recipients.contains(recipient))
        && (new.once || !old.once)
        && old.valid_until_at.is_none_or(|end| new.valid_until_at.is_some_and(|until| until <= end));
    // One export has no limits per day and in all: its own must keep those.
    let (per_day, total) = if new.once { (new.volume.per_export, new.volume.per_export) } else { (new.volume.per_day, new.volume.total) };
    let less = within
        && limited(new.volume.per_export, old.volume.per_export)
        && limited(per_day, old.volume.per_day)
        && limited(total, old.volume.total);
    less && new_subjects.iter().all(|asked| covered(asked, &wide, &persons)) && !(same_subjects && same_but_start(new, old))
}

/// True if the scopes are equal but for their first instant, which narrows nothing.
fn same_but_start(new: &Scope, old: &Scope) -> bool {
    Scope { valid_from_at: old.valid_from_at, ..new.clone() } == *old
}

/// True if every dimension that was limited still is, as low or lower.
fn limited(new: Option<Volume>, old: Option<Volume>) -> bool {
    let (new, old) = (new.unwrap_or_default(), old.unwrap_or_default());
    new.parts().iter().zip(old.parts()).all(|((_, new), (_, old))| old.is_none_or(|old| new.is_some_and(|new| new <= old)))
}

/// A subject, and the unit it is named in.
type Person<'a> = (&'a Reference, Option<&'a Reference>);

const fn person(selector: &Selector) -> Option<Person<'_>> {
    match selector {
        Selector::Subject { reference, unit, .. } => Some((reference, unit.as_ref())),
        _ => None,
    }
}

/// As [`Selector::covers`] over a whole list, by look-up: two lists have ten thousand selectors each.
fn covered(asked: &Selector, wide: &BTreeSet<&Selector>, persons: &BTreeSet<Person<'_>>) -> bool {
    let unit = asked.unit().cloned();
    let by_unit = unit.clone().is_some_and(|unit| wide.contains(&Selector::Unit { unit }));
    let by_group = match (asked, unit) {
        (Selector::Subject { groups, .. }, Some(unit)) => {
            groups.iter().any(|group| wide.contains(&Selector::Group { unit: unit.clone(), group: group.clone() }))
        }
        _ => false,
    };
    // A subject named in one unit does not cover the same one named in none, or in another.
    let by_person = person(asked).is_some_and(|(r, unit)| persons.contains(&(r, None)) || persons.contains(&(r, unit)));
    wide.contains(&Selector::Whole) || by_unit || by_group || by_person || wide.contains(asked)
}

#[cfg(test)]
#[path = "decide_tables.rs"]
mod tables;
