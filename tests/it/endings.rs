//! How exports end: reports that agree with their chunks and reports that do not, volume that goes
//! back, and the sweep that closes what never ends. Negative control of the alarms: a report that
//! agrees is told to nobody.

use chrono::Duration;
use serde_json::{Value, json};

use crate::support::{Answer, Client, Harness, KARI, export, instruction, run, with};

const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

async fn report(platform: &Client, key: &str, export: &str, what: &str, body: Value) -> Answer {
    platform.post_with(&format!("/gate/v1/exports/{export}/{what}"), &[("idempotency-key", key)], &body).await
}

async fn seen(h: &Harness, export: &str) -> Value {
    h.login(KARI).await.get(&format!("/api/v1/exports/{export}")).await.expect(200).json()
}

/// A total of 100 rows, and an export that reserves all of it and has let out 30.
async fn running(h: &Harness) -> (Client, Client, String) {
    let (kari, platform) = (h.person(KARI).await, h.platform("itslearning"));
    h.signed(&kari, &with(instruction(), json!({"volume": {"total": {"rows": 100}}}))).await;
    let id = h.running(&platform, "start", &with(export(), json!({"volume": {"rows": 100}}))).await;
    h.chunk(&platform, "c1", &id, &json!({"chunk_no": 1, "rows": 30, "files": 3})).await.expect(201);
    (kari, platform, id)
}

async fn most(h: &Harness, platform: &Client, rows: u64) {
    let ask = |rows: u64| with(export(), json!({"volume": {"rows": rows}, "dry_run": true}));
    let refused = h.ask(platform, &format!("over{rows}"), &ask(rows + 1)).await.expect(403);
    assert_eq!(refused.reasons(), ["volume_exceeds_instruction"]);
    if rows > 0 {
        h.ask(platform, &format!("most{rows}"), &ask(rows)).await.expect(200);
    }
}

#[tokio::test]
async fn a_completion_that_agrees_returns_the_rest_and_alarms_nobody() {
    run(async |h: &Harness| {
        let (_, platform, id) = running(h).await;
        most(h, &platform, 0).await;
        let done = report(&platform, "d", &id, "completions", json!({"rows": 30, "files": 3, "sha256": DIGEST})).await.expect(201);
        assert_eq!((&done.json()["over"], &done.json()["differences"]), (&json!([]), &json!({})));
        most(h, &platform, 70).await;
        assert_eq!(h.mail_with(&id).await, Vec::<String>::new());
        let shown = seen(h, &id).await;
        assert_eq!((&shown["state"], &shown["reconciliation"]["returned"]), (&json!("completed"), &json!({"rows": 70})));
        assert_eq!(h.chunk(&platform, "c2", &id, &json!({"chunk_no": 2, "rows": 1})).await.expect(403).reasons(), ["export_closed"]);
        assert_eq!(report(&platform, "d", &id, "completions", json!({"rows": 30, "files": 3, "sha256": DIGEST})).await.json(), done.json());
    })
    .await;
}

#[tokio::test]
async fn a_completion_that_differs_is_recorded_told_and_shown() {
    run(async |h: &Harness| {
        let (_, platform, id) = running(h).await;
        let done = report(&platform, "d", &id, "completions", json!({"rows": 90, "files": 2, "sha256": DIGEST})).await.expect(201);
        assert_eq!(done.json()["differences"], json!({"rows": "more", "files": "fewer"}));
        let told = h.mail_with("differs from what was authorised").await;
        assert_eq!(told.len(), 1);
        for part in ["1 chunk (30 rows, 3 files)", "90 rows, 2 files", "rows: more", "files: fewer", &id] {
            assert!(told[0].contains(part), "{part} in {}", told[0]);
        }
        assert_eq!(seen(h, &id).await["reconciliation"]["differences"], json!({"rows": "more", "files": "fewer"}));
        // What the platform itself says it delivered does not go back.
        most(h, &platform, 10).await;
    })
    .await;
}

