//! Every reason alone, with the record that caused it; reasons together; and their order. A code
//! that no case produces alone fails the first test, so a new reason needs its case here.

use std::collections::BTreeSet;

use super::world::{
    AGR, EXP, INS, RES, SUS, World, allowed, at, code, codes, group, id, reasons, recipient, reference, rows, unit, version_of, words,
};
use crate::base::{ContestId, VolumeLimits};
use crate::evidence::{Cause, Closed, PermitKeyState, Reason, ReasonCode as R, SuspendedBy};
use crate::export::decide::{Considered, Decision};

type Case = (R, Cause, fn(&mut World) -> Considered);

fn of_instruction(n: u128) -> Cause {
    Cause::Instruction { id: id(n), version: 1 }
}
fn of_agreement() -> Cause {
    Cause::Agreement { id: id(AGR), version: 1 }
}
fn of_request(pointer: &str) -> Cause {
    Cause::Request { pointer: pointer.to_owned() }
}
fn of_export() -> Cause {
    Cause::Export { id: id(EXP) }
}
fn reason(code: R, cause: Cause) -> Reason {
    Reason { code, cause }
}

macro_rules! case {
    ($code:ident, $cause:expr, $w:ident => $change:expr) => {
        (R::$code, $cause, |$w: &mut World| {
            $change;
            $w.decide()
        })
    };
}

fn agreement_and_suspension() -> Vec<Case> {
    vec![
        case!(AgreementMissing, Cause::Nothing, w => w.facts.agreements.clear()),
        case!(AgreementNotInForce, of_agreement(), w => w.agreement().until = Some(w.now)),
        case!(AgreementNotInForce, of_agreement(), w => w.agreement().from = w.now.plus(chrono::Duration::milliseconds(1))),
        case!(PlatformNotCovered, of_request("/platform"), w => w.agreement().platform = code("skoleintra")),
        case!(CustomerSuspended, Cause::Suspension { id: id(SUS) }, w => w.facts.suspensions.insert(id(SUS), SuspendedBy::Customer)),
        case!(CustomerSuspended, Cause::Suspension { id: id(SUS) }, w => w.facts.suspensions.insert(id(SUS), SuspendedBy::Ops)),
        case!(PlatformSuspended, Cause::Suspension { id: id(SUS) }, w => w.registry.suspensions.insert(id(SUS), code("itslearning"))),
        case!(StateUnconfirmed, Cause::Nothing, w => w.facts.unconfirmed = true),
        case!(PurposeNotInAgreement, of_agreement(), w => w.agreement().terms.purposes.remove(&code("archiving"))),
        case!(CategoryNotInAgreement, of_agreement(), w => w.agreement().terms.data_categories.remove(&code("identity"))),
    ]
}

fn states_of_the_instruction() -> Vec<Case> {
    vec![
        case!(NoWrittenInstruction, Cause::Nothing, w => w.facts.instructions.clear()),
        case!(NoWrittenInstruction, Cause::Nothing, w => w.instruction().kind = crate::base::InstructionKind::Processing),
        case!(NoWrittenInstruction, Cause::Nothing, w => w.version().scope.platforms = codes(&["fronter"])),
        case!(InstructionNotYetValid, of_instruction(INS), w => w.version().valid_from = w.now.plus(chrono::Duration::milliseconds(1))),
        case!(InstructionExpired, of_instruction(INS), w => w.version().valid_until = Some(w.now)),
        case!(InstructionRevoked, of_instruction(INS), w => w.instruction().revoked = true),
        case!(InstructionContested, of_instruction(INS), w => w.version().contests.insert(id::<ContestId>(1))),
        case!(InstructionExhausted, of_export(), w => {
            w.version().scope.once = true;
            w.permit(EXP, version_of(id(INS), 1), w.now)
        }),
        case!(InstructionSuperseded, of_instruction(INS), w => w.sign(INS, 2, 9, |v| {
            v.scope.platforms = codes(&["fronter"]);
            v.valid_from = at("2026-09-01T10:00:00.000Z");
        })),
    ]
}

