//! Taking a restore in: first the registry opens its epoch, and from then on nothing else is recorded;
//! then each other log, in a transaction of its own under its head. Whoever is broken off, or comes
//! second, goes on where it stands: what was opened is not opened again.

use std::collections::BTreeMap;

use super::decide::{Database, Held, Kept, Known, endings, has_lost, lost, seen, without_checkpoint};
use super::notice;
use super::store::{self, Restore};
use crate::base::{Digest, Error, Instant, Order, PageQuery, RestoreId, Result, fresh_id};
use crate::db::{Db, Lock, LogId, Role, WriteTx};
use crate::evidence::{
    Actor, Checkpoint, EndedEpoch, Event, KeptCheckpoint, KnownCheckpoint, LogView, LostLog, NewEntry, Note, Outside, RestoreGround,
    append, finish, logs, origin, root_at, root_of_edge,
};
use crate::log::list_log_keys;

/// In which another process keeps what it has committed.
const A_MOMENT: std::time::Duration = std::time::Duration::from_secs(1);

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
    /// How many of the missing entries were supplied.
    pub supplied: u64,
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
            supplied: index(row.supplied)?,
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

/// Takes a restore in, if one is seen, under way, or declared. `None`: there was none. `own`: the public
/// keys of the logs that this process has, beside those that the database knows.
///
/// # Errors
/// When the database does not answer, is empty beside checkpoints of another, or has customers and no
/// checkpoint beside it; what was opened stays so, and the next call goes on.
pub async fn take_in(db: &Db, outside: &Outside, own: &[[u8; 32]], declared: bool) -> Result<Option<Taken>> {
    let (mut declared, mut taken, mut looked) = (declared, None, false);
    loop {
        let present = Present::read(db, outside, own).await?;
        let restore = match present.unfinished {
            // What was declared and broken off is gone on with, not declared once more.
            Some(restore) => {
                declared = false;
                restore
            }
            None => {
                let ground = present.seen().or_else(|| declared.then_some(RestoreGround::Declared));
                let Some(ground) = ground else {
                    let without = without_checkpoint(&present.held, &present.outside);
                    if taken.is_some() || without.is_empty() {
                        return Ok(taken);
                    }
                    if looked {
                        return Err(unknown(&without));
                    }
                    // Of a customer who was registered just now it is kept in a moment.
                    looked = true;
                    tokio::time::sleep(A_MOMENT).await;
                    continue;
                };
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
        for lost in &present.lost() {
            outside.set_aside(&lost.origin)?;
        }
        // What says nothing stands in the way of checks, and of the next checkpoint of its name.
        for (name, epochs) in &present.outside {
            for (epoch, _) in epochs.iter().filter(|(_, known)| known.is_none()) {
                outside.set_aside_unsigned(&origin(name, epoch))?;
            }
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
    /// The logs that do not continue their checkpoints: up to how many entries they are known to.
    forks: BTreeMap<String, u64>,
}

impl Present {
    async fn read(db: &Db, outside: &Outside, own: &[[u8; 32]]) -> Result<Self> {
        // First: what is kept by then was committed before, and the heads that are read after it hold it.
        let kept = outside.all()?;
        let standing = db.standing().await?;
        let database = Database { system_identifier: standing.system_identifier, timeline: standing.timeline };
        let published = list_log_keys(db).await?.into_iter().filter_map(|key| key.public_key.try_into().ok());
        let keys: Vec<[u8; 32]> = own.iter().copied().chain(published).collect();
        let read = |name: &str, epochs: BTreeMap<u32, Option<KeptCheckpoint>>| {
            let known =
                epochs.into_iter().map(|(epoch, kept)| (epoch, kept.and_then(|kept| known(&origin(name, epoch), &kept, &database, &keys))));
            (name.to_owned(), known.collect())
        };
        let kept: Kept = kept.into_iter().map(|(name, epochs)| read(&name, epochs)).collect();
        let (mut held, mut forks, mut after) = (BTreeMap::new(), BTreeMap::new(), None);
        let mut read = db.read(Role::OpsRead, "quarantined_logs", LogId::REGISTRY).await?;
        let quarantined = store::quarantined(read.conn()).await?;
        drop(read);
        loop {
            let page = page(db, after).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id());
            for log in &page {
                held.insert(log.name().to_owned(), Held { epoch: log.epoch, size: log.size, root: log.root });
                let of_epoch = kept.get(log.name()).and_then(|epochs| epochs.get(&log.epoch).copied().flatten());
                if let Some(known) = of_epoch
                    && let Some(fork) = fork(db, outside, log, known.checkpoint, quarantined.contains(&log.id())).await?
                {
                    forks.insert(log.name().to_owned(), fork);
                }
            }
        }
        if !kept.is_empty() && held.get("registry").is_none_or(|registry| (registry.epoch, registry.size) == (1, 0)) {
            return Err(Error::internal(
                "the database is empty, and the folder of checkpoints holds those of another: restore a backup, or name another folder",
            ));
        }
        let mut read = db.read(Role::OpsRead, "unfinished_restore", LogId::REGISTRY).await?;
        let unfinished = store::unfinished(read.conn()).await?;
        Ok(Self { unfinished, database, held, outside: kept, forks })
    }
    fn seen(&self) -> Option<RestoreGround> {
        seen(&self.held, &self.outside)
    }
    fn lost(&self) -> Vec<LostLog> {
        lost(&self.held, &self.outside)
    }
    fn endings(&self, name: &str, held: &Held) -> Result<(Vec<EndedEpoch>, u32)> {
        endings(held, self.outside.get(name), self.forks.get(name).copied())
    }
}

/// Why a start ends where it is not known how far logs had come: what a restore lost would else be kept as
/// if it had never been.
fn unknown(without: &[String]) -> Error {
    for name in without {
        tracing::error!(log = name, "ALARM: a log has entries, and no checkpoint of it is outside the database");
    }
    Error::internal(format!(
        "the folder of checkpoints holds none of {}{}: put back the folder that was used before, or, if it is lost, say `mandate restore declare`",
        without.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", "),
        if without.len() > 3 { " and others" } else { "" }
    ))
}

/// A kept checkpoint, if a key of the logs has signed it for this origin.
fn known(origin: &str, kept: &KeptCheckpoint, database: &Database, keys: &[[u8; 32]]) -> Option<Known> {
    let note = kept.checkpoint.parse::<Note>().ok();
    let signed = note.and_then(|note| Checkpoint::verified(&note, keys).ok()).filter(|checkpoint| checkpoint.origin == origin);
    let Some(Checkpoint { size, root, .. }) = signed else {
        tracing::error!(origin, "ALARM: a checkpoint outside the database is signed by no key of the logs");
        return None;
    };
    let is_of_this = kept.is_of(&database.system_identifier, database.timeline);
    Some(Known { checkpoint: KnownCheckpoint { size, root }, is_of_this })
}

/// Up to how many entries a log that does not continue its checkpoint is known to be the one that was
/// kept: as many as were verified. `None`: it does, or is shorter and was not found to contradict it.
async fn fork(db: &Db, outside: &Outside, log: &LogView, known: KnownCheckpoint, is_quarantined: bool) -> Result<Option<u64>> {
    let (id, epoch) = (LogId(log.id()), i32::try_from(log.epoch).map_err(Error::internal)?);
    let is_same = async |size: u64, root: Digest| -> Result<bool> {
        Ok(match size.cmp(&log.size) {
            std::cmp::Ordering::Greater => false,
            std::cmp::Ordering::Equal => root == log.root,
            std::cmp::Ordering::Less => root_at(db, id, epoch, size).await? == Some(root),
        })
    };
    if (known.size > log.size && !is_quarantined) || is_same(known.size, known.root).await? {
        return Ok(None);
    }
    Ok(match outside.verified(&log.origin) {
        Some((size, root)) if size <= known.size && is_same(size, root).await? => Some(size),
        _ => Some(0),
    })
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
    let (ended, next) = present.endings("registry", &now_held)?;
    let restore = Restore { id: fresh_id(tx.now(), db.entropy()), ground, registry_shorter: has_lost(&ended) };
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
    let (ended, next) = present.endings(log.name(), &held(&mut tx, id)?)?;
    let (is_customers, has_lost) = (log.kind == "customer", has_lost(&ended));
    let unconfirmed = (is_customers || id == LogId::PROCESSOR) && (has_lost || restore.registry_shorter);
    store::open(&mut tx, restore, &ended, next, unconfirmed).await?;
    if unconfirmed && !is_customers {
        tracing::warn!(
            "ALARM: what was ended, revoked or stopped may be there again: no platform's key is accepted before `mandate restore confirm`"
        );
    }
    if unconfirmed && is_customers {
        if has_lost {
            store::suspend_authority(&mut tx, restore).await?;
        }
        notice::tell(&mut tx, restore, &ended, last_at).await?;
    }
    if has_lost {
        tracing::warn!(log = log.name(), missing = ?ended.iter().filter_map(|ended| ended.missing).collect::<Vec<_>>(), "ALARM: entries of a log are missing");
    }
    let lost = if id == LogId::PROCESSOR { present.lost() } else { Vec::new() };
    for lost in &lost {
        tracing::warn!(origin = lost.origin, size = lost.known.size, "ALARM: a log is missing altogether");
    }
    let event = Event::EpochOpened { restore: restore.id, ground: restore.ground, ended, unconfirmed, lost };
    append(&mut tx, &NewEntry::new(id, restore.id, &Actor::system(), event)).await?;
    finish(tx).await?;
    Ok(true)
}
