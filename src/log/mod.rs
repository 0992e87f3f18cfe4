//! The logs as people and verifiers read them: entries with a plain sentence, proofs, checkpoints,
//! signed receipts, tiles (C2SP `tlog-tiles`); and the life of the keys that sign all of it. What an
//! entry is, and how it is appended, is `evidence`'s.

mod api;
mod daily;
mod decide;
mod keys;
mod store;
mod summary;

pub use api::routes;
pub use daily::{queue_daily_checkpoints, run_daily};
pub use decide::{LogKey, LogKeyState};
pub use keys::{activate_log_key, begin_with_first_log_key, list_log_keys, missing_log_key, publish_log_key, withdraw_log_key};
pub use summary::summary;
