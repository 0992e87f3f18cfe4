//! After an erasure nothing is left to find. The dictionary attack: every name, reference and address of
//! the world, hashed in every way that the service hashes with everything that is left in the database.
//! The search for canaries: in every column of every table, in the files of the database, the checkpoints,
//! the mail, tiles, log lines, counters and answers. Control of both: before the erasure they do find.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use mandate::base::{canonical, sha256};
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::erasure::{KEPT, erase, happened, later};
use crate::support::{Harness, KARI, bare, connect_as_owner, export, run, try_sql, with};

const CANARY: &str = "kanari";
const WORLD: &str = include_str!("../../config/data/world.json");
/// What was asked about at Nordvik, and what stood in its chunks: what the attacker would like to know.
const REFERENCES: [&str; 8] = [
    "kanari-ended",
    "kanari-unredeemed",
    "kanari-single",
    "kanari-refused",
    "kanari-tried",
    "kanari-file",
    "kanari-refused-file",
    "kanari-document",
];

/// Every text of the world: names, addresses, units, ids.
fn words() -> BTreeSet<String> {
    fn texts(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::String(text) => drop(found.insert(text.clone())),
            Value::Array(values) => values.iter().for_each(|value| texts(value, found)),
            Value::Object(members) => members.values().for_each(|value| texts(value, found)),
            _ => {}
        }
    }
    let mut found: BTreeSet<String> = REFERENCES.iter().map(|&reference| reference.to_owned()).collect();
    texts(&serde_json::from_str(WORLD).unwrap(), &mut found);
    found
}

/// What must stand in no leaf and no record: who was asked about, and the addresses of who acted.
fn people() -> Vec<String> {
    let world: Value = serde_json::from_str(WORLD).unwrap();
    let customers = world["customers"].as_array().unwrap().iter().flat_map(|customer| customer["people"].as_array().unwrap());
    let addresses = customers.map(|person| person["email"].as_str().unwrap().to_owned());
    REFERENCES.iter().map(|&reference| reference.to_owned()).chain(addresses).collect()
}

/// The owner, past the policies of every table.
async fn owner(h: &Harness) -> PgConnection {
    let mut owner = connect_as_owner(h).await;
    set(&mut owner, "NO FORCE").await;
    owner
}

async fn set(owner: &mut PgConnection, force: &str) {
    for table in forced(owner).await {
        try_sql(owner, &format!("ALTER TABLE \"{table}\" {force} ROW LEVEL SECURITY")).await.unwrap();
    }
}

async fn forced(owner: &mut PgConnection) -> Vec<String> {
    let sql =
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relrowsecurity ORDER BY 1";
    sqlx::query_scalar(sql).fetch_all(owner).await.unwrap()
}

/// What an attacker has of a customer's log: all bytes that could be a nonce or a salt, and all hashes.
struct Left {
    salts: BTreeSet<Vec<u8>>,
    hashes: HashSet<Vec<u8>>,
}

async fn left(owner: &mut PgConnection, customer: uuid::Uuid) -> Left {
    // Every 32 bytes of the log and of what hangs on it: as bytes, and as hexadecimal digits in JSON.
    let bytes = format!(
        "SELECT b FROM log_entry, unnest(ARRAY[leaf_hash, root, nonce, subjects_nonce, key_hash, request_hash]) b WHERE customer_id = '{customer}' AND b IS NOT NULL
         UNION SELECT last_nonce FROM export_chunk WHERE customer_id = '{customer}' AND last_nonce IS NOT NULL
         UNION SELECT substr(hashes, 32 * n + 1, 32) FROM log_tile, generate_series(0, 255) n WHERE customer_id = '{customer}'
         UNION SELECT substr(edge, 32 * n + 1, 32) FROM log_head, generate_series(0, 63) n WHERE customer_id = '{customer}'
         UNION SELECT decode(m[1], 'hex') FROM
             (SELECT convert_from(leaf, 'UTF8') || record::text || COALESCE(subjects::text, '') AS said FROM log_entry WHERE customer_id = '{customer}'
              UNION ALL SELECT concat_ws(' ', request, granted, permit, report, late_report) FROM export WHERE customer_id = '{customer}') t,
             regexp_matches(said, '[0-9a-f]{{64}}', 'g') m"
    );
    let found: Vec<Vec<u8>> = sqlx::query_scalar(sqlx::AssertSqlSafe(bytes)).fetch_all(owner).await.unwrap();
    Left { salts: found.iter().filter(|bytes| bytes.len() == 32).cloned().collect(), hashes: found.into_iter().collect() }
}

/// Everything that a word could have been hashed as, with what it is.
fn guesses(word: &str) -> Vec<(&'static str, Vec<u8>)> {
    let lists = [
        json!([{"kind": "subject", "ref": word, "unit": "S03"}]),
        json!([{"kind": "subject", "ref": word}]),
        json!([{"kind": "unit", "unit": word}]),
    ];
    let spelt = BTreeSet::from([word.to_owned(), word.to_lowercase()]);
    let mut found: Vec<_> = spelt.into_iter().map(|word| ("word", word.into_bytes())).collect();
    for list in lists {
        found.push(("list", canonical(&list)));
    }
    found
}

