//! Transactions. A write locks the logs' heads before anything else (registry first, then heads in
//! id order) and then reads `now`: the head is the point at which everything a customer does is in
//! one order. A read never locks. Neither exists without a tenant.

mod commit;
mod head;
mod tenant;

pub use commit::Committed;
use head::{check_clock, insert_log, lock_head, lock_registry};
pub(super) use tenant::set_tenant;

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::Transaction;
use sqlx::postgres::{PgConnection, Postgres};
use uuid::{Uuid, uuid};

use super::idempotency::Claim;
use super::{Db, Role};
use crate::base::{CustomerId, Digest, Entropy, EntryId, Error, Instant, Result, TypedId};

/// The name of a log: a customer's id, or a reserved one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub Uuid);

impl LogId {
    /// Facts that hold for all customers.
    pub const REGISTRY: Self = Self(uuid!("00000000-0000-7000-8000-000000000001"));
    /// The processor's own acts.
    pub const PROCESSOR: Self = Self(uuid!("00000000-0000-7000-8000-000000000002"));
}
impl From<CustomerId> for LogId {
    /// A customer's log. No customer has a reserved id, however well-formed the text it came from:
    /// such a one names no log.
    fn from(customer: CustomerId) -> Self {
        let log = Self(customer.uuid());
        if [Self::REGISTRY, Self::PROCESSOR].contains(&log) { Self(Uuid::nil()) } else { log }
    }
}

/// Proof that somebody vouched for this tenant: a credential of that customer, an ops route that
/// names it in its path, a gate batch, or a claimed job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantScope(CustomerId);

impl TenantScope {
    /// Only extractors of callers, the gate and claimed jobs call this (`tests/tidy` holds it).
    pub(crate) const fn vouched(customer: CustomerId) -> Self {
        Self(customer)
    }
    /// The tenant.
    #[must_use]
    pub const fn customer(self) -> CustomerId {
        self.0
    }
}

/// A locked head: what the next entry builds on.
#[derive(Debug, Clone)]
pub struct Head {
    /// Epoch of the log.
    pub epoch: i32,
    /// Entries so far.
    pub size: u64,
    /// Roots of the tree's complete subtrees, largest first.
    pub edge: Vec<Digest>,
    /// Time of the last entry.
    pub last_at: Instant,
    /// The log's text name.
    pub name: String,
    /// True once this transaction has appended to it.
    pub changed: bool,
}

/// What a write holds besides the heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// Heads only.
    Heads,
    /// The registry's lock, shared: its facts stand still (every gate batch).
    RegistryShared,
    /// The registry's lock, alone: its facts change.
    RegistryAlone,
}

/// Whether a write opens the next epoch of its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opens {
    Nothing,
    Epoch,
}

/// A transaction that writes: heads locked, `now` read after them.
pub struct WriteTx {
    tx: Transaction<'static, Postgres>,
    role: Role,
    home: LogId,
    /// The tenant that is set.
    acting: LogId,
    now: Instant,
    heads: BTreeMap<LogId, Head>,
    /// Its first entry: there if all of it is.
    written: Option<(LogId, EntryId)>,
    db: Db,
    claim: Option<Arc<Claim>>,
    receipts: Vec<serde_json::Value>,
}

/// A transaction that only reads, in one snapshot, as one tenant.
pub struct ReadTx {
    tx: Transaction<'static, Postgres>,
    now: Instant,
}

/// True if the role may act for a log of this kind. Ops acts for what its routes name as a customer,
/// and a platform's log has an id of the same form that is no customer's.
fn is_tenant(role: Role, kind: &str) -> bool {
    role != Role::Ops || kind != "platform"
}

impl Db {
    /// Begins a write whose home is `home`, with the heads of `home` and `others` locked.
    ///
    /// # Errors
    /// [`Error::NotFound`] when a log does not exist; [`Error::Unavailable`] when a lock is not
    /// granted in time or a clock is off.
    pub async fn write(&self, role: Role, name: &'static str, lock: Lock, home: LogId, others: &[LogId]) -> Result<WriteTx> {
        tracing::trace!(transaction = name, "begin");
        let mut tx = self.begin(role).await?;
        lock_registry(&mut tx, lock).await?;
        self.locked(tx, role, home, others, Opens::Nothing).await
    }

