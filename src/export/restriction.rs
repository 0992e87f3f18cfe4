//! Restriction of processing (GDPR Art. 18) at the gate: a restricted selector inside a wider one is
//! excepted in the permit, and what may itself be restricted is refused. A contest does not lift a
//! restriction: when in doubt, nothing leaves. Pure.

use std::collections::BTreeSet;

use super::decide::{MAX_EXCEPT, View};
use crate::base::{Instant, InstructionKind, Overlap, Selector};
use crate::evidence::{Cause, ExportRequest, Facts, InstructionRef, Reason, ReasonCode, SubjectVerdict, VersionFacts};

/// Restrictions in force (GDPR Art. 18): a restricted selector inside a wider one is excepted, what
/// may be restricted itself is refused.
pub(super) fn restrictions(
    request: &ExportRequest,
    facts: View<'_>,
    now: Instant,
    reasons: &mut Vec<Reason>,
) -> (Vec<Selector>, SubjectVerdict) {
    let mut except = BTreeSet::new();
    let mut verdict = SubjectVerdict::default();
    let mut partial = BTreeSet::new();
    let mut erased = None;
    for (version, restriction) in restrictions_in_force(request, facts.customer, now) {
        if let Some(recorded) = facts.recorded_for(request, restriction) {
            verdict.forbidding.extend(recorded.forbidding.get(&version));
            erased = Some(recorded.except_count);
            continue;
        }
        for restricted in restriction.subjects.iter().flatten() {
            for asked in &request.subjects {
                match restricted.restricts(asked) {
                    Overlap::Covers => {
                        verdict.forbidding.insert(version);
                    }
                    Overlap::Partial if matches!(asked, Selector::Subject { .. }) => {
                        verdict.forbidding.insert(version);
                    }
                    Overlap::Partial => {
                        except.insert(restricted.clone());
                        partial.insert(version);
                    }
                    Overlap::Disjoint => {}
                }
            }
        }
    }
    if except.len() > MAX_EXCEPT {
        verdict.forbidding.extend(partial);
    }
    verdict.except_count = erased.unwrap_or(except.len() as u64);
    for version in &verdict.forbidding {
        let cause = Cause::Instruction { id: version.id, version: version.version };
        reasons.push(Reason { code: ReasonCode::RestrictionInForce, cause });
    }
    (except.into_iter().collect(), verdict)
}

fn restrictions_in_force<'f>(
    request: &'f ExportRequest,
    facts: &'f Facts,
    now: Instant,
) -> impl Iterator<Item = (InstructionRef, &'f VersionFacts)> {
    facts.instructions.iter().filter(|(_, i)| i.kind == InstructionKind::Restriction && !i.revoked).flat_map(move |(id, instruction)| {
        let present = instruction.versions.iter().rfind(|(_, v)| v.valid_from <= now);
        present
            .filter(|(_, v)| v.valid_until.is_none_or(|until| now < until) && v.scope.platforms.contains(&request.platform))
            .map(|(version, v)| (InstructionRef { id: *id, version: *version }, v))
    })
}
