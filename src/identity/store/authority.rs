//! Authority as it stands under the log's head: read in the transaction that uses it, so that an
//! authority taken back before a signature is not there when it is made.

use chrono::NaiveDate;
use sqlx::postgres::PgConnection;

use crate::base::{CustomerId, Error, Instant, MembershipId, OpsPersonId, Reference, Result, SessionId};
use crate::db::{WriteTx, conflict_on, ensure_one};
use crate::identity::caller::{InstitutionCaller, InstitutionCredential, OpsCaller, OpsCredential};
use crate::identity::decide::stepped_up;
use crate::identity::model::{Authority, AuthorityKind, Needs, covers};

/// Proof that a person of the customer, with authority for the act, acts with step-up. Demanded by
/// every store function that signs, accepts, approves or releases.
#[derive(Debug, Clone, Copy)]
pub struct Signatory {
    membership: MembershipId,
}

impl Signatory {
    /// The person's membership.
    #[must_use]
    pub const fn membership(&self) -> MembershipId {
        self.membership
    }
}

/// The caller as a signatory for an act of this kind.
///
/// # Errors
/// [`Error::Forbidden`] for an API key or a person without authority; [`Error::StepUpRequired`]
/// when the last step-up, password and factor, is more than five minutes old.
pub async fn signatory(tx: &mut WriteTx, caller: &InstitutionCaller, kind: AuthorityKind, needs: &Needs) -> Result<Signatory> {
    let (session, membership) = person(caller)?;
    let now = tx.now();
    let held = held(tx.conn(), caller.customer(), membership).await?;
    if !covers(&held, kind, needs, now) {
        return Err(Error::Forbidden("no authority for this act"));
    }
    fresh_step_up(tx.conn(), session, now).await?;
    Ok(Signatory { membership })
}

/// The membership of a caller who has any authority: enough to stop things, without step-up.
///
/// # Errors
/// [`Error::Forbidden`] for an API key or a person without any authority.
pub async fn anyone_with_authority(tx: &mut WriteTx, caller: &InstitutionCaller) -> Result<MembershipId> {
    let (_, membership) = person(caller)?;
    let now = tx.now();
    let held = held(tx.conn(), caller.customer(), membership).await?;
    if held.iter().any(|a| a.begins_at <= now) { Ok(membership) } else { Err(Error::Forbidden("no authority at all")) }
}

/// The ops person who calls, with step-up: a session alone, left open or stolen, approves nothing.
///
/// # Errors
/// [`Error::Forbidden`] for an API key; [`Error::StepUpRequired`].
pub async fn ops_stepped_up(tx: &mut WriteTx, caller: &OpsCaller) -> Result<OpsPersonId> {
    match caller.credential() {
        OpsCredential::Session { session, ops_person } => {
            let now = tx.now();
            fresh_step_up(tx.conn(), session, now).await?;
            Ok(ops_person)
        }
        OpsCredential::Key(_) => Err(Error::Forbidden("an API key where a person must act")),
    }
}

/// Some person of the customer with authority of any kind, with step-up: for what outlives the session.
///
/// # Errors
/// As [`anyone_with_authority`]; [`Error::StepUpRequired`].
pub async fn anyone_stepped_up(tx: &mut WriteTx, caller: &InstitutionCaller) -> Result<MembershipId> {
    let membership = anyone_with_authority(tx, caller).await?;
    let (session, _) = person(caller)?;
    let now = tx.now();
    fresh_step_up(tx.conn(), session, now).await?;
    Ok(membership)
}

const fn person(caller: &InstitutionCaller) -> Result<(SessionId, MembershipId)> {
    match caller.credential() {
        InstitutionCredential::Session { session, membership, .. } => Ok((session, membership)),
        InstitutionCredential::Key(_) => Err(Error::Forbidden("an API key where a person must act")),
    }
}

/// What a member has authority for, present and future: none that was taken back, and nothing at all
/// while it is suspended by a recovery that the customer has not confirmed.
///
/// # Errors
/// When the database does not answer.
pub async fn held(conn: &mut PgConnection, customer: CustomerId, membership: MembershipId) -> Result<Vec<Authority>> {
    if super::authority_suspended(conn, customer, membership).await? {
        return Ok(Vec::new());
    }
    granted(conn, customer, membership).await
}

