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
    /// Indices of the first and the last entry that the checkpoint knows of and that are not here.
    pub missing: Option<(u64, u64)>,
}

impl EndedEpoch {
    /// An epoch of this size and root, of which this checkpoint was kept.
    #[must_use]
    pub fn new(epoch: u32, size: u64, root: Digest, known: Option<KnownCheckpoint>) -> Self {
        Self { epoch, size, root, known, missing: missing(size, known) }
    }
    /// True if the missing entries are those between what is here and what was known.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        self.missing == missing(self.size, self.known)
    }
}

fn missing(size: u64, known: Option<KnownCheckpoint>) -> Option<(u64, u64)> {
    known.filter(|known| known.size > size).map(|known| (size, known.size - 1))
}

/// A log of which the database holds nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostLog {
    /// Name of the log and epoch.
    pub origin: String,
    /// What was known of it.
    pub known: KnownCheckpoint,
}
