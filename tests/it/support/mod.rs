//! The harness: the real router on a database of its own, as the runtime roles, with a fixed clock
//! and seeded entropy; typed clients; and an audit that ends every test: no job left, every log
//! verifies, every decision comes out the same when decided again, nothing logged as an error.

mod audit;
mod client;
mod crashing;
mod harness;
mod logged;
mod packed;
mod proxy;
mod samples;
mod server;
mod sql;

pub use audit::audit;
pub use client::{Answer, Client, fresh_key};
pub use crashing::Crashing;
pub use harness::{Harness, LOG_KEY, PERMIT_KEY, START, run, run_crashing, run_on, run_today, run_unaudited};
pub use logged::statements;
pub use packed::packed;
pub use proxy::{Mode, Proxy, Trap};
pub use samples::*;
pub use server::{Server, Spawn, free_addresses, http, served_before};
pub use sql::*;
