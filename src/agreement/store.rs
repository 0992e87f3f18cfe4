//! All SQL of agreements. What accepts or ends one demands a [`Signatory`]; the database's own
//! constraints say last whether two overlap and whose an external id is.

use std::collections::BTreeSet;

use serde_json::Value;
use sqlx::postgres::PgConnection;

use super::decide;
use super::model::{Agreement, NewAgreement};
use crate::base::{
    AgreementId, Code, CustomerId, Digest, DocumentId, Email, Error, Faults, Instant, MembershipId, OpsPersonId, PageQuery, Reference,
    Result, from_value, to_value,
};
use crate::db::{LogId, WriteTx, conflict_on, ensure_one};
use crate::evidence::{Actor, Event, NewEntry};
use crate::identity::Signatory;

struct AgreementRow {
    id: AgreementId,
    version: i32,
    platform: Code,
    external_id: Reference,
    parameters: Value,
    document_id: DocumentId,
    document_sha256: Digest,
    prepared_at: Instant,
    offered_at: Option<Instant>,
    accepted_at: Option<Instant>,
    accepted_by: Option<MembershipId>,
    in_force_from: Option<Instant>,
    in_force_until: Option<Instant>,
    terminated_at: Option<Instant>,
}

impl TryFrom<AgreementRow> for Agreement {
    type Error = Error;
    fn try_from(row: AgreementRow) -> Result<Self> {
        Ok(Self {
            id: row.id,
            version: u32::try_from(row.version).map_err(Error::internal)?,
            platform: row.platform,
            external_id: row.external_id,
            parameters: from_value(&row.parameters).map_err(Error::internal)?,
            document: row.document_id,
            document_sha256: row.document_sha256,
            prepared_at: row.prepared_at,
            offered_at: row.offered_at,
            accepted_at: row.accepted_at,
            accepted_by: row.accepted_by,
            in_force_from: row.in_force_from,
            in_force_until: row.in_force_until,
            terminated_at: row.terminated_at,
        })
    }
}

/// Which agreements of a customer are read.
#[derive(Default)]
struct Chosen<'a> {
    id: Option<AgreementId>,
    platform: Option<&'a Code>,
    after: Option<uuid::Uuid>,
    fetch: Option<i64>,
}

