//! The rows of the gate's tables as the entries of a customer's log state them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Rows, Unequal, at, bytes, id, name};
use crate::base::{Code, Digest, ExportId, Instant, InstructionId, Scope, Volume};
use crate::evidence::{ChunkRecord, DecisionRecord, Event, GrantRecord, Receipt, SINGLE_CHUNK, StoredEntry, SuspendedBy, commit_last};
use crate::export::selectors_hash;
use crate::instruction::terms;

impl Rows {
    /// Takes an entry of a customer's log in, as far as it speaks of the gate's tables.
    pub(super) fn gate(&mut self, entry: &StoredEntry, event: &Event) {
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
        let last = [("last", chunk.last.filter(|_| !is_erased).map_or(Value::Null, |last| json!(last)))];
        self.insert(
            entry,
            name("export_chunk", &[id(export), json!(chunk.chunk_no)]),
            volume(&chunk.volume).into_iter().chain(place).chain(last),
        );
    }

    /// A used volume is compared as a fact; one below nothing cannot be read as one.
    pub(super) fn usage(&mut self, row: &Map<String, Value>) {
        let column = |column: &str| row.get(column).cloned().unwrap_or_default();
        let (_, of) = name("instruction_version", &[column("instruction_id"), column("version")]);
        let at = self.rows.get(&("instruction_version", of.clone())).map(|row| row.at);
        let is_sound = |column: &str| row.get(column).is_some_and(|count| count.as_u64().is_some());
        if !["version", "rows", "files", "bytes"].into_iter().all(is_sound) {
            self.found.push(Unequal { at, what: format!("the used volume of {of} is below nothing") });
        }
    }
}

fn volume(volume: &Volume) -> [(&'static str, Value); 3] {
    [("rows", json!(volume.rows)), ("files", json!(volume.files)), ("bytes", json!(volume.bytes))]
}

/// The commitment to the reference of a chunk's last file, from the reference and its nonce.
pub(super) fn last(row: &Map<String, Value>) -> Value {
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
pub(super) fn compared(claims: Option<&Value>, stated: &Value) -> bool {
    if stated.is_null() {
        return claims.is_none_or(Value::is_null);
    }
    let (Some(mut claims), Some(stated)) = (claims.and_then(Value::as_object).cloned(), stated.as_object()) else { return false };
    let is_issued = claims.remove("iss").is_some_and(|issuer| issuer.is_string());
    let except = claims.get("except").and_then(Value::as_array).map(Vec::len);
    claims.insert("except".to_owned(), json!(except));
    is_issued && claims == *stated
}
