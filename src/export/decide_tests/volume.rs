//! Volume: what is limited must be stated; permits hold their volume until they are redeemed,
//! aborted or expired; a day is one of the agreement's zone. And `once`: held, freed, exhausted.

use super::world::{EXP, INS, World, allowed, at, id, reasons, rows, version_of, words};
use crate::base::{Volume, VolumeLimits};
use crate::evidence::{Cause, Closed, InstructionRef, Reason, ReasonCode, apply};
use crate::export::decide::Considered;

const EXCEEDS: [&str; 1] = ["volume_exceeds_instruction"];

fn limited(limits: VolumeLimits) -> World {
    let mut w = World::new();
    w.version().scope.volume = limits;
    w
}
fn per_export(limit: Volume) -> VolumeLimits {
    VolumeLimits { per_export: Some(limit), ..VolumeLimits::default() }
}
fn per_day(limit: Volume) -> VolumeLimits {
    VolumeLimits { per_day: Some(limit), ..VolumeLimits::default() }
}
fn total(limit: Volume) -> VolumeLimits {
    VolumeLimits { total: Some(limit), ..VolumeLimits::default() }
}
fn cited() -> InstructionRef {
    version_of(id(INS), 1)
}
fn ask(w: &mut World, n: u64) -> Considered {
    w.request.volume = rows(n);
    w.decide()
}

#[test]
fn a_limit_is_reached_and_not_passed() {
    for limits in [per_export(rows(100)), per_day(rows(100)), total(rows(100))] {
        let mut w = limited(limits);
        allowed(&ask(&mut w, 100));
        assert_eq!(words(&ask(&mut w, 101)), EXCEEDS, "{limits:?}");
        assert_eq!(words(&ask(&mut w, u64::MAX)), EXCEEDS, "{limits:?}");
    }
}

#[test]
fn a_limited_dimension_must_be_stated_and_an_unlimited_one_need_not() {
    let files = Volume { rows: None, files: Some(5), bytes: None };
    for limits in [per_export(files), per_day(files), total(files)] {
        let mut w = limited(limits);
        assert_eq!(words(&w.decide()), EXCEEDS, "rows are stated, files are limited: {limits:?}");
        w.request.volume = Volume { rows: Some(1_000_000), files: Some(5), bytes: None };
        allowed(&w.decide());
        w.request.volume.files = Some(6);
        assert_eq!(words(&w.decide()), EXCEEDS);
        w.request.volume = Volume::default();
        assert_eq!(words(&w.decide()), EXCEEDS);
    }
}

#[test]
fn a_day_ends_at_midnight_in_the_agreements_zone() {
    let mut w = limited(per_day(rows(100)));
    w.request.volume = rows(70);
    let export = w.permit(EXP, cited(), at("2026-09-01T06:00:00.000Z"));
    w.redeem(export);
    // 23:59:59.999 and 00:00 in Oslo, summer time.
    w.now = at("2026-09-01T21:59:59.999Z");
    assert_eq!(words(&ask(&mut w, 31)), EXCEEDS);
    assert_eq!(allowed(&ask(&mut w, 30)).day(), "2026-09-01".parse().unwrap());
    w.now = at("2026-09-01T22:00:00.000Z");
    assert_eq!(allowed(&ask(&mut w, 100)).day(), "2026-09-02".parse().unwrap());
    assert_eq!(words(&ask(&mut w, 101)), EXCEEDS);
}

#[test]
fn a_permit_counts_on_the_day_it_was_issued_even_when_it_is_redeemed_after_midnight() {
    let mut w = limited(per_day(rows(100)));
    let export = w.permit(EXP, cited(), at("2026-09-01T21:59:00.000Z"));
    w.now = at("2026-09-01T22:01:00.000Z");
    allowed(&ask(&mut w, 100));
    assert_eq!(allowed(&w.redemption(export)).day(), "2026-09-01".parse().unwrap());
    w.redeem(export);
    allowed(&ask(&mut w, 100));
    // It fills the day it counts on.
    w.now = at("2026-09-01T21:59:59.999Z");
    assert_eq!(words(&ask(&mut w, 1)), EXCEEDS);
}

