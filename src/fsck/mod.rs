//! Checking the logs where they are kept: every head from its leaves, every record against its
//! commitment, every tile, the checkpoints kept outside, and the gate's tables against what the
//! entries rebuild, both ways. A log that fails is quarantined: the others go on. What a customer
//! checks without the service is `pack`'s.

mod decide;
mod effects;
mod passage;
mod rows;
mod run;
mod store;

pub use decide::{Difference, Passage, Reached, edge_of};
pub use effects::{Named, Unequal, compare};
pub use rows::Rows;
pub use run::{Report, Verdict, check, check_at_start, quarantined, release};
pub use store::Quarantine;
