//! All SQL of messages and of the envelopes that point to them.

use uuid::Uuid;

use crate::base::{Email, EntryId, Instant, MessageId, Result};
use crate::db::{LogId, WriteTx};

/// A message to one address.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// The customer it concerns (or the processor's log).
    pub customer: LogId,
    /// What it tells of, such as `customer_suspended`.
    pub purpose: &'static str,
    /// The record it tells of.
    pub subject_id: Uuid,
    /// To whom.
    pub address: Email,
    /// Subject line, without personal data.
    pub subject: &'static str,
    /// Text.
    pub body: String,
}

/// Stores a message and the envelope of its delivery, in the transaction of the act it tells of.
///
/// # Errors
/// When the database does not take them.
pub async fn enqueue(tx: &mut WriteTx, new: NewMessage) -> Result<MessageId> {
    let id: MessageId = tx.fresh();
    let job: EntryId = tx.fresh();
    let now = tx.now();
    sqlx::query!(
        "INSERT INTO message (customer_id, id, purpose, subject_id, address, subject, body, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        new.customer.0,
        id as MessageId,
        new.purpose,
        new.subject_id,
        new.address as Email,
        new.subject,
        new.body,
        now as Instant
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "INSERT INTO job (id, kind, customer_id, subject_id, due_at) VALUES ($1, 'deliver', $2, $3, $4)",
        job as EntryId,
        new.customer.0,
        id as MessageId,
        now as Instant
    )
    .execute(tx.conn())
    .await?;
    Ok(id)
}
