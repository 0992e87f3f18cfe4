//! Restriction of processing (GDPR Art. 18): a restricted person inside a wider selector is
//! excepted, one asked for is refused, and no wording of the selectors lets one slip out.

use super::world::{INS, RES, World, allowed, code, codes, group, id, reasons, subject, unit, version_of, words};
use crate::base::{ContestId, InstructionKind, Selector};
use crate::evidence::{Cause, Reason, ReasonCode};
use crate::export::decide::MAX_EXCEPT;

const REFUSED: [&str; 1] = ["restriction_in_force"];

fn asking(asked: Selector, restricted: Vec<Selector>) -> World {
    let mut w = World::new();
    w.version().subjects = Some(vec![Selector::Whole]);
    w.request.subjects = vec![asked];
    w.restrict(RES, restricted);
    w
}

#[test]
fn what_lies_inside_is_excepted() {
    let p1 = subject("p1", Some("S03"), &["7B"]);
    for asked in [group("S03", "7B"), unit("S03"), Selector::Whole] {
        let considered = asking(asked, vec![p1.clone()]).decide();
        assert_eq!(allowed(&considered).except(), std::slice::from_ref(&p1));
        assert_eq!(considered.subject_verdict.except_count, 1);
        assert!(considered.subject_verdict.forbidding.is_empty());
    }
    assert_eq!(allowed(&asking(unit("S03"), vec![group("S03", "7B")]).decide()).except(), [group("S03", "7B")]);
    assert_eq!(allowed(&asking(Selector::Whole, vec![unit("S04")]).decide()).except(), [unit("S04")]);
}

#[test]
fn two_groups_of_a_unit_may_share_a_pupil() {
    assert_eq!(allowed(&asking(group("S03", "7B"), vec![group("S03", "choir")]).decide()).except(), [group("S03", "choir")]);
    assert!(allowed(&asking(group("S03", "7B"), vec![group("S04", "choir")]).decide()).except().is_empty());
}

#[test]
fn what_is_or_may_be_restricted_itself_is_refused() {
    let p1 = |unit, groups| subject("p1", unit, groups);
    for (asked, restricted, expected) in [
        (p1(Some("S03"), &["7B"]), p1(Some("S03"), &["7B"]), &REFUSED[..]),
        (p1(Some("S04"), &[]), p1(Some("S03"), &["7B"]), &REFUSED),
        (p1(None, &[]), p1(Some("S03"), &[]), &REFUSED),
        (p1(Some("S03"), &["7B"]), group("S03", "7B"), &REFUSED),
        (p1(Some("S03"), &["7C"]), group("S03", "7B"), &[]),
        (p1(Some("S03"), &[]), group("S03", "7B"), &REFUSED),
        (p1(Some("S03"), &["7C"]), unit("S03"), &REFUSED),
        (p1(Some("S04"), &[]), unit("S03"), &[]),
        (p1(None, &[]), unit("S03"), &REFUSED),
        (p1(None, &[]), group("S03", "7B"), &REFUSED),
        (p1(None, &[]), subject("p2", None, &[]), &[]),
        (group("S03", "7B"), unit("S03"), &REFUSED),
        (group("S03", "7B"), Selector::Whole, &REFUSED),
        (unit("S04"), unit("S03"), &[]),
    ] {
        let considered = asking(asked.clone(), vec![restricted.clone()]).decide();
        assert_eq!(words(&considered), expected, "{asked:?} {restricted:?}");
    }
}

#[test]
fn a_restricted_pupil_stays_restricted_after_moving_to_another_class_or_school() {
    let p1 = subject("p1", Some("S03"), &["7B"]);
    for asked in [group("S03", "8B"), unit("S04"), group("S04", "8B")] {
        assert_eq!(allowed(&asking(asked, vec![p1.clone()]).decide()).except(), std::slice::from_ref(&p1));
    }
}

