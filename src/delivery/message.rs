//! The outbox: a message and the envelope of the job that sends it, in the business transaction.
//! If the act rolls back, nobody is told of it; if it commits, nobody can forget to tell.

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::base::{Email, Entropy, Instant, MessageId, Result, TypedId, fresh_id};
use crate::db::{Housekeeping, LogId, WriteTx, ensure_one};

/// The kind of a job that sends a message.
pub(super) const DELIVER: &str = "deliver";

/// The purpose of a message that is a checkpoint itself, and so goes without another.
pub const DAILY_CHECKPOINT: &str = "daily_checkpoint";

/// A message to be sent.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// Whose it is: a customer, or the processor's log for staff.
    pub customer: LogId,
    /// What it tells of, such as `first_signatory_notice`.
    pub purpose: &'static str,
    /// The record it tells of.
    pub subject_id: Uuid,
    /// To whom.
    pub address: Email,
    /// The subject line: fixed words, so that it holds no personal data.
    pub subject: &'static str,
    /// Its text; forgotten once delivered.
    pub body: String,
}

/// A message as the worker reads it.
pub(super) struct Message {
    pub id: MessageId,
    pub purpose: String,
    pub subject_id: Uuid,
    /// As it was written, even if no mail can be sent to it.
    pub address: String,
    pub subject: String,
    pub body: Option<String>,
    pub created_at: Instant,
    pub delivered_at: Option<Instant>,
    pub undeliverable_at: Option<Instant>,
}

/// Puts a message into the outbox.
///
/// # Errors
/// When the statement fails.
pub async fn enqueue(tx: &mut WriteTx, message: NewMessage) -> Result<MessageId> {
    let (id, now): (MessageId, _) = (tx.fresh(), tx.now());
    let home = tx.home();
    if message.customer != home {
        tx.act_for(message.customer).await?;
    }
    insert(tx.conn(), id, &message, now).await?;
    if message.customer != home {
        tx.act_for(home).await?;
    }
    Ok(id)
}

/// Puts a message into the outbox that tells of no act, such as a daily checkpoint.
///
/// # Errors
/// When the statement fails.
pub async fn enqueue_without_act(tx: &mut Housekeeping, entropy: &dyn Entropy, message: NewMessage) -> Result<MessageId> {
    let now = tx.now();
    let id = fresh_id(now, entropy);
    insert(tx.conn(), id, &message, now).await?;
    Ok(id)
}

async fn insert(conn: &mut PgConnection, id: MessageId, message: &NewMessage, now: Instant) -> Result<()> {
    sqlx::query!(
        "INSERT INTO message (customer_id, id, purpose, subject_id, address, subject, body, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        message.customer.0,
        id as MessageId,
        message.purpose,
        message.subject_id,
        &message.address as &Email,
        message.subject,
        message.body,
        now as Instant
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "INSERT INTO job (id, kind, customer_id, subject_id, due_at) VALUES ($1, $2, $3, $1, $4)",
        id.uuid(),
        DELIVER,
        message.customer.0,
        now as Instant
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The message behind a job.
pub(super) async fn message(conn: &mut PgConnection, customer: LogId, id: MessageId) -> Result<Option<Message>> {
    Ok(sqlx::query_as!(
        Message,
        r#"SELECT id AS "id: MessageId", purpose, subject_id, address, subject, body, created_at AS "created_at: Instant",
                  delivered_at AS "delivered_at: Instant", undeliverable_at AS "undeliverable_at: Instant"
           FROM message WHERE customer_id = $1 AND id = $2"#,
        customer.0,
        id as MessageId
    )
    .fetch_optional(conn)
    .await?)
}

/// Marks a message as delivered and forgets its text; false if another worker did.
pub(super) async fn delivered(conn: &mut PgConnection, customer: LogId, id: MessageId, now: Instant) -> Result<bool> {
    let done = sqlx::query!(
        "UPDATE message SET delivered_at = $3, body = NULL, attempts = attempts + 1 WHERE customer_id = $1 AND id = $2 AND delivered_at IS NULL",
        customer.0,
        id as MessageId,
        now as Instant
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Marks a message as one that no try can deliver and forgets its text; false if that was settled before.
pub(super) async fn given_up(conn: &mut PgConnection, customer: LogId, id: MessageId, now: Instant) -> Result<bool> {
    let done = sqlx::query!(
        "UPDATE message SET undeliverable_at = $3, body = NULL, attempts = attempts + 1
         WHERE customer_id = $1 AND id = $2 AND delivered_at IS NULL AND undeliverable_at IS NULL",
        customer.0,
        id as MessageId,
        now as Instant
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The addresses of whoever of the processor's staff sees to what does not arrive.
pub(super) async fn caretakers(conn: &mut PgConnection) -> Result<Vec<Email>> {
    Ok(sqlx::query_scalar!(
        r#"SELECT email AS "email: Email" FROM ops_person
           WHERE role IN ('ops_admin', 'ops_security') AND admitted_at IS NOT NULL AND ended_at IS NULL ORDER BY email"#
    )
    .fetch_all(conn)
    .await?)
}

/// Counts a try that did not deliver.
pub(super) async fn tried(conn: &mut PgConnection, customer: LogId, id: MessageId) -> Result<()> {
    let done = sqlx::query!("UPDATE message SET attempts = attempts + 1 WHERE customer_id = $1 AND id = $2", customer.0, id as MessageId)
        .execute(conn)
        .await?;
    ensure_one(&done)
}
