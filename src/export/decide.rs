//! The gate's decision (promises P1, P2, P3, P7, P10; GDPR Art. 28(3)(a)): request, facts and `now`
//! in; a grant or every reason out. It reads nothing. A [`Grant`] can be made here only, and the
//! one function that issues a permit demands it.

use chrono::NaiveDate;

use super::candidate;
use super::restriction::restrictions;
use crate::base::{AgreementId, Code, Digest, ExportId, Instant, Selector};
use crate::evidence::{
    AgreementFacts, Cause, Closed, ExportFacts, ExportRequest, Facts, InstructionRef, PermitKeyState, Reason, ReasonCode, RegistryFacts,
    Residency, SubjectVerdict, SuspendedBy, VersionFacts,
};

/// How long an answer may be repeated, and the longest life of a permit, in milliseconds.
pub const ANSWER_LIFE_MILLIS: i64 = 300_000;
/// The most restricted selectors a permit may except.
pub const MAX_EXCEPT: usize = 1_000;
/// How many instructions a refusal explains.
pub const MAX_EXPLAINED: usize = 20;
/// The purpose that survives the end of an agreement (GDPR Art. 28(3)(g)).
pub const RETURN_AT_END: &str = "return-at-end";

/// The facts of one decision.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The customer's.
    pub customer: &'a Facts,
    /// Those that hold for all.
    pub registry: &'a RegistryFacts,
    /// What the subject test said when the decision was made, for one that is decided again: it
    /// stands in for subjects that were erased since, and for nothing else.
    pub recorded: Option<&'a SubjectVerdict>,
}

impl<'a> View<'a> {
    /// The recorded verdict, where the subjects of the request or of the version were erased. No
    /// request is without subjects otherwise.
    pub(super) fn recorded_for(self, request: &ExportRequest, version: &VersionFacts) -> Option<&'a SubjectVerdict> {
        self.recorded.filter(|_| request.subjects.is_empty() || version.subjects.is_none())
    }
    /// True if the export looked at again has ended and its subjects had been erased when it was decided:
    /// then nobody is tested. A decision that is older than the erasure has a verdict.
    fn is_erased(self, own: Option<&ExportFacts>, now: Instant) -> bool {
        let ended = |export: &ExportFacts| !export.runs() && !export.holds(now);
        own.is_some_and(|export| export.subjects.is_none() && ended(export)) && self.recorded.is_none_or(|recorded| recorded.erased)
    }
}

/// What the gate may permit: exactly one instruction version, with its agreement and document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    instruction: InstructionRef,
    document_sha256: Digest,
    agreement: AgreementId,
    agreement_version: u32,
    day: NaiveDate,
    except: Vec<Selector>,
}

impl Grant {
    /// The cited version.
    #[must_use]
    pub const fn instruction(&self) -> InstructionRef {
        self.instruction
    }
    /// The cited version's document.
    #[must_use]
    pub const fn document_sha256(&self) -> Digest {
        self.document_sha256
    }
    /// The cited agreement and its version.
    #[must_use]
    pub const fn agreement(&self) -> (AgreementId, u32) {
        (self.agreement, self.agreement_version)
    }
    /// The calendar day on which the volume counts.
    #[must_use]
    pub const fn day(&self) -> NaiveDate {
        self.day
    }
    /// Restricted selectors that the platform must leave out.
    #[must_use]
    pub fn except(&self) -> &[Selector] {
        &self.except
    }
}

/// A refusal with all its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// At least one, sorted, none twice.
    pub reasons: Vec<Reason>,
    /// True if more instructions share platform and purpose or recipient than are explained.
    pub more_candidates: bool,
}

/// The outcome of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// A permit may be issued.
    Allow(Grant),
    /// Nothing may leave.
    Refuse(Refusal),
}

/// A decision with what it looked at, as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Considered {
    /// The outcome.
    pub decision: Decision,
    /// The versions looked at: the cited one, or those a refusal explains.
    pub candidates: Vec<InstructionRef>,
    /// What the subject test said.
    pub subject_verdict: SubjectVerdict,
}

