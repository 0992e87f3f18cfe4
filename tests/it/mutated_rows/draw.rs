//! Draws one change of one row after the other, as SQL, with the place that a check must name.

use mandate::base::{Entropy as _, SeededEntropy, merkle_leaf};
use mandate::evidence::push_leaf;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::place::SAVED;
use crate::support::bare;

/// Columns that no entry states, so that no change of them can be found by the entries, and why they
/// may stand apart.
const UNSTATED: [(&str, &str); 32] = [
    // How an entry is looked up, and what makes it the one answer to an idempotency key; what it says of the
    // platform is in its record.
    ("log_entry", "id"),
    ("log_entry", "platform"),
    ("log_entry", "route"),
    ("log_entry", "key_hash"),
    ("log_entry", "request_hash"),
    // Persons, who are the actors of the entries, by membership.
    ("agreement", "prepared_by"),
    ("suspension", "suspended_by"),
    ("suspension", "release_proposed_by"),
    ("suspension", "release_proposed_at"),
    ("suspension", "released_by"),
    ("suspension", "release_id"),
    ("instruction_contest", "contested_by"),
    ("membership", "invited_name"),
    ("membership", "accepted_at"),
    ("first_signatory", "name"),
    ("first_signatory", "proposed_by"),
    ("first_signatory", "approved_by"),
    ("first_signatory", "withdrawn_by"),
    ("first_signatory", "notice_id"),
    ("document", "stored_by"),
    // One part is all of the bytes, whatever its number.
    ("document_part", "part"),
    ("api_key", "name"),
    ("api_key", "created_by"),
    ("api_key", "approved_by"),
    // A secret, and what is no right: of a customer's key, all that the gate's keys have.
    ("api_key", "secret_hash"),
    ("api_key", "last_used_on"),
    ("api_key", "surface"),
    ("api_key", "platform"),
    ("api_key", "approved_at"),
    ("api_key", "normal_customers"),
    ("api_key", "normal_rows"),
    // Only together with the reference, which is checked with its commitment.
    ("export_chunk", "last_nonce"),
];

/// Where a change must be found.
#[derive(Debug, Clone)]
pub enum Place {
    /// At the index of an entry.
    Index(u64),
    /// At this object, with the index of the last entry about it if there is one.
    Thing { id: Uuid, has_entry: bool },
    /// In words, where no single entry speaks of it.
    Log(&'static str),
}

/// A change.
#[derive(Debug)]
pub struct Mutation {
    pub log: String,
    pub table: &'static str,
    pub kind: &'static str,
    pub sql: Vec<String>,
    pub place: Place,
}

struct Column {
    name: String,
    kind: String,
    is_nullable: bool,
}

/// A table with what the draw needs of it.
struct Table {
    name: &'static str,
    columns: Vec<Column>,
    /// Rows by log.
    rows: Vec<u64>,
}

pub struct Draw {
    logs: Vec<(String, Uuid, u64)>,
    tables: Vec<Table>,
    entropy: SeededEntropy,
}

async fn number(owner: &mut PgConnection, sql: &str) -> u64 {
    let number: i64 = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(owner).await.unwrap();
    u64::try_from(number).unwrap()
}

async fn text(owner: &mut PgConnection, sql: &str) -> Option<String> {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(owner).await.unwrap()
}

/// The column that names what a table's rows are about.
fn thing(table: &str) -> &'static str {
    match table {
        "export_chunk" => "export_id",
        "instruction_version" | "instruction_term" | "instruction_revocation" | "instruction_usage" => "instruction_id",
        "instruction_confirmation" => "contest_id",
        "authority" => "membership_id",
        "document_part" => "document_id",
        _ => "id",
    }
}

/// What makes a second row of one that is there.
fn another(table: &str) -> &'static str {
    match table {
        "agreement"
        | "suspension"
        | "export"
        | "instruction_contest"
        | "membership"
        | "first_signatory"
        | "api_key"
        | "recipient"
        | "document" => "'id', gen_random_uuid()",
        "authority" => "'granted_at', '2020-02-02'",
        "document_part" => "'part', 77",
        "instruction_version" | "instruction_term" => "'version', 77",
        "instruction_revocation" => "'instruction_id', gen_random_uuid()",
        "instruction_confirmation" => "'contest_id', gen_random_uuid()",
        "instruction_usage" => "'day', '2020-02-02'",
        "export_chunk" => "'chunk_no', 77",
        _ => unreachable!("{table}"),
    }
}

