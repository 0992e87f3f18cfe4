//! Operations check the logs where they are kept. Whoever owns the database changes a row: it is found,
//! with its place, the log is quarantined, and the others go on until it is whole again.

use mandate::base::merkle_leaf;
use mandate::fsck::{Report, Verdict, check, check_at_start, quarantined, release};
use serde_json::json;
use sqlx::PgConnection;

use crate::support::{Client, Harness, KARI, bare, connect_as_owner, export, instruction, run, try_sql, with};

/// Tables that are changed here, and those whose triggers would refuse it.
const CHANGED: [&str; 5] = ["log_entry", "log_head", "log_tile", "suspension", "export"];

/// The owner, past policies and triggers, as somebody who means to deceive.
async fn owner(h: &Harness) -> PgConnection {
    let mut owner = connect_as_owner(h).await;
    for table in CHANGED {
        try_sql(&mut owner, &format!("ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")).await.unwrap();
        try_sql(&mut owner, &format!("ALTER TABLE {table} DISABLE TRIGGER USER")).await.unwrap();
    }
    owner
}

async fn as_it_was(owner: &mut PgConnection) {
    for table in CHANGED {
        try_sql(owner, &format!("ALTER TABLE {table} FORCE ROW LEVEL SECURITY")).await.unwrap();
        try_sql(owner, &format!("ALTER TABLE {table} ENABLE TRIGGER USER")).await.unwrap();
    }
}

async fn checked(h: &Harness, log: &str) -> Report {
    check(&h.app.db, h.app.notary.outside(), Some(log), |_| {}).await.unwrap()
}

async fn released(h: &Harness, log: &str) -> Report {
    release(&h.app.db, h.app.notary.outside(), log).await.unwrap()
}

/// Nordvik with an export that ran, refusals that fill a tile, a suspension, and a refusal at the end.
async fn filled(h: &Harness, refusals: usize) -> Client {
    let kari = h.person(KARI).await;
    h.signed(&kari, &instruction()).await;
    let platform = h.platform("itslearning");
    let running = h.running(&platform, "a", &export()).await;
    h.chunk(&platform, "a1", &running, &json!({"chunk_no": 1, "rows": 1})).await.expect(201);
    let refused = with(export(), json!({"purpose": "no-such-purpose"}));
    for number in 0..refusals {
        h.ask(&platform, &format!("r{number}"), &refused).await.expect(403);
    }
    kari.post("/api/v1/suspensions", &json!({"ground": "a try"})).await.expect(201);
    h.ask(&platform, "last", &refused).await.expect(403);
    h.app.notary.keep_noted(&h.app.db).await.unwrap();
    kari
}

async fn number(owner: &mut PgConnection, sql: &str) -> i64 {
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned())).fetch_one(owner).await.unwrap()
}

/// A change, its undoing, the index it must be found at, and what must be said of it.
struct Change {
    name: &'static str,
    sql: Vec<String>,
    undo: Vec<String>,
    index: Option<i64>,
    what: &'static str,
}

impl Change {
    fn new(name: &'static str, sql: impl Into<String>, undo: impl Into<String>, index: impl Into<Option<i64>>, what: &'static str) -> Self {
        Self { name, sql: vec![sql.into()], undo: vec![undo.into()], index: index.into(), what }
    }
    /// One column of an entry.
    fn entry(name: &'static str, of: &str, index: i64, set: &str, what: &'static str) -> Self {
        let undo = format!(
            "UPDATE log_entry e SET leaf = s.leaf, leaf_hash = s.leaf_hash, nonce = s.nonce, record = s.record, at = s.at, type = s.type, root = s.root,
                    subjects = s.subjects, subjects_nonce = s.subjects_nonce
             FROM saved_entry s WHERE (e.customer_id, e.epoch, e.index) = (s.customer_id, s.epoch, s.index) AND {of}",
            of = of.replace("customer_id", "e.customer_id")
        );
        Self::new(name, format!("UPDATE log_entry SET {set} WHERE {of} AND index = {index}"), undo, index, what)
    }
}

/// Changes byte 20, which is in the random reference of the actor where the column is a leaf.
fn flip(column: &str) -> String {
    format!("{column} = set_byte({column}, 20, get_byte({column}, 20) # 1)")
}

fn put_back(table: &str, saved: &str) -> String {
    format!("INSERT INTO {table} SELECT * FROM saved_{saved} ON CONFLICT DO NOTHING")
}

