//! What erasure reaches besides what ended by itself: exports that a restore made void, hashes of requests in
//! platforms' logs, and what comes after an erasure. And what an erasure leaves usable: a pack's key, and the
//! bytes of a document that come again.

use chrono::Duration;
use mandate::base::{canonical, sha256};
use mandate::erasure::{Erased, Retention};
use mandate::fsck::{Verdict as Checked, check as fsck};
use mandate::operation::run_due;
use mandate::pack::{Report, Verdict};
use mandate::restore::take_in;
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::erasure::{DAYS, KEPT, erase, happened, later, store, subject};
use crate::packs::{check, made};
use crate::support::{Answer, Client, Harness, KARI, connect_as_owner, export, instruction, run, try_sql, with};

async fn clean(h: &Harness) {
    let found = fsck(&h.app.db, h.app.notary.outside(), None, |_| {}).await.unwrap();
    assert_eq!(found.verdict(), Checked::Clean, "{found}");
}

async fn pack(h: &Harness, client: &Client) -> Report {
    let report = check(&made(h, client, &json!({})).await, Vec::new());
    assert_eq!(report.verdict, Verdict::Verified, "{report}");
    report
}

async fn completed(platform: &Client, key: &str, export: &str) -> Answer {
    let report = json!({"rows": 1, "sha256": "ab".repeat(32)});
    platform.post_with(&format!("/gate/v1/exports/{export}/completions"), &[("idempotency-key", key)], &report).await
}

/// The owner, past the policies of the log's entries.
async fn owner(h: &Harness) -> PgConnection {
    let mut owner = connect_as_owner(h).await;
    try_sql(&mut owner, "ALTER TABLE log_entry NO FORCE ROW LEVEL SECURITY").await.unwrap();
    owner
}

async fn count(owner: &mut PgConnection, which: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM log_entry WHERE {which}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(owner).await.unwrap()
}

/// Negative controls: with `export_ended_at` without the epochs nothing of what ran is erased (shown here), and
/// without `Closed::Voided` in `may_complete` the report is answered with 409.
#[tokio::test]
async fn what_a_restore_made_void_has_ended_is_erased_and_can_still_be_reported() {
    run(async |h: &Harness| {
        let (kari, platform) = (h.person(KARI).await, h.platform("itslearning"));
        h.signed(&kari, &instruction()).await;
        let about = |reference: &str| with(export(), json!({"subjects": subject(reference)}));
        let running = h.running(&platform, "running", &about("kanari-running")).await;
        h.chunk(&platform, "c1", &running, &json!({"chunk_no": 1, "rows": 1, "last": "kanari-file"})).await.expect(201);
        let batched = h.running(&platform, "batched", &about("kanari-batched")).await;
        let open = h.ask(&platform, "open", &about("kanari-open")).await.expect(201);
        h.app.notary.keep_all(&h.app.db).await.unwrap();
        assert!(take_in(&h.app.db, h.app.notary.outside(), &h.app.notary.public_keys(), true).await.unwrap().is_some());
        let refused = h.redeem(&platform, "r-open", &open.text("/id"), &open.text("/permit")).await.expect(403);
        assert!(refused.reasons().contains(&"permit_void".to_owned()), "{:?}", refused.reasons());
        let kari = h.person(KARI).await;
        let shown = async |client: &Client, id: &str| client.get(&format!("/api/v1/exports/{id}")).await.expect(200).json();
        assert_eq!(shown(&kari, &running).await["state"], "voided");
        // Nothing is old enough.
        let day = Retention { subjects_days: 1, documents_days: 0 };
        assert_eq!(erase(h, day).await, Erased::default());
        h.advance(Duration::hours(2_000));
        // The control: by its own end only the permit that was open has ended.
        let mut owner = connect_as_owner(h).await;
        let of = "SELECT pg_get_functiondef('export_ended_at(uuid, uuid)'::regprocedure)";
        let rule: String = sqlx::query_scalar(of).fetch_one(&mut owner).await.unwrap();
        assert!(rule.contains("l.epoch > x.epoch"));
        try_sql(&mut owner, &rule.replace("l.epoch > x.epoch", "false")).await.unwrap();
        let erased = erase(h, day).await;
        assert_eq!(erased.subjects.get("export.permitted"), Some(&1), "{erased:?}");
        try_sql(&mut owner, &rule).await.unwrap();
        let erased = erase(h, day).await;
        assert_eq!(erased.subjects.get("export.permitted"), Some(&2), "{erased:?}");
        let kari = h.person(KARI).await;
        let void = shown(&kari, &running).await;
        assert!(void["state"] == "voided" && void["last"].is_null() && void["chunks"] == 1, "{void}");
        // What was delivered is recorded once, whichever way it is reported, and told.
        let reported = completed(&platform, "end", &running).await.expect(201);
        assert_eq!((reported.text("/state"), reported.json()["differences"].clone()), ("voided".to_owned(), json!({})));
        assert_eq!(completed(&platform, "end", &running).await.expect(201).text("/state"), "voided");
        assert_eq!(completed(&platform, "end-again", &running).await.expect(409).text("/code"), "export-void");
        let abortions = format!("/gate/v1/exports/{running}/abortions");
        platform.post_with(&abortions, &[("idempotency-key", "abort")], &json!({})).await.expect(409);
        let report = json!({"export": batched, "rows": 7, "sha256": "cd".repeat(32)});
        let batch = json!({"completions": [report, report]});
        let outcomes = platform.post_with("/gate/v1/export-completions", &[("idempotency-key", "batch")], &batch).await.expect(200).json();
        let of = |member: &str| [outcomes["completions"][0][member].clone(), outcomes["completions"][1][member].clone()];
        assert_eq!((of("outcome"), of("code")), ([json!("late"), json!("conflict")], [Value::Null, json!("export-void")]));
        assert_eq!(shown(&kari, &running).await["late_report"]["delivered"]["rows"], 1);
        assert_eq!(shown(&kari, &batched).await["late_report"]["reconciled"]["differences"]["rows"], "more");
        assert!(!h.mail_with(&batched).await.is_empty());
        clean(h).await;
        pack(h, &kari).await;
    })
    .await;
}

