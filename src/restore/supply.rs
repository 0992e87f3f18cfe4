//! Missing entries, supplied from a pack that was made before the loss. They are taken only whole, up to the
//! checkpoint that was kept outside, and are evidence from then on: old checkpoints and receipts have their
//! proofs again. What they ended must be ended again before the state is confirmed; what they gave is not given.

use super::narrowing::{Narrowing, Said, said};
use super::store::{self, Connection};
use crate::base::{CustomerId, Digest, Error, Instant, Result, TypedId as _};
use crate::customer::tell_customer;
use crate::db::{Db, Lock, LogId, Role};
use crate::evidence::{
    Actor, Event, NewEntry, SuppliedEntry, append, commit_record, entries, finish, keep_supplied, place, root_of_edge, size_with_supplied,
    supplied_entries,
};

/// Entries of a customer's log that a restore lost and nobody has supplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// The epoch.
    pub epoch: u32,
    /// Index of the first one.
    pub from: u64,
    /// Index of the last one that was known.
    pub until: u64,
    /// Root of the tree up to that one, as it was kept outside.
    pub root: Digest,
}

/// What is missing of a customer's log, as the first entries of its epochs say, and was not supplied.
///
/// # Errors
/// When the database does not answer.
pub async fn missing(db: &Db, customer: CustomerId) -> Result<Vec<Missing>> {
    let mut read = db.read(Role::Ops, "missing_entries", customer.into()).await?;
    missing_of(read.conn(), customer.into()).await
}

async fn missing_of(conn: &mut Connection, log: LogId) -> Result<Vec<Missing>> {
    let mut found = Vec::new();
    for opening in entries(conn, log, (1, 0), i64::MAX, Some(&["epoch.opened".to_owned()])).await? {
        let Event::EpochOpened { ended, .. } = opening.event()? else { continue };
        for ended in ended {
            if let (Some((from, until)), Some(known)) = (ended.missing, ended.known)
                && size_with_supplied(conn, log, ended.epoch).await?.is_none_or(|size| size <= until)
            {
                found.push(Missing { epoch: ended.epoch, from, until, root: known.root });
            }
        }
    }
    Ok(found)
}

/// Takes supplied entries, the first of which follows a tree of the root `before`.
///
/// # Errors
/// [`Error::Conflict`] when they are not what is missing; when the database does not answer.
pub async fn supply(db: &Db, customer: CustomerId, missing: Missing, before: Digest, supplied: &[SuppliedEntry]) -> Result<Said> {
    let log = LogId::from(customer);
    let mut tx = db.write(Role::Ops, "supply_entries", Lock::Heads, log, &[]).await?;
    if !missing_of(tx.conn(), log).await?.contains(&missing) {
        return Err(Error::conflict("nothing_missing", "These entries are not missing: they were supplied, or no restore lost them."));
    }
    let here = match missing.from.checked_sub(1) {
        Some(last) => place(tx.conn(), log, missing.epoch, last).await?.1,
        None => root_of_edge(&[]),
    };
    if !fits(missing, (here, before), supplied)? {
        return Err(Error::conflict("not_the_missing_entries", "These entries do not lead from what is here to what was kept outside."));
    }
    let (now, said) = (tx.now(), said(supplied)?);
    keep_supplied(tx.conn(), log, missing.epoch, supplied, now).await?;
    let Missing { epoch, from, until, root } = missing;
    tell_customer(&mut tx, "entries_supplied", customer.uuid(), "Missing entries of your log were supplied", notice(missing, &said))
        .await?;
    append(&mut tx, &NewEntry::new(log, customer, &Actor::system(), Event::EntriesSupplied { epoch, from, until, root })).await?;
    finish(tx).await?;
    Ok(said)
}

/// True if these are the missing entries, each with the record that its leaf commits to.
fn fits(missing: Missing, (here, before): (Digest, Digest), supplied: &[SuppliedEntry]) -> Result<bool> {
    let in_order = supplied.iter().map(|entry| entry.index).eq(missing.from..=missing.until);
    let leads = here == before && supplied.last().is_some_and(|last| last.root == missing.root);
    for entry in supplied {
        let leaf: serde_json::Value = serde_json::from_slice(&entry.leaf).map_err(Error::internal)?;
        let committed = |(nonce, record): &(Digest, serde_json::Value)| commit_record(&nonce.0, record).to_string();
        if entry.record.as_ref().is_some_and(|record| leaf["commitment"] != committed(record)) {
            return Ok(false);
        }
    }
    Ok(in_order && leads)
}

fn notice(missing: Missing, said: &Said) -> String {
    let list = |lines: Vec<String>| lines.iter().map(|line| format!("- {line}\n")).collect::<String>();
    format!(
        "Entries {} to {} of the epoch {} of your log, which a restore had lost, were supplied from a pack of evidence. They lead to the\n\
         checkpoint that was kept, and have their proofs again.\n\n\
         What they ended is not ended by that. Until it is, the state of your institution cannot be confirmed:\n{}\n\
         What they gave is not given again. Repeat it, if it is still wanted:\n{}",
        missing.from,
        missing.until,
        missing.epoch,
        list(said.narrowing.iter().map(Narrowing::told).collect()),
        list(said.widening.clone()),
    )
}

/// What supplied entries ended and what is not ended now, and what they gave; as the customer's tenant.
pub(super) async fn left(conn: &mut Connection, log: LogId, now: Instant) -> Result<Said> {
    let supplied = supplied_entries(conn, log).await?;
    let mut said = said(supplied.iter().map(|(_, entry)| entry))?;
    for act in std::mem::take(&mut said.narrowing) {
        if store::is_open(conn, log, &act, now).await? {
            said.narrowing.insert(act);
        }
    }
    Ok(said)
}
