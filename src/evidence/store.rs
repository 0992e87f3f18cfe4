//! All SQL of the logs: inserting an entry, and reading entries in index order. Nothing here
//! changes or removes one; the roles cannot.

use serde_json::Value;
use sqlx::postgres::PgConnection;

use super::appending::{NewEntry, Receipt, Row, origin};
use super::event::Event;
use crate::base::{Code, Digest, EntryId, Error, Instant, PageQuery, Result, Selector, from_value};
use crate::db::{Db, LogId, Role};

/// An entry as it is stored.
#[derive(Debug, Clone)]
pub struct StoredEntry {
    /// Id made before the transaction.
    pub id: EntryId,
    /// Epoch.
    pub epoch: u32,
    /// Index in the epoch.
    pub index: u64,
    /// Time.
    pub at: Instant,
    /// Word of the type.
    pub word: String,
    /// Leaf data.
    pub leaf: Vec<u8>,
    /// Hash of the leaf.
    pub leaf_hash: Digest,
    /// Nonce of the record's commitment.
    pub nonce: Digest,
    /// The record as it is stored.
    pub record: Value,
    /// The subjects as they are stored, with their nonce.
    pub subjects: Option<(Value, Digest)>,
    /// For entries made at the gate with a key: hash of the request.
    pub request_hash: Option<Digest>,
    /// Root of the tree whose last leaf this is.
    pub root: Digest,
    /// For entries made at the gate: the platform that asked.
    pub platform: Option<Code>,
}

impl StoredEntry {
    /// The event, typed.
    ///
    /// # Errors
    /// [`Error::Internal`] when the record does not have the shape of its type.
    pub fn event(&self) -> Result<Event> {
        let tagged = serde_json::json!({"type": self.word, "record": self.record});
        from_value(&tagged).map_err(Error::internal)
    }
    /// The receipt, as it was given.
    #[must_use]
    pub fn receipt(&self, log_name: &str) -> Receipt {
        let origin = origin(log_name, self.epoch);
        Receipt { origin, index: self.index, leaf_hash: self.leaf_hash, size: self.index + 1, root: self.root, proof: None }
    }
    /// The subjects, typed; `None` when the event has none or they were erased.
    ///
    /// # Errors
    /// [`Error::Internal`] when they cannot be read.
    pub fn selectors(&self) -> Result<Option<Vec<Selector>>> {
        self.subjects.as_ref().map(|(list, _)| from_value(list).map_err(Error::internal)).transpose()
    }
}

pub(super) async fn insert(conn: &mut PgConnection, entry: &NewEntry, row: &Row, epoch: i32, receipt: &Receipt) -> Result<()> {
    let index = i64::try_from(receipt.index).map_err(Error::internal)?;
    let (subjects, subjects_nonce) = match &row.subjects {
        Some((list, nonce)) => (Some(list), Some(nonce.as_slice())),
        None => (None, None),
    };
    let gate = entry.gate.as_ref();
    let hashes = gate.and_then(|g| g.hashes);
    sqlx::query!(
        "INSERT INTO log_entry (customer_id, epoch, index, id, type, at, leaf, leaf_hash, nonce, record, subjects, subjects_nonce,
                                platform, route, key_hash, request_hash, root)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
        entry.log.0,
        epoch,
        index,
        row.id as EntryId,
        entry.event.word(),
        row.at as Instant,
        row.leaf,
        row.leaf_hash as Digest,
        row.nonce.as_slice(),
        row.record,
        subjects,
        subjects_nonce,
        gate.map(|g| g.platform.as_str()),
        gate.map(|g| g.route),
        hashes.map(|h| h.0) as Option<Digest>,
        hashes.map(|h| h.1) as Option<Digest>,
        receipt.root as Digest,
    )
    .execute(conn)
    .await?;
    Ok(())
}

struct EntryRow {
    id: EntryId,
    epoch: i32,
    index: i64,
    at: Instant,
    word: String,
    leaf: Vec<u8>,
    leaf_hash: Digest,
    nonce: Digest,
    record: Value,
    subjects: Option<Value>,
    subjects_nonce: Option<Digest>,
    request_hash: Option<Digest>,
    root: Digest,
    platform: Option<Code>,
}

impl TryFrom<EntryRow> for StoredEntry {
    type Error = Error;
    fn try_from(row: EntryRow) -> Result<Self> {
        Ok(Self {
            id: row.id,
            epoch: u32::try_from(row.epoch).map_err(Error::internal)?,
            index: u64::try_from(row.index).map_err(Error::internal)?,
            at: row.at,
            word: row.word,
            leaf: row.leaf,
            leaf_hash: row.leaf_hash,
            nonce: row.nonce,
            record: row.record,
            subjects: row.subjects.zip(row.subjects_nonce),
            request_hash: row.request_hash,
            root: row.root,
            platform: row.platform,
        })
    }
}

