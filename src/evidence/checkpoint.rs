//! Checkpoints (C2SP `tlog-checkpoint`) and proofs that stand on them (C2SP `tlog-proof`): what a
//! customer keeps. A checkpoint is signed under its own origin, so that no key of one log counts
//! for another. Pure.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::note::{LogSigningKey, Note, NoteFault, NoteKey};
use super::proof::verify_inclusion;
use crate::base::Digest;

/// The first line of a proof.
const PROOF: &str = "c2sp.org/tlog-proof@v1";

/// What a log's epoch was at a size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of the log and epoch.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree of that size (RFC 6962).
    pub root: Digest,
}

/// What is wrong with a checkpoint or a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointFault {
    /// The text is not a checkpoint without extensions.
    #[error("not a checkpoint")]
    Malformed,
    /// The text is not a proof.
    #[error("not a proof of a log")]
    MalformedProof,
    /// The note around it is wrong.
    #[error(transparent)]
    Note(#[from] NoteFault),
    /// The path does not lead from the leaf to the root.
    #[error("the proof does not lead to the checkpoint's root")]
    NotIncluded,
}

impl Checkpoint {
    /// Signs it under its origin; `None`: the origin cannot stand in a note.
    #[must_use]
    pub fn sign(&self, key: &LogSigningKey) -> Option<Note> {
        key.sign(&self.origin, &self.to_string())
    }
    /// Reads the checkpoint in a note without asking who signed it.
    ///
    /// # Errors
    /// When the text is no checkpoint.
    pub fn of(note: &Note) -> Result<Self, CheckpointFault> {
        note.text().parse()
    }
    /// Reads the checkpoint in a note that one of these public keys has signed under its origin.
    ///
    /// # Errors
    /// When it is no checkpoint, or not signed so.
    pub fn verified(note: &Note, keys: &[[u8; 32]]) -> Result<Self, CheckpointFault> {
        let read = Self::of(note)?;
        let keys: Vec<NoteKey> = keys.iter().filter_map(|key| NoteKey::new(&read.origin, *key)).collect();
        note.verify(&keys)?;
        Ok(read)
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, STANDARD.encode(self.root.0))
    }
}

impl FromStr for Checkpoint {
    type Err = CheckpointFault;
    fn from_str(text: &str) -> Result<Self, CheckpointFault> {
        let read = || {
            let mut lines = text.split('\n');
            let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
            let root = Digest::from_slice(&STANDARD.decode(root).ok()?)?;
            Some(Self { origin: origin.to_owned(), size: size.parse().ok()?, root })
        };
        // One checkpoint has one text. This service writes no extension lines, so none is its own.
        read().filter(|read| !read.origin.is_empty() && read.to_string() == text).ok_or(CheckpointFault::Malformed)
    }
}

/// That an entry stands in the log of a signed checkpoint: a receipt that a court can check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogProof {
    /// Index of the entry.
    pub index: u64,
    /// The inclusion path, from the leaf upwards.
    pub path: Vec<Digest>,
    /// The signed checkpoint.
    pub checkpoint: Note,
}

impl LogProof {
    /// Checks all of it for a leaf, and gives the checkpoint.
    ///
    /// # Errors
    /// When the checkpoint is not signed by one of the keys, or the path does not lead to its root.
    pub fn verified(&self, leaf_hash: Digest, keys: &[[u8; 32]]) -> Result<Checkpoint, CheckpointFault> {
        let checkpoint = Checkpoint::verified(&self.checkpoint, keys)?;
        let holds = verify_inclusion(leaf_hash, self.index, checkpoint.size, checkpoint.root, &self.path);
        if holds { Ok(checkpoint) } else { Err(CheckpointFault::NotIncluded) }
    }
}

impl fmt::Display for LogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{PROOF}\nindex {}", self.index)?;
        for hash in &self.path {
            writeln!(f, "{}", STANDARD.encode(hash.0))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for LogProof {
    type Err = CheckpointFault;
    fn from_str(text: &str) -> Result<Self, CheckpointFault> {
        let read = || {
            let (head, checkpoint) = text.split_once("\n\n")?;
            let mut lines = head.split('\n');
            let (PROOF, index) = (lines.next()?, lines.next()?.strip_prefix("index ")?.parse().ok()?) else { return None };
            let path = lines.map(|line| Digest::from_slice(&STANDARD.decode(line).ok()?)).collect::<Option<Vec<_>>>()?;
            Some(Self { index, path, checkpoint: checkpoint.parse().ok()? })
        };
        read().filter(|read| read.to_string() == text).ok_or(CheckpointFault::MalformedProof)
    }
}
