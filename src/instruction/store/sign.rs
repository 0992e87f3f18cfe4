//! The signature: a draft becomes a version that never changes, with its original document, its
//! place in the log and the terms by which the gate finds it.

use crate::base::{
    CustomerId, Digest, DocumentId, Error, Instant, InstructionId, InstructionKind, MembershipId, Result, Scope, random32, to_value,
};
use crate::db::{LogId, WriteTx, ensure_one};
use crate::document::{DocumentView, MediaType};
use crate::evidence::{Actor, Event, NewEntry};
use crate::identity::Signatory;
use crate::instruction::model::{Instruction, Wording, Written};
use crate::instruction::render::{self, Signed};
use crate::instruction::{decide, term};

/// Signs the draft of this version. The caller has demanded authority for every unit of its subjects.
/// The signature's entry is the last one; no other entry may be appended before these.
///
/// # Errors
/// [`Error::Conflict`] when this draft cannot be signed now.
pub async fn sign(tx: &mut WriteTx, signatory: Signatory, instruction: &Instruction, version: u32) -> Result<Vec<NewEntry>> {
    let now = tx.now();
    let Instruction { customer, id, kind, .. } = *instruction;
    let (draft, from, until) = decide::may_sign(instruction, version, now)?;
    let content = &draft.content;
    let page = |signed: &Signed<'_>| render::instruction(signed, &content.scope, &content.subjects);
    let (document, mut entries) = original(tx, signatory, (instruction, version), &content.written, page).await?;
    let actor = Actor::of(signatory.membership());
    let head = tx.head(LogId::from(customer))?;
    // The rows name the place that the entry will have: after those that come before it here.
    let (epoch, size) = (head.epoch, head.size);
    let index = i64::try_from(size).map_err(Error::internal)? + i64::try_from(entries.len()).map_err(Error::internal)?;
    let number = i32::try_from(version).map_err(Error::internal)?;
    let done = sqlx::query!(
        "INSERT INTO instruction_version (customer_id, instruction_id, version, kind, scope, subjects, document_id, document_sha256,
                                          valid_from, valid_until, signed_at, signed_by, signed_epoch, signed_index)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        customer as CustomerId,
        id as InstructionId,
        number,
        kind.word(),
        to_value(&content.scope),
        to_value(&content.subjects),
        document.id as DocumentId,
        document.sha256 as Digest,
        from as Instant,
        until as Option<Instant>,
        now as Instant,
        signatory.membership() as MembershipId,
        epoch,
        index
    )
    .execute(tx.conn())
    .await?;
    ensure_one(&done)?;
    insert_terms(tx, customer, (id, number, kind), &content.scope).await?;
    let done = sqlx::query!(
        "DELETE FROM instruction_draft WHERE customer_id = $1 AND instruction_id = $2 AND digest = $3",
        customer as CustomerId,
        id as InstructionId,
        draft.digest as Digest
    )
    .execute(tx.conn())
    .await?;
    ensure_one(&done)?;
    let event = Event::InstructionSigned {
        instruction: id,
        version,
        kind,
        scope: content.scope.clone(),
        valid_from_at: from,
        valid_until_at: until,
        document: document.id,
        document_sha256: document.sha256,
        membership: signatory.membership(),
    };
    entries.push(NewEntry::new(customer, id, &actor, event).about(content.subjects.clone()));
    Ok(entries)
}

/// The original of what is signed: the cited document, or the typed text as a document of its own,
/// with the entry that stored it.
pub(super) async fn original(
    tx: &mut WriteTx,
    signatory: Signatory,
    (instruction, version): (&Instruction, u32),
    written: &Written,
    page: impl FnOnce(&Signed<'_>) -> Vec<u8>,
) -> Result<(DocumentView, Vec<NewEntry>)> {
    let text: &Wording = match written {
        Written::Document(id) => {
            let found = crate::document::whole_document(tx.conn(), instruction.customer, *id).await;
            return Ok((found?, Vec::new()));
        }
        Written::Text(text) => text,
    };
    let bytes = page(&Signed {
        customer: instruction.customer,
        instruction: instruction.id,
        version,
        kind: instruction.kind,
        text,
        membership: signatory.membership(),
        at: tx.now(),
        salt: &random32(tx.entropy()),
    });
    let actor = Actor::of(signatory.membership());
    let (stored, entry) = crate::document::store_bytes(tx, instruction.customer, &bytes, MediaType::Typed, &actor).await?;
    Ok((stored, entry.into_iter().collect()))
}

async fn insert_terms(
    tx: &mut WriteTx,
    customer: CustomerId,
    (id, version, kind): (InstructionId, i32, InstructionKind),
    scope: &Scope,
) -> Result<()> {
    let platforms: Vec<String> = scope.platforms.iter().map(ToString::to_string).collect();
    let terms = term::terms(kind, scope);
    let done = sqlx::query!(
        "INSERT INTO instruction_term (customer_id, platform, term, instruction_id, version)
         SELECT $1, platform, term, $4, $5 FROM UNNEST($2::text[]) AS platform CROSS JOIN UNNEST($3::text[]) AS term",
        customer as CustomerId,
        &platforms,
        &terms,
        id as InstructionId,
        version
    )
    .execute(tx.conn())
    .await?;
    let expected = platforms.len() * terms.len();
    if usize::try_from(done.rows_affected()) == Ok(expected) { Ok(()) } else { Err(Error::internal("not every term was stored")) }
}
