//! What was erased after a backup is in it again, and goes again: the list outside the database says what.
//! A line stands there before the erasure commits, so that none is missing for ever.
//!
//! Negative controls: without the list, all of it stays. Seen to fail: without `x.epoch < present` in the
//! database's `demand_erasing_entry` the export that ended after the backup cannot be erased.

use mandate::erasure::{BroughtBack, Erased, ErasureList, Line, Retention, brought_back};
use mandate::evidence::Event;
use mandate::fsck::{Verdict, check};
use serde_json::json;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::erasure::{KEPT, erase, happened, later, store, subject};
use crate::restores::{dump, people_first, removed, restored};
use crate::support::{Client, Harness, KARI, audit, connect_as_owner, export, instruction, run, try_sql, with};

/// How many rows hold a canary: entries, exports, chunks, and documents with their bytes.
async fn canaries(h: &Harness) -> [i64; 4] {
    let mut owner: PgConnection = connect_as_owner(h).await;
    let mut found = [0; 4];
    let asked = [
        ("log_entry", "subjects::text LIKE '%kanari%'"),
        ("export", "concat_ws(' ', subjects, permit) LIKE '%kanari%'"),
        ("export_chunk", "last_reference LIKE '%kanari%'"),
        ("document_part", "position('kanari'::bytea IN bytes) > 0"),
    ];
    for (place, (table, holds)) in found.iter_mut().zip(asked) {
        try_sql(&mut owner, &format!("ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")).await.unwrap();
        let count = format!("SELECT count(*) FROM {table} WHERE {holds}");
        *place = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut owner).await.unwrap();
        try_sql(&mut owner, &format!("ALTER TABLE {table} FORCE ROW LEVEL SECURITY")).await.unwrap();
    }
    found
}

/// How many entries of any log tell of an erasure.
async fn told(h: &Harness) -> i64 {
    let mut owner: PgConnection = connect_as_owner(h).await;
    try_sql(&mut owner, "ALTER TABLE log_entry NO FORCE ROW LEVEL SECURITY").await.unwrap();
    let count = "SELECT count(*) FROM log_entry WHERE type IN ('subjects.erased', 'document.erased')";
    let count = sqlx::query_scalar(count).fetch_one(&mut owner).await.unwrap();
    try_sql(&mut owner, "ALTER TABLE log_entry FORCE ROW LEVEL SECURITY").await.unwrap();
    count
}

fn listed(h: &Harness) -> Vec<Line> {
    ErasureList::beside(h.app.notary.outside()).read(h.customer("Nordvik").parse().unwrap()).unwrap()
}

async fn again(h: &Harness) -> Erased {
    erase(h, Retention::default()).await
}

/// What is there when the backup is made, and ends after it.
struct After {
    running: String,
    citing: String,
}

async fn before_the_backup(h: &Harness, kari: &Client) -> After {
    happened(h, kari).await;
    let running = h.running(&h.platform("itslearning"), "running", &with(export(), json!({"subjects": subject("kanari-running")}))).await;
    let document = store(kari, "kanari-cited").await.expect(201).text("/id");
    let cited = json!({"text": null, "document": document, "purposes": ["archiving"], "data_categories": ["identity"]});
    After { running, citing: h.signed(kari, &with(instruction(), cited)).await }
}

async fn after_the_backup(h: &Harness, kari: &Client, after: &After) {
    let report = json!({"rows": 1, "sha256": "ab".repeat(32)});
    let path = format!("/gate/v1/exports/{}/completions", after.running);
    h.platform("itslearning").post_with(&path, &[("idempotency-key", "complete")], &report).await.expect(201);
    kari.post(&format!("/api/v1/instructions/{}/revocations", after.citing), &json!({})).await.expect(201);
    let late = with(export(), json!({"subjects": subject("kanari-late"), "purpose": "no-such-purpose"}));
    h.ask(&h.platform("itslearning"), "late", &late).await.expect(403);
}