/// Idempotency keys that the attacker guesses: those of `happened`.
const KEYS: [&str; 8] = ["1", "ended", "unredeemed", "single", "refused", "tried", "c1", "c2"];

/// The requests that the attacker can put together, since all else of them stands in the records.
fn requests(word: &str, export_id: &str) -> Vec<Vec<u8>> {
    let mut asked = with(export(), json!({"subjects": [{"kind": "subject", "ref": word, "unit": "S03"}]}));
    // What is hashed is the request as it was read: a set in order, and absent members null.
    asked["data_categories"] = json!(["enrolment", "identity"]);
    asked["volume"] = json!(null);
    asked["dry_run"] = json!(null);
    for member in ["transfer_ground", "engagement"] {
        asked["recipient"][member] = json!(null);
    }
    let of = |more: Value| canonical(&with(asked.clone(), more));
    let chunk = json!({"chunk_no": 1, "rows": 1, "files": null, "bytes": null, "last": word});
    vec![
        of(json!({})),
        of(json!({"purpose": "no-such-purpose"})),
        of(json!({"dry_run": true})),
        of(json!({"channel": "lti", "mode": "single", "volume": {"rows": 1}})),
        canonical(&json!({"export": export_id, "body": chunk})),
    ]
}

/// How many guesses are right, by what was guessed. A document's own hash stays, and is of its whole bytes.
fn attack(left: &Left, export_id: &str) -> BTreeMap<&'static str, u64> {
    let tags: [&[u8]; 4] = [b"", b"mandate subjects v1\n", b"mandate last file v1\n", b"mandate record v1\n"];
    let mut hits = BTreeMap::new();
    let mut hit = |what: &'static str, parts: &[&[u8]]| {
        if left.hashes.contains(sha256(parts).0.as_slice()) {
            *hits.entry(what).or_default() += 1;
        }
    };
    for word in words() {
        for (what, guess) in guesses(&word) {
            hit("without a salt", &[&guess]);
            hit("as a leaf", &[&[0], &guess]);
            for salt in &left.salts {
                for tag in tags {
                    let told = match (what, tag.is_empty()) {
                        ("list", true) => "a list under a salt",
                        ("list", false) => "a list under a tag and a nonce",
                        _ => "a reference under a nonce",
                    };
                    hit(told, &[tag, salt, &guess]);
                }
            }
        }
        for request in requests(&word, export_id) {
            hit("a request without its key", &[&request]);
            for key in KEYS {
                hit("a request", &[b"mandate request v1\n", key.as_bytes(), b"\n", &request]);
            }
        }
    }
    hits
}

#[tokio::test]
async fn a_dictionary_attack_on_what_is_left_finds_nothing() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let ended = happened(h, &kari).await.ended;
        let customer = bare(&h.customer("Nordvik"));
        let mut owner = owner(h).await;
        let before = left(&mut owner, customer).await;
        let hits = attack(&before, &ended);
        // The control: each way does find what is there.
        assert_eq!(hits.get("a list under a tag and a nonce"), Some(&5), "the entries' commitments: {hits:?}");
        assert_eq!(hits.get("a list under a salt"), Some(&3), "the permits' hashes: {hits:?}");
        assert_eq!(hits.get("a reference under a nonce"), Some(&1), "the chunk's last file: {hits:?}");
        assert_eq!(hits.get("a request"), Some(&7), "the requests' hashes under guessed keys, two of them a chunk's: {hits:?}");
        assert_eq!(hits.get("a request without its key"), None, "{hits:?}");
        later(h).await;
        erase(h, KEPT).await;
        let after = left(&mut owner, customer).await;
        assert!(after.hashes.len() > 100 && after.salts.len() > 50, "the log is there: {} hashes", after.hashes.len());
        assert_eq!(attack(&after, &ended), BTreeMap::new());
        // And nothing says it as it is: what went, and who acted.
        for word in people() {
            let said = format!(
                "SELECT count(*) FROM log_entry WHERE customer_id = '{customer}' AND position('{word}' IN convert_from(leaf, 'UTF8') || record::text) > 0"
            );
            let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(said)).fetch_one(&mut owner).await.unwrap();
            assert_eq!(count, 0, "{word}");
        }
        set(&mut owner, "FORCE").await;
    })
    .await;
}

/// Where the canary is found in the database: `table.column` and how often.
async fn in_tables(owner: &mut PgConnection) -> BTreeMap<String, i64> {
    let sql = "SELECT c.relname::text, a.attname::text, a.atttypid = 'bytea'::regtype FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
               WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'm') AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, 2";
    let columns: Vec<(String, String, bool)> = sqlx::query_as(sql).fetch_all(&mut *owner).await.unwrap();
    assert!(columns.len() > 300, "{}", columns.len());
    let mut found = BTreeMap::new();
    for (table, column, is_bytes) in columns {
        let place = match is_bytes {
            true => format!("position(convert_to($1, 'UTF8') IN \"{column}\")"),
            false => format!("position($1 IN \"{column}\"::text)"),
        };
        let sql = format!("SELECT count(*) FROM \"{table}\" WHERE {place} > 0");
        // Bound, since a statement's text is logged at the lowest levels.
        let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(CANARY).fetch_one(&mut *owner).await.unwrap();
        if count > 0 {
            found.insert(format!("{table}.{column}"), count);
        }
    }
    found
}