/// Decides whether an export may be permitted.
#[must_use]
pub fn decide_export(request: &ExportRequest, facts: View<'_>, now: Instant) -> Considered {
    evaluate(request, facts, now, None, Vec::new())
}

/// Decides whether the answer of a permit may be given again to the same key: only within
/// 300 s, and only if a decision now, with its own hold set apart, would still allow it.
#[must_use]
pub fn decide_again(export: ExportId, first_at: Instant, request: &ExportRequest, facts: View<'_>, now: Instant) -> Considered {
    let mut reasons = too_old(first_at, now);
    match facts.customer.exports.get(&export) {
        None => return only(of_export(ReasonCode::PermitAltered, export)),
        Some(permitted) => reasons.extend(ended(permitted, export)),
    }
    evaluate(request, facts, now, Some(export), reasons)
}

/// Decides whether the allowing answer of a dry run may be given again to the same key: only within
/// 300 s, and only if a dry run now would still be permitted.
#[must_use]
pub fn decide_try_again(first_at: Instant, request: &ExportRequest, facts: View<'_>, now: Instant) -> Considered {
    evaluate(request, facts, now, None, too_old(first_at, now))
}

/// A permit as it is presented for redemption.
#[derive(Debug, Clone)]
pub struct Presented<'a> {
    /// The export it names.
    pub export: ExportId,
    /// The platform whose key presents it.
    pub by: &'a Code,
    /// True if its bytes are those that were issued.
    pub intact: bool,
    /// Id of the key that signed it; `None`: none of ours did.
    pub kid: Option<&'a str>,
    /// For a key asked again: when it was answered first.
    pub first_at: Option<Instant>,
}

/// Decides whether a permit may be redeemed: a full decision again, on the cited version only.
/// Another platform's permit is refused without looking further.
#[must_use]
pub fn decide_redemption(presented: &Presented<'_>, request: &ExportRequest, facts: View<'_>, now: Instant) -> Considered {
    let id = presented.export;
    if *presented.by != request.platform {
        return only(of_export(ReasonCode::PermitBorrowed, id));
    }
    let mut reasons = Vec::new();
    if !presented.intact {
        reasons.push(of_export(ReasonCode::PermitAltered, id));
    }
    if let Some(kid) = presented.kid.filter(|kid| facts.registry.permit_keys.get(*kid) == Some(&PermitKeyState::Withdrawn)) {
        reasons.push(Reason { code: ReasonCode::PermitKeyWithdrawn, cause: Cause::PermitKey { kid: kid.to_owned() } });
    }
    let Some(export) = facts.customer.exports.get(&id) else { return only(of_export(ReasonCode::PermitAltered, id)) };
    match presented.first_at {
        Some(first_at) => reasons.extend(too_old(first_at, now)),
        None if export.redeemed => reasons.push(of_export(ReasonCode::PermitRedeemed, id)),
        None if now >= export.grant.expires_at => reasons.push(of_export(ReasonCode::PermitExpired, id)),
        None => {}
    }
    reasons.extend(ended(export, id));
    evaluate(request, facts, now, Some(id), reasons)
}

/// Why a permit counts no more.
fn ended(export: &ExportFacts, id: ExportId) -> Option<Reason> {
    let code = match export.closed? {
        Closed::Aborted => ReasonCode::PermitAborted,
        Closed::Voided => ReasonCode::PermitVoid,
        Closed::Completed | Closed::Swept => return None,
    };
    Some(of_export(code, id))
}

pub(super) fn only(reason: Reason) -> Considered {
    Considered {
        decision: Decision::Refuse(Refusal { reasons: vec![reason], more_candidates: false }),
        candidates: Vec::new(),
        subject_verdict: SubjectVerdict::default(),
    }
}

pub(super) const fn of_export(code: ReasonCode, id: ExportId) -> Reason {
    Reason { code, cause: Cause::Export { id } }
}

pub(super) fn too_old(first_at: Instant, now: Instant) -> Vec<Reason> {
    let old = now.millis() - first_at.millis() > ANSWER_LIFE_MILLIS;
    old.then_some(Reason { code: ReasonCode::AnswerTooOld, cause: Cause::Nothing }).into_iter().collect()
}

