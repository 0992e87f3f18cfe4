//! Drafts: checked whole whenever they are written, so that what can be signed can be instructed.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnection;

use super::recipient;
use crate::base::{
    CustomerId, Digest, DocumentId, Error, Faults, Instant, InstructionId, InstructionKind, Recipient, RecipientId, Reference, Result,
    to_value,
};
use crate::db::{WriteTx, ensure_one};
use crate::evidence::{Actor, Event, NewEntry};
use crate::instruction::check::{Known, check};
use crate::instruction::decide;
use crate::instruction::model::{Content, Instruction, NewInstruction, RecipientChoice};

/// Writes the first draft of a new instruction.
///
/// # Errors
/// [`Error::Invalid`] with every fault of the draft.
pub async fn draft(tx: &mut WriteTx, customer: CustomerId, actor: &Actor, new: &NewInstruction) -> Result<(InstructionId, Vec<NewEntry>)> {
    let content = checked(tx, customer, None, new).await?;
    let (id, now): (InstructionId, _) = (tx.fresh(), tx.now());
    let done = sqlx::query!(
        "INSERT INTO instruction (customer_id, id, kind, created_at) VALUES ($1, $2, $3, $4)",
        customer as CustomerId,
        id as InstructionId,
        new.kind.word(),
        now as Instant
    )
    .execute(tx.conn())
    .await?;
    ensure_one(&done)?;
    insert(tx, customer, actor, (id, 1, new.kind), &content).await.map(|entries| (id, entries))
}

/// Writes the draft of the next version of a signed instruction.
pub(in crate::instruction) async fn start(
    tx: &mut WriteTx,
    actor: &Actor,
    instruction: &Instruction,
    new: &NewInstruction,
) -> Result<Vec<NewEntry>> {
    let version = decide::may_start(instruction)?;
    let content = checked(tx, instruction.customer, Some(instruction.kind), new).await?;
    insert(tx, instruction.customer, actor, (instruction.id, version, instruction.kind), &content).await
}

/// Replaces the draft, whole.
pub(in crate::instruction) async fn replace(
    tx: &mut WriteTx,
    actor: &Actor,
    instruction: &Instruction,
    new: &NewInstruction,
) -> Result<Vec<NewEntry>> {
    let Instruction { customer, id, kind, .. } = *instruction;
    let version = decide::may_change(instruction)?.version;
    let content = checked(tx, customer, Some(kind), new).await?;
    let (digest, now) = (content.digest(id, version, kind), tx.now());
    let done = sqlx::query!(
        "UPDATE instruction_draft SET scope = $3, subjects = $4, document_id = $5, text = $6, digest = $7, prepared_by = $8, changed_at = $9
         WHERE customer_id = $1 AND instruction_id = $2",
        customer as CustomerId,
        id as InstructionId,
        to_value(&content.scope),
        to_value(&content.subjects),
        content.written.document() as Option<DocumentId>,
        content.written.text().map(|text| text.as_str()),
        digest as Digest,
        actor.as_str(),
        now as Instant
    )
    .execute(tx.conn())
    .await?;
    ensure_one(&done)?;
    Ok(entries(customer, actor, (id, version, kind), digest))
}

async fn insert(
    tx: &mut WriteTx,
    customer: CustomerId,
    actor: &Actor,
    (id, version, kind): (InstructionId, u32, InstructionKind),
    content: &Content,
) -> Result<Vec<NewEntry>> {
    let (digest, now) = (content.digest(id, version, kind), tx.now());
    let done = sqlx::query!(
        "INSERT INTO instruction_draft (customer_id, instruction_id, version, scope, subjects, document_id, text, digest, prepared_by, changed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        customer as CustomerId,
        id as InstructionId,
        i32::try_from(version).map_err(Error::internal)?,
        to_value(&content.scope),
        to_value(&content.subjects),
        content.written.document() as Option<DocumentId>,
        content.written.text().map(|text| text.as_str()),
        digest as Digest,
        actor.as_str(),
        now as Instant
    )
    .execute(tx.conn())
    .await?;
    ensure_one(&done)?;
    Ok(entries(customer, actor, (id, version, kind), digest))
}

fn entries(
    customer: CustomerId,
    actor: &Actor,
    (id, version, kind): (InstructionId, u32, InstructionKind),
    digest: Digest,
) -> Vec<NewEntry> {
    vec![NewEntry::new(customer, id, actor, Event::InstructionDrafted { instruction: id, version, kind, digest })]
}

/// What the draft says, held against the code lists, the customer's units, address book and documents.
async fn checked(tx: &mut WriteTx, customer: CustomerId, kind: Option<InstructionKind>, new: &NewInstruction) -> Result<Content> {
    let now = tx.now();
    let registry = crate::registry::codes(tx.conn()).await?;
    let units = units(tx.conn(), customer).await?;
    let recipients = known_recipients(tx.conn(), customer, new).await?;
    let document = match new.document {
        None => None,
        Some(id) => match crate::document::whole_document(tx.conn(), customer, id).await {
            Err(Error::NotFound) => None,
            found => Some(found?.id),
        },
    };
    let known = Known { registry: &registry, units: &units, recipients: &recipients, document, kind };
    let mut faults = Faults::default();
    let content = check(new, &known, now, &mut faults);
    faults.finish(content)
}

async fn units(conn: &mut PgConnection, customer: CustomerId) -> Result<BTreeSet<Reference>> {
    let codes = sqlx::query_scalar!(r#"SELECT code AS "code: Reference" FROM unit WHERE customer_id = $1"#, customer as CustomerId);
    Ok(codes.fetch_all(conn).await?.into_iter().collect())
}

async fn known_recipients(
    conn: &mut PgConnection,
    customer: CustomerId,
    new: &NewInstruction,
) -> Result<std::collections::BTreeMap<RecipientId, Recipient>> {
    let choices = new.recipients.iter().flatten();
    let ids = choices.filter_map(|choice| if let RecipientChoice::Known(id) = choice { Some(*id) } else { None });
    recipient::values(conn, customer, &ids.collect::<Vec<_>>()).await
}
