//! Stand-in: thrown away at the merge.
use crate::base::{Email, MessageId, Result};
use crate::db::{LogId, WriteTx};
use uuid::Uuid;
/// A message to be sent.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// Whose it is: a customer, or the processor's log for staff.
    pub customer: LogId,
    /// What it tells of.
    pub purpose: &'static str,
    /// The record it tells of.
    pub subject_id: Uuid,
    /// To whom.
    pub address: Email,
    /// The subject line.
    pub subject: &'static str,
    /// Its text.
    pub body: String,
}
/// Stand-in.
pub async fn enqueue(tx: &mut WriteTx, _message: NewMessage) -> Result<MessageId> {
    Ok(tx.fresh())
}
