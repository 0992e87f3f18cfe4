//! All SQL of activity and alarms. Activity is housekeeping of the worker; an alarm is inserted with
//! its entry, under the head of the processor's log.

use chrono::Duration;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::activity::{MOST_ROWS, Tally};
use super::decide::{fresh, window};
use super::model::{Counts, Level, Subject, Suspect};
use crate::base::{AlarmId, Code, CustomerId, Email, Error, Instant, Name, PageQuery, Result, TypedId};
use crate::db::WriteTx;

/// The most elements of one statement.
const CHUNK: usize = 10_000;
/// How long activity is kept that no alarm counts.
const KEPT: Duration = Duration::hours(3);
/// How long it is kept after an alarm.
const KEPT_AFTER_ALARM: Duration = Duration::days(30);

fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Adds what a process has seen. In one order for every process, so that two never wait for each
/// other crosswise.
pub(super) async fn add(conn: &mut PgConnection, tallies: &[(Subject, Instant, Tally)]) -> Result<()> {
    let mut sorted: Vec<_> = tallies.iter().collect();
    sorted.sort_by_key(|(subject, bucket, _)| (*subject, *bucket));
    let mut pairs: Vec<(Subject, Instant, Uuid)> = Vec::new();
    for (subject, bucket, tally) in &sorted {
        let mut touched: Vec<Uuid> = tally.touched.iter().copied().collect();
        touched.sort_unstable();
        pairs.extend(touched.into_iter().map(|customer| (*subject, *bucket, customer)));
    }
    for chunk in pairs.chunks(CHUNK) {
        insert_pairs(&mut *conn, chunk).await?;
    }
    for chunk in sorted.chunks(CHUNK) {
        insert_counts(&mut *conn, chunk).await?;
    }
    Ok(())
}

