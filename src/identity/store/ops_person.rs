//! The processor's staff. A role never changes: another role is another record. Somebody who waits
//! for a second person's approval has no invitation, and no access.

use sqlx::postgres::PgConnection;

use crate::base::*;
use crate::db::{WriteTx, conflict_on, ensure_one};
use crate::http::OpsRole;
use crate::identity::staff::{OtherStaff, counts_as_one_of_two};

/// An ops person.
#[derive(Debug, Clone)]
pub struct OpsPerson {
    pub id: OpsPersonId,
    pub email: Email,
    pub name: Name,
    pub role: OpsRole,
    pub created_at: Instant,
    pub added_by: Option<OpsPersonId>,
    pub approved_by: Option<OpsPersonId>,
    pub admitted_at: Option<Instant>,
    pub recovered_at: Option<Instant>,
    pub ended_at: Option<Instant>,
}

struct OpsPersonRow {
    id: OpsPersonId,
    email: Email,
    name: Name,
    role: String,
    created_at: Instant,
    added_by: Option<OpsPersonId>,
    approved_by: Option<OpsPersonId>,
    admitted_at: Option<Instant>,
    recovered_at: Option<Instant>,
    ended_at: Option<Instant>,
}

impl TryFrom<OpsPersonRow> for OpsPerson {
    type Error = Error;
    fn try_from(row: OpsPersonRow) -> Result<Self> {
        Ok(Self {
            id: row.id,
            email: row.email,
            name: row.name,
            role: row.role.parse().map_err(Error::internal)?,
            created_at: row.created_at,
            added_by: row.added_by,
            approved_by: row.approved_by,
            admitted_at: row.admitted_at,
            recovered_at: row.recovered_at,
            ended_at: row.ended_at,
        })
    }
}

/// The staff, ended ones too, in order of their ids.
pub async fn ops_people(conn: &mut PgConnection, page: &PageQuery) -> Result<Vec<OpsPerson>> {
    sqlx::query_as!(
        OpsPersonRow,
        r#"SELECT id AS "id: OpsPersonId", email AS "email: Email", name AS "name: Name", role, created_at AS "created_at: Instant",
                  added_by AS "added_by: OpsPersonId", approved_by AS "approved_by: OpsPersonId", admitted_at AS "admitted_at: Instant",
                  recovered_at AS "recovered_at: Instant",
                  ended_at AS "ended_at: Instant"
           FROM ops_person WHERE ($1::uuid IS NULL OR id > $1) ORDER BY id LIMIT $2"#,
        page.after,
        page.fetch()
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(OpsPerson::try_from)
    .collect()
}

/// One ops person.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn ops_person(conn: &mut PgConnection, id: OpsPersonId) -> Result<OpsPerson> {
    sqlx::query_as!(
        OpsPersonRow,
        r#"SELECT id AS "id: OpsPersonId", email AS "email: Email", name AS "name: Name", role, created_at AS "created_at: Instant",
                  added_by AS "added_by: OpsPersonId", approved_by AS "approved_by: OpsPersonId", admitted_at AS "admitted_at: Instant",
                  recovered_at AS "recovered_at: Instant",
                  ended_at AS "ended_at: Instant" FROM ops_person WHERE id = $1"#,
        id as OpsPersonId
    )
    .fetch_optional(conn)
    .await?
    .ok_or(Error::NotFound)?
    .try_into()
}

/// Adds an ops person who waits to be admitted; one with a password hash, the command line's, is.
///
/// # Errors
/// [`Error::Conflict`] when somebody whose access has not ended has the address.
pub async fn insert_ops_person(
    tx: &mut WriteTx,
    (email, name, role): (&Email, &Name, OpsRole),
    added_by: Option<OpsPersonId>,
    password_hash: Option<&str>,
) -> Result<OpsPersonId> {
    let (id, now): (OpsPersonId, _) = (tx.fresh(), tx.now());
    sqlx::query!(
        "INSERT INTO ops_person (id, email, name, role, password_hash, created_at, added_by, admitted_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        id as OpsPersonId,
        email as &Email,
        name as &Name,
        role.word(),
        password_hash,
        now as Instant,
        added_by as Option<OpsPersonId>,
        password_hash.map(|_| now) as Option<Instant>
    )
    .execute(tx.conn())
    .await
    .map_err(conflict_on("ops_person_email", "ops_person_exists", "An ops person with this address is there, or waits for approval."))?;
    Ok(id)
}

/// Admits an ops person, by a second one or by nobody.
///
/// # Errors
/// [`Error::Conflict`] when the person does not wait, or the second is the first.
pub async fn admit(tx: &mut WriteTx, id: OpsPersonId, approved_by: Option<OpsPersonId>) -> Result<()> {
    let now = tx.now();
    let done = sqlx::query!(
        "UPDATE ops_person SET approved_by = $2, admitted_at = $3 WHERE id = $1 AND admitted_at IS NULL AND ended_at IS NULL",
        id as OpsPersonId,
        approved_by as Option<OpsPersonId>,
        now as Instant
    )
    .execute(tx.conn())
    .await
    .map_err(conflict_on("ops_person_two", "second_person_needed", "Another ops person must approve whom you proposed."))?;
    if done.rows_affected() == 0 {
        return Err(Error::conflict("not_awaiting_approval", "The person was approved before, or the access was ended."));
    }
    ensure_one(&done)
}

