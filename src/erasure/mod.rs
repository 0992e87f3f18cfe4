//! Erasure: whose data refusals and ended exports were about, and the bytes of documents that nothing in
//! force cites, go when their time is over, by the one role that may take anything away, with an entry
//! that names what went. The log keeps verifying: a record holds its subjects' count and a commitment,
//! never them, and a document's hash. Deletion orders are not here.

mod run;
mod store;

pub use run::{Erased, Retention, erase_expired};
