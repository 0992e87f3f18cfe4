//! All SQL of the gate: the facts of one customer read under its head, and the rows that a permit,
//! a redemption or a report leaves. Every lookup uses operators that an index may serve under row
//! level security (equality on uuid and text, comparison of timestamps).

mod exports;
pub(super) mod read;
pub(super) mod running;
pub(super) mod shadow;

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::base::{
    AgreementId, Code, ContestId, CustomerId, Digest, Error, ExportId, Instant, InstructionId, Result, Selector, SuspensionId, TypedId,
    from_value, to_value,
};
use crate::evidence::{
    AgreementFacts, AgreementTerms, ExportRequest, Facts, GrantRecord, InstructionFacts, InstructionRef, Used, VersionFacts,
};
use crate::export::permit::PermitClaims;

/// Which part of a customer's facts is read.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Terms on a platform, and `None` for everything.
    pub terms: Option<(Option<Code>, Vec<String>)>,
    /// Exports looked at again.
    pub own: Vec<ExportId>,
    /// The number of a chunk asked for, of the first of those exports.
    pub chunk: Option<u32>,
}

impl Selection {
    /// What a decision about this request can need.
    #[must_use]
    pub fn of(request: &ExportRequest, own: Option<ExportId>) -> Self {
        let terms = vec![format!("purpose:{}", request.purpose), request.recipient.term(), RESTRICTIONS.to_owned()];
        Self { terms: Some((Some(request.platform.clone()), terms)), own: own.into_iter().collect(), chunk: None }
    }
    /// What a decision about exports of a platform can need once they are permitted.
    #[must_use]
    pub fn permitted(platform: &Code, own: Vec<ExportId>) -> Self {
        Self { terms: Some((Some(platform.clone()), vec![RESTRICTIONS.to_owned()])), own, chunk: None }
    }
    /// These exports and what they cite, of whatever platform: what a report needs.
    #[must_use]
    pub const fn only(own: Vec<ExportId>) -> Self {
        Self { terms: Some((None, Vec::new())), own, chunk: None }
    }
    /// The same, for a chunk of this number.
    #[must_use]
    pub const fn and_chunk(mut self, number: u32) -> Self {
        self.chunk = Some(number);
        self
    }
    /// Everything there is.
    #[must_use]
    pub const fn everything() -> Self {
        Self { terms: None, own: Vec::new(), chunk: None }
    }
    fn own(&self) -> Vec<Uuid> {
        self.own.iter().map(|id| id.uuid()).collect()
    }
}

/// The term under which the gate finds restrictions.
const RESTRICTIONS: &str = "kind:restriction";

/// Reads the facts of a customer.
///
/// # Errors
/// When the database does not answer, or holds what this build cannot read.
pub async fn facts(conn: &mut PgConnection, customer: CustomerId, selection: &Selection, now: Instant) -> Result<Facts> {
    let mut facts = Facts { agreements: agreements(conn, customer).await?, ..Facts::default() };
    facts.suspensions = suspensions(conn, customer).await?;
    facts.instructions = instructions(conn, customer, selection).await?;
    let ids: Vec<Uuid> = facts.instructions.keys().map(|id| id.uuid()).collect();
    let once: Vec<Uuid> =
        facts.instructions.iter().filter(|(_, i)| i.versions.values().any(|v| v.scope.once)).map(|(id, _)| id.uuid()).collect();
    facts.exports = exports::exports(conn, customer, selection, now, &ids, &once).await?;
    facts.usage = usage(conn, customer, &ids).await?;
    facts.unconfirmed = unconfirmed(conn, customer).await?;
    Ok(facts)
}

/// True while a person of the customer must confirm the state in which a restore left it.
async fn unconfirmed(conn: &mut PgConnection, customer: CustomerId) -> Result<bool> {
    let found = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM log_epoch WHERE customer_id = $1 AND unconfirmed AND confirmed_at IS NULL) AS "unconfirmed!""#,
        customer as CustomerId
    );
    Ok(found.fetch_one(conn).await?)
}

async fn agreements(conn: &mut PgConnection, customer: CustomerId) -> Result<BTreeMap<AgreementId, AgreementFacts>> {
    let rows = sqlx::query!(
        r#"SELECT id AS "id: AgreementId", version, platform AS "platform: Code", parameters, in_force_from AS "from!: Instant",
                  in_force_until AS "until: Instant"
           FROM agreement WHERE customer_id = $1 AND accepted_at IS NOT NULL"#,
        customer as CustomerId
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let agreement = AgreementFacts {
                version: u32::try_from(row.version).map_err(Error::internal)?,
                platform: row.platform,
                terms: terms(&row.parameters)?,
                from: row.from,
                until: row.until,
            };
            Ok((row.id, agreement))
        })
        .collect()
}

