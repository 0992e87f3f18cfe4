//! Appending: the one way to commit an effect. An entry is a leaf (canonical JSON with a
//! commitment), the nonce and record behind it, and subjects apart, so that what is erased later
//! never hides that something was decided.

use serde::Serialize;
use serde_json::{Value, json};

use super::checkpoint::LogProof;
use super::event::{ENTRY_VERSION, Event};
use super::head;
use crate::base::{Code, Digest, EntryId, Error, Instant, Result, Selector, canonical, fresh_id, merkle_leaf, random32, sha256, to_value};
use crate::db::{Committed, LogId, WriteTx};

/// Tag of the commitment to a record.
const RECORD_TAG: &[u8] = b"mandate record v1\n";
/// Tag of the commitment to subjects.
const SUBJECTS_TAG: &[u8] = b"mandate subjects v1\n";

/// Who acted: a random reference (`mem_…`, `ops_…`, `key_…`) or `system`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor(String);

impl Actor {
    /// The actor behind an id.
    pub fn of(id: impl std::fmt::Display) -> Self {
        Self(id.to_string())
    }
    /// The service itself: a job, a sweep, the loader.
    #[must_use]
    pub fn system() -> Self {
        Self("system".to_owned())
    }
    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Subjects of an event, which stand apart from its record.
pub type Subjects = Vec<Selector>;

/// What makes an entry of the gate the one answer to an idempotency key.
#[derive(Debug, Clone)]
pub struct GateKey {
    /// The platform that asked.
    pub platform: Code,
    /// The route.
    pub route: &'static str,
    /// SHA-256 of the idempotency key, and of the canonical request.
    pub hashes: Option<(Digest, Digest)>,
}

/// An entry to be appended.
#[derive(Debug, Clone)]
pub struct NewEntry {
    /// The log it goes to.
    pub log: LogId,
    /// What it is about: a random reference.
    pub object: String,
    /// Who acted.
    pub actor: Actor,
    /// What happened.
    pub event: Event,
    /// Whose data, if it is about subjects.
    pub subjects: Option<Subjects>,
    /// For entries made at the gate.
    pub gate: Option<GateKey>,
}

impl NewEntry {
    /// An entry without subjects, not made at the gate.
    pub fn new(log: impl Into<LogId>, object: impl std::fmt::Display, actor: &Actor, event: Event) -> Self {
        Self { log: log.into(), object: object.to_string(), actor: actor.clone(), event, subjects: None, gate: None }
    }
    /// The same with subjects.
    #[must_use]
    pub fn about(mut self, subjects: Subjects) -> Self {
        self.subjects = Some(subjects);
        self
    }
    /// The same as an answer of the gate.
    #[must_use]
    pub fn at_gate(mut self, key: GateKey) -> Self {
        self.gate = Some(key);
        self
    }
}

/// Where an entry stands: the log with this size and root has this leaf at this index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Receipt {
    /// Name of the log and epoch.
    pub origin: String,
    /// Index of the entry.
    pub index: u64,
    /// SHA-256 of `0x00` and the leaf data.
    pub leaf_hash: Digest,
    /// Number of entries with it.
    pub size: u64,
    /// Root of the tree of that size.
    pub root: Digest,
    /// The same as a proof that is checked without the service (C2SP `tlog-proof`): the inclusion
    /// path, and the checkpoint of that size as a signed note. Not given at the gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
}

/// A view with the receipt of the entry that made it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Receipted<T> {
    /// What was made or changed.
    #[serde(flatten)]
    pub value: T,
    /// Where its entry stands.
    pub receipt: Receipt,
}

/// The commitment to a record under its nonce.
#[must_use]
pub fn commit_record(nonce: &[u8; 32], record: &Value) -> Digest {
    commit_record_bytes(nonce, &canonical(record))
}

/// The same for a record that is canonical JSON already.
#[must_use]
pub fn commit_record_bytes(nonce: &[u8; 32], record: &[u8]) -> Digest {
    sha256(&[RECORD_TAG, nonce, record])
}

/// The commitment to subjects under their nonce.
#[must_use]
pub fn commit_subjects(nonce: &[u8; 32], subjects: &Value) -> Digest {
    commit_subjects_bytes(nonce, &canonical(subjects))
}

/// The same for subjects that are canonical JSON already.
#[must_use]
pub fn commit_subjects_bytes(nonce: &[u8; 32], subjects: &[u8]) -> Digest {
    sha256(&[SUBJECTS_TAG, nonce, subjects])
}