/// Files below a folder in which the canary is, and how many were searched.
fn in_files(folder: &Path) -> (Vec<String>, usize) {
    let (mut found, mut searched, mut folders) = (Vec::new(), 0, vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = std::fs::read(&path) {
                searched += 1;
                if bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()) {
                    found.push(path.display().to_string());
                }
            }
        }
    }
    (found, searched)
}

/// The files of this database, where its server is this run's own; every table is written anew first, so
/// that no row that is dead stays in them.
async fn in_database_files(owner: &mut PgConnection) -> Option<Vec<String>> {
    // A read that was let go is rolled back a moment later; until then its snapshot keeps dead rows.
    let held = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid() AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)";
    for _ in 0..500 {
        if sqlx::query_scalar::<_, i64>(held).fetch_one(&mut *owner).await.unwrap() == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    try_sql(owner, "VACUUM FULL").await.unwrap();
    let oid: i64 =
        sqlx::query_scalar("SELECT oid::bigint FROM pg_database WHERE datname = current_database()").fetch_one(&mut *owner).await.unwrap();
    let names =
        "SELECT pg_relation_filepath(oid) FROM pg_class WHERE relkind IN ('r', 'i', 't') AND pg_relation_filepath(oid) LIKE 'base/%'";
    let paths: Vec<String> = sqlx::query_scalar(names).fetch_all(owner).await.unwrap();
    let homes = std::fs::read_dir(env!("CARGO_TARGET_TMPDIR")).unwrap().flatten().map(|entry| entry.path());
    let mut clusters = homes.flat_map(|home| [home.join("data"), home.clone()]);
    let cluster = clusters.find(|cluster| cluster.join(format!("base/{oid}")).is_dir() && cluster.join(&paths[0]).is_file())?;
    let holds = |path: &&String| {
        let bytes = std::fs::read(cluster.join(path)).unwrap();
        bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes())
    };
    Some(paths.iter().filter(holds).cloned().collect())
}

/// What the program logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn sings(bytes: &[u8]) -> bool {
    bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes())
}

#[tokio::test]
async fn no_canary_is_found_after_it_was_erased() {
    run(async |h: &Harness| {
        let (lines, recorder) = (Lines::default(), metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder());
        let (writer, counters) = (lines.clone(), recorder.handle());
        let _counting = metrics::set_default_local_recorder(&recorder);
        let log = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
        let _logging = tracing::subscriber::set_default(log);
        let kari = h.person(KARI).await;
        let happened = happened(h, &kari).await;
        let mut owner = owner(h).await;
        // The control: it is where it was planted, and a document's bytes are its bytes.
        let planted = in_tables(&mut owner).await;
        for (column, count) in
            [("log_entry.subjects", 5), ("export.subjects", 3), ("export_chunk.last_reference", 1), ("document_part.bytes", 1)]
        {
            assert_eq!(planted.get(column), Some(&count), "{planted:?}");
        }
        assert_eq!(planted.len(), 4, "and nowhere else: {planted:?}");
        let files = in_database_files(&mut owner).await;
        assert!(files.as_ref().is_none_or(|files| files.len() >= 4), "{files:?}");
        // No answer repeats it, a problem least of all.
        for answer in &happened.answers {
            assert!(!sings(&answer.bytes), "{}", String::from_utf8_lossy(&answer.bytes));
        }
        later(h).await;
        erase(h, KEPT).await;
        mandate::app::deliver_due(&h.app).await.unwrap();
        h.app.notary.keep_noted(&h.app.db).await.unwrap();
        assert_eq!(in_tables(&mut owner).await, BTreeMap::new());
        if std::env::var_os("DATABASE_URL").is_none() {
            // A snapshot of the server's own, which gathers statistics, may keep dead rows for once.
            let mut found = in_database_files(&mut owner).await;
            for _ in 0..4 {
                if found != Some(Vec::new()) {
                    found = in_database_files(&mut owner).await;
                }
            }
            assert_eq!(found, Some(Vec::new()));
        }
        for folder in [&h.mail, &h.checkpoints] {
            let (found, searched) = in_files(folder);
            assert!(found.is_empty() && searched > 0, "{} of {searched} files: {found:?}", folder.display());
        }
        let kari = h.person(KARI).await;
        for path in ["/api/v1/decisions?limit=100", "/api/v1/exports?limit=100", "/api/v1/documents?limit=100"] {
            let answer = kari.get(path).await.expect(200);
            assert!(!sings(&answer.bytes) && answer.bytes.len() > 500, "{path}");
        }
        let (said, counted) = (lines.0.lock().unwrap().clone(), counters.render());
        assert!(said.len() > 10_000 && !sings(&said), "{} bytes were logged", said.len());
        assert!(counted.len() > 200 && !sings(counted.as_bytes()), "{counted}");
        set(&mut owner, "FORCE").await;
    })
    .await;
}