async fn insert_pairs(conn: &mut PgConnection, pairs: &[(Subject, Instant, Uuid)]) -> Result<()> {
    let kinds: Vec<String> = pairs.iter().map(|(subject, ..)| subject.kind().to_string()).collect();
    let subjects: Vec<String> = pairs.iter().map(|(subject, ..)| subject.text()).collect();
    let buckets: Vec<_> = pairs.iter().map(|(_, bucket, _)| bucket.utc()).collect();
    let touched: Vec<Uuid> = pairs.iter().map(|(.., customer)| *customer).collect();
    sqlx::query!(
        "INSERT INTO gate_activity (kind, subject, bucket_at, touched)
         SELECT * FROM UNNEST ($1::text[], $2::text[], $3::timestamptz[], $4::uuid[]) ON CONFLICT DO NOTHING",
        &kinds,
        &subjects,
        &buckets,
        &touched
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn insert_counts(conn: &mut PgConnection, tallies: &[&(Subject, Instant, Tally)]) -> Result<()> {
    let kinds: Vec<String> = tallies.iter().map(|(subject, ..)| subject.kind().to_string()).collect();
    let subjects: Vec<String> = tallies.iter().map(|(subject, ..)| subject.text()).collect();
    let buckets: Vec<_> = tallies.iter().map(|(_, bucket, _)| bucket.utc()).collect();
    let platforms: Vec<String> = tallies.iter().map(|(.., tally)| tally.platform.to_string()).collect();
    let asks: Vec<i64> = tallies.iter().map(|(.., tally)| count(tally.asks)).collect();
    let rows: Vec<i64> = tallies.iter().map(|(.., tally)| count(tally.rows)).collect();
    sqlx::query!(
        "INSERT INTO gate_activity_count (kind, subject, bucket_at, platform, asks, rows)
         SELECT * FROM UNNEST ($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::bigint[], $6::bigint[])
         ON CONFLICT (kind, subject, bucket_at) DO UPDATE
             SET asks = LEAST(gate_activity_count.asks + EXCLUDED.asks, $7), rows = LEAST(gate_activity_count.rows + EXCLUDED.rows, $7)",
        &kinds,
        &subjects,
        &buckets,
        &platforms,
        &asks,
        &rows,
        count(MOST_ROWS)
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes activity that no alarm can count any more.
pub(super) async fn prune(conn: &mut PgConnection, now: Instant) -> Result<()> {
    let old = now.plus(-KEPT);
    sqlx::query!("DELETE FROM gate_activity_count WHERE bucket_at < $1", old as Instant).execute(&mut *conn).await?;
    sqlx::query!(
        "DELETE FROM gate_activity g WHERE g.bucket_at < $1 AND NOT EXISTS (
             SELECT 1 FROM alarm a WHERE a.kind = g.kind AND a.subject = g.subject AND a.raised_at > $2
                AND g.bucket_at >= a.since_at AND g.bucket_at <= a.raised_at + interval '1 hour')",
        old as Instant,
        now.plus(-KEPT_AFTER_ALARM) as Instant
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What a subject did within the window, what is normal for it if its key says so, and the levels
/// of its alarms of the last hour.
pub(super) struct Standing {
    pub counts: Counts,
    pub normal_customers: Option<u64>,
    pub normal_rows: Option<u64>,
    pub raised: Vec<Level>,
}

fn levels(words: &[String]) -> Result<Vec<Level>> {
    words.iter().map(|word| word.parse().map_err(Error::internal)).collect()
}

/// How each of the subjects stands, in their order.
pub(super) async fn standings(conn: &mut PgConnection, subjects: &[Subject], now: Instant) -> Result<Vec<Standing>> {
    let kinds: Vec<String> = subjects.iter().map(|subject| subject.kind().to_string()).collect();
    let texts: Vec<String> = subjects.iter().map(|subject| subject.text()).collect();
    let rows = sqlx::query!(
        r#"SELECT (SELECT count(DISTINCT a.touched) FROM gate_activity a
                   WHERE a.kind = s.kind AND a.subject = s.subject AND a.bucket_at >= $3) AS "customers!",
                  (SELECT COALESCE(sum(c.rows), 0)::bigint FROM gate_activity_count c
                   WHERE c.kind = s.kind AND c.subject = s.subject AND c.bucket_at >= $3) AS "rows!",
                  k.normal_customers AS "normal_customers?", k.normal_rows AS "normal_rows?",
                  ARRAY(SELECT m.level FROM alarm m WHERE m.kind = s.kind AND m.subject = s.subject AND m.raised_at > $4) AS "raised!"
           FROM UNNEST ($1::text[], $2::text[]) WITH ORDINALITY AS s (kind, subject, n)
           LEFT JOIN api_key k ON k.id = CASE WHEN s.kind = 'key' THEN substr(s.subject, 5)::uuid END
           ORDER BY s.n"#,
        &kinds,
        &texts,
        window(now) as Instant,
        fresh(now) as Instant
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let positive = |value: i64| u64::try_from(value).unwrap_or(0);
            Ok(Standing {
                counts: Counts { customers: positive(row.customers), rows: positive(row.rows) },
                normal_customers: row.normal_customers.map(positive),
                normal_rows: row.normal_rows.map(positive),
                raised: levels(&row.raised)?,
            })
        })
        .collect()
}

/// The levels of a subject's alarms of the last hour, read again under the head.
pub(super) async fn raised(conn: &mut PgConnection, subject: Subject, now: Instant) -> Result<Vec<Level>> {
    let words = sqlx::query_scalar!(
        "SELECT level FROM alarm WHERE kind = $1 AND subject = $2 AND raised_at > $3",
        subject.kind().word(),
        subject.text(),
        fresh(now) as Instant
    )
    .fetch_all(conn)
    .await?;
    levels(&words)
}

pub(super) async fn insert(tx: &mut WriteTx, suspect: &Suspect) -> Result<AlarmId> {
    let (id, now): (AlarmId, Instant) = (tx.fresh(), tx.now());
    sqlx::query!(
        "INSERT INTO alarm (id, kind, subject, platform, level, customers, rows, normal_customers, normal_rows, since_at, raised_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        id as AlarmId,
        suspect.subject.kind().word(),
        suspect.subject.text(),
        &suspect.platform as &Code,
        suspect.level.word(),
        count(suspect.counts.customers),
        count(suspect.counts.rows),
        count(suspect.normal.customers),
        count(suspect.normal.rows),
        suspect.since_at as Instant,
        now as Instant
    )
    .execute(tx.conn())
    .await?;
    Ok(id)
}

/// Where every active `ops_security` person is reached.
pub(super) async fn security_addresses(conn: &mut PgConnection) -> Result<Vec<Email>> {
    Ok(sqlx::query_scalar!(
        r#"SELECT email AS "email: Email" FROM ops_person WHERE role = 'ops_security' AND admitted_at IS NOT NULL AND ended_at IS NULL ORDER BY email"#
    )
    .fetch_all(conn)
    .await?)
}

/// An alarm as it was raised.
pub(super) struct AlarmRow {
    pub id: AlarmId,
    pub kind: String,
    pub subject: String,
    pub platform: Code,
    pub level: String,
    pub customers: i64,
    pub rows: i64,
    pub normal_customers: i64,
    pub normal_rows: i64,
    pub since_at: Instant,
    pub raised_at: Instant,
}

/// Alarms, oldest first, or the one with this id.
pub(super) async fn alarms(conn: &mut PgConnection, only: Option<AlarmId>, page: Option<&PageQuery>) -> Result<Vec<AlarmRow>> {
    Ok(sqlx::query_as!(
        AlarmRow,
        r#"SELECT id AS "id: AlarmId", kind, subject, platform AS "platform: Code", level, customers, rows, normal_customers, normal_rows,
                  since_at AS "since_at: Instant", raised_at AS "raised_at: Instant"
           FROM alarm WHERE ($1::uuid IS NULL OR id = $1) AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3"#,
        only.map(TypedId::uuid),
        page.and_then(|p| p.after),
        page.map_or(1, PageQuery::fetch)
    )
    .fetch_all(conn)
    .await?)
}

/// The customers that the subject of an alarm has touched, from an hour before it to an hour after.
pub(super) async fn touched(conn: &mut PgConnection, alarm: &AlarmRow, page: &PageQuery) -> Result<Vec<(CustomerId, Name)>> {
    let rows = sqlx::query!(
        r#"SELECT DISTINCT c.id AS "id: CustomerId", c.name AS "name: Name" FROM gate_activity g JOIN customer c ON c.id = g.touched
           WHERE g.kind = $1 AND g.subject = $2 AND g.bucket_at BETWEEN $3 AND $4 AND ($5::uuid IS NULL OR c.id > $5)
           ORDER BY c.id LIMIT $6"#,
        alarm.kind,
        alarm.subject,
        alarm.since_at as Instant,
        alarm.raised_at.plus(Duration::hours(1)) as Instant,
        page.after,
        page.fetch()
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.name)).collect())
}
