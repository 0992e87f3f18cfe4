//! Sessions of both surfaces. They are housekeeping: who logged in when is no fact of a customer,
//! and what a session did is in the entries.

use chrono::NaiveDate;
use sqlx::postgres::PgConnection;

use crate::base::*;
use crate::db::{LogId, Role};
use crate::identity::decide::{ABSOLUTE, SessionTimes};
use crate::identity::model::Account;

/// Whose session it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// A person of a customer.
    Member {
        /// The customer.
        customer: CustomerId,
        /// The person.
        person: PersonId,
        /// The membership it is bound to.
        membership: MembershipId,
    },
    /// A person of the processor's staff.
    Ops(OpsPersonId),
}

impl Holder {
    /// The role that may touch the session.
    #[must_use]
    pub const fn role(self) -> Role {
        match self {
            Self::Member { .. } => Role::App,
            Self::Ops(_) => Role::Ops,
        }
    }
    /// The log of its tenant.
    #[must_use]
    pub fn home(self) -> LogId {
        match self {
            Self::Member { customer, .. } => customer.into(),
            Self::Ops(_) => LogId::PROCESSOR,
        }
    }
    /// Whose password and factor they are.
    #[must_use]
    pub const fn account(self) -> Account {
        match self {
            Self::Member { person, .. } => Account::Person(person),
            Self::Ops(ops_person) => Account::Ops(ops_person),
        }
    }
    const fn customer(self) -> Option<CustomerId> {
        match self {
            Self::Member { customer, .. } => Some(customer),
            Self::Ops(_) => None,
        }
    }
    const fn person(self) -> Option<PersonId> {
        match self {
            Self::Member { person, .. } => Some(person),
            Self::Ops(_) => None,
        }
    }
    const fn membership(self) -> Option<MembershipId> {
        match self {
            Self::Member { membership, .. } => Some(membership),
            Self::Ops(_) => None,
        }
    }
    const fn ops_person(self) -> Option<OpsPersonId> {
        match self {
            Self::Member { .. } => None,
            Self::Ops(ops_person) => Some(ops_person),
        }
    }
}

/// A session as its holder sees it.
#[derive(Debug, Clone)]
pub struct Session {
    pub id: SessionId,
    pub created_at: Instant,
    pub last_used_at: Instant,
    pub expires_at: Instant,
    pub stepped_up_at: Option<Instant>,
    pub revoked_at: Option<Instant>,
}

/// A session with the membership it is bound to, which nobody has ended.
pub struct MemberSession {
    pub id: SessionId,
    pub person: PersonId,
    pub customer: CustomerId,
    pub membership: MembershipId,
    pub times: SessionTimes,
    pub role: String,
    pub until_on: Option<NaiveDate>,
    pub zone: String,
    pub has_factor: bool,
    pub has_authority: bool,
    pub unconfirmed: bool,
}

/// A session of an ops person whose access nobody has ended.
pub struct OpsSession {
    pub id: SessionId,
    pub ops_person: OpsPersonId,
    pub times: SessionTimes,
    pub role: String,
    pub has_factor: bool,
    pub unconfirmed: bool,
}

/// The institution surface's session behind a token's hash.
pub async fn member_session(conn: &mut PgConnection, hash: Digest) -> Result<Option<MemberSession>> {
    let row = sqlx::query!(
        r#"SELECT s.id AS "id!: SessionId", s.person_id AS "person!: PersonId", s.customer_id AS "customer!: CustomerId",
                  s.membership_id AS "membership!: MembershipId", s.last_used_at AS "last_used_at!: Instant",
                  s.expires_at AS "expires_at!: Instant", s.revoked_at AS "revoked_at?: Instant",
                  m.role AS "role!", m.until_on, m.zone AS "zone!", w.has_factor AS "has_factor!", w.has_authority AS "has_authority!",
                  member_unconfirmed(m.customer_id, m.membership_id) AS "unconfirmed!"
           FROM session_by_token($1) s CROSS JOIN LATERAL memberships_of_person(s.person_id) m
                CROSS JOIN LATERAL member_standing(m.customer_id, m.membership_id, s.person_id) w
           WHERE m.customer_id = s.customer_id AND m.membership_id = s.membership_id"#,
        hash as Digest
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| MemberSession {
        id: row.id,
        person: row.person,
        customer: row.customer,
        membership: row.membership,
        times: SessionTimes { last_used_at: row.last_used_at, expires_at: row.expires_at, revoked_at: row.revoked_at },
        role: row.role,
        until_on: row.until_on,
        zone: row.zone,
        has_factor: row.has_factor,
        has_authority: row.has_authority,
        unconfirmed: row.unconfirmed,
    }))
}

/// The admin surface's session behind a token's hash.
pub async fn ops_session(conn: &mut PgConnection, hash: Digest) -> Result<Option<OpsSession>> {
    let row = sqlx::query!(
        r#"SELECT s.id AS "id!: SessionId", o.id AS "ops_person: OpsPersonId", s.last_used_at AS "last_used_at!: Instant",
                  s.expires_at AS "expires_at!: Instant", s.revoked_at AS "revoked_at?: Instant", o.role,
                  EXISTS (SELECT 1 FROM second_factor f WHERE f.ops_person_id = o.id AND f.confirmed_at IS NOT NULL AND f.ended_at IS NULL) AS "has_factor!",
                  processor_unconfirmed() AS "unconfirmed!"
           FROM session_by_token($1) s JOIN ops_person o ON o.id = s.ops_person_id WHERE o.ended_at IS NULL"#,
        hash as Digest
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| OpsSession {
        id: row.id,
        ops_person: row.ops_person,
        times: SessionTimes { last_used_at: row.last_used_at, expires_at: row.expires_at, revoked_at: row.revoked_at },
        role: row.role,
        has_factor: row.has_factor,
        unconfirmed: row.unconfirmed,
    }))
}

