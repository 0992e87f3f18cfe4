//! Taking a restore in: first the registry opens its epoch, and from then on nothing else is recorded;
//! then each other log, in a transaction of its own under its head. Whoever is broken off, or comes
//! second, goes on where it stands: what was opened is not opened again.

use std::collections::BTreeMap;

use super::decide::{Database, Held, Kept, endings, is_shorter, lost, seen};
use super::notice;
use super::store::{self, Restore};
use crate::base::{Error, Instant, Order, PageQuery, RestoreId, Result, fresh_id};
use crate::db::{Db, Lock, LogId, Role, WriteTx};
use crate::evidence::{Actor, Event, LogView, LostLog, NewEntry, Outside, RestoreGround, append, finish, logs, root_of_edge};

/// A restore that was taken in.
#[derive(Debug, Clone)]
pub struct Taken {
    /// Its id.
    pub restore: RestoreId,
    /// How it was known.
    pub ground: RestoreGround,
    /// How many logs opened an epoch in this process.
    pub opened: u64,
}

/// An epoch that a restore opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedEpoch {
    /// The log's name.
    pub log: String,
    /// The epoch.
    pub epoch: u32,
    /// The restore.
    pub restore: RestoreId,
    /// An earlier epoch that lost entries, with the indices of the first and the last one missing.
    pub missing: Option<(u32, u64, u64)>,
    /// True if the state must be confirmed: by a person of the customer, or the processor's by operations.
    pub unconfirmed: bool,
    /// When.
    pub opened_at: Instant,
    /// When the state was confirmed.
    pub confirmed_at: Option<Instant>,
}

impl TryFrom<store::Opened> for OpenedEpoch {
    type Error = Error;
    fn try_from(row: store::Opened) -> Result<Self> {
        let index = |number: i64| u64::try_from(number).map_err(Error::internal);
        let missing = match (row.missing_epoch, row.missing_from, row.missing_until) {
            (Some(epoch), Some(from), Some(until)) => Some((u32::try_from(epoch).map_err(Error::internal)?, index(from)?, index(until)?)),
            _ => None,
        };
        Ok(Self {
            log: row.log,
            epoch: u32::try_from(row.epoch).map_err(Error::internal)?,
            restore: row.restore,
            missing,
            unconfirmed: row.unconfirmed,
            opened_at: row.opened_at,
            confirmed_at: row.confirmed_at,
        })
    }
}

/// Every epoch that a restore opened, in order of the logs' ids.
///
/// # Errors
/// When the database does not answer.
pub async fn opened_epochs(db: &Db) -> Result<Vec<OpenedEpoch>> {
    let mut read = db.read(Role::OpsRead, "opened_epochs", LogId::REGISTRY).await?;
    store::opened(read.conn(), None).await?.into_iter().map(OpenedEpoch::try_from).collect()
}

/// Takes a restore in, if one is seen, under way, or declared. `None`: there was none.
///
/// # Errors
/// When the database does not answer, or is empty beside checkpoints of another; what was opened stays
/// so, and the next call goes on.
pub async fn take_in(db: &Db, outside: &Outside, declared: bool) -> Result<Option<Taken>> {
    let (mut declared, mut taken) = (declared, None);
    loop {
        let present = Present::read(db, outside).await?;
        let restore = match present.unfinished {
            Some(restore) => restore,
            None => {
                let ground = present.seen()?.or_else(|| declared.then_some(RestoreGround::Declared));
                let Some(ground) = ground else { return Ok(taken) };
                declared = false;
                match begin(db, &present, ground).await? {
                    Some(restore) => restore,
                    // Another process was first: what it left is looked at anew.
                    None => continue,
                }
            }
        };
        tracing::warn!(restore = %restore.id, ground = %restore.ground, "ALARM: the database was restored; every log opens another epoch");
        let opened = open_all(db, &present, &restore).await?;
        let mut tx = db.housekeeping(Role::Ops, "finish_restore", LogId::PROCESSOR).await?;
        let now = tx.now();
        store::finish(tx.conn(), restore.id, now).await?;
        tx.commit_housekeeping().await?;
        for lost in &present.lost()? {
            outside.set_aside(&lost.origin)?;
        }
        let before = taken.map_or(0, |taken: Taken| taken.opened);
        taken = Some(Taken { restore: restore.id, ground: restore.ground, opened: before + opened });
    }
}

/// What is here and what was kept.
struct Present {
    unfinished: Option<Restore>,
    database: Database,
    held: BTreeMap<String, Held>,
    outside: Kept,
}

