//! All SQL of checking the logs: which are quarantined, and since when; and a customer's effects, row by
//! row. The sizes that were verified last are files beside the checkpoints: the database says nothing
//! about itself.

use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
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

struct Effect {
    of: String,
    row: Value,
}

/// Takes every row of a log's effects, one after the other; a platform's log has its epochs only.
pub(super) async fn effects(conn: &mut PgConnection, log: LogId, kind: &str, rows: &mut Rows) -> Result<()> {
    taken(of_epochs(conn, log), rows).await?;
    match kind {
        "customer" => {
            let customer = CustomerId::from(log.0);
            taken(of_gate(conn, customer), rows).await?;
            taken(of_institution(conn, customer), rows).await
        }
        "registry" => taken(of_registry(conn), rows).await,
        "processor" => taken(of_processor(conn), rows).await,
        _ => Ok(()),
    }
}

async fn taken(mut stored: BoxStream<'_, sqlx::Result<Effect>>, rows: &mut Rows) -> Result<()> {
    while let Some(effect) = stored.try_next().await? {
        if let Value::Object(columns) = &effect.row {
            rows.stored(&effect.of, columns);
        }
    }
    Ok(())
}

fn of_epochs(conn: &mut PgConnection, log: LogId) -> BoxStream<'_, sqlx::Result<Effect>> {
    sqlx::query_as!(Effect, r#"SELECT 'log_epoch' AS "of!", to_jsonb(t) AS "row!" FROM log_epoch t WHERE t.customer_id = $1"#, log.0)
        .fetch(conn)
}

fn of_gate(conn: &mut PgConnection, customer: CustomerId) -> BoxStream<'_, sqlx::Result<Effect>> {
    sqlx::query_as!(
        Effect,
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
    )
    .fetch(conn)
}

/// The columns that the service may read: no hash of a secret is among them.
fn of_institution(conn: &mut PgConnection, customer: CustomerId) -> BoxStream<'_, sqlx::Result<Effect>> {
    sqlx::query_as!(
        Effect,
        r#"SELECT 'customer' AS "of!", to_jsonb(t) AS "row!" FROM own_customer() t
           UNION ALL SELECT 'external_id', to_jsonb(t) FROM own_external_ids() t
           UNION ALL SELECT 'unit', to_jsonb(t) FROM unit t WHERE t.customer_id = $1
           UNION ALL SELECT 'membership', to_jsonb(t) FROM membership t WHERE t.customer_id = $1
           UNION ALL SELECT 'authority', to_jsonb(t) FROM authority t WHERE t.customer_id = $1
           UNION ALL SELECT 'authority_suspension', to_jsonb(t) FROM authority_suspension t WHERE t.customer_id = $1
           UNION ALL SELECT 'api_key', to_jsonb(t) FROM (
               SELECT id, role, created_at, expires_at, revoked_at FROM api_key WHERE customer_id = $1) t
           UNION ALL SELECT 'first_signatory', to_jsonb(t) FROM first_signatory t WHERE t.customer_id = $1
           UNION ALL SELECT 'account_recovery', to_jsonb(t) FROM (
               SELECT id, agreement_id, membership_id, proposed_at, approved_at, delivered_at, opens_at, closes_at, accepted_at, withdrawn_at
               FROM account_recovery WHERE customer_id = $1) t
           UNION ALL SELECT 'recipient', to_jsonb(t) FROM recipient t WHERE t.customer_id = $1
           UNION ALL SELECT 'document', to_jsonb(t) FROM (
               SELECT d.id, d.sha256, d.length, d.media_type, d.stored_at, d.erased_at,
                      (SELECT sha256(string_agg(p.bytes, ''::bytea ORDER BY p.part)) FROM document_part p
                       WHERE p.customer_id = d.customer_id AND p.document_id = d.id) AS bytes_sha256
               FROM document d WHERE d.customer_id = $1) t"#,
        customer as CustomerId
    )
    .fetch(conn)
}

fn of_registry(conn: &mut PgConnection) -> BoxStream<'_, sqlx::Result<Effect>> {
    sqlx::query_as!(
        Effect,
        r#"SELECT 'purpose' AS "of!", to_jsonb(t) AS "row!" FROM purpose t
           UNION ALL SELECT 'data_category', to_jsonb(t) FROM data_category t
           UNION ALL SELECT 'channel', to_jsonb(t) FROM channel t
           UNION ALL SELECT 'eea_membership', to_jsonb(t) FROM eea_membership t
           UNION ALL SELECT 'public_holiday', to_jsonb(t) FROM public_holiday t
           UNION ALL SELECT 'platform', to_jsonb(t) FROM platform t
           UNION ALL SELECT 'platform_suspension', to_jsonb(t) FROM platform_suspension t
           UNION ALL SELECT 'permit_key', to_jsonb(t) FROM permit_key t
           UNION ALL SELECT 'log_key', to_jsonb(t) FROM log_key t"#
    )
    .fetch(conn)
}

fn of_processor(conn: &mut PgConnection) -> BoxStream<'_, sqlx::Result<Effect>> {
    sqlx::query_as!(
        Effect,
        r#"SELECT 'ops_person' AS "of!", to_jsonb(t) AS "row!" FROM (
               SELECT id, role, created_at, admitted_at, ended_at, recovered_at FROM ops_person) t
           UNION ALL SELECT 'api_key', to_jsonb(t) FROM (
               SELECT id, surface, platform, created_at, expires_at, approved_at, revoked_at FROM api_key WHERE customer_id IS NULL) t"#
    )
    .fetch(conn)
}

/// Ends it.
pub(super) async fn end(conn: &mut PgConnection, log: LogId) -> Result<()> {
    let done = sqlx::query!("DELETE FROM log_quarantine WHERE customer_id = $1", log.0).execute(conn).await?;
    ensure_one(&done)
}
