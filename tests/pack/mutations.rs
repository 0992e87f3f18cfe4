//! Single mutations of a pack: by somebody who has the file only, who can also write its manifest anew,
//! and who has the database and the key of the logs, so that everything is hashed and signed again.

use std::io::{Cursor, Read as _, Write as _};

use mandate::base::{Instant, canonical, sha256};
use mandate::evidence::{Checkpoint, LogSigningKey, Note};
use mandate::pack::*;
use serde_json::{Value, json};

use crate::contents::{Contents, Entry, key};
use crate::world::{JONAS, id, places};

/// Numbers that a seed gives (SplitMix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
    fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// A pack that was changed once.
pub struct Mutated {
    pub pack: Vec<u8>,
    /// What the customer had received before.
    pub pinned: Vec<Note>,
}

/// The files of an archive.
#[derive(Clone, PartialEq)]
pub struct Files(pub Vec<(String, Vec<u8>)>);

impl Files {
    pub fn of(pack: &[u8]) -> Option<Self> {
        let mut zip = zip::ZipArchive::new(Cursor::new(pack)).ok()?;
        let mut files = Vec::new();
        for index in 0..zip.len() {
            let mut file = zip.by_index(index).ok()?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).ok()?;
            files.push((String::from_utf8(file.name_raw().to_vec()).ok()?, bytes));
        }
        Some(Self(files))
    }
    pub fn pack(&self) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new_stream(Vec::new());
        for (name, bytes) in &self.0 {
            zip.start_file(name.as_str(), zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }
    pub fn file(&mut self, name: &str) -> &mut Vec<u8> {
        &mut self.0.iter_mut().find(|(own, _)| own == name).unwrap_or_else(|| panic!("no {name}")).1
    }
    pub fn manifest(&mut self) -> Value {
        serde_json::from_slice(self.file(MANIFEST)).unwrap()
    }
    /// Writes a manifest and its note for what is there now.
    pub fn sealed(mut self, change: impl FnOnce(&mut Value)) -> Self {
        let mut manifest = self.manifest();
        let listed = self.0.iter().filter(|(name, _)| !name.starts_with("manifest."));
        manifest["files"] = listed.map(|(name, bytes)| json!({"name": name, "length": bytes.len(), "sha256": sha256(&[bytes])})).collect();
        change(&mut manifest);
        let bytes = canonical(&manifest);
        let customer = manifest["customer"].as_str().unwrap().parse().unwrap();
        let note = key().sign(MANIFEST_NAME, &manifest_text(customer, sha256(&[&bytes]))).unwrap();
        *self.file(MANIFEST) = bytes;
        *self.file(MANIFEST_NOTE) = note.to_string().into_bytes();
        self
    }
    fn lines(&mut self) -> Vec<Vec<u8>> {
        self.file(LOG).split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    }
}

const LOG: &str = "logs/customer/1.ndjson";

fn flip(bytes: &mut [u8], dice: &mut Dice) {
    let at = dice.below(bytes.len());
    bytes[at] ^= 1 + (dice.next() % 255) as u8;
}

/// What one who has the file alone can do, and what one can who also writes the manifest.
fn of_files(kind: &'static str, pack: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut files = Files::of(pack).unwrap();
    let size = |files: &Files| files.0.iter().find(|(name, _)| name == LOG).unwrap().1.iter().filter(|byte| **byte == b'\n').count();
    match kind {
        "archive: a byte changed" => {
            let mut pack = pack.to_vec();
            flip(&mut pack, dice);
            return pack;
        }
        "archive: truncated" => return pack[..dice.below(pack.len())].to_vec(),
        "file: a byte changed" => {
            let at = dice.below(files.0.len());
            flip(&mut files.0[at].1, dice);
        }
        "file: dropped" => {
            let at = dice.below(files.0.len());
            files.0.remove(at);
        }
        "file: dropped, sealed" => {
            let at = dice.below(files.0.len() - 2);
            files.0.remove(at);
            files = files.sealed(|_| {});
        }
        "document: a byte changed, sealed" => {
            let documents: Vec<usize> = (0..files.0.len()).filter(|at| files.0[*at].0.starts_with("documents/")).collect();
            let at = *dice.of(&documents);
            flip(&mut files.0[at].1, dice);
            files = files.sealed(|_| {});
        }
        _ => {
            let mut lines = files.lines();
            let (one, other) = (dice.below(lines.len()), dice.below(lines.len() - 1));
            match kind {
                "line: a byte changed, sealed" => flip(&mut lines[one], dice),
                "line: dropped, sealed" => drop(lines.remove(one)),
                "line: duplicated, sealed" => lines.insert(one, lines[one].clone()),
                "line: swapped with another, sealed" => lines.swap(one, if other >= one { other + 1 } else { other }),
                "line: the tail truncated, sealed" => lines.truncate(one),
                other => panic!("{other}"),
            }
            *files.file(LOG) = lines.concat();
            let size = size(&files);
            files = files.sealed(|manifest| manifest["logs"][1]["size"] = json!(size));
        }
    }
    files.pack()
}

