//! Memberships of one customer, with the names behind them. A membership is made by a person with
//! authority over people, or, once per customer, by two ops persons; nobody else can call for one.

use chrono::NaiveDate;
use sqlx::postgres::PgConnection;

use super::Signatory;
use crate::base::*;
use crate::db::{WriteTx, conflict_on, ensure_one};
use crate::http::CustomerRole;
use crate::identity::decide::Approval;
use crate::identity::model::Authority;

/// Who makes a membership: the proof that the caller may, demanded and not read.
#[derive(Debug, Clone, Copy)]
#[expect(dead_code, reason = "a proof is demanded, not read")]
pub enum Enroller {
    /// A person of the customer with authority over people.
    Person(Signatory),
    /// Two ops persons, for the first signatory.
    Ops(Approval),
}

/// A membership with its person and what it has authority for. The name is the person's own once it
/// has accepted, and before that the one it was invited under.
#[derive(Debug, Clone)]
pub struct Member {
    pub id: MembershipId,
    pub person: PersonId,
    pub name: Name,
    pub email: Email,
    pub role: CustomerRole,
    pub until_on: Option<NaiveDate>,
    pub began_at: Instant,
    pub accepted_at: Option<Instant>,
    pub ended_at: Option<Instant>,
    pub authority: Vec<Authority>,
    pub authority_suspended: bool,
}

struct MemberRow {
    id: MembershipId,
    person: PersonId,
    name: Name,
    email: Email,
    role: String,
    until_on: Option<NaiveDate>,
    began_at: Instant,
    accepted_at: Option<Instant>,
    ended_at: Option<Instant>,
}

async fn with_authority(conn: &mut PgConnection, customer: CustomerId, row: MemberRow) -> Result<Member> {
    let authority = super::authority::granted(conn, customer, row.id).await?;
    let authority_suspended = super::authority_suspended(conn, customer, row.id).await?;
    Ok(Member {
        id: row.id,
        person: row.person,
        name: row.name,
        email: row.email,
        role: row.role.parse().map_err(Error::internal)?,
        until_on: row.until_on,
        began_at: row.began_at,
        accepted_at: row.accepted_at,
        ended_at: row.ended_at,
        authority,
        authority_suspended,
    })
}

/// Members of the customer, ended ones too, in order of their ids.
pub async fn members(conn: &mut PgConnection, customer: CustomerId, page: &PageQuery) -> Result<Vec<Member>> {
    let rows = sqlx::query_as!(
        MemberRow,
        r#"SELECT m.id AS "id: MembershipId", m.person_id AS "person: PersonId", o.email AS "email!: Email",
                  CASE WHEN m.accepted_at IS NULL THEN m.invited_name ELSE o.name END AS "name!: Name", m.role, m.until_on,
                  m.began_at AS "began_at: Instant", m.accepted_at AS "accepted_at: Instant", m.ended_at AS "ended_at: Instant"
           FROM membership m JOIN own_persons() o ON o.person_id = m.person_id
           WHERE m.customer_id = $1 AND ($2::uuid IS NULL OR m.id > $2) ORDER BY m.id LIMIT $3"#,
        customer as CustomerId,
        page.after,
        page.fetch()
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut members = Vec::with_capacity(rows.len());
    for row in rows {
        members.push(with_authority(conn, customer, row).await?);
    }
    Ok(members)
}

/// One member of the customer.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn member(conn: &mut PgConnection, customer: CustomerId, id: MembershipId) -> Result<Member> {
    let row = sqlx::query_as!(
        MemberRow,
        r#"SELECT m.id AS "id: MembershipId", m.person_id AS "person: PersonId", o.email AS "email!: Email",
                  CASE WHEN m.accepted_at IS NULL THEN m.invited_name ELSE o.name END AS "name!: Name", m.role, m.until_on,
                  m.began_at AS "began_at: Instant", m.accepted_at AS "accepted_at: Instant", m.ended_at AS "ended_at: Instant"
           FROM membership m JOIN own_persons() o ON o.person_id = m.person_id WHERE m.customer_id = $1 AND m.id = $2"#,
        customer as CustomerId,
        id as MembershipId
    )
    .fetch_optional(&mut *conn)
    .await?
    .ok_or(Error::NotFound)?;
    with_authority(conn, customer, row).await
}

/// Makes a membership.
///
/// # Errors
/// [`Error::Conflict`] when the person is a member already.
pub async fn insert_membership(
    tx: &mut WriteTx,
    _enroller: Enroller,
    customer: CustomerId,
    (person, invited_name): (PersonId, &Name),
    role: CustomerRole,
    until_on: Option<NaiveDate>,
) -> Result<MembershipId> {
    let (id, now): (MembershipId, _) = (tx.fresh(), tx.now());
    sqlx::query!(
        "INSERT INTO membership (customer_id, id, person_id, role, until_on, began_at, invited_name) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        customer as CustomerId,
        id as MembershipId,
        person as PersonId,
        role.word(),
        until_on,
        now as Instant,
        invited_name as &Name
    )
    .execute(tx.conn())
    .await
    .map_err(conflict_on("membership_one", "already_member", "The person is a member of this customer already."))?;
    Ok(id)
}

/// Ends a membership, and with it everything it has authority for.
pub async fn end_membership(tx: &mut WriteTx, _by: Signatory, customer: CustomerId, id: MembershipId) -> Result<()> {
    let now = tx.now();
    end(tx.conn(), customer, id, now).await
}

/// The same for a withdrawn first signatory, of whom nobody signs for anything.
pub(super) async fn end(conn: &mut PgConnection, customer: CustomerId, id: MembershipId, now: Instant) -> Result<()> {
    let done = sqlx::query!(
        "UPDATE membership SET ended_at = $3 WHERE customer_id = $1 AND id = $2 AND ended_at IS NULL",
        customer as CustomerId,
        id as MembershipId,
        now as Instant
    )
    .execute(conn)
    .await?;
    ensure_one(&done)
}

/// The addresses of all members with authority over people, but for one.
pub async fn to_be_told(conn: &mut PgConnection, customer: CustomerId, but: MembershipId) -> Result<Vec<Email>> {
    Ok(sqlx::query_scalar!(
        r#"SELECT DISTINCT o.email AS "email!: Email" FROM authority a
           JOIN membership m ON m.customer_id = a.customer_id AND m.id = a.membership_id
           JOIN own_persons() o ON o.person_id = m.person_id
           WHERE a.customer_id = $1 AND a.kind = 'people' AND a.ended_at IS NULL AND m.ended_at IS NULL AND m.id <> $2"#,
        customer as CustomerId,
        but as MembershipId
    )
    .fetch_all(conn)
    .await?)
}