impl Present {
    async fn read(db: &Db, outside: &Outside) -> Result<Self> {
        // First: what is kept by then was committed before, and the heads that are read after it hold it.
        let kept = outside.all()?;
        let standing = db.standing().await?;
        let mut held = BTreeMap::new();
        let mut after = None;
        loop {
            let page = page(db, after).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id());
            held.extend(page.iter().map(|log| (log.name().to_owned(), Held { epoch: log.epoch, size: log.size, root: log.root })));
        }
        if !kept.is_empty() && held.get("registry").is_none_or(|registry| (registry.epoch, registry.size) == (1, 0)) {
            return Err(Error::internal(
                "the database is empty, and the folder of checkpoints holds those of another: restore a backup, or name another folder",
            ));
        }
        let mut read = db.read(Role::OpsRead, "unfinished_restore", LogId::REGISTRY).await?;
        let unfinished = store::unfinished(read.conn()).await?;
        let database = Database { system_identifier: standing.system_identifier, timeline: standing.timeline };
        Ok(Self { unfinished, database, held, outside: kept })
    }
    fn seen(&self) -> Result<Option<RestoreGround>> {
        seen(&self.held, &self.outside, &self.database)
    }
    fn lost(&self) -> Result<Vec<LostLog>> {
        lost(&self.held, &self.outside)
    }
}

async fn page(db: &Db, after: Option<uuid::Uuid>) -> Result<Vec<LogView>> {
    let mut page = PageQuery::read(Some("100"), None, "logs", Order::Id)?;
    page.after = after;
    let mut read = db.read(Role::OpsRead, "logs_of_restore", LogId::REGISTRY).await?;
    logs(read.conn(), &page).await
}

fn held(tx: &mut WriteTx, log: LogId) -> Result<Held> {
    let head = tx.head(log)?;
    Ok(Held { epoch: u32::try_from(head.epoch).map_err(Error::internal)?, size: head.size, root: root_of_edge(&head.edge) })
}

/// Begins with the registry, alone under its lock. `None`: another process has begun, or was done.
async fn begin(db: &Db, present: &Present, ground: RestoreGround) -> Result<Option<Restore>> {
    let mut tx = db.write_opening("begin_restore", Lock::RegistryAlone, LogId::REGISTRY).await?;
    let now_held = held(&mut tx, LogId::REGISTRY)?;
    if present.held.get("registry") != Some(&now_held) || store::unfinished(tx.conn()).await?.is_some() {
        return Ok(None);
    }
    let (ended, next) = endings(&now_held, present.outside.get("registry"))?;
    let restore = Restore { id: fresh_id(tx.now(), db.entropy()), ground, registry_shorter: is_shorter(&ended) };
    let sessions = store::begin(&mut tx, &restore, &present.database).await?;
    tracing::info!(sessions, "every session ends with the restore");
    store::open(&mut tx, &restore, &ended, next, false).await?;
    let event = Event::EpochOpened { restore: restore.id, ground, ended, unconfirmed: false, lost: Vec::new() };
    append(&mut tx, &NewEntry::new(LogId::REGISTRY, restore.id, &Actor::system(), event)).await?;
    finish(tx).await?;
    Ok(Some(restore))
}

/// Opens the epoch of every log that has not; how many.
async fn open_all(db: &Db, present: &Present, restore: &Restore) -> Result<u64> {
    let (mut opened, mut after) = (0, None);
    loop {
        let page = page(db, after).await?;
        let Some(last) = page.last() else { return Ok(opened) };
        after = Some(last.id());
        for log in &page {
            opened += u64::from(open(db, present, restore, log).await?);
        }
    }
}

async fn open(db: &Db, present: &Present, restore: &Restore, log: &LogView) -> Result<bool> {
    let id = LogId(log.id());
    let mut tx = db.write_opening("open_epoch", Lock::Heads, id).await?;
    if store::has_opened(tx.conn(), id, restore.id).await? {
        return Ok(false);
    }
    let last_at = tx.head(id)?.last_at;
    let (ended, next) = endings(&held(&mut tx, id)?, present.outside.get(log.name()))?;
    let (is_customers, is_shorter) = (log.kind == "customer", is_shorter(&ended));
    let unconfirmed = (is_customers || id == LogId::PROCESSOR) && (is_shorter || restore.registry_shorter);
    store::open(&mut tx, restore, &ended, next, unconfirmed).await?;
    if unconfirmed && !is_customers {
        tracing::warn!(
            "ALARM: what was ended, revoked or stopped may be there again: no platform's key is accepted before `mandate restore confirm`"
        );
    }
    if unconfirmed && is_customers {
        if is_shorter {
            store::suspend_authority(&mut tx, restore).await?;
        }
        notice::tell(&mut tx, restore, &ended, last_at).await?;
    }
    if is_shorter {
        tracing::warn!(log = log.name(), missing = ?ended.iter().filter_map(|ended| ended.missing).collect::<Vec<_>>(), "ALARM: entries of a log are missing");
    }
    let lost = if id == LogId::PROCESSOR { present.lost()? } else { Vec::new() };
    for lost in &lost {
        tracing::warn!(origin = lost.origin, size = lost.known.size, "ALARM: a log is missing altogether");
    }
    let event = Event::EpochOpened { restore: restore.id, ground: restore.ground, ended, unconfirmed, lost };
    append(&mut tx, &NewEntry::new(id, restore.id, &Actor::system(), event)).await?;
    finish(tx).await?;
    Ok(true)
}
