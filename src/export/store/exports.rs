//! The facts of exports as their rows hold them: the permit, the sum of its chunks, and how it
//! ended. Numbers of chunks are read for the one asked for, never all of an export's.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::Selection;
use crate::base::{CustomerId, Error, ExportId, Instant, Result, Volume, from_value};
use crate::evidence::{Closed, ExportFacts, ExportRequest, Reconciliation, Used};

fn unsigned(count: Option<i64>) -> Result<Option<u64>> {
    count.map(u64::try_from).transpose().map_err(Error::internal)
}

/// Open permits of the instructions, redeemed ones of one-time instructions, and the export looked
/// at again: what can stand in a decision's way.
pub(super) async fn exports(
    conn: &mut PgConnection,
    customer: CustomerId,
    selection: &Selection,
    now: Instant,
    ids: &[Uuid],
    once: &[Uuid],
) -> Result<BTreeMap<ExportId, ExportFacts>> {
    let all = selection.terms.is_none();
    let rows = sqlx::query!(
        r#"SELECT id AS "id: ExportId", request, subjects, granted, redeemed_at IS NOT NULL AS "redeemed!", completed_at IS NOT NULL AS "completed!",
                  aborted_at IS NOT NULL AS "aborted!", swept_at IS NOT NULL AS "swept!", epoch < (SELECT h.epoch FROM log_head h WHERE h.customer_id = $1) AS "voided!", late_report IS NOT NULL AS "reported_late!", stopped_at IS NOT NULL AS "stopped!",
                  COALESCE(last_chunk_at, redeemed_at) AS "active_at: Instant", chunks, chunk_rows, chunk_files, chunk_bytes,
                  report->'reconciled' AS reconciled
           FROM export WHERE customer_id = $1 AND ($2 OR id = ANY ($3)
             OR (instruction_id = ANY ($4) AND redeemed_at IS NULL AND aborted_at IS NULL AND expires_at > $6)
             OR (instruction_id = ANY ($5) AND redeemed_at IS NOT NULL))"#,
        customer as CustomerId,
        all,
        &selection.own(),
        ids,
        once,
        now as Instant
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut numbers = chunk_numbers(conn, customer, selection).await?;
    rows.into_iter()
        .map(|row| {
            let subjects = row.subjects.as_ref().map(from_value).transpose().map_err(Error::internal)?;
            let request: ExportRequest = from_value(&row.request).map_err(Error::internal)?;
            let grant = from_value(&row.granted).map_err(Error::internal)?;
            let counted = counted(&request, row.redeemed, row.reconciled.as_ref())?;
            let authorised =
                Volume { rows: unsigned(row.chunk_rows)?, files: unsigned(row.chunk_files)?, bytes: unsigned(row.chunk_bytes)? };
            let closed = [
                (row.completed, Closed::Completed),
                (row.aborted, Closed::Aborted),
                (row.swept, Closed::Swept),
                (row.voided, Closed::Voided),
            ];
            let export = ExportFacts {
                redeemed: row.redeemed,
                closed: closed.into_iter().find_map(|(is, how)| is.then_some(how)),
                reported_late: row.reported_late,
                stopped: row.stopped,
                active_at: row.active_at,
                chunks: u64::try_from(row.chunks).map_err(Error::internal)?,
                authorised,
                chunk_numbers: numbers.remove(&row.id).unwrap_or_default(),
                counted,
                ..ExportFacts::permitted(request, subjects, grant)
            };
            Ok((row.id, export))
        })
        .collect()
}

/// What an export counts of its instruction's used volume: all of it from its redemption on, less
/// what it returned when it ended.
fn counted(request: &ExportRequest, redeemed: bool, reconciled: Option<&Value>) -> Result<Used> {
    if !redeemed {
        return Ok(Used::default());
    }
    let reserved = Used::default().plus(&request.volume);
    let Some(reconciled) = reconciled else { return Ok(reserved) };
    let reconciled: Reconciliation = from_value(reconciled).map_err(Error::internal)?;
    Ok(reserved.less(&reconciled.returned))
}

/// Numbers of chunks authorised: all, or of the export looked at again the one asked for.
async fn chunk_numbers(conn: &mut PgConnection, customer: CustomerId, selection: &Selection) -> Result<BTreeMap<ExportId, BTreeSet<u32>>> {
    let mut found: BTreeMap<ExportId, BTreeSet<u32>> = BTreeMap::new();
    let rows = match (selection.chunk, &selection.terms) {
        (Some(number), _) => sqlx::query!(
            r#"SELECT export_id AS "export: ExportId", chunk_no FROM export_chunk WHERE customer_id = $1 AND export_id = $2 AND chunk_no = $3"#,
            customer as CustomerId,
            selection.own.first().copied() as Option<ExportId>,
            i64::from(number)
        )
        .fetch_all(conn)
        .await?
        .into_iter()
        .map(|row| (row.export, row.chunk_no))
        .collect(),
        (None, None) => sqlx::query!(
            r#"SELECT export_id AS "export: ExportId", chunk_no FROM export_chunk WHERE customer_id = $1"#,
            customer as CustomerId
        )
        .fetch_all(conn)
        .await?
        .into_iter()
        .map(|row| (row.export, row.chunk_no))
        .collect(),
        (None, Some(_)) => Vec::new(),
    };
    for (export, number) in rows {
        found.entry(export).or_default().insert(u32::try_from(number).map_err(Error::internal)?);
    }
    Ok(found)
}
