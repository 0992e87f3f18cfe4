//! What a customer reads of its exports and of the gate's decisions. Decisions are read from the
//! log itself: there is no second copy.

use serde_json::Value;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::base::{Code, CustomerId, EntryId, Error, ExportId, Instant, InstructionId, PageQuery, Result};

/// An export's row.
pub struct ExportRow {
    pub id: ExportId,
    pub platform: Code,
    pub instruction: InstructionId,
    pub instruction_version: i32,
    pub request: Value,
    pub index: i64,
    pub decided_at: Instant,
    pub expires_at: Instant,
    pub redeemed_at: Option<Instant>,
    pub completed_at: Option<Instant>,
    pub aborted_at: Option<Instant>,
    pub report: Option<Value>,
}

/// Exports of a customer, oldest first, or the one with this id.
pub async fn exports(
    conn: &mut PgConnection,
    customer: CustomerId,
    only: Option<ExportId>,
    page: Option<&PageQuery>,
) -> Result<Vec<ExportRow>> {
    Ok(sqlx::query_as!(
        ExportRow,
        r#"SELECT id AS "id: ExportId", platform AS "platform: Code", instruction_id AS "instruction: InstructionId", instruction_version, request,
                  index, decided_at AS "decided_at: Instant", expires_at AS "expires_at: Instant", redeemed_at AS "redeemed_at: Instant",
                  completed_at AS "completed_at: Instant", aborted_at AS "aborted_at: Instant", report
           FROM export WHERE customer_id = $1 AND ($2::uuid IS NULL OR id = $2) AND ($3::uuid IS NULL OR id > $3) ORDER BY id LIMIT $4"#,
        customer as CustomerId,
        only as Option<ExportId>,
        page.and_then(|p| p.after),
        page.map_or(1, PageQuery::fetch)
    )
    .fetch_all(conn)
    .await?)
}

/// A decision's entry.
pub struct DecisionRow {
    pub id: EntryId,
    pub index: i64,
    pub at: Instant,
    pub word: String,
    pub record: Value,
    pub platform: Option<Code>,
}

/// By what decisions are looked for.
#[derive(Debug, Default)]
pub struct DecisionFilter {
    pub requested_by: Option<String>,
    pub reason: Option<String>,
    pub dry_run: Option<bool>,
    pub index: Option<u64>,
    pub from_at: Option<Instant>,
    pub until_at: Option<Instant>,
}

/// Decisions of a customer in the log's order.
pub async fn decisions(
    conn: &mut PgConnection,
    customer: CustomerId,
    filter: &DecisionFilter,
    page: Option<&PageQuery>,
) -> Result<Vec<DecisionRow>> {
    let words: Vec<String> = match filter.dry_run {
        Some(true) => vec!["export.tried"],
        Some(false) => vec!["export.permitted", "export.refused", "export.redeemed", "export.redemption_refused"],
        None => vec!["export.permitted", "export.refused", "export.tried", "export.redeemed", "export.redemption_refused"],
    }
    .into_iter()
    .map(str::to_owned)
    .collect();
    let after: Option<Uuid> = page.and_then(|p| p.after);
    let index = filter.index.map(i64::try_from).transpose().map_err(Error::internal)?;
    let reason = filter.reason.as_ref().map(|code| serde_json::json!([{"code": code}]));
    Ok(sqlx::query_as!(
        DecisionRow,
        r#"SELECT id AS "id: EntryId", index, at AS "at: Instant", type AS word, record, platform AS "platform: Code" FROM log_entry
           WHERE customer_id = $1 AND type = ANY ($2)
             AND ($3::uuid IS NULL OR (epoch, index) > (SELECT a.epoch, a.index FROM log_entry a WHERE a.customer_id = $1 AND a.id = $3))
             AND ($4::bigint IS NULL OR index = $4)
             AND ($5::text IS NULL OR record->'decision'->'request'->'requested_by'->>'ref' = $5)
             AND ($6::jsonb IS NULL OR record->'decision'->'reasons' @> $6)
             AND ($8::timestamptz IS NULL OR at >= $8) AND ($9::timestamptz IS NULL OR at < $9)
           ORDER BY epoch, index LIMIT $7"#,
        customer as CustomerId,
        &words,
        after,
        index,
        filter.requested_by,
        reason,
        page.map_or(1, PageQuery::fetch),
        filter.from_at as Option<Instant>,
        filter.until_at as Option<Instant>
    )
    .fetch_all(conn)
    .await?)
}
