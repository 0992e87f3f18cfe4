//! Rules with an edge: which candidate is cited and which are explained, windows and versions to
//! the millisecond, residency at a date, and what remains possible after an agreement's end (P10).

use super::world::{AGR, INS, SUS, World, allowed, at, code, codes, group, id, recipient, version_of, words};
use crate::base::ContestId;
use crate::evidence::{Residency, SuspendedBy};
use crate::export::decide::{Considered, Decision, MAX_EXPLAINED};

fn cited(w: &World) -> (u128, u32) {
    let considered = w.decide();
    let cited = allowed(&considered).instruction();
    (crate::base::TypedId::uuid(cited.id).as_u128(), cited.version)
}

#[test]
fn the_cited_candidate_is_once_first_then_signed_first_then_of_the_lowest_id() {
    let mut w = World::new();
    w.sign(INS + 1, 1, 2, |_| {});
    assert_eq!(cited(&w), (INS + 1, 1), "signed before the other");
    w.sign(INS + 2, 1, 9, |v| v.scope.once = true);
    assert_eq!(cited(&w), (INS + 2, 1), "once, though signed last");
    w.facts.instructions.remove(&id(INS + 2));
    w.version().signed = (1, 2);
    assert_eq!(cited(&w), (INS, 1), "signed at the same index: the lower id");
    w.version().signed = (2, 0);
    assert_eq!(cited(&w), (INS + 1, 1), "an earlier epoch comes before a lower index");
    w.sign(INS + 3, 1, 0, |v| v.scope.channels = codes(&["lti"]));
    assert_eq!(cited(&w), (INS + 1, 1), "what does not cover is not cited");
}

fn explained(considered: &Considered) -> (Vec<u128>, bool) {
    let Decision::Refuse(refusal) = &considered.decision else { panic!("permitted") };
    (considered.candidates.iter().map(|c| crate::base::TypedId::uuid(c.id).as_u128()).collect(), refusal.more_candidates)
}

#[test]
fn a_refusal_explains_twenty_the_most_recent_of_the_purpose_first() {
    let mut w = World::new();
    w.facts.instructions.clear();
    w.request.channel = code("lti");
    for n in 0..12 {
        w.sign(100 + n, 1, n as u64, |_| {});
    }
    for n in 0..8 {
        w.sign(200 + n, 1, 50 + n as u64, |v| v.scope.purposes = codes(&["data-portability"]));
    }
    let newest_first: Vec<u128> = (100..112).rev().chain((200..208).rev()).collect();
    assert_eq!(newest_first.len(), MAX_EXPLAINED);
    assert_eq!(explained(&w.decide()), (newest_first.clone(), false));

    w.sign(300, 1, 0, |_| {});
    let mut with_one_more = newest_first;
    with_one_more.pop();
    with_one_more.insert(11, 300);
    assert_eq!(explained(&w.decide()), (with_one_more.clone(), true), "signed as early as the oldest, and of a higher id");
    // What shares neither purpose nor recipient, or is for another platform, is not looked at.
    w.sign(301, 1, 99, |v| (v.scope.purposes, v.scope.recipients) = (codes(&["research"]), vec![recipient("SE", None)]));
    w.sign(302, 1, 99, |v| v.scope.platforms = codes(&["fronter"]));
    let (list, more) = explained(&w.decide());
    assert_eq!(list.len(), MAX_EXPLAINED);
    assert!(more && !list.contains(&301) && !list.contains(&302));
}

#[test]
fn a_window_holds_from_its_first_instant_to_before_its_end() {
    let mut w = World::new();
    let (from, until) = (w.version().valid_from, w.version().valid_until.unwrap());
    for (now, expected) in [
        (from.millis() - 1, &["instruction_not_yet_valid"][..]),
        (from.millis(), &[]),
        (until.millis() - 1, &[]),
        (until.millis(), &["instruction_expired"]),
    ] {
        w.now = crate::base::Instant::from_millis(now).unwrap();
        assert_eq!(words(&w.decide()), expected, "{}", w.now);
    }
}

