//! What a verification has found: which check, where, and what. What is wrong outweighs what cannot
//! be decided, and both outweigh the rest. Pure.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::pack::format::PackLog;

crate::words! {
    /// What is checked.
    pub enum Check {
        /// The archive, its manifest and their form.
        Form = "form",
        /// Signatures, and roots recomputed from every leaf.
        Trees = "trees",
        /// Every record and every kept subject list fits its commitment.
        Commitments = "commitments",
        /// Every document fits its SHA-256.
        Documents = "documents",
        /// Every pinned checkpoint is a beginning of its log.
        Pinned = "pinned",
        /// Every decision of the gate comes out the same when it is decided again.
        Decisions = "decisions",
        /// Every signature had its authority, every export its instruction in force; the counts agree.
        Mandates = "mandates",
        /// Every erasure has its entry.
        Erasures = "erasures",
    }
}

crate::words! {
    /// The outcome of a verification.
    pub enum Verdict {
        /// All holds.
        Verified = "verified",
        /// Something was changed, removed, reordered or back-dated.
        Tampered = "tampered",
        /// It cannot be said: something is missing, or is not known to this program.
        Undecided = "undecided",
    }
}

impl Verdict {
    /// 0 verified, 1 tampered, 2 undecided.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Verified => 0,
            Self::Tampered => 1,
            Self::Undecided => 2,
        }
    }
}

/// Where something was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The file in the pack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<PackLog>,
    /// Its epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
    /// Index of the entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
}

impl Place {
    /// A file.
    #[must_use]
    pub fn file(name: &str) -> Self {
        Self { file: Some(name.to_owned()), ..Self::default() }
    }
    /// A log's epoch.
    #[must_use]
    pub fn log(log: PackLog, epoch: u32) -> Self {
        Self { log: Some(log), epoch: Some(epoch), ..Self::default() }
    }
    /// An entry of it.
    #[must_use]
    pub fn entry(log: PackLog, epoch: u32, index: u64) -> Self {
        Self { index: Some(index), ..Self::log(log, epoch) }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.file, self.log, self.epoch, self.index) {
            (Some(file), ..) => write!(f, "file {file}"),
            (None, Some(log), Some(epoch), Some(index)) => write!(f, "entry {index} of the {log} log, epoch {epoch}"),
            (None, Some(log), Some(epoch), None) => write!(f, "the {log} log, epoch {epoch}"),
            _ => f.write_str("the pack"),
        }
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// By which check.
    pub check: Check,
    /// What it means for the verdict.
    pub verdict: Verdict,
    /// Where.
    pub place: Place,
    /// What.
    pub what: String,
}

/// How many findings are kept; the others are counted.
const KEPT: usize = 50;
/// The most characters of one.
const LONGEST: usize = 2_000;

/// What was found so far.
#[derive(Debug, Default)]
pub struct Findings {
    skipped: BTreeSet<Check>,
    tampered: Vec<Finding>,
    undecided: Vec<Finding>,
    count: u64,
}

impl Findings {
    /// Findings of all checks but these.
    pub(super) fn without(skipped: BTreeSet<Check>) -> Self {
        Self { skipped, ..Self::default() }
    }
    /// True unless the check is left out.
    pub(super) fn asks(&self, check: Check) -> bool {
        !self.skipped.contains(&check)
    }
    fn add(&mut self, check: Check, verdict: Verdict, place: Place, what: impl Into<String>) {
        if !self.asks(check) {
            return;
        }
        self.count += 1;
        let mut what = what.into();
        if let Some((end, _)) = what.char_indices().nth(LONGEST) {
            what.truncate(end);
        }
        let list = if verdict == Verdict::Tampered { &mut self.tampered } else { &mut self.undecided };
        if list.len() < KEPT {
            list.push(Finding { check, verdict, place, what });
        }
    }
    /// Notes what is wrong.
    pub(super) fn tampered(&mut self, check: Check, place: Place, what: impl Into<String>) {
        self.add(check, Verdict::Tampered, place, what);
    }
    /// Notes what cannot be decided.
    pub(super) fn undecided(&mut self, check: Check, place: Place, what: impl Into<String>) {
        self.add(check, Verdict::Undecided, place, what);
    }
    /// The outcome.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        if !self.tampered.is_empty() {
            Verdict::Tampered
        } else if !self.undecided.is_empty() {
            Verdict::Undecided
        } else {
            Verdict::Verified
        }
    }
    /// How many there are, and those that are kept: what is wrong first; entries of the customer's
    /// log before those of the registry's, the first index before all others.
    pub(super) fn into_list(mut self) -> (u64, Vec<Finding>) {
        // What names an entry leads to the cause; what names a whole log follows from it.
        self.tampered.sort_by_key(|f| (f.place.index.is_none(), f.place.log, f.place.epoch, f.place.index));
        self.tampered.append(&mut self.undecided);
        (self.count, self.tampered)
    }
}
