//! How exports end: which report fits, what differs from the chunks, what goes back to the
//! instruction, and when the service closes what never ends.

use std::collections::BTreeSet;

use super::world::{EXP, INS, World, id, rows, version_of, words};
use crate::base::{Digest, Error, ExportId, Volume, VolumeLimits};
use crate::evidence::{Applied, Closed, Deviation, Event, Reconciliation, apply};
use crate::export::closing::{Completion, may_abort, may_complete, may_sweep, reconcile, reconcile_late};

fn running(sent: &[Volume]) -> (World, ExportId) {
    let mut w = World::new();
    w.request.volume = Volume { rows: Some(100), files: Some(10), bytes: None };
    let export = w.permit(EXP, version_of(id(INS), 1), w.now);
    w.redeem(export);
    for (number, volume) in (1..).zip(sent) {
        w.authorise(export, number, *volume);
    }
    (w, export)
}

const fn both(rows: u64, files: u64) -> Volume {
    Volume { rows: Some(rows), files: Some(files), bytes: None }
}

fn differs(w: &World, export: ExportId, how: Closed, delivered: &Volume) -> Vec<(String, Deviation)> {
    reconcile(&w.facts.exports[&export], how, delivered).differences.into_iter().collect()
}

fn list(expected: &[(&str, Deviation)]) -> Vec<(String, Deviation)> {
    expected.iter().map(|(name, deviation)| ((*name).to_owned(), *deviation)).collect()
}

#[test]
fn a_completion_must_agree_with_the_chunks_in_every_dimension_they_state() {
    let (w, export) = running(&[both(30, 3), both(20, 2)]);
    let bytes = |volume: Volume| Volume { bytes: Some(1 << 40), ..volume };
    for (delivered, expected) in [
        (both(50, 5), &[][..]),
        (bytes(both(50, 5)), &[]),
        (both(51, 5), &[("rows", Deviation::More)]),
        (both(49, 6), &[("files", Deviation::More), ("rows", Deviation::Fewer)]),
        (rows(50), &[("files", Deviation::Missing)]),
        (Volume::default(), &[("files", Deviation::Missing), ("rows", Deviation::Missing)]),
    ] {
        assert_eq!(differs(&w, export, Closed::Completed, &delivered), list(expected), "{delivered:?}");
    }
    // An abortion may say less, never more.
    assert_eq!(differs(&w, export, Closed::Aborted, &Volume::default()), []);
    assert_eq!(differs(&w, export, Closed::Aborted, &both(1, 0)), []);
    assert_eq!(differs(&w, export, Closed::Aborted, &both(51, 5)), list(&[("rows", Deviation::More)]));
}

#[test]
fn a_completion_without_a_chunk_differs_whatever_it_says() {
    let (w, export) = running(&[]);
    assert_eq!(differs(&w, export, Closed::Completed, &Volume::default()), list(&[("chunks", Deviation::Missing)]));
    let said = list(&[("chunks", Deviation::Missing), ("rows", Deviation::More)]);
    assert_eq!(differs(&w, export, Closed::Completed, &rows(1)), said);
    assert_eq!(differs(&w, export, Closed::Aborted, &rows(1)), list(&[("rows", Deviation::More)]));
}

#[test]
fn only_what_neither_chunks_nor_the_platform_count_goes_back() {
    let returned = |sent: &[Volume], how, delivered: &Volume| {
        let (w, export) = running(sent);
        reconcile(&w.facts.exports[&export], how, delivered).returned
    };
    let chunks = [both(30, 3)];
    assert_eq!(returned(&chunks, Closed::Completed, &both(30, 3)), both(70, 7));
    assert_eq!(returned(&chunks, Closed::Completed, &both(1, 0)), both(70, 7), "never on the platform's word alone");
    assert_eq!(returned(&chunks, Closed::Completed, &both(90, 3)), both(10, 7), "its word against itself counts");
    assert_eq!(returned(&chunks, Closed::Aborted, &both(1_000, 1_000)), both(0, 0));
    assert_eq!(returned(&chunks, Closed::Swept, &Volume::default()), both(70, 7));
    assert_eq!(returned(&[], Closed::Swept, &Volume::default()), both(100, 10));
    // A permit that was not redeemed has nothing counted to return.
    let mut w = World::new();
    let export = w.permit(EXP, version_of(id(INS), 1), w.now);
    assert_eq!(reconcile(&w.facts.exports[&export], Closed::Aborted, &Volume::default()).returned, Volume::default());
    w.redeem(export);
    assert_eq!(reconcile(&w.facts.exports[&export], Closed::Aborted, &Volume::default()).returned, rows(100));
}