#[test]
fn a_version_is_superseded_exactly_when_the_newer_ones_window_starts() {
    let mut w = World::new();
    let start = w.now;
    w.sign(INS, 2, 9, |v| v.valid_from = start);
    w.later(-1);
    assert_eq!(cited(&w), (INS, 1));
    w.later(1);
    assert_eq!(cited(&w), (INS, 2));
    // A newer version that is narrower leaves nothing to fall back on.
    w.instruction().versions.get_mut(&2).unwrap().scope.channels = codes(&["lti"]);
    assert_eq!(words(&w.decide()), ["instruction_superseded", "channel_not_instructed"]);
    w.instruction().versions.get_mut(&2).unwrap().valid_until = Some(start);
    assert_eq!(words(&w.decide()), ["instruction_expired", "instruction_superseded", "channel_not_instructed"], "nor when it has ended");
}

#[test]
fn a_contested_version_stands_again_when_every_contest_is_confirmed() {
    let mut w = World::new();
    w.version().contests.extend([id::<ContestId>(1), id::<ContestId>(2)]);
    assert_eq!(words(&w.decide()), ["instruction_contested"]);
    w.version().contests.remove(&id(1));
    assert_eq!(words(&w.decide()), ["instruction_contested"]);
    w.version().contests.remove(&id(2));
    allowed(&w.decide());
    // Confirmed or not, what is prohibited stays so, even if agreement and instruction name it (P3).
    w.agreement().terms.purposes.insert(code("sale"));
    w.version().scope.purposes.insert(code("sale"));
    w.request.purpose = code("sale");
    assert_eq!(words(&w.decide()), ["purpose_prohibited"]);
}

fn to(country: &str, now: &str) -> World {
    let mut w = World::new();
    w.agreement().from = at("2019-01-01T00:00:00.000Z");
    w.version().valid_from = at("2019-01-01T00:00:00.000Z");
    w.version().scope.recipients = vec![recipient(country, None)];
    w.request.recipient = recipient(country, None);
    w.now = at(now);
    w
}

#[test]
fn membership_of_the_eea_is_tested_at_the_day_in_the_agreements_zone() {
    allowed(&to("GB", "2020-12-31T12:00:00.000Z").decide());
    allowed(&to("GB", "2020-12-31T22:59:59.999Z").decide());
    // Midnight in Oslo.
    for now in ["2020-12-31T23:00:00.000Z", "2021-01-01T12:00:00.000Z"] {
        assert_eq!(words(&to("GB", now).decide()), ["recipient_outside_residency"], "{now}");
    }
    // Adequacy is not membership (P7).
    for country in ["CH", "US", "JP"] {
        assert_eq!(words(&to(country, "2026-09-01T10:00:00.000Z").decide()), ["recipient_outside_residency"], "{country}");
    }
}

#[test]
fn a_permit_issued_to_a_member_is_not_redeemed_after_it_left() {
    let mut w = to("GB", "2020-12-31T22:59:00.000Z");
    let export = w.permit(90, version_of(id(INS), 1), w.now);
    allowed(&w.later(59_999).redemption(export));
    assert_eq!(words(&w.later(1).redemption(export)), ["recipient_outside_residency"]);
}

#[test]
fn a_list_of_residency_means_exactly_its_countries() {
    let allows = |list: &[&str], country: &str| {
        let mut w = to(country, "2026-09-01T10:00:00.000Z");
        w.agreement().terms.residency = Residency::Countries(codes(list));
        words(&w.decide()).is_empty()
    };
    for (list, country, expected) in [
        (&["EEA", "CH"][..], "NO", true),
        (&["EEA", "CH"], "CH", true),
        (&["EEA", "CH"], "GB", false),
        (&["EEA", "CH"], "US", false),
        (&["NO", "SE"], "SE", true),
        (&["NO", "SE"], "DK", false),
        (&["CH"], "NO", false),
        (&[], "NO", false),
    ] {
        assert_eq!(allows(list, country), expected, "{list:?} {country}");
    }
}

#[test]
fn a_transfer_needs_its_ground_in_the_instruction_and_the_same_in_the_request() {
    let (clauses, other) = (Some("Art. 46(2)(c), clauses of 2026-02-01"), Some("Art. 45"));
    for (named, asked, expected) in [
        (&[None][..], None, &["recipient_outside_residency"][..]),
        (&[None], clauses, &["recipient_outside_residency"]),
        (&[clauses], clauses, &[]),
        (&[clauses], other, &["third_country_not_instructed"]),
        (&[clauses], None, &["third_country_not_instructed"]),
        (&[clauses, other], other, &[]),
        (&[None, other], other, &[]),
        (&[None, other], None, &["third_country_not_instructed"]),
    ] {
        let mut w = World::new();
        w.version().scope.recipients = named.iter().map(|ground| recipient("US", *ground)).collect();
        w.request.recipient = recipient("US", asked);
        assert_eq!(words(&w.decide()), expected, "{named:?} {asked:?}");
    }
}