/// What was granted to a member and not taken back, suspended or not.
pub(super) async fn granted(conn: &mut PgConnection, customer: CustomerId, membership: MembershipId) -> Result<Vec<Authority>> {
    let rows = sqlx::query!(
        r#"SELECT a.kind, a.units, a.begins_at AS "begins_at: Instant" FROM authority a
           JOIN membership m ON m.customer_id = a.customer_id AND m.id = a.membership_id
           WHERE a.customer_id = $1 AND a.membership_id = $2 AND a.ended_at IS NULL AND m.ended_at IS NULL ORDER BY a.kind"#,
        customer as CustomerId,
        membership as MembershipId
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let units: Option<Vec<Reference>> = row
                .units
                .map(|list| list.iter().map(|unit| unit.parse()).collect::<Result<_, _>>().map_err(Error::internal))
                .transpose()?;
            Ok(Authority {
                kind: row.kind.parse().map_err(Error::internal)?,
                units: units.map(|list| list.into_iter().collect()),
                begins_at: row.begins_at,
            })
        })
        .collect()
}

/// Grants authority.
///
/// # Errors
/// [`Error::Conflict`] when the member has authority of this kind.
pub async fn insert_authority(
    tx: &mut WriteTx,
    _by: Signatory,
    customer: CustomerId,
    membership: MembershipId,
    granted: &Authority,
) -> Result<()> {
    let now = tx.now();
    insert(tx.conn(), customer, membership, granted, now).await
}

/// The same for the first signatory, by the worker that delivered its notice: nobody signs for it.
pub(super) async fn insert(
    conn: &mut PgConnection,
    customer: CustomerId,
    membership: MembershipId,
    granted: &Authority,
    now: Instant,
) -> Result<()> {
    let units: Option<Vec<String>> = granted.units.as_ref().map(|units| units.iter().map(ToString::to_string).collect());
    sqlx::query!(
        "INSERT INTO authority (customer_id, membership_id, kind, units, begins_at, granted_at) VALUES ($1, $2, $3, $4, $5, $6)",
        customer as CustomerId,
        membership as MembershipId,
        granted.kind.word(),
        units.as_deref(),
        granted.begins_at as Instant,
        now as Instant
    )
    .execute(conn)
    .await
    .map_err(conflict_on(
        "authority_one",
        "already_granted",
        "The member has authority of this kind: end it before granting another.",
    ))?;
    Ok(())
}

/// Takes authority back.
///
/// # Errors
/// [`Error::NotFound`] when the member has none of this kind.
pub async fn end_authority(
    tx: &mut WriteTx,
    _by: Signatory,
    customer: CustomerId,
    membership: MembershipId,
    kind: AuthorityKind,
) -> Result<()> {
    let now = tx.now();
    let done = sqlx::query!(
        "UPDATE authority SET ended_at = $4 WHERE customer_id = $1 AND membership_id = $2 AND kind = $3 AND ended_at IS NULL",
        customer as CustomerId,
        membership as MembershipId,
        kind.word(),
        now as Instant
    )
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 0 {
        return Err(Error::NotFound);
    }
    ensure_one(&done)
}

/// True if another member can act now with authority over the people of all units, so that a
/// customer is never left without anybody who can grant: the authority has begun, the membership is
/// not over on this day, and the person has logged in for it before.
pub async fn people_elsewhere(
    conn: &mut PgConnection,
    customer: CustomerId,
    but: MembershipId,
    (now, today): (Instant, NaiveDate),
) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM authority a JOIN membership m ON m.customer_id = a.customer_id AND m.id = a.membership_id
               WHERE a.customer_id = $1 AND a.kind = 'people' AND a.units IS NULL AND a.ended_at IS NULL
                 AND m.ended_at IS NULL AND m.id <> $2
                 AND a.begins_at <= $3 AND (m.until_on IS NULL OR m.until_on >= $4) AND m.accepted_at IS NOT NULL
                 AND NOT EXISTS (SELECT 1 FROM authority_suspension s WHERE s.customer_id = m.customer_id AND s.membership_id = m.id AND s.confirmed_at IS NULL))
               AS "elsewhere!""#,
        customer as CustomerId,
        but as MembershipId,
        now as Instant,
        today
    )
    .fetch_one(conn)
    .await?)
}

/// Demands a step-up of the session that still holds.
///
/// # Errors
/// [`Error::StepUpRequired`].
pub async fn fresh_step_up(conn: &mut PgConnection, session: SessionId, now: Instant) -> Result<()> {
    let at = sqlx::query_scalar!(
        r#"SELECT stepped_up_at AS "at: Instant" FROM session WHERE id = $1 AND revoked_at IS NULL"#,
        session as SessionId
    )
    .fetch_optional(conn)
    .await?
    .flatten();
    if stepped_up(at, now) { Ok(()) } else { Err(Error::StepUpRequired) }
}