/// Negative controls: before the days are over the hash is there, and a guess at request and key fits it;
/// without its key none does, as it did when the hash was of the request alone.
#[tokio::test]
async fn the_hash_of_a_request_for_nobody_is_keyed_and_goes_too() {
    run(async |h: &Harness| {
        let platform = h.platform("itslearning");
        let asked = with(export(), json!({"customer": "nobody-at-all", "subjects": subject("kanari-nobody")}));
        h.ask(&platform, "1", &asked).await.expect(403);
        h.ask(&platform, "1", &asked).await.expect(403);
        let mut owner = owner(h).await;
        let of = "type = 'gate.unknown_refused' AND record -> 'request' ->> 'customer' = 'nobody-at-all' AND request_hash IS NOT NULL";
        assert_eq!(count(&mut owner, of).await, 1);
        let hash: Vec<u8> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT request_hash FROM log_entry WHERE {of}")))
            .fetch_one(&mut owner)
            .await
            .unwrap();
        // What is hashed is the request as it was read: a set in order, and absent members null.
        let mut read = with(asked.clone(), json!({"data_categories": ["enrolment", "identity"]}));
        (read["volume"], read["dry_run"]) = (Value::Null, Value::Null);
        (read["recipient"]["transfer_ground"], read["recipient"]["engagement"]) = (Value::Null, Value::Null);
        let guess = canonical(&read);
        assert_ne!(sha256(&[&guess]).0.to_vec(), hash, "anybody could test a guess");
        assert_eq!(sha256(&[b"mandate request v1\n", b"1", b"\n", &guess]).0.to_vec(), hash, "a key that is guessed too");
        assert_eq!(erase(h, KEPT).await.requests, 0);
        h.advance(Duration::days(i64::from(DAYS) + 1));
        assert!(erase(h, KEPT).await.requests >= 1, "the world has others");
        assert_eq!(erase(h, KEPT).await, Erased::default());
        assert_eq!(count(&mut owner, of).await, 0);
        let named = "type = 'gate.unknown_refused' AND request_hash IS NULL AND NOT EXISTS (SELECT 1 FROM log_entry e WHERE e.customer_id = log_entry.customer_id
             AND e.type = 'requests.erased' AND e.record -> 'entries' @> jsonb_build_array(jsonb_build_array(log_entry.epoch, log_entry.index)))";
        assert_eq!(count(&mut owner, named).await, 0, "each is named");
        try_sql(&mut owner, "ALTER TABLE log_entry FORCE ROW LEVEL SECURITY").await.unwrap();
        h.ask(&platform, "1", &asked).await.expect(422);
        clean(h).await;
    })
    .await;
}