#[tokio::test]
async fn a_completion_without_a_chunk_and_one_that_leaves_a_dimension_out_are_alarms() {
    run(async |h: &Harness| {
        let (kari, platform, id) = running(h).await;
        h.signed(&kari, &instruction()).await;
        let bare = h.running(&platform, "bare", &with(export(), json!({"volume": {}}))).await;
        let done = report(&platform, "a", &bare, "completions", json!({"sha256": DIGEST})).await.expect(201);
        assert_eq!(done.json()["differences"], json!({"chunks": "missing"}));
        let done = report(&platform, "b", &id, "completions", json!({"rows": 30, "sha256": DIGEST})).await.expect(201);
        assert_eq!(done.json()["differences"], json!({"files": "missing"}));
        assert_eq!(h.mail_with("differs from what was authorised").await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn an_abortion_returns_what_no_chunk_let_out_and_tells_what_left() {
    run(async |h: &Harness| {
        let (_, platform, id) = running(h).await;
        let aborted = report(&platform, "a", &id, "abortions", json!({})).await.expect(201);
        assert_eq!(aborted.json()["differences"], json!({}));
        most(h, &platform, 70).await;
        let told = h.mail_with("was cut off").await;
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("1 chunk (30 rows, 3 files)"), "{}", told[0]);
        assert_eq!(seen(h, &id).await["state"], "aborted");
        // Aborted before anything left: nobody need hear of it.
        let other = h.running(&platform, "other", &with(export(), json!({"volume": {"rows": 70}}))).await;
        report(&platform, "b", &other, "abortions", json!({})).await.expect(201);
        assert_eq!(h.mail_with("was cut off").await.len(), 1);
        most(h, &platform, 70).await;
    })
    .await;
}

#[tokio::test]
async fn the_sweep_closes_what_never_ends_once_and_tells_the_customer() {
    run(async |h: &Harness| {
        let (_, platform, id) = running(h).await;
        // One that is never redeemed needs no sweep, one that is alive gets none.
        h.advance(Duration::hours(35));
        h.chunk(&platform, "c2", &id, &json!({"chunk_no": 2, "rows": 10, "files": 1})).await.expect(201);
        h.advance(Duration::hours(35));
        assert_eq!(mandate::export::sweep(&h.app).await.unwrap(), 0);
        most(h, &platform, 0).await;
        h.advance(Duration::hours(1));
        assert_eq!(mandate::export::sweep(&h.app).await.unwrap(), 1);
        assert_eq!(mandate::export::sweep(&h.app).await.unwrap(), 0);
        most(h, &platform, 60).await;
        let told = h.mail_with("never ended").await;
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("2 chunks (40 rows, 4 files); never reported"), "{}", told[0]);
        let shown = seen(h, &id).await;
        assert_eq!((&shown["state"], &shown["reconciliation"]["returned"]), (&json!("swept"), &json!({"rows": 60})));
        assert_eq!(h.chunk(&platform, "c3", &id, &json!({"chunk_no": 3, "rows": 1})).await.expect(403).reasons(), ["export_closed"]);
    })
    .await;
}

#[tokio::test]
async fn what_is_reported_after_the_sweep_is_an_entry_told_and_shown_once_and_returns_nothing() {
    run(async |h: &Harness| {
        let (_, platform, id) = running(h).await;
        h.advance(Duration::hours(36));
        assert_eq!(mandate::export::sweep(&h.app).await.unwrap(), 1);
        most(h, &platform, 70).await;
        let body = json!({"rows": 90, "files": 3, "sha256": DIGEST});
        let aborted = report(&platform, "abort", &id, "abortions", json!({})).await.expect(409);
        assert_eq!(aborted.text("/code"), "export-swept");
        let late = report(&platform, "late", &id, "completions", body.clone()).await.expect(201).json();
        assert_eq!((&late["state"], &late["differences"], &late["over"]), (&json!("swept"), &json!({"rows": "more"}), &json!([])));
        // The same key again is the same answer; another report is none.
        assert_eq!(report(&platform, "late", &id, "completions", body.clone()).await.expect(201).json(), late);
        assert_eq!(report(&platform, "later", &id, "completions", body).await.expect(409).text("/code"), "export-swept");
        let told = h.mail_with("differs from what was authorised").await;
        assert_eq!(told.len(), 1);
        for part in ["after the export had been closed", "1 chunk (30 rows, 3 files)", "90 rows, 3 files", "rows: more", &id] {
            assert!(told[0].contains(part), "{part} in {}", told[0]);
        }
        // The closing stands, the late report beside it; the volume is what it was.
        let shown = seen(h, &id).await;
        assert_eq!((&shown["state"], &shown["reconciliation"]["returned"]), (&json!("swept"), &json!({"rows": 70})));
        assert_eq!(shown["late_report"]["delivered"], json!({"rows": 90, "files": 3}));
        assert_eq!(shown["late_report"]["reconciled"]["differences"], json!({"rows": "more"}));
        most(h, &platform, 70).await;
        h.signed(&h.person(KARI).await, &instruction()).await;
        let agreeing = h.running(&platform, "agreeing", &with(export(), json!({"volume": {}}))).await;
        h.chunk(&platform, "c1a", &agreeing, &json!({"chunk_no": 1, "rows": 7})).await.expect(201);
        h.advance(Duration::hours(36));
        assert_eq!(mandate::export::sweep(&h.app).await.unwrap(), 1);
        // In a batch, twice; one that agrees is told too, for the customer was told that nothing came.
        let batch = json!({"completions": [
            {"export": agreeing, "rows": 7, "sha256": DIGEST}, {"export": agreeing, "rows": 7, "sha256": DIGEST}, {"export": id, "rows": 1, "sha256": DIGEST},
        ]});
        let send = async || platform.post_with("/gate/v1/export-completions", &[("idempotency-key", "batch")], &batch).await.expect(200).json();
        let outcomes = send().await;
        let of = |member: &str| outcomes["completions"].as_array().unwrap().iter().map(|o| o[member].clone()).collect::<Vec<_>>();
        assert_eq!(of("outcome"), ["late", "conflict", "conflict"]);
        assert_eq!(of("code"), [Value::Null, json!("export-swept"), json!("export-swept")]);
        assert_eq!((outcomes["completed"].as_u64(), send().await), (Some(0), outcomes.clone()));
        assert_eq!(h.mail_with("was reported late").await.len(), 1);
        assert_eq!(crate::accounts::count(h, "Nordvik", "export.reported_late").await, 2);
        // Control: what was reported in time is told to nobody and shows no late report.
        assert_eq!(seen(h, &agreeing).await["late_report"]["reconciled"]["differences"], json!({}));
    })
    .await;
}

#[tokio::test]
async fn two_sweeps_at_once_close_each_export_once() {
    run(async |h: &Harness| {
        let (kari, platform) = (h.person(KARI).await, h.platform("itslearning"));
        h.signed(&kari, &instruction()).await;
        for n in 0..5 {
            h.running(&platform, &format!("s{n}"), &export()).await;
        }
        h.advance(Duration::hours(36));
        let sweep = || async { mandate::export::sweep(&h.app).await.unwrap() };
        let (a, b, c) = tokio::join!(sweep(), sweep(), sweep());
        assert_eq!(a + b + c, 5);
        let told = h.mail_with("never ended").await;
        assert_eq!(told.len(), 1, "one message for all of a customer's: {told:?}");
    })
    .await;
}

#[tokio::test]
async fn an_unredeemed_permit_returns_its_volume_at_its_exp_without_a_sweep() {
    run(async |h: &Harness| {
        let (kari, platform) = (h.person(KARI).await, h.platform("itslearning"));
        h.signed(&kari, &with(instruction(), json!({"volume": {"total": {"rows": 100}}}))).await;
        h.ask(&platform, "a", &with(export(), json!({"volume": {"rows": 100}}))).await.expect(201);
        most(h, &platform, 0).await;
        h.advance(Duration::seconds(300));
        most(h, &platform, 100).await;
        h.advance(Duration::hours(100));
        assert_eq!(mandate::export::sweep(&h.app).await.unwrap(), 0);
    })
    .await;
}
