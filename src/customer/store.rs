//! All SQL of customers, their units and their suspensions.

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::view::{CustomerView, NewCustomer, NewUnit, SuspensionView, UnitView};
use crate::base::{
    Code, CustomerId, Email, Error, Instant, MembershipId, Name, Note, OpsPersonId, PageQuery, Reference, ReleaseId, Result, SuspensionId,
    TypedId,
};
use crate::db::{WriteTx, conflict_on, ensure_one};
use crate::evidence::SuspendedBy;
use crate::registry::{Proposal, SuspensionState};

/// The caller's own row of the directory.
#[derive(Debug, Clone)]
pub struct Registered {
    /// Legal name.
    pub name: Name,
    /// IANA time zone.
    pub zone: String,
    /// Privacy contacts.
    pub privacy_contacts: Vec<Email>,
}

fn addresses(list: Vec<String>) -> Result<Vec<Email>> {
    list.iter().map(|text| text.parse().map_err(Error::internal)).collect()
}

/// The present tenant's row of the directory, for the institution's side and for workers.
///
/// # Errors
/// [`Error::NotFound`] when the tenant is no customer.
pub async fn directory(conn: &mut PgConnection) -> Result<Registered> {
    let row = sqlx::query!(r#"SELECT name AS "name!: Name", zone AS "zone!", privacy_contacts AS "privacy_contacts!" FROM own_customer()"#)
        .fetch_optional(conn)
        .await?
        .ok_or(Error::NotFound)?;
    Ok(Registered { name: row.name, zone: row.zone, privacy_contacts: addresses(row.privacy_contacts)? })
}

/// The privacy contacts of a customer, for ops.
pub(super) async fn contacts_for_ops(conn: &mut PgConnection, customer: CustomerId) -> Result<Vec<Email>> {
    let list = sqlx::query_scalar!("SELECT privacy_contacts FROM customer WHERE id = $1", customer as CustomerId)
        .fetch_optional(conn)
        .await?
        .ok_or(Error::NotFound)?;
    addresses(list)
}

/// The privacy contacts of a customer of the gate's batch.
pub(super) async fn contacts_for_gate(conn: &mut PgConnection, customer: CustomerId) -> Result<Vec<Email>> {
    let list = sqlx::query_scalar!("SELECT batch_privacy_contacts($1)", customer as CustomerId).fetch_one(conn).await?;
    addresses(list.ok_or(Error::NotFound)?)
}

fn texts(list: &[Email]) -> Vec<String> {
    list.iter().map(|address| address.as_str().to_owned()).collect()
}

pub(super) async fn register(tx: &mut WriteTx, id: CustomerId, new: &NewCustomer) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "INSERT INTO customer (id, name, kind, country, zone, language, privacy_contacts, second_contacts, registered_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        id as CustomerId,
        new.name.as_str(),
        new.kind.word(),
        new.country.as_str(),
        new.zone.name(),
        new.language.as_str(),
        &texts(&new.privacy_contacts),
        &texts(&new.second_contacts),
        now as Instant
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

struct CustomerRow {
    id: CustomerId,
    name: Name,
    kind: String,
    country: Code,
    zone: String,
    language: Code,
    privacy_contacts: Vec<String>,
    second_contacts: Vec<String>,
    registered_at: Instant,
}

impl TryFrom<CustomerRow> for CustomerView {
    type Error = Error;
    fn try_from(row: CustomerRow) -> Result<Self> {
        Ok(Self {
            id: row.id,
            name: row.name,
            kind: row.kind,
            country: row.country,
            zone: row.zone,
            language: row.language,
            privacy_contacts: addresses(row.privacy_contacts)?,
            second_contacts: addresses(row.second_contacts)?,
            registered_at: row.registered_at,
        })
    }
}

/// Customers in id order, or the one with this id.
pub(super) async fn customers(conn: &mut PgConnection, only: Option<CustomerId>, page: Option<&PageQuery>) -> Result<Vec<CustomerView>> {
    sqlx::query_as!(
        CustomerRow,
        r#"SELECT id AS "id: CustomerId", name AS "name: Name", kind, country AS "country: Code", zone, language AS "language: Code",
                  privacy_contacts, second_contacts, registered_at AS "registered_at: Instant"
           FROM customer WHERE ($1::uuid IS NULL OR id = $1) AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3"#,
        only as Option<CustomerId>,
        page.and_then(|p| p.after),
        page.map_or(1, PageQuery::fetch)
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(CustomerView::try_from)
    .collect()
}

pub(super) async fn add_units(tx: &mut WriteTx, customer: CustomerId, units: &[NewUnit]) -> Result<()> {
    let now = tx.now();
    let codes: Vec<String> = units.iter().map(|u| u.code.as_str().to_owned()).collect();
    let names: Vec<String> = units.iter().map(|u| u.name.as_str().to_owned()).collect();
    sqlx::query!(
        "INSERT INTO unit (customer_id, code, name, added_at) SELECT $1, u.code, u.name, $4 FROM UNNEST($2::text[], $3::text[]) AS u (code, name)",
        customer as CustomerId,
        &codes,
        &names,
        now as Instant
    )
    .execute(tx.conn())
    .await
    .map_err(conflict_on("unit_key", "unit-exists", "A unit with one of these codes exists already."))?;
    Ok(())
}

/// All units of a customer, by code.
pub(super) async fn units(conn: &mut PgConnection, customer: CustomerId, page: &PageQuery) -> Result<Vec<UnitView>> {
    Ok(sqlx::query_as!(
        UnitView,
        r#"SELECT code AS "code: Reference", name AS "name: Name", added_at AS "added_at: Instant" FROM unit
           WHERE customer_id = $1 AND ($2::text IS NULL OR code COLLATE "C" > $2) ORDER BY code COLLATE "C" LIMIT $3"#,
        customer as CustomerId,
        page.after_text,
        page.fetch()
    )
    .fetch_all(conn)
    .await?)
}

/// A suspension with what decides its release.
pub(super) struct Suspension {
    pub view: SuspensionView,
    pub proposal: Option<Proposal>,
}

struct SuspensionRow {
    id: SuspensionId,
    made_by: String,
    ground: Note,
    suspended_by: Uuid,
    suspended_at: Instant,
    release_id: Option<ReleaseId>,
    release_proposed_by: Option<Uuid>,
    release_proposed_at: Option<Instant>,
    /// False for one that was proposed before a restore, and is proposed anew.
    release_counts: Option<bool>,
    released_at: Option<Instant>,
}

impl TryFrom<SuspensionRow> for Suspension {
    type Error = Error;
    fn try_from(row: SuspensionRow) -> Result<Self> {
        let made_by: SuspendedBy = row.made_by.parse().map_err(Error::internal)?;
        let suspended_by = match made_by {
            SuspendedBy::Customer => MembershipId::from(row.suspended_by).to_string(),
            SuspendedBy::Ops => OpsPersonId::from(row.suspended_by).to_string(),
        };
        let proposed =
            row.release_id.zip(row.release_proposed_by).zip(row.release_proposed_at).filter(|_| row.release_counts == Some(true));
        let proposal = proposed.map(|((release, by), at)| Proposal { release, by: OpsPersonId::from(by), at });
        let view = SuspensionView {
            id: row.id,
            state: SuspensionState::of(proposal.is_some(), row.released_at.is_some()),
            made_by,
            ground: row.ground,
            suspended_by,
            suspended_at: row.suspended_at,
            release_id: row.release_id,
            release_proposed_at: row.release_proposed_at,
            released_at: row.released_at,
        };
        Ok(Self { view, proposal })
    }
}

/// Suspensions of a customer in id order, or the one with this id.
pub(super) async fn suspensions(
    conn: &mut PgConnection,
    customer: CustomerId,
    only: Option<SuspensionId>,
    page: Option<&PageQuery>,
) -> Result<Vec<Suspension>> {
    sqlx::query_as!(
        SuspensionRow,
        r#"SELECT id AS "id: SuspensionId", made_by, ground AS "ground: Note", suspended_by, suspended_at AS "suspended_at: Instant",
                  release_id AS "release_id: ReleaseId", release_proposed_by, release_proposed_at AS "release_proposed_at: Instant",
                  release_proposed_at >= restored_at() AS release_counts, released_at AS "released_at: Instant"
           FROM suspension WHERE customer_id = $1 AND ($2::uuid IS NULL OR id = $2) AND ($3::uuid IS NULL OR id > $3) ORDER BY id LIMIT $4"#,
        customer as CustomerId,
        only as Option<SuspensionId>,
        page.and_then(|p| p.after),
        page.map_or(1, PageQuery::fetch)
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(Suspension::try_from)
    .collect()
}

/// The one suspension with this id.
pub(super) async fn suspension(conn: &mut PgConnection, customer: CustomerId, id: SuspensionId) -> Result<Suspension> {
    suspensions(conn, customer, Some(id), None).await?.into_iter().next().ok_or(Error::NotFound)
}

pub(super) async fn suspend(tx: &mut WriteTx, customer: CustomerId, made_by: SuspendedBy, ground: &Note, by: Uuid) -> Result<SuspensionId> {
    let (id, now): (SuspensionId, Instant) = (tx.fresh(), tx.now());
    sqlx::query!(
        "INSERT INTO suspension (customer_id, id, made_by, ground, suspended_by, suspended_at) VALUES ($1, $2, $3, $4, $5, $6)",
        customer as CustomerId,
        id as SuspensionId,
        made_by.word(),
        ground.as_str(),
        by,
        now as Instant
    )
    .execute(tx.conn())
    .await?;
    Ok(id)
}

pub(super) async fn propose_release(tx: &mut WriteTx, customer: CustomerId, id: SuspensionId, by: OpsPersonId) -> Result<ReleaseId> {
    let (release, now): (ReleaseId, Instant) = (tx.fresh(), tx.now());
    let done = sqlx::query!(
        "UPDATE suspension SET release_id = $3, release_proposed_by = $4, release_proposed_at = $5
         WHERE customer_id = $1 AND id = $2 AND released_at IS NULL AND made_by = 'ops'
           AND (release_id IS NULL OR release_proposed_at < restored_at())",
        customer as CustomerId,
        id as SuspensionId,
        release as ReleaseId,
        by.uuid(),
        now as Instant
    )
    .execute(tx.conn())
    .await?;
    ensure_one(&done)?;
    Ok(release)
}

pub(super) async fn release(tx: &mut WriteTx, customer: CustomerId, id: SuspensionId, release: ReleaseId, by: Uuid) -> Result<()> {
    let now = tx.now();
    let done = sqlx::query!(
        "UPDATE suspension SET release_id = $3, released_by = $4, released_at = $5 WHERE customer_id = $1 AND id = $2 AND released_at IS NULL",
        customer as CustomerId,
        id as SuspensionId,
        release as ReleaseId,
        by,
        now as Instant
    )
    .execute(tx.conn())
    .await?;
    ensure_one(&done)
}
