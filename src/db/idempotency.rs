//! The row behind an `Idempotency-Key`. A try claims the key before its handler runs; the
//! transaction of the effect marks the claim in the same COMMIT; the answer is added after. Only
//! the try that holds the claim can commit, so an effect happens once whoever crashes, and a claim
//! whose process ended can be taken over. What an answer says is not known here: it is sealed.

use std::sync::Arc;

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::{Db, LogId, Role};
use crate::base::{Digest, Error, Instant, Result};

/// How long a key and its answer are kept.
const KEPT: chrono::Duration = chrono::Duration::days(30);
/// After how long without an effect a claim counts as left behind: twice a request's deadline. A
/// try that is only slow loses nothing but its turn: its transaction cannot commit any more.
const LEFT_BEHIND: chrono::Duration = chrono::Duration::seconds(60);

/// Whose key it is, and for what: the row's name.
#[derive(Debug, Clone)]
pub struct IdempotencyScope {
    /// The customer's log, or the processor's.
    pub home: LogId,
    /// As which role the claim is written.
    pub role: Role,
    /// The person, ops person or API key.
    pub principal: Uuid,
    /// The route's operation id.
    pub route: Arc<str>,
    /// Hash of the key.
    pub key_hash: Digest,
}

/// A claim that this request holds.
#[derive(Debug)]
pub struct Claim {
    scope: IdempotencyScope,
    /// The try; never used twice.
    pub attempt: Uuid,
}

/// What is known of a key that somebody else has claimed.
#[derive(Debug)]
pub struct Known {
    /// The try that holds it.
    pub attempt: Uuid,
    /// What was asked; absent while its body is being read.
    pub fingerprint: Option<Digest>,
    /// The receipts of the effect, once it has committed.
    pub receipts: Option<serde_json::Value>,
    /// Status and sealed answer.
    pub answer: Option<(i16, Vec<u8>)>,
}

/// What came of a claim.
#[derive(Debug)]
pub enum Claimed {
    /// The key is this request's.
    Mine(Arc<Claim>),
    /// The key was used before.
    Known(Known),
}

struct Row {
    attempt: Uuid,
    claimed_at: Instant,
    expires_at: Instant,
    fingerprint: Option<Digest>,
    receipts: Option<serde_json::Value>,
    status: Option<i16>,
    answer: Option<Vec<u8>>,
}

impl Row {
    /// True if nothing will come of the try that holds the key.
    fn is_free(&self, now: Instant) -> bool {
        let open = self.receipts.is_none() && self.answer.is_none();
        self.expires_at <= now || (open && self.claimed_at.plus(LEFT_BEHIND) <= now)
    }
}

tokio::task_local! {
    static HELD: Arc<Claim>;
}

impl Claim {
    /// Runs a request that holds this claim: every transaction that it begins marks it.
    pub async fn hold<F: Future>(self: Arc<Self>, request: F) -> F::Output {
        HELD.scope(self, request).await
    }

    /// The claim of the request that runs on this task, if it has one.
    pub(super) fn held() -> Option<Arc<Self>> {
        HELD.try_with(Arc::clone).ok()
    }

    /// Marks the claim inside the transaction of the effect, as the claim's tenant. The row stays
    /// locked to the COMMIT, so nobody takes it over in between.
    ///
    /// # Errors
    /// [`Error::Conflict`] when another try holds the key by now; the effect must not commit.
    pub(super) async fn mark(&self, conn: &mut PgConnection, role: Role, now: Instant, receipts: Vec<serde_json::Value>) -> Result<()> {
        super::tx::set_tenant(conn, role, self.scope.home).await?;
        let done = sqlx::query!(
            "UPDATE idempotency SET committed_at = $6, receipts = COALESCE(receipts, '[]'::jsonb) || $7
             WHERE customer_id = $1 AND principal_id = $2 AND route = $3 AND key_hash = $4 AND attempt = $5",
            self.scope.home.0,
            self.scope.principal,
            &*self.scope.route,
            self.scope.key_hash as Digest,
            self.attempt,
            now as Instant,
            serde_json::Value::Array(receipts)
        )
        .execute(conn)
        .await?;
        match done.rows_affected() {
            1 => Ok(()),
            _ => Err(Error::conflict("idempotency-key-taken-over", "Another try of this request runs. Send it again in a moment.")),
        }
    }
}

impl Db {
    /// Claims a key for this request, or says what is known of it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the database does not answer.
    pub async fn claim(&self, scope: IdempotencyScope, fingerprint: Option<Digest>) -> Result<Claimed> {
        let mut bytes = [0; 16];
        self.entropy().fill(&mut bytes);
        let claim = Claim { scope, attempt: Uuid::from_bytes(bytes) };
        let mut tx = self.housekeeping(claim.scope.role, "claim_idempotency_key", claim.scope.home).await?;
        let now = tx.now();
        if insert(tx.conn(), &claim, fingerprint, now).await? {
            tx.commit_housekeeping().await?;
            return Ok(Claimed::Mine(Arc::new(claim)));
        }
        // Gone between the two statements: its try had no effect and gave the key back.
        let Some(row) = find(tx.conn(), &claim.scope).await? else {
            return Err(Error::Unavailable { retry_after: 1, cause: "an idempotency key was given back" });
        };
        if row.is_free(now) && take_over(tx.conn(), &claim, row.attempt, fingerprint, now).await? {
            tx.commit_housekeeping().await?;
            return Ok(Claimed::Mine(Arc::new(claim)));
        }
        let answer = row.status.zip(row.answer);
        Ok(Claimed::Known(Known { attempt: row.attempt, fingerprint: row.fingerprint, receipts: row.receipts, answer }))
    }

