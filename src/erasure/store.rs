//! All SQL of erasing: what is old enough in a stretch of a log, and setting it to null. The database
//! refuses every other order of these statements, and each of them without the entry.

use sqlx::postgres::PgConnection;

use crate::base::{Error, Instant, Result};
use crate::db::LogId;

/// An entry whose subjects may go.
#[derive(Debug, Clone)]
pub struct Expired {
    pub epoch: i32,
    pub index: i64,
    pub word: String,
}

/// The entries of a stretch whose subjects are there, are about nothing that still has effect, and were
/// over before `before`: refusals and dry runs by their time, permits by the end of their export.
pub(super) async fn expired(
    conn: &mut PgConnection,
    log: LogId,
    epoch: i32,
    from: i64,
    until: i64,
    before: Instant,
) -> Result<Vec<Expired>> {
    Ok(sqlx::query_as!(
        Expired,
        r#"SELECT e.epoch, e.index, e.type AS word FROM log_entry e
           LEFT JOIN export x ON x.customer_id = e.customer_id AND x.epoch = e.epoch AND x.index = e.index
           WHERE e.customer_id = $1 AND e.epoch = $2 AND e.index >= $3 AND e.index < $4 AND e.subjects IS NOT NULL
             AND ((e.type IN ('export.refused', 'export.tried') AND e.at < $5)
               OR (e.type IN ('export.permitted', 'export.single_permitted')
                   AND COALESCE(x.completed_at, x.aborted_at, x.swept_at, CASE WHEN x.redeemed_at IS NULL THEN x.expires_at END) < $5))
           ORDER BY e.index"#,
        log.0,
        epoch,
        from,
        until,
        before as Instant
    )
    .fetch_all(conn)
    .await?)
}

/// Takes the subjects of entries away, of their permits, and the references of their chunks.
pub(super) async fn erase(conn: &mut PgConnection, log: LogId, epoch: i32, indices: &[i64]) -> Result<()> {
    let entries = sqlx::query!(
        "UPDATE log_entry SET subjects = NULL, subjects_nonce = NULL WHERE customer_id = $1 AND epoch = $2 AND index = ANY ($3)",
        log.0,
        epoch,
        indices
    );
    if entries.execute(&mut *conn).await?.rows_affected() != indices.len() as u64 {
        return Err(Error::internal("not every entry that was named is there to be erased"));
    }
    sqlx::query!("UPDATE export SET subjects = NULL WHERE customer_id = $1 AND epoch = $2 AND index = ANY ($3)", log.0, epoch, indices)
        .execute(&mut *conn)
        .await?;
    sqlx::query!(
        "UPDATE export_chunk c SET last_reference = NULL, last_nonce = NULL FROM export x
         WHERE x.customer_id = $1 AND x.epoch = $2 AND x.index = ANY ($3) AND c.customer_id = x.customer_id AND c.export_id = x.id
           AND c.last_reference IS NOT NULL",
        log.0,
        epoch,
        indices
    )
    .execute(conn)
    .await?;
    Ok(())
}