    /// Begins the opening of a log's next epoch, of whatever kind it is: the one write that may be made
    /// while a restore is taken in, and to a log in quarantine, since it does not go on with its tree.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn write_opening(&self, name: &'static str, lock: Lock, log: LogId) -> Result<WriteTx> {
        tracing::trace!(transaction = name, "begin");
        let mut tx = self.begin(Role::Ops).await?;
        lock_registry(&mut tx, lock).await?;
        self.locked(tx, Role::Ops, log, &[], Opens::Epoch).await
    }

    /// Begins a write whose home is a log that this transaction creates: a new customer's, whose
    /// first entry is its own registration. Without a commit the log does not exist either.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn write_new_log(&self, role: Role, name: &'static str, log: LogId, text_name: &str) -> Result<WriteTx> {
        tracing::trace!(transaction = name, "begin");
        let mut tx = self.begin(role).await?;
        set_tenant(&mut tx, role, log).await?;
        insert_log(&mut tx, log, "customer", text_name).await?;
        self.locked(tx, role, log, &[], Opens::Nothing).await
    }

    /// Locks the heads in id order and reads `now` after them.
    async fn locked(
        &self,
        mut tx: Transaction<'static, Postgres>,
        role: Role,
        home: LogId,
        others: &[LogId],
        opens: Opens,
    ) -> Result<WriteTx> {
        let mut ids: Vec<LogId> = others.to_vec();
        ids.push(home);
        ids.sort_unstable();
        ids.dedup();
        let mut heads = BTreeMap::new();
        let (mut now, mut acting) = (None, home);
        for id in ids {
            let tenant = set_tenant(&mut tx, role, id).await?;
            if opens == Opens::Nothing {
                tenant.may_write()?;
            }
            acting = id;
            let row =
                lock_head(&mut tx, id).await?.filter(|row| opens == Opens::Epoch || is_tenant(role, &row.kind)).ok_or(Error::NotFound)?;
            self.clock().set_offset_millis(row.offset);
            let read = self.clock().now();
            check_clock(read, &row, self.clock().is_system())?;
            now = Some(now.unwrap_or(read).max(read).max(row.last_at));
            heads.insert(id, row.into_head()?);
        }
        let now = now.ok_or_else(|| Error::internal("a write has a head"))?;
        let (db, claim) = (self.clone(), Claim::held());
        let mut tx = WriteTx { tx, role, home, acting, now, heads, written: None, db, claim, receipts: Vec::new() };
        tx.act_for(home).await?;
        Ok(tx)
    }

    /// Begins a read as one tenant.
    ///
    /// # Errors
    /// [`Error::NotFound`] when ops reads as a customer that does not exist; [`Error::Quarantined`] when
    /// its log failed a check; [`Error::Unavailable`] when no connection is free.
    pub async fn read(&self, role: Role, name: &'static str, home: LogId) -> Result<ReadTx> {
        let (read, tenant) = self.begin_read(role, name, home).await?;
        tenant.may_read(role, home)?;
        Ok(read)
    }

    /// The same whether the log is in quarantine or not: for checking it. The effects of logs that are no
    /// customer's are read by the role of operations.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn read_to_check(&self, name: &'static str, home: LogId) -> Result<ReadTx> {
        let role = if [LogId::REGISTRY, LogId::PROCESSOR].contains(&home) { Role::Ops } else { Role::App };
        self.begin_read(role, name, home).await.map(|(read, _)| read)
    }

    async fn begin_read(&self, role: Role, name: &'static str, home: LogId) -> Result<(ReadTx, tenant::Tenant)> {
        tracing::trace!(transaction = name, "begin");
        let mut tx = self.begin(role).await?;
        sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").execute(&mut *tx).await?;
        let tenant = set_tenant(&mut tx, role, home).await?;
        if role == Role::Ops && !tenant.kind.as_ref().is_some_and(|kind| is_tenant(role, kind)) {
            return Err(Error::NotFound);
        }
        self.clock().set_offset_millis(tenant.offset);
        Ok((ReadTx { tx, now: self.clock().now() }, tenant))
    }

    /// Begins a transaction for housekeeping (last use, slow-down, attempts, sessions): tables that
    /// hold no facts, by grant. It commits without an entry.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when no connection is free.
    pub async fn housekeeping(&self, role: Role, name: &'static str, home: LogId) -> Result<Housekeeping> {
        tracing::trace!(transaction = name, "begin");
        let mut tx = self.begin(role).await?;
        let tenant = set_tenant(&mut tx, role, home).await?;
        self.clock().set_offset_millis(tenant.offset);
        Ok(Housekeeping { tx, now: self.clock().now(), role })
    }
}

