//! Authority as it stands under the log's head: read in the transaction that uses it, so that an
//! authority taken back before a signature is not there when it is made.

use sqlx::postgres::PgConnection;

use crate::base::{CustomerId, Error, Instant, MembershipId, Reference, Result, SessionId};
use crate::db::WriteTx;
use crate::identity::caller::{InstitutionCaller, InstitutionCredential};
use crate::identity::model::{Authority, AuthorityKind, Needs, covers};

/// How long a step-up holds, in milliseconds.
pub const STEP_UP_MILLIS: i64 = 300_000;

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
    /// For the loader of the demo world, whose persons act at past dates without a login.
    pub(crate) const fn of_loaded_world(membership: MembershipId) -> Self {
        Self { membership }
    }
}

/// The caller as a signatory for an act of this kind.
///
/// # Errors
/// [`Error::Forbidden`] for an API key or a person without authority; [`Error::StepUpRequired`]
/// when the last step-up is more than five minutes old.
pub async fn signatory(tx: &mut WriteTx, caller: &InstitutionCaller, kind: AuthorityKind, needs: &Needs) -> Result<Signatory> {
    let (session, membership) = person(caller)?;
    let now = tx.now();
    let held = held(tx.conn(), caller.customer(), membership).await?;
    if !covers(&held, kind, needs, now) {
        return Err(Error::Forbidden("no authority for this act"));
    }
    step_up(tx.conn(), session, now).await?;
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

const fn person(caller: &InstitutionCaller) -> Result<(SessionId, MembershipId)> {
    match caller.credential() {
        InstitutionCredential::Session { session, membership, .. } => Ok((session, membership)),
        InstitutionCredential::Key(_) => Err(Error::Forbidden("an API key where a person must act")),
    }
}

/// What a member has authority for, present and future, none that was taken back.
///
/// # Errors
/// When the database does not answer.
pub async fn held(conn: &mut PgConnection, customer: CustomerId, membership: MembershipId) -> Result<Vec<Authority>> {
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

async fn step_up(conn: &mut PgConnection, session: SessionId, now: Instant) -> Result<()> {
    let at = sqlx::query_scalar!(
        r#"SELECT stepped_up_at AS "at: Instant" FROM session WHERE id = $1 AND revoked_at IS NULL"#,
        session as SessionId
    )
    .fetch_optional(conn)
    .await?
    .flatten();
    match at {
        Some(at) if now.millis() - at.millis() <= STEP_UP_MILLIS => Ok(()),
        _ => Err(Error::StepUpRequired),
    }
}