/// What an owner of the database can do to what the entries say took effect.
fn of_effects(of: &str, suspended: i64, export: i64) -> Vec<Change> {
    vec![
        Change::new(
            "an effect dropped",
            format!("DELETE FROM suspension WHERE {of}"),
            put_back("suspension", "suspension"),
            suspended,
            "no row",
        ),
        Change::new(
            "an effect without an entry",
            format!(
                "INSERT INTO suspension SELECT (jsonb_populate_record(s, jsonb_build_object('id', gen_random_uuid()))).* FROM suspension s WHERE {of}"
            ),
            format!("DELETE FROM suspension WHERE {of} AND id NOT IN (SELECT id FROM saved_suspension)"),
            None,
            "no entry",
        ),
        Change::new(
            "an effect changed",
            format!("UPDATE export SET chunks = chunks + 1 WHERE {of}"),
            format!("UPDATE export SET chunks = chunks - 1 WHERE {of}"),
            export,
            "otherwise",
        ),
    ]
}

/// What an owner of the database can do to one entry.
fn of_one_entry(of: &str, refused: i64) -> Vec<Change> {
    vec![
        Change::entry("a record", of, refused, "record = jsonb_set(record, '{decision,now}', '\"2026-11-24T08:00:00.001Z\"')", "record"),
        Change::entry("a leaf", of, refused, &flip("leaf"), "leaf"),
        Change::entry(
            "a leaf and its hash",
            of,
            refused,
            &format!("{}, leaf_hash = sha256('\\x00'::bytea || set_byte(leaf, 20, get_byte(leaf, 20) # 1))", flip("leaf")),
            "root",
        ),
        Change::entry("a leaf hash", of, refused, &flip("leaf_hash"), "leaf hash"),
        Change::entry("a nonce", of, refused, &flip("nonce"), "record"),
        Change::entry("a root", of, refused, &flip("root"), "root"),
        Change::entry("a time", of, refused, "at = at - interval '1 ms'", "time"),
        Change::entry("a type", of, refused, "type = 'export.tried'", "type"),
        Change::entry("subjects", of, refused, "subjects = '[{\"kind\": \"whole\"}]'", "subjects"),
        Change::entry("subjects gone without an entry", of, refused, "subjects = NULL, subjects_nonce = NULL", "subjects are gone"),
    ]
}

/// What an owner of the database can do to one log.
async fn changes(owner: &mut PgConnection, of: &str) -> Vec<Change> {
    for table in ["log_entry", "log_head", "log_tile", "suspension"] {
        let saved = table.strip_prefix("log_").unwrap_or(table);
        try_sql(owner, &format!("CREATE TEMP TABLE saved_{saved} AS SELECT * FROM {table} WHERE {of}")).await.unwrap();
    }
    let refused = number(owner, &format!("SELECT min(index) FROM log_entry WHERE {of} AND type = 'export.refused'")).await + 20;
    let size = number(owner, &format!("SELECT size FROM log_head WHERE {of}")).await;
    let suspended = number(owner, &format!("SELECT index FROM log_entry WHERE {of} AND type = 'customer.suspended'")).await;
    let export = number(owner, &format!("SELECT max(index) FROM log_entry WHERE {of} AND type = 'export.chunk_authorised'")).await;
    let head = format!("UPDATE log_head h SET size = s.size, edge = s.edge, last_at = s.last_at FROM saved_head s WHERE h.{of}");
    let mut swap = Change::new("two entries swapped", "", "", refused, "root");
    let to = |from: i64, to: i64| format!("UPDATE log_entry SET index = {to} WHERE {of} AND index = {from}");
    swap.sql = vec![to(refused, 1_000_000), to(refused + 3, refused), to(1_000_000, refused + 3)];
    swap.undo = swap.sql.clone();
    let mut cut = Change::new("the last entry dropped and the head made anew", "", "", size - 1, "checkpoint kept outside");
    cut.sql = vec![format!("DELETE FROM log_entry WHERE {of} AND index = {}", size - 1), shorter(owner, of, size).await];
    cut.undo = vec![put_back("log_entry", "entry"), head.clone()];
    let mut all = of_one_entry(of, refused);
    all.extend([
        Change::new(
            "an entry dropped",
            format!("DELETE FROM log_entry WHERE {of} AND index = {refused}"),
            put_back("log_entry", "entry"),
            refused,
            "missing",
        ),
        Change::new(
            "the last entry dropped",
            format!("DELETE FROM log_entry WHERE {of} AND index = {}", size - 1),
            put_back("log_entry", "entry"),
            size - 1,
            "checkpoint",
        ),
        swap,
        cut,
        Change::new("the head's size", format!("UPDATE log_head SET size = size * 2 WHERE {of}"), head.clone(), size, "head says"),
        Change::new("the head's edge", format!("UPDATE log_head SET {} WHERE {of}", flip("edge")), head, size - 1, "edge"),
        Change::new(
            "a tile",
            format!("UPDATE log_tile SET {} WHERE {of}", flip("hashes")),
            format!("UPDATE log_tile t SET hashes = s.hashes FROM saved_tile s WHERE t.{of}"),
            0,
            "tile",
        ),
        Change::new("a tile dropped", format!("DELETE FROM log_tile WHERE {of}"), put_back("log_tile", "tile"), 0, "missing"),
        Change::new(
            "a tile too many",
            format!("INSERT INTO log_tile SELECT customer_id, epoch, level, index + 1, root, hashes FROM log_tile WHERE {of}"),
            format!("DELETE FROM log_tile WHERE {of} AND index = 1"),
            None,
            "more than the entries",
        ),
    ]);
    all.extend(of_effects(of, suspended, export));
    all
}

