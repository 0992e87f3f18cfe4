//! What happens to signed versions: withdrawal by the customer, a contest by ops, the customer's
//! confirmation in writing. Each is a row that is only added.

use super::sign::original;
use crate::base::{ContestId, CustomerId, DocumentId, Error, Instant, InstructionId, MembershipId, Note, OpsPersonId, Result};
use crate::db::{WriteTx, conflict_on, ensure_one};
use crate::evidence::{Actor, Event, NewEntry};
use crate::identity::Signatory;
use crate::instruction::decide;
use crate::instruction::model::{Instruction, Written};
use crate::instruction::render::{self, Signed};

/// Withdraws all versions of an instruction.
///
/// # Errors
/// [`Error::Conflict`] when it was never signed or is withdrawn.
pub async fn revoke(tx: &mut WriteTx, revoked_by: MembershipId, instruction: &Instruction) -> Result<Vec<NewEntry>> {
    let now = tx.now();
    let Instruction { customer, id, .. } = *instruction;
    decide::may_revoke(instruction)?;
    let done = sqlx::query!(
        "INSERT INTO instruction_revocation (customer_id, instruction_id, revoked_at, revoked_by) VALUES ($1, $2, $3, $4)",
        customer as CustomerId,
        id as InstructionId,
        now as Instant,
        revoked_by as MembershipId
    )
    .execute(tx.conn())
    .await
    .map_err(conflict_on("instruction_revocation_key", "already-revoked", "The instruction was withdrawn before."))?;
    ensure_one(&done)?;
    let event = Event::InstructionRevoked { instruction: id, membership: revoked_by };
    Ok(vec![NewEntry::new(customer, id, &Actor::of(revoked_by), event)])
}

/// Marks a version as appearing to infringe the law; it stops at once (GDPR Art. 28(3)).
///
/// # Errors
/// [`Error::Invalid`] for a version that was not signed, [`Error::Conflict`] when it has ended or is contested.
pub async fn contest(
    tx: &mut WriteTx,
    contested_by: OpsPersonId,
    instruction: &Instruction,
    version: u32,
    ground: &Note,
) -> Result<(ContestId, Vec<NewEntry>)> {
    let now = tx.now();
    let Instruction { customer, id, .. } = *instruction;
    decide::may_contest(instruction, version, now)?;
    let contest: ContestId = tx.fresh();
    let done = sqlx::query!(
        "INSERT INTO instruction_contest (customer_id, id, instruction_id, version, ground, contested_at, contested_by) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        customer as CustomerId,
        contest as ContestId,
        id as InstructionId,
        i32::try_from(version).map_err(Error::internal)?,
        ground as &Note,
        now as Instant,
        contested_by as OpsPersonId
    )
    .execute(tx.conn())
    .await?;
    ensure_one(&done)?;
    let event = Event::InstructionContested { contest, instruction: id, version, ground: ground.clone() };
    Ok((contest, vec![NewEntry::new(customer, id, &Actor::of(contested_by), event)]))
}

/// Confirms a contested version in writing. The caller has demanded authority as for its signature.
pub(in crate::instruction) async fn confirm(
    tx: &mut WriteTx,
    signatory: Signatory,
    instruction: &Instruction,
    contest: ContestId,
    written: &Written,
) -> Result<Vec<NewEntry>> {
    let now = tx.now();
    let Instruction { customer, id, .. } = *instruction;
    let (version, _) = decide::may_confirm(instruction, contest, now)?;
    let page = |signed: &Signed<'_>| render::confirmation(signed, contest);
    let (document, mut entries) = match original(tx, signatory, (instruction, version), written, page).await {
        Err(Error::NotFound) => return Err(Error::invalid("document", "unknown_document", "must be a stored document of the customer")),
        found => found?,
    };
    let done = sqlx::query!(
        "INSERT INTO instruction_confirmation (customer_id, contest_id, document_id, confirmed_at, confirmed_by) VALUES ($1, $2, $3, $4, $5)",
        customer as CustomerId,
        contest as ContestId,
        document.id as DocumentId,
        now as Instant,
        signatory.membership() as MembershipId
    )
    .execute(tx.conn())
    .await
    .map_err(conflict_on("instruction_confirmation_key", "already-confirmed", "The contest was answered in writing before."))?;
    ensure_one(&done)?;
    let event = Event::InstructionConfirmed {
        contest,
        instruction: id,
        version,
        document: document.id,
        document_sha256: document.sha256,
        membership: signatory.membership(),
    };
    entries.push(NewEntry::new(customer, id, &Actor::of(signatory.membership()), event));
    Ok(entries)
}