/// Appends the entries, updates the heads, and commits the transaction.
///
/// # Errors
/// [`Error::Unavailable`] when the database did not take them; the effect is then not stored either.
/// [`Error::OutcomeUnknown`] when it cannot be said whether it did.
pub async fn commit(mut tx: WriteTx, entries: Vec<NewEntry>) -> Result<Vec<Receipt>> {
    let mut appended = Vec::with_capacity(entries.len());
    for entry in entries {
        appended.push(append_with_path(&mut tx, &entry).await?);
    }
    let committed = finished(tx).await?;
    appended.into_iter().map(|(receipt, path)| signed(receipt, path, &committed)).collect()
}

/// The receipt with its proof, where somebody signs.
fn signed(mut receipt: Receipt, path: Vec<Digest>, committed: &Committed) -> Result<Receipt> {
    if let Some(note) = committed.sign(&receipt.origin, receipt.size, receipt.root) {
        let checkpoint = note.parse().map_err(Error::internal)?;
        receipt.proof = Some(LogProof { index: receipt.index, path, checkpoint }.to_string());
    }
    Ok(receipt)
}

/// Appends one entry and commits: the usual end of a handler.
///
/// # Errors
/// As [`commit`].
pub async fn commit_one(tx: WriteTx, entry: NewEntry) -> Result<Receipt> {
    commit(tx, vec![entry]).await?.pop().ok_or_else(|| Error::internal("an entry without its receipt"))
}

/// Commits a transaction whose entries are appended.
///
/// # Errors
/// [`Error::Internal`] when there is none; [`Error::Unavailable`] when the database did not take them.
pub async fn finish(tx: WriteTx) -> Result<()> {
    finished(tx).await.map(drop)
}

async fn finished(tx: WriteTx) -> Result<Committed> {
    if !tx.has_entries() {
        return Err(Error::internal("an effect without its entry"));
    }
    tx.commit_with_entries().await
}

/// Appends one entry inside the transaction; [`finish`] must follow.
///
/// # Errors
/// When the log is not locked or the database does not take it.
pub async fn append(tx: &mut WriteTx, entry: &NewEntry) -> Result<Receipt> {
    append_with_path(tx, entry).await.map(|(receipt, _)| receipt)
}

/// Appends one entry; also gives its inclusion path: that of a last leaf is the edge before it.
async fn append_with_path(tx: &mut WriteTx, entry: &NewEntry) -> Result<(Receipt, Vec<Digest>)> {
    let now = tx.now();
    let row = Row::make(tx, entry, now);
    tx.act_for(entry.log).await?;
    tx.note_entry(entry.log, row.id);
    let head = tx.head(entry.log)?;
    let (epoch, index) = (head.epoch, head.size);
    let path = head.edge.iter().rev().copied().collect();
    head::push(&mut head.edge, head.size, row.leaf_hash);
    head.size += 1;
    head.last_at = now;
    head.changed = true;
    let receipt = Receipt {
        origin: origin(&head.name, epoch),
        index,
        leaf_hash: row.leaf_hash,
        size: head.size,
        root: head::root(&head.edge),
        proof: None,
    };
    super::store::insert(tx.conn(), entry, &row, epoch, &receipt).await?;
    super::tile_store::fill(tx.conn(), entry.log, epoch, receipt.size).await?;
    tx.remember(|| to_value(&receipt));
    let home = tx.home();
    tx.act_for(home).await?;
    Ok((receipt, path))
}

/// The name of a log's epoch, as receipts, permits and checkpoints carry it.
#[must_use]
pub fn origin(log_name: &str, epoch: impl std::fmt::Display) -> String {
    format!("mandate/{log_name}/{epoch}")
}

/// The columns of an entry that are computed from it.
pub(super) struct Row {
    pub id: EntryId,
    pub at: Instant,
    pub leaf: Vec<u8>,
    pub leaf_hash: Digest,
    pub nonce: [u8; 32],
    pub record: Value,
    pub subjects: Option<(Value, [u8; 32])>,
}

impl Row {
    fn make(tx: &WriteTx, entry: &NewEntry, at: Instant) -> Self {
        let tagged = to_value(&entry.event);
        let mut record = tagged.get("record").cloned().unwrap_or_else(|| json!({}));
        let subjects = entry.subjects.as_ref().map(|subjects| (to_value(subjects), random32(tx.entropy())));
        if let (Some((list, nonce)), Some(members)) = (&subjects, record.as_object_mut()) {
            let count = entry.subjects.as_ref().map_or(0, Vec::len);
            members.insert("subjects".to_owned(), json!({"count": count, "commitment": commit_subjects(nonce, list)}));
        }
        let nonce = random32(tx.entropy());
        let leaf = canonical(&json!({
            "v": ENTRY_VERSION,
            "type": entry.event.word(),
            "at": at,
            "object": entry.object,
            "actor": entry.actor.as_str(),
            "commitment": commit_record(&nonce, &record),
        }));
        let leaf_hash = merkle_leaf(&leaf);
        Self { id: fresh_id(at, tx.entropy()), at, leaf, leaf_hash, nonce, record, subjects }
    }
}
