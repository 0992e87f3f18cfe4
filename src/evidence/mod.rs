//! Evidence: append-only Merkle logs (RFC 6962), one per customer, platform, the processor and the
//! registry. Rule: no effect without its entry, no entry without its effect; the entry commits in
//! the transaction of the effect. Facts are rebuilt from entries by one pure `apply`.

mod appending;
mod decision;
mod event;
mod facts;
mod head;
mod log;
mod registry_facts;
mod running;
mod store;

pub use appending::{
    Actor, GateKey, NewEntry, Receipt, Receipted, Subjects, append, commit, commit_one, commit_record, commit_subjects, finish, origin,
};
pub use decision::*;
pub use event::*;
pub use facts::*;
pub use log::{LogView, log_by_id, logs};
pub use registry_facts::{Channel, Membership, PermitKeyState, RegistryFacts, apply_registry};
pub use running::*;
pub use store::{StoredEntry, answered, entries, head_of, page_of_entries};