impl Draw {
    pub async fn new(owner: &mut PgConnection, names: &[String], seed: u64) -> Self {
        let mut logs = Vec::new();
        for name in names {
            let size = number(owner, &format!("SELECT size FROM log_head WHERE customer_id = '{}'", bare(name))).await;
            logs.push((name.clone(), bare(name), size));
        }
        let mut tables = Vec::new();
        for name in SAVED {
            let sql = "SELECT column_name::text, udt_name::text, is_nullable = 'YES' FROM information_schema.columns
                       WHERE table_schema = 'public' AND table_name = $1 ORDER BY ordinal_position";
            let columns: Vec<(String, String, bool)> = sqlx::query_as(sql).bind(name).fetch_all(&mut *owner).await.unwrap();
            let columns = columns.into_iter().map(|(name, kind, is_nullable)| Column { name, kind, is_nullable });
            let columns: Vec<_> = columns.filter(|column| !UNSTATED.contains(&(name, &*column.name))).collect();
            let mut rows = Vec::new();
            for (_, log, _) in &logs {
                rows.push(number(owner, &format!("SELECT count(*) FROM {name} WHERE customer_id = '{log}'")).await);
            }
            assert!(rows.iter().any(|count| *count > 0), "{name} has no rows");
            tables.push(Table { name, columns, rows });
        }
        Self { logs, tables, entropy: SeededEntropy::new(seed) }
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        let mut bytes = [0; 8];
        self.entropy.fill(&mut bytes);
        u64::from_be_bytes(bytes) % bound
    }

    /// The next change.
    pub async fn next(&mut self, owner: &mut PgConnection) -> Mutation {
        // Half of all in the log itself. The long log takes longer to read.
        let table = match self.below(10) {
            0..5 => 0,
            5 => 1 + usize::from(self.below(2) == 0),
            _ => 3 + usize::try_from(self.below(SAVED.len() as u64 - 3)).unwrap(),
        };
        let log = usize::from(self.tables[table].rows[0] == 0 || self.below(20) == 0 && self.tables[table].rows[1] > 0);
        let name = self.tables[table].name;
        let kind = self.below(10);
        match (name, kind) {
            ("log_entry", 0) => self.cut(owner, log).await,
            ("log_head", 0..4) => self.older_head(owner, log).await,
            ("log_entry", 1) => self.swapped(log),
            ("log_entry", 2) => self.twice(log),
            ("log_entry", 3) => self.subjects(owner, log).await,
            ("log_head", 4) => self.dropped(owner, table, log).await,
            ("log_head", _) => self.changed(owner, table, log).await,
            (_, 4) => self.dropped(owner, table, log).await,
            ("log_entry" | "log_tile", _) => self.changed(owner, table, log).await,
            (_, 5) => self.added(owner, table, log).await,
            _ => self.changed(owner, table, log).await,
        }
    }

    fn mutation(&self, log: usize, table: &'static str, kind: &'static str, sql: Vec<String>, place: Place) -> Mutation {
        Mutation { log: self.logs[log].0.clone(), table, kind, sql, place }
    }

    /// A row's address, and where a change of it must be found.
    async fn row(&mut self, owner: &mut PgConnection, table: usize, log: usize) -> (String, Place) {
        let (name, count) = (self.tables[table].name, self.tables[table].rows[log]);
        let offset = self.below(count);
        let of = self.logs[log].1;
        let sql = format!("SELECT ctid::text FROM {name} t WHERE customer_id = '{of}' ORDER BY md5(t::text) OFFSET {offset} LIMIT 1");
        let row = text(owner, &sql).await.unwrap();
        let at = format!("WHERE ctid = '{row}'");
        let place = match name {
            "log_entry" => Place::Index(number(owner, &format!("SELECT index FROM log_entry {at}")).await),
            "log_head" => Place::Log("head"),
            "log_tile" => Place::Log("tile"),
            _ => {
                let id = text(owner, &format!("SELECT {}::text FROM {name} {at}", thing(name))).await.unwrap();
                Place::Thing { id: id.parse().unwrap(), has_entry: true }
            }
        };
        (at, place)
    }

    async fn dropped(&mut self, owner: &mut PgConnection, table: usize, log: usize) -> Mutation {
        let (at, place) = self.row(owner, table, log).await;
        let name = self.tables[table].name;
        self.mutation(log, name, "dropped", vec![format!("DELETE FROM {name} {at}")], place)
    }

    /// A second row of a fact: the same fact under another name, or again of the same.
    async fn added(&mut self, owner: &mut PgConnection, table: usize, log: usize) -> Mutation {
        let (at, place) = self.row(owner, table, log).await;
        let name = self.tables[table].name;
        let sql =
            format!("INSERT INTO {name} SELECT (jsonb_populate_record(t, jsonb_build_object({}))).* FROM {name} t {at}", another(name));
        let place = match (name, place) {
            (
                "agreement" | "suspension" | "export" | "membership" | "authority" | "first_signatory" | "api_key" | "recipient"
                | "document",
                _,
            ) => Place::Log("has a row, and no entry"),
            ("instruction_revocation" | "instruction_contest" | "instruction_confirmation", _) => Place::Log("no entry"),
            ("instruction_term", Place::Thing { id, .. }) => Place::Thing { id, has_entry: false },
            (_, place) => place,
        };
        self.mutation(log, name, "put in twice", vec![sql], place)
    }

