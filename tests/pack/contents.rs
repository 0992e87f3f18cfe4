//! A pack taken apart: entries that can be changed and sealed again, and the archive made of them.

use chrono::Duration;
use mandate::base::{CustomerId, Digest, Instant, canonical, merkle_leaf, sha256};
use mandate::evidence::{Checkpoint, Event, LogSigningKey, Note, commit_record, commit_subjects, of_leaves, root_of};
use mandate::pack::{PackEntry, PackKey, PackLog, PackWriter, Period, document_file};
use serde_json::{Value, json};

/// The private key of these tests only.
pub const KEY: &str = include_str!("../vectors/packs/key.pem");

pub fn key() -> LogSigningKey {
    LogSigningKey::from_pem(KEY.as_bytes()).unwrap()
}

/// An entry with what its leaf is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub at: Instant,
    pub word: String,
    pub object: String,
    pub actor: String,
    pub record: Value,
    pub nonce: Digest,
    pub subjects: Option<(Value, Digest)>,
    pub leaf: Vec<u8>,
}

impl Entry {
    /// An entry of an event; nonces are made of its number.
    pub fn new(number: u64, at: Instant, event: &Event, subjects: Option<Value>) -> Self {
        let record = serde_json::to_value(event).unwrap()["record"].take();
        let nonce = |purpose: &[u8]| sha256(&[purpose, &number.to_be_bytes()]);
        let mut entry = Self {
            at,
            word: event.word().to_owned(),
            object: format!("obj_{number:032x}"),
            actor: "system".to_owned(),
            record,
            nonce: nonce(b"record"),
            subjects: subjects.map(|list| (list, nonce(b"subjects"))),
            leaf: Vec::new(),
        };
        entry.seal();
        entry
    }
    /// Commits to the record and subjects as they are now.
    pub fn seal(&mut self) {
        if let Some((list, nonce)) = &self.subjects {
            let count = list.as_array().map_or(0, Vec::len);
            self.record["subjects"] = json!({"count": count, "commitment": commit_subjects(&nonce.0, list)});
        }
        self.leaf = canonical(&json!({
            "v": 1, "type": self.word, "at": self.at, "object": self.object, "actor": self.actor,
            "commitment": commit_record(&self.nonce.0, &self.record),
        }));
    }
    pub fn packed(&self) -> PackEntry {
        PackEntry { leaf: self.leaf.clone(), record: (self.nonce, self.record.clone()), subjects: self.subjects.clone() }
    }
}

/// All that a pack is made of.
#[derive(Debug, Clone)]
pub struct Contents {
    pub customer: CustomerId,
    pub registry: Vec<Entry>,
    pub log: Vec<Entry>,
    pub documents: Vec<(Digest, Vec<u8>)>,
    pub period: Option<Period>,
}

impl Contents {
    /// The keys that the registry has published.
    pub fn keys(&self) -> Vec<PackKey> {
        let published = self.registry.iter().filter(|entry| entry.word == "log_key.published");
        published.map(|entry| serde_json::from_value(entry.record.clone()).unwrap()).collect()
    }
    /// The archive, signed with a key.
    pub fn pack_with(&self, key: &LogSigningKey) -> Vec<u8> {
        let made_at = self.log.last().map_or_else(|| Instant::from_millis(0).unwrap(), |entry| entry.at.plus(Duration::hours(1)));
        let mut writer = PackWriter::new(Vec::new(), self.customer, made_at, self.period);
        writer.keys(&self.keys()).unwrap();
        for (log, name, entries) in
            [(PackLog::Registry, "registry".to_owned(), &self.registry), (PackLog::Customer, self.customer.to_string(), &self.log)]
        {
            writer.begin_log(log, 1, &format!("mandate/{name}/1")).unwrap();
            for entry in entries {
                writer.entry(&entry.packed()).unwrap();
            }
        }
        let stored: Vec<&Entry> = self.log.iter().filter(|entry| entry.word == "document.stored").collect();
        for (sha256, bytes) in &self.documents {
            let stored = stored.iter().find(|entry| entry.record["sha256"] == sha256.to_string());
            if stored.is_some_and(|entry| self.period.is_some_and(|period| !period.holds(entry.at))) {
                writer.left_out_document();
                continue;
            }
            writer.begin(&document_file(*sha256)).unwrap();
            writer.write(bytes).unwrap();
        }
        for _ in self.log.iter().filter(|entry| entry.word == "document.erased") {
            writer.erased_document();
        }
        writer.finish(|name, text| key.sign(name, text)).unwrap().0
    }
    pub fn pack(&self) -> Vec<u8> {
        self.pack_with(&key())
    }
    /// The checkpoint of the first entries of the customer's log, as the customer received it.
    pub fn checkpoint(&self, size: usize) -> Note {
        let leaves: Vec<Digest> = self.log[..size].iter().map(|entry| merkle_leaf(&entry.leaf)).collect();
        let root = root_of(size as u64, of_leaves(&leaves)).unwrap();
        Checkpoint { origin: format!("mandate/{}/1", self.customer), size: size as u64, root }.sign(&key()).unwrap()
    }
}