/// Entries of a log in order, from `(epoch, index)` on, at most `limit`, optionally of some types only.
///
/// # Errors
/// When the database does not answer.
pub async fn entries(
    conn: &mut PgConnection,
    log: LogId,
    from: (u32, u64),
    limit: i64,
    words: Option<&[String]>,
) -> Result<Vec<StoredEntry>> {
    let epoch = i32::try_from(from.0).map_err(Error::internal)?;
    let index = i64::try_from(from.1).map_err(Error::internal)?;
    sqlx::query_as!(
        EntryRow,
        r#"SELECT id AS "id: EntryId", epoch, index, at AS "at: Instant", type AS word, leaf, leaf_hash AS "leaf_hash: Digest",
                  nonce AS "nonce: Digest", record, subjects, subjects_nonce AS "subjects_nonce: Digest", request_hash AS "request_hash: Digest",
                  root AS "root: Digest", platform AS "platform: Code"
           FROM log_entry WHERE customer_id = $1 AND (epoch, index) >= ($2, $3) AND ($4::text[] IS NULL OR type = ANY ($4))
           ORDER BY epoch, index LIMIT $5"#,
        log.0,
        epoch,
        index,
        words,
        limit
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(StoredEntry::try_from)
    .collect()
}

/// Which entries of a log are asked for.
#[derive(Debug, Clone, Default)]
pub struct EntryFilter {
    /// Of this type only.
    pub word: Option<String>,
    /// Of this time and later only.
    pub from_at: Option<Instant>,
    /// Before this time only.
    pub until_at: Option<Instant>,
}

/// One page of a log in order; elements are found again by their id.
///
/// # Errors
/// When the database does not answer.
pub async fn page_of_entries(conn: &mut PgConnection, log: LogId, page: &PageQuery, filter: &EntryFilter) -> Result<Vec<StoredEntry>> {
    sqlx::query_as!(
        EntryRow,
        r#"SELECT id AS "id: EntryId", epoch, index, at AS "at: Instant", type AS word, leaf, leaf_hash AS "leaf_hash: Digest",
                  nonce AS "nonce: Digest", record, subjects, subjects_nonce AS "subjects_nonce: Digest", request_hash AS "request_hash: Digest",
                  root AS "root: Digest", platform AS "platform: Code"
           FROM log_entry
           WHERE customer_id = $1 AND ($2::text IS NULL OR type = $2)
             AND ($3::uuid IS NULL OR (epoch, index) > (SELECT a.epoch, a.index FROM log_entry a WHERE a.customer_id = $1 AND a.id = $3))
             AND ($4::timestamptz IS NULL OR at >= $4) AND ($5::timestamptz IS NULL OR at < $5)
           ORDER BY epoch, index LIMIT $6"#,
        log.0,
        filter.word,
        page.after,
        filter.from_at as Option<Instant>,
        filter.until_at as Option<Instant>,
        page.fetch()
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(StoredEntry::try_from)
    .collect()
}

/// One entry by its id.
///
/// # Errors
/// [`Error::NotFound`] when this tenant has no such entry.
pub async fn entry_by_id(conn: &mut PgConnection, log: LogId, id: EntryId) -> Result<StoredEntry> {
    sqlx::query_as!(
        EntryRow,
        r#"SELECT id AS "id: EntryId", epoch, index, at AS "at: Instant", type AS word, leaf, leaf_hash AS "leaf_hash: Digest",
                  nonce AS "nonce: Digest", record, subjects, subjects_nonce AS "subjects_nonce: Digest", request_hash AS "request_hash: Digest",
                  root AS "root: Digest", platform AS "platform: Code"
           FROM log_entry WHERE customer_id = $1 AND id = $2"#,
        log.0,
        id as EntryId
    )
    .fetch_optional(conn)
    .await?
    .ok_or(Error::NotFound)?
    .try_into()
}

/// The leaf data of a range of entries, in order.
///
/// # Errors
/// When the database does not answer.
pub async fn leaves(conn: &mut PgConnection, log: LogId, epoch: u32, from: u64, count: u64) -> Result<Vec<Vec<u8>>> {
    let from = i64::try_from(from).map_err(Error::internal)?;
    let until = from + i64::try_from(count).map_err(Error::internal)?;
    let found = sqlx::query_scalar!(
        "SELECT leaf FROM log_entry WHERE customer_id = $1 AND epoch = $2 AND index >= $3 AND index < $4 ORDER BY index",
        log.0,
        i32::try_from(epoch).map_err(Error::internal)?,
        from,
        until
    );
    Ok(found.fetch_all(conn).await?)
}

/// Leaf hash and root of the entry at an index of an epoch.
///
/// # Errors
/// [`Error::NotFound`] when there is none.
pub async fn place(conn: &mut PgConnection, log: LogId, epoch: u32, index: u64) -> Result<(Digest, Digest)> {
    let row = sqlx::query!(
        r#"SELECT leaf_hash AS "leaf_hash: Digest", root AS "root: Digest" FROM log_entry WHERE customer_id = $1 AND epoch = $2 AND index = $3"#,
        log.0,
        i32::try_from(epoch).map_err(|_| Error::NotFound)?,
        i64::try_from(index).map_err(|_| Error::NotFound)?
    );
    let row = row.fetch_optional(conn).await?.ok_or(Error::NotFound)?;
    Ok((row.leaf_hash, row.root))
}

/// How many entries an epoch of a log has.
///
/// # Errors
/// [`Error::NotFound`] when it has none.
pub async fn size_of_epoch(conn: &mut PgConnection, log: LogId, epoch: u32) -> Result<u64> {
    let size = sqlx::query_scalar!(
        r#"SELECT COALESCE((SELECT size FROM log_head WHERE customer_id = $1 AND epoch = $2),
                           (SELECT max(index) + 1 FROM log_entry WHERE customer_id = $1 AND epoch = $2)) AS size"#,
        log.0,
        i32::try_from(epoch).map_err(|_| Error::NotFound)?
    );
    let size = size.fetch_one(conn).await?.ok_or(Error::NotFound)?;
    u64::try_from(size).map_err(Error::internal)
}

/// The entry that answered an idempotency key at the gate, if one did.
///
/// # Errors
/// When the database does not answer.
pub async fn answered(conn: &mut PgConnection, log: LogId, platform: &Code, route: &str, key_hash: Digest) -> Result<Option<StoredEntry>> {
    sqlx::query_as!(
        EntryRow,
        r#"SELECT id AS "id: EntryId", epoch, index, at AS "at: Instant", type AS word, leaf, leaf_hash AS "leaf_hash: Digest",
                  nonce AS "nonce: Digest", record, subjects, subjects_nonce AS "subjects_nonce: Digest", request_hash AS "request_hash: Digest",
                  root AS "root: Digest", platform AS "platform: Code"
           FROM log_entry WHERE customer_id = $1 AND platform = $2 AND route = $3 AND key_hash = $4"#,
        log.0,
        platform as &Code,
        route,
        key_hash as Digest
    )
    .fetch_optional(conn)
    .await?
    .map(StoredEntry::try_from)
    .transpose()
}

/// Epoch and size of a log.
///
/// # Errors
/// [`Error::NotFound`] when there is no such log for this tenant.
pub async fn head_of(conn: &mut PgConnection, log: LogId) -> Result<(u32, u64)> {
    let row = sqlx::query!("SELECT epoch, size FROM log_head WHERE customer_id = $1", log.0)
        .fetch_optional(conn)
        .await?
        .ok_or(Error::NotFound)?;
    Ok((u32::try_from(row.epoch).map_err(Error::internal)?, u64::try_from(row.size).map_err(Error::internal)?))
}

/// The root of a log at a size, as its entry holds it; `None`: the log does not reach so far.
pub async fn root_at(db: &Db, log: LogId, epoch: i32, size: u64) -> Result<Option<Digest>> {
    let last = i64::try_from(size).map_err(Error::internal)? - 1;
    let mut read = db.read(Role::OpsRead, "root_at", log).await?;
    let root = sqlx::query_scalar!(
        r#"SELECT root AS "root: Digest" FROM log_entry WHERE customer_id = $1 AND epoch = $2 AND index = $3"#,
        log.0,
        epoch,
        last
    );
    Ok(root.fetch_optional(read.conn()).await?)
}

/// Begins a quarantine; one that has begun stays as it is.
pub async fn begin_quarantine(conn: &mut PgConnection, log: LogId, cause: &str, now: Instant) -> Result<bool> {
    let insert = sqlx::query!(
        "INSERT INTO log_quarantine (customer_id, cause, began_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        log.0,
        cause,
        now as Instant
    );
    Ok(insert.execute(conn).await?.rows_affected() == 1)
}
