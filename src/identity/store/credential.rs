//! What a login is checked against, by the definer functions alone: no role can list e-mail
//! addresses or read a password's hash in any other way.

use chrono::NaiveDate;
use sqlx::postgres::PgConnection;

use crate::base::{CustomerId, Email, Error, MembershipId, OpsPersonId, PersonId, Result};

/// A person's credential.
pub struct MemberCredential {
    pub person: PersonId,
    pub password_hash: Option<String>,
}

/// An ops person's credential.
pub struct OpsCredentialRow {
    pub ops_person: OpsPersonId,
    pub password_hash: Option<String>,
    pub role: String,
}

/// A membership that nobody has ended, with what its customer is called.
pub struct Binding {
    pub customer: CustomerId,
    pub membership: MembershipId,
    pub role: String,
    pub until_on: Option<NaiveDate>,
    pub customer_name: String,
    pub zone: String,
}

/// The credential of a person of customers, by address.
pub async fn credential_of_email(conn: &mut PgConnection, email: &Email) -> Result<Option<MemberCredential>> {
    Ok(sqlx::query_as!(
        MemberCredential,
        r#"SELECT person_id AS "person!: PersonId", password_hash FROM credential_by_email($1)"#,
        email as &Email
    )
    .fetch_optional(conn)
    .await?)
}

/// The address and credential of a member of the present customer.
pub async fn credential_of_member(conn: &mut PgConnection, person: PersonId) -> Result<(Email, Option<String>)> {
    let row = sqlx::query!(
        r#"SELECT o.email AS "email!: Email", c.password_hash
           FROM own_persons() o CROSS JOIN LATERAL credential_by_email(o.email) c WHERE o.person_id = $1"#,
        person as PersonId
    )
    .fetch_optional(conn)
    .await?
    .ok_or(Error::Unauthenticated)?;
    Ok((row.email, row.password_hash))
}

/// The credential of an ops person whose access has not ended, by address.
pub async fn credential_of_ops_email(conn: &mut PgConnection, email: &Email) -> Result<Option<OpsCredentialRow>> {
    Ok(sqlx::query_as!(
        OpsCredentialRow,
        r#"SELECT ops_person_id AS "ops_person!: OpsPersonId", password_hash, role AS "role!"
           FROM ops_credential_by_email($1) WHERE ended_at IS NULL"#,
        email as &Email
    )
    .fetch_optional(conn)
    .await?)
}

/// The address and credential of an ops person.
pub async fn credential_of_ops_person(conn: &mut PgConnection, ops_person: OpsPersonId) -> Result<(Email, Option<String>)> {
    let row = sqlx::query!(
        r#"SELECT o.email AS "email: Email", c.password_hash
           FROM ops_person o CROSS JOIN LATERAL ops_credential_by_email(o.email) c WHERE o.id = $1 AND o.ended_at IS NULL"#,
        ops_person as OpsPersonId
    )
    .fetch_optional(conn)
    .await?
    .ok_or(Error::Unauthenticated)?;
    Ok((row.email, row.password_hash))
}

/// The memberships of a person whose password was right.
pub async fn memberships_of(conn: &mut PgConnection, person: PersonId) -> Result<Vec<Binding>> {
    Ok(sqlx::query_as!(
        Binding,
        r#"SELECT customer_id AS "customer!: CustomerId", membership_id AS "membership!: MembershipId", role AS "role!", until_on,
                  customer_name AS "customer_name!", zone AS "zone!" FROM memberships_of_person($1)"#,
        person as PersonId
    )
    .fetch_all(conn)
    .await?)
}
