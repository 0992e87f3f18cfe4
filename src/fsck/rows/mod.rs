//! The rows of a log's tables as its entries state them, column by column, against those that the
//! tables hold. `effects` compares what a decision reads; this, what is shown, looked up and cited
//! besides: times, places in the log, who acted, people and their authority, keys, terms, permits. Pure.

mod epoch;
mod gate;
mod institution;
mod processor;

use std::collections::BTreeMap;

use chrono::DateTime;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::effects::Unequal;
use crate::base::{Digest, Instant, TypedId};
use crate::evidence::{Event, StoredEntry};
use gate::{compared, last};

/// A table and what names a row in it.
type Name = (&'static str, String);

/// A row as far as entries state it.
#[derive(Debug, Clone)]
struct Row {
    at: (u32, u64),
    columns: BTreeMap<&'static str, Value>,
}

/// Every row that a log's entries state.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    log: String,
    rows: BTreeMap<Name, Row>,
    /// What the tables hold and no entry states, or otherwise.
    found: Vec<Unequal>,
}

/// The columns by which a row is named, of every table that is compared.
fn named_by(table: &str) -> Option<(&'static str, &'static [&'static str])> {
    Some(match table {
        "agreement" => ("agreement", &["id"]),
        "suspension" => ("suspension", &["id"]),
        "instruction_version" => ("instruction_version", &["instruction_id", "version"]),
        "instruction_term" => ("instruction_term", &["instruction_id", "version", "platform", "term"]),
        "instruction_revocation" => ("instruction_revocation", &["instruction_id"]),
        "instruction_contest" => ("instruction_contest", &["id"]),
        "instruction_confirmation" => ("instruction_confirmation", &["contest_id"]),
        "export" => ("export", &["id"]),
        "export_chunk" => ("export_chunk", &["export_id", "chunk_no"]),
        "customer" => ("customer", &["id"]),
        "external_id" => ("external_id", &["platform", "external_id"]),
        "unit" => ("unit", &["code"]),
        "membership" => ("membership", &["id"]),
        "authority" => ("authority", &["membership_id", "kind", "granted_at"]),
        "authority_suspension" => ("authority_suspension", &["membership_id", "recovery_id"]),
        "api_key" => ("api_key", &["id"]),
        "first_signatory" => ("first_signatory", &["id"]),
        "account_recovery" => ("account_recovery", &["id"]),
        "recipient" => ("recipient", &["id"]),
        "document" => ("document", &["id"]),
        "purpose" => ("purpose", &["code"]),
        "data_category" => ("data_category", &["code"]),
        "channel" => ("channel", &["platform", "code"]),
        "eea_membership" => ("eea_membership", &["country", "from_on"]),
        "public_holiday" => ("public_holiday", &["calendar", "on_date", "name"]),
        "platform" => ("platform", &["code"]),
        "platform_suspension" => ("platform_suspension", &["id"]),
        "permit_key" => ("permit_key", &["kid"]),
        "log_key" => ("log_key", &["kid"]),
        "ops_person" => ("ops_person", &["id"]),
        "log_epoch" => ("log_epoch", &["epoch"]),
        _ => return None,
    })
}

/// A part of a name as it is told: an id as everywhere, without hyphens.
fn part(value: &Value) -> String {
    let Some(text) = value.as_str() else { return value.to_string() };
    text.parse::<Uuid>().map_or_else(|_| text.to_owned(), |id| id.simple().to_string())
}

fn name(table: &'static str, parts: &[Value]) -> Name {
    (table, parts.iter().map(part).collect::<Vec<_>>().join(" "))
}

fn id(id: impl TypedId) -> Value {
    json!(id.uuid())
}

/// An instant as a number, whatever zone and precision it is written in.
fn at(instant: Instant) -> Value {
    json!(instant.millis() * 1_000)
}

fn bytes(digest: &Digest) -> Value {
    json!(format!("\\x{digest}"))
}

/// A stored column in the form in which it is stated.
fn stored(column: &str, value: &Value) -> Value {
    let is_instant = column.ends_with("_at") || ["in_force_from", "in_force_until", "valid_from", "valid_until"].contains(&column);
    match value.as_str().filter(|_| is_instant).and_then(|text| DateTime::parse_from_rfc3339(text).ok()) {
        Some(instant) => json!(instant.timestamp_micros()),
        None => value.clone(),
    }
}

impl Rows {
    /// Of the log of this name.
    #[must_use]
    pub fn of(log: &str) -> Self {
        Self { log: log.to_owned(), ..Self::default() }
    }

    fn insert(&mut self, entry: &StoredEntry, name: Name, columns: impl IntoIterator<Item = (&'static str, Value)>) {
        self.rows.insert(name, Row { at: (entry.epoch, entry.index), columns: columns.into_iter().collect() });
    }

    fn update(&mut self, entry: &StoredEntry, name: &Name, columns: impl IntoIterator<Item = (&'static str, Value)>) {
        if let Some(row) = self.rows.get_mut(name) {
            row.at = (entry.epoch, entry.index);
            row.columns.extend(columns);
        }
    }

    /// The rows of a table whose names begin with the parts, and whose column is empty.
    fn open(&self, table: &'static str, parts: &[Value], column: &str) -> Vec<Name> {
        let (_, mut first) = name(table, parts);
        if !first.is_empty() {
            first.push(' ');
        }
        let of = self.rows.range((table, first.clone())..).take_while(|((of, name), _)| *of == table && name.starts_with(&first));
        of.filter(|(_, row)| row.columns.get(column) == Some(&Value::Null)).map(|(name, _)| name.clone()).collect()
    }

    /// Takes an entry in.
    pub fn take(&mut self, entry: &StoredEntry, event: &Event) {
        self.epoch(entry, event);
        match &*self.log {
            "registry" => self.registry(entry, event),
            "processor" => self.processor(entry, event),
            _ => {
                self.gate(entry, event);
                self.institution(entry, event);
            }
        }
    }

    /// Takes a stored row, all of its columns.
    pub fn stored(&mut self, table: &str, row: &Map<String, Value>) {
        let Some((table, key)) = named_by(table) else { return self.usage(row) };
        let column = |column: &str| row.get(column).cloned().unwrap_or_default();
        let name = name(table, &key.iter().map(|key| stored(key, &column(key))).collect::<Vec<_>>());
        let Some(Row { at, columns }) = self.rows.remove(&name) else {
            self.found.push(Unequal { at: None, what: format!("the {table} {} has a row, and no entry", name.1) });
            return;
        };
        let is_stated = |(column, stated): &(&&str, &Value)| match **column {
            "last" => last(row) == **stated,
            "permit" => compared(row.get("permit"), stated),
            column => stored(column, row.get(column).unwrap_or(&Value::Null)) == **stated,
        };
        if let Some((column, _)) = columns.iter().find(|column| !is_stated(column)) {
            let what = format!("the {table} {} has another {column} than its entry", name.1);
            self.found.push(Unequal { at: Some(at), what });
        }
    }

    /// What is unequal, once all rows were taken.
    #[must_use]
    pub fn end(mut self) -> Vec<Unequal> {
        let left = self.rows.into_iter();
        self.found.extend(left.map(|((table, name), row)| {
            let what = format!("the {table} {name} has its entry, and no row");
            Unequal { at: Some(row.at), what }
        }));
        self.found
    }
}
