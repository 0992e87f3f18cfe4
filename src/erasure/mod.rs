//! Erasure: whose data refusals and ended exports were about, and the bytes of documents that nothing in
//! force cites, go when their time is over, by the one role that may take anything away, with an entry
//! that names what went. The log keeps verifying: a record holds its subjects' count and a commitment,
//! never them, and a document's hash. A list outside the database keeps what went, so that it goes again
//! after a restore. Deletion orders are not here.

mod again;
mod decide;
mod list;
mod run;
mod store;

pub use again::{BroughtBack, brought_back};
pub use list::{ErasureList, Line};
pub use run::{Erased, Retention, erase};
