//! What is over is erased by the eraser, with its entry: the subjects of refusals, dry runs and ended
//! exports, and the bytes of documents that nothing in force cites. The log goes on verifying, by the
//! checks of operations and by the customer's verifier, which says how much is gone.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Command;

use chrono::Duration;
use mandate::db::{Db, Role};
use mandate::erasure::{Erased, Retention};
use mandate::fsck::{Verdict as Checked, check as fsck, release};
use mandate::pack::{Report, Verdict};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::packs::{check, made};
use crate::support::{
    Answer, Client, Harness, KARI, LOG_KEY, bare, connect_as, connect_as_owner, export, instruction, run, run_today, try_sql, with,
};

/// Longer than every life that an export has, and than a session.
pub const DAYS: u32 = 30;
pub const KEPT: Retention = Retention { subjects_days: DAYS, documents_days: DAYS };

pub fn with_eraser(h: &Harness) -> Db {
    h.app.db.with_eraser(&h.database.eraser_url).unwrap()
}

pub async fn erase(h: &Harness, retention: Retention) -> Erased {
    let db = with_eraser(h);
    let erased = mandate::erasure::erase(&db, h.app.notary.outside(), retention).await.unwrap();
    assert!(erased.passed_over.is_empty() && erased.failed.is_empty(), "{erased:?}");
    erased
}

pub fn subject(reference: &str) -> Value {
    json!([{"kind": "subject", "ref": reference, "unit": "S03"}])
}

pub async fn store(client: &Client, text: &str) -> Answer {
    let bytes = format!("From: a@b.example\r\nTo: c@d.example\r\nSubject: s\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\n\r\n{text}\r\n");
    let key = crate::support::fresh_key();
    let headers = [("content-type", "message/rfc822"), ("idempotency-key", key.as_str())];
    client.raw(axum::http::Method::POST, "/api/v1/documents", &headers, bytes.into_bytes()).await
}

/// What happened at Nordvik: an export that ended, one that was never redeemed, one in single mode, a
/// refusal, a dry run, a refused chunk, and a document that nothing cites. Gives the export that ended.
pub struct Happened {
    pub ended: String,
    pub document: String,
    pub answers: Vec<Answer>,
}

pub async fn happened(h: &Harness, kari: &Client) -> Happened {
    let platform = h.platform("itslearning");
    h.signed(kari, &with(instruction(), json!({"channels": ["organisation-api", "lti"]}))).await;
    let of = |reference: &str, more: Value| with(with(export(), json!({"subjects": subject(reference)})), more);
    let ended = h.running(&platform, "ended", &of("kanari-ended", json!({}))).await;
    let mut answers = Vec::new();
    let chunk = |number: u32, last: &str| json!({"chunk_no": number, "rows": 1, "last": last});
    answers.push(h.chunk(&platform, "c1", &ended, &chunk(1, "kanari-file")).await.expect(201));
    answers.push(h.chunk(&platform, "c2", &ended, &chunk(1, "kanari-refused-file")).await.expect(403));
    let report = json!({"rows": 1, "sha256": "ab".repeat(32)});
    let path = format!("/gate/v1/exports/{ended}/completions");
    answers.push(platform.post_with(&path, &[("idempotency-key", "end")], &report).await);
    answers.push(h.ask(&platform, "unredeemed", &of("kanari-unredeemed", json!({}))).await.expect(201));
    let single = of("kanari-single", json!({"channel": "lti", "mode": "single", "volume": {"rows": 1}}));
    answers.push(h.ask(&platform, "single", &single).await.expect(201));
    answers.push(h.ask(&platform, "refused", &of("kanari-refused", json!({"purpose": "no-such-purpose"}))).await.expect(403));
    answers.push(h.ask(&platform, "tried", &of("kanari-tried", json!({"dry_run": true}))).await.expect(200));
    let document = store(kari, "kanari-document").await.expect(201).text("/id");
    Happened { ended, document, answers }
}

/// What runs is swept, and all of it is older than the days that it is kept for.
pub async fn later(h: &Harness) {
    h.advance(Duration::days(2));
    mandate::export::sweep(&h.app).await.unwrap();
    h.advance(Duration::days(i64::from(DAYS) + 1));
}

async fn pack(h: &Harness, client: &Client) -> Report {
    check(&made(h, client, &json!({})).await, Vec::new())
}

