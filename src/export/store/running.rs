//! Rows of exports that run: redemption, chunks, stops, and how exports end. Sums are written as
//! the facts in memory hold them, so that a row cannot drift from what the entries say. What is still
//! open is asked with `num_nonnulls`, so that no plan takes the sweep's index, which spans customers.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::signed;
use crate::base::{Code, CustomerId, Digest, Error, ExportId, Instant, InstructionId, Reference, Result, TypedId, Volume};
use crate::db::ensure_one;
use crate::evidence::{Closed, ExportFacts, InstructionRef, Used};

/// Marks a permit redeemed and counts its volume on its day.
pub async fn redeem(conn: &mut PgConnection, customer: CustomerId, export: &ExportFacts, now: Instant) -> Result<()> {
    let done = sqlx::query!(
        "UPDATE export SET redeemed_at = $3 WHERE customer_id = $1 AND id = $2 AND redeemed_at IS NULL AND aborted_at IS NULL",
        customer as CustomerId,
        export.grant.export as ExportId,
        now as Instant
    )
    .execute(&mut *conn)
    .await?;
    ensure_one(&done)?;
    let volume = export.request.volume;
    sqlx::query!(
        "INSERT INTO instruction_usage AS u (customer_id, instruction_id, version, day, rows, files, bytes) VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (customer_id, instruction_id, version, day)
         DO UPDATE SET rows  = LEAST(u.rows::numeric  + EXCLUDED.rows,  9223372036854775807)::bigint,
                       files = LEAST(u.files::numeric + EXCLUDED.files, 9223372036854775807)::bigint,
                       bytes = LEAST(u.bytes::numeric + EXCLUDED.bytes, 9223372036854775807)::bigint",
        customer as CustomerId,
        export.grant.instruction.id as InstructionId,
        i32::try_from(export.grant.instruction.version).map_err(Error::internal)?,
        export.grant.day,
        signed(Some(volume.rows.unwrap_or(0)))?,
        signed(Some(volume.files.unwrap_or(0)))?,
        signed(Some(volume.bytes.unwrap_or(0)))?
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A chunk that was authorised, with its entry's place.
pub struct NewChunk<'a> {
    pub number: u32,
    pub volume: &'a Volume,
    /// The reference of its last file, with the nonce of its commitment.
    pub last: Option<(&'a Reference, Digest)>,
    pub epoch: i32,
    pub index: u64,
    pub at: Instant,
}

/// Inserts a chunk, and the sum that `export` has with it.
pub async fn authorise(conn: &mut PgConnection, customer: CustomerId, export: &ExportFacts, chunk: &NewChunk<'_>) -> Result<()> {
    let id = export.grant.export;
    sqlx::query!(
        "INSERT INTO export_chunk (customer_id, export_id, chunk_no, rows, files, bytes, epoch, index, authorised_at, last_reference, last_nonce)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        customer as CustomerId,
        id as ExportId,
        i64::from(chunk.number),
        signed(chunk.volume.rows)?,
        signed(chunk.volume.files)?,
        signed(chunk.volume.bytes)?,
        chunk.epoch,
        signed(Some(chunk.index))?,
        chunk.at as Instant,
        chunk.last.map(|(reference, _)| reference.as_str()),
        chunk.last.map(|(_, nonce)| nonce) as Option<Digest>
    )
    .execute(&mut *conn)
    .await?;
    let done = sqlx::query!(
        "UPDATE export SET chunks = $3, chunk_rows = $4, chunk_files = $5, chunk_bytes = $6, last_chunk_no = $7, last_chunk_at = $8,
                           stopped_at = NULL, stopped_index = NULL
         WHERE customer_id = $1 AND id = $2 AND redeemed_at IS NOT NULL AND num_nonnulls(completed_at, aborted_at, swept_at) = 0",
        customer as CustomerId,
        id as ExportId,
        signed(Some(export.chunks))?,
        signed(export.authorised.rows)?,
        signed(export.authorised.files)?,
        signed(export.authorised.bytes)?,
        i64::from(chunk.number),
        chunk.at as Instant
    )
    .execute(conn)
    .await?;
    ensure_one(&done)
}

/// Marks a running export stopped by the refusal at this index.
pub async fn stop(conn: &mut PgConnection, customer: CustomerId, export: ExportId, index: u64, now: Instant) -> Result<()> {
    let done = sqlx::query!(
        "UPDATE export SET stopped_at = $3, stopped_index = $4 WHERE customer_id = $1 AND id = $2 AND stopped_at IS NULL",
        customer as CustomerId,
        export as ExportId,
        now as Instant,
        signed(Some(index))?
    )
    .execute(conn)
    .await?;
    ensure_one(&done)
}

/// An export that ends, and what it returns.
pub struct Closing {
    pub export: ExportId,
    /// What was reported and how it agrees with the chunks, as recorded.
    pub report: Value,
    /// What its volume counts for.
    pub instruction: InstructionRef,
    pub day: chrono::NaiveDate,
    pub returned: Volume,
}

/// Ends exports, and takes what they return from what their instructions have used.
pub async fn close(conn: &mut PgConnection, customer: CustomerId, how: Closed, closings: &[Closing], now: Instant) -> Result<()> {
    let ids: Vec<Uuid> = closings.iter().map(|c| c.export.uuid()).collect();
    let reports: Vec<Value> = closings.iter().map(|c| c.report.clone()).collect();
    let done = sqlx::query!(
        "UPDATE export e SET completed_at = CASE WHEN $2 = 'completed' THEN $5::timestamptz END, aborted_at = CASE WHEN $2 = 'aborted' THEN $5::timestamptz END,
                             swept_at = CASE WHEN $2 = 'swept' THEN $5::timestamptz END, report = u.report
         FROM UNNEST($3::uuid[], $4::jsonb[]) AS u (id, report)
         WHERE e.customer_id = $1 AND e.id = u.id AND num_nonnulls(e.completed_at, e.aborted_at, e.swept_at) = 0",
        customer as CustomerId,
        how.word(),
        &ids,
        &reports,
        now as Instant
    )
    .execute(&mut *conn)
    .await?;
    if done.rows_affected() != closings.len() as u64 {
        return Err(Error::internal("not every export that ended was open"));
    }
    let mut returned: BTreeMap<(InstructionRef, chrono::NaiveDate), Used> = BTreeMap::new();
    for closing in closings {
        let sum = returned.entry((closing.instruction, closing.day)).or_default();
        *sum = sum.plus(&closing.returned);
    }
    for ((instruction, day), sum) in returned.into_iter().filter(|(_, sum)| *sum != Used::default()) {
        give_back(conn, customer, instruction, day, sum).await?;
    }
    Ok(())
}

/// Keeps what was reported of exports that the service had closed, or that are void since a restore.
pub async fn report_late(conn: &mut PgConnection, customer: CustomerId, reports: &[(ExportId, Value)]) -> Result<()> {
    let ids: Vec<Uuid> = reports.iter().map(|(export, _)| export.uuid()).collect();
    let reports: Vec<Value> = reports.iter().map(|(_, report)| report.clone()).collect();
    let done = sqlx::query!(
        "UPDATE export e SET late_report = u.report FROM UNNEST($2::uuid[], $3::jsonb[]) AS u (id, report)
         WHERE e.customer_id = $1 AND e.id = u.id AND e.late_report IS NULL AND (e.swept_at IS NOT NULL OR
               (num_nonnulls(e.completed_at, e.aborted_at) = 0 AND e.epoch < (SELECT h.epoch FROM log_head h WHERE h.customer_id = $1)))",
        customer as CustomerId,
        &ids,
        &reports
    )
    .execute(conn)
    .await?;
    if done.rows_affected() == ids.len() as u64 { Ok(()) } else { Err(Error::internal("not every late report found its export")) }
}

async fn give_back(
    conn: &mut PgConnection,
    customer: CustomerId,
    instruction: InstructionRef,
    day: chrono::NaiveDate,
    returned: Used,
) -> Result<()> {
    let done = sqlx::query!(
        "UPDATE instruction_usage SET rows = rows - $5, files = files - $6, bytes = bytes - $7
         WHERE customer_id = $1 AND instruction_id = $2 AND version = $3 AND day = $4",
        customer as CustomerId,
        instruction.id as InstructionId,
        i32::try_from(instruction.version).map_err(Error::internal)?,
        day,
        signed(Some(returned.rows))?,
        signed(Some(returned.files))?,
        signed(Some(returned.bytes))?
    )
    .execute(conn)
    .await?;
    ensure_one(&done)
}

/// Exports that run without a redemption or a chunk since an instant, the oldest first.
pub async fn silent(conn: &mut PgConnection, since: Instant, limit: i32) -> Result<Vec<(CustomerId, ExportId)>> {
    let rows = sqlx::query!(
        r#"SELECT customer_id AS "customer!: CustomerId", export_id AS "export!: ExportId" FROM exports_silent_since($1, $2)"#,
        since as Instant,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.customer, row.export)).collect())
}

/// The customers of those exports that are the platform's.
pub async fn customers_of_exports(
    conn: &mut PgConnection,
    platform: &Code,
    exports: &[ExportId],
) -> Result<BTreeMap<ExportId, CustomerId>> {
    let ids: Vec<Uuid> = exports.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"SELECT export_id AS "export!: ExportId", customer_id AS "customer!: CustomerId" FROM customers_of_exports($1, $2)"#,
        platform.as_str(),
        &ids
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.export, row.customer)).collect())
}
