//! How long a proof in a log of ten million entries takes, through HTTP: a measurement, not run by
//! itself. `cargo test --locked --test it proof_bench -- --ignored --nocapture`;
//! `MANDATE_ENTRIES` is the size.

use std::time::{Duration, Instant};

use mandate::base::{Digest, EntryId, SeededEntropy, TypedId as _, fresh_id, merkle_leaf, sha256};
use mandate::db::{LogId, Role};
use mandate::evidence::{LogProof, TILE_WIDTH, Tile, Tree, inclusion_proof, push_leaf, root_of_edge, tile_root};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::log_reading::public_keys;
use crate::support::{Client, Harness, bare, connect_as_owner, run};

/// The epoch in which the log is synthesised, so that the present one stays as it is.
const EPOCH: i32 = 2;
/// Entries that are asked for.
const ASKED: u64 = 1_000;

fn leaf_data(index: u64) -> Vec<u8> {
    format!("{{\"actor\":\"system\",\"at\":\"2026-11-24T08:00:00.000Z\",\"index\":{index},\"object\":\"x\"}}").into_bytes()
}

/// Tiles of one level that are not yet in the database.
#[derive(Default)]
struct Level {
    hashes: Vec<Digest>,
    index: u64,
}

struct Synthesis<'c> {
    owner: &'c mut PgConnection,
    log: Uuid,
    levels: Vec<Level>,
    waiting: Vec<(i16, i64, Vec<u8>, Vec<u8>)>,
}

impl Synthesis<'_> {
    async fn add(&mut self, hash: Digest) {
        let (mut hash, mut level) = (hash, 0);
        loop {
            if self.levels.len() == level {
                self.levels.push(Level::default());
            }
            let at = &mut self.levels[level];
            at.hashes.push(hash);
            if at.hashes.len() as u64 != TILE_WIDTH {
                return;
            }
            hash = tile_root(&at.hashes);
            let bytes = at.hashes.drain(..).flat_map(|hash| hash.0).collect();
            self.waiting.push((i16::try_from(level).unwrap(), i64::try_from(at.index).unwrap(), hash.0.to_vec(), bytes));
            at.index += 1;
            level += 1;
            if self.waiting.len() >= 500 {
                self.flush().await;
            }
        }
    }
    async fn flush(&mut self) {
        let (mut levels, mut indexes, mut roots, mut hashes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (level, index, root, bytes) in self.waiting.drain(..) {
            levels.push(level);
            indexes.push(index);
            roots.push(root);
            hashes.push(bytes);
        }
        let sql = "INSERT INTO log_tile (customer_id, epoch, level, index, root, hashes)
                   SELECT $1, $2, * FROM unnest($3::smallint[], $4::bigint[], $5::bytea[], $6::bytea[])";
        let insert = sqlx::query(sql).bind(self.log).bind(EPOCH).bind(levels).bind(indexes).bind(roots).bind(hashes);
        insert.execute(&mut *self.owner).await.unwrap();
    }
}

async fn insert_entry(owner: &mut PgConnection, log: Uuid, index: u64, id: EntryId, root: Digest) {
    let leaf = leaf_data(index);
    sqlx::query(
        "INSERT INTO log_entry (customer_id, epoch, index, id, type, at, leaf, leaf_hash, root, nonce, record)
         VALUES ($1, $2, $3, $4, 'agreement.offered', '2026-11-24T08:00:00Z', $5, $6, $7, $6, '{\"agreement\": \"agr_0190a0b0c0d0700080000123456789ab\"}')",
    )
    .bind(log)
    .bind(EPOCH)
    .bind(i64::try_from(index).unwrap())
    .bind(id.uuid())
    .bind(&leaf)
    .bind(merkle_leaf(&leaf).0.as_slice())
    .bind(root.0.as_slice())
    .execute(owner)
    .await
    .unwrap();
}

/// A log of `size` entries, of which the asked ones and those past the last full tile are rows.
async fn synthesise(owner: &mut PgConnection, log: Uuid, size: u64, asked: &[(u64, EntryId)]) {
    let mut edge = Vec::new();
    let mut synthesis = Synthesis { owner, log, levels: Vec::new(), waiting: Vec::new() };
    for index in 0..size {
        let hash = merkle_leaf(&leaf_data(index));
        push_leaf(&mut edge, index, hash);
        synthesis.add(hash).await;
    }
    synthesis.flush().await;
    let entropy = SeededEntropy::new(9);
    let now = "2026-11-24T08:00:00.000Z".parse().unwrap();
    let rest = (Tile { level: 0, index: size / TILE_WIDTH }).width(size);
    for index in size - rest..size {
        if asked.iter().all(|(other, _)| *other != index) {
            insert_entry(owner, log, index, fresh_id(now, &entropy), root_of_edge(&edge)).await;
        }
    }
    for (index, id) in asked {
        insert_entry(owner, log, *index, *id, root_of_edge(&edge)).await;
    }
    let bytes: Vec<u8> = edge.iter().flat_map(|hash| hash.0).collect();
    let sql = "UPDATE log_head SET epoch = $2, size = $3, edge = $4 WHERE customer_id = $1";
    sqlx::query(sql).bind(log).bind(EPOCH).bind(i64::try_from(size).unwrap()).bind(bytes).execute(&mut *owner).await.unwrap();
    sqlx::raw_sql("ANALYZE log_tile; ANALYZE log_entry").execute(owner).await.unwrap();
}