fn terms(parameters: &Value) -> Result<AgreementTerms> {
    let member = |name: &str| parameters.get(name).cloned().unwrap_or(Value::Null);
    let zone = parameters.pointer("/time/zone").cloned().unwrap_or(Value::Null);
    let terms = serde_json::json!({
        "zone": zone,
        "residency": member("residency"),
        "purposes": member("purposes"),
        "data_categories": member("data_categories"),
    });
    from_value(&terms).map_err(Error::internal)
}

async fn suspensions(conn: &mut PgConnection, customer: CustomerId) -> Result<BTreeMap<SuspensionId, crate::evidence::SuspendedBy>> {
    let rows = sqlx::query!(
        r#"SELECT id AS "id: SuspensionId", made_by FROM suspension WHERE customer_id = $1 AND released_at IS NULL"#,
        customer as CustomerId
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| Ok((row.id, row.made_by.parse().map_err(Error::internal)?))).collect()
}

async fn instructions(
    conn: &mut PgConnection,
    customer: CustomerId,
    selection: &Selection,
) -> Result<BTreeMap<InstructionId, InstructionFacts>> {
    let (platform, terms) = match &selection.terms {
        Some((platform, terms)) => (platform.as_ref().map(Code::as_str), Some(terms.as_slice())),
        None => (None, None),
    };
    let rows = sqlx::query!(
        r#"SELECT v.instruction_id AS "id: InstructionId", v.version, v.kind, v.scope, v.subjects, v.document_sha256 AS "document_sha256: Digest",
                  v.valid_from AS "valid_from: Instant", v.valid_until AS "valid_until: Instant", v.signed_epoch, v.signed_index,
                  EXISTS (SELECT 1 FROM instruction_revocation r WHERE r.customer_id = $1 AND r.instruction_id = v.instruction_id) AS "revoked!",
                  ARRAY(SELECT c.id FROM instruction_contest c WHERE c.customer_id = $1 AND c.instruction_id = v.instruction_id
                        AND c.version = v.version AND NOT EXISTS
                        (SELECT 1 FROM instruction_confirmation f WHERE f.customer_id = $1 AND f.contest_id = c.id)) AS "contests!: Vec<Uuid>"
           FROM instruction_version v
           WHERE v.customer_id = $1 AND ($3::text[] IS NULL OR v.instruction_id IN
                 (SELECT t.instruction_id FROM instruction_term t WHERE t.customer_id = $1 AND t.platform = $2 AND t.term = ANY ($3))
                 OR v.instruction_id IN (SELECT e.instruction_id FROM export e WHERE e.customer_id = $1 AND e.id = ANY ($4)))"#,
        customer as CustomerId,
        platform,
        terms,
        &selection.own()
    )
    .fetch_all(conn)
    .await?;
    let mut found: BTreeMap<InstructionId, InstructionFacts> = BTreeMap::new();
    for row in rows {
        let version = VersionFacts {
            scope: from_value(&row.scope).map_err(Error::internal)?,
            subjects: Some(from_value(&row.subjects).map_err(Error::internal)?),
            valid_from: row.valid_from,
            valid_until: row.valid_until,
            document_sha256: row.document_sha256,
            signed: (u32::try_from(row.signed_epoch).map_err(Error::internal)?, u64::try_from(row.signed_index).map_err(Error::internal)?),
            contests: row.contests.into_iter().map(ContestId::from).collect(),
        };
        let kind = row.kind.parse().map_err(Error::internal)?;
        let number = u32::try_from(row.version).map_err(Error::internal)?;
        let instruction = found.entry(row.id).or_insert_with(|| InstructionFacts { kind, revoked: row.revoked, versions: BTreeMap::new() });
        instruction.versions.insert(number, version);
    }
    Ok(found)
}

