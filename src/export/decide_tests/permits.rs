//! Permits presented and answers asked for again: the cited version only, on fresh facts, to the
//! millisecond. A permit that names no export of the customer gives nothing.

use super::world::{EXP, INS, RES, SUS, World, allowed, code, codes, id, reference, unit, version_of, words};
use crate::base::ExportId;
use crate::evidence::{Closed, DecisionRecord, Outcome, SuspendedBy};

fn issued() -> (World, ExportId) {
    let mut w = World::new();
    let export = w.permit(EXP, version_of(id(INS), 1), w.now);
    (w, export)
}

/// A record of the world's request, permitted.
pub fn record(w: &World) -> DecisionRecord {
    DecisionRecord {
        request: w.request.clone(),
        customer_named: reference("1234"),
        api_key: id(1),
        rules: crate::evidence::RULES,
        now: w.now,
        registry_epoch: 1,
        registry_size: 8,
        candidates: vec![version_of(id(INS), 1)],
        subject_verdict: crate::evidence::SubjectVerdict::default(),
        again_of: None,
        again_of_epoch: None,
        outcome: Outcome::Allowed,
    }
}

#[test]
fn a_permit_serves_until_just_before_its_exp() {
    let (mut w, export) = issued();
    allowed(&w.redemption(export));
    allowed(&w.later(299_999).redemption(export));
    assert_eq!(words(&w.later(1).redemption(export)), ["permit_expired"]);
    assert_eq!(words(&w.later(1).redemption(export)), ["permit_expired"]);
}

#[test]
fn a_redemption_is_decided_on_the_cited_version_only() {
    let (mut w, export) = issued();
    w.sign(INS + 1, 1, 1, |_| {});
    assert_eq!(allowed(&w.redemption(export)).instruction(), version_of(id(INS), 1));
    w.instruction().revoked = true;
    assert_eq!(allowed(&w.decide()).instruction(), version_of(id(INS + 1), 1));
    assert_eq!(words(&w.redemption(export)), ["instruction_revoked"]);
    assert_eq!(words(&w.again(export, w.now)), ["instruction_revoked"]);

    let (mut w, export) = issued();
    w.later(1);
    let start = w.now;
    w.sign(INS, 2, 9, |v| v.valid_from = start);
    assert_eq!(allowed(&w.decide()).instruction(), version_of(id(INS), 2));
    assert_eq!(words(&w.redemption(export)), ["instruction_superseded"]);
    w.facts.instructions.remove(&id(INS));
    assert_eq!(words(&w.redemption(export)), ["no_written_instruction"]);
}

#[test]
fn whatever_changed_since_the_permit_stops_its_redemption_and_its_repetition() {
    let changes: [(fn(&mut World), &str); 8] = [
        (|w| w.instruction().revoked = true, "instruction_revoked"),
        (|w| _ = w.version().contests.insert(id(1)), "instruction_contested"),
        (|w| w.version().valid_until = Some(w.now), "instruction_expired"),
        (|w| w.agreement().until = Some(w.now), "agreement_not_in_force"),
        (|w| _ = w.facts.suspensions.insert(id(SUS), SuspendedBy::Customer), "customer_suspended"),
        (|w| _ = w.registry.suspensions.insert(id(SUS), code("itslearning")), "platform_suspended"),
        (|w| _ = w.restrict(RES, vec![unit("S03")]), "restriction_in_force"),
        (|w| _ = w.registry.purposes.insert(code("archiving"), true), "purpose_prohibited"),
    ];
    for (change, word) in changes {
        let (mut w, export) = issued();
        change(&mut w);
        assert_eq!(words(&w.redemption(export)), [word]);
        assert_eq!(words(&w.again(export, w.now)), [word]);
        w.redeem(export);
        assert_eq!(words(&w.present(export, "itslearning", true, Some(w.now))), [word], "an answered redemption is not a cache");
    }
}

#[test]
fn an_answer_repeats_for_300_seconds_and_no_longer() {
    for (millis, expected) in [(0, &[][..]), (299_999, &[]), (300_000, &[]), (300_001, &["answer_too_old"])] {
        let (mut w, export) = issued();
        let first_at = w.now;
        assert_eq!(words(&w.later(millis).again(export, first_at)), expected, "{millis} ms");
        w.redeem(export);
        assert_eq!(words(&w.present(export, "itslearning", true, Some(first_at))), expected, "{millis} ms after the redemption");
    }
}

#[test]
fn a_redeemed_permit_repeats_its_answer_to_the_same_key_only() {
    let (mut w, export) = issued();
    w.redeem(export);
    allowed(&w.present(export, "itslearning", true, Some(w.now)));
    assert_eq!(words(&w.redemption(export)), ["permit_redeemed"]);
    // Past exp the first answer may still be lost on its way: the age of the answer counts.
    let first_at = w.now.plus(chrono::Duration::milliseconds(299_000));
    allowed(&w.later(400_000).present(export, "itslearning", true, Some(first_at)));
    w.close(export, Closed::Aborted);
    assert_eq!(words(&w.present(export, "itslearning", true, Some(first_at))), ["permit_aborted"]);
}

#[test]
fn a_permit_of_no_export_of_the_customer_gives_nothing() {
    let (w, _) = issued();
    let unknown = id::<ExportId>(EXP + 9);
    allowed(&w.decide());
    assert_eq!(words(&w.redemption(unknown)), ["permit_altered"]);
    assert_eq!(words(&w.again(unknown, w.now)), ["permit_altered"]);
}

#[test]
fn a_permit_is_not_carried_to_a_platform_that_its_version_does_not_name() {
    let (mut w, export) = issued();
    w.version().scope.platforms = codes(&["fronter"]);
    assert_eq!(words(&w.redemption(export)), ["no_written_instruction"]);
}