fn scope_of_the_instruction() -> Vec<Case> {
    vec![
        case!(PurposeNotInstructed, of_instruction(INS), w => w.request.purpose = code("data-portability")),
        case!(CategoryNotInstructed, of_instruction(INS), w => w.request.data_categories.insert(code("portfolio"))),
        case!(SpecialCategoryNotNamed, of_instruction(INS), w => w.request.data_categories.insert(code("health"))),
        case!(SubjectsOutOfScope, of_instruction(INS), w => w.request.subjects.push(unit("S04"))),
        case!(SubjectsOutOfScope, of_instruction(INS), w => w.version().subjects = None),
        case!(SubjectsOutOfScope, of_instruction(INS), w => w.request.subjects.clear()),
        case!(ChannelNotInstructed, of_instruction(INS), w => w.request.channel = code("lti")),
        case!(RecipientNotNamed, of_instruction(INS), w => w.request.recipient.role = code("vendor")),
        case!(RecipientNotNamed, of_instruction(INS), w => w.request.recipient.country = code("SE")),
        case!(RecipientOutsideResidency, of_instruction(INS), w => {
            w.version().scope.recipients = vec![recipient("US", None)];
            w.request.recipient = recipient("US", None);
        }),
        case!(ThirdCountryNotInstructed, of_instruction(INS), w => {
            w.version().scope.recipients = vec![recipient("US", Some("standard clauses"))];
            w.request.recipient = recipient("US", Some("adequacy"));
        }),
        case!(VolumeExceedsInstruction, of_instruction(INS), w => {
            w.version().scope.volume = VolumeLimits { per_export: Some(rows(99)), ..VolumeLimits::default() };
        }),
    ]
}

fn the_request_itself() -> Vec<Case> {
    vec![
        case!(PurposeProhibited, of_request("/purpose"), w => w.request.purpose = code("sale")),
        case!(RestrictionInForce, of_instruction(RES), w => w.restrict(RES, vec![unit("S03")])),
        case!(SubProcessorNotAuthorised, of_request("/engagement"), w => w.request.engagement = Some(reference("hosting"))),
        case!(UnknownCode, of_request("/purpose"), w => w.request.purpose = code("delivery-of-service")),
        case!(UnknownCode, of_request("/data_categories/1"), w => w.request.data_categories = codes(&["assessment", "grades", "identity"])),
        case!(UnknownCode, of_request("/channel"), w => w.request.channel = code("report-archive")),
        case!(UnknownCode, of_request("/recipient/country"), w => {
            w.version().scope.recipients = vec![recipient("XX", None)];
            w.request.recipient = recipient("XX", None);
        }),
    ]
}

fn permits() -> Vec<Case> {
    fn issued(w: &mut World) -> crate::base::ExportId {
        w.permit(EXP, version_of(id(INS), 1), w.now)
    }
    vec![
        (R::AnswerTooOld, Cause::Nothing, |w| {
            let (export, first_at) = (issued(w), w.now);
            w.later(300_001).again(export, first_at)
        }),
        (R::AnswerTooOld, Cause::Nothing, |w| {
            let (export, first_at) = (issued(w), w.now);
            w.redeem(export);
            w.later(300_001).present(export, "itslearning", true, Some(first_at))
        }),
        (R::PermitExpired, of_export(), |w| {
            let export = issued(w);
            w.later(300_000).redemption(export)
        }),
        (R::PermitRedeemed, of_export(), |w| {
            let export = issued(w);
            w.redeem(export);
            w.redemption(export)
        }),
        (R::PermitAborted, of_export(), |w| {
            let export = issued(w);
            w.close(export, Closed::Aborted);
            w.redemption(export)
        }),
        (R::PermitAborted, of_export(), |w| {
            let export = issued(w);
            w.close(export, Closed::Aborted);
            w.again(export, w.now)
        }),
        (R::PermitVoid, of_export(), |w| {
            let export = issued(w);
            w.close(export, Closed::Voided);
            w.redemption(export)
        }),
        (R::PermitVoid, of_export(), |w| {
            let export = issued(w);
            w.close(export, Closed::Voided);
            w.again(export, w.now)
        }),
        (R::PermitBorrowed, of_export(), |w| {
            let export = issued(w);
            w.present(export, "fronter", true, None)
        }),
        (R::PermitAltered, of_export(), |w| {
            let export = issued(w);
            w.present(export, "itslearning", false, None)
        }),
        (R::PermitKeyWithdrawn, Cause::PermitKey { kid: "kid".to_owned() }, |w| {
            let export = issued(w);
            w.registry.permit_keys.insert("kid".to_owned(), PermitKeyState::Withdrawn);
            w.redemption(export)
        }),
        (R::PermitKeyWithdrawn, Cause::PermitKey { kid: "kid".to_owned() }, |w| {
            let (export, first_at) = (issued(w), w.now);
            w.redeem(export);
            w.registry.permit_keys.insert("kid".to_owned(), PermitKeyState::Withdrawn);
            w.present(export, "itslearning", true, Some(first_at))
        }),
    ]
}