async fn read(conn: &mut PgConnection, customer: CustomerId, chosen: Chosen<'_>) -> Result<Vec<Agreement>> {
    sqlx::query_as!(
        AgreementRow,
        r#"SELECT id AS "id: AgreementId", version, platform AS "platform: Code", external_id AS "external_id: Reference", parameters,
                  document_id AS "document_id: DocumentId", document_sha256 AS "document_sha256: Digest", prepared_at AS "prepared_at: Instant",
                  offered_at AS "offered_at: Instant", accepted_at AS "accepted_at: Instant", accepted_by AS "accepted_by: MembershipId",
                  in_force_from AS "in_force_from: Instant", in_force_until AS "in_force_until: Instant", terminated_at AS "terminated_at: Instant"
           FROM agreement
           WHERE customer_id = $1 AND ($2::uuid IS NULL OR id = $2) AND ($3::text IS NULL OR platform = $3) AND ($4::uuid IS NULL OR id > $4)
           ORDER BY id LIMIT $5"#,
        customer as CustomerId,
        chosen.id as Option<AgreementId>,
        chosen.platform as Option<&Code>,
        chosen.after,
        chosen.fetch
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(Agreement::try_from)
    .collect()
}

/// One agreement of a customer.
pub(super) async fn find(conn: &mut PgConnection, customer: CustomerId, id: AgreementId) -> Result<Agreement> {
    let found = read(conn, customer, Chosen { id: Some(id), ..Chosen::default() }).await?;
    found.into_iter().next().ok_or(Error::NotFound)
}

/// Agreements of a customer, in the order of their ids.
pub(super) async fn list(conn: &mut PgConnection, customer: CustomerId, page: &PageQuery) -> Result<Vec<Agreement>> {
    read(conn, customer, Chosen { after: page.after, fetch: Some(page.fetch()), ..Chosen::default() }).await
}

/// The platforms for which the customer has an agreement in force.
pub(super) async fn covered(conn: &mut PgConnection, customer: CustomerId, now: Instant) -> Result<BTreeSet<Code>> {
    let platforms = sqlx::query_scalar!(
        r#"SELECT DISTINCT platform AS "platform: Code" FROM agreement
           WHERE customer_id = $1 AND in_force_from <= $2 AND (in_force_until IS NULL OR in_force_until > $2)"#,
        customer as CustomerId,
        now as Instant
    )
    .fetch_all(conn)
    .await?;
    Ok(platforms.into_iter().collect())
}

/// Demands that there is such a customer: on the admin surface its id comes from the path.
pub(super) async fn demand_customer(conn: &mut PgConnection, customer: CustomerId) -> Result<()> {
    let known = sqlx::query_scalar!(r#"SELECT EXISTS (SELECT 1 FROM customer WHERE id = $1) AS "known!""#, customer as CustomerId);
    if known.fetch_one(conn).await? { Ok(()) } else { Err(Error::NotFound) }
}

async fn calendars(conn: &mut PgConnection) -> Result<BTreeSet<Code>> {
    let codes = sqlx::query_scalar!(r#"SELECT DISTINCT calendar AS "calendar: Code" FROM public_holiday"#).fetch_all(conn).await?;
    Ok(codes.into_iter().collect())
}

/// Another customer's external id, or another of this customer's, cannot be offered.
async fn demand_free(conn: &mut PgConnection, customer: CustomerId, platform: &Code, external_id: &Reference) -> Result<()> {
    let rows = sqlx::query!(
        r#"SELECT customer_id AS "customer: CustomerId", external_id AS "external_id: Reference" FROM external_id
           WHERE platform = $1 AND (external_id = $2 OR customer_id = $3)"#,
        platform as &Code,
        external_id as &Reference,
        customer as CustomerId
    )
    .fetch_all(conn)
    .await?;
    for row in rows {
        if row.customer != customer {
            return Err(taken());
        }
        if row.external_id != *external_id {
            return Err(differs());
        }
    }
    Ok(())
}

const TAKEN: (&str, &str) = ("external-id-taken", "The platform uses this external id for another customer.");

const fn taken() -> Error {
    Error::conflict(TAKEN.0, TAKEN.1)
}

const fn differs() -> Error {
    Error::conflict("external-id-differs", "The platform knows the customer by another external id.")
}

/// Prepares an agreement. Every fault of its values at once.
///
/// # Errors
/// [`Error::Invalid`] for values, [`Error::Conflict`] when it overlaps another or its external id is taken.
pub async fn prepare(
    tx: &mut WriteTx,
    customer: CustomerId,
    prepared_by: OpsPersonId,
    new: &NewAgreement,
) -> Result<(AgreementId, Vec<NewEntry>)> {
    let now = tx.now();
    let mut faults = Faults::default();
    let registry = crate::registry::codes(tx.conn()).await?;
    new.check(&registry, &calendars(tx.conn()).await?, &mut faults);
    let document = match crate::document::whole_document(tx.conn(), customer, new.document).await {
        Err(Error::NotFound) => {
            faults.add_at("document", "unknown_document", "must be a stored document of the customer");
            None
        }
        found => Some(found?),
    };
    let document = faults.finish(document)?;
    let others = read(tx.conn(), customer, Chosen { platform: Some(&new.platform), ..Chosen::default() }).await?;
    decide::may_stand(&new.parameters, &others, now)?;
    demand_free(tx.conn(), customer, &new.platform, &new.external_id).await?;

    let id: AgreementId = tx.fresh();
    let parameters = to_value(&new.parameters);
    let done = sqlx::query!(
        "INSERT INTO agreement (customer_id, id, version, platform, external_id, parameters, contact, document_id, document_sha256, prepared_by, prepared_at)
         VALUES ($1, $2, 1, $3, $4, $5, $6, $7, $8, $9, $10)",
        customer as CustomerId,
        id as AgreementId,
        &new.platform as &Code,
        &new.external_id as &Reference,
        parameters,
        &new.parameters.contact as &Email,
        document.id as DocumentId,
        document.sha256 as Digest,
        prepared_by as OpsPersonId,
        now as Instant
    )
    .execute(tx.conn())
    .await?;
    ensure_one(&done)?;
    let event = Event::AgreementPrepared {
        agreement: id,
        version: 1,
        platform: new.platform.clone(),
        external_id: new.external_id.clone(),
        parameters,
        contact: new.parameters.contact.clone(),
        document: document.id,
        document_sha256: document.sha256,
    };
    Ok((id, vec![NewEntry::new(customer, id, &Actor::of(prepared_by), event)]))
}

/// Offers a prepared agreement to its customer.
///
/// # Errors
/// [`Error::NotFound`], or [`Error::Conflict`] when it was offered before or overlaps another.
pub async fn offer(tx: &mut WriteTx, customer: CustomerId, offered_by: OpsPersonId, id: AgreementId) -> Result<Vec<NewEntry>> {
    let now = tx.now();
    let agreement = find(tx.conn(), customer, id).await?;
    let mut others = read(tx.conn(), customer, Chosen { platform: Some(&agreement.platform), ..Chosen::default() }).await?;
    others.retain(|other| other.id != id);
    decide::may_offer(&agreement, &others, now)?;
    let done = sqlx::query!(
        "UPDATE agreement SET offered_at = $3 WHERE customer_id = $1 AND id = $2 AND offered_at IS NULL",
        customer as CustomerId,
        id as AgreementId,
        now as Instant
    )
    .execute(tx.conn())
    .await?;
    ensure_one(&done)?;
    Ok(vec![NewEntry::new(customer, id, &Actor::of(offered_by), Event::AgreementOffered { agreement: id })])
}

/// Accepts an offered agreement by naming its document's hash. The transaction must hold the
/// platform's log as well: its name for the customer appears there. The customer's entry is last.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`] for another hash; [`Error::Conflict`] when it is not
/// offered, overlaps another, or its external id is taken.
pub async fn accept(
    tx: &mut WriteTx,
    customer: CustomerId,
    signatory: Signatory,
    id: AgreementId,
    document_sha256: Digest,
) -> Result<Vec<NewEntry>> {
    let now = tx.now();
    let agreement = find(tx.conn(), customer, id).await?;
    let (from, until) = decide::may_accept(&agreement, document_sha256, now)?;
    let done = sqlx::query!(
        "UPDATE agreement SET accepted_at = $3, accepted_by = $4, in_force_from = $5, in_force_until = $6
         WHERE customer_id = $1 AND id = $2 AND accepted_at IS NULL",
        customer as CustomerId,
        id as AgreementId,
        now as Instant,
        signatory.membership() as MembershipId,
        from as Instant,
        until as Option<Instant>
    )
    .execute(tx.conn())
    .await
    .map_err(conflict_on(
        "agreement_one_in_force",
        "agreement-exists",
        "An agreement for this platform is in force in the same time; end it first.",
    ))?;
    ensure_one(&done)?;
    let actor = Actor::of(signatory.membership());
    let mut entries = Vec::new();
    if let Some(log) = name_customer(tx, customer, &agreement).await? {
        let event = Event::ExternalIdAppeared { customer, external_id: agreement.external_id.clone() };
        entries.push(NewEntry::new(log, id, &actor, event));
    }
    let event = Event::AgreementAccepted {
        agreement: id,
        version: agreement.version,
        membership: signatory.membership(),
        platform: agreement.platform,
        external_id: agreement.external_id,
        document_sha256,
        terms: agreement.parameters.terms(),
        in_force_from_at: from,
        in_force_until_at: until,
    };
    entries.push(NewEntry::new(customer, id, &actor, event));
    Ok(entries)
}

/// Stores the platform's name for the customer, if it has none yet; the platform's log then.
async fn name_customer(tx: &mut WriteTx, customer: CustomerId, agreement: &Agreement) -> Result<Option<LogId>> {
    let platform = &agreement.platform;
    let present = sqlx::query_scalar!(
        r#"SELECT external_id AS "external_id!: Reference" FROM own_external_ids() WHERE platform = $1"#,
        platform as &Code
    )
    .fetch_optional(tx.conn())
    .await?;
    match present {
        Some(present) if present == agreement.external_id => return Ok(None),
        Some(_) => return Err(differs()),
        None => {}
    }
    let log = crate::registry::platform_log(tx.conn(), platform).await?;
    // Without its head the entry could not stand in the platform's log: found before the row is.
    tx.head(log)?;
    let now = tx.now();
    let done = sqlx::query!(
        "INSERT INTO external_id (platform, external_id, customer_id, since_at) VALUES ($1, $2, $3, $4)",
        platform as &Code,
        &agreement.external_id as &Reference,
        customer as CustomerId,
        now as Instant
    )
    .execute(tx.conn())
    .await
    .map_err(conflict_on("external_id_key", TAKEN.0, TAKEN.1))?;
    ensure_one(&done)?;
    Ok(Some(log))
}

/// Ends an accepted agreement, now or later, never later than it ends anyway.
///
/// # Errors
/// [`Error::NotFound`], or [`Error::Conflict`] when it was not accepted or has ended.
pub async fn terminate(
    tx: &mut WriteTx,
    customer: CustomerId,
    signatory: Signatory,
    id: AgreementId,
    effective_at: Option<Instant>,
) -> Result<Vec<NewEntry>> {
    let now = tx.now();
    let agreement = find(tx.conn(), customer, id).await?;
    let until = decide::may_terminate(&agreement, effective_at, now)?;
    let done = sqlx::query!(
        "UPDATE agreement SET in_force_until = $3, terminated_at = COALESCE(terminated_at, $4) WHERE customer_id = $1 AND id = $2",
        customer as CustomerId,
        id as AgreementId,
        until as Instant,
        now as Instant
    )
    .execute(tx.conn())
    .await?;
    ensure_one(&done)?;
    let event = Event::AgreementTerminated { agreement: id, in_force_until_at: until };
    Ok(vec![NewEntry::new(customer, id, &Actor::of(signatory.membership()), event)])
}
