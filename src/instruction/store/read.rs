//! Reading instructions with all that happened to them, one or a page of them, in a fixed number of
//! statements.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::base::{
    ContestId, CustomerId, Digest, DocumentId, Error, Instant, InstructionId, InstructionKind, MembershipId, Note, OpsPersonId, PageQuery,
    Result, Selector, TypedId, from_value,
};
use crate::instruction::model::{Confirmation, Content, Contest, Draft, Instruction, Version, Wording, Written};

/// One instruction with its subjects.
pub(in crate::instruction) async fn find(conn: &mut PgConnection, customer: CustomerId, id: InstructionId) -> Result<Instruction> {
    let mut found = heads(conn, customer, Chosen { id: Some(id), ..Chosen::default() }).await?;
    fill(conn, customer, &mut found, true).await?;
    found.into_values().next().ok_or(Error::NotFound)
}

/// A page of instructions in the order of their ids, without subjects.
pub(in crate::instruction) async fn list(
    conn: &mut PgConnection,
    customer: CustomerId,
    kind: Option<InstructionKind>,
    page: &PageQuery,
) -> Result<Vec<Instruction>> {
    let chosen = Chosen { id: None, kind, after: page.after, fetch: Some(page.fetch()) };
    let mut found = heads(conn, customer, chosen).await?;
    fill(conn, customer, &mut found, false).await?;
    Ok(found.into_values().collect())
}

/// Demands that there is such a customer: on the admin surface its id comes from the path.
pub(in crate::instruction) async fn demand_customer(conn: &mut PgConnection, customer: CustomerId) -> Result<()> {
    let known = sqlx::query_scalar!(r#"SELECT EXISTS (SELECT 1 FROM customer WHERE id = $1) AS "known!""#, customer as CustomerId);
    if known.fetch_one(conn).await? { Ok(()) } else { Err(Error::NotFound) }
}

#[derive(Default)]
struct Chosen {
    id: Option<InstructionId>,
    kind: Option<InstructionKind>,
    after: Option<Uuid>,
    fetch: Option<i64>,
}

async fn heads(conn: &mut PgConnection, customer: CustomerId, chosen: Chosen) -> Result<BTreeMap<Uuid, Instruction>> {
    let rows = sqlx::query!(
        r#"SELECT i.id AS "id: InstructionId", i.kind, i.created_at AS "created_at: Instant",
                  r.revoked_at AS "revoked_at?: Instant", r.revoked_by AS "revoked_by?: MembershipId"
           FROM instruction i LEFT JOIN instruction_revocation r ON r.customer_id = i.customer_id AND r.instruction_id = i.id
           WHERE i.customer_id = $1 AND ($2::uuid IS NULL OR i.id = $2) AND ($3::text IS NULL OR i.kind = $3) AND ($4::uuid IS NULL OR i.id > $4)
           ORDER BY i.id LIMIT $5"#,
        customer as CustomerId,
        chosen.id as Option<InstructionId>,
        chosen.kind.map(InstructionKind::word),
        chosen.after,
        chosen.fetch
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let instruction = Instruction {
                id: row.id,
                customer,
                kind: row.kind.parse().map_err(Error::internal)?,
                created_at: row.created_at,
                draft: None,
                versions: BTreeMap::new(),
                revoked: row.revoked_at.zip(row.revoked_by),
            };
            Ok((row.id.uuid(), instruction))
        })
        .collect()
}

async fn fill(conn: &mut PgConnection, customer: CustomerId, found: &mut BTreeMap<Uuid, Instruction>, whole: bool) -> Result<()> {
    let ids: Vec<Uuid> = found.keys().copied().collect();
    for (id, draft) in drafts(conn, customer, &ids, whole).await? {
        if let Some(instruction) = found.get_mut(&id) {
            instruction.draft = Some(draft);
        }
    }
    for (id, number, version) in versions(conn, customer, &ids, whole).await? {
        if let Some(instruction) = found.get_mut(&id) {
            instruction.versions.insert(number, version);
        }
    }
    for (id, number, contest) in contests(conn, customer, &ids).await? {
        if let Some(version) = found.get_mut(&id).and_then(|instruction| instruction.versions.get_mut(&number)) {
            version.contests.push(contest);
        }
    }
    for (id, number, used_at) in uses(conn, customer, &ids).await? {
        if let Some(version) = found.get_mut(&id).and_then(|instruction| instruction.versions.get_mut(&number)) {
            version.used_at = Some(used_at);
        }
    }
    Ok(())
}

fn number(version: i32) -> Result<u32> {
    u32::try_from(version).map_err(Error::internal)
}

