//! Erasing: each customer's and platform's log is gone through in stretches, each a transaction under its
//! head, with one entry for what it takes away; then a customer's documents, one at a time. Before that the
//! list outside the database is completed, and what it names and a restore brought back is erased again.

use std::collections::BTreeMap;

use chrono::Duration;

use super::again::{complete, erase_again};
use super::list::{ErasureList, Line};
use super::store::{self, Expired, Needless, Stretch};
use crate::base::{Code, CustomerId, Error, Instant, Order, PageQuery, Result};
use crate::db::{Db, Lock, LogId, Role, WriteTx};
use crate::evidence::{Actor, Event, LogView, NewEntry, Outside, append, finish, logs, size_of_epoch};

/// Entries that are looked at in one transaction.
pub(super) const STRETCH: u16 = 500;

/// The ground of what is erased here.
const GROUND: &str = "retention";

/// For how many days what is over is kept; 0: until further notice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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
    /// How many subject lists and documents were erased again, after a restore.
    pub again: u64,
    /// How many of those wait, since they have effect again.
    pub waiting: u64,
    /// How many of those that the list names are not in the database.
    pub absent: u64,
    /// The logs that were passed over, since they are in quarantine, by name.
    pub passed_over: Vec<String>,
    /// The logs in which erasing broke off, by name, with the cause: all others were gone through.
    pub failed: Vec<(String, String)>,
}

/// A run: the database with the eraser's login, and the list that it keeps.
pub(super) struct Run<'r> {
    pub db: &'r Db,
    pub list: ErasureList,
}

/// Erases again what a restore brought back, then what is older than these days, of every customer and
/// platform. A log that cannot be worked on keeps no other waiting: it is passed over and told; so is one
/// whose list outside cannot be written, of which nothing is erased then.
///
/// # Errors
/// When the logs or the list cannot be read, or this `Db` was not given the eraser's login.
pub async fn erase(db: &Db, outside: &Outside, retention: Retention) -> Result<Erased> {
    let run = Run { db, list: ErasureList::beside(outside) };
    let (mut erased, mut after) = (Erased::default(), None);
    let mut listed = run.list.customers()?;
    loop {
        let mut page = PageQuery::read(Some("100"), None, "logs", Order::Id)?;
        page.after = after;
        let mut read = db.read(Role::OpsRead, "erasure_logs", LogId::REGISTRY).await?;
        let found = logs(read.conn(), &page).await?;
        drop(read);
        let Some(last) = found.last() else { break };
        after = Some(last.id());
        for log in found.iter().filter(|log| ["customer", "platform"].contains(&log.kind.as_str())) {
            listed.retain(|customer| LogId::from(*customer) != LogId(log.id()));
            match of_log(&run, log, retention, &mut erased).await {
                Ok(()) => {}
                Err(Error::Quarantined { .. }) => erased.passed_over.push(log.name().to_owned()),
                Err(error) => {
                    tracing::warn!(log = log.name(), cause = %error, "erasing broke off");
                    erased.failed.push((log.name().to_owned(), error.to_string()));
                }
            }
        }
    }
    for gone in listed {
        erase_again(&run, gone, &mut erased).await?;
    }
    Ok(erased)
}

async fn of_log(run: &Run<'_>, log: &LogView, retention: Retention, erased: &mut Erased) -> Result<()> {
    let customer = (log.kind == "customer").then(|| CustomerId::from(log.id()));
    if let Some(customer) = customer {
        complete(run, customer).await?;
        erase_again(run, customer, erased).await?;
    }
    if retention.subjects_days > 0 {
        for epoch in 1..=log.epoch {
            let mut from = Some(0);
            // What is added from here on is too young.
            while let Some(place) = from {
                from = stretch(run, log, (epoch, place), retention.subjects_days, erased).await?;
            }
        }
    }
    if let Some(customer) = customer.filter(|_| retention.documents_days > 0) {
        while document(run, customer, retention.documents_days).await? {
            erased.documents += 1;
        }
    }
    Ok(())
}

pub(super) async fn begin(db: &Db, log: LogId) -> Result<WriteTx> {
    db.write(Role::Eraser, "erase", Lock::Heads, log, &[]).await
}

fn before(tx: &WriteTx, days: u32) -> Instant {
    tx.now().plus(-Duration::days(days.into()))
}

