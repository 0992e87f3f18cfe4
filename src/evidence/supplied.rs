//! Entries that a restore lost, supplied again from a pack: kept beside the log, so that checkpoints and
//! receipts from before have their proofs. They are evidence only: facts are never rebuilt from them.

use serde_json::Value;
use sqlx::postgres::PgConnection;

use super::event::Event;
use super::proof::{consistency, inclusion, of_leaves};
use crate::base::{Digest, Error, Instant, Result, from_value};
use crate::db::LogId;

/// An entry as a pack holds it.
#[derive(Debug, Clone)]
pub struct SuppliedEntry {
    /// Index in the epoch that lost it.
    pub index: u64,
    /// Word of its type.
    pub word: String,
    /// What it was about, as in the leaf.
    pub object: String,
    /// Leaf data.
    pub leaf: Vec<u8>,
    /// Hash of the leaf.
    pub leaf_hash: Digest,
    /// Root of the tree whose last leaf this is.
    pub root: Digest,
    /// The record, with the nonce of its commitment; absent when the pack has left it out.
    pub record: Option<(Digest, Value)>,
}

impl SuppliedEntry {
    /// The event, typed; `None`: its record is not here.
    ///
    /// # Errors
    /// [`Error::Internal`] when the record does not have the shape of its type.
    pub fn event(&self) -> Result<Option<Event>> {
        let Some((_, record)) = &self.record else { return Ok(None) };
        from_value(&serde_json::json!({"type": self.word, "record": record})).map(Some).map_err(Error::internal)
    }
}

fn signed(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(Error::internal)
}

fn of_epoch(epoch: u32) -> Result<i32> {
    i32::try_from(epoch).map_err(|_| Error::NotFound)
}

/// Keeps supplied entries of an epoch.
///
/// # Errors
/// When they are kept already.
pub async fn keep_supplied(conn: &mut PgConnection, log: LogId, epoch: u32, entries: &[SuppliedEntry], now: Instant) -> Result<()> {
    for entry in entries {
        sqlx::query!(
            "INSERT INTO supplied_entry (customer_id, epoch, index, type, leaf, leaf_hash, root, nonce, record, supplied_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            log.0,
            of_epoch(epoch)?,
            signed(entry.index)?,
            entry.word,
            entry.leaf,
            entry.leaf_hash as Digest,
            entry.root as Digest,
            entry.record.as_ref().map(|(nonce, _)| nonce.0.to_vec()),
            entry.record.as_ref().map(|(_, record)| record),
            now as Instant
        )
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

/// The supplied entries of a log, in order, with their epochs.
///
/// # Errors
/// When the database does not answer.
pub async fn supplied_entries(conn: &mut PgConnection, log: LogId) -> Result<Vec<(u32, SuppliedEntry)>> {
    let rows = sqlx::query!(
        r#"SELECT epoch, index, type AS word, leaf, leaf_hash AS "leaf_hash: Digest", root AS "root: Digest", nonce AS "nonce: Digest", record
           FROM supplied_entry WHERE customer_id = $1 ORDER BY epoch, index"#,
        log.0
    );
    let entries = rows.fetch_all(conn).await?.into_iter().map(|row| {
        let leaf: Value = serde_json::from_slice(&row.leaf).map_err(Error::internal)?;
        let entry = SuppliedEntry {
            index: u64::try_from(row.index).map_err(Error::internal)?,
            word: row.word,
            object: leaf.get("object").and_then(Value::as_str).unwrap_or_default().to_owned(),
            leaf: row.leaf,
            leaf_hash: row.leaf_hash,
            root: row.root,
            record: row.nonce.zip(row.record),
        };
        Ok((u32::try_from(row.epoch).map_err(Error::internal)?, entry))
    });
    entries.collect()
}

/// Leaf hash and root of the supplied entry at an index of an epoch.
///
/// # Errors
/// [`Error::NotFound`] when there is none.
pub async fn supplied_place(conn: &mut PgConnection, log: LogId, epoch: u32, index: u64) -> Result<(Digest, Digest)> {
    let row = sqlx::query!(
        r#"SELECT leaf_hash AS "leaf_hash: Digest", root AS "root: Digest" FROM supplied_entry
           WHERE customer_id = $1 AND epoch = $2 AND index = $3"#,
        log.0,
        of_epoch(epoch)?,
        i64::try_from(index).map_err(|_| Error::NotFound)?
    );
    let row = row.fetch_optional(conn).await?.ok_or(Error::NotFound)?;
    Ok((row.leaf_hash, row.root))
}

/// How far an epoch reaches with what was supplied; `None`: nothing was.
///
/// # Errors
/// When the database does not answer.
pub async fn size_with_supplied(conn: &mut PgConnection, log: LogId, epoch: u32) -> Result<Option<u64>> {
    let size = sqlx::query_scalar!(
        "SELECT max(index) + 1 AS size FROM supplied_entry WHERE customer_id = $1 AND epoch = $2",
        log.0,
        of_epoch(epoch)?
    );
    size.fetch_one(conn).await?.map(|size| u64::try_from(size).map_err(Error::internal)).transpose()
}

/// The leaf hashes of the first entries of an epoch, those that are in the log and those that were supplied.
async fn leaves(conn: &mut PgConnection, log: LogId, epoch: u32, size: u64) -> Result<Vec<Digest>> {
    let found = sqlx::query_scalar!(
        r#"SELECT leaf_hash AS "hash!: Digest" FROM
             (SELECT index, leaf_hash FROM log_entry WHERE customer_id = $1 AND epoch = $2 AND index < $3
              UNION ALL SELECT index, leaf_hash FROM supplied_entry WHERE customer_id = $1 AND epoch = $2 AND index < $3) l
           ORDER BY index"#,
        log.0,
        of_epoch(epoch)?,
        i64::try_from(size).map_err(|_| Error::NotFound)?
    );
    let found = found.fetch_all(conn).await?;
    if found.len() as u64 == size { Ok(found) } else { Err(Error::NotFound) }
}

/// The inclusion proof of an entry in a tree that reaches into what was supplied.
///
/// # Errors
/// [`Error::NotFound`] when there is no such tree or entry.
pub async fn supplied_inclusion(conn: &mut PgConnection, log: LogId, epoch: u32, index: u64, size: u64) -> Result<Vec<Digest>> {
    let leaves = leaves(conn, log, epoch, size).await?;
    inclusion(index, size, of_leaves(&leaves)).ok_or(Error::NotFound)
}

/// The consistency proof between two sizes, the later of which reaches into what was supplied.
///
/// # Errors
/// [`Error::NotFound`] when there are no such trees.
pub async fn supplied_consistency(conn: &mut PgConnection, log: LogId, epoch: u32, old: u64, new: u64) -> Result<Vec<Digest>> {
    if old == 0 || old > new {
        return Err(Error::NotFound);
    }
    let leaves = leaves(conn, log, epoch, new).await?;
    consistency(old, new, of_leaves(&leaves)).ok_or(Error::NotFound)
}