fn checkpoint_line(contents: &Contents, checkpoint: &Checkpoint, key: &LogSigningKey) -> Vec<u8> {
    let note = checkpoint.sign(key).unwrap().to_string();
    assert!(checkpoint.origin.contains(&contents.customer.to_string()));
    [canonical(&PackCheckpoint { log: PackLog::Customer, epoch: 1, note }), b"\n".to_vec()].concat()
}

/// What the checkpoints say, by one who has the key.
fn of_heads(kind: &'static str, contents: &Contents, pack: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut files = Files::of(pack).unwrap();
    let mut head = Checkpoint::of(&contents.checkpoint(contents.log.len())).unwrap();
    match kind {
        "head: an older one" => {
            let older = Checkpoint::of(&contents.checkpoint(1 + dice.below(contents.log.len() - 1))).unwrap();
            let line = checkpoint_line(contents, &older, &key());
            let registry: Vec<u8> = files.file(CHECKPOINTS).split_inclusive(|byte| *byte == b'\n').next().unwrap().to_vec();
            *files.file(CHECKPOINTS) = [registry, line].concat();
        }
        "head: two of one size" => {
            flip(&mut head.root.0, dice);
            let line = checkpoint_line(contents, &head, &key());
            files.file(CHECKPOINTS).extend(line);
        }
        "head: signed by another key" => {
            let other = LogSigningKey::from_pem(LogSigningKey::generate_pem().unwrap().as_bytes()).unwrap();
            let line = checkpoint_line(contents, &head, &other);
            let registry: Vec<u8> = files.file(CHECKPOINTS).split_inclusive(|byte| *byte == b'\n').next().unwrap().to_vec();
            *files.file(CHECKPOINTS) = [registry, line].concat();
        }
        "manifest: a count changed, sealed" => {
            let words: Vec<String> = files.manifest()["counts"].as_object().unwrap().keys().cloned().collect();
            let word = dice.of(&words).clone();
            return files.sealed(|manifest| manifest["counts"][word] = json!(1_000)).pack();
        }
        "manifest: an erasure hidden, sealed" => {
            return files.sealed(|manifest| manifest["erased"]["subjects"] = json!({})).pack();
        }
        other => panic!("{other}"),
    }
    files.sealed(|_| {}).pack()
}

/// What is changed in the database while the checkpoints stay as they were.
fn without_key(kind: &'static str, contents: &Contents, pack: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut changed = contents.clone();
    let at = dice.below(changed.log.len());
    match kind {
        "leaf: another actor" => {
            changed.log[at].actor = "mem_00000000000000000000000000000000".to_owned();
            changed.log[at].seal();
        }
        "record: changed under its leaf" => {
            let decided: Vec<usize> = (0..contents.log.len()).filter(|at| contents.log[*at].record.get("decision").is_some()).collect();
            let entry = &mut changed.log[*dice.of(&decided)];
            entry.record["decision"]["request"]["requested_by"]["ref"] = json!(format!("somebody-{}", dice.next()));
        }
        "subjects: changed under their record" => {
            let about: Vec<usize> = (0..contents.log.len()).filter(|at| contents.log[*at].subjects.is_some()).collect();
            let entry = &mut changed.log[*dice.of(&about)];
            let list = &mut entry.subjects.as_mut().unwrap().0;
            let first = list[0].clone();
            list.as_array_mut().unwrap().push(first);
        }
        other => panic!("{other}"),
    }
    let checkpoints = Files::of(pack).unwrap().file(CHECKPOINTS).clone();
    let mut files = Files::of(&changed.pack()).unwrap();
    *files.file(CHECKPOINTS) = checkpoints;
    files.sealed(|_| {}).pack()
}

fn earlier(entry: &mut Entry) {
    entry.at = Instant::from_millis(entry.at.millis() - 86_400_000).unwrap();
    if entry.record.get("decision").is_some() {
        entry.record["decision"]["now"] = json!(entry.at);
    }
}

