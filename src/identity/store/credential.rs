//! What a login or a step-up is checked against: the password's hash by the definer functions alone
//! (no role can list e-mail addresses or read a hash in any other way), and the factor in use. One
//! statement each, whoever asks and whether the account exists or not.

use chrono::NaiveDate;
use sqlx::postgres::PgConnection;

use super::second_factor::StoredFactor;
use crate::base::{CustomerId, Email, Error, MembershipId, OpsPersonId, PersonId, Result, SecondFactorId};
use crate::identity::model::Account;

/// An account with what proves it.
pub struct Credential {
    pub account: Account,
    pub email: Email,
    pub password_hash: Option<String>,
    pub factor: Option<StoredFactor>,
}

/// A membership that nobody has ended, with what its customer is called.
pub struct Binding {
    pub customer: CustomerId,
    pub membership: MembershipId,
    pub role: String,
    pub until_on: Option<NaiveDate>,
    pub customer_name: String,
    pub zone: String,
    pub accepted: bool,
}

fn factor(id: Option<SecondFactorId>, sealed: Option<Vec<u8>>, last_step: Option<i64>) -> Option<StoredFactor> {
    Some(StoredFactor { id: id?, sealed: sealed?, last_step: last_step? })
}

/// The credential of a person of customers, by address. A login asks for no factor here.
pub async fn credential_of_email(conn: &mut PgConnection, email: &Email) -> Result<Option<Credential>> {
    let row = sqlx::query!(r#"SELECT person_id AS "person!: PersonId", password_hash FROM credential_by_email($1)"#, email as &Email)
        .fetch_optional(conn)
        .await?;
    Ok(row.map(|row| Credential {
        account: Account::Person(row.person),
        email: email.clone(),
        password_hash: row.password_hash,
        factor: None,
    }))
}

/// The credential of a member of the present customer.
pub async fn credential_of_member(conn: &mut PgConnection, person: PersonId) -> Result<Credential> {
    let row = sqlx::query!(
        r#"SELECT o.email AS "email!: Email", c.password_hash, f.id AS "id?: SecondFactorId", f.sealed AS "sealed?", f.last_step AS "last_step?"
           FROM own_persons() o CROSS JOIN LATERAL credential_by_email(o.email) c
                LEFT JOIN second_factor f ON f.person_id = o.person_id AND f.confirmed_at IS NOT NULL AND f.ended_at IS NULL
           WHERE o.person_id = $1"#,
        person as PersonId
    )
    .fetch_optional(conn)
    .await?
    .ok_or(Error::Unauthenticated)?;
    let factor = factor(row.id, row.sealed, row.last_step);
    Ok(Credential { account: Account::Person(person), email: row.email, password_hash: row.password_hash, factor })
}

/// The credential of an ops person whose access has not ended, by address, and the role.
pub async fn credential_of_ops_email(conn: &mut PgConnection, email: &Email) -> Result<Option<(Credential, String)>> {
    let row = sqlx::query!(
        r#"SELECT c.ops_person_id AS "ops_person!: OpsPersonId", c.password_hash, c.role AS "role!",
                  f.id AS "id?: SecondFactorId", f.sealed AS "sealed?", f.last_step AS "last_step?"
           FROM ops_credential_by_email($1) c
                LEFT JOIN second_factor f ON f.ops_person_id = c.ops_person_id AND f.confirmed_at IS NOT NULL AND f.ended_at IS NULL
           WHERE c.ended_at IS NULL"#,
        email as &Email
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| {
        let (account, factor) = (Account::Ops(row.ops_person), factor(row.id, row.sealed, row.last_step));
        (Credential { account, email: email.clone(), password_hash: row.password_hash, factor }, row.role)
    }))
}

/// The credential of an ops person whose access has not ended.
pub async fn credential_of_ops_person(conn: &mut PgConnection, ops_person: OpsPersonId) -> Result<Credential> {
    let row = sqlx::query!(
        r#"SELECT o.email AS "email: Email", c.password_hash, f.id AS "id?: SecondFactorId", f.sealed AS "sealed?", f.last_step AS "last_step?"
           FROM ops_person o JOIN LATERAL ops_credential_by_email(o.email) c ON c.ops_person_id = o.id
                LEFT JOIN second_factor f ON f.ops_person_id = o.id AND f.confirmed_at IS NOT NULL AND f.ended_at IS NULL
           WHERE o.id = $1 AND o.ended_at IS NULL"#,
        ops_person as OpsPersonId
    )
    .fetch_optional(conn)
    .await?
    .ok_or(Error::Unauthenticated)?;
    let factor = factor(row.id, row.sealed, row.last_step);
    Ok(Credential { account: Account::Ops(ops_person), email: row.email, password_hash: row.password_hash, factor })
}

/// The memberships of a person whose password was right, those too that nobody but who invited knows of.
pub async fn memberships_of(conn: &mut PgConnection, person: PersonId) -> Result<Vec<Binding>> {
    Ok(sqlx::query_as!(
        Binding,
        r#"SELECT customer_id AS "customer!: CustomerId", membership_id AS "membership!: MembershipId", role AS "role!", until_on,
                  customer_name AS "customer_name!", zone AS "zone!", accepted AS "accepted!" FROM memberships_of_person($1)"#,
        person as PersonId
    )
    .fetch_all(conn)
    .await?)
}

/// Those that the person has accepted, by logging in for them: what an account does concerns nobody else.
pub async fn accepted_memberships_of(conn: &mut PgConnection, person: PersonId) -> Result<Vec<Binding>> {
    let mut memberships = memberships_of(conn, person).await?;
    memberships.retain(|at| at.accepted);
    Ok(memberships)
}
