//! All SQL of checking the logs: which are quarantined, and since when. Beside it, the sizes that were
//! verified last: files beside the checkpoints, since the database says nothing about itself.

use sqlx::postgres::PgConnection;

use crate::base::{Instant, Result};
use crate::db::{LogId, ensure_one};

/// A log that failed its check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantine {
    /// The log's text name.
    pub name: String,
    /// The log.
    pub log: LogId,
    /// What was wrong, and where.
    pub cause: String,
    /// Since when.
    pub began_at: Instant,
}

struct Row {
    id: uuid::Uuid,
    name: String,
    cause: String,
    began_at: Instant,
}

/// Every log in quarantine.
pub(super) async fn quarantines(conn: &mut PgConnection) -> Result<Vec<Quarantine>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT l.id, l.name, q.cause, q.began_at AS "began_at: Instant"
           FROM log_quarantine q JOIN log l ON l.id = q.customer_id ORDER BY l.id"#
    );
    let found = rows.fetch_all(conn).await?.into_iter();
    Ok(found.map(|row| Quarantine { name: row.name, log: LogId(row.id), cause: row.cause, began_at: row.began_at }).collect())
}

/// Begins a quarantine; one that has begun stays as it is.
pub(super) async fn begin(conn: &mut PgConnection, log: LogId, cause: &str, now: Instant) -> Result<bool> {
    let insert = sqlx::query!(
        "INSERT INTO log_quarantine (customer_id, cause, began_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        log.0,
        cause,
        now as Instant
    );
    Ok(insert.execute(conn).await?.rows_affected() == 1)
}

/// Ends it.
pub(super) async fn end(conn: &mut PgConnection, log: LogId) -> Result<()> {
    let done = sqlx::query!("DELETE FROM log_quarantine WHERE customer_id = $1", log.0).execute(conn).await?;
    ensure_one(&done)
}