/// Erases in one stretch; gives where the next begins.
async fn stretch(run: &Run<'_>, log: &LogView, (epoch, from): (u32, i64), days: u32, erased: &mut Erased) -> Result<Option<i64>> {
    let (id, customer) = (LogId(log.id()), (log.kind == "customer").then(|| CustomerId::from(log.id())));
    let mut tx = begin(run.db, id).await?;
    let size = match size_of_epoch(tx.conn(), id, epoch).await {
        // A restore lost every entry of it.
        Err(Error::NotFound) => return Ok(None),
        size => i64::try_from(size?).map_err(Error::internal)?,
    };
    let until = from + i64::from(STRETCH);
    let next = (until < size).then_some(until);
    let stretch = Stretch { log: id, epoch: i32::try_from(epoch).map_err(Error::internal)?, from, until };
    let before = before(&tx, days);
    if let Some(customer) = customer {
        let expired = store::expired(tx.conn(), stretch, before, None).await?;
        if !expired.is_empty() {
            run.take_subjects(tx, customer, epoch, Code::fixed(GROUND), &expired).await?;
            tx = begin(run.db, id).await?;
        }
        for entry in expired {
            *erased.subjects.entry(entry.word).or_default() += 1;
        }
    }
    // With the subjects went the hashes of the requests about them: these are what is left.
    let requests = store::guessable(tx.conn(), stretch, before).await?;
    if !requests.is_empty() {
        let event = Event::RequestsErased { entries: places(epoch, &requests)?, ground: Code::fixed(GROUND) };
        append(&mut tx, &NewEntry::new(id, log.name(), &Actor::system(), event)).await?;
        store::erase_requests(tx.conn(), id, stretch.epoch, &requests).await?;
        finish(tx).await?;
    }
    erased.requests += requests.len() as u64;
    Ok(next)
}

fn places(epoch: u32, indices: &[i64]) -> Result<Vec<(u32, u64)>> {
    indices.iter().map(|index| Ok((epoch, u64::try_from(*index).map_err(Error::internal)?))).collect()
}

/// Erases the next document; false: there is none.
async fn document(run: &Run<'_>, customer: CustomerId, days: u32) -> Result<bool> {
    let mut tx = begin(run.db, customer.into()).await?;
    let before = before(&tx, days);
    let Some(found) = store::needless(tx.conn(), customer.into(), before).await? else { return Ok(false) };
    run.take_document(tx, customer, found, Code::fixed(GROUND)).await?;
    Ok(true)
}

pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
}

impl Run<'_> {
    pub(super) async fn add(&self, customer: CustomerId, lines: Vec<Line>) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let list = self.list.clone();
        blocking(move || list.add(customer, &lines)).await
    }

    /// Takes the subjects of these entries away, with the entry that says so, which stands on the list
    /// before it is committed: what was erased and is not on the list would come back with a backup.
    pub(super) async fn take_subjects(
        &self,
        mut tx: WriteTx,
        customer: CustomerId,
        epoch: u32,
        ground: Code,
        over: &[Expired],
    ) -> Result<()> {
        let log = LogId::from(customer);
        let indices: Vec<i64> = over.iter().map(|entry| entry.index).collect();
        let event = Event::SubjectsErased { entries: places(epoch, &indices)?, ground };
        let mut kinds = BTreeMap::<String, u64>::new();
        for entry in over {
            *kinds.entry(entry.word.clone()).or_default() += 1;
        }
        let line = append_erasure(&mut tx, customer, customer, event, kinds).await?;
        store::erase_subjects(tx.conn(), log, i32::try_from(epoch).map_err(Error::internal)?, &indices).await?;
        store::forget_packs(tx.conn(), log).await?;
        self.add(customer, vec![line]).await?;
        finish(tx).await?;
        Ok(())
    }

    /// The same with the bytes of a document.
    pub(super) async fn take_document(&self, mut tx: WriteTx, customer: CustomerId, document: Needless, ground: Code) -> Result<()> {
        let (log, now) = (LogId::from(customer), tx.now());
        let event = Event::DocumentErased { document: document.id, document_sha256: document.sha256, ground };
        let line = append_erasure(&mut tx, customer, document.id, event, BTreeMap::new()).await?;
        store::erase_document(tx.conn(), log, document.id, now).await?;
        store::forget_packs(tx.conn(), log).await?;
        self.add(customer, vec![line]).await?;
        finish(tx).await?;
        Ok(())
    }
}

/// Appends the entry of an erasure; gives the line for the list.
async fn append_erasure(
    tx: &mut WriteTx,
    customer: CustomerId,
    object: impl std::fmt::Display,
    event: Event,
    kinds: BTreeMap<String, u64>,
) -> Result<Line> {
    let log = LogId::from(customer);
    let epoch = u32::try_from(tx.head(log)?.epoch).map_err(Error::internal)?;
    let receipt = append(tx, &NewEntry::new(log, object, &Actor::system(), event.clone())).await?;
    Ok(Line { log: customer, epoch, index: receipt.index, event, kinds })
}