#[test]
fn a_thousand_are_excepted_and_more_are_refused() {
    let pupils = |n: usize| (0..n).map(|i| subject(&format!("p{i}"), Some("S03"), &[])).collect::<Vec<_>>();
    let considered = asking(unit("S03"), pupils(MAX_EXCEPT)).decide();
    assert_eq!(allowed(&considered).except().len(), 1_000);
    let mut w = asking(unit("S03"), pupils(MAX_EXCEPT + 1));
    let cause = |n| Reason { code: ReasonCode::RestrictionInForce, cause: Cause::Instruction { id: id(n), version: 1 } };
    assert_eq!(reasons(&w.decide()), [cause(RES)]);
    // The same pupil restricted twice is one; spread over two instructions they are as many.
    w.restrict(RES, pupils(MAX_EXCEPT));
    w.restrict(RES + 1, pupils(2));
    allowed(&w.decide());
    w.restrict(RES + 1, vec![subject("another", None, &[])]);
    assert_eq!(reasons(&w.decide()), [cause(RES), cause(RES + 1)]);
}

#[test]
fn a_restriction_holds_in_its_window_on_its_platforms_and_until_withdrawn() {
    let restricted = || asking(unit("S03"), vec![unit("S03")]);
    let version = |w: &mut World, change: fn(&mut crate::evidence::VersionFacts, crate::base::Instant)| {
        let now = w.now;
        change(w.facts.instructions.get_mut(&id(RES)).unwrap().versions.get_mut(&1).unwrap(), now);
    };
    let mut w = restricted();
    version(&mut w, |v, now| v.valid_from = now);
    assert_eq!(words(&w.decide()), REFUSED);
    allowed(&w.later(-1).decide());

    let mut w = restricted();
    version(&mut w, |v, now| v.valid_until = Some(now));
    allowed(&w.decide());
    assert_eq!(words(&w.later(-1).decide()), REFUSED);

    let mut w = restricted();
    version(&mut w, |v, _| v.scope.platforms = codes(&["fronter"]));
    allowed(&w.decide());
    version(&mut w, |v, _| _ = v.scope.platforms.insert(code("itslearning")));
    assert_eq!(words(&w.decide()), REFUSED);
    // Its own scope of purposes and channels does not weaken it; a contest does not stop it.
    version(&mut w, |v, _| (v.scope.purposes, v.scope.channels) = (codes(&["research"]), codes(&["lti"])));
    version(&mut w, |v, _| _ = v.contests.insert(id::<ContestId>(1)));
    assert_eq!(words(&w.decide()), REFUSED);
    w.facts.instructions.get_mut(&id(RES)).unwrap().revoked = true;
    allowed(&w.decide());
}

#[test]
fn a_newer_version_of_a_restriction_replaces_the_older_when_it_starts() {
    let mut w = asking(unit("S03"), vec![unit("S03")]);
    let start = w.now;
    w.sign(RES, 2, 9, |v| (v.valid_from, v.subjects) = (start, Some(vec![unit("S04")])));
    allowed(&w.decide());
    w.later(-1);
    let cause = Cause::Instruction { id: id(RES), version: 1 };
    assert_eq!(reasons(&w.decide()), [Reason { code: ReasonCode::RestrictionInForce, cause }]);
}

#[test]
fn only_a_restriction_restricts_and_it_is_never_what_an_export_rests_on() {
    for kind in [InstructionKind::Processing, InstructionKind::Deletion] {
        let mut w = asking(unit("S03"), vec![unit("S03")]);
        w.facts.instructions.get_mut(&id(RES)).unwrap().kind = kind;
        assert_eq!(allowed(&w.decide()).instruction(), version_of(id(INS), 1));
        w.facts.instructions.remove(&id(INS));
        assert_eq!(words(&w.decide()), ["no_written_instruction"]);
    }
    let mut w = asking(unit("S03"), vec![unit("S04")]);
    w.facts.instructions.remove(&id(INS));
    assert_eq!(words(&w.decide()), ["no_written_instruction"]);
}

#[test]
fn a_pupil_signed_for_in_one_school_is_not_covered_in_another() {
    // Authority is per unit: whoever signs for S03 cannot reach S04 by naming the pupil in S03.
    let mut w = World::new();
    w.version().subjects = Some(vec![subject("p1", Some("S03"), &[])]);
    w.request.subjects = vec![subject("p1", Some("S03"), &["7B"])];
    allowed(&w.decide());
    w.request.subjects = vec![subject("p1", Some("S04"), &[])];
    assert_eq!(words(&w.decide()), ["subjects_out_of_scope"]);
    w.version().subjects = Some(vec![subject("p1", None, &[])]);
    allowed(&w.decide());
}