fn chunks() -> Vec<Case> {
    fn running(w: &mut World) -> crate::base::ExportId {
        let export = w.permit(EXP, version_of(id(INS), 1), w.now);
        w.redeem(export);
        export
    }
    vec![
        (R::PermitNotRedeemed, of_export(), |w| {
            let export = w.permit(EXP, version_of(id(INS), 1), w.now);
            w.chunk(export, 1, rows(1), None)
        }),
        (R::PermitNotRedeemed, of_export(), |w| w.chunk(id(EXP), 1, rows(1), None)),
        (R::ExportClosed, of_export(), |w| {
            let export = running(w);
            w.close(export, Closed::Swept);
            w.chunk(export, 1, rows(1), None)
        }),
        (R::PermitVoid, of_export(), |w| {
            let export = running(w);
            w.close(export, Closed::Voided);
            w.chunk(export, 1, rows(1), None)
        }),
        (R::ChunkRepeated, of_export(), |w| {
            let export = running(w);
            w.authorise(export, 1, rows(1));
            w.chunk(export, 1, rows(1), None)
        }),
        (R::VolumeExceedsPermit, of_export(), |w| {
            let export = running(w);
            w.authorise(export, 1, rows(60));
            w.chunk(export, 2, rows(41), None)
        }),
        (R::AnswerTooOld, Cause::Nothing, |w| {
            let (export, first_at) = (running(w), w.now);
            w.authorise(export, 1, rows(100));
            w.later(300_001).chunk(export, 1, rows(100), Some(first_at))
        }),
    ]
}

#[test]
fn the_request_of_the_small_world_is_permitted() {
    let w = World::new();
    let considered = w.decide();
    let grant = allowed(&considered);
    assert_eq!((grant.instruction(), grant.agreement()), (version_of(id(INS), 1), (id(AGR), 1)));
    assert_eq!(grant.document_sha256(), crate::base::Digest([7; 32]));
    assert_eq!(considered.candidates, [version_of(id(INS), 1)]);
    assert_eq!(considered.subject_verdict.covering, BTreeSet::from([version_of(id(INS), 1)]));
}

#[test]
fn every_reason_comes_alone_and_names_the_record_that_caused_it() {
    let mut seen = BTreeSet::new();
    let cases =
        [agreement_and_suspension(), states_of_the_instruction(), scope_of_the_instruction(), the_request_itself(), permits(), chunks()];
    for (code, cause, change) in cases.concat() {
        let mut w = World::new();
        let considered = change(&mut w);
        assert_eq!(reasons(&considered), [reason(code, cause)], "{w:?}");
        seen.insert(code);
    }
    let missing: Vec<_> = R::ALL.iter().filter(|code| !seen.contains(code)).collect();
    assert!(missing.is_empty(), "no case produces {missing:?} alone");
}

#[test]
fn an_instruction_that_fails_in_everything_says_everything() {
    let mut w = World::new();
    w.instruction().revoked = true;
    w.version().contests.insert(id::<ContestId>(1));
    w.version().valid_until = Some(w.now);
    w.sign(INS, 2, 9, |v| v.scope.platforms = codes(&["fronter"]));
    w.version().scope.volume = VolumeLimits { total: Some(rows(99)), ..VolumeLimits::default() };
    w.version().scope.once = true;
    w.permit(EXP, version_of(id(INS), 1), w.now);
    w.request.channel = code("lti");
    w.request.data_categories = codes(&["identity", "portfolio", "health"]);
    w.request.subjects = vec![group("S04", "7B")];
    w.request.recipient = recipient("SE", None);
    let all = [
        R::InstructionExpired,
        R::InstructionRevoked,
        R::InstructionContested,
        R::InstructionSuperseded,
        R::CategoryNotInstructed,
        R::SpecialCategoryNotNamed,
        R::SubjectsOutOfScope,
        R::ChannelNotInstructed,
        R::RecipientNotNamed,
        R::VolumeExceedsInstruction,
    ];
    let mut expected: Vec<Reason> = all.iter().map(|code| reason(*code, of_instruction(INS))).collect();
    expected.push(reason(R::InstructionExhausted, of_export()));
    expected.sort();
    assert_eq!(reasons(&w.decide()), expected);
}

