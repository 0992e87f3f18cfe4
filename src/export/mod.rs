//! The gate.
mod candidate;
mod decide;
pub use decide::*;
