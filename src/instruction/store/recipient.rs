//! The address book of recipients. Its entries never change, and instructions take over their
//! values, so that nothing signed can be changed from here.

use std::collections::BTreeMap;

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::base::{Code, CustomerId, Error, Faults, Instant, Name, Note, PageQuery, Recipient, RecipientId, Result, TypedId};
use crate::db::{WriteTx, conflict_on, ensure_one};
use crate::evidence::{Actor, Event, NewEntry};

/// A recipient as it stands in the address book.
pub(in crate::instruction) struct RecipientRow {
    pub id: RecipientId,
    pub legal_entity: Name,
    pub country: Code,
    pub role: Code,
    pub transfer_ground: Option<Note>,
    pub added_at: Instant,
}

/// Adds a recipient to the address book.
///
/// # Errors
/// [`Error::Invalid`] for a country that is none, [`Error::Conflict`] when it is there already.
pub async fn add_recipient(tx: &mut WriteTx, customer: CustomerId, actor: &Actor, new: &Recipient) -> Result<(RecipientId, Vec<NewEntry>)> {
    let mut faults = Faults::default();
    if !new.country.is_country() {
        faults.add_at("country", "unknown_code", "must be an ISO 3166-1 alpha-2 code");
    }
    faults.check()?;
    let (id, now): (RecipientId, _) = (tx.fresh(), tx.now());
    let done = sqlx::query!(
        "INSERT INTO recipient (customer_id, id, legal_entity, country, role, transfer_ground, added_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        customer as CustomerId,
        id as RecipientId,
        &new.legal_entity as &Name,
        &new.country as &Code,
        &new.role as &Code,
        new.transfer_ground.as_ref() as Option<&Note>,
        now as Instant
    )
    .execute(tx.conn())
    .await
    .map_err(conflict_on("recipient_once", "recipient-exists", "The address book has this legal entity with this country and role."))?;
    ensure_one(&done)?;
    let event = Event::RecipientAdded {
        recipient: id,
        legal_entity: new.legal_entity.clone(),
        country: new.country.clone(),
        role: new.role.clone(),
        transfer_ground: new.transfer_ground.clone(),
    };
    Ok((id, vec![NewEntry::new(customer, id, actor, event)]))
}

/// One recipient.
pub(in crate::instruction) async fn find(conn: &mut PgConnection, customer: CustomerId, id: RecipientId) -> Result<RecipientRow> {
    read(conn, customer, Some(&[id.uuid()]), None, None).await?.into_iter().next().ok_or(Error::NotFound)
}

/// A page of the address book in the order of ids.
pub(in crate::instruction) async fn list(conn: &mut PgConnection, customer: CustomerId, page: &PageQuery) -> Result<Vec<RecipientRow>> {
    read(conn, customer, None, page.after, Some(page.fetch())).await
}

/// The values of those of these recipients that the address book has.
pub(super) async fn values(conn: &mut PgConnection, customer: CustomerId, ids: &[RecipientId]) -> Result<BTreeMap<RecipientId, Recipient>> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows = read(conn, customer, Some(&ids), None, None).await?;
    let value = |row: RecipientRow| Recipient {
        legal_entity: row.legal_entity,
        country: row.country,
        role: row.role,
        transfer_ground: row.transfer_ground,
    };
    Ok(rows.into_iter().map(|row| (row.id, value(row))).collect())
}

async fn read(
    conn: &mut PgConnection,
    customer: CustomerId,
    ids: Option<&[Uuid]>,
    after: Option<Uuid>,
    fetch: Option<i64>,
) -> Result<Vec<RecipientRow>> {
    Ok(sqlx::query_as!(
        RecipientRow,
        r#"SELECT id AS "id: RecipientId", legal_entity AS "legal_entity: Name", country AS "country: Code", role AS "role: Code",
                  transfer_ground AS "transfer_ground: Note", added_at AS "added_at: Instant"
           FROM recipient WHERE customer_id = $1 AND ($2::uuid[] IS NULL OR id = ANY ($2)) AND ($3::uuid IS NULL OR id > $3)
           ORDER BY id LIMIT $4"#,
        customer as CustomerId,
        ids,
        after,
        fetch
    )
    .fetch_all(conn)
    .await?)
}
