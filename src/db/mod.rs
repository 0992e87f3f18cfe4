//! The database: one pool per role, transactions that name their tenant, migrations, the boot
//! guard and the private server. The only place that begins a transaction, so that no statement
//! runs without a tenant, without a locked head where it writes, or as the owner.

mod encoding;
mod errors;
mod guard;
mod idempotency;
mod installation;
mod migrate;
mod notary;
mod pools;
mod private;
pub mod server;
mod tx;
mod watch;

pub use errors::{conflict_on, ensure_one};
pub use guard::{check as guard, check_eraser as guard_eraser};
pub use idempotency::{Claim, Claimed, IdempotencyScope, Known};
pub use installation::{Installation, Login, advance_clock, installation_at, log_in, note_world_loaded};
pub use migrate::{Migrated, ROLES, connect, ensure_roles, fingerprint, migrate, migrate_as_owner, pending};
pub use notary::{CommittedHead, Notary, Standing, watch_checkpoints};
pub use pools::{Db, Role, RoleUrls};
pub use private::{Opened, PrivateError, PrivateServer};
pub use tx::{Committed, Head, Housekeeping, Lock, LogId, ReadTx, TenantScope, WriteTx};