fn selectors(list: Option<&Value>) -> Result<Vec<Selector>> {
    list.map_or_else(|| Ok(Vec::new()), |list| from_value(list).map_err(Error::internal))
}

async fn drafts(conn: &mut PgConnection, customer: CustomerId, ids: &[Uuid], whole: bool) -> Result<Vec<(Uuid, Draft)>> {
    let rows = sqlx::query!(
        r#"SELECT instruction_id, version, scope, CASE WHEN $3 THEN subjects END AS subjects, document_id AS "document: DocumentId", text,
                  digest AS "digest: Digest", prepared_by, changed_at AS "changed_at: Instant"
           FROM instruction_draft WHERE customer_id = $1 AND instruction_id = ANY ($2)"#,
        customer as CustomerId,
        ids,
        whole
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let typed = row.text.as_deref().and_then(Wording::new).map(Written::Text);
            let written = typed.or_else(|| row.document.map(Written::Document));
            let content = Content {
                scope: from_value(&row.scope).map_err(Error::internal)?,
                subjects: selectors(row.subjects.as_ref())?,
                written: written.ok_or_else(|| Error::internal("a draft that is not written"))?,
            };
            let version = number(row.version)?;
            Ok((
                row.instruction_id,
                Draft { version, content, digest: row.digest, prepared_by: row.prepared_by, changed_at: row.changed_at },
            ))
        })
        .collect()
}

async fn versions(conn: &mut PgConnection, customer: CustomerId, ids: &[Uuid], whole: bool) -> Result<Vec<(Uuid, u32, Version)>> {
    let rows = sqlx::query!(
        r#"SELECT instruction_id, version, scope, CASE WHEN $3 THEN subjects END AS subjects, document_id AS "document: DocumentId",
                  document_sha256 AS "document_sha256: Digest", valid_from AS "valid_from: Instant", valid_until AS "valid_until: Instant",
                  signed_at AS "signed_at: Instant", signed_by AS "signed_by: MembershipId", signed_epoch, signed_index
           FROM instruction_version WHERE customer_id = $1 AND instruction_id = ANY ($2)"#,
        customer as CustomerId,
        ids,
        whole
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let version = Version {
                scope: from_value(&row.scope).map_err(Error::internal)?,
                subjects: selectors(row.subjects.as_ref())?,
                document: row.document,
                document_sha256: row.document_sha256,
                valid_from: row.valid_from,
                valid_until: row.valid_until,
                signed_at: row.signed_at,
                signed_by: row.signed_by,
                signed: (number(row.signed_epoch)?, u64::try_from(row.signed_index).map_err(Error::internal)?),
                used_at: None,
                contests: Vec::new(),
            };
            Ok((row.instruction_id, number(row.version)?, version))
        })
        .collect()
}

async fn contests(conn: &mut PgConnection, customer: CustomerId, ids: &[Uuid]) -> Result<Vec<(Uuid, u32, Contest)>> {
    let rows = sqlx::query!(
        r#"SELECT c.instruction_id, c.version, c.id AS "id: ContestId", c.ground AS "ground: Note", c.contested_at AS "contested_at: Instant",
                  c.contested_by AS "contested_by: OpsPersonId", f.document_id AS "document?: DocumentId",
                  f.confirmed_at AS "confirmed_at?: Instant", f.confirmed_by AS "confirmed_by?: MembershipId"
           FROM instruction_contest c LEFT JOIN instruction_confirmation f ON f.customer_id = c.customer_id AND f.contest_id = c.id
           WHERE c.customer_id = $1 AND c.instruction_id = ANY ($2) ORDER BY c.contested_at, c.id"#,
        customer as CustomerId,
        ids
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let confirmation = match (row.document, row.confirmed_at, row.confirmed_by) {
                (Some(document), Some(at), Some(by)) => Some(Confirmation { document, at, by }),
                _ => None,
            };
            let contest = Contest { id: row.id, ground: row.ground, at: row.contested_at, by: row.contested_by.to_string(), confirmation };
            Ok((row.instruction_id, number(row.version)?, contest))
        })
        .collect()
}

/// When permits that cite a version were first redeemed.
async fn uses(conn: &mut PgConnection, customer: CustomerId, ids: &[Uuid]) -> Result<Vec<(Uuid, u32, Instant)>> {
    let rows = sqlx::query!(
        r#"SELECT instruction_id, instruction_version, min(redeemed_at) AS "used_at!: Instant" FROM export
           WHERE customer_id = $1 AND instruction_id = ANY ($2) AND redeemed_at IS NOT NULL GROUP BY instruction_id, instruction_version"#,
        customer as CustomerId,
        ids
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| Ok((row.instruction_id, number(row.instruction_version)?, row.used_at))).collect()
}
