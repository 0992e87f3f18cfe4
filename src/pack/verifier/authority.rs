//! Who had authority for what, rebuilt from the customer's entries, and whether each signature was
//! within it at its index (GDPR Art. 28(3)(a)): a membership that acts, authority of the kind, for
//! the units, that has begun and is not suspended by a recovery. Pure.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use chrono_tz::Tz;

use crate::base::{Instant, InstructionId, InstructionKind, MembershipId, Selector};
use crate::evidence::{EndedEpoch, Event, Facts};
use crate::identity::{Authority, AuthorityKind, Needs, covers, membership_acts};

#[derive(Debug, Default)]
struct Member {
    until_on: Option<NaiveDate>,
    ended: bool,
    suspended: bool,
    authority: Vec<Authority>,
}

/// The members of a customer and their authority.
#[derive(Debug, Default)]
pub(super) struct Members {
    zone: Option<Tz>,
    members: BTreeMap<MembershipId, Member>,
}

impl Members {
    /// Takes one entry in; the error is what it contradicts.
    pub(super) fn apply(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::CustomerRegistered { zone, .. } => {
                self.zone = Some(zone.parse().map_err(|_| format!("{zone} is no time zone"))?);
            }
            Event::MembershipBegan { membership, until_on, .. } => {
                self.members.insert(*membership, Member { until_on: *until_on, ..Member::default() });
            }
            Event::MembershipEnded { membership } => self.member(membership)?.ended = true,
            Event::AuthorityGranted { membership, kind, units, begins_at } => {
                let authority = Authority { kind: kind_of(kind)?, units: units.clone(), begins_at: *begins_at };
                self.member(membership)?.authority.push(authority);
            }
            Event::AuthorityEnded { membership, kind } => {
                let kind = kind_of(kind)?;
                self.member(membership)?.authority.retain(|authority| authority.kind != kind);
            }
            Event::PersonRecovered { membership, authority_suspended, .. } => {
                self.member(membership)?.suspended = *authority_suspended;
            }
            // Who lost authority in the missing entries is not known.
            Event::EpochOpened { ended, .. } if ended.iter().any(EndedEpoch::has_lost) => {
                self.members.values_mut().for_each(|member| member.suspended = true);
            }
            Event::AuthorityConfirmed { membership } => self.member(membership)?.suspended = false,
            _ => {}
        }
        Ok(())
    }

    fn member(&mut self, membership: &MembershipId) -> Result<&mut Member, String> {
        self.members.get_mut(membership).ok_or_else(|| format!("{membership} is no member"))
    }

    /// Says whether a member could do this then.
    fn could(&self, membership: MembershipId, kind: AuthorityKind, needs: &Needs, at: Instant) -> Result<(), String> {
        let member = self.members.get(&membership).ok_or_else(|| format!("it was signed by {membership}, who is no member"))?;
        if member.ended || member.suspended || !membership_acts(member.until_on, self.zone.unwrap_or(Tz::UTC), at) {
            return Err(format!("it was signed by {membership}, whose membership or authority did not hold then"));
        }
        if covers(&member.authority, kind, needs, at) {
            return Ok(());
        }
        Err(format!("it was signed by {membership}, who had no authority for it ({kind})"))
    }

    /// Says whether the signature in an entry was within its authority, on the facts before it. Of
    /// subjects that were erased the units cannot be tested.
    pub(super) fn signed(&self, event: &Event, subjects: Option<&[Selector]>, facts: &Facts, at: Instant) -> Result<(), String> {
        match event {
            Event::AgreementAccepted { membership, .. } => self.could(*membership, AuthorityKind::Agreement, &Needs::Kind, at),
            Event::InstructionSigned { instruction, kind, membership, .. } => {
                let needs = match kind {
                    // It takes the place of the versions before it, so it lifts them.
                    InstructionKind::Restriction => needs(subjects, standing(facts, *instruction, at)),
                    _ => needs(subjects, None),
                };
                self.could(*membership, (*kind).into(), &needs, at)
            }
            Event::InstructionRevoked { instruction, membership } => {
                let signed = facts.instructions.get(instruction).ok_or_else(|| format!("{instruction} was never signed"))?;
                let needs = match signed.kind {
                    InstructionKind::Restriction => needs(Some(&[]), standing(facts, *instruction, at)),
                    // Stopping must be easy: any unit will do.
                    _ => Needs::Kind,
                };
                self.could(*membership, signed.kind.into(), &needs, at)
            }
            Event::InstructionConfirmed { instruction, version, membership, .. } => {
                let signed = facts.instructions.get(instruction).ok_or_else(|| format!("{instruction} was never signed"))?;
                let subjects = signed.versions.get(version).and_then(|version| version.subjects.as_deref());
                self.could(*membership, signed.kind.into(), &needs(subjects, None), at)
            }
            Event::StateConfirmed { membership, .. } => self.could(*membership, AuthorityKind::Export, &Needs::AllUnits, at),
            _ => Ok(()),
        }
    }
}

fn kind_of(word: &str) -> Result<AuthorityKind, String> {
    word.parse().map_err(|_| format!("{word} is no kind of authority"))
}

fn needs(subjects: Option<&[Selector]>, others: Option<Vec<&Selector>>) -> Needs {
    let Some(subjects) = subjects else { return Needs::Kind };
    Needs::of_subjects(subjects.iter().chain(others.into_iter().flatten()))
}

/// The subjects for which a restriction stands: those of its versions that are neither over nor
/// superseded.
fn standing(facts: &Facts, instruction: InstructionId, at: Instant) -> Option<Vec<&Selector>> {
    let versions = &facts.instructions.get(&instruction)?.versions;
    let over = |until: Option<Instant>| until.is_some_and(|until| until <= at);
    let superseded = |number: u32| versions.iter().any(|(newer, version)| *newer > number && version.valid_from <= at);
    let standing = versions.iter().filter(|(number, version)| !over(version.valid_until) && !superseded(**number));
    Some(standing.flat_map(|(_, version)| version.subjects.iter().flatten()).collect())
}