#[test]
fn what_is_wrong_with_the_request_stands_beside_what_is_missing_in_the_records() {
    let mut w = World::new();
    w.agreement().until = Some(w.now);
    w.facts.suspensions.insert(id(SUS), SuspendedBy::Ops);
    w.facts.suspensions.insert(id(SUS + 1), SuspendedBy::Customer);
    w.registry.suspensions.insert(id(SUS + 2), code("itslearning"));
    w.registry.suspensions.insert(id(SUS + 3), code("fronter"));
    w.request.purpose = code("advertising");
    w.request.engagement = Some(reference("hosting"));
    w.facts.instructions.clear();
    let expected = [
        reason(R::AgreementNotInForce, of_agreement()),
        reason(R::CustomerSuspended, Cause::Suspension { id: id(SUS) }),
        reason(R::CustomerSuspended, Cause::Suspension { id: id(SUS + 1) }),
        reason(R::PlatformSuspended, Cause::Suspension { id: id(SUS + 2) }),
        reason(R::NoWrittenInstruction, Cause::Nothing),
        reason(R::PurposeProhibited, of_request("/purpose")),
        reason(R::SubProcessorNotAuthorised, of_request("/engagement")),
    ];
    assert_eq!(reasons(&w.decide()), expected);
}

#[test]
fn each_candidate_gives_its_own_reasons() {
    let mut w = World::new();
    w.instruction().revoked = true;
    w.sign(INS + 1, 1, 5, |v| v.scope.purposes = codes(&["data-portability"]));
    w.restrict(RES, vec![group("S03", "7B")]);
    w.request.data_categories.insert(code("grades"));
    w.request.data_categories.insert(code("picture"));
    let considered = w.decide();
    let expected = [
        reason(R::InstructionRevoked, of_instruction(INS)),
        reason(R::PurposeNotInstructed, of_instruction(INS + 1)),
        reason(R::CategoryNotInAgreement, of_agreement()),
        reason(R::CategoryNotInstructed, of_instruction(INS)),
        reason(R::CategoryNotInstructed, of_instruction(INS + 1)),
        reason(R::RestrictionInForce, of_instruction(RES)),
        reason(R::UnknownCode, of_request("/data_categories/1")),
    ];
    assert_eq!(reasons(&considered), expected);
    assert_eq!(considered.candidates, [version_of(id(INS), 1), version_of(id(INS + 1), 1)]);
    assert_eq!(considered.subject_verdict.forbidding, BTreeSet::from([version_of(id(RES), 1)]));
}

#[test]
fn a_recipient_outside_that_nobody_named_is_outside_by_the_agreement() {
    let mut w = World::new();
    w.request.recipient = recipient("US", Some("adequacy"));
    let expected = [reason(R::RecipientNotNamed, of_instruction(INS)), reason(R::RecipientOutsideResidency, of_agreement())];
    assert_eq!(reasons(&w.decide()), expected);
    w.facts.instructions.clear();
    assert_eq!(words(&w.decide()), ["no_written_instruction", "recipient_outside_residency"]);
}

#[test]
fn a_permit_with_several_faults_is_refused_for_all_of_them_except_when_it_is_borrowed() {
    let mut w = World::new();
    let export = w.permit(EXP, version_of(id(INS), 1), w.now);
    w.instruction().revoked = true;
    w.close(export, Closed::Aborted);
    w.later(300_000);
    let expected = [
        reason(R::InstructionRevoked, of_instruction(INS)),
        reason(R::PermitExpired, of_export()),
        reason(R::PermitAborted, of_export()),
        reason(R::PermitAltered, of_export()),
    ];
    assert_eq!(reasons(&w.present(export, "itslearning", false, None)), expected);
    // Another platform learns nothing of the customer's instructions.
    let borrowed = w.present(export, "fronter", false, None);
    assert_eq!(reasons(&borrowed), [reason(R::PermitBorrowed, of_export())]);
    assert!(borrowed.candidates.is_empty());
    assert!(matches!(borrowed.decision, Decision::Refuse(r) if !r.more_candidates));
}
