//! All SQL of erasing: what is old enough, and taking it away. The database refuses every other order
//! of these statements, and each of them without the entry.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::postgres::PgConnection;

use crate::base::{Digest, DocumentId, Error, Instant, Result, from_value};
use crate::db::{LogId, ensure_one};
use crate::evidence::Event;

/// An entry whose subjects may go.
#[derive(Debug, Clone)]
pub(super) struct Expired {
    pub index: i64,
    pub word: String,
}

/// A stretch of one epoch of a log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    pub log: LogId,
    pub epoch: i32,
    pub from: i64,
    pub until: i64,
}

/// The entries of a stretch, of those that are named if some are, whose subjects are there, are about nothing
/// that still has effect, and were over before `before`: refusals and dry runs by their time, permits by the
/// end of their export, or by the restore that made it void.
pub(super) async fn expired(conn: &mut PgConnection, stretch: Stretch, before: Instant, named: Option<&[i64]>) -> Result<Vec<Expired>> {
    Ok(sqlx::query_as!(
        Expired,
        r#"SELECT e.index, e.type AS word FROM log_entry e
           LEFT JOIN export x ON x.customer_id = e.customer_id AND x.epoch = e.epoch AND x.index = e.index
           WHERE e.customer_id = $1 AND e.epoch = $2 AND e.index >= $3 AND e.index < $4 AND e.subjects IS NOT NULL
             AND ($6::bigint[] IS NULL OR e.index = ANY ($6))
             AND ((e.type IN ('export.refused', 'export.tried') AND e.at < $5)
               OR (e.type IN ('export.permitted', 'export.single_permitted')
                   AND export_ended_at(x.customer_id, x.id) < $5))
           ORDER BY e.index"#,
        stretch.log.0,
        stretch.epoch,
        stretch.from,
        stretch.until,
        before as Instant,
        named
    )
    .fetch_all(conn)
    .await?)
}

/// An erasure that the log tells of.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub epoch: u32,
    pub index: u64,
    pub event: Event,
}

/// The erasures that a log tells of, in order.
pub(super) async fn told(conn: &mut PgConnection, log: LogId) -> Result<Vec<Told>> {
    let rows = sqlx::query!(
        "SELECT epoch, index, type AS word, record FROM log_entry
         WHERE customer_id = $1 AND type IN ('subjects.erased', 'document.erased') ORDER BY epoch, index",
        log.0
    );
    let told = rows.fetch_all(conn).await?.into_iter().map(|row| {
        let event = from_value(&serde_json::json!({"type": row.word, "record": row.record})).map_err(Error::internal)?;
        Ok(Told {
            epoch: u32::try_from(row.epoch).map_err(Error::internal)?,
            index: u64::try_from(row.index).map_err(Error::internal)?,
            event,
        })
    });
    told.collect()
}

/// How many of these entries there are of each type.
pub(super) async fn kinds(conn: &mut PgConnection, log: LogId, entries: &[(u32, u64)]) -> Result<BTreeMap<String, u64>> {
    let (mut epochs, mut indices) = (Vec::new(), Vec::new());
    for (epoch, index) in entries {
        epochs.push(i32::try_from(*epoch).map_err(Error::internal)?);
        indices.push(i64::try_from(*index).map_err(Error::internal)?);
    }
    let rows = sqlx::query!(
        r#"SELECT e.type AS word, count(*) AS "count!" FROM log_entry e
           JOIN unnest($2::integer[], $3::bigint[]) AS n (epoch, index) ON e.epoch = n.epoch AND e.index = n.index
           WHERE e.customer_id = $1 GROUP BY e.type"#,
        log.0,
        &epochs,
        &indices
    );
    rows.fetch_all(conn).await?.into_iter().map(|row| Ok((row.word, u64::try_from(row.count).map_err(Error::internal)?))).collect()
}

/// Which of these documents were stored.
pub(super) async fn stored(conn: &mut PgConnection, log: LogId, documents: &[String]) -> Result<BTreeSet<DocumentId>> {
    let rows = sqlx::query_scalar!(
        r#"SELECT record ->> 'document' AS "document!" FROM log_entry
           WHERE customer_id = $1 AND type = 'document.stored' AND record ->> 'document' = ANY ($2)"#,
        log.0,
        documents
    );
    rows.fetch_all(conn).await?.iter().map(|id| id.parse().map_err(Error::internal)).collect()
}

