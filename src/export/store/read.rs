//! What a customer reads of its exports and of the gate's decisions. Decisions are read from the
//! log itself: there is no second copy.

use serde_json::Value;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::base::{Code, CustomerId, EntryId, Error, ExportId, Instant, InstructionId, PageQuery, Result};

/// An export's row, with the reference of the last file that left.
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
    pub chunks: i64,
    pub chunk_rows: Option<i64>,
    pub chunk_files: Option<i64>,
    pub chunk_bytes: Option<i64>,
    pub last_chunk_no: Option<i64>,
    pub last_chunk_at: Option<Instant>,
    pub last_reference: Option<String>,
    pub stopped_at: Option<Instant>,
    pub stopped_index: Option<i64>,
    pub completed_at: Option<Instant>,
    pub aborted_at: Option<Instant>,
    pub swept_at: Option<Instant>,
    pub voided: bool,
    pub report: Option<Value>,
    pub late_report: Option<Value>,
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
        r#"SELECT e.id AS "id: ExportId", e.platform AS "platform: Code", e.instruction_id AS "instruction: InstructionId", e.instruction_version,
                  e.request, e.index, e.decided_at AS "decided_at: Instant", e.expires_at AS "expires_at: Instant",
                  e.redeemed_at AS "redeemed_at: Instant", e.chunks, e.chunk_rows, e.chunk_files, e.chunk_bytes, e.last_chunk_no,
                  e.last_chunk_at AS "last_chunk_at: Instant", c.last_reference AS "last_reference?", e.stopped_at AS "stopped_at: Instant",
                  e.stopped_index, e.completed_at AS "completed_at: Instant", e.aborted_at AS "aborted_at: Instant",
                  e.swept_at AS "swept_at: Instant", e.epoch < (SELECT h.epoch FROM log_head h WHERE h.customer_id = $1) AS "voided!", e.report, e.late_report
           FROM export e LEFT JOIN export_chunk c ON c.customer_id = $1 AND c.export_id = e.id AND c.chunk_no = e.last_chunk_no
           WHERE e.customer_id = $1 AND ($2::uuid IS NULL OR e.id = $2) AND ($3::uuid IS NULL OR e.id > $3) ORDER BY e.id LIMIT $4"#,
        customer as CustomerId,
        only as Option<ExportId>,
        page.and_then(|p| p.after),
        page.map_or(1, PageQuery::fetch)
    )
    .fetch_all(conn)
    .await?)
}

/// A chunk that was authorised.
pub struct ChunkRow {
    pub chunk_no: i64,
    pub rows: Option<i64>,
    pub files: Option<i64>,
    pub bytes: Option<i64>,
    pub last_reference: Option<String>,
    pub authorised_at: Instant,
    pub index: i64,
}

impl ChunkRow {
    /// Its number as a place in the list.
    pub fn place(&self) -> Uuid {
        Uuid::from_u128(u128::try_from(self.chunk_no).unwrap_or_default())
    }
}

/// Chunks of an export by their numbers.
pub async fn chunks(conn: &mut PgConnection, customer: CustomerId, export: ExportId, page: &PageQuery) -> Result<Vec<ChunkRow>> {
    let after = page.after.map(|place| i64::try_from(place.as_u128())).transpose().map_err(Error::internal)?;
    Ok(sqlx::query_as!(
        ChunkRow,
        r#"SELECT chunk_no, rows, files, bytes, last_reference, authorised_at AS "authorised_at: Instant", index FROM export_chunk
           WHERE customer_id = $1 AND export_id = $2 AND ($3::bigint IS NULL OR chunk_no > $3) ORDER BY chunk_no LIMIT $4"#,
        customer as CustomerId,
        export as ExportId,
        after,
        page.fetch()
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

/// The entries that hold a decision.
const DECISIONS: [&str; 8] = [
    "export.permitted",
    "export.single_permitted",
    "export.refused",
    "export.tried",
    "export.redeemed",
    "export.redemption_refused",
    "export.chunk_authorised",
    "export.chunk_refused",
];

/// Decisions of a customer in the log's order.
pub async fn decisions(
    conn: &mut PgConnection,
    customer: CustomerId,
    filter: &DecisionFilter,
    page: Option<&PageQuery>,
) -> Result<Vec<DecisionRow>> {
    let words: Vec<String> = DECISIONS
        .iter()
        .filter(|word| filter.dry_run.is_none_or(|dry_run| dry_run == (**word == "export.tried")))
        .map(|word| (*word).to_owned())
        .collect();
    let after: Option<Uuid> = page.and_then(|p| p.after);
    // An index that no log can reach finds nothing.
    let index = filter.index.map(|index| i64::try_from(index).unwrap_or(i64::MAX));
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
