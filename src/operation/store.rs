//! All SQL of operations. A row and the envelope of its job are made in one transaction; only the
//! present attempt writes, so that two workers cannot mix their parts.

use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::view::{OperationResult, OperationState, OperationView, Progress};
use crate::app::App;
use crate::base::{CustomerId, Error, Instant, OperationId, PageQuery, Result, TypedId, fresh_id};
use crate::db::{Housekeeping, LogId, Role, ensure_one};
use crate::identity::{InstitutionCaller, InstitutionCredential};

/// The kind of the jobs that do operations.
const JOB: &str = "operation";
/// How long an operation and its result are kept.
const KEPT: chrono::Duration = chrono::Duration::days(30);
/// How long a worker may be silent before another begins anew.
const LEASE: chrono::Duration = chrono::Duration::minutes(2);
/// How many operations of one customer may wait or run: workers serve all customers in turn.
const AT_ONCE: i64 = 8;
/// Seconds after which to ask again when there are as many.
const COME_AGAIN: u64 = 60;

/// Whose operations a caller sees: a person's of this customer, or a key's.
pub(super) fn principal(caller: &InstitutionCaller) -> Uuid {
    match caller.credential() {
        InstitutionCredential::Session { person, .. } => person.uuid(),
        InstitutionCredential::Key(key) => key.uuid(),
    }
}

/// Puts slow work into the queue. The transaction commits with `commit_effect`.
///
/// # Errors
/// [`Error::TooMany`] while the customer has as many unfinished ones as it may.
pub async fn begin(app: &App, tx: &mut Housekeeping, caller: &InstitutionCaller, kind: &str, request: Value) -> Result<OperationView> {
    let (now, customer, owner) = (tx.now(), caller.customer(), principal(caller));
    let unfinished = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM operation WHERE customer_id = $1 AND ended_at IS NULL"#,
        customer as CustomerId
    );
    if unfinished.fetch_one(tx.conn()).await? >= AT_ONCE {
        return Err(Error::TooMany(COME_AGAIN));
    }
    let id: OperationId = fresh_id(now, app.db.entropy());
    sqlx::query!(
        "INSERT INTO operation (customer_id, id, principal_id, kind, request, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        customer as CustomerId,
        id as OperationId,
        owner,
        kind,
        request,
        now as Instant,
        now.plus(KEPT) as Instant
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "INSERT INTO job (id, kind, customer_id, subject_id, due_at) VALUES ($1, $2, $3, $1, $4)",
        id.uuid(),
        JOB,
        customer.uuid(),
        now as Instant
    )
    .execute(tx.conn())
    .await?;
    operations(tx.conn(), customer, owner, Some(id), None).await?.into_iter().next().ok_or(Error::NotFound)
}

struct Row {
    id: OperationId,
    kind: String,
    request: Value,
    state: String,
    done: i64,
    total: Option<i64>,
    bytes: i64,
    media_type: Option<String>,
    problem: Option<Value>,
    created_at: Instant,
    ended_at: Option<Instant>,
    expires_at: Instant,
}

impl TryFrom<Row> for OperationView {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self> {
        let state: OperationState = row.state.parse().map_err(Error::internal)?;
        let location = format!("/api/v1/operations/{}/result", row.id);
        Ok(Self {
            id: row.id,
            kind: row.kind,
            request: row.request,
            state,
            progress: Progress { done: row.done, total: row.total },
            created_at: row.created_at,
            ended_at: row.ended_at,
            expires_at: row.expires_at,
            result: row.media_type.map(|media_type| OperationResult { location, media_type, length: row.bytes }),
            problem: row.problem,
        })
    }
}