    /// Keeps the answer of a request for those that repeat it.
    ///
    /// # Errors
    /// When the database does not take it; a repeat then learns that the effect was recorded.
    pub async fn keep_answer(&self, claim: &Claim, fingerprint: Digest, status: i16, answer: &[u8]) -> Result<()> {
        let Claim { scope, attempt } = claim;
        let mut tx = self.housekeeping(scope.role, "keep_answer", scope.home).await?;
        sqlx::query!(
            "UPDATE idempotency SET fingerprint = $6, status = $7, answer = $8
             WHERE customer_id = $1 AND principal_id = $2 AND route = $3 AND key_hash = $4 AND attempt = $5",
            scope.home.0,
            scope.principal,
            &*scope.route,
            scope.key_hash as Digest,
            attempt,
            fingerprint as Digest,
            status,
            answer
        )
        .execute(tx.conn())
        .await?;
        tx.commit_housekeeping().await
    }

    /// Gives a key back after a request that had no effect; one that had stays.
    ///
    /// # Errors
    /// When the database does not answer; the claim is then left behind.
    pub async fn give_back(&self, claim: &Claim) -> Result<()> {
        let Claim { scope, attempt } = claim;
        let mut tx = self.housekeeping(scope.role, "give_back_idempotency_key", scope.home).await?;
        sqlx::query!(
            "DELETE FROM idempotency
             WHERE customer_id = $1 AND principal_id = $2 AND route = $3 AND key_hash = $4 AND attempt = $5 AND committed_at IS NULL",
            scope.home.0,
            scope.principal,
            &*scope.route,
            scope.key_hash as Digest,
            attempt
        )
        .execute(tx.conn())
        .await?;
        tx.commit_housekeeping().await
    }

    /// Removes the keys that are past their end, one customer at a time; how many.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn sweep_idempotency(&self) -> Result<u64> {
        let mut read = self.read(Role::OpsRead, "list_logs", LogId::PROCESSOR).await?;
        let logs = sqlx::query_scalar!("SELECT id FROM log WHERE kind IN ('customer', 'processor')").fetch_all(read.conn()).await?;
        drop(read);
        let mut swept = 0;
        for log in logs {
            let mut tx = self.housekeeping(Role::Worker, "sweep_idempotency", LogId(log)).await?;
            let now = tx.now();
            let done = sqlx::query!("DELETE FROM idempotency WHERE customer_id = $1 AND expires_at <= $2", log, now as Instant)
                .execute(tx.conn())
                .await?;
            tx.commit_housekeeping().await?;
            swept += done.rows_affected();
        }
        Ok(swept)
    }
}

/// True if the key was free. Waits for another insert of the same key to end.
async fn insert(conn: &mut PgConnection, claim: &Claim, fingerprint: Option<Digest>, now: Instant) -> Result<bool> {
    let Claim { scope, attempt } = claim;
    let done = sqlx::query!(
        "INSERT INTO idempotency (customer_id, principal_id, route, key_hash, attempt, claimed_at, expires_at, fingerprint)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        scope.home.0,
        scope.principal,
        &*scope.route,
        scope.key_hash as Digest,
        attempt,
        now as Instant,
        now.plus(KEPT) as Instant,
        fingerprint as Option<Digest>
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

async fn find(conn: &mut PgConnection, scope: &IdempotencyScope) -> Result<Option<Row>> {
    Ok(sqlx::query_as!(
        Row,
        r#"SELECT attempt, claimed_at AS "claimed_at: Instant", expires_at AS "expires_at: Instant",
                  fingerprint AS "fingerprint: Digest", receipts, status, answer
           FROM idempotency WHERE customer_id = $1 AND principal_id = $2 AND route = $3 AND key_hash = $4"#,
        scope.home.0,
        scope.principal,
        &*scope.route,
        scope.key_hash as Digest
    )
    .fetch_optional(conn)
    .await?)
}

/// Takes a key over from a try that nothing will come of; false if it has moved since it was read.
async fn take_over(conn: &mut PgConnection, claim: &Claim, from: Uuid, fingerprint: Option<Digest>, now: Instant) -> Result<bool> {
    let Claim { scope, attempt } = claim;
    let done = sqlx::query!(
        "UPDATE idempotency SET attempt = $6, claimed_at = $7, expires_at = $8, fingerprint = $9,
                committed_at = NULL, receipts = NULL, status = NULL, answer = NULL
         WHERE customer_id = $1 AND principal_id = $2 AND route = $3 AND key_hash = $4 AND attempt = $5
           AND (expires_at <= $7 OR (committed_at IS NULL AND answer IS NULL))",
        scope.home.0,
        scope.principal,
        &*scope.route,
        scope.key_hash as Digest,
        from,
        attempt,
        now as Instant,
        now.plus(KEPT) as Instant,
        fingerprint as Option<Digest>
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}
