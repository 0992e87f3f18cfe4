//! Erasure: whose data refusals and ended exports were about goes when its time is over, by the one
//! role that may take anything away, with an entry that names what went. The log keeps verifying:
//! a record holds its subjects' count and a commitment, never them. Deletion orders are not here.

mod run;
mod store;

pub use run::{Erased, erase_expired};