/// The second way to commit: a closed list of tables, by grant.
pub struct Housekeeping {
    tx: Transaction<'static, Postgres>,
    now: Instant,
    role: Role,
}

impl Housekeeping {
    /// The connection, inside the transaction.
    pub fn conn(&mut self) -> &mut PgConnection {
        &mut self.tx
    }
    /// The present time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }
    /// Commits without an entry.
    ///
    /// # Errors
    /// When the commit fails or its outcome is unknown.
    pub async fn commit_housekeeping(self) -> Result<()> {
        Ok(self.tx.commit().await?)
    }
    /// Commits without an entry what a request was sent for, so that it happens once: as
    /// [`Self::commit_housekeeping`], with the mark of the request's idempotency key.
    ///
    /// # Errors
    /// As [`Self::commit_housekeeping`]; [`Error::Conflict`] when another try holds the key by now.
    pub async fn commit_effect(mut self) -> Result<()> {
        if let Some(claim) = Claim::held() {
            claim.mark(&mut self.tx, self.role, self.now, Vec::new()).await?;
        }
        self.commit_housekeeping().await
    }
}

impl WriteTx {
    /// The connection, inside the transaction, as the home tenant.
    pub fn conn(&mut self) -> &mut PgConnection {
        &mut self.tx
    }
    /// The time of this transaction: the later of the clock and the heads' last entries.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }
    /// The role it runs as.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }
    /// The log this transaction acts for.
    #[must_use]
    pub const fn home(&self) -> LogId {
        self.home
    }
    /// The source of randomness.
    #[must_use]
    pub fn entropy(&self) -> &dyn Entropy {
        self.db.entropy()
    }
    /// A new id with this transaction's time.
    pub fn fresh<T: TypedId>(&self) -> T {
        crate::base::fresh_id(self.now, self.db.entropy())
    }
    /// A locked head.
    ///
    /// # Errors
    /// [`Error::Internal`] when this transaction has not locked it.
    pub fn head(&mut self, log: LogId) -> Result<&mut Head> {
        self.heads.get_mut(&log).ok_or_else(|| Error::internal("an entry for a log that is not locked"))
    }
    /// Acts as another log's tenant for a moment: entries of several logs in one transaction.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn act_for(&mut self, log: LogId) -> Result<()> {
        if self.acting != log {
            set_tenant(&mut self.tx, self.role, log).await?;
            self.acting = log;
        }
        Ok(())
    }
    /// Makes another log that this transaction does not write to: a platform's.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn add_platform_log(&mut self, log: LogId, name: &str) -> Result<()> {
        self.act_for(log).await?;
        insert_log(&mut self.tx, log, "platform", name).await?;
        let home = self.home;
        self.act_for(home).await
    }
    /// True if an entry was appended to a locked log.
    #[must_use]
    pub fn has_entries(&self) -> bool {
        self.heads.values().any(|head| head.changed)
    }
    /// Remembers an entry of this transaction, so that a commit without an answer can be looked up.
    pub(crate) fn note_entry(&mut self, log: LogId, entry: EntryId) {
        self.written.get_or_insert((log, entry));
    }
    /// Remembers an entry's receipt for a repeat of this request whose first answer was lost.
    pub(crate) fn remember(&mut self, receipt: impl FnOnce() -> serde_json::Value) {
        if self.claim.is_some() {
            self.receipts.push(receipt());
        }
    }
}

impl ReadTx {
    /// The connection, inside the transaction.
    pub fn conn(&mut self) -> &mut PgConnection {
        &mut self.tx
    }
    /// The present time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }
}
