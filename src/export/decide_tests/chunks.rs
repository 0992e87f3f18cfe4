//! Chunks of a running export: every reason that stops it, the budget of the permit, a number once,
//! an answer again; and what no change of the facts may ever allow.

use proptest::prelude::*;

use super::world::{EXP, INS, RES, SUS, World, allowed, code, id, rows, unit, version_of, words};
use crate::base::{ExportId, Volume, VolumeLimits};
use crate::evidence::{Closed, SubjectVerdict, SuspendedBy};
use crate::export::chunk::{Chunk, decide_chunk, stops};
use crate::export::decide::{Considered, Decision, View};

fn running() -> (World, ExportId) {
    let mut w = World::new();
    let export = w.permit(EXP, version_of(id(INS), 1), w.now);
    w.redeem(export);
    (w, export)
}

fn stopped(w: &World, export: ExportId, considered: &Considered) -> bool {
    match &considered.decision {
        Decision::Allow(_) => false,
        Decision::Refuse(refusal) => stops(&w.facts.exports[&export], refusal),
    }
}

#[test]
fn whatever_ends_a_mandate_stops_the_next_chunk_for_that_reason_alone() {
    let changes: [(fn(&mut World), &str); 9] = [
        (|w| w.instruction().revoked = true, "instruction_revoked"),
        (|w| _ = w.version().contests.insert(id(1)), "instruction_contested"),
        (|w| w.version().valid_until = Some(w.now), "instruction_expired"),
        (
            |w| {
                let now = w.now;
                w.sign(INS, 2, 9, |v| v.valid_from = now)
            },
            "instruction_superseded",
        ),
        (|w| w.agreement().until = Some(w.now), "agreement_not_in_force"),
        (|w| _ = w.facts.suspensions.insert(id(SUS), SuspendedBy::Customer), "customer_suspended"),
        (|w| _ = w.facts.suspensions.insert(id(SUS), SuspendedBy::Ops), "customer_suspended"),
        (|w| _ = w.registry.suspensions.insert(id(SUS), code("itslearning")), "platform_suspended"),
        (|w| _ = w.restrict(RES, vec![unit("S03")]), "restriction_in_force"),
    ];
    for (change, word) in changes {
        let (mut w, export) = running();
        allowed(&w.chunk(export, 1, rows(10), None));
        w.authorise(export, 1, rows(10));
        let first_at = w.now;
        change(&mut w);
        let next = w.chunk(export, 2, rows(10), None);
        assert_eq!(words(&next), [word]);
        assert!(stopped(&w, export, &next), "{word}");
        assert_eq!(words(&w.chunk(export, 1, rows(10), Some(first_at))), [word], "an answered chunk is not a cache");
    }
}

#[test]
fn what_is_asked_of_an_export_whose_subjects_are_erased_is_refused_for_what_is_known() {
    let (mut w, export) = running();
    w.close(export, Closed::Completed);
    let before = w.chunk(export, 1, rows(10), None);
    assert_eq!((words(&before), before.subject_verdict.erased), (vec!["export_closed"], false));
    w.facts.exports.get_mut(&export).unwrap().subjects = None;
    let after = w.chunk(export, 1, rows(10), None);
    assert_eq!((words(&after), after.subject_verdict.erased), (vec!["export_closed"], true));
    assert_eq!(words(&w.redemption(export)), ["permit_redeemed"]);
    // What was decided before the erasure, and after it, comes out as it was recorded.
    let export_closed = Chunk { export, by: &code("itslearning"), number: 1, volume: rows(10), first_at: None };
    for recorded in [before, after] {
        let view = View { recorded: Some(&recorded.subject_verdict), ..w.view() };
        assert_eq!(decide_chunk(&export_closed, &w.request_of(export), view, w.now), recorded);
    }
    // One that runs has its subjects: without them nothing of it may leave, whatever is recorded.
    w.facts.exports.get_mut(&export).unwrap().closed = None;
    assert_eq!(words(&w.chunk(export, 1, rows(10), None)), ["subjects_out_of_scope"]);
    let recorded = SubjectVerdict { erased: true, ..SubjectVerdict::default() };
    let view = View { recorded: Some(&recorded), ..w.view() };
    assert_eq!(words(&decide_chunk(&export_closed, &w.request_of(export), view, w.now)), ["subjects_out_of_scope"]);
}

#[test]
fn a_running_export_outlives_its_permits_exp_and_its_day() {
    let (mut w, export) = running();
    w.version().scope.volume = VolumeLimits { per_day: Some(rows(100)), total: Some(rows(100)), ..VolumeLimits::default() };
    w.later(86_400_000);
    assert_eq!(allowed(&w.chunk(export, 1, rows(100), None)).day(), w.facts.exports[&export].grant.day);
}

#[test]
fn chunks_reach_the_permits_volume_and_do_not_pass_it() {
    let (mut w, export) = running();
    w.authorise(export, 1, rows(60));
    allowed(&w.chunk(export, 2, rows(40), None));
    let over = w.chunk(export, 2, rows(41), None);
    assert_eq!(words(&over), ["volume_exceeds_permit"]);
    assert!(!stopped(&w, export, &over), "a smaller chunk may still leave");
    assert_eq!(words(&w.chunk(export, 2, rows(u64::MAX), None)), ["volume_exceeds_permit"]);
    assert_eq!(words(&w.chunk(export, 2, Volume::default(), None)), ["volume_exceeds_permit"], "what the permit states must be stated");
    // What the permit does not state is not limited, and is counted.
    let files = Volume { rows: Some(1), files: Some(48_000), bytes: None };
    allowed(&w.chunk(export, 2, files, None));
}

