//! Erasing by retention: each customer's log is gone through in stretches, each a transaction under the
//! customer's head, with one entry for what it takes away.

use std::collections::BTreeMap;

use chrono::Duration;

use super::store;
use crate::base::{Code, Error, Order, PageQuery, Result};
use crate::db::{Db, Lock, LogId, Role};
use crate::evidence::{Actor, Event, LogView, NewEntry, append, finish, logs};

/// Entries that are looked at in one transaction.
const STRETCH: i64 = 500;

/// The ground of what is erased here.
const GROUND: &str = "retention";

/// How many subject lists were erased, by the type of their entry.
pub type Erased = BTreeMap<String, u64>;

/// Erases the subjects of refusals, dry runs and ended exports that are older than these days, of every
/// customer. One that cannot be worked on (its log is in quarantine) is passed over and told.
///
/// # Errors
/// When the database does not answer, or this `Db` was not given the eraser's login.
pub async fn erase_expired(db: &Db, days: u32) -> Result<(Erased, Vec<String>)> {
    let (mut erased, mut left, mut after) = (Erased::new(), Vec::new(), None);
    loop {
        let mut page = PageQuery::read(Some("100"), None, "logs", Order::Id)?;
        page.after = after;
        let mut read = db.read(Role::OpsRead, "erasure_logs", LogId::REGISTRY).await?;
        let found = logs(read.conn(), &page).await?;
        drop(read);
        let Some(last) = found.last() else { return Ok((erased, left)) };
        after = Some(last.id());
        for log in found.iter().filter(|log| log.kind == "customer") {
            match customer(db, log, days, &mut erased).await {
                Err(Error::Quarantined { .. }) => left.push(log.name().to_owned()),
                done => done?,
            }
        }
    }
}

async fn customer(db: &Db, log: &LogView, days: u32, erased: &mut Erased) -> Result<()> {
    for epoch in 1..=log.epoch {
        let epoch = i32::try_from(epoch).map_err(Error::internal)?;
        let mut from = 0;
        // What is added from here on is too young.
        while let Some(until) = stretch(db, log, epoch, from, days, erased).await? {
            from = until;
        }
    }
    Ok(())
}

/// Erases in one stretch; gives where the next begins.
async fn stretch(db: &Db, log: &LogView, epoch: i32, from: i64, days: u32, erased: &mut Erased) -> Result<Option<i64>> {
    let id = LogId(log.id());
    let mut tx = db.write(Role::Eraser, "erase", Lock::Heads, id, &[]).await?;
    let size = crate::evidence::size_of_epoch(tx.conn(), id, u32::try_from(epoch).map_err(Error::internal)?).await?;
    let until = from + STRETCH;
    let more = (u64::try_from(until).map_err(Error::internal)? < size).then_some(until);
    let before = tx.now().plus(-Duration::days(days.into()));
    let expired = store::expired(tx.conn(), id, epoch, from, until, before).await?;
    if expired.is_empty() {
        return Ok(more);
    }
    let place = |entry: &store::Expired| {
        Ok((u32::try_from(entry.epoch).map_err(Error::internal)?, u64::try_from(entry.index).map_err(Error::internal)?))
    };
    let entries = expired.iter().map(place).collect::<Result<Vec<_>>>()?;
    let event = Event::SubjectsErased { entries, ground: Code::fixed(GROUND) };
    append(&mut tx, &NewEntry::new(id, log.name(), &Actor::system(), event)).await?;
    let indices: Vec<i64> = expired.iter().map(|entry| entry.index).collect();
    store::erase(tx.conn(), id, epoch, &indices).await?;
    finish(tx).await?;
    for entry in expired {
        *erased.entry(entry.word).or_default() += 1;
    }
    Ok(more)
}
