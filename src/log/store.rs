//! All SQL of this feature: public keys of the logs with the instants of their life, and the daily
//! checkpoints that were queued.

use chrono::NaiveDate;
use sqlx::postgres::PgConnection;

use super::decide::LogKey;
use crate::base::{Instant, Result};
use crate::db::{CommittedHead, LogId, ensure_one};

/// Every key there ever was, oldest first.
///
/// # Errors
/// When the database does not answer.
pub async fn log_keys(conn: &mut PgConnection) -> Result<Vec<LogKey>> {
    Ok(sqlx::query_as!(
        LogKey,
        r#"SELECT kid, public_key, published_at AS "published_at: Instant", activated_at AS "activated_at: Instant",
                  retired_at AS "retired_at: Instant", withdrawn_at AS "withdrawn_at: Instant"
           FROM log_key ORDER BY published_at, kid"#
    )
    .fetch_all(conn)
    .await?)
}

pub(super) async fn publish(conn: &mut PgConnection, kid: &str, public_key: &[u8; 32], now: Instant) -> Result<()> {
    let insert =
        sqlx::query!("INSERT INTO log_key (kid, public_key, published_at) VALUES ($1, $2, $3)", kid, public_key.as_slice(), now as Instant);
    ensure_one(&insert.execute(conn).await?)
}

pub(super) async fn activate(conn: &mut PgConnection, kid: &str, now: Instant) -> Result<()> {
    let done = sqlx::query!(
        "UPDATE log_key SET activated_at = $2 WHERE kid = $1 AND activated_at IS NULL AND withdrawn_at IS NULL",
        kid,
        now as Instant
    )
    .execute(conn)
    .await?;
    ensure_one(&done)
}

pub(super) async fn retire(conn: &mut PgConnection, kid: &str, now: Instant) -> Result<()> {
    let done = sqlx::query!(
        "UPDATE log_key SET retired_at = $2 WHERE kid = $1 AND activated_at IS NOT NULL AND retired_at IS NULL AND withdrawn_at IS NULL",
        kid,
        now as Instant
    )
    .execute(conn)
    .await?;
    ensure_one(&done)
}

pub(super) async fn withdraw(conn: &mut PgConnection, kid: &str, now: Instant) -> Result<()> {
    let done = sqlx::query!("UPDATE log_key SET withdrawn_at = $2 WHERE kid = $1 AND withdrawn_at IS NULL", kid, now as Instant)
        .execute(conn)
        .await?;
    ensure_one(&done)
}

/// The customers whose log has grown since the checkpoint that was queued last, on a day before this
/// one; at most 100.
pub(super) async fn without_checkpoint(conn: &mut PgConnection, day: NaiveDate) -> Result<Vec<LogId>> {
    let due = sqlx::query_scalar!(
        "SELECT l.id FROM log l JOIN log_head h ON h.customer_id = l.id
         WHERE l.kind = 'customer' AND h.size > 0 AND NOT EXISTS (SELECT 1 FROM log_quarantine q WHERE q.customer_id = l.id)
           AND NOT EXISTS (SELECT 1 FROM checkpoint_notice n WHERE n.customer_id = l.id AND (n.day >= $1 OR (n.epoch = h.epoch AND n.size = h.size)))
         ORDER BY l.id LIMIT 100",
        day
    );
    Ok(due.fetch_all(conn).await?.into_iter().map(LogId).collect())
}

/// Notes that the checkpoint of a day is queued; false if it was.
pub(super) async fn note_checkpoint(conn: &mut PgConnection, day: NaiveDate, head: &CommittedHead) -> Result<bool> {
    let size = i64::try_from(head.size).map_err(crate::base::Error::internal)?;
    let done = sqlx::query!(
        "INSERT INTO checkpoint_notice (customer_id, day, epoch, size) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        head.log.0,
        day,
        head.epoch,
        size
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}