/// The head as it was an entry earlier.
async fn shorter(owner: &mut PgConnection, of: &str, size: i64) -> String {
    let sql = format!("SELECT leaf FROM log_entry WHERE {of} AND index < {} ORDER BY index", size - 1);
    let leaves: Vec<Vec<u8>> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(owner).await.unwrap();
    let mut edge = Vec::new();
    for (index, leaf) in leaves.iter().enumerate() {
        mandate::evidence::push_leaf(&mut edge, index as u64, merkle_leaf(leaf));
    }
    let edge: String = edge.iter().flat_map(|hash| hash.0).map(|byte| format!("{byte:02x}")).collect();
    format!(
        "UPDATE log_head SET size = {}, edge = '\\x{edge}', last_at = (SELECT at FROM log_entry WHERE {of} AND index = {}) WHERE {of}",
        size - 1,
        size - 2
    )
}

// Negative controls: the log is clean before the first change, and after each was undone.
#[tokio::test]
async fn every_change_of_a_row_is_found_with_its_place() {
    run(async |h: &Harness| {
        // The alarm is an error in the log, which no test may leave: here it is meant.
        let _quiet = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::default());
        filled(h, 250).await;
        let log = h.customer("Nordvik");
        let of = format!("customer_id = '{}'", bare(&log));
        let mut owner = owner(h).await;
        let clean = checked(h, &log).await;
        assert_eq!((clean.verdict(), clean.logs), (Verdict::Clean, 1), "{clean}");
        assert!(clean.entries > 256, "a tile is filled: {clean}");
        let changes = changes(&mut owner, &of).await;
        assert_eq!(changes.len(), 22);
        for change in changes {
            for sql in &change.sql {
                assert!(try_sql(&mut owner, sql).await.unwrap() > 0, "{}", change.name);
            }
            let report = checked(h, &log).await;
            assert_eq!(report.verdict(), Verdict::Differs, "{}: {report}", change.name);
            let index = change.index.map(|index| u64::try_from(index).unwrap());
            let first = report.differences[0].index;
            assert_eq!(first, index, "{}: {report}", change.name);
            let told = report.differences.iter().any(|difference| difference.index == index && difference.what.contains(change.what));
            assert!(told, "{}: {report}", change.name);
            assert_eq!(report.quarantined, std::slice::from_ref(&log), "{}", change.name);
            for sql in &change.undo {
                assert!(try_sql(&mut owner, sql).await.unwrap() > 0, "{}", change.name);
            }
            let whole = released(h, &log).await;
            assert_eq!((whole.verdict(), whole.quarantined.len()), (Verdict::Clean, 0), "{} undone: {whole}", change.name);
        }
        as_it_was(&mut owner).await;
        let all = check(&h.app.db, h.app.notary.outside(), None, |_| {}).await.unwrap();
        assert_eq!(all.verdict(), Verdict::Clean, "{all}");
        assert!(all.logs >= 7, "{all}");
    })
    .await;
}