/// `own`: the export whose permit is looked at again; its hold is set apart and only its cited
/// version is considered.
pub(super) fn evaluate(
    request: &ExportRequest,
    facts: View<'_>,
    now: Instant,
    own: Option<ExportId>,
    mut reasons: Vec<Reason>,
) -> Considered {
    let own = own.and_then(|id| facts.customer.exports.get(&id));
    let governing = governing_agreement(request, facts.customer, now, &mut reasons);
    codes(request, facts.registry, &mut reasons);
    suspensions(request, facts, &mut reasons);
    if facts.customer.unconfirmed {
        reasons.push(Reason { code: ReasonCode::StateUnconfirmed, cause: Cause::Nothing });
    }
    if let Some((id, agreement)) = governing {
        agreement_covers(request, id, agreement, facts.registry, now, &mut reasons);
    }
    if request.engagement.is_some() {
        reasons.push(at(ReasonCode::SubProcessorNotAuthorised, "/engagement"));
    }
    let (except, mut verdict) = restrictions(request, facts, now, &mut reasons);
    verdict.erased = facts.is_erased(own, now);

    let day = own.map_or_else(|| governing.map_or(now.utc().date_naive(), |(_, a)| now.date_in(a.terms.zone)), |e| e.grant.day);
    let context = candidate::Context { request, facts, now, day, own, erased: verdict.erased, agreement: governing.map(|(_, a)| a) };
    let (chosen, explained, more_candidates) = candidate::choose(&context);
    if chosen.is_none() {
        if explained.is_empty() {
            reasons.push(Reason { code: ReasonCode::NoWrittenInstruction, cause: Cause::Nothing });
        }
        reasons.extend(explained.iter().flat_map(|c| c.reasons.iter().cloned()));
        if let Some((id, agreement)) = governing {
            recipient_outside(&context, id, agreement, &explained, &mut reasons);
        }
    }
    let looked_at: Vec<&candidate::Tested<'_>> = chosen.as_ref().map_or_else(|| explained.iter().collect(), |c| vec![c]);
    verdict.covering = looked_at.iter().filter(|c| c.covers_subjects).map(|c| c.version).collect();
    let candidates = looked_at.iter().map(|c| c.version).collect();
    reasons.sort_unstable();
    reasons.dedup();
    let decision = match (chosen, governing) {
        (Some(chosen), Some((agreement, terms))) if reasons.is_empty() && !verdict.erased => Decision::Allow(Grant {
            instruction: chosen.version,
            document_sha256: chosen.facts.document_sha256,
            agreement,
            agreement_version: terms.version,
            day,
            except,
        }),
        _ => Decision::Refuse(Refusal { reasons, more_candidates }),
    };
    Considered { decision, candidates, subject_verdict: verdict }
}

fn at(code: ReasonCode, pointer: &str) -> Reason {
    Reason { code, cause: Cause::Request { pointer: pointer.to_owned() } }
}

/// The agreement that governs the request: the one in force, or for the return of data at the end
/// the one that ended last (P10).
fn governing_agreement<'f>(
    request: &ExportRequest,
    facts: &'f Facts,
    now: Instant,
    reasons: &mut Vec<Reason>,
) -> Option<(AgreementId, &'f AgreementFacts)> {
    if facts.agreements.is_empty() {
        reasons.push(Reason { code: ReasonCode::AgreementMissing, cause: Cause::Nothing });
        return None;
    }
    let of_platform = || facts.agreements.iter().filter(|(_, a)| a.platform == request.platform);
    let in_force = of_platform().find(|(_, a)| a.from <= now && a.until.is_none_or(|until| now < until));
    if let Some((id, agreement)) = in_force {
        return Some((*id, agreement));
    }
    // One that ended before it began was never in force, and has nothing to wind down.
    let ended =
        of_platform().filter(|(_, a)| a.until.is_some_and(|until| a.from < until && until <= now)).max_by_key(|(id, a)| (a.until, **id));
    let latest = ended.or_else(|| of_platform().min_by_key(|(id, a)| (a.from, **id)));
    match latest {
        None => {
            reasons.push(at(ReasonCode::PlatformNotCovered, "/platform"));
            None
        }
        Some((id, agreement)) => {
            if ended.is_none() || request.purpose.as_str() != RETURN_AT_END {
                let cause = Cause::Agreement { id: *id, version: agreement.version };
                reasons.push(Reason { code: ReasonCode::AgreementNotInForce, cause });
            }
            Some((*id, agreement))
        }
    }
}

