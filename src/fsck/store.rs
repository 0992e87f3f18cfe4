//! All SQL of checking the logs: which are quarantined, and since when; and a customer's effects, row by
//! row. The sizes that were verified last are files beside the checkpoints: the database says nothing
//! about itself.

use futures_util::TryStreamExt as _;
use serde_json::Value;
use sqlx::postgres::PgConnection;

use super::rows::Rows;
use crate::base::{CustomerId, Instant, Result};
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

/// Logs that have no head, by id and name: the lists of logs do not have them.
pub(super) async fn without_head(conn: &mut PgConnection) -> Result<Vec<(LogId, String)>> {
    let rows =
        sqlx::query!("SELECT l.id, l.name FROM log l WHERE NOT EXISTS (SELECT FROM log_head h WHERE h.customer_id = l.id) ORDER BY l.id");
    Ok(rows.fetch_all(conn).await?.into_iter().map(|row| (LogId(row.id), row.name)).collect())
}

/// An entry at a place that is none, which nothing could read.
pub(super) async fn misplaced(conn: &mut PgConnection, log: LogId) -> Result<Option<(i32, i64)>> {
    let query = sqlx::query!("SELECT epoch, index FROM log_entry WHERE customer_id = $1 AND (epoch < 1 OR index < 0) LIMIT 1", log.0);
    Ok(query.fetch_optional(conn).await?.map(|row| (row.epoch, row.index)))
}

/// Takes every row of a customer's effects, one after the other.
pub(super) async fn effects(conn: &mut PgConnection, customer: CustomerId, rows: &mut Rows) -> Result<()> {
    let query = sqlx::query!(
        r#"SELECT 'instruction_usage' AS "of!", to_jsonb(t) AS "row!" FROM instruction_usage t WHERE t.customer_id = $1
           UNION ALL SELECT 'agreement', to_jsonb(t) FROM agreement t WHERE t.customer_id = $1
           UNION ALL SELECT 'suspension', to_jsonb(t) FROM suspension t WHERE t.customer_id = $1
           UNION ALL SELECT 'instruction_version', to_jsonb(t) FROM instruction_version t WHERE t.customer_id = $1
           UNION ALL SELECT 'instruction_term', to_jsonb(t) FROM instruction_term t WHERE t.customer_id = $1
           UNION ALL SELECT 'instruction_revocation', to_jsonb(t) FROM instruction_revocation t WHERE t.customer_id = $1
           UNION ALL SELECT 'instruction_contest', to_jsonb(t) FROM instruction_contest t WHERE t.customer_id = $1
           UNION ALL SELECT 'instruction_confirmation', to_jsonb(t) FROM instruction_confirmation t WHERE t.customer_id = $1
           UNION ALL SELECT 'export', to_jsonb(t) FROM export t WHERE t.customer_id = $1
           UNION ALL SELECT 'export_chunk', to_jsonb(t) FROM export_chunk t WHERE t.customer_id = $1"#,
        customer as CustomerId
    );
    let mut stored = query.fetch(conn);
    while let Some(row) = stored.try_next().await? {
        if let Value::Object(columns) = &row.row {
            rows.stored(&row.of, columns);
        }
    }
    Ok(())
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