/// The operations that a principal asked for: one, or a page of all.
pub(super) async fn operations(
    conn: &mut PgConnection,
    customer: CustomerId,
    principal: Uuid,
    id: Option<OperationId>,
    page: Option<&PageQuery>,
) -> Result<Vec<OperationView>> {
    sqlx::query_as!(
        Row,
        r#"SELECT id AS "id: OperationId", kind, request, state, done, total, bytes, media_type, problem,
                  created_at AS "created_at: Instant", ended_at AS "ended_at: Instant", expires_at AS "expires_at: Instant"
           FROM operation WHERE customer_id = $1 AND principal_id = $2 AND ($3::uuid IS NULL OR id = $3) AND ($4::uuid IS NULL OR id > $4)
           ORDER BY id LIMIT $5"#,
        customer as CustomerId,
        principal,
        id as Option<OperationId>,
        page.and_then(|page| page.after),
        page.map_or(1, PageQuery::fetch)
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(OperationView::try_from)
    .collect()
}

/// How many parts the result has.
pub(super) async fn parts(conn: &mut PgConnection, customer: CustomerId, id: OperationId) -> Result<i32> {
    Ok(sqlx::query_scalar!("SELECT parts FROM operation WHERE customer_id = $1 AND id = $2", customer as CustomerId, id as OperationId)
        .fetch_one(conn)
        .await?)
}

pub(super) async fn part(conn: &mut PgConnection, customer: CustomerId, id: OperationId, part: i32) -> Result<Vec<u8>> {
    sqlx::query_scalar!(
        "SELECT bytes FROM operation_part WHERE customer_id = $1 AND operation_id = $2 AND part = $3",
        customer as CustomerId,
        id as OperationId,
        part
    )
    .fetch_optional(conn)
    .await?
    .ok_or_else(|| Error::internal("an operation lacks a part of its result"))
}

/// An operation that this worker has leased.
#[derive(Debug)]
pub struct Running {
    /// The customer.
    pub customer: CustomerId,
    /// The operation.
    pub id: OperationId,
    /// What is done.
    pub kind: String,
    /// What was asked for.
    pub request: Value,
    /// Which try it is.
    pub(super) attempt: i32,
}

/// Leases what waits longest, or what a worker left behind.
pub(super) async fn lease(app: &App) -> Result<Option<Running>> {
    let mut tx = app.db.housekeeping(Role::Worker, "lease_operation", LogId::REGISTRY).await?;
    let now = tx.now();
    let job = sqlx::query!(
        "SELECT id, customer_id FROM job WHERE kind = $1 AND due_at <= $2 ORDER BY due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED",
        JOB,
        now as Instant
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(job) = job else { return Ok(None) };
    lease_until(tx.conn(), job.id, now).await?;
    tx.commit_housekeeping().await?;
    let (customer, id) = (CustomerId::from(job.customer_id), OperationId::from(job.id));
    let mut tx = app.db.housekeeping(Role::Worker, "begin_operation", customer.into()).await?;
    let begun = sqlx::query!(
        "UPDATE operation SET state = 'running', attempt = attempt + 1, done = 0, total = NULL, parts = 0, bytes = 0
         WHERE customer_id = $1 AND id = $2 AND ended_at IS NULL RETURNING kind, request, attempt",
        customer as CustomerId,
        id as OperationId
    )
    .fetch_one(tx.conn())
    .await?;
    sqlx::query!("DELETE FROM operation_part WHERE customer_id = $1 AND operation_id = $2", customer as CustomerId, id as OperationId)
        .execute(tx.conn())
        .await?;
    tx.commit_housekeeping().await?;
    Ok(Some(Running { customer, id, kind: begun.kind, request: begun.request, attempt: begun.attempt }))
}

async fn lease_until(conn: &mut PgConnection, job: Uuid, now: Instant) -> Result<()> {
    let done = sqlx::query!("UPDATE job SET attempts = attempts + 1, due_at = $2 WHERE id = $1", job, now.plus(LEASE) as Instant)
        .execute(conn)
        .await?;
    ensure_one(&done)
}

impl Running {
    /// Says how many steps there will be.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn expect(&self, app: &App, total: i64) -> Result<()> {
        let mut tx = app.db.housekeeping(Role::Worker, "expect_operation", self.customer.into()).await?;
        sqlx::query!(
            "UPDATE operation SET total = $4 WHERE customer_id = $1 AND id = $2 AND attempt = $3 AND ended_at IS NULL",
            self.customer as CustomerId,
            self.id as OperationId,
            self.attempt,
            total
        )
        .execute(tx.conn())
        .await?;
        tx.commit_housekeeping().await
    }

    /// Writes the next part of the result, with the steps that are done, and keeps the lease.
    ///
    /// # Errors
    /// When another worker has begun this operation anew, or the database does not take it.
    pub async fn write(&mut self, app: &App, bytes: &[u8], done: i64) -> Result<()> {
        let mut tx = app.db.housekeeping(Role::Worker, "write_operation", self.customer.into()).await?;
        let now = tx.now();
        let part = sqlx::query_scalar!(
            "UPDATE operation SET done = $4, parts = parts + 1, bytes = bytes + $5
             WHERE customer_id = $1 AND id = $2 AND attempt = $3 AND ended_at IS NULL RETURNING parts - 1 AS \"part!\"",
            self.customer as CustomerId,
            self.id as OperationId,
            self.attempt,
            done,
            i64::try_from(bytes.len()).map_err(Error::internal)?
        )
        .fetch_optional(tx.conn())
        .await?
        .ok_or_else(|| Error::internal("another worker does this operation by now"))?;
        sqlx::query!(
            "INSERT INTO operation_part (customer_id, operation_id, part, bytes) VALUES ($1, $2, $3, $4)",
            self.customer as CustomerId,
            self.id as OperationId,
            part,
            bytes
        )
        .execute(tx.conn())
        .await?;
        lease_until(tx.conn(), self.id.uuid(), now).await?;
        tx.commit_housekeeping().await
    }
}

/// Records the result.
pub(super) async fn finish(app: &App, running: &Running, media_type: &str) -> Result<()> {
    end(app, running, Some(media_type), None).await
}

/// Records that nothing will come of it.
pub(super) async fn fail(app: &App, running: &Running) -> Result<()> {
    let problem = json!({
        "type": "/docs/problems/internal",
        "title": "Internal error",
        "status": 500,
        "detail": "The operation could not be done; quote its id when reporting it.",
    });
    end(app, running, None, Some(problem)).await
}

async fn end(app: &App, running: &Running, media_type: Option<&str>, problem: Option<Value>) -> Result<()> {
    let mut tx = app.db.housekeeping(Role::Worker, "end_operation", running.customer.into()).await?;
    let now = tx.now();
    let state = if problem.is_none() { OperationState::Done } else { OperationState::Failed };
    let done = sqlx::query!(
        "UPDATE operation SET state = $4, media_type = $5, total = CASE WHEN $5::text IS NULL THEN total ELSE done END, problem = $6, ended_at = $7
         WHERE customer_id = $1 AND id = $2 AND attempt = $3 AND ended_at IS NULL",
        running.customer as CustomerId,
        running.id as OperationId,
        running.attempt,
        state.word(),
        media_type,
        problem,
        now as Instant
    )
    .execute(tx.conn())
    .await?;
    ensure_one(&done)?;
    sqlx::query!("DELETE FROM job WHERE id = $1", running.id.uuid()).execute(tx.conn()).await?;
    tx.commit_housekeeping().await
}

/// Forgets what is past its end, with its result, one customer at a time; how many.
///
/// # Errors
/// When the database does not answer.
pub async fn sweep_operations(app: &App) -> Result<u64> {
    let mut read = app.db.read(Role::OpsRead, "list_customers", LogId::REGISTRY).await?;
    let logs = sqlx::query_scalar!("SELECT id FROM log WHERE kind = 'customer'").fetch_all(read.conn()).await?;
    drop(read);
    let mut swept = 0;
    for log in logs {
        let mut tx = app.db.housekeeping(Role::Worker, "sweep_operations", LogId(log)).await?;
        let now = tx.now();
        sqlx::query!(
            "DELETE FROM operation_part p USING operation o
             WHERE p.customer_id = $1 AND o.customer_id = $1 AND o.id = p.operation_id AND o.expires_at <= $2 AND o.ended_at IS NOT NULL",
            log,
            now as Instant
        )
        .execute(tx.conn())
        .await?;
        let done =
            sqlx::query!("DELETE FROM operation WHERE customer_id = $1 AND expires_at <= $2 AND ended_at IS NOT NULL", log, now as Instant)
                .execute(tx.conn())
                .await?;
        tx.commit_housekeeping().await?;
        swept += done.rows_affected();
    }
    Ok(swept)
}
