//! The way back into a lost account, and the authority that it suspends. Each step is set once, and
//! the database lets each role take its own step only: ops proposes and approves, the worker draws
//! the token once the notice is delivered, and only the token's bearer uses it.

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::Signatory;
use crate::base::*;
use crate::db::{WriteTx, conflict_on, ensure_one};
use crate::identity::decide::{Approval, RECOVERY_DELAY, RECOVERY_TERM};

/// How far the recovery of an account has come.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct AccountRecoveryView {
    /// Its id.
    pub id: AccountRecoveryId,
    /// The person's membership at this customer.
    pub membership: MembershipId,
    /// The person.
    pub person: PersonId,
    /// The agreement whose contact is told.
    pub agreement: AgreementId,
    /// The first ops person.
    pub proposed_by: OpsPersonId,
    /// When.
    pub proposed_at: Instant,
    /// The second ops person, of the other role.
    pub approved_by: Option<OpsPersonId>,
    /// When.
    pub approved_at: Option<Instant>,
    /// When the notice to the agreement's contact was delivered.
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

/// A recovery whose token can be used now.
pub struct OpenRecovery {
    pub customer: CustomerId,
    pub id: AccountRecoveryId,
    pub person: PersonId,
}

/// The person, name and address of a membership that its person has accepted and nobody has ended, for
/// ops and for the worker: an invitation makes nobody's account a matter of who sent it.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn person_of_membership(conn: &mut PgConnection, customer: CustomerId, id: MembershipId) -> Result<(PersonId, Name, Email)> {
    let row = sqlx::query!(
        r#"SELECT m.person_id AS "person: PersonId", o.name AS "name!: Name", o.email AS "email!: Email"
           FROM membership m JOIN own_persons() o ON o.person_id = m.person_id
           WHERE m.customer_id = $1 AND m.id = $2 AND m.accepted_at IS NOT NULL AND m.ended_at IS NULL"#,
        customer as CustomerId,
        id as MembershipId
    )
    .fetch_optional(conn)
    .await?
    .ok_or(Error::NotFound)?;
    Ok((row.person, row.name, row.email))
}

/// Proposes a recovery.
///
/// # Errors
/// [`Error::Conflict`] when one is under way.
pub async fn insert_recovery(
    tx: &mut WriteTx,
    customer: CustomerId,
    membership: MembershipId,
    person: PersonId,
    agreement: AgreementId,
    by: OpsPersonId,
) -> Result<AccountRecoveryId> {
    let (id, now): (AccountRecoveryId, _) = (tx.fresh(), tx.now());
    sqlx::query!(
        "INSERT INTO account_recovery (customer_id, id, membership_id, person_id, agreement_id, proposed_by, proposed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        customer as CustomerId,
        id as AccountRecoveryId,
        membership as MembershipId,
        person as PersonId,
        agreement as AgreementId,
        by as OpsPersonId,
        now as Instant
    )
    .execute(tx.conn())
    .await
    .map_err(conflict_on(
        "account_recovery_open",
        "recovery_under_way",
        "A recovery of this membership is under way: carry it on, or withdraw it first.",
    ))?;
    Ok(id)
}

/// Notes the approval and the notice that tells of it.
pub async fn approve_recovery(
    tx: &mut WriteTx,
    approval: Approval,
    customer: CustomerId,
    id: AccountRecoveryId,
    notice: MessageId,
) -> Result<()> {
    let now = tx.now();
    let done = sqlx::query!(
        "UPDATE account_recovery SET approved_by = $3, approved_at = $4, notice_id = $5
         WHERE customer_id = $1 AND id = $2 AND approved_at IS NULL AND withdrawn_at IS NULL",
        customer as CustomerId,
        id as AccountRecoveryId,
        approval.approved_by() as OpsPersonId,
        now as Instant,
        notice as MessageId
    )
    .execute(tx.conn())
    .await?;
    ensure_one(&done)
}

/// Withdraws a recovery that nobody has used.
///
/// # Errors
/// [`Error::Conflict`] when it was used or withdrawn before.
pub async fn withdraw_recovery(tx: &mut WriteTx, customer: CustomerId, id: AccountRecoveryId) -> Result<()> {
    let now = tx.now();
    let done = sqlx::query!(
        "UPDATE account_recovery SET withdrawn_at = $3 WHERE customer_id = $1 AND id = $2 AND accepted_at IS NULL AND withdrawn_at IS NULL",
        customer as CustomerId,
        id as AccountRecoveryId,
        now as Instant
    )
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 0 {
        return Err(Error::conflict("already_ended", "The recovery was used or withdrawn before."));
    }
    ensure_one(&done)
}

