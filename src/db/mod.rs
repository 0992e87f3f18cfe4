//! The database: one pool per role, transactions that name their tenant, migrations, the boot
//! guard and the private server. The only place that begins a transaction, so that no statement
//! runs without a tenant, without a locked head where it writes, or as the owner.

mod errors;
mod guard;
mod migrate;
mod pools;
pub mod server;
mod tx;
mod types;

pub use errors::{conflict_on, ensure_one};
pub use guard::check as guard;
pub use migrate::{ROLES, connect, ensure_roles, fingerprint, migrate, pending};
pub use pools::{Db, Role, RoleUrls};
pub use tx::{Head, Housekeeping, Lock, LogId, ReadTx, TenantScope, WriteTx};
