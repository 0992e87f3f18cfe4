//! Erasing by retention: each customer's and platform's log is gone through in stretches, each a
//! transaction under its head, with an entry for what it takes away; then a customer's documents, one at a time.

use std::collections::BTreeMap;

use chrono::Duration;

use super::store::{self, Stretch};
use crate::base::{Code, Error, Instant, Order, PageQuery, Result};
use crate::db::{Db, Lock, LogId, Role, WriteTx};
use crate::evidence::{Actor, Event, LogView, NewEntry, append, finish, logs, size_of_epoch};

/// Entries that are looked at in one transaction.
const STRETCH: i64 = 500;

/// The ground of what is erased here.
const GROUND: &str = "retention";

/// For how many days what is over is kept; 0: until further notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The subjects of refusals, dry runs and ended exports.
    pub subjects_days: u32,
    /// The bytes of documents that nothing in force cites any more.
    pub documents_days: u32,
}

/// What became of erasing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Erased {
    /// How many subject lists were erased, by the type of their entry.
    pub subjects: BTreeMap<String, u64>,
    /// Of how many entries the hash of the request was erased by itself.
    pub requests: u64,
    /// How many documents' bytes were.
    pub documents: u64,
    /// The logs that were passed over, since they are in quarantine, by name.
    pub passed_over: Vec<String>,
    /// The logs in which erasing broke off, by name, with the cause: all others were gone through.
    pub failed: Vec<(String, String)>,
}

/// Erases what is older than these days, of every customer and platform. A log that cannot be worked on
/// keeps no other waiting: it is passed over and told.
///
/// # Errors
/// When the logs cannot be listed, or this `Db` was not given the eraser's login.
pub async fn erase_expired(db: &Db, retention: Retention) -> Result<Erased> {
    let (mut erased, mut after) = (Erased::default(), None);
    loop {
        let mut page = PageQuery::read(Some("100"), None, "logs", Order::Id)?;
        page.after = after;
        let mut read = db.read(Role::OpsRead, "erasure_logs", LogId::REGISTRY).await?;
        let found = logs(read.conn(), &page).await?;
        drop(read);
        let Some(last) = found.last() else { return Ok(erased) };
        after = Some(last.id());
        for log in found.iter().filter(|log| ["customer", "platform"].contains(&log.kind.as_str())) {
            match of_log(db, log, retention, &mut erased).await {
                Ok(()) => {}
                Err(Error::Quarantined { .. }) => erased.passed_over.push(log.name().to_owned()),
                Err(error) => {
                    tracing::warn!(log = log.name(), cause = %error, "erasing broke off");
                    erased.failed.push((log.name().to_owned(), error.to_string()));
                }
            }
        }
    }
}

async fn of_log(db: &Db, log: &LogView, retention: Retention, erased: &mut Erased) -> Result<()> {
    if retention.subjects_days > 0 {
        for epoch in 1..=log.epoch {
            let mut from = Some(0);
            // What is added from here on is too young.
            while let Some(place) = from {
                from = stretch(db, log, (epoch, place), retention.subjects_days, erased).await?;
            }
        }
    }
    if retention.documents_days > 0 && log.kind == "customer" {
        while document(db, log, retention.documents_days).await? {
            erased.documents += 1;
        }
    }
    Ok(())
}

async fn begin(db: &Db, log: LogId) -> Result<WriteTx> {
    db.write(Role::Eraser, "erase", Lock::Heads, log, &[]).await
}

fn before(tx: &WriteTx, days: u32) -> Instant {
    tx.now().plus(-Duration::days(days.into()))
}

/// Erases in one stretch; gives where the next begins.
async fn stretch(db: &Db, log: &LogView, (epoch, from): (u32, i64), days: u32, erased: &mut Erased) -> Result<Option<i64>> {
    let id = LogId(log.id());
    let mut tx = begin(db, id).await?;
    let size = i64::try_from(size_of_epoch(tx.conn(), id, epoch).await?).map_err(Error::internal)?;
    let until = from + STRETCH;
    let next = (until < size).then_some(until);
    let stretch = Stretch { log: id, epoch: i32::try_from(epoch).map_err(Error::internal)?, from, until };
    let before = before(&tx, days);
    let expired = store::expired(tx.conn(), stretch, before).await?;
    let indices: Vec<i64> = expired.iter().map(|entry| entry.index).collect();
    if !indices.is_empty() {
        let event = Event::SubjectsErased { entries: places(epoch, &indices)?, ground: Code::fixed(GROUND) };
        append(&mut tx, &NewEntry::new(id, log.name(), &Actor::system(), event)).await?;
        store::erase_subjects(tx.conn(), id, stretch.epoch, &indices).await?;
        store::forget_packs(tx.conn(), id).await?;
    }
    // With the subjects went the hashes of the requests about them: these are what is left.
    let requests = store::guessable(tx.conn(), stretch, before).await?;
    if !requests.is_empty() {
        let event = Event::RequestsErased { entries: places(epoch, &requests)?, ground: Code::fixed(GROUND) };
        append(&mut tx, &NewEntry::new(id, log.name(), &Actor::system(), event)).await?;
        store::erase_requests(tx.conn(), id, stretch.epoch, &requests).await?;
    }
    if tx.has_entries() {
        finish(tx).await?;
    }
    for entry in expired {
        *erased.subjects.entry(entry.word).or_default() += 1;
    }
    erased.requests += requests.len() as u64;
    Ok(next)
}

fn places(epoch: u32, indices: &[i64]) -> Result<Vec<(u32, u64)>> {
    indices.iter().map(|index| Ok((epoch, u64::try_from(*index).map_err(Error::internal)?))).collect()
}

/// Erases the next document; false: there is none.
async fn document(db: &Db, log: &LogView, days: u32) -> Result<bool> {
    let id = LogId(log.id());
    let mut tx = begin(db, id).await?;
    let (now, before) = (tx.now(), before(&tx, days));
    let Some(found) = store::needless(tx.conn(), id, before).await? else { return Ok(false) };
    let event = Event::DocumentErased { document: found.id, document_sha256: found.sha256, ground: Code::fixed(GROUND) };
    append(&mut tx, &NewEntry::new(id, found.id, &Actor::system(), event)).await?;
    store::erase_document(tx.conn(), id, found.id, now).await?;
    store::forget_packs(tx.conn(), id).await?;
    finish(tx).await?;
    Ok(true)
}
