//! What the first entry of a later epoch says of those before it: how far they reach here, how far the
//! last checkpoint kept outside reached, and so which entries a restore lost. Pure.

use serde::{Deserialize, Serialize};

use crate::base::Digest;

crate::words! {
    /// How a restore was known.
    pub enum RestoreGround {
        /// Operations declared it.
        Declared = "declared",
        /// A log reaches less far than its checkpoint outside, or is not here at all.
        Shorter = "shorter",
        /// The checkpoints outside are of another system identifier or timeline.
        OtherDatabase = "other_database",
    }
}

/// The last checkpoint of an epoch that was kept outside the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownCheckpoint {
    /// Number of entries.
    pub size: u64,
    /// Root of the tree of that size.
    pub root: Digest,
}

/// An epoch that ended with a restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedEpoch {
    /// The epoch.
    pub epoch: u32,
    /// Number of entries that are here.
    pub size: u64,
    /// Root of the tree of that size.
    pub root: Digest,
    /// The last known checkpoint; absent: none was kept.
    pub known: Option<KnownCheckpoint>,
    /// Indices of the first and the last entry that the checkpoint knows of and that are not here, or are
    /// others here: at most these, where the log went on after a restore that nobody had noticed.
    pub missing: Option<(u64, u64)>,
}

impl EndedEpoch {
    /// An epoch of this size and root, of which this checkpoint was kept. `fork`: the log does not continue
    /// it; the number of entries up to which they are known to be the same.
    #[must_use]
    pub fn new(epoch: u32, size: u64, root: Digest, known: Option<KnownCheckpoint>, fork: Option<u64>) -> Self {
        let from = fork.unwrap_or(size).min(size);
        let missing = known.filter(|known| known.size > from).map(|known| (from, known.size - 1));
        Self { epoch, size, root, known, missing }
    }
    /// True if what is missing reaches from what is here to what was known.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        match (self.known, self.missing) {
            (None, None) => true,
            (Some(known), None) => known.size <= self.size,
            (Some(known), Some((from, until))) => from <= until && until + 1 == known.size && from <= self.size,
            (None, Some(_)) => false,
        }
    }
    /// True if entries are missing, or it is not known whether: nothing says how far the log had come. Of an
    /// epoch that holds its opening alone nothing is kept yet.
    #[must_use]
    pub fn has_lost(&self) -> bool {
        self.missing.is_some() || self.known.is_none() && self.size > u64::from(self.epoch > 1)
    }
    /// True if the entry of this index was lost.
    #[must_use]
    pub fn is_missing(&self, index: u64) -> bool {
        self.missing.is_some_and(|(from, until)| (from..=until).contains(&index))
    }
}

/// A log of which the database holds nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostLog {
    /// Name of the log and epoch.
    pub origin: String,
    /// What was known of it.
    pub known: KnownCheckpoint,
}
