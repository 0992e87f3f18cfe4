//! The way back of an ops person. Each step is set once, and the database lets each role take its own
//! step only: two others propose and approve, the worker draws the token once the notice is
//! delivered, and only the token's bearer uses it.

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::base::*;
use crate::db::{WriteTx, conflict_on, ensure_one};
use crate::identity::decide::{RECOVERY_DELAY, RECOVERY_TERM};

/// How far the recovery of an ops person has come.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct OpsRecoveryView {
    /// Its id.
    pub id: OpsRecoveryId,
    /// Who comes back.
    pub ops_person: OpsPersonId,
    /// The first of two others.
    pub proposed_by: OpsPersonId,
    /// When.
    pub proposed_at: Instant,
    /// The second.
    pub approved_by: Option<OpsPersonId>,
    /// When.
    pub approved_at: Option<Instant>,
    /// When the notice to the person's own address was delivered.
    pub delivered_at: Option<Instant>,
    /// From when the person can come back: 72 hours later.
    pub opens_at: Option<Instant>,
    /// Until when.
    pub closes_at: Option<Instant>,
    /// When the person came back.
    pub accepted_at: Option<Instant>,
    /// When it was withdrawn.
    pub withdrawn_at: Option<Instant>,
}

/// What the database answers where one person would be two of the three.
fn two_others(error: sqlx::Error) -> Error {
    conflict_on("ops_recovery_two", "second_person_needed", "It takes two other ops persons: one who proposes, and another who approves.")(
        error,
    )
}

/// Proposes a recovery.
///
/// # Errors
/// [`Error::Conflict`] when one is under way, or somebody proposes the own.
pub async fn insert_ops_recovery(tx: &mut WriteTx, ops_person: OpsPersonId, by: OpsPersonId) -> Result<OpsRecoveryId> {
    let (id, now): (OpsRecoveryId, _) = (tx.fresh(), tx.now());
    let inserted = sqlx::query!(
        "INSERT INTO ops_recovery (id, ops_person_id, proposed_by, proposed_at) VALUES ($1, $2, $3, $4)",
        id as OpsRecoveryId,
        ops_person as OpsPersonId,
        by as OpsPersonId,
        now as Instant
    );
    let open = "A recovery of this ops person is under way: carry it on, or withdraw it first.";
    match inserted.execute(tx.conn()).await {
        Ok(_) => Ok(id),
        Err(sqlx::Error::Database(told)) if told.constraint() == Some("ops_recovery_open") => {
            Err(Error::conflict("recovery_under_way", open))
        }
        Err(error) => Err(two_others(error)),
    }
}

/// Notes the approval and the notice that tells of it.
///
/// # Errors
/// [`Error::Conflict`] when it was approved or withdrawn before, or by one who is none of two others.
pub async fn approve_ops_recovery(tx: &mut WriteTx, id: OpsRecoveryId, by: OpsPersonId, notice: MessageId) -> Result<()> {
    let now = tx.now();
    let done = sqlx::query!(
        "UPDATE ops_recovery SET approved_by = $2, approved_at = $3, notice_id = $4 WHERE id = $1 AND approved_at IS NULL AND withdrawn_at IS NULL",
        id as OpsRecoveryId,
        by as OpsPersonId,
        now as Instant,
        notice as MessageId
    )
    .execute(tx.conn())
    .await
    .map_err(two_others)?;
    if done.rows_affected() == 0 {
        return Err(Error::conflict("not_awaiting_approval", "The recovery was approved or withdrawn before."));
    }
    ensure_one(&done)
}

/// Withdraws a recovery that nobody has used.
///
/// # Errors
/// [`Error::Conflict`] when it was used or withdrawn before.
pub async fn withdraw_ops_recovery(tx: &mut WriteTx, id: OpsRecoveryId) -> Result<()> {
    let now = tx.now();
    let done = sqlx::query!(
        "UPDATE ops_recovery SET withdrawn_at = $2 WHERE id = $1 AND accepted_at IS NULL AND withdrawn_at IS NULL",
        id as OpsRecoveryId,
        now as Instant
    )
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 0 {
        return Err(Error::conflict("already_ended", "The recovery was used or withdrawn before."));
    }
    ensure_one(&done)
}

