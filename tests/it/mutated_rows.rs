//! Single changes of rows, drawn by a seed: a byte, a value, a row dropped, put in twice or swapped with
//! another, a log cut off with its head made anew, an older head, subjects gone without their entry.
//! Each is found by the check of its log, with its place, and undone. As many as `MANDATE_ROW_MUTATIONS`
//! says (60 by default), from `MANDATE_ROW_SEED` on. What no entry states is named in `draw::UNSTATED`.

mod alter;
mod draw;
mod place;

use std::collections::BTreeMap;
use std::time::Instant;

use mandate::db::LogId;
use mandate::fsck::{Report, Verdict, check, release};
use sqlx::PgConnection;

use crate::support::{Harness, run, superuser, try_sql};
use draw::{Draw, Mutation, Place};
use place::{SAVED, filled};

fn of_environment(name: &str, or: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(or)
}

async fn checked(h: &Harness, log: &str) -> Report {
    check(&h.app.db, h.app.notary.outside(), Some(log), |_| {}).await.unwrap()
}

/// Puts back what differs from the saved rows. The processor's log goes on: it says which logs failed.
async fn undo(owner: &mut PgConnection, table: &str) {
    let text = |row: &str| format!("md5({row}::text)");
    let (mine, saved) = (text("t"), text("s"));
    let others = format!("customer_id <> '{}'", LogId::PROCESSOR.0);
    let sql = [
        format!("DELETE FROM {table} t WHERE {others} AND {mine} NOT IN (SELECT {saved} FROM saved_{table} s)"),
        format!("INSERT INTO {table} SELECT * FROM saved_{table} s WHERE {others} AND {saved} NOT IN (SELECT {mine} FROM {table} t)"),
    ];
    for sql in sql {
        try_sql(owner, &sql).await.unwrap();
    }
}

/// Makes a change; false if the tables refuse it.
async fn made(owner: &mut PgConnection, mutation: &Mutation) -> bool {
    try_sql(owner, "BEGIN").await.unwrap();
    for sql in &mutation.sql {
        match try_sql(owner, sql).await {
            Ok(1..) => {}
            Ok(0) => panic!("nothing changed: {sql}"),
            // Of class 23, or a value that is none of its type.
            Err(said) => {
                assert!(said.starts_with("23") || said.starts_with("22"), "{sql}: {said}");
                try_sql(owner, "ROLLBACK").await.unwrap();
                return false;
            }
        }
    }
    try_sql(owner, "COMMIT").await.unwrap();
    true
}

/// True if the report names the place.
fn names(report: &Report, place: &Place) -> bool {
    report.differences.iter().any(|difference| match place {
        Place::Index(index) => difference.index == Some(*index),
        Place::Thing { id, has_entry } => difference.what.contains(&id.simple().to_string()) && difference.index.is_some() == *has_entry,
        Place::Log(part) => difference.what.contains(part),
    })
}

// Negative controls: the logs are clean before the first change, after every hundredth was undone, and
// after the last. Seen to fail without two checks of `src/fsck`: the rows of agreements as they were
// prepared, and a used volume below nothing.
#[tokio::test]
async fn every_drawn_change_of_a_row_is_found_with_its_place() {
    run(async |h: &Harness| {
        // The alarm is an error in the log, which no test may leave: here it is meant.
        let _quiet = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::default());
        let logs = filled(h).await;
        let mut owner = superuser(h).await;
        // No trigger and no foreign key stands in the way of who owns the server.
        try_sql(&mut owner, "SET session_replication_role = replica").await.unwrap();
        for table in SAVED {
            try_sql(&mut owner, &format!("CREATE TEMP TABLE saved_{table} AS TABLE {table}")).await.unwrap();
        }
        for log in &logs {
            let clean = checked(h, log).await;
            assert_eq!(clean.verdict(), Verdict::Clean, "{clean}");
        }
        let (wanted, seed, began) = (of_environment("MANDATE_ROW_MUTATIONS", 60), of_environment("MANDATE_ROW_SEED", 1), Instant::now());
        let mut draw = Draw::new(&mut owner, &logs, seed).await;
        let (mut found, mut refused, mut missed) = (BTreeMap::<String, u64>::new(), 0_u64, Vec::new());
        while found.values().sum::<u64>() < wanted {
            let mutation = draw.next(&mut owner).await;
            if !made(&mut owner, &mutation).await {
                refused += 1;
                continue;
            }
            let count = found.entry(format!("{} {}", mutation.table, mutation.kind)).or_default();
            *count += 1;
            let report = checked(h, &mutation.log).await;
            if report.verdict() != Verdict::Differs || !names(&report, &mutation.place) {
                missed.push(format!("{mutation:?}: {report}"));
            }
            undo(&mut owner, mutation.table).await;
            if mutation.table == "log_entry" {
                undo(&mut owner, "log_head").await;
            }
            if found.values().sum::<u64>().is_multiple_of(100) {
                let clean = checked(h, &mutation.log).await;
                assert_eq!(clean.verdict(), Verdict::Clean, "{mutation:?} undone: {clean}");
            }
            if missed.len() >= 40 {
                break;
            }
        }
        for (kind, count) in &found {
            println!("{count:6} {kind}");
        }
        let (sum, seconds) = (found.values().sum::<u64>(), began.elapsed().as_secs());
        println!("{sum} changes, {refused} more that the tables refused, {} not found with their place, {seconds} s", missed.len());
        assert!(missed.is_empty(), "{}", missed.join("\n"));
        for log in &logs {
            let held = mandate::fsck::quarantined(&h.app.db).await.unwrap();
            if held.iter().any(|held| held.name == *log) {
                let whole = release(&h.app.db, h.app.notary.outside(), log).await.unwrap();
                assert_eq!(whole.verdict(), Verdict::Clean, "{whole}");
            }
        }
    })
    .await;
}