#[test]
fn an_allowed_chunk_asked_again_stands_apart_from_its_own_sum() {
    let (mut w, export) = running();
    w.authorise(export, 1, rows(100));
    let first_at = w.now;
    allowed(&w.later(300_000).chunk(export, 1, rows(100), Some(first_at)));
    assert_eq!(words(&w.chunk(export, 1, rows(100), None)), ["chunk_repeated", "volume_exceeds_permit"]);
    w.close(export, Closed::Completed);
    let closed = w.chunk(export, 1, rows(100), Some(first_at));
    assert_eq!(words(&closed), ["export_closed"]);
    assert!(!stopped(&w, export, &closed), "what has ended cannot be stopped");
}

#[test]
fn another_platform_learns_nothing() {
    let (mut w, export) = running();
    w.instruction().revoked = true;
    let chunk = crate::export::chunk::Chunk { export, by: &code("fronter"), number: 1, volume: rows(1), first_at: None };
    let considered = crate::export::chunk::decide_chunk(&chunk, &w.request_of(export), w.view(), w.now);
    assert_eq!(words(&considered), ["permit_borrowed"]);
    assert!(considered.candidates.is_empty());
}

/// A running export with chunks, in a world where something may be wrong.
fn some_run() -> impl Strategy<Value = (World, ExportId)> {
    let flaws = (any::<bool>(), any::<bool>(), any::<bool>(), 0..4_u8);
    (proptest::collection::vec(1..60_u64, 0..4), flaws).prop_map(|(sent, (revoked, limited, closed, other))| {
        let (mut w, export) = running();
        for (number, n) in (1..).zip(sent) {
            w.authorise(export, number, rows(n));
        }
        w.instruction().revoked = revoked && other == 0;
        if limited {
            w.version().scope.volume = VolumeLimits { total: Some(rows(120)), ..VolumeLimits::default() };
        }
        if closed && other == 1 {
            w.close(export, Closed::Aborted);
        }
        if other == 2 {
            w.permit(EXP + 1, version_of(id(INS), 1), w.now);
        }
        (w, export)
    })
}

fn is_allowed(considered: &Considered) -> bool {
    matches!(considered.decision, Decision::Allow(_))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Negative control: the budget test taken out of `decide_chunk`.
    #[test]
    fn more_volume_never_turns_a_refused_chunk_into_an_allowed_one((w, export) in some_run(), n in 0..120_u64, more in 0..120_u64) {
        let (less, more) = (w.chunk(export, 9, rows(n), None), w.chunk(export, 9, rows(n + more), None));
        prop_assert!(is_allowed(&less) || !is_allowed(&more));
    }

    /// Negative control: the budget compared with the chunk alone.
    #[test]
    fn what_chunks_let_out_never_passes_the_permit((mut w, export) in some_run(), asked in proptest::collection::vec(0..60_u64, 1..8)) {
        for (number, n) in (10..).zip(asked) {
            if is_allowed(&w.chunk(export, number, rows(n), None)) {
                w.authorise(export, number, rows(n));
                let let_out = w.facts.exports[&export].authorised.rows;
                prop_assert!(let_out <= Some(100), "{let_out:?}");
            }
        }
    }

    /// Negative control: the restrictions left out of `evaluate`.
    #[test]
    fn a_restriction_a_stop_or_an_end_never_allows_a_chunk((w, export) in some_run(), n in 0..120_u64, which in 0..5_u8) {
        let before = is_allowed(&w.chunk(export, 9, rows(n), None));
        let mut worse = w;
        match which {
            0 => { worse.restrict(RES, vec![unit("S03")]); }
            1 => worse.instruction().revoked = true,
            2 => { worse.facts.suspensions.insert(id(SUS), SuspendedBy::Customer); }
            3 => worse.close(export, Closed::Completed),
            _ => worse.authorise(export, 9, rows(0)),
        }
        prop_assert!(!is_allowed(&worse.chunk(export, 9, rows(n), None)), "allowed before: {before}");
    }

    /// One call in single mode stands for three decisions: they agree on the same facts.
    #[test]
    fn what_is_permitted_is_redeemed_and_let_out_whole_at_the_same_instant(n in 0..200_u64, limit in 0..200_u64, once in any::<bool>()) {
        let mut w = World::new();
        w.version().scope.once = once;
        w.version().scope.volume = VolumeLimits { per_export: Some(rows(limit)), total: Some(rows(limit)), ..VolumeLimits::default() };
        w.request.volume = rows(n);
        let asked = is_allowed(&w.decide());
        prop_assert_eq!(asked, n <= limit);
        if asked {
            let export = w.permit(EXP, version_of(id(INS), 1), w.now);
            prop_assert!(is_allowed(&w.redemption(export)));
            w.redeem(export);
            prop_assert!(is_allowed(&w.chunk(export, 1, rows(n), None)));
        }
    }
}