/// Takes the subjects of entries away, and all that they could be guessed by: the hash of the request,
/// the claims of the permit, and the references of its chunks.
pub(super) async fn erase_subjects(conn: &mut PgConnection, log: LogId, epoch: i32, indices: &[i64]) -> Result<()> {
    let entries = sqlx::query!(
        "UPDATE log_entry SET subjects = NULL, subjects_nonce = NULL, request_hash = NULL WHERE customer_id = $1 AND epoch = $2 AND index = ANY ($3)",
        log.0,
        epoch,
        indices
    );
    if entries.execute(&mut *conn).await?.rows_affected() != indices.len() as u64 {
        return Err(Error::internal("not every entry that was named is there to be erased"));
    }
    let exports: Vec<uuid::Uuid> = sqlx::query_scalar!(
        "UPDATE export SET subjects = NULL, permit = NULL WHERE customer_id = $1 AND epoch = $2 AND index = ANY ($3) RETURNING id",
        log.0,
        epoch,
        indices
    )
    .fetch_all(&mut *conn)
    .await?;
    if exports.is_empty() {
        return Ok(());
    }
    let (chunks, chunk_epochs): (Vec<i64>, Vec<i32>) = sqlx::query!(
        "UPDATE export_chunk SET last_reference = NULL, last_nonce = NULL WHERE customer_id = $1 AND export_id = ANY ($2) RETURNING epoch, index",
        log.0,
        &exports
    )
    .fetch_all(&mut *conn)
    .await?
    .into_iter()
    .map(|row| (row.index, row.epoch))
    .unzip();
    sqlx::query!(
        "UPDATE log_entry e SET request_hash = NULL FROM unnest($2::integer[], $3::bigint[]) AS c (epoch, index)
         WHERE e.customer_id = $1 AND e.epoch = c.epoch AND e.index = c.index AND e.type = 'export.chunk_authorised' AND e.request_hash IS NOT NULL",
        log.0,
        &chunk_epochs,
        &chunks
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "UPDATE log_entry SET request_hash = NULL
         WHERE customer_id = $1 AND type IN ('export.chunk_refused', 'export.redeemed', 'export.redemption_refused') AND request_hash IS NOT NULL
           AND split_part(record ->> 'export', '_', 2)::uuid = ANY ($2)",
        log.0,
        &exports
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The entries of a stretch, from before `before`, whose request could still be guessed: of requests for
/// nobody, and what came after the subjects of its export were erased.
pub(super) async fn guessable(conn: &mut PgConnection, stretch: Stretch, before: Instant) -> Result<Vec<i64>> {
    Ok(sqlx::query_scalar!(
        "SELECT e.index FROM log_entry e
         WHERE e.customer_id = $1 AND e.epoch = $2 AND e.index >= $3 AND e.index < $4 AND e.request_hash IS NOT NULL AND e.at < $5
           AND (e.type = 'gate.unknown_refused'
             OR (e.type IN ('export.redeemed', 'export.redemption_refused', 'export.chunk_authorised', 'export.chunk_refused')
                 AND EXISTS (SELECT 1 FROM export x WHERE x.customer_id = e.customer_id AND x.subjects IS NULL
                               AND x.id = split_part(e.record ->> 'export', '_', 2)::uuid)))
         ORDER BY e.index",
        stretch.log.0,
        stretch.epoch,
        stretch.from,
        stretch.until,
        before as Instant
    )
    .fetch_all(conn)
    .await?)
}

/// Takes the hashes of their requests away.
pub(super) async fn erase_requests(conn: &mut PgConnection, log: LogId, epoch: i32, indices: &[i64]) -> Result<()> {
    let entries = sqlx::query!(
        "UPDATE log_entry SET request_hash = NULL WHERE customer_id = $1 AND epoch = $2 AND index = ANY ($3)",
        log.0,
        epoch,
        indices
    );
    if entries.execute(conn).await?.rows_affected() == indices.len() as u64 {
        return Ok(());
    }
    Err(Error::internal("not every entry that was named is there to be erased"))
}

/// A document whose bytes may go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needless {
    pub id: DocumentId,
    pub sha256: Digest,
}

/// The oldest document that nothing has needed since `before`.
pub(super) async fn needless(conn: &mut PgConnection, log: LogId, before: Instant) -> Result<Option<Needless>> {
    Ok(sqlx::query_as!(
        Needless,
        r#"SELECT id AS "id: DocumentId", sha256 AS "sha256: Digest" FROM document
           WHERE customer_id = $1 AND erased_at IS NULL AND stored_at < $2 AND document_needed_until(customer_id, id) < $2 ORDER BY id LIMIT 1"#,
        log.0,
        before as Instant
    )
    .fetch_optional(conn)
    .await?)
}

/// True if a document's bytes are there, and nothing needs them any more.
pub(super) async fn is_needless(conn: &mut PgConnection, log: LogId, document: DocumentId, now: Instant) -> Result<bool> {
    let found = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM document WHERE customer_id = $1 AND id = $2 AND erased_at IS NULL
                          AND document_needed_until(customer_id, id) <= $3) AS "needless!""#,
        log.0,
        document as DocumentId,
        now as Instant
    );
    Ok(found.fetch_one(conn).await?)
}

/// Takes a document's bytes away.
pub(super) async fn erase_document(conn: &mut PgConnection, log: LogId, document: DocumentId, now: Instant) -> Result<()> {
    let marked = sqlx::query!(
        "UPDATE document SET erased_at = $3 WHERE customer_id = $1 AND id = $2",
        log.0,
        document as DocumentId,
        now as Instant
    );
    ensure_one(&marked.execute(&mut *conn).await?)?;
    sqlx::query!("DELETE FROM document_part WHERE customer_id = $1 AND document_id = $2", log.0, document as DocumentId)
        .execute(conn)
        .await?;
    Ok(())
}

/// Takes away the packs that were made before, since they hold what is erased now; and what their keys were
/// answered, so that the same key makes another.
pub(super) async fn forget_packs(conn: &mut PgConnection, log: LogId) -> Result<()> {
    // The policies show the eraser no other operation, and none that still runs; no other key either.
    sqlx::query!("DELETE FROM idempotency WHERE customer_id = $1", log.0).execute(&mut *conn).await?;
    sqlx::query!("DELETE FROM operation_part WHERE customer_id = $1", log.0).execute(&mut *conn).await?;
    sqlx::query!("DELETE FROM operation WHERE customer_id = $1", log.0).execute(conn).await?;
    Ok(())
}