#[tokio::test]
async fn what_is_over_is_erased_and_the_evidence_goes_on_verifying() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let happened = happened(h, &kari).await;
        // Negative control: none of it is old enough.
        assert_eq!(erase(h, KEPT).await, Erased::default());
        let before = pack(h, &kari).await;
        assert_eq!(before.verdict, Verdict::Verified, "{before}");
        assert_eq!(before.summary.unwrap().erased, mandate::pack::Erased::default());
        later(h).await;
        // Zero days: nothing ever is.
        assert_eq!(erase(h, Retention { subjects_days: 0, documents_days: 0 }).await, Erased::default());
        let erased = erase(h, KEPT).await;
        let kinds: Vec<(&str, u64)> = erased.subjects.iter().map(|(word, count)| (word.as_str(), *count)).collect();
        let expected = [("export.permitted", 2), ("export.refused", 1), ("export.single_permitted", 1), ("export.tried", 1)];
        assert_eq!(kinds, expected);
        assert!(erased.documents >= 1, "{erased:?}");
        // A second run finds nothing.
        assert_eq!(erase(h, KEPT).await, Erased::default());
        let clean = fsck(&h.app.db, h.app.notary.outside(), None, |_| {}).await.unwrap();
        assert_eq!(clean.verdict(), Checked::Clean, "{clean}");
        // The pack that was made before held what is erased now.
        let kari = h.person(KARI).await;
        let operations = kari.get("/api/v1/operations").await.expect(200).json();
        assert_eq!(operations["data"], json!([]));
        let after = pack(h, &kari).await;
        assert_eq!(after.verdict, Verdict::Verified, "{after}");
        let summary = after.summary.clone().unwrap();
        assert!(summary.decided >= 8, "all of it is decided again: {summary:?}");
        let told: Vec<(&str, u64)> = summary.erased.subjects.iter().map(|(word, count)| (word.as_str(), *count)).collect();
        assert_eq!((told.as_slice(), summary.erased.documents), (expected.as_slice(), 1));
        let text = after.to_string();
        assert!(text.contains("5  subject lists erased") && text.contains("of the erased subject lists, 2 of export.permitted"), "{text}");
        let value = serde_json::to_value(&after).unwrap();
        assert_eq!(value["summary"]["erased"]["subjects"]["export.permitted"], 2, "{value}");
        // What is left is shown; the bytes are not there, and do not come back.
        let path = format!("/api/v1/documents/{}", happened.document);
        let shown = kari.get(&path).await.expect(200).json();
        assert!(shown["erased_at"].is_string() && shown["sha256"].is_string() && shown["length"].as_u64() > Some(0), "{shown}");
        kari.get(&format!("{path}/content")).await.expect(404);
        let citing = with(instruction(), json!({"text": null, "document": happened.document}));
        kari.post("/api/v1/instructions", &citing).await.expect(422);
        let ended = kari.get(&format!("/api/v1/exports/{}", happened.ended)).await.expect(200).json();
        assert!(ended.get("last").is_none_or(Value::is_null), "{ended}");
        // A key that was answered is not answered twice, nor anew.
        let again = with(export(), json!({"subjects": subject("kanari-refused"), "purpose": "no-such-purpose"}));
        h.ask(&h.platform("itslearning"), "refused", &again).await.expect(422);
    })
    .await;
}

/// Hides the head of a log from the eraser, which so cannot work on it.
async fn hidden(h: &Harness, log: &str) {
    let sql = format!("CREATE POLICY hidden ON log_head AS RESTRICTIVE TO mandate_eraser USING (customer_id <> '{}')", bare(log));
    try_sql(&mut connect_as_owner(h).await, &sql).await.unwrap();
}