// Without `may_read` and `may_write` in the statement that sets the tenant, every answer here is that of
// a sound log.
#[tokio::test]
async fn a_log_that_fails_stands_still_and_the_others_go_on() {
    run(async |h: &Harness| {
        let _quiet = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::default());
        let kari = filled(h, 3).await;
        let mette = h.person("mette.holm@soby.example").await;
        let (log, platform) = (h.customer("Nordvik"), h.platform("itslearning"));
        let mut owner = owner(h).await;
        let of = format!("customer_id = '{}' AND index = 5", bare(&log));
        let flip = format!("UPDATE log_entry SET nonce = set_byte(nonce, 0, get_byte(nonce, 0) # 1) WHERE {of}");
        try_sql(&mut owner, &flip).await.unwrap();
        assert_eq!(checked(h, &log).await.verdict(), Verdict::Differs);
        let cause = quarantined(&h.app.db).await.unwrap()[0].cause.clone();
        assert!(cause.contains("index 5: the record does not match"), "{cause}");
        let answer = kari.get("/api/v1/suspensions").await.expect(503);
        assert_eq!(answer.text("/type"), "/docs/problems/log-quarantined");
        kari.post("/api/v1/suspensions", &json!({"ground": "x"})).await.expect(503);
        h.ask(&platform, "held", &export()).await.expect(503);
        mette.get("/api/v1/suspensions").await.expect(200);
        mette.post("/api/v1/suspensions", &json!({"ground": "x"})).await.expect(201);
        // It is not opened before it is whole.
        assert_eq!(released(h, &log).await.verdict(), Verdict::Differs);
        kari.get("/api/v1/suspensions").await.expect(503);
        try_sql(&mut owner, &flip).await.unwrap();
        kari.get("/api/v1/suspensions").await.expect(503);
        assert_eq!(released(h, &log).await.verdict(), Verdict::Clean);
        kari.get("/api/v1/suspensions").await.expect(200);
        h.ask(&platform, "held", &export()).await.expect(403);
        assert!(release(&h.app.db, h.app.notary.outside(), &log).await.is_err());
        as_it_was(&mut owner).await;
    })
    .await;
}

#[tokio::test]
async fn when_the_registry_fails_everything_is_read_and_nothing_written() {
    run(async |h: &Harness| {
        let _quiet = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::default());
        let kari = filled(h, 1).await;
        let mut owner = owner(h).await;
        let flip = "UPDATE log_entry SET nonce = set_byte(nonce, 0, get_byte(nonce, 0) # 1)
                    WHERE customer_id = '00000000-0000-7000-8000-000000000001' AND index = 1";
        try_sql(&mut owner, flip).await.unwrap();
        assert!(!check_at_start(&h.app).await.unwrap(), "nothing may be written");
        kari.get("/api/v1/suspensions").await.expect(200);
        let answer = kari.post("/api/v1/suspensions", &json!({"ground": "x"})).await.expect(503);
        assert_eq!(answer.text("/type"), "/docs/problems/log-quarantined");
        h.ask(&h.platform("itslearning"), "held", &export()).await.expect(503);
        // A start does not end on it.
        h.app.notary.keep_all(&h.app.db).await.unwrap();
        mandate::app::prepare(&h.app).await.unwrap();
        try_sql(&mut owner, flip).await.unwrap();
        assert_eq!(released(h, "registry").await.verdict(), Verdict::Clean);
        kari.post("/api/v1/suspensions", &json!({"ground": "x"})).await.expect(201);
        as_it_was(&mut owner).await;
    })
    .await;
}

#[tokio::test]
async fn a_start_checks_what_was_added_since_the_size_verified_last() {
    run(async |h: &Harness| {
        let _quiet = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::default());
        filled(h, 2).await;
        let log = h.customer("Nordvik");
        assert!(check_at_start(&h.app).await.unwrap());
        let outside = h.app.notary.outside();
        let origin = format!("mandate/{log}/1");
        let (size, _) = outside.verified(&origin).unwrap();
        let refused = with(export(), json!({"purpose": "no-such-purpose"}));
        h.ask(&h.platform("itslearning"), "more", &refused).await.expect(403);
        assert!(check_at_start(&h.app).await.unwrap());
        assert_eq!(outside.verified(&origin).unwrap().0, size + 1);
        h.ask(&h.platform("itslearning"), "again", &refused).await.expect(403);
        let mut owner = owner(h).await;
        let flip = |index: u64| {
            let of = format!("customer_id = '{}' AND index = {index}", bare(&log));
            format!("UPDATE log_entry SET nonce = set_byte(nonce, 0, get_byte(nonce, 0) # 1) WHERE {of}")
        };
        try_sql(&mut owner, &flip(size + 1)).await.unwrap();
        assert!(check_at_start(&h.app).await.unwrap(), "the registry is sound");
        let held = quarantined(&h.app.db).await.unwrap();
        assert!(held.len() == 1 && held[0].cause.contains(&format!("index {}", size + 1)), "{held:?}");
        try_sql(&mut owner, &flip(size + 1)).await.unwrap();
        assert_eq!(released(h, &log).await.verdict(), Verdict::Clean);
        as_it_was(&mut owner).await;
    })
    .await;
}
