//! The first passage over a log: the tree from every leaf, every commitment, and what later checks
//! ask for: subjects that are not there, documents, keys of the logs, how often each type stands
//! there, and where each export is named last.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;

use super::finding::{Check, Findings, Place};
use super::stream::Lines;
use crate::base::{Digest, ExportId, Instant, merkle_leaf};
use crate::evidence::{ENTRY_VERSION, EndedEpoch, Event, commit_record_bytes, commit_subjects_bytes, push_leaf, root_of_edge};
use crate::pack::format::*;

/// Epoch and index of an entry.
pub(super) type At = (u32, u64);

/// What the first passage takes from the logs.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// Roots of the sizes asked for, and of the whole.
    pub roots: BTreeMap<(PackLog, u32, u64), Option<Digest>>,
    /// Sizes of the logs as they were read.
    pub sizes: BTreeMap<(PackLog, u32), u64>,
    /// Public keys of the logs, in the order of their publication.
    pub keys: Vec<PackKey>,
    /// Keys that were withdrawn.
    pub withdrawn: BTreeSet<String>,
    /// Entries of the customer's log, by type.
    pub counts: BTreeMap<&'static str, u64>,
    /// Entries whose subjects are not there.
    pub without_subjects: BTreeMap<At, &'static str>,
    /// By epoch, whether the subjects of each entry are there.
    pub with_subjects: BTreeMap<u32, Vec<bool>>,
    /// Entries that an erasure names, and where.
    pub erased: BTreeMap<At, At>,
    /// Documents: where stored, when, how long.
    pub documents: BTreeMap<Digest, (At, Instant, u64)>,
    /// Documents that an erasure names.
    pub erased_documents: BTreeMap<Digest, At>,
    /// Records that the period left out.
    pub left_out: u64,
    /// Where each export is named last.
    pub last_named: HashMap<ExportId, At>,
    /// Which export a permit's entry permitted, in order.
    pub permits: Vec<(At, ExportId)>,
    /// Entries that are named by an answer that was given again.
    pub asked_again: BTreeSet<At>,
    /// How earlier epochs ended, as the first entry of each later one says.
    pub opened: BTreeMap<(PackLog, u32), Vec<EndedEpoch>>,
    /// Instants of the first and the last entry of the customer's log.
    pub span: Option<(Instant, Instant)>,
}

/// The members of a record that the first passage reads.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Members {
    subjects: Option<SubjectsCommitment>,
    export: Option<ExportId>,
    grant: Option<Named>,
    completions: Vec<Named>,
    decision: Option<Again>,
}

#[derive(Debug, Deserialize)]
struct Named {
    export: ExportId,
}

#[derive(Debug, Deserialize)]
struct Again {
    #[serde(default)]
    again_of: Option<u64>,
    #[serde(default)]
    again_of_epoch: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct StoredDocument {
    sha256: Digest,
    length: u64,
}

#[derive(Debug, Deserialize)]
struct ErasedDocument {
    document_sha256: Digest,
}

#[derive(Debug, Deserialize)]
struct ErasedSubjects {
    entries: Vec<At>,
}

#[derive(Debug, Deserialize)]
struct Opening {
    ended: Vec<EndedEpoch>,
}

#[derive(Debug, Deserialize)]
struct Withdrawn {
    kid: String,
}

/// One log's passage.
pub(super) struct Passage<'a> {
    pub part: &'a LogPart,
    pub period: Option<Period>,
    pub found: &'a mut Findings,
    pub gathered: &'a mut Gathered,
}