// Negative control: before the head is hidden, and when it is there again, both are erased.
#[tokio::test]
async fn a_log_that_cannot_be_erased_keeps_no_other_waiting() {
    run(async |h: &Harness| {
        let (nordvik, platform) = (h.customer("Nordvik"), h.platform("itslearning"));
        let refused = with(export(), json!({"subjects": subject("kanari"), "purpose": "no-such-purpose"}));
        h.ask(&platform, "nordvik", &refused).await.expect(403);
        h.ask(&platform, "later", &with(refused.clone(), json!({"customer": h.customer("Søby")}))).await.expect(403);
        h.advance(Duration::days(i64::from(DAYS) + 1));
        hidden(h, &nordvik).await;
        let erased = mandate::erasure::erase(&with_eraser(h), h.app.notary.outside(), KEPT).await.unwrap();
        let failed: Vec<&str> = erased.failed.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((failed, erased.subjects.get("export.refused")), (vec![nordvik.as_str()], Some(&1)), "{erased:?}");
        try_sql(&mut connect_as_owner(h).await, "DROP POLICY hidden ON log_head").await.unwrap();
        let erased = erase(h, KEPT).await;
        assert_eq!(erased.subjects.get("export.refused"), Some(&1), "{erased:?}");
    })
    .await;
}

// Negative control: once each of them is over, and its days are, it goes.
#[tokio::test]
async fn what_still_has_effect_stays() {
    run(async |h: &Harness| {
        let (kari, platform) = (h.person(KARI).await, h.platform("itslearning"));
        let document = store(&kari, "what was written").await.expect(201).text("/id");
        let cited = with(instruction(), json!({"text": null, "document": document}));
        let draft = h.drafted(&kari, &cited).await;
        later(h).await;
        let shown =
            async |client: &Client| client.get(&format!("/api/v1/documents/{document}")).await.expect(200).json()["erased_at"].is_string();
        erase(h, KEPT).await;
        let kari = h.person(KARI).await;
        assert!(!shown(&kari).await, "a draft cites it");
        h.sign(&kari, &draft, 1).await.expect(201);
        h.running(&platform, "running", &with(export(), json!({"subjects": subject("still-here")}))).await;
        h.advance(Duration::days(3));
        let erased = erase(h, Retention { subjects_days: 1, documents_days: 1 }).await;
        assert!(!erased.subjects.contains_key("export.permitted"), "{erased:?}");
        let kari = h.person(KARI).await;
        assert!(!shown(&kari).await, "a version in force cites it");
        kari.post(&format!("/api/v1/instructions/{draft}/revocations"), &json!({})).await.expect(201);
        later(h).await;
        let erased = erase(h, KEPT).await;
        assert_eq!(erased.subjects.get("export.permitted"), Some(&1), "{erased:?}");
        assert!(shown(&h.person(KARI).await).await);
    })
    .await;
}

// Negative control: what the eraser took is not found here.
#[tokio::test]
async fn a_list_that_is_gone_without_its_entry_is_found_by_operations_and_by_the_customer() {
    run(async |h: &Harness| {
        let _quiet = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::default());
        let (kari, log) = (h.person(KARI).await, h.customer("Nordvik"));
        happened(h, &kari).await;
        later(h).await;
        erase(h, KEPT).await;
        let kari = h.person(KARI).await;
        let young = with(export(), json!({"subjects": subject("young"), "purpose": "no-such-purpose"}));
        h.ask(&h.platform("itslearning"), "young", &young).await.expect(403);
        assert_eq!(pack(h, &kari).await.verdict, Verdict::Verified);
        let of = format!("customer_id = '{}' AND type = 'export.refused' AND subjects IS NOT NULL", bare(&log));
        let mut owner = connect_as_owner(h).await;
        for sql in ["ALTER TABLE log_entry NO FORCE ROW LEVEL SECURITY", "ALTER TABLE log_entry DISABLE TRIGGER USER"] {
            try_sql(&mut owner, sql).await.unwrap();
        }
        try_sql(&mut owner, &format!("CREATE TEMP TABLE saved AS SELECT * FROM log_entry WHERE {of}")).await.unwrap();
        assert_eq!(try_sql(&mut owner, &format!("UPDATE log_entry SET subjects = NULL, subjects_nonce = NULL WHERE {of}")).await, Ok(1));
        let tampered = pack(h, &kari).await;
        assert_eq!(tampered.verdict, Verdict::Tampered, "{tampered}");
        assert!(tampered.to_string().contains("no entry says that they were erased (export.refused)"), "{tampered}");
        let found = fsck(&h.app.db, h.app.notary.outside(), Some(&log), |_| {}).await.unwrap();
        assert!(found.differences.len() == 1 && found.differences[0].what.contains("no entry says that they were erased"), "{found}");
        // The log is in quarantine, so the eraser passes it over.
        let passed = mandate::erasure::erase(&with_eraser(h), h.app.notary.outside(), KEPT).await.unwrap();
        assert_eq!(passed.passed_over, std::slice::from_ref(&log));
        let put_back = "UPDATE log_entry e SET subjects = s.subjects, subjects_nonce = s.subjects_nonce FROM saved s
                        WHERE e.customer_id = s.customer_id AND e.epoch = s.epoch AND e.index = s.index";
        assert_eq!(try_sql(&mut owner, put_back).await, Ok(1));
        for sql in ["ALTER TABLE log_entry FORCE ROW LEVEL SECURITY", "ALTER TABLE log_entry ENABLE TRIGGER USER"] {
            try_sql(&mut owner, sql).await.unwrap();
        }
        let whole = release(&h.app.db, h.app.notary.outside(), &log).await.unwrap();
        assert_eq!(whole.verdict(), Checked::Clean, "{whole}");
    })
    .await;
}