#[test]
fn what_an_ended_export_returns_can_be_permitted_again_and_no_more() {
    let (mut w, export) = running(&[both(30, 3)]);
    w.version().scope.volume = VolumeLimits { total: Some(rows(100)), ..VolumeLimits::default() };
    w.request.volume = rows(1);
    assert_eq!(words(&w.decide()), ["volume_exceeds_instruction"], "all of it is reserved while it runs");
    let reconciled = Some(reconcile(&w.facts.exports[&export], Closed::Aborted, &Volume::default()));
    let event = Event::ExportAborted { export, delivered: Volume::default(), reconciled };
    apply(&mut w.facts, Applied { epoch: 1, index: 30, event: &event, subjects: None });
    w.request.volume = rows(70);
    assert_eq!(words(&w.decide()), [""; 0]);
    w.request.volume = rows(71);
    assert_eq!(words(&w.decide()), ["volume_exceeds_instruction"]);
    // Its own share, looked at again, is what it still counts.
    let counted = w.facts.exports[&export].counted;
    assert_eq!((counted.rows, counted.files), (30, 3));
}

#[test]
fn an_old_report_without_a_reconciliation_returns_nothing() {
    let (mut w, export) = running(&[]);
    let before = w.facts.usage.clone();
    let record = serde_json::json!({"type": "export.completed", "record":
        {"export": export, "delivered": {"rows": 1}, "sha256": Digest([0; 32]), "over": []}});
    let event: Event = serde_json::from_value(record.clone()).unwrap();
    assert_eq!(serde_json::to_value(&event).unwrap(), record, "and is written as it was");
    apply(&mut w.facts, Applied { epoch: 1, index: 30, event: &event, subjects: None });
    assert_eq!(w.facts.usage, before);
    assert_eq!(w.facts.exports[&export].closed, Some(Closed::Completed));
}

#[test]
fn a_report_fits_the_state_of_the_export() {
    fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
        match result {
            Ok(_) => "ok",
            Err(Error::Conflict { code, .. }) => code,
            Err(_) => "other",
        }
    }
    let mut w = World::new();
    let export = w.permit(EXP, version_of(id(INS), 1), w.now);
    let states = |w: &World| (code(may_complete(&w.facts.exports[&export])), code(may_abort(&w.facts.exports[&export])));
    assert_eq!(states(&w), ("export-not-redeemed", "ok"));
    w.redeem(export);
    assert_eq!(states(&w), ("ok", "ok"));
    for (closed, said) in [(Closed::Completed, "export-completed"), (Closed::Aborted, "export-aborted")] {
        w.close(export, closed);
        assert_eq!(states(&w), (said, said));
    }
    // What the service closed, or a restore made void, is reported late, once, and changes nothing that counts.
    w.close(export, Closed::Voided);
    assert_eq!(may_complete(&w.facts.exports[&export]).unwrap(), Completion::Late);
    assert_eq!(states(&w), ("ok", "export-void"));
    w.close(export, Closed::Swept);
    let before = (w.facts.usage.clone(), w.facts.exports[&export].counted);
    assert_eq!(may_complete(&w.facts.exports[&export]).unwrap(), Completion::Late);
    assert_eq!(states(&w), ("ok", "export-swept"));
    let reconciled = reconcile_late(&w.facts.exports[&export], &rows(5));
    assert_eq!((&reconciled.returned, reconciled.differences.get("chunks")), (&Volume::default(), Some(&Deviation::Missing)));
    let event = Event::ExportReportedLate { export, delivered: rows(5), sha256: Digest([0; 32]), over: BTreeSet::new(), reconciled };
    apply(&mut w.facts, Applied { epoch: 1, index: 31, event: &event, subjects: None });
    assert_eq!((w.facts.usage.clone(), w.facts.exports[&export].counted), before);
    assert_eq!(states(&w), ("export-swept", "export-swept"));
    w.close(export, Closed::Voided);
    assert_eq!(states(&w), ("export-void", "export-void"));
}

#[test]
fn the_service_closes_what_was_silent_for_36_hours_and_nothing_else() {
    let (mut w, export) = running(&[both(1, 1)]);
    let sweeps = |w: &World| may_sweep(&w.facts.exports[&export], w.now);
    w.later(36 * 3_600_000 - 1);
    assert!(!sweeps(&w));
    w.later(1);
    assert!(sweeps(&w));
    w.authorise(export, 2, both(1, 1));
    assert!(!sweeps(&w), "a chunk is a sign of life");
    w.later(36 * 3_600_000);
    for closed in [Closed::Completed, Closed::Aborted, Closed::Swept] {
        let mut ended = w.clone();
        ended.close(export, closed);
        assert!(!sweeps(&ended));
    }
    let mut unredeemed = World::new();
    let permit = unredeemed.permit(EXP, version_of(id(INS), 1), unredeemed.now);
    unredeemed.later(100 * 3_600_000);
    assert!(!may_sweep(&unredeemed.facts.exports[&permit], unredeemed.now), "its exp has returned it already");
}

#[test]
fn a_reconciliation_is_written_and_read_alike() {
    let (w, export) = running(&[both(30, 3)]);
    let reconciled = reconcile(&w.facts.exports[&export], Closed::Completed, &rows(50));
    let read: Reconciliation = serde_json::from_value(serde_json::to_value(&reconciled).unwrap()).unwrap();
    assert_eq!(read, reconciled);
}