/// Erased again at once, with entries of the second epoch; what an instruction cites again waits for it.
async fn erased_again(back: &Harness, after: &After, in_backup: [i64; 4]) {
    let (list, away) = (back.checkpoints.join("erased"), back.checkpoints.join("away"));
    // Negative control: without the list all of it stays.
    std::fs::rename(&list, &away).unwrap();
    assert_eq!(again(back).await, Erased::default());
    assert_eq!(canaries(back).await, in_backup);
    std::fs::remove_dir_all(&list).ok();
    std::fs::rename(&away, &list).unwrap();
    let (lines, outside) = (listed(back), back.app.notary.outside());
    assert_eq!(brought_back(&back.app.db, outside).await.unwrap(), BroughtBack { due: 9, absent: 1 });
    let erased = again(back).await;
    assert_eq!((erased.again, erased.waiting, erased.absent), (8, 1, 1), "{erased:?}");
    assert_eq!((erased.subjects.len(), erased.documents), (0, 0));
    assert_eq!(canaries(back).await, [0, 0, 0, 1], "an instruction that was withdrawn is in force again, and cites one");
    let new: Vec<Line> = listed(back).split_off(lines.len());
    assert!(new.iter().all(|line| line.epoch == 2) && new.len() == 2, "{new:?}");
    for line in &new {
        let (Event::SubjectsErased { ground, .. } | Event::DocumentErased { ground, .. }) = &line.event else { panic!("{line:?}") };
        assert_eq!(ground.as_str(), "retention");
    }
    assert_eq!(again(back).await, Erased { waiting: 1, absent: 1, ..Erased::default() });
    let kari = people_first(back, &back.person(KARI).await).await;
    kari.post(&format!("/api/v1/instructions/{}/revocations", after.citing), &json!({})).await.expect(201);
    assert_eq!(again(back).await, Erased { again: 1, absent: 1, ..Erased::default() });
    assert_eq!(canaries(back).await, [0; 4]);
    assert_eq!(brought_back(&back.app.db, outside).await.unwrap(), BroughtBack { due: 0, absent: 1 });
}

#[tokio::test]
async fn what_was_erased_after_the_backup_is_erased_again_after_the_restore() {
    run(async |h: &Harness| {
        h.app.notary.keep_all(&h.app.db).await.unwrap();
        mandate::app::prepare(&h.app).await.unwrap();
        let kari = h.person(KARI).await;
        let after = before_the_backup(h, &kari).await;
        let in_backup = canaries(h).await;
        assert!(in_backup.iter().all(|count| *count > 0), "{in_backup:?}");
        let file = dump(h).await;
        after_the_backup(h, &kari, &after).await;
        later(h).await;
        assert_eq!(erase(h, KEPT).await.documents, 3, "two of Nordvik, one of another customer");
        assert_eq!(canaries(h).await, [0; 4]);
        h.app.notary.keep_noted(&h.app.db).await.unwrap();
        let back = restored(h, &file).await;
        assert_eq!(canaries(&back).await, in_backup);
        mandate::app::prepare(&back.app).await.unwrap();
        erased_again(&back, &after, in_backup).await;
        let report = check(&back.app.db, back.app.notary.outside(), None, |_| {}).await.unwrap();
        assert_eq!(report.verdict(), Verdict::Clean, "{report}");
        mandate::app::deliver_due(&back.app).await.unwrap();
        audit(&back).await;
        removed(h, &back).await;
    })
    .await;
}

#[tokio::test]
async fn nothing_is_erased_that_cannot_be_listed_and_what_is_not_listed_is_listed_next() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        happened(h, &kari).await;
        later(h).await;
        let (before, list) = (canaries(h).await, h.checkpoints.join("erased"));
        // A name that leads nowhere: what is read through it is empty, and nothing can be written.
        std::fs::create_dir_all(&h.checkpoints).unwrap();
        std::os::unix::fs::symlink(h.checkpoints.join("nowhere"), &list).unwrap();
        let db = crate::erasure::with_eraser(h);
        assert!(mandate::erasure::erase(&db, h.app.notary.outside(), KEPT).await.is_ok_and(|erased| !erased.failed.is_empty()));
        assert_eq!((canaries(h).await, told(h).await), (before, 0));
        std::fs::remove_file(&list).unwrap();
        erase(h, KEPT).await;
        assert_eq!(canaries(h).await, [0; 4]);
        let lines = listed(h);
        let kinds: u64 = lines.iter().flat_map(|line| line.kinds.values()).sum();
        assert_eq!((lines.len(), kinds), (2, 5), "{lines:?}");
        // Whatever took the file away, the next run writes it anew from the log, though it erases nothing.
        std::fs::remove_dir_all(&list).unwrap();
        assert_eq!(again(h).await, Erased::default());
        assert_eq!(listed(h), lines);
        // Nothing in it says whose data it was.
        let file = list.join(format!("{}.ndjson", h.customer("Nordvik")));
        assert!(!std::fs::read_to_string(file).unwrap().contains("kanari"));
    })
    .await;
}