/// Makes a session. It begins without step-up. A member's first one accepts the membership.
pub async fn insert_session(conn: &mut PgConnection, holder: Holder, id: SessionId, hash: Digest, now: Instant) -> Result<Session> {
    let expires_at = now.plus(ABSOLUTE);
    sqlx::query!(
        "INSERT INTO session (id, token_hash, person_id, customer_id, membership_id, ops_person_id, created_at, last_used_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8)",
        id as SessionId,
        hash as Digest,
        holder.person() as Option<PersonId>,
        holder.customer() as Option<CustomerId>,
        holder.membership() as Option<MembershipId>,
        holder.ops_person() as Option<OpsPersonId>,
        now as Instant,
        expires_at as Instant
    )
    .execute(&mut *conn)
    .await?;
    if let Holder::Member { customer, membership, .. } = holder {
        sqlx::query!(
            "UPDATE membership SET accepted_at = $3 WHERE customer_id = $1 AND id = $2 AND accepted_at IS NULL",
            customer as CustomerId,
            membership as MembershipId,
            now as Instant
        )
        .execute(conn)
        .await?;
    }
    Ok(Session { id, created_at: now, last_used_at: now, expires_at, stepped_up_at: None, revoked_at: None })
}

/// Notes the use of a session. Two requests may do it at once; the later one then has nothing to do.
pub async fn used_session(conn: &mut PgConnection, id: SessionId, now: Instant) -> Result<()> {
    sqlx::query!("UPDATE session SET last_used_at = $2 WHERE id = $1 AND last_used_at < $2", id as SessionId, now as Instant)
        .execute(conn)
        .await?;
    Ok(())
}

/// The holder's sessions, in order of their ids.
pub async fn sessions(conn: &mut PgConnection, holder: Holder, page: &PageQuery) -> Result<Vec<Session>> {
    Ok(sqlx::query_as!(
        Session,
        r#"SELECT id AS "id: SessionId", created_at AS "created_at: Instant", last_used_at AS "last_used_at: Instant",
                  expires_at AS "expires_at: Instant", stepped_up_at AS "stepped_up_at: Instant", revoked_at AS "revoked_at: Instant"
           FROM session WHERE ((customer_id = $1 AND person_id = $2) OR ops_person_id = $3) AND ($4::uuid IS NULL OR id > $4)
           ORDER BY id LIMIT $5"#,
        holder.customer() as Option<CustomerId>,
        holder.person() as Option<PersonId>,
        holder.ops_person() as Option<OpsPersonId>,
        page.after,
        page.fetch()
    )
    .fetch_all(conn)
    .await?)
}

/// One of the holder's sessions.
///
/// # Errors
/// [`Error::NotFound`] when it is not the holder's.
pub async fn session(conn: &mut PgConnection, holder: Holder, id: SessionId) -> Result<Session> {
    sqlx::query_as!(
        Session,
        r#"SELECT id AS "id: SessionId", created_at AS "created_at: Instant", last_used_at AS "last_used_at: Instant",
                  expires_at AS "expires_at: Instant", stepped_up_at AS "stepped_up_at: Instant", revoked_at AS "revoked_at: Instant"
           FROM session WHERE id = $1 AND ((customer_id = $2 AND person_id = $3) OR ops_person_id = $4)"#,
        id as SessionId,
        holder.customer() as Option<CustomerId>,
        holder.person() as Option<PersonId>,
        holder.ops_person() as Option<OpsPersonId>
    )
    .fetch_optional(conn)
    .await?
    .ok_or(Error::NotFound)
}

/// Revokes one of the holder's sessions; once more changes nothing, since stopping must not fail.
///
/// # Errors
/// [`Error::NotFound`] when it is not the holder's.
pub async fn revoke_session(conn: &mut PgConnection, holder: Holder, id: SessionId, now: Instant) -> Result<Session> {
    let done = sqlx::query!(
        "UPDATE session SET revoked_at = COALESCE(revoked_at, $5) WHERE id = $1 AND ((customer_id = $2 AND person_id = $3) OR ops_person_id = $4)",
        id as SessionId,
        holder.customer() as Option<CustomerId>,
        holder.person() as Option<PersonId>,
        holder.ops_person() as Option<OpsPersonId>,
        now as Instant
    )
    .execute(&mut *conn)
    .await?;
    if done.rows_affected() == 0 {
        return Err(Error::NotFound);
    }
    crate::db::ensure_one(&done)?;
    session(conn, holder, id).await
}

/// Notes that password and factor of a session's holder were right just now.
///
/// # Errors
/// [`Error::Unauthenticated`] when the session was revoked in between.
pub async fn step_up(conn: &mut PgConnection, holder: Holder, id: SessionId, now: Instant) -> Result<Session> {
    let done = sqlx::query!(
        "UPDATE session SET stepped_up_at = $2, last_used_at = $2 WHERE id = $1 AND revoked_at IS NULL",
        id as SessionId,
        now as Instant
    )
    .execute(&mut *conn)
    .await?;
    if done.rows_affected() == 0 {
        return Err(Error::Unauthenticated);
    }
    crate::db::ensure_one(&done)?;
    session(conn, holder, id).await
}