/// Negative controls: before its days are over the hash stays; without `Context::erased` the reasons have
/// `subjects_out_of_scope`.
#[tokio::test]
async fn what_comes_after_an_erasure_is_refused_for_what_is_true_and_erased_too() {
    run(async |h: &Harness| {
        let (kari, platform) = (h.person(KARI).await, h.platform("itslearning"));
        h.signed(&kari, &instruction()).await;
        let about = |reference: &str| with(export(), json!({"subjects": subject(reference)}));
        let used = h.ask(&platform, "used", &about("kanari-used")).await.expect(201);
        h.redeem(&platform, "r-used", &used.text("/id"), &used.text("/permit")).await.expect(201);
        completed(&platform, "end", &used.text("/id")).await.expect(201);
        let unused = h.ask(&platform, "unused", &about("kanari-unused")).await.expect(201);
        let chunk = json!({"chunk_no": 9, "rows": 1, "last": "kanari-afterwards"});
        // While the subjects are there they are tested: no reason is false.
        let before = h.chunk(&platform, "before", &used.text("/id"), &chunk).await.expect(403);
        assert_eq!(before.reasons(), ["export_closed"]);
        h.advance(Duration::days(i64::from(DAYS) + 1));
        assert_eq!(erase(h, KEPT).await.subjects.get("export.permitted"), Some(&2));
        let after = h.chunk(&platform, "after", &used.text("/id"), &chunk).await.expect(403);
        assert_eq!(after.reasons(), ["export_closed"]);
        let after = h.redeem(&platform, "r-after", &used.text("/id"), &used.text("/permit")).await.expect(403);
        assert_eq!(after.reasons(), ["permit_redeemed"]);
        let after = h.redeem(&platform, "r-unused", &unused.text("/id"), &unused.text("/permit")).await.expect(403);
        assert_eq!(after.reasons(), ["permit_expired"]);
        h.redeem(&platform, "r-used", &used.text("/id"), &used.text("/permit")).await.expect(422);
        let altered = h.redeem(&platform, "r-altered", &used.text("/id"), "not.a.permit").await.expect(403);
        assert_eq!(altered.reasons(), ["permit_redeemed", "permit_altered"]);
        let mut owner = owner(h).await;
        let of = "type IN ('export.chunk_refused', 'export.redemption_refused', 'export.redeemed') AND request_hash IS NOT NULL";
        assert_eq!((erase(h, KEPT).await.requests, count(&mut owner, of).await), (0, 4));
        h.advance(Duration::days(i64::from(DAYS) + 1));
        assert_eq!((erase(h, KEPT).await.requests, count(&mut owner, of).await), (4, 0));
        assert_eq!(erase(h, KEPT).await, Erased::default());
        try_sql(&mut owner, "ALTER TABLE log_entry FORCE ROW LEVEL SECURITY").await.unwrap();
        h.chunk(&platform, "after", &used.text("/id"), &chunk).await.expect(422);
        clean(h).await;
        pack(h, &h.person(KARI).await).await;
    })
    .await;
}

/// Negative control: a key under which nothing was erased answers the same operation again.
#[tokio::test]
async fn the_key_of_a_pack_that_was_taken_away_makes_another() {
    run(async |h: &Harness| {
        let refused = with(export(), json!({"subjects": subject("kanari"), "purpose": "no-such-purpose"}));
        h.ask(&h.platform("itslearning"), "refused", &refused).await.expect(403);
        h.advance(Duration::days(2));
        let asked = async |client: &Client, key: &str| {
            client.post_with("/api/v1/evidence/packs", &[("idempotency-key", key)], &json!({})).await.expect(202).text("/id")
        };
        let kari = h.person(KARI).await;
        let first = asked(&kari, "pack").await;
        assert_eq!(run_due(&h.app).await.unwrap(), 1);
        // Its key is known by the time of what was answered.
        h.advance(Duration::seconds(1));
        let waiting = asked(&kari, "waiting").await;
        assert_eq!(asked(&kari, "pack").await, first);
        assert_eq!(erase(h, Retention { subjects_days: 1, documents_days: 0 }).await.subjects.get("export.refused"), Some(&1));
        kari.get(&format!("/api/v1/operations/{first}")).await.expect(404);
        let second = asked(&kari, "pack").await;
        assert_ne!(second, first);
        assert_eq!(asked(&kari, "waiting").await, waiting, "what was not taken away keeps its key");
        assert_eq!(run_due(&h.app).await.unwrap(), 2);
        assert_eq!(kari.get(&format!("/api/v1/operations/{second}")).await.expect(200).text("/state"), "done");
    })
    .await;
}

/// Negative control: with `document_once` over all rows, or `by_digest` without `erased_at`, it is not stored.
#[tokio::test]
async fn a_document_that_was_erased_is_stored_again_as_another() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let first = happened(h, &kari).await.document;
        store(&kari, "kanari-document").await.expect(200);
        later(h).await;
        assert!(erase(h, KEPT).await.documents >= 1);
        let kari = h.person(KARI).await;
        let second = store(&kari, "kanari-document").await.expect(201).text("/id");
        assert_ne!(second, first);
        assert_eq!(store(&kari, "kanari-document").await.expect(200).text("/id"), second);
        let content = async |id: &str| kari.get(&format!("/api/v1/documents/{id}/content")).await;
        content(&first).await.expect(404);
        assert!(content(&second).await.expect(200).bytes.ends_with(b"kanari-document\r\n"));
        let draft = with(instruction(), json!({"text": null, "document": second}));
        h.drafted(&kari, &draft).await;
        clean(h).await;
        let report = pack(h, &kari).await;
        assert_eq!(report.summary.unwrap().erased.documents, 1);
        let zip = made(h, &kari, &json!({})).await;
        let zip = zip::ZipArchive::new(std::io::Cursor::new(zip)).unwrap();
        let sha256 = kari.get(&format!("/api/v1/documents/{second}")).await.expect(200).text("/sha256");
        assert!(zip.index_for_name(&format!("documents/{sha256}")).is_some(), "its bytes are in the pack");
        let value: Value = kari.get(&format!("/api/v1/documents/{first}")).await.expect(200).json();
        assert!(value["erased_at"].is_string(), "{value}");
    })
    .await;
}
