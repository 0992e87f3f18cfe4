//! Invitations to set a first password. Only the SHA-256 of the token is stored; who is invited
//! again never has an existing name or password changed by it.

use sqlx::postgres::PgConnection;

use crate::base::{Digest, Email, Instant, InvitationId, Name, OpsPersonId, PersonId, Result};
use crate::db::WriteTx;
use crate::identity::decide::INVITATION;

/// Who is invited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invitee {
    /// A person of a customer.
    Person(PersonId),
    /// An ops person.
    Ops(OpsPersonId),
}

/// Finds or makes the person behind an address; true if there is a password already.
pub async fn person_for_invitation(tx: &mut WriteTx, email: &Email, name: &Name) -> Result<(PersonId, bool)> {
    let (id, now): (PersonId, _) = (tx.fresh(), tx.now());
    let row = sqlx::query!(
        r#"SELECT person_id AS "person!: PersonId", has_password AS "has_password!" FROM person_for_invitation($1, $2, $3, $4)"#,
        id as PersonId,
        email as &Email,
        name as &Name,
        now as Instant
    )
    .fetch_one(tx.conn())
    .await?;
    Ok((row.person, row.has_password))
}

/// Makes an invitation; the instant until which it can be accepted.
pub async fn insert_invitation(tx: &mut WriteTx, invitee: Invitee, hash: Digest) -> Result<Instant> {
    let (id, now): (InvitationId, _) = (tx.fresh(), tx.now());
    let expires_at = now.plus(INVITATION);
    let (person, ops_person) = match invitee {
        Invitee::Person(person) => (Some(person), None),
        Invitee::Ops(ops_person) => (None, Some(ops_person)),
    };
    sqlx::query!(
        "INSERT INTO invitation (id, token_hash, person_id, ops_person_id, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)",
        id as InvitationId,
        hash as Digest,
        person as Option<PersonId>,
        ops_person as Option<OpsPersonId>,
        now as Instant,
        expires_at as Instant
    )
    .execute(tx.conn())
    .await?;
    Ok(expires_at)
}

/// Whom an invitation that can be accepted now invites.
pub async fn open_invitation(conn: &mut PgConnection, hash: Digest, now: Instant) -> Result<Option<Invitee>> {
    let row = sqlx::query!(
        r#"SELECT person_id AS "person: PersonId", ops_person_id AS "ops_person: OpsPersonId" FROM invitation_by_token($1)
           WHERE accepted_at IS NULL AND expires_at > $2"#,
        hash as Digest,
        now as Instant
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.and_then(|row| row.person.map(Invitee::Person).or_else(|| row.ops_person.map(Invitee::Ops))))
}

/// Accepts an invitation and sets the first password; false if it was not open, or not a first one.
pub async fn accept(conn: &mut PgConnection, hash: Digest, password_hash: &str, now: Instant) -> Result<bool> {
    let accepted =
        sqlx::query_scalar!(r#"SELECT accept_invitation($1, $2, $3) AS "accepted!""#, hash as Digest, password_hash, now as Instant);
    Ok(accepted.fetch_one(conn).await?)
}