async fn measured(client: &Client, asked: &[(u64, EntryId)], keys: &[[u8; 32]]) -> Vec<Duration> {
    let mut times = Vec::new();
    for (index, id) in asked {
        let begun = Instant::now();
        let answer = client.get(&format!("/api/v1/evidence/entries/{id}")).await.expect(200);
        times.push(begun.elapsed());
        let proof: LogProof = answer.text("/proof").parse().unwrap();
        assert_eq!(proof.index, *index);
        proof.verified(merkle_leaf(&leaf_data(*index)), keys).unwrap();
    }
    times.sort_unstable();
    times
}

/// The same proofs without HTTP: a transaction and its statements.
async fn alone(h: &Harness, log: Uuid, size: u64, asked: &[(u64, EntryId)]) -> Vec<Duration> {
    let tree = Tree { log: LogId(log), epoch: u32::try_from(EPOCH).unwrap(), size };
    let mut times = Vec::new();
    for (index, _) in asked {
        let begun = Instant::now();
        let mut read = h.app.db.read(Role::App, "proof_bench", tree.log).await.unwrap();
        inclusion_proof(read.conn(), tree, *index).await.unwrap();
        drop(read);
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    times
}

/// What a request costs that reads hardly anything, on this machine at this moment.
async fn baseline(client: &Client) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..ASKED {
        let begun = Instant::now();
        client.get("/api/v1/me").await.expect(200);
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    times
}

#[tokio::test]
#[ignore = "a measurement: it writes 320 MB and takes minutes"]
async fn proof_bench_in_a_log_of_ten_million_entries() {
    let size: u64 = std::env::var("MANDATE_ENTRIES").map_or(10_000_000, |text| text.parse().unwrap());
    run(async |h: &Harness| {
        let mette = h.person("mette.holm@soby.example").await;
        let log = bare(&h.customer("Søby"));
        let entropy = SeededEntropy::new(1);
        let now = "2026-11-24T08:00:00.000Z".parse().unwrap();
        let spread = |number: u64| u64::from_be_bytes(sha256(&[&number.to_be_bytes()]).0[..8].try_into().unwrap()) % size;
        let mut indexes: Vec<u64> = (0..ASKED).map(spread).chain([0, size - 1]).collect();
        indexes.sort_unstable();
        indexes.dedup();
        let asked: Vec<(u64, EntryId)> = indexes.into_iter().map(|index| (index, fresh_id(now, &entropy))).collect();
        let mut owner = connect_as_owner(h).await;
        let tables = ["log_entry", "log_tile", "log_head"];
        for table in tables {
            let sql = format!("ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY");
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut owner).await.unwrap();
        }
        sqlx::raw_sql("ALTER TABLE log_head DISABLE TRIGGER log_head_grows").execute(&mut owner).await.unwrap();
        let head: (i32, i64, Vec<u8>) =
            sqlx::query_as("SELECT epoch, size, edge FROM log_head WHERE customer_id = $1").bind(log).fetch_one(&mut owner).await.unwrap();
        let begun = Instant::now();
        synthesise(&mut owner, log, size, &asked).await;
        println!("a log of {size} entries was synthesised in {:.1} s", begun.elapsed().as_secs_f64());
        let at = |times: &[Duration], share: usize| times[(times.len() - 1) * share / 1000].as_secs_f64() * 1e3;
        let told = |what: &str, times: &[Duration]| {
            println!("{what}, ms: median {:.2}, p99 {:.2}, most {:.2}", at(times, 500), at(times, 990), at(times, 1000));
        };
        let times = measured(&mette, &asked, &public_keys(h).await).await;
        told("an entry with its proof through HTTP", &times);
        told("the proof alone", &alone(h, log, size, &asked).await);
        told("for comparison, GET /api/v1/me", &baseline(&mette).await);
        let restore = "UPDATE log_head SET epoch = $2, size = $3, edge = $4 WHERE customer_id = $1";
        sqlx::query(restore).bind(log).bind(head.0).bind(head.1).bind(head.2).execute(&mut owner).await.unwrap();
        sqlx::query("DELETE FROM log_entry WHERE customer_id = $1 AND epoch = $2").bind(log).bind(EPOCH).execute(&mut owner).await.unwrap();
        assert!(at(&times, 500) < 5.0, "the aim is 5 ms");
    })
    .await;
}
