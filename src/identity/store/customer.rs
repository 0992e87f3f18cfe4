//! What identity needs to know of the customer it acts for: its name, zone, contacts and units.

use std::collections::BTreeSet;

use chrono_tz::Tz;
use sqlx::postgres::PgConnection;

use crate::base::{CustomerId, Email, Error, Reference, Result};

/// The present customer.
pub struct OwnCustomer {
    pub name: String,
    pub zone: Tz,
    pub privacy_contacts: Vec<Email>,
}

/// The present customer's row of the directory.
pub async fn own_customer(conn: &mut PgConnection) -> Result<OwnCustomer> {
    let row = sqlx::query!(r#"SELECT name AS "name!", zone AS "zone!", privacy_contacts AS "privacy_contacts!" FROM own_customer()"#)
        .fetch_optional(conn)
        .await?
        .ok_or(Error::NotFound)?;
    Ok(OwnCustomer {
        name: row.name,
        zone: row.zone.parse().map_err(Error::internal)?,
        privacy_contacts: row.privacy_contacts.iter().map(|text| text.parse().map_err(Error::internal)).collect::<Result<_>>()?,
    })
}

/// The privacy contacts of a customer, for ops.
pub async fn contacts_for_ops(conn: &mut PgConnection, customer: CustomerId) -> Result<Vec<Email>> {
    let contacts = sqlx::query_scalar!("SELECT privacy_contacts FROM customer WHERE id = $1", customer as CustomerId)
        .fetch_optional(conn)
        .await?
        .ok_or(Error::NotFound)?;
    contacts.iter().map(|text| text.parse().map_err(Error::internal)).collect()
}

/// Those of the units that the customer does not have.
pub async fn unknown_units(conn: &mut PgConnection, customer: CustomerId, units: &BTreeSet<Reference>) -> Result<BTreeSet<Reference>> {
    let asked: Vec<String> = units.iter().map(ToString::to_string).collect();
    let known = sqlx::query_scalar!(
        r#"SELECT code AS "code: Reference" FROM unit WHERE customer_id = $1 AND code = ANY ($2)"#,
        customer as CustomerId,
        &asked
    )
    .fetch_all(conn)
    .await?;
    Ok(units.iter().filter(|unit| !known.contains(unit)).cloned().collect())
}