/// Exit code, and what was said.
fn said(h: &Harness, days: &str, eraser: Option<&str>) -> (Option<i32>, String) {
    let folder = h.mail.with_file_name(format!("erasing-{}", h.database.name));
    std::fs::create_dir_all(folder.join("checkpoints")).unwrap();
    let mut file = std::fs::OpenOptions::new();
    let file = file.write(true).create(true).truncate(true).mode(0o600).open(folder.join("log-key.pem"));
    file.unwrap().write_all(LOG_KEY).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mandate"));
    command.arg("erase").env("MANDATE_HOME", &folder).env_remove("DATABASE_URL").env_remove("MANDATE_ERASE_URL");
    command.env("MANDATE__EVIDENCE__SUBJECTS_DAYS", days).env("MANDATE__EVIDENCE__DOCUMENTS_DAYS", days);
    command.env("MANDATE__EVIDENCE__KEY_FILE", folder.join("log-key.pem"));
    for (role, url) in Role::ALL.into_iter().zip(&h.database.urls.urls) {
        let role = role.name().trim_start_matches("mandate_").to_uppercase();
        command.env(format!("MANDATE__DATABASE__{role}_URL"), url.expose_secret());
    }
    if let Some(url) = eraser {
        std::fs::write(folder.join("url"), url).unwrap();
        command.env("MANDATE_ERASE_URL_FILE", folder.join("url"));
    }
    let output = command.output().unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[tokio::test]
async fn the_command_erases_with_a_login_of_its_own_and_no_other() {
    run_today(async |h: &Harness| {
        let platform = h.platform("itslearning");
        h.ask(&platform, "young", &with(export(), json!({"subjects": subject("young")}))).await.expect(403);
        let eraser = h.database.eraser_url.expose_secret();
        let (code, told) = said(h, "0", Some(eraser));
        assert!(code == Some(2) && told.contains("nothing is erased until"), "{told}");
        let (code, told) = said(h, "30", None);
        assert!(code == Some(2) && told.contains("MANDATE_ERASE_URL_FILE"), "{told}");
        let (code, told) = said(h, "30", Some(h.database.urls.urls[0].expose_secret()));
        assert!(code == Some(1) && told.contains("not a member of"), "{told}");
        let (code, told) = said(h, "30", Some(eraser));
        assert!(code == Some(0) && told.contains("erased 0 subject lists and"), "{told}");
        let nordvik = h.customer("Nordvik");
        hidden(h, &nordvik).await;
        let (code, told) = said(h, "30", Some(eraser));
        assert!(code == Some(1) && told.contains(&format!("{nordvik} was not gone through")), "{told}");
        try_sql(&mut connect_as_owner(h).await, "DROP POLICY hidden ON log_head").await.unwrap();
        let quarantined =
            format!("INSERT INTO log_quarantine (customer_id, cause, began_at) VALUES ('{}', 'a test', now())", bare(&nordvik));
        let mut ops = connect_as(h, "mandate_ops", Some(bare(&nordvik))).await;
        try_sql(&mut ops, &quarantined).await.unwrap();
        let (code, told) = said(h, "30", Some(eraser));
        assert!(code == Some(1) && told.contains(&format!("{nordvik} is in quarantine and was passed over")), "{told}");
        try_sql(&mut ops, "DELETE FROM log_quarantine").await.unwrap();
        // What it erased, if anything, stays erased evidence: the audit of this test reads it.
        assert_eq!(erase(h, KEPT).await, Erased::default());
    })
    .await;
}
