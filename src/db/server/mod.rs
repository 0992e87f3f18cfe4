//! The private Postgres server: finds the programs, makes a cluster, starts it, finds it again and stops it.
//! Protects one rule: a person who only has this binary gets a real Postgres, reachable by nobody else.
//! Synchronous on purpose (processes and files only): async callers wrap calls in `spawn_blocking`.
//! Does not speak SQL, does not create databases or roles, and does not read `DATABASE_URL`: that
//! variable comes first in the order of search and is settled by the caller before this module is asked.

mod account;
mod cluster;
mod error;
mod find;
mod layout;
mod log;
mod start;
mod wheel;

pub use cluster::{Cluster, Options, Status};
pub use error::{ServerError, Unfit};
pub use find::{Binaries, Lookup, SUPPORTED};

use std::path::PathBuf;

/// Returns the folder this installation keeps its data in: see [`Lookup::data_home`].
pub fn data_home() -> Result<PathBuf, ServerError> {
    Lookup::system().data_home()
}