    async fn changed(&mut self, owner: &mut PgConnection, table: usize, log: usize) -> Mutation {
        let (at, place) = self.row(owner, table, log).await;
        let columns = self.tables[table].columns.len() as u64;
        let column = usize::try_from(self.below(columns)).unwrap();
        let (name, Column { name: column, kind, is_nullable }) = (self.tables[table].name, &self.tables[table].columns[column]);
        let (column, kind, is_nullable) = (column.clone(), kind.clone(), *is_nullable);
        let before = text(owner, &format!("SELECT {column}::text FROM {name} {at}")).await;
        let to = match &before {
            Some(_) if is_nullable && self.below(5) == 0 => "NULL".to_owned(),
            Some(before) => self.altered(&kind, before),
            None => made_up(&kind).to_owned(),
        };
        let sql = format!("UPDATE {name} SET {column} = {to} {at} AND {column} IS DISTINCT FROM {to}");
        // An entry of another epoch is missing in its own, wherever it is met first.
        let place = if (name, &*column) == ("log_entry", "epoch") { Place::Log("") } else { place };
        self.mutation(log, name, "changed", vec![sql], place)
    }

    /// The last entries dropped, and the head made anew.
    async fn cut(&mut self, owner: &mut PgConnection, log: usize) -> Mutation {
        let (_, of, size) = self.logs[log];
        let left = size - 1 - self.below(5);
        let sql = vec![format!("DELETE FROM log_entry WHERE customer_id = '{of}' AND index >= {left}"), head_of(owner, of, left).await];
        self.mutation(log, "log_entry", "cut off, with the head made anew", sql, Place::Index(left))
    }

    async fn older_head(&mut self, owner: &mut PgConnection, log: usize) -> Mutation {
        let (_, of, size) = self.logs[log];
        let left = 1 + self.below(size - 1);
        let sql = vec![head_of(owner, of, left).await];
        self.mutation(log, "log_head", "older", sql, Place::Index(left))
    }

    fn swapped(&mut self, log: usize) -> Mutation {
        let (_, of, size) = self.logs[log];
        let first = self.below(size - 1);
        let second = first + 1 + self.below(size - 1 - first);
        let to = |from: u64, to: u64| format!("UPDATE log_entry SET index = {to} WHERE customer_id = '{of}' AND index = {from}");
        let sql = vec![to(first, 1_000_000), to(second, first), to(1_000_000, second)];
        self.mutation(log, "log_entry", "swapped", sql, Place::Index(first))
    }

    /// An entry once more at the end.
    fn twice(&mut self, log: usize) -> Mutation {
        let (_, of, size) = self.logs[log];
        let from = self.below(size);
        let other = format!("jsonb_build_object('id', gen_random_uuid(), 'index', {size}, 'key_hash', NULL, 'request_hash', NULL)");
        let sql = format!(
            "INSERT INTO log_entry SELECT (jsonb_populate_record(t, {other})).* FROM log_entry t WHERE customer_id = '{of}' AND index = {from}"
        );
        self.mutation(log, "log_entry", "put in twice", vec![sql], Place::Index(size))
    }

    async fn subjects(&mut self, owner: &mut PgConnection, log: usize) -> Mutation {
        let of = format!("customer_id = '{}' AND subjects IS NOT NULL", self.logs[log].1);
        let count = number(owner, &format!("SELECT count(*) FROM log_entry WHERE {of}")).await;
        let offset = self.below(count);
        let index = number(owner, &format!("SELECT index FROM log_entry WHERE {of} ORDER BY index OFFSET {offset} LIMIT 1")).await;
        let sql = format!("UPDATE log_entry SET subjects = NULL, subjects_nonce = NULL WHERE {of} AND index = {index}");
        self.mutation(log, "log_entry", "subjects gone without an entry", vec![sql], Place::Index(index))
    }
}

/// A value where there was none.
fn made_up(kind: &str) -> &'static str {
    match kind {
        "bytea" => "decode(repeat('00', 32), 'hex')",
        "jsonb" => "'{}'::jsonb",
        "text" => "'x'",
        "uuid" => "gen_random_uuid()",
        "_text" => "'{x}'::text[]",
        "date" => "'2026-11-30'::date",
        "timestamptz" => "'2026-11-30T00:00:00Z'::timestamptz",
        _ => "1",
    }
}

/// The head as it was at a size.
async fn head_of(owner: &mut PgConnection, of: Uuid, size: u64) -> String {
    let sql = format!("SELECT leaf FROM log_entry WHERE customer_id = '{of}' AND index < {size} ORDER BY index");
    let leaves: Vec<Vec<u8>> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(owner).await.unwrap();
    let mut edge = Vec::new();
    for (index, leaf) in leaves.iter().enumerate() {
        push_leaf(&mut edge, index as u64, merkle_leaf(leaf));
    }
    let edge: String = edge.iter().flat_map(|hash| hash.0).map(|byte| format!("{byte:02x}")).collect();
    let last = format!("(SELECT s.at FROM saved_log_entry s WHERE s.customer_id = '{of}' AND s.index = {})", size - 1);
    format!("UPDATE log_head SET size = {size}, edge = '\\x{edge}', last_at = {last} WHERE customer_id = '{of}'")
}
