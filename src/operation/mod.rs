//! Slow work: 202 and an address under `/operations` that shows progress, then the result or a
//! problem. An operation is a row and the envelope of a job, so it survives a restart; it belongs to
//! the customer and to who asked, and is forgotten after 30 days. It changes no facts and so makes
//! no entry. What is done is the kind's: a function from a running operation to its result.

mod api;
mod store;
mod view;
mod worker;

pub use api::routes;
pub use store::{Running, begin, sweep_operations};
pub use view::{Accepted, OperationView};
pub use worker::{Finished, Work, Works, run, run_due};