/// Every code must be in its code list; an unknown one is a recorded refusal, never a guess.
fn codes(request: &ExportRequest, registry: &RegistryFacts, reasons: &mut Vec<Reason>) {
    match registry.purposes.get(&request.purpose) {
        None => reasons.push(at(ReasonCode::UnknownCode, "/purpose")),
        Some(true) => reasons.push(at(ReasonCode::PurposeProhibited, "/purpose")),
        Some(false) => {}
    }
    for (i, category) in request.data_categories.iter().enumerate() {
        if !registry.data_categories.contains_key(category) {
            reasons.push(at(ReasonCode::UnknownCode, &format!("/data_categories/{i}")));
        }
    }
    if !candidate::knows_channel(registry, request) {
        reasons.push(at(ReasonCode::UnknownCode, "/channel"));
    }
    if !request.recipient.country.is_country() {
        reasons.push(at(ReasonCode::UnknownCode, "/recipient/country"));
    }
}

/// A suspension made by ops never stops the return of data at the end; the customer's own stops all.
fn suspensions(request: &ExportRequest, facts: View<'_>, reasons: &mut Vec<Reason>) {
    for (id, made_by) in &facts.customer.suspensions {
        if *made_by == SuspendedBy::Customer || request.purpose.as_str() != RETURN_AT_END {
            reasons.push(Reason { code: ReasonCode::CustomerSuspended, cause: Cause::Suspension { id: *id } });
        }
    }
    for (id, platform) in &facts.registry.suspensions {
        if *platform == request.platform {
            reasons.push(Reason { code: ReasonCode::PlatformSuspended, cause: Cause::Suspension { id: *id } });
        }
    }
}

fn agreement_covers(
    request: &ExportRequest,
    id: AgreementId,
    agreement: &AgreementFacts,
    registry: &RegistryFacts,
    now: Instant,
    reasons: &mut Vec<Reason>,
) {
    let cause = Cause::Agreement { id, version: agreement.version };
    let returning = request.purpose.as_str() == RETURN_AT_END && agreement.until.is_some_and(|until| until <= now);
    let instructable = registry.purposes.get(&request.purpose) == Some(&false);
    if instructable && !returning && !agreement.terms.purposes.contains(&request.purpose) {
        reasons.push(Reason { code: ReasonCode::PurposeNotInAgreement, cause: cause.clone() });
    }
    let missing = |c: &&Code| registry.data_categories.contains_key(*c) && !agreement.terms.data_categories.contains(*c);
    if request.data_categories.iter().any(|c| missing(&c)) {
        reasons.push(Reason { code: ReasonCode::CategoryNotInAgreement, cause });
    }
}

/// True if the agreement allows a recipient in the country on the day.
pub(super) fn resident(agreement: &AgreementFacts, registry: &RegistryFacts, country: &Code, day: NaiveDate) -> bool {
    match &agreement.terms.residency {
        Residency::EeaOnly(_) => registry.in_eea(country, day),
        Residency::Countries(list) => list.contains(country) || (list.contains(&Code::fixed("EEA")) && registry.in_eea(country, day)),
    }
}

/// A recipient outside the residency that no looked-at instruction names at all (where one names
/// it, the candidate's own reason says what is missing).
fn recipient_outside(
    context: &candidate::Context<'_>,
    id: AgreementId,
    agreement: &AgreementFacts,
    explained: &[candidate::Tested<'_>],
    reasons: &mut Vec<Reason>,
) {
    let recipient = &context.request.recipient;
    let named = explained.iter().any(|c| c.facts.scope.recipients.iter().any(|r| r.same(recipient)));
    let outside = recipient.country.is_country() && !resident(agreement, context.facts.registry, &recipient.country, context.day);
    if outside && !named {
        let cause = Cause::Agreement { id, version: agreement.version };
        reasons.push(Reason { code: ReasonCode::RecipientOutsideResidency, cause });
    }
}
