//! Evidence: append-only Merkle logs (RFC 6962), one per customer, platform, the processor and the
//! registry. Rule: no effect without its entry, no entry without its effect; the entry commits in
//! the transaction of the effect. Facts are rebuilt from entries by one pure `apply`.

mod appending;
mod checkpoint;
mod decision;
#[cfg(test)]
mod differential;
mod epoch;
mod event;
mod facts;
mod head;
mod log;
mod notary;
mod note;
#[cfg(test)]
mod note_tests;
mod outside;
mod proof;
mod registry_facts;
mod running;
mod store;
mod supplied;
mod tile;
mod tile_store;

pub use appending::{
    Actor, GateKey, NewEntry, Receipt, Receipted, Subjects, append, commit, commit_one, commit_record, commit_record_bytes,
    commit_subjects, commit_subjects_bytes, finish, origin,
};
pub use checkpoint::{Checkpoint, CheckpointFault, LogProof};
pub use decision::*;
pub use epoch::{EndedEpoch, KnownCheckpoint, LostLog, RestoreGround};
pub use event::*;
pub use facts::*;
pub use head::{push as push_leaf, root as root_of_edge};
pub use log::{LogView, head_by_id, log_by_id, logs};
pub use notary::{LogNotary, run_notary, signed_head};
pub use note::{LogSigningKey, Note, NoteFault, NoteKey, NoteSignature};
pub use outside::{KeptCheckpoint, Outside};
pub use proof::{
    Node, consistency, consistency_nodes, inclusion, inclusion_nodes, of_leaves, root_from_inclusion, root_nodes, root_of,
    verify_consistency, verify_inclusion,
};
pub use registry_facts::{Channel, Membership, PermitKeyState, RegistryFacts, apply_registry};
pub use running::*;
pub use store::{
    EntryFilter, StoredEntry, answered, begin_quarantine, entries, entry_by_id, head_of, leaves, page_of_entries, place, root_at,
    size_of_epoch,
};
pub use supplied::{
    SuppliedEntry, keep_supplied, size_with_supplied, supplied_consistency, supplied_entries, supplied_inclusion, supplied_place,
};
pub use tile::{NotATilePath, TILE_WIDTH, Tile, TilePath, Tiles, bundle, tile_root};
pub use tile_store::{Tree, consistency_proof, inclusion_proof, stored_tile, stored_tiles, tile_hashes};