fn ended() -> World {
    let mut w = World::new();
    w.agreement().until = Some(w.now);
    w.version().scope.purposes = codes(&["return-at-end"]);
    w.request.purpose = code("return-at-end");
    w
}

#[test]
fn after_the_end_only_a_written_return_of_data_is_possible() {
    let w = ended();
    assert_eq!(allowed(&w.decide()).agreement(), (id(AGR), 1));
    for purpose in ["archiving", "data-portability", "subject-access", "service-delivery"] {
        let mut w = ended();
        w.agreement().terms.purposes.insert(code(purpose));
        w.version().scope.purposes.insert(code(purpose));
        w.request.purpose = code(purpose);
        assert_eq!(words(&w.decide()), ["agreement_not_in_force"], "{purpose}");
    }
    let mut unwritten = ended();
    unwritten.facts.instructions.clear();
    assert_eq!(words(&unwritten.decide()), ["no_written_instruction"]);
    let mut wider = ended();
    wider.request.data_categories.insert(code("message"));
    wider.version().scope.data_categories.insert(code("message"));
    assert_eq!(words(&wider.decide()), ["category_not_in_agreement"]);
}

#[test]
fn a_return_before_the_end_needs_the_agreement_to_name_it() {
    let mut w = ended();
    w.agreement().until = None;
    assert_eq!(words(&w.decide()), ["purpose_not_in_agreement"]);
    w.agreement().terms.purposes.insert(code("return-at-end"));
    allowed(&w.decide());
    // What was never in force has no end that data could be returned at.
    let mut future = ended();
    (future.agreement().from, future.agreement().until) = (future.now.plus(chrono::Duration::milliseconds(1)), None);
    assert_eq!(words(&future.decide()), ["agreement_not_in_force", "purpose_not_in_agreement"]);
    // Nor has one that was terminated before it began.
    future.agreement().until = Some(future.now);
    assert_eq!(words(&future.decide()), ["agreement_not_in_force"]);
}

#[test]
fn a_return_is_stopped_by_the_customer_and_by_the_platforms_suspension_but_not_by_ops() {
    let mut w = ended();
    w.facts.suspensions.insert(id(SUS), SuspendedBy::Ops);
    allowed(&w.decide());
    w.facts.suspensions.insert(id(SUS + 1), SuspendedBy::Customer);
    assert_eq!(words(&w.decide()), ["customer_suspended"]);
    w.facts.suspensions.remove(&id(SUS + 1));
    w.registry.suspensions.insert(id(SUS + 2), code("itslearning"));
    assert_eq!(words(&w.decide()), ["platform_suspended"]);
}

#[test]
fn a_return_cites_the_agreement_that_ended_last_and_one_in_force_goes_before_it() {
    let mut w = ended();
    let mut earlier = w.agreement().clone();
    (earlier.from, earlier.until) = (at("2024-01-01T00:00:00.000Z"), Some(at("2025-12-31T23:00:00.000Z")));
    w.facts.agreements.insert(id(AGR + 1), earlier.clone());
    assert_eq!(allowed(&w.decide()).agreement(), (id(AGR), 1));
    (earlier.from, earlier.until, earlier.version) = (w.now, None, 2);
    earlier.terms.purposes.insert(code("return-at-end"));
    w.facts.agreements.insert(id(AGR + 2), earlier);
    assert_eq!(allowed(&w.decide()).agreement(), (id(AGR + 2), 2));
}

#[test]
fn an_instruction_of_a_group_covers_no_other_group_and_no_wider_selector() {
    let mut w = World::new();
    w.version().subjects = Some(vec![group("S03", "7B")]);
    allowed(&w.decide());
    for wider in [group("S03", "7C"), super::world::unit("S03"), crate::base::Selector::Whole, super::world::subject("p1", None, &[])] {
        w.request.subjects = vec![group("S03", "7B"), wider];
        assert_eq!(words(&w.decide()), ["subjects_out_of_scope"]);
    }
}