/// Notes the delivered notice and the token's hash: the person, the address while access lasts, and
/// from when to when the token is accepted; no such time for a recovery that was withdrawn
/// meanwhile, or proposed before a restore.
pub async fn ops_recovery_notified(
    tx: &mut WriteTx,
    id: OpsRecoveryId,
    notice: MessageId,
    token: Digest,
) -> Result<(OpsPersonId, Option<Email>, Option<(Instant, Instant)>)> {
    let now = tx.now();
    let row = sqlx::query!(
        r#"UPDATE ops_recovery r SET delivered_at = $3,
               opens_at = CASE WHEN withdrawn_at IS NULL AND proposed_at >= restored_at() THEN $4::timestamptz END,
               closes_at = CASE WHEN withdrawn_at IS NULL AND proposed_at >= restored_at() THEN $5::timestamptz END,
               token_hash = CASE WHEN withdrawn_at IS NULL AND proposed_at >= restored_at() THEN $6::bytea END
           FROM ops_person o WHERE o.id = r.ops_person_id AND r.id = $1 AND notice_id = $2 AND delivered_at IS NULL
           RETURNING r.ops_person_id AS "ops_person: OpsPersonId", CASE WHEN o.ended_at IS NULL THEN o.email END AS "email: Email",
                     opens_at AS "opens_at: Instant", closes_at AS "closes_at: Instant""#,
        id as OpsRecoveryId,
        notice as MessageId,
        now as Instant,
        now.plus(RECOVERY_DELAY) as Instant,
        now.plus(RECOVERY_DELAY).plus(RECOVERY_TERM) as Instant,
        token as Digest
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or_else(|| Error::internal("a recovery's notice that nobody waits for"))?;
    Ok((row.ops_person, row.email, row.opens_at.zip(row.closes_at)))
}

/// All recoveries of ops persons, in order of their ids; `only`: that one.
async fn select(conn: &mut PgConnection, only: Option<OpsRecoveryId>, after: Option<Uuid>, limit: i64) -> Result<Vec<OpsRecoveryView>> {
    Ok(sqlx::query_as!(
        OpsRecoveryView,
        r#"SELECT id AS "id: OpsRecoveryId", ops_person_id AS "ops_person: OpsPersonId", proposed_by AS "proposed_by: OpsPersonId",
                  proposed_at AS "proposed_at: Instant", approved_by AS "approved_by: OpsPersonId", approved_at AS "approved_at: Instant",
                  delivered_at AS "delivered_at: Instant", opens_at AS "opens_at: Instant", closes_at AS "closes_at: Instant",
                  accepted_at AS "accepted_at: Instant", withdrawn_at AS "withdrawn_at: Instant"
           FROM ops_recovery WHERE ($1::uuid IS NULL OR id = $1) AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3"#,
        only as Option<OpsRecoveryId>,
        after,
        limit
    )
    .fetch_all(conn)
    .await?)
}

/// A page of them.
pub async fn ops_recoveries(conn: &mut PgConnection, page: &PageQuery) -> Result<Vec<OpsRecoveryView>> {
    select(conn, None, page.after, page.fetch()).await
}

/// One of them.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn ops_recovery(conn: &mut PgConnection, id: OpsRecoveryId) -> Result<OpsRecoveryView> {
    select(conn, Some(id), None, 1).await?.pop().ok_or(Error::NotFound)
}

/// The recovery whose token this is, with its person, if it can be used now.
pub async fn open_ops_recovery(conn: &mut PgConnection, token: Digest, now: Instant) -> Result<Option<(OpsRecoveryId, OpsPersonId)>> {
    let row = sqlx::query!(
        r#"SELECT id AS "id!: OpsRecoveryId", ops_person_id AS "ops_person!: OpsPersonId" FROM ops_recovery_by_token($1, $2)"#,
        token as Digest,
        now as Instant
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (row.id, row.ops_person)))
}

/// Uses the token: new password, no factor, no session. False if it cannot be used (any more).
pub async fn recover_ops_person(conn: &mut PgConnection, token: Digest, password_hash: &str, now: Instant) -> Result<bool> {
    let recovered =
        sqlx::query_scalar!(r#"SELECT recover_ops_person($1, $2, $3) AS "recovered!""#, token as Digest, password_hash, now as Instant);
    Ok(recovered.fetch_one(conn).await?)
}
