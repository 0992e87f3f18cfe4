//! Telling a customer: one message to each of its privacy contacts, in the transaction of the act
//! it tells of, so that an act without its notice does not exist.

use uuid::Uuid;

use super::store;
use crate::base::{CustomerId, Result};
use crate::db::{LogId, Role, WriteTx};
use crate::delivery::{NewMessage, enqueue};

/// Queues a notice to every privacy contact of the transaction's customer.
///
/// # Errors
/// When the database does not answer.
pub async fn tell_customer(tx: &mut WriteTx, purpose: &'static str, subject_id: Uuid, subject: &'static str, body: String) -> Result<()> {
    let LogId(id) = tx.home();
    let contacts = match tx.role() {
        Role::Ops => store::contacts_for_ops(tx.conn(), CustomerId::from(id)).await?,
        Role::Gate => store::contacts_for_gate(tx.conn(), CustomerId::from(id)).await?,
        _ => store::directory(tx.conn()).await?.privacy_contacts,
    };
    for address in contacts {
        let message = NewMessage { customer: tx.home(), purpose, subject_id, address, subject, body: body.clone() };
        enqueue(tx, message).await?;
    }
    Ok(())
}
