//! Erasing again what a restore brought back: what the list outside the database names and the log does
//! not tell of goes with entries of the present epoch and the ground it went by before, whatever the days
//! of the settings are. What has effect again waits until it is over.

use std::collections::BTreeMap;

use chrono::Duration;

use super::decide::{Again, Here, again};
use super::list::{ErasureList, Line};
use super::run::{Erased, Run, STRETCH, begin, blocking};
use super::store::{self, Needless, Stretch};
use crate::base::{Code, CustomerId, Digest, DocumentId, Error, Result};
use crate::db::{Db, LogId, Role};
use crate::evidence::{Event, Outside, head_of, size_of_epoch};

/// What the list names that a restore brought back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BroughtBack {
    /// Subject lists and documents that are to be erased again.
    pub due: u64,
    /// Subject lists and documents that are not in the database.
    pub absent: u64,
}

/// Counts what is to be erased again.
///
/// # Errors
/// When the list cannot be read, or the database does not answer.
pub async fn brought_back(db: &Db, outside: &Outside) -> Result<BroughtBack> {
    let (list, mut counted) = (ErasureList::beside(outside), BroughtBack::default());
    for customer in list.customers()? {
        let again = of_customer(db, customer, &list.read(customer)?).await?;
        counted.due += again.count();
        counted.absent += again.absent;
    }
    Ok(counted)
}

async fn of_customer(db: &Db, customer: CustomerId, listed: &[Line]) -> Result<Again> {
    Ok(again(listed, &here(db, customer, listed).await?))
}

/// What the customer's log holds of what the list names.
async fn here(db: &Db, customer: CustomerId, listed: &[Line]) -> Result<Here> {
    let log = LogId::from(customer);
    let mut read = db.read(Role::OpsRead, "erased_again", log).await?;
    let mut here = Here::default();
    let present = match head_of(read.conn(), log).await {
        Err(Error::NotFound) => return Ok(here),
        head => head?.0,
    };
    for epoch in 1..=present {
        match size_of_epoch(read.conn(), log, epoch).await {
            // Every entry of it was lost.
            Err(Error::NotFound) => {}
            size => drop(here.sizes.insert(epoch, size?)),
        }
    }
    here.erasures = store::told(read.conn(), log).await?.into_iter().map(|told| told.event).collect();
    let documents = listed.iter().filter_map(|line| match &line.event {
        Event::DocumentErased { document, .. } => Some(document.to_string()),
        _ => None,
    });
    here.documents = store::stored(read.conn(), log, &documents.collect::<Vec<_>>()).await?;
    Ok(here)
}

/// Puts on the list what the log tells of and the list does not: it was erased before there was a list,
/// or while the folder was another one.
pub(super) async fn complete(run: &Run<'_>, customer: CustomerId) -> Result<()> {
    let log = LogId::from(customer);
    let mut read = run.db.read(Role::OpsRead, "erasures_told", log).await?;
    let told = store::told(read.conn(), log).await?;
    let listed = run.list.read(customer)?;
    let is_listed =
        |told: &store::Told| listed.iter().any(|line| (line.epoch, line.index, &line.event) == (told.epoch, told.index, &told.event));
    let mut lines = Vec::new();
    for told in told.into_iter().filter(|told| !is_listed(told)) {
        let kinds = match &told.event {
            Event::SubjectsErased { entries, .. } => store::kinds(read.conn(), log, entries).await?,
            _ => BTreeMap::new(),
        };
        lines.push(Line { log: customer, epoch: told.epoch, index: told.index, event: told.event, kinds });
    }
    drop(read);
    run.add(customer, lines).await
}

/// Erases again what was erased of a customer and is here.
pub(super) async fn erase_again(run: &Run<'_>, customer: CustomerId, erased: &mut Erased) -> Result<()> {
    let list = run.list.clone();
    let listed = blocking(move || list.read(customer)).await?;
    if listed.is_empty() {
        return Ok(());
    }
    let found = of_customer(run.db, customer, &listed).await?;
    erased.absent += found.absent;
    for ((ground, epoch), indices) in found.subjects {
        for indices in indices.chunks(STRETCH.into()) {
            let gone = subjects(run, customer, (&ground, epoch), indices).await?;
            erased.again += gone;
            erased.waiting += indices.len() as u64 - gone;
        }
    }
    for (id, (sha256, ground)) in found.documents {
        let gone = document(run, customer, (id, sha256), ground).await?;
        *(if gone { &mut erased.again } else { &mut erased.waiting }) += 1;
    }
    Ok(())
}

async fn subjects(run: &Run<'_>, customer: CustomerId, (ground, epoch): (&Code, u32), indices: &[u64]) -> Result<u64> {
    let mut tx = begin(run.db, customer.into()).await?;
    let until = tx.now().plus(Duration::milliseconds(1));
    let named = indices.iter().map(|index| i64::try_from(*index).map_err(Error::internal)).collect::<Result<Vec<_>>>()?;
    let stretch = Stretch { log: customer.into(), epoch: i32::try_from(epoch).map_err(Error::internal)?, from: 0, until: i64::MAX };
    let over = store::expired(tx.conn(), stretch, until, Some(&named)).await?;
    let count = over.len() as u64;
    if count > 0 {
        run.take_subjects(tx, customer, epoch, ground.clone(), &over).await?;
    }
    Ok(count)
}

async fn document(run: &Run<'_>, customer: CustomerId, (id, sha256): (DocumentId, Digest), ground: Code) -> Result<bool> {
    let mut tx = begin(run.db, customer.into()).await?;
    let now = tx.now();
    let is_needless = store::is_needless(tx.conn(), customer.into(), id, now).await?;
    if is_needless {
        run.take_document(tx, customer, Needless { id, sha256 }, ground).await?;
    }
    Ok(is_needless)
}