impl Passage<'_> {
    fn place(&self, index: u64) -> Place {
        Place::entry(self.part.log, self.part.epoch, index)
    }
    fn tampered(&mut self, check: Check, index: u64, what: impl Into<String>) {
        let place = self.place(index);
        self.found.tampered(check, place, what);
    }
    fn undecided(&mut self, check: Check, index: u64, what: impl Into<String>) {
        let place = self.place(index);
        self.found.undecided(check, place, what);
    }

    /// Reads the log to its end.
    pub(super) fn run(&mut self, lines: &mut Lines) {
        let key = (self.part.log, self.part.epoch);
        let wanted: BTreeSet<u64> =
            self.gathered.roots.range((key.0, key.1, 0)..=(key.0, key.1, u64::MAX)).map(|((_, _, size), _)| *size).collect();
        let (mut edge, mut size, mut last, mut other_tree) = (Vec::new(), 0, None, false);
        let mut again = Vec::new();
        while let Some(line) = lines.next() {
            let Some((entry, leaf)) = self.read(line, size, &mut again) else { return };
            push_leaf(&mut edge, size, merkle_leaf(entry.leaf.get().as_bytes()));
            if edge.last() != Some(&entry.node) && !other_tree {
                // Every line after it differs as well.
                other_tree = true;
                self.tampered(Check::Trees, size, "the leaves up to here are not those of the tree: one was changed, removed or moved");
            }
            if last.is_some_and(|last| leaf.at < last) {
                self.tampered(Check::Trees, size, "its time lies before that of the entry before it");
            }
            last = Some(leaf.at);
            self.contents(size, &entry, &leaf);
            size += 1;
            if wanted.contains(&size) {
                self.gathered.roots.insert((key.0, key.1, size), Some(root_of_edge(&edge)));
            }
            if self.part.log == PackLog::Customer {
                let first = self.gathered.span.map_or(leaf.at, |(first, _)| first);
                self.gathered.span = Some((first, leaf.at));
            }
        }
        self.gathered.sizes.insert(key, size);
        self.gathered.roots.insert((key.0, key.1, size), Some(root_of_edge(&edge)));
    }

    /// Reads a line; `None`: it is no entry, and the rest says nothing.
    fn read<'l>(&mut self, line: &'l [u8], index: u64, again: &mut Vec<u8>) -> Option<(EntryLine<'l>, Leaf<'l>)> {
        let read = || {
            let entry: EntryLine<'l> = serde_json::from_slice(line).ok()?;
            let leaf: Leaf<'l> = serde_json::from_str(entry.leaf.get()).ok()?;
            Some((entry, leaf))
        };
        let Some((entry, leaf)) = read() else {
            self.tampered(Check::Form, index, "the line is no entry");
            return None;
        };
        entry.write(again);
        if again != line {
            self.tampered(Check::Form, index, "the line is not canonical JSON");
            return None;
        }
        Some((entry, leaf))
    }

    fn contents(&mut self, index: u64, entry: &EntryLine<'_>, leaf: &Leaf<'_>) {
        // Its place in the tree is checked all the same.
        let Some(word) = Event::known_word(leaf.word).filter(|_| leaf.v == ENTRY_VERSION) else {
            let what = format!("this program does not know entries of type {:?}, version {}", leaf.word, leaf.v);
            return self.undecided(Check::Form, index, what);
        };
        let is_customers = self.part.log == PackLog::Customer;
        if is_customers {
            *self.gathered.counts.entry(word).or_default() += 1;
        }
        let (Some(nonce), Some(record)) = (entry.nonce, entry.record) else {
            if is_customers && entry.nonce.is_none() && entry.record.is_none() && may_be_left_out(self.period, word, leaf.at) {
                self.gathered.left_out += 1;
            } else {
                self.undecided(Check::Commitments, index, "its record is missing, and the pack does not say why");
            }
            return;
        };
        if commit_record_bytes(&nonce.0, record.get().as_bytes()) != leaf.commitment {
            self.tampered(Check::Commitments, index, "its record is not the one that its leaf commits to");
        }
        let members: Members = if is_customers || record.get().contains("\"subjects\"") {
            match serde_json::from_str(record.get()) {
                Ok(members) => members,
                Err(_) => return self.undecided(Check::Commitments, index, "its record cannot be read"),
            }
        } else {
            Members::default()
        };
        self.subjects(index, entry, members.subjects, word);
        if is_customers {
            self.names(index, &members, word);
        }
        if self.remembers(index, leaf, word, record.get()).is_err() {
            self.undecided(Check::Commitments, index, "its record cannot be read");
        }
    }

    fn subjects(&mut self, index: u64, entry: &EntryLine<'_>, commitment: Option<SubjectsCommitment>, word: &'static str) {
        let at = (self.part.epoch, index);
        match (commitment, entry.subjects, entry.subjects_nonce) {
            (Some(commitment), Some(list), Some(nonce)) => {
                let count = serde_json::from_str::<Vec<serde::de::IgnoredAny>>(list.get()).map(|list| list.len() as u64);
                let fits = commit_subjects_bytes(&nonce.0, list.get().as_bytes()) == commitment.commitment;
                if !fits || count.ok() != Some(commitment.count) {
                    self.tampered(Check::Commitments, index, "its subjects are not those that its record commits to");
                }
                if self.part.log == PackLog::Customer {
                    let there = self.gathered.with_subjects.entry(self.part.epoch).or_default();
                    there.resize(usize::try_from(index).unwrap_or(usize::MAX), false);
                    there.push(true);
                }
            }
            (Some(_), None, None) if self.part.log == PackLog::Customer => {
                self.gathered.without_subjects.insert(at, word);
            }
            (None, None, None) => {}
            (None, ..) => self.tampered(Check::Commitments, index, "it has subjects that its record does not know"),
            (Some(_), ..) => self.tampered(Check::Commitments, index, "its subjects are there only in part"),
        }
    }

    /// Notes which exports the record names, and which entry it answers again.
    fn names(&mut self, index: u64, members: &Members, word: &'static str) {
        let at = (self.part.epoch, index);
        let first = |again: &Again| again.again_of.map(|index| (again.again_of_epoch.unwrap_or(self.part.epoch), index));
        if let Some(first) = members.decision.as_ref().and_then(first) {
            self.gathered.asked_again.insert(first);
            let permits = &self.gathered.permits;
            if let Ok(found) = permits.binary_search_by_key(&first, |(at, _)| *at) {
                self.gathered.last_named.insert(permits[found].1, at);
            }
        }
        if let Some(granted) = &members.grant {
            self.gathered.permits.push((at, granted.export));
        }
        if word.starts_with("export.") {
            let exports = members.export.iter().chain(members.grant.iter().chain(&members.completions).map(|named| &named.export));
            for export in exports {
                self.gathered.last_named.insert(*export, at);
            }
        }
    }

    fn remembers(&mut self, index: u64, leaf: &Leaf<'_>, word: &'static str, record: &str) -> Result<(), serde_json::Error> {
        let at = (self.part.epoch, index);
        match (self.part.log, word) {
            (_, "epoch.opened") if index > 0 || self.part.epoch == 1 => {
                self.tampered(Check::Trees, index, "an epoch is opened in the middle of another");
            }
            (log, "epoch.opened") => {
                self.gathered.opened.insert((log, self.part.epoch), serde_json::from_str::<Opening>(record)?.ended);
            }
            (PackLog::Registry, "log_key.published") => self.gathered.keys.push(serde_json::from_str(record)?),
            (PackLog::Registry, "log_key.withdrawn") => {
                self.gathered.withdrawn.insert(serde_json::from_str::<Withdrawn>(record)?.kid);
            }
            (PackLog::Customer, "document.stored") => {
                let StoredDocument { sha256, length } = serde_json::from_str(record)?;
                self.gathered.documents.insert(sha256, (at, leaf.at, length));
            }
            (PackLog::Customer, "document.erased") => {
                self.gathered.erased_documents.insert(serde_json::from_str::<ErasedDocument>(record)?.document_sha256, at);
            }
            (PackLog::Customer, "subjects.erased") => {
                for entry in serde_json::from_str::<ErasedSubjects>(record)?.entries {
                    self.gathered.erased.insert(entry, at);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Gathered {
    /// How an epoch ended, as a later one's opening says.
    pub(super) fn ended(&self, log: PackLog, epoch: u32) -> Option<&EndedEpoch> {
        let later = self.opened.range((log, epoch + 1)..=(log, u32::MAX));
        later.flat_map(|(_, ended)| ended).find(|ended| ended.epoch == epoch)
    }
}

/// Every list of subjects that is not there is named by a later entry, and no other.
pub(super) fn erasures(gathered: &Gathered, manifest: &Manifest, found: &mut Findings) {
    for (at @ (epoch, index), word) in &gathered.without_subjects {
        if gathered.erased.get(at).is_none_or(|by| by <= at) {
            let what = format!("its subjects are gone, and no entry says that they were erased ({word})");
            found.tampered(Check::Erasures, Place::entry(PackLog::Customer, *epoch, *index), what);
        }
    }
    for ((epoch, index), by) in &gathered.erased {
        let there = gathered.with_subjects.get(epoch).zip(usize::try_from(*index).ok()).and_then(|(there, index)| there.get(index));
        if there == Some(&true) {
            let what = format!("entry {} says that its subjects were erased, and they are here", by.1);
            found.tampered(Check::Erasures, Place::entry(PackLog::Customer, *epoch, *index), what);
        }
    }
    let mut kinds = BTreeMap::<String, u64>::new();
    for word in gathered.without_subjects.values() {
        *kinds.entry((*word).to_owned()).or_default() += 1;
    }
    if kinds != manifest.erased.subjects || gathered.erased_documents.len() as u64 != manifest.erased.documents {
        found.tampered(Check::Erasures, Place::file(MANIFEST), "it says otherwise how much was erased than the log does");
    }
}