#[test]
fn a_total_counts_what_was_redeemed_on_any_day_and_what_is_held() {
    let mut w = limited(total(rows(100)));
    w.request.volume = rows(40);
    let old = w.permit(EXP, cited(), at("2026-08-10T10:00:00.000Z"));
    w.redeem(old);
    w.request.volume = rows(30);
    w.permit(EXP + 1, cited(), w.now);
    allowed(&ask(&mut w, 30));
    assert_eq!(words(&ask(&mut w, 31)), EXCEEDS);
    // Another version and another instruction count for themselves.
    w.permit(EXP + 2, version_of(id(INS), 2), w.now);
    w.permit(EXP + 3, version_of(id(INS + 1), 1), w.now);
    allowed(&ask(&mut w, 30));
}

#[test]
fn an_unredeemed_permit_returns_its_volume_at_exp_and_when_it_is_aborted() {
    for limits in [per_day(rows(100)), total(rows(100))] {
        let mut w = limited(limits);
        let export = w.permit(EXP, cited(), w.now);
        w.later(299_999);
        assert_eq!(words(&ask(&mut w, 1)), EXCEEDS);
        let mut aborted = w.clone();
        aborted.close(export, Closed::Aborted);
        allowed(&ask(&mut aborted, 100));
        w.later(1);
        allowed(&ask(&mut w, 100));
        // Redeemed volume stays counted, whatever the platform reports afterwards.
        w.redeem(export);
        for state in [Closed::Completed, Closed::Aborted, Closed::Swept] {
            w.close(export, state);
            assert_eq!(words(&ask(&mut w, 1)), EXCEEDS);
        }
    }
}

#[test]
fn an_export_does_not_stand_in_its_own_way() {
    for limits in [per_day(rows(100)), total(rows(100))] {
        let mut w = limited(limits);
        let export = w.permit(EXP, cited(), w.now);
        assert_eq!(words(&w.decide()), EXCEEDS);
        allowed(&w.again(export, w.now));
        allowed(&w.redemption(export));
        w.redeem(export);
        allowed(&w.present(export, "itslearning", true, Some(w.now)));
        // Another's use does.
        let other = w.permit(EXP + 1, cited(), w.now);
        assert_eq!(words(&w.redemption(other)), EXCEEDS);
    }
}

fn once() -> World {
    let mut w = World::new();
    w.version().scope.once = true;
    w
}

#[test]
fn a_one_time_instruction_is_held_by_an_open_permit_and_free_at_its_exp() {
    let mut w = once();
    let export = w.permit(EXP, cited(), w.now);
    let held = Reason { code: ReasonCode::InstructionExhausted, cause: Cause::Export { id: export } };
    assert_eq!(reasons(&w.later(299_999).decide()), std::slice::from_ref(&held));
    allowed(&w.redemption(export));
    allowed(&w.later(1).decide());
    assert_eq!(words(&w.redemption(export)), ["permit_expired"]);
    // The second permit is now what stands in the way of the first.
    let second = w.permit(EXP + 1, cited(), w.now);
    assert_eq!(words(&w.redemption(export)), ["instruction_exhausted", "permit_expired"]);
    allowed(&w.redemption(second));
}

#[test]
fn a_redeemed_one_time_instruction_stays_exhausted() {
    let mut w = once();
    let export = w.permit(EXP, cited(), w.now);
    w.redeem(export);
    for closed in [None, Some(Closed::Completed), Some(Closed::Aborted), Some(Closed::Swept)] {
        w.facts.exports.get_mut(&export).unwrap().closed = closed;
        assert_eq!(words(&w.clone().later(86_400_000).decide()), ["instruction_exhausted"]);
    }
    let mut aborted = once();
    let export = aborted.permit(EXP, cited(), aborted.now);
    aborted.close(export, Closed::Aborted);
    allowed(&aborted.decide());
}

#[test]
fn many_requests_for_a_one_time_instruction_in_one_batch_give_one_permit() {
    let mut w = once();
    let mut permits = 0;
    for n in 0..64 {
        if reasons(&w.decide()).is_empty() {
            permits += 1;
            w.permit(EXP + n, cited(), w.now);
        }
    }
    assert_eq!(permits, 1);
}

#[test]
fn applying_a_redemption_counts_as_this_world_counts() {
    let mut w = limited(total(rows(100)));
    let export = w.permit(EXP, cited(), w.now);
    let record = super::permits::record(&w);
    let event = crate::evidence::Event::ExportRedeemed { export, presented_by: w.request.platform.clone(), kid: None, decision: record };
    let mut applied = w.facts.clone();
    apply(&mut applied, crate::evidence::Applied { epoch: 1, index: 20, event: &event, subjects: None });
    w.redeem(export);
    assert_eq!(applied, w.facts);
}
