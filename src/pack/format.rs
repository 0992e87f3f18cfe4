//! The format of a pack: names of its files, the manifest, and the line of an entry. `docs/pack.md`
//! describes the same for other implementations; a change of either is a new format version. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::base::{CustomerId, Digest, Instant};

/// Version of the format written today.
pub const FORMAT: u32 = 1;
/// The file that lists all others.
pub const MANIFEST: &str = "manifest.json";
/// The signed note over the manifest.
pub const MANIFEST_NOTE: &str = "manifest.note";
/// The public keys of the logs.
pub const KEYS: &str = "keys.ndjson";
/// The signed checkpoints.
pub const CHECKPOINTS: &str = "checkpoints.ndjson";
/// The name that signs manifests.
pub const MANIFEST_NAME: &str = "mandate/pack";
/// The folder of documents.
pub const DOCUMENTS: &str = "documents/";
/// Types of entries whose records a chosen period may leave out: what was refused, and what was only
/// tried. None of them changes what holds.
pub const LIMITED: [&str; 3] = ["export.refused", "export.redemption_refused", "export.tried"];

crate::words! {
    /// The logs in a pack.
    pub enum PackLog {
        /// What holds for all customers.
        Registry = "registry",
        /// The customer's own.
        Customer = "customer",
    }
}

/// The file of a log's epoch.
#[must_use]
pub fn log_file(log: PackLog, epoch: u32) -> String {
    format!("logs/{log}/{epoch}.ndjson")
}

/// The file of a document's bytes.
#[must_use]
pub fn document_file(sha256: Digest) -> String {
    format!("{DOCUMENTS}{sha256}")
}

/// A log's epoch in a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogPart {
    /// Which log.
    pub log: PackLog,
    /// Its epoch.
    pub epoch: u32,
    /// Name of log and epoch.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
}

/// The period to which refusals, dry runs and documents are limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Period {
    /// Its first instant.
    pub from_at: Instant,
    /// The first instant after it.
    pub until_at: Instant,
}

impl Period {
    /// True if the instant lies in it.
    #[must_use]
    pub fn holds(&self, at: Instant) -> bool {
        self.from_at <= at && at < self.until_at
    }
}

/// What the period has left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// Records of refusals and dry runs; their leaves are there.
    pub records: u64,
    /// Documents; their hashes are there.
    pub documents: u64,
}

/// What was erased.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erased {
    /// Subject lists, by the type of their entry.
    pub subjects: BTreeMap<String, u64>,
    /// Documents, of which length and hash stay.
    pub documents: u64,
}

/// One file of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilePart {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub length: u64,
    /// SHA-256 of them.
    pub sha256: Digest,
}

/// What a pack holds, and what it leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the format.
    pub format: u32,
    /// Version of the product that made it.
    pub product: String,
    /// When it was made.
    pub made_at: Instant,
    /// Whose evidence it is.
    pub customer: CustomerId,
    /// The logs, registry first, epochs in order.
    pub logs: Vec<LogPart>,
    /// The period, if one was chosen.
    pub period: Option<Period>,
    /// What it leaves out.
    pub left_out: LeftOut,
    /// What was erased from the customer's log.
    pub erased: Erased,
    /// Entries of the customer's log, by type.
    pub counts: BTreeMap<String, u64>,
    /// Every other file but the note over this one, in the order of the archive.
    pub files: Vec<FilePart>,
}

/// The text that is signed over the manifest's bytes.
#[must_use]
pub fn manifest_text(customer: CustomerId, sha256: Digest) -> String {
    format!("mandate pack\n{customer}\n{sha256}\n")
}

/// A public key of the logs: a line of its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackKey {
    /// SHA-256 of the key's 32 bytes.
    pub kid: String,
    /// The 32 bytes of the Ed25519 key (RFC 8032), in base64.
    pub public_key: String,
}

/// A signed checkpoint: a line of its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackCheckpoint {
    /// Which log.
    pub log: PackLog,
    /// Its epoch.
    pub epoch: u32,
    /// The signed note (C2SP `tlog-checkpoint`).
    pub note: String,
}

/// An entry: a line of a log's file, canonical JSON (RFC 8785) as a whole. The bytes of `leaf`,
/// `record` and `subjects` are those that were hashed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryLine<'a> {
    /// The leaf data.
    #[serde(borrow)]
    pub leaf: &'a RawValue,
    /// Hash of the largest complete subtree that this leaf ends: where a tree was changed, the first
    /// line that differs says so.
    pub node: Digest,
    /// Nonce of the record's commitment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<Digest>,
    /// The record; absent when the period left it out.
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    pub record: Option<&'a RawValue>,
    /// The subjects; absent when there are none, and when they were erased.
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    pub subjects: Option<&'a RawValue>,
    /// Nonce of the subjects' commitment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subjects_nonce: Option<Digest>,
}

impl EntryLine<'_> {
    /// Writes it, with its line end, in place of what the buffer holds.
    pub fn write(&self, into: &mut Vec<u8>) {
        into.clear();
        let mut raw = |before: &str, value: &[u8], after: &str| {
            into.extend_from_slice(before.as_bytes());
            into.extend_from_slice(value);
            into.extend_from_slice(after.as_bytes());
        };
        raw("{\"leaf\":", self.leaf.get().as_bytes(), "");
        raw(",\"node\":\"", hexadecimal(self.node).as_ref(), "\"");
        if let Some(nonce) = self.nonce {
            raw(",\"nonce\":\"", hexadecimal(nonce).as_ref(), "\"");
        }
        if let Some(record) = self.record {
            raw(",\"record\":", record.get().as_bytes(), "");
        }
        if let Some(subjects) = self.subjects {
            raw(",\"subjects\":", subjects.get().as_bytes(), "");
        }
        if let Some(nonce) = self.subjects_nonce {
            raw(",\"subjects_nonce\":\"", hexadecimal(nonce).as_ref(), "\"");
        }
        raw("}\n", b"", "");
    }
}

fn hexadecimal(digest: Digest) -> [u8; 64] {
    let mut text = [0; 64];
    // 64 digits fit in 64 bytes.
    hex::encode_to_slice(digest.0, &mut text).ok();
    text
}

/// The leaf data of an entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf<'a> {
    /// Version of the entry.
    pub v: u32,
    /// Word of its type.
    #[serde(rename = "type")]
    pub word: &'a str,
    /// Its time.
    pub at: Instant,
    /// What it is about: a random reference.
    pub object: &'a str,
    /// Who acted: a random reference.
    pub actor: &'a str,
    /// The commitment to the record.
    pub commitment: Digest,
}

/// Count and commitment of an entry's subjects, in its record.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectsCommitment {
    /// How many.
    pub count: u64,
    /// The commitment to them.
    pub commitment: Digest,
}

/// True if a record of this type and time may be left out.
#[must_use]
pub fn may_be_left_out(period: Option<Period>, word: &str, at: Instant) -> bool {
    LIMITED.contains(&word) && period.is_some_and(|period| !period.holds(at))
}