/// What one who has the database and the key can do: all is hashed and signed again.
fn rewritten(kind: &'static str, contents: &Contents, dice: &mut Dice) -> Contents {
    let mut changed = contents.clone();
    let log = &mut changed.log;
    let one_of = |word: &str, dice: &mut Dice| *dice.of(&places(contents, word));
    let at = match kind {
        "signature: by a member without authority" => {
            let at = one_of("instruction.signed", dice);
            log[at].record["membership"] = json!(id::<mandate::base::MembershipId>(JONAS));
            at
        }
        "subjects: gone without an entry" => {
            let about = |at: &usize| log[*at].subjects.is_some() && log[*at].word.starts_with("export.");
            let about: Vec<usize> = (0..log.len()).filter(about).collect();
            let at = *dice.of(&about);
            log[at].subjects = None;
            return changed;
        }
        "decision: a refusal of another reason" => {
            let at = one_of("export.refused", dice);
            // None of them stands in this history.
            let other = ["instruction_expired", "customer_suspended", "recipient_not_named"];
            log[at].record["decision"]["reasons"][0]["code"] = json!(dice.of(&other));
            at
        }
        "decision: another request than was decided" => {
            let other = |at: &usize| contents.log[*at].record["decision"]["request"]["purpose"] != "archiving";
            let at = *dice.of(&places(contents, "export.refused").into_iter().filter(other).collect::<Vec<_>>());
            log[at].record["decision"]["request"]["purpose"] = json!("archiving");
            at
        }
        "decision: a permit of another document" => {
            let at = one_of("export.permitted", dice);
            log[at].record["grant"]["document_sha256"] = json!(sha256(&[&dice.next().to_be_bytes()]));
            at
        }
        "entry: back-dated" => {
            let at = 1 + dice.below(log.len() - 1);
            earlier(&mut log[at]);
            at
        }
        "chunk: after the revocation, as if it were allowed" => {
            let at = one_of("export.chunk_refused", dice);
            log[at].word = "export.chunk_authorised".to_owned();
            let record = log[at].record.as_object_mut().unwrap();
            record.remove("stops");
            let decision = record["decision"].as_object_mut().unwrap();
            decision.remove("reasons");
            decision.remove("more_candidates");
            decision.insert("outcome".to_owned(), json!("allowed"));
            at
        }
        other => panic!("{other}"),
    };
    log[at].seal();
    changed
}

/// Consistent histories: nothing within the pack contradicts them, only what the customer kept does.
fn another_history(kind: &'static str, contents: &Contents, dice: &mut Dice) -> Contents {
    let mut changed = contents.clone();
    let log = &mut changed.log;
    match kind {
        "history: who asked was changed" => {
            let word = *dice.of(&["export.permitted", "export.refused"]);
            let at = *dice.of(&places(contents, word));
            log[at].record["decision"]["request"]["requested_by"]["ref"] = json!(format!("somebody-{}", dice.next()));
            log[at].seal();
        }
        "history: a dry run was removed" => {
            let at = places(contents, "export.tried")[0];
            log.remove(at);
            // What is named by its place moves with it.
            for entry in log.iter_mut() {
                let first = entry.record.pointer("/decision/again_of").and_then(Value::as_u64);
                if let Some(first) = first.filter(|first| *first > at as u64) {
                    entry.record["decision"]["again_of"] = json!(first - 1);
                    entry.seal();
                }
            }
        }
        "history: the tail was removed" => log.truncate(log.len() - 1 - dice.below(10)),
        other => panic!("{other}"),
    }
    changed
}

/// Every kind of mutation.
pub const KINDS: &[&str] = &[
    "archive: a byte changed",
    "archive: truncated",
    "file: a byte changed",
    "file: dropped",
    "file: dropped, sealed",
    "document: a byte changed, sealed",
    "line: a byte changed, sealed",
    "line: dropped, sealed",
    "line: duplicated, sealed",
    "line: swapped with another, sealed",
    "line: the tail truncated, sealed",
    "head: an older one",
    "head: two of one size",
    "head: signed by another key",
    "manifest: a count changed, sealed",
    "manifest: an erasure hidden, sealed",
    "leaf: another actor",
    "record: changed under its leaf",
    "subjects: changed under their record",
    "signature: by a member without authority",
    "subjects: gone without an entry",
    "decision: a refusal of another reason",
    "decision: another request than was decided",
    "decision: a permit of another document",
    "entry: back-dated",
    "chunk: after the revocation, as if it were allowed",
    "history: who asked was changed",
    "history: a dry run was removed",
    "history: the tail was removed",
];

/// One mutation of a kind.
pub fn mutate(kind: &'static str, contents: &Contents, pack: &[u8], dice: &mut Dice) -> Mutated {
    let mut pinned = Vec::new();
    let pack = match kind.split_once(':').unwrap().0 {
        "archive" | "file" | "document" | "line" => of_files(kind, pack, dice),
        "head" | "manifest" => of_heads(kind, contents, pack, dice),
        "leaf" | "record" => without_key(kind, contents, pack, dice),
        "subjects" if kind.contains("changed") => without_key(kind, contents, pack, dice),
        "history" => {
            pinned.push(contents.checkpoint(contents.log.len()));
            another_history(kind, contents, dice).pack()
        }
        _ => rewritten(kind, contents, dice).pack(),
    };
    Mutated { pack, pinned }
}