/// Notes the delivered notice and the token's hash: the membership, and from when to when the token
/// is accepted; no such time for a recovery that was withdrawn
/// meanwhile, or proposed before a restore.
pub async fn recovery_notified(
    tx: &mut WriteTx,
    customer: CustomerId,
    id: AccountRecoveryId,
    notice: MessageId,
    token: Digest,
) -> Result<(MembershipId, Option<(Instant, Instant)>)> {
    let now = tx.now();
    let row = sqlx::query!(
        r#"UPDATE account_recovery SET delivered_at = $4,
               opens_at = CASE WHEN withdrawn_at IS NULL AND proposed_at >= restored_at() THEN $5::timestamptz END,
               closes_at = CASE WHEN withdrawn_at IS NULL AND proposed_at >= restored_at() THEN $6::timestamptz END,
               token_hash = CASE WHEN withdrawn_at IS NULL AND proposed_at >= restored_at() THEN $7::bytea END
           WHERE customer_id = $1 AND id = $2 AND notice_id = $3 AND delivered_at IS NULL
           RETURNING membership_id AS "membership: MembershipId", opens_at AS "opens_at: Instant", closes_at AS "closes_at: Instant""#,
        customer as CustomerId,
        id as AccountRecoveryId,
        notice as MessageId,
        now as Instant,
        now.plus(RECOVERY_DELAY) as Instant,
        now.plus(RECOVERY_DELAY).plus(RECOVERY_TERM) as Instant,
        token as Digest
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or_else(|| Error::internal("a recovery's notice that nobody waits for"))?;
    Ok((row.membership, row.opens_at.zip(row.closes_at)))
}

/// The customer's recoveries, in order of their ids; `only`: that one; `of`: those of one member.
async fn select(
    conn: &mut PgConnection,
    customer: CustomerId,
    (only, of): (Option<AccountRecoveryId>, Option<MembershipId>),
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<AccountRecoveryView>> {
    Ok(sqlx::query_as!(
        AccountRecoveryView,
        r#"SELECT id AS "id: AccountRecoveryId", membership_id AS "membership: MembershipId", person_id AS "person: PersonId",
                  agreement_id AS "agreement: AgreementId", proposed_by AS "proposed_by: OpsPersonId", proposed_at AS "proposed_at: Instant",
                  approved_by AS "approved_by: OpsPersonId", approved_at AS "approved_at: Instant", delivered_at AS "delivered_at: Instant",
                  opens_at AS "opens_at: Instant", closes_at AS "closes_at: Instant", accepted_at AS "accepted_at: Instant",
                  withdrawn_at AS "withdrawn_at: Instant"
           FROM account_recovery
           WHERE customer_id = $1 AND ($2::uuid IS NULL OR id = $2) AND ($3::uuid IS NULL OR id > $3)
             AND ($5::uuid IS NULL OR membership_id = $5) ORDER BY id LIMIT $4"#,
        customer as CustomerId,
        only as Option<AccountRecoveryId>,
        after,
        limit,
        of as Option<MembershipId>
    )
    .fetch_all(conn)
    .await?)
}

/// A page of them; `of`: those of one member.
pub async fn recoveries(
    conn: &mut PgConnection,
    customer: CustomerId,
    of: Option<MembershipId>,
    page: &PageQuery,
) -> Result<Vec<AccountRecoveryView>> {
    select(conn, customer, (None, of), page.after, page.fetch()).await
}

/// One of them.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn recovery(conn: &mut PgConnection, customer: CustomerId, id: AccountRecoveryId) -> Result<AccountRecoveryView> {
    select(conn, customer, (Some(id), None), None, 1).await?.pop().ok_or(Error::NotFound)
}

/// The recovery whose token this is, if it can be used now.
pub async fn open_recovery(conn: &mut PgConnection, token: Digest, now: Instant) -> Result<Option<OpenRecovery>> {
    Ok(sqlx::query_as!(
        OpenRecovery,
        r#"SELECT customer_id AS "customer!: CustomerId", id AS "id!: AccountRecoveryId", person_id AS "person!: PersonId"
           FROM recovery_by_token($1, $2)"#,
        token as Digest,
        now as Instant
    )
    .fetch_optional(conn)
    .await?)
}

/// Uses the token: new password, no factor, no session. False if it cannot be used (any more).
pub async fn recover_person(conn: &mut PgConnection, token: Digest, password_hash: &str, now: Instant) -> Result<bool> {
    let recovered =
        sqlx::query_scalar!(r#"SELECT recover_person($1, $2, $3) AS "recovered!""#, token as Digest, password_hash, now as Instant);
    Ok(recovered.fetch_one(conn).await?)
}

/// Suspends a member's authority until the customer confirms it.
pub async fn suspend_authority(
    conn: &mut PgConnection,
    customer: CustomerId,
    membership: MembershipId,
    recovery: AccountRecoveryId,
    now: Instant,
) -> Result<()> {
    sqlx::query!(
        "INSERT INTO authority_suspension (customer_id, membership_id, recovery_id, suspended_at) VALUES ($1, $2, $3, $4)",
        customer as CustomerId,
        membership as MembershipId,
        recovery as AccountRecoveryId,
        now as Instant
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// True if a member's authority is suspended.
pub async fn authority_suspended(conn: &mut PgConnection, customer: CustomerId, membership: MembershipId) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM authority_suspension WHERE customer_id = $1 AND membership_id = $2 AND confirmed_at IS NULL) AS "suspended!""#,
        customer as CustomerId,
        membership as MembershipId
    )
    .fetch_one(conn)
    .await?)
}

/// Confirms a member's authority: it holds again. How many suspensions that ended.
pub async fn confirm_authority(
    conn: &mut PgConnection,
    customer: CustomerId,
    membership: MembershipId,
    by: Option<Signatory>,
    now: Instant,
) -> Result<u64> {
    let done = sqlx::query!(
        "UPDATE authority_suspension SET confirmed_at = $3, confirmed_by = $4 WHERE customer_id = $1 AND membership_id = $2 AND confirmed_at IS NULL",
        customer as CustomerId,
        membership as MembershipId,
        now as Instant,
        by.map(|by| by.membership()) as Option<MembershipId>
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
