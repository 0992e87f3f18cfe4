//! The rows of the gate's tables as the entries state them, column by column, against those that the
//! tables hold. `effects` compares what a decision reads; this, what is shown, looked up and cited
//! besides: times, places in the log, who acted, terms, permits, reports. Pure.

use std::collections::BTreeMap;

use chrono::DateTime;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::effects::Unequal;
use crate::base::{Code, Digest, ExportId, Instant, InstructionId, Scope, TypedId, Volume};
use crate::evidence::{ChunkRecord, DecisionRecord, Event, GrantRecord, Receipt, SINGLE_CHUNK, StoredEntry, SuspendedBy, commit_last};
use crate::export::selectors_hash;
use crate::instruction::terms;

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

/// The columns by which a row is named, of every table that is compared. The first is an id.
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

    /// Takes an entry in.
    pub fn take(&mut self, entry: &StoredEntry, event: &Event) {
        let now = at(entry.at);
        match event {
            Event::AgreementPrepared { .. }
            | Event::AgreementOffered { .. }
            | Event::AgreementAccepted { .. }
            | Event::AgreementTerminated { .. } => self.agreement(entry, event),
            Event::CustomerSuspended { suspension, made_by, ground } => {
                let columns = [
                    ("made_by", json!(SuspendedBy::word(*made_by))),
                    ("ground", json!(ground)),
                    ("suspended_at", now),
                    ("released_at", Value::Null),
                ];
                self.insert(entry, name("suspension", &[id(*suspension)]), columns);
            }
            Event::CustomerReleased { suspension, .. } => {
                self.update(entry, &name("suspension", &[id(*suspension)]), [("released_at", now)])
            }
            Event::InstructionSigned { .. } => self.signed(entry, event),
            Event::InstructionRevoked { instruction, membership } => {
                let columns = [("revoked_at", now), ("revoked_by", id(*membership))];
                self.insert(entry, name("instruction_revocation", &[id(*instruction)]), columns);
            }
            Event::InstructionContested { contest, instruction, version, ground } => {
                let columns =
                    [("instruction_id", id(*instruction)), ("version", json!(version)), ("ground", json!(ground)), ("contested_at", now)];
                self.insert(entry, name("instruction_contest", &[id(*contest)]), columns);
            }
            Event::InstructionConfirmed { contest, document, membership, .. } => {
                let columns = [("document_id", id(*document)), ("confirmed_at", now), ("confirmed_by", id(*membership))];
                self.insert(entry, name("instruction_confirmation", &[id(*contest)]), columns);
            }
            _ => self.export(entry, event),
        }
    }

    fn agreement(&mut self, entry: &StoredEntry, event: &Event) {
        let now = at(entry.at);
        match event {
            Event::AgreementPrepared { agreement, version, platform, external_id, contact, document, document_sha256, .. } => {
                let open = ["offered_at", "accepted_at", "accepted_by", "in_force_from", "in_force_until", "terminated_at"];
                let columns = [
                    ("version", json!(version)),
                    ("platform", json!(platform)),
                    ("external_id", json!(external_id)),
                    ("parameters", entry.record.get("parameters").cloned().unwrap_or_default()),
                    ("contact", json!(contact)),
                    ("document_id", id(*document)),
                    ("document_sha256", bytes(document_sha256)),
                    ("prepared_at", now),
                ];
                let open = open.map(|column| (column, Value::Null));
                self.insert(entry, name("agreement", &[id(*agreement)]), columns.into_iter().chain(open));
            }
            Event::AgreementOffered { agreement } => self.update(entry, &name("agreement", &[id(*agreement)]), [("offered_at", now)]),
            Event::AgreementAccepted { agreement, membership, in_force_from_at, in_force_until_at, .. } => {
                let columns = [
                    ("accepted_at", now),
                    ("accepted_by", id(*membership)),
                    ("in_force_from", at(*in_force_from_at)),
                    ("in_force_until", in_force_until_at.map_or(Value::Null, at)),
                ];
                self.update(entry, &name("agreement", &[id(*agreement)]), columns);
            }
            Event::AgreementTerminated { agreement, in_force_until_at } => {
                let name = name("agreement", &[id(*agreement)]);
                // It says when it was terminated first.
                let before = self.rows.get(&name).and_then(|row| row.columns.get("terminated_at")).filter(|at| !at.is_null());
                let columns = [("terminated_at", before.cloned().unwrap_or(now)), ("in_force_until", at(*in_force_until_at))];
                self.update(entry, &name, columns);
            }
            _ => {}
        }
    }

    fn signed(&mut self, entry: &StoredEntry, event: &Event) {
        let Event::InstructionSigned {
            instruction,
            version,
            kind,
            scope,
            valid_from_at,
            valid_until_at,
            document,
            document_sha256,
            membership,
        } = event
        else {
            return;
        };
        let mut columns = BTreeMap::from([
            ("kind", json!(kind)),
            ("scope", entry.record.get("scope").cloned().unwrap_or_default()),
            ("document_id", id(*document)),
            ("document_sha256", bytes(document_sha256)),
            ("valid_from", at(*valid_from_at)),
            ("valid_until", valid_until_at.map_or(Value::Null, at)),
            ("signed_at", at(entry.at)),
            ("signed_by", id(*membership)),
            ("signed_epoch", json!(entry.epoch)),
            ("signed_index", json!(entry.index)),
        ]);
        columns.extend(entry.subjects.as_ref().map(|(subjects, _)| ("subjects", subjects.clone())));
        self.insert(entry, name("instruction_version", &[id(*instruction), json!(version)]), columns);
        self.terms(entry, (*instruction, *version), scope, &terms(*kind, scope));
    }

    fn terms(&mut self, entry: &StoredEntry, (instruction, version): (InstructionId, u32), scope: &Scope, terms: &[String]) {
        for platform in &scope.platforms {
            for term in terms {
                let parts = [id(instruction), json!(version), json!(platform), json!(term)];
                self.insert(entry, name("instruction_term", &parts), []);
            }
        }
    }

    fn export(&mut self, entry: &StoredEntry, event: &Event) {
        let now = at(entry.at);
        let mut ended = |export: ExportId, how: &'static str, report: Value| {
            let columns = [(how, now.clone()), ("report", report)];
            self.update(entry, &name("export", &[id(export)]), columns);
        };
        match event {
            Event::ExportPermitted { decision, grant } => self.permitted(entry, decision, grant),
            Event::ExportPermittedSingle { decision, grant } => {
                self.permitted(entry, decision, grant);
                self.update(entry, &name("export", &[id(grant.export)]), [("redeemed_at", at(decision.now))]);
                let chunk = ChunkRecord { chunk_no: SINGLE_CHUNK, volume: decision.request.volume, last: None };
                self.authorised(entry, grant.export, &chunk, decision.now);
            }
            Event::ExportRedeemed { export, decision, .. } => {
                self.update(entry, &name("export", &[id(*export)]), [("redeemed_at", at(decision.now))]);
            }
            Event::ChunkAuthorised { export, chunk, decision } => self.authorised(entry, *export, chunk, decision.now),
            Event::ChunkRefused { export, stops: true, decision, .. } => {
                let name = name("export", &[id(*export)]);
                // The refusal that stopped it first.
                if self.rows.get(&name).is_some_and(|row| row.columns.get("stopped_at") == Some(&Value::Null)) {
                    self.update(entry, &name, [("stopped_at", at(decision.now)), ("stopped_index", json!(entry.index))]);
                }
            }
            Event::ExportCompleted { export, reconciled: Some(_), .. } => ended(*export, "completed_at", entry.record.clone()),
            Event::ExportAborted { export, reconciled: Some(_), .. } => ended(*export, "aborted_at", entry.record.clone()),
            Event::ExportSwept { export, .. } => ended(*export, "swept_at", entry.record.clone()),
            Event::ExportsCompleted { completions } => {
                let took = completions.iter().filter(|completion| !completion.late && completion.reconciled.is_some());
                took.for_each(|completion| ended(completion.export, "completed_at", json!(completion)));
            }
            Event::ExportReportedLate { export, .. } => {
                self.update(entry, &name("export", &[id(*export)]), [("late_report", entry.record.clone())]);
            }
            _ => {}
        }
    }

    fn permitted(&mut self, entry: &StoredEntry, decision: &DecisionRecord, grant: &GrantRecord) {
        let member = |pointer: &str| entry.record.pointer(pointer).cloned().unwrap_or_default();
        let mut columns = BTreeMap::from([
            ("platform", json!(decision.request.platform)),
            ("instruction_id", id(grant.instruction.id)),
            ("instruction_version", json!(grant.instruction.version)),
            ("agreement_id", id(grant.agreement)),
            ("agreement_version", json!(grant.agreement_version)),
            ("request", member("/decision/request")),
            ("granted", member("/grant")),
            ("permit", permit(entry, &self.log, decision, grant)),
            ("epoch", json!(entry.epoch)),
            ("index", json!(entry.index)),
            ("day", json!(grant.day)),
            ("decided_at", at(decision.now)),
            ("expires_at", at(grant.expires_at)),
        ]);
        let open = ["redeemed_at", "completed_at", "aborted_at", "swept_at", "report", "late_report", "last_chunk_no", "last_chunk_at"];
        columns.extend(open.into_iter().chain(["stopped_at", "stopped_index"]).map(|column| (column, Value::Null)));
        columns.extend(volume(&decision.request.volume));
        match &entry.subjects {
            Some((subjects, _)) => drop(columns.insert("subjects", subjects.clone())),
            // Erased, and the claims with them, which hold their hash.
            None => columns.extend([("subjects", Value::Null), ("permit", Value::Null)]),
        }
        self.insert(entry, name("export", &[id(grant.export)]), columns);
    }

    fn authorised(&mut self, entry: &StoredEntry, export: ExportId, chunk: &ChunkRecord, now: Instant) {
        let sum = [
            ("last_chunk_no", json!(chunk.chunk_no)),
            ("last_chunk_at", at(now)),
            ("stopped_at", Value::Null),
            ("stopped_index", Value::Null),
        ];
        self.update(entry, &name("export", &[id(export)]), sum);
        let place = [("epoch", json!(entry.epoch)), ("index", json!(entry.index)), ("authorised_at", at(now))];
        // The reference of a last file goes with the subjects of its export.
        let is_erased = self.rows.get(&name("export", &[id(export)])).is_some_and(|row| row.columns.get("permit") == Some(&Value::Null));
        let last = (!is_erased).then(|| ("last", chunk.last.map_or(Value::Null, |last| json!(last))));
        self.insert(
            entry,
            name("export_chunk", &[id(export), json!(chunk.chunk_no)]),
            volume(&chunk.volume).into_iter().chain(place).chain(last),
        );
    }

    /// Takes a stored row, all of its columns.
    pub fn stored(&mut self, table: &str, row: &Map<String, Value>) {
        let Some((table, key)) = named_by(table) else { return self.usage(row) };
        let column = |column: &str| row.get(column).cloned().unwrap_or_default();
        let name = name(table, &key.iter().map(|key| column(key)).collect::<Vec<_>>());
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

    /// A used volume is compared as a fact; one below nothing cannot be read as one.
    fn usage(&mut self, row: &Map<String, Value>) {
        let column = |column: &str| row.get(column).cloned().unwrap_or_default();
        let (_, of) = name("instruction_version", &[column("instruction_id"), column("version")]);
        let at = self.rows.get(&("instruction_version", of.clone())).map(|row| row.at);
        let is_sound = |column: &str| row.get(column).is_some_and(|count| count.as_u64().is_some());
        if !["version", "rows", "files", "bytes"].into_iter().all(is_sound) {
            self.found.push(Unequal { at, what: format!("the used volume of {of} is below nothing") });
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

fn volume(volume: &Volume) -> [(&'static str, Value); 3] {
    [("rows", json!(volume.rows)), ("files", json!(volume.files)), ("bytes", json!(volume.bytes))]
}

/// The commitment to the reference of a chunk's last file, from the reference and its nonce.
fn last(row: &Map<String, Value>) -> Value {
    let text = |column: &str| row.get(column).and_then(Value::as_str);
    let nonce = text("last_nonce").and_then(|nonce| nonce.strip_prefix("\\x")?.parse::<Digest>().ok());
    text("last_reference").zip(nonce).map_or(Value::Null, |(reference, nonce)| json!(commit_last(&nonce, reference)))
}

/// The claims of a permit, as far as its entry states them: who issued it is the installation's, and of
/// the selectors excepted only the number is recorded.
fn permit(entry: &StoredEntry, log: &str, decision: &DecisionRecord, grant: &GrantRecord) -> Value {
    let Receipt { origin, index, leaf_hash, size, root, .. } = entry.receipt(log);
    let request = &decision.request;
    let categories: Vec<&Code> = request.data_categories.iter().collect();
    let mut claims = json!({
        "aud": request.platform, "jti": grant.export,
        "iat": grant.issued_at.seconds(), "nbf": grant.issued_at.seconds(), "exp": grant.expires_at.seconds(),
        "customer": log,
        "instruction": {"id": grant.instruction.id, "version": grant.instruction.version, "document_sha256": grant.document_sha256},
        "agreement": {"id": grant.agreement, "version": grant.agreement_version},
        "scope": {"channel": request.channel, "purpose": request.purpose, "data_categories": categories, "recipient": request.recipient},
        "volume": request.volume,
        "except": decision.subject_verdict.except_count,
        "log": {"origin": origin, "index": index, "leaf_hash": leaf_hash, "size": size, "root": root},
    });
    if let Ok(Some(subjects)) = entry.selectors() {
        let salt = grant.selectors_salt;
        claims["selectors"] = json!({"count": subjects.len(), "salt": salt, "sha256": selectors_hash(&salt, &subjects)});
    }
    claims
}

/// True if the claims are those stated.
fn compared(claims: Option<&Value>, stated: &Value) -> bool {
    if stated.is_null() {
        return claims.is_none_or(Value::is_null);
    }
    let (Some(mut claims), Some(stated)) = (claims.and_then(Value::as_object).cloned(), stated.as_object()) else { return false };
    let is_issued = claims.remove("iss").is_some_and(|issuer| issuer.is_string());
    let except = claims.get("except").and_then(Value::as_array).map(Vec::len);
    claims.insert("except".to_owned(), json!(except));
    is_issued && claims == *stated
}
