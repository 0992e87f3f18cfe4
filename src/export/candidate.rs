//! Which instruction a grant cites, and why the others do not cover: all versions that share
//! platform and purpose, or platform and recipient, each tested for everything. Pure.

use chrono::NaiveDate;

use super::decide::{MAX_EXPLAINED, View, resident};
use crate::base::{Instant, InstructionKind, Volume};
use crate::evidence::{
    AgreementFacts, Cause, Channel, ExportFacts, ExportRequest, InstructionFacts, InstructionRef, Reason, ReasonCode, RegistryFacts, Used,
    VersionFacts,
};

/// What every candidate is tested against.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub request: &'a ExportRequest,
    pub facts: View<'a>,
    pub now: Instant,
    /// The calendar day on which the volume counts.
    pub day: NaiveDate,
    /// The export whose permit is looked at again.
    pub own: Option<&'a ExportFacts>,
    /// True if its subjects are erased.
    pub erased: bool,
    pub agreement: Option<&'a AgreementFacts>,
}

/// A candidate with every reason why it does not cover the request.
pub(super) struct Tested<'a> {
    pub version: InstructionRef,
    pub facts: &'a VersionFacts,
    pub reasons: Vec<Reason>,
    pub covers_subjects: bool,
    shares_purpose: bool,
}

/// The candidate that covers, or those a refusal explains and whether there are more.
pub(super) fn choose<'a>(context: &Context<'a>) -> (Option<Tested<'a>>, Vec<Tested<'a>>, bool) {
    let mut tested: Vec<Tested<'a>> = candidates(context).map(|(version, i, v)| test(context, version, i, v)).collect();
    tested.sort_by_key(|c| (!c.facts.scope.once, c.facts.signed, c.version));
    if let Some(first) = tested.iter().position(|c| c.reasons.is_empty()) {
        return (Some(tested.swap_remove(first)), Vec::new(), false);
    }
    tested.sort_by_key(|c| (!c.shares_purpose, std::cmp::Reverse((c.facts.signed, c.version))));
    let more = tested.len() > MAX_EXPLAINED;
    tested.truncate(MAX_EXPLAINED);
    (None, tested, more)
}

fn candidates<'a>(context: &Context<'a>) -> impl Iterator<Item = (InstructionRef, &'a InstructionFacts, &'a VersionFacts)> {
    let Context { request, facts, own, .. } = *context;
    let cited = own.map(|e| e.grant.instruction);
    facts
        .customer
        .instructions
        .iter()
        .filter(|(_, i)| i.kind == InstructionKind::Export)
        .flat_map(|(id, i)| i.versions.iter().map(move |(version, v)| (InstructionRef { id: *id, version: *version }, i, v)))
        .filter(move |(version, _, v)| {
            let shares = v.scope.purposes.contains(&request.purpose) || v.scope.recipients.iter().any(|r| r.same(&request.recipient));
            v.scope.platforms.contains(&request.platform) && cited.map_or(shares, |cited| *version == cited)
        })
}

pub(super) fn knows_channel(registry: &RegistryFacts, request: &ExportRequest) -> bool {
    registry.channels.contains(&Channel { platform: request.platform.clone(), code: request.channel.clone() })
}

fn test<'a>(context: &Context<'a>, version: InstructionRef, instruction: &InstructionFacts, facts: &'a VersionFacts) -> Tested<'a> {
    let Context { request, facts: View { registry, .. }, .. } = *context;
    let covered = |asked| facts.subjects.iter().flatten().any(|s| s.covers(asked));
    // Nobody named is not everybody covered.
    let tested = || !request.subjects.is_empty() && request.subjects.iter().all(covered);
    let recorded = context.facts.recorded_for(request, facts);
    let covers_subjects = recorded.map_or_else(tested, |verdict| verdict.covering.contains(&version));
    let mut codes = Vec::new();
    states(context, version, instruction, facts, &mut codes);
    let shares_purpose = facts.scope.purposes.contains(&request.purpose);
    // An unknown code, and a prohibited purpose, is a reason of its own and not the instruction's.
    if !shares_purpose && registry.purposes.get(&request.purpose) == Some(&false) {
        codes.push(ReasonCode::PurposeNotInstructed);
    }
    for category in request.data_categories.iter().filter(|c| !facts.scope.data_categories.contains(c)) {
        match registry.data_categories.get(category) {
            Some(true) => codes.push(ReasonCode::SpecialCategoryNotNamed),
            Some(false) => codes.push(ReasonCode::CategoryNotInstructed),
            None => {}
        }
    }
    if !covers_subjects && !context.erased {
        codes.push(ReasonCode::SubjectsOutOfScope);
    }
    if !facts.scope.channels.contains(&request.channel) && knows_channel(registry, request) {
        codes.push(ReasonCode::ChannelNotInstructed);
    }
    recipient(context, facts, &mut codes);
    if exceeds(context, version, facts) {
        codes.push(ReasonCode::VolumeExceedsInstruction);
    }
    let cause = |code| Reason { code, cause: Cause::Instruction { id: version.id, version: version.version } };
    let mut reasons: Vec<Reason> = codes.into_iter().map(cause).collect();
    reasons.extend(used_up(context, version, facts));
    Tested { version, facts, reasons, covers_subjects, shares_purpose }
}

