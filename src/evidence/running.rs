//! The words in which a running export is recorded: a chunk, how an export closed, and what was
//! reported against what chunks authorised. References of files stand apart from all of them. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::{Digest, ExportId, Volume, sha256};

/// Tag of the commitment to the reference of a chunk's last file.
const LAST_TAG: &[u8] = b"mandate last file v1\n";

/// What was asked for one chunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRecord {
    /// The platform's number of the chunk, once per export.
    pub chunk_no: u32,
    /// What would leave with it.
    pub volume: Volume,
    /// Commitment to the reference of its last file: the reference may point at a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Digest>,
}

/// The commitment to the reference of a last file under its nonce.
#[must_use]
pub fn commit_last(nonce: &Digest, reference: &str) -> Digest {
    sha256(&[LAST_TAG, &nonce.0, reference.as_bytes()])
}

crate::words! {
    /// How an export ended.
    pub enum Closed {
        /// Reported complete.
        Completed = "completed",
        /// Aborted, before or after its redemption.
        Aborted = "aborted",
        /// Closed by the service, because it had never ended.
        Swept = "swept",
        /// Void since a restore opened another epoch.
        Voided = "voided",
    }
}

crate::words! {
    /// How a report differs from what chunks authorised.
    pub enum Deviation {
        /// More was delivered than authorised.
        More = "more",
        /// Less was delivered than authorised.
        Fewer = "fewer",
        /// Chunks state the dimension and the report does not; for `chunks`: none was authorised.
        Missing = "missing",
    }
}

/// What a closing export is told to have delivered, against what its chunks authorised.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Reconciliation {
    /// How many chunks were authorised.
    pub chunks: u64,
    /// Their sum; a dimension that no chunk stated is absent.
    pub authorised: Volume,
    /// What goes back to the instruction's volume.
    pub returned: Volume,
    /// What differs: `rows`, `files`, `bytes`, or `chunks` when there was none.
    pub differences: BTreeMap<String, Deviation>,
}

/// One completion of a batch, or why it was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompletionRecord {
    /// The export.
    pub export: ExportId,
    /// What was delivered.
    pub delivered: Volume,
    /// SHA-256 of what was delivered.
    pub sha256: Digest,
    /// Dimensions in which more was delivered than permitted.
    pub over: std::collections::BTreeSet<String>,
    /// Against the chunks; absent when the report was not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconciled: Option<Reconciliation>,
    /// True if the service had closed the export: an entry of its own holds the report.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
    /// The conflict for which it was not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<String>,
}