/// Who of the staff there is besides somebody, or in all.
pub async fn other_staff(conn: &mut PgConnection, but: Option<OpsPersonId>) -> Result<OtherStaff> {
    Ok(sqlx::query_as!(
        OtherStaff,
        r#"SELECT count(*) FILTER (WHERE role IN ('ops_admin', 'ops_security') AND admitted_at IS NOT NULL AND ended_at IS NULL) AS "approvers!",
                  count(*) FILTER (WHERE has_password) AS "entered!"
           FROM ops_person WHERE $1::uuid IS NULL OR id <> $1"#,
        but as Option<OpsPersonId>
    )
    .fetch_one(conn)
    .await?)
}

/// The addresses of all with access, but for those who know already.
pub async fn staff_to_be_told(conn: &mut PgConnection, but: [OpsPersonId; 2]) -> Result<Vec<Email>> {
    Ok(sqlx::query_scalar!(
        r#"SELECT email AS "email: Email" FROM ops_person WHERE admitted_at IS NOT NULL AND ended_at IS NULL AND id <> ALL ($1) ORDER BY id"#,
        &but.map(TypedId::uuid)[..]
    )
    .fetch_all(conn)
    .await?)
}

/// Demands that two ops persons count as two: neither joined or was recovered within the last 72 hours,
/// the first one proposed after the last restore, and what the staff is has been confirmed since.
///
/// # Errors
/// [`Error::Conflict`]; [`Error::ProcessorUnconfirmed`].
pub async fn two_persons(tx: &mut WriteTx, (first, proposed_at): (OpsPersonId, Instant), second: OpsPersonId) -> Result<()> {
    let now = tx.now();
    demand_confirmed(tx.conn()).await?;
    demand_of_this_restore(tx.conn(), proposed_at).await?;
    for id in [first, second] {
        let person = ops_person(tx.conn(), id).await?;
        if !counts_as_one_of_two(person.admitted_at, person.recovered_at, now) {
            let detail = "One of the two ops persons joined the staff, or came back by a recovery, less than 72 hours ago.";
            return Err(Error::conflict("added_recently", detail));
        }
    }
    Ok(())
}

/// Demands that nobody must confirm the state in which a restore left the processor's log.
///
/// # Errors
/// [`Error::ProcessorUnconfirmed`].
pub async fn demand_confirmed(conn: &mut PgConnection) -> Result<()> {
    let unconfirmed = sqlx::query_scalar!(r#"SELECT processor_unconfirmed() AS "unconfirmed!""#).fetch_one(conn).await?;
    if unconfirmed { Err(Error::ProcessorUnconfirmed) } else { Ok(()) }
}

/// Demands that no restore came after a proposal: the entries that it lost may have stopped it.
async fn demand_of_this_restore(conn: &mut PgConnection, proposed_at: Instant) -> Result<()> {
    let counts = sqlx::query_scalar!(r#"SELECT $1::timestamptz >= restored_at() AS "counts!""#, proposed_at as Instant);
    if counts.fetch_one(conn).await? {
        return Ok(());
    }
    let detail = "It was proposed before the data was restored from a backup, and may have been stopped since: end or withdraw it, and propose it anew.";
    Err(Error::conflict("proposed_before_restore", detail))
}

/// Ends an ops person's access.
pub async fn end_ops_person(tx: &mut WriteTx, id: OpsPersonId) -> Result<()> {
    let now = tx.now();
    let done = sqlx::query!("UPDATE ops_person SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL", id as OpsPersonId, now as Instant)
        .execute(tx.conn())
        .await?;
    ensure_one(&done)
}

/// How many ops persons with a role can log in, but for one.
pub async fn others_in_role(conn: &mut PgConnection, but: OpsPersonId, role: OpsRole) -> Result<i64> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM ops_person WHERE role = $2 AND has_password AND ended_at IS NULL AND id <> $1"#,
        but as OpsPersonId,
        role.word()
    );
    Ok(count.fetch_one(conn).await?)
}

/// True if there is, or was, any ops person.
pub async fn ops_persons_exist(conn: &mut PgConnection) -> Result<bool> {
    Ok(sqlx::query_scalar!(r#"SELECT EXISTS (SELECT 1 FROM ops_person) AS "exist!""#).fetch_one(conn).await?)
}

/// The addresses of an ops person and of every `ops_admin` with access.
pub async fn ops_to_be_told(conn: &mut PgConnection, id: OpsPersonId) -> Result<Vec<Email>> {
    Ok(sqlx::query_scalar!(
        r#"SELECT email AS "email: Email" FROM ops_person WHERE ended_at IS NULL AND (role = 'ops_admin' OR id = $1) ORDER BY email"#,
        id as OpsPersonId
    )
    .fetch_all(conn)
    .await?)
}