async fn usage(
    conn: &mut PgConnection,
    customer: CustomerId,
    ids: &[Uuid],
) -> Result<BTreeMap<InstructionRef, BTreeMap<chrono::NaiveDate, Used>>> {
    let rows = sqlx::query!(
        r#"SELECT instruction_id AS "id: InstructionId", version, day, rows, files, bytes FROM instruction_usage
           WHERE customer_id = $1 AND instruction_id = ANY ($2)"#,
        customer as CustomerId,
        ids
    )
    .fetch_all(conn)
    .await?;
    let mut usage: BTreeMap<InstructionRef, BTreeMap<chrono::NaiveDate, Used>> = BTreeMap::new();
    for row in rows {
        let version = InstructionRef { id: row.id, version: u32::try_from(row.version).map_err(Error::internal)? };
        let count = |n: i64| u64::try_from(n).map_err(Error::internal);
        let used = Used { rows: count(row.rows)?, files: count(row.files)?, bytes: count(row.bytes)? };
        usage.entry(version).or_default().insert(row.day, used);
    }
    Ok(usage)
}

fn signed(count: Option<u64>) -> Result<Option<i64>> {
    count.map(i64::try_from).transpose().map_err(Error::internal)
}

/// The row of a new permit, with its entry's place.
pub(super) struct NewExport<'a> {
    pub customer: CustomerId,
    pub request: &'a ExportRequest,
    pub grant: &'a GrantRecord,
    pub claims: &'a PermitClaims,
    pub epoch: i32,
    pub decided_at: Instant,
}

/// Inserts the row of a permit, and its line in the directory.
pub(super) async fn insert(conn: &mut PgConnection, new: &NewExport<'_>) -> Result<()> {
    let NewExport { customer, request, grant, claims, .. } = *new;
    let index = i64::try_from(claims.log.index).map_err(Error::internal)?;
    sqlx::query!(
        "INSERT INTO export (customer_id, id, platform, instruction_id, instruction_version, agreement_id, agreement_version, request, subjects,
                             granted, permit, epoch, index, day, rows, files, bytes, decided_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
        customer as CustomerId,
        grant.export as ExportId,
        request.platform.as_str(),
        grant.instruction.id as InstructionId,
        i32::try_from(grant.instruction.version).map_err(Error::internal)?,
        grant.agreement as AgreementId,
        i32::try_from(grant.agreement_version).map_err(Error::internal)?,
        to_value(request),
        to_value(&request.subjects),
        to_value(grant),
        to_value(claims),
        new.epoch,
        index,
        grant.day,
        signed(request.volume.rows)?,
        signed(request.volume.files)?,
        signed(request.volume.bytes)?,
        new.decided_at as Instant,
        grant.expires_at as Instant
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "INSERT INTO export_directory (export_id, platform, customer_id) VALUES ($1, $2, $3)",
        grant.export as ExportId,
        request.platform.as_str(),
        customer as CustomerId
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The claims of a permit as they were signed; `None`: erased with its subjects.
pub(super) async fn permit(conn: &mut PgConnection, customer: CustomerId, export: ExportId) -> Result<Option<PermitClaims>> {
    let claims =
        sqlx::query_scalar!("SELECT permit FROM export WHERE customer_id = $1 AND id = $2", customer as CustomerId, export as ExportId)
            .fetch_optional(conn)
            .await?
            .ok_or(Error::NotFound)?;
    claims.as_ref().map(from_value).transpose().map_err(Error::internal)
}

/// The customer a platform means: its own name for it, or our id. `None`: there is no such customer.
pub(super) async fn customer_named(conn: &mut PgConnection, platform: &Code, name: &str) -> Result<Option<CustomerId>> {
    if let Ok(id) = name.parse::<CustomerId>() {
        let exists = sqlx::query_scalar!(r#"SELECT customer_exists($1) AS "exists!""#, id as CustomerId).fetch_one(conn).await?;
        return Ok(exists.then_some(id));
    }
    let id = sqlx::query_scalar!("SELECT customer_by_external_id($1, $2)", platform.as_str(), name).fetch_one(conn).await?;
    Ok(id.map(CustomerId::from))
}

/// The customer of a platform's export.
pub(super) async fn customer_of_export(conn: &mut PgConnection, platform: &Code, export: ExportId) -> Result<Option<CustomerId>> {
    let id = sqlx::query_scalar!("SELECT customer_of_export($1, $2)", platform.as_str(), export as ExportId).fetch_one(conn).await?;
    Ok(id.map(CustomerId::from))
}

/// Selectors that facts hold, or none when they were erased.
pub(super) fn kept(subjects: Option<&Vec<Selector>>) -> Vec<Selector> {
    subjects.cloned().unwrap_or_default()
}