fn states(
    context: &Context<'_>,
    version: InstructionRef,
    instruction: &InstructionFacts,
    facts: &VersionFacts,
    codes: &mut Vec<ReasonCode>,
) {
    let now = context.now;
    if instruction.revoked {
        codes.push(ReasonCode::InstructionRevoked);
    }
    if !facts.contests.is_empty() {
        codes.push(ReasonCode::InstructionContested);
    }
    if instruction.versions.iter().any(|(v, newer)| *v > version.version && newer.valid_from <= now) {
        codes.push(ReasonCode::InstructionSuperseded);
    }
    if now < facts.valid_from {
        codes.push(ReasonCode::InstructionNotYetValid);
    }
    if facts.valid_until.is_some_and(|until| until <= now) {
        codes.push(ReasonCode::InstructionExpired);
    }
}

/// Outside the agreement's residency the instruction itself must name the country and the ground
/// of the transfer, and the request must state the same ground (GDPR Art. 44).
fn recipient(context: &Context<'_>, facts: &VersionFacts, codes: &mut Vec<ReasonCode>) {
    let asked = &context.request.recipient;
    let named: Vec<_> = facts.scope.recipients.iter().filter(|r| r.same(asked)).collect();
    if named.is_empty() {
        codes.push(ReasonCode::RecipientNotNamed);
        return;
    }
    let Some(agreement) = context.agreement else { return };
    if !asked.country.is_country() || resident(agreement, context.facts.registry, &asked.country, context.now.date_in(agreement.terms.zone))
    {
        return;
    }
    let grounds: Vec<_> = named.iter().filter_map(|r| r.transfer_ground.as_ref()).collect();
    if grounds.is_empty() {
        codes.push(ReasonCode::RecipientOutsideResidency);
    } else if !grounds.iter().any(|g| Some(*g) == asked.transfer_ground.as_ref()) {
        codes.push(ReasonCode::ThirdCountryNotInstructed);
    }
}

/// A one-time instruction is held by an open permit and exhausted by a redeemed one.
fn used_up(context: &Context<'_>, version: InstructionRef, facts: &VersionFacts) -> Option<Reason> {
    if !facts.scope.once {
        return None;
    }
    let taken = others(context, version).find(|e| e.redeemed || e.holds(context.now))?;
    Some(Reason { code: ReasonCode::InstructionExhausted, cause: Cause::Export { id: taken.grant.export } })
}

/// Exports of the version other than the one looked at again.
fn others<'a>(context: &Context<'a>, version: InstructionRef) -> impl Iterator<Item = &'a ExportFacts> {
    let own = context.own.map(|e| e.grant.export);
    context.facts.customer.exports.values().filter(move |e| e.grant.instruction == version && Some(e.grant.export) != own)
}

fn exceeds(context: &Context<'_>, version: InstructionRef, facts: &VersionFacts) -> bool {
    let limits = &facts.scope.volume;
    let asked = &context.request.volume;
    if limits.per_export.is_some_and(|limit| over(&limit, Used::default(), asked)) {
        return true;
    }
    if limits.per_day.is_none() && limits.total.is_none() {
        return false;
    }
    let used = context.facts.customer.usage.get(&version);
    // What an export looked at again has itself used does not stand in its own way.
    let own = context.own.map(|e| (e.grant.day, e.counted));
    let held = |day: Option<NaiveDate>| {
        others(context, version)
            .filter(|e| e.holds(context.now) && day.is_none_or(|day| e.grant.day == day))
            .fold(Used::default(), |sum, e| sum.plus(&e.request.volume))
    };
    let settled = |day: Option<NaiveDate>| {
        let days = used.into_iter().flatten().filter(|(d, _)| day.is_none_or(|day| **d == day));
        let sum = days.fold(Used::default(), |sum, (_, u)| add(sum, *u));
        match own {
            Some((own_day, counted)) if day.is_none_or(|day| day == own_day) => sum.less(&counted.stated()),
            _ => sum,
        }
    };
    let passes = |limit: &Volume, day: Option<NaiveDate>| over(limit, add(settled(day), held(day)), asked);
    limits.per_day.is_some_and(|limit| passes(&limit, Some(context.day))) || limits.total.is_some_and(|limit| passes(&limit, None))
}

const fn add(a: Used, b: Used) -> Used {
    Used { rows: a.rows.saturating_add(b.rows), files: a.files.saturating_add(b.files), bytes: a.bytes.saturating_add(b.bytes) }
}

/// True if a limited dimension is not stated, or would pass its limit.
pub(super) fn over(limit: &Volume, used: Used, asked: &Volume) -> bool {
    limit.parts().iter().zip(used.parts()).zip(asked.parts()).any(|(((_, limit), used), (_, asked))| match (limit, asked) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(limit), Some(asked)) => used.saturating_add(asked) > *limit,
    })
}
