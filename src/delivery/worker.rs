//! The worker: leases due jobs, sends each message outside any transaction, one to a customer with the
//! checkpoint of its log, then records the delivery. A delivery that a deadline or an authority hangs on is an entry in the customer's log;
//! an ordinary notice is housekeeping. What is not delivered stays due; what no try can ever deliver is
//! given up, and ops are told: by an entry of the processor's log and a message of their own.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::message::{self, DAILY_CHECKPOINT, DELIVER, Message, NewMessage, enqueue};
use super::schedule::retry_after;
use super::transport::{Enclosed, FileTransport, Unsent};
use crate::app::App;
use crate::base::{CustomerId, Instant, MessageId, Result, TypedId as _};
use crate::db::{Lock, LogId, Role, WriteTx, ensure_one};
use crate::evidence::{Actor, Event, NewEntry, commit_one, signed_head};

/// Jobs that are leased at once: few, so that the lease outlasts sending them.
const BATCH: i64 = 20;
/// Purpose of what tells ops of a message that was given up.
const UNDELIVERABLE: &str = "message_undeliverable";
/// How long one round may take: half a lease.
const ROUND: Duration = Duration::from_secs(30);

/// A delivery that was proven just now, at the transaction's `now`.
#[derive(Debug, Clone, Copy)]
pub struct Delivered {
    /// The customer.
    pub customer: LogId,
    /// The message.
    pub message: MessageId,
    /// The record it told of.
    pub subject_id: Uuid,
}

/// What a delivery sets in motion, in the transaction that records it: at least one entry.
pub type Effect = for<'a> fn(&'a mut WriteTx, Delivered) -> BoxFuture<'a, Result<Vec<NewEntry>>>;

/// The purposes whose delivery is an entry, each with its effect.
pub type Effects = &'static [(&'static str, Effect)];

struct Job {
    id: Uuid,
    customer: LogId,
    message: MessageId,
}

/// Sends what is due; how many messages were delivered, or given up. Without a transport nothing is leased.
///
/// # Errors
/// When the database does not answer; a message that cannot be sent is logged and stays due.
pub async fn deliver_due(app: &App) -> Result<usize> {
    let Some(mail) = &app.mail else { return Ok(0) };
    let mut count = 0;
    for job in lease(app).await? {
        match deliver(app, mail, &job).await {
            Ok(true) => count += 1,
            Ok(false) => {}
            Err(error) => tracing::warn!(delivery = %job.message, cause = %error, "message not delivered, will be tried again"),
        }
    }
    Ok(count)
}

/// Sends what is due, each second, until told to stop.
pub async fn run(app: App, stop: CancellationToken) {
    while !stop.is_cancelled() {
        #[expect(clippy::disallowed_methods, reason = "a dead socket must not end all deliveries; its connection is rolled back or closed")]
        match tokio::time::timeout(ROUND, deliver_due(&app)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(cause = %error, "the outbox could not be read"),
            Err(_) => tracing::warn!("a round of deliveries was given up"),
        }
        // Only the pause is cut short, never the work before it.
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

async fn lease(app: &App) -> Result<Vec<Job>> {
    let mut tx = app.db.housekeeping(Role::Worker, "lease jobs", LogId::REGISTRY).await?;
    let now = tx.now();
    let rows = sqlx::query!(
        "SELECT id, customer_id, subject_id, attempts FROM job WHERE kind = $1 AND due_at <= $2 ORDER BY due_at, id LIMIT $3 FOR UPDATE SKIP LOCKED",
        DELIVER,
        now as Instant,
        BATCH
    )
    .fetch_all(tx.conn())
    .await?;
    let mut jobs = Vec::with_capacity(rows.len());
    for row in rows {
        let due_at = now.plus(retry_after(row.attempts));
        let done = sqlx::query!("UPDATE job SET attempts = attempts + 1, due_at = $2 WHERE id = $1", row.id, due_at as Instant)
            .execute(tx.conn())
            .await?;
        ensure_one(&done)?;
        jobs.push(Job { id: row.id, customer: LogId(row.customer_id), message: row.subject_id.into() });
    }
    tx.commit_housekeeping().await?;
    Ok(jobs)
}

async fn deliver(app: &App, mail: &FileTransport, job: &Job) -> Result<bool> {
    let mut tx = app.db.read(Role::Worker, "read message", job.customer).await?;
    let found = message::message(tx.conn(), job.customer, job.message).await?;
    let counts = sqlx::query_scalar!("SELECT private FROM installation").fetch_one(tx.conn()).await?;
    drop(tx);
    let Some(message) = found.filter(|message| message.delivered_at.is_none() && message.undeliverable_at.is_none()) else {
        // Another worker delivered it after this one's lease had run out.
        done(app, job).await?;
        return Ok(false);
    };
    let enclosed = enclosed(app, job, &message).await;
    match mail.send(&message, &enclosed).await {
        Ok(()) => {}
        Err(Unsent::Now(error)) => return Err(error),
        Err(Unsent::Never(why)) => return give_up(app, job, &message, why).await,
    }
    if !counts {
        tracing::info!(delivery = %message.id, "message written to a file, which is no delivery on this database");
        tried(app, job).await?;
        return Ok(false);
    }
    match app.effects.iter().find(|(purpose, _)| *purpose == message.purpose) {
        Some((_, effect)) => record(app, job, &message, *effect).await,
        None => note(app, job).await,
    }
}

/// What goes with a message: with every notice to a customer the checkpoint of its log, as it is committed now.
/// What a customer has received the processor cannot take back.
async fn enclosed(app: &App, job: &Job, message: &Message) -> Enclosed {
    if job.customer == LogId::PROCESSOR || message.purpose == DAILY_CHECKPOINT {
        return Enclosed::Nothing;
    }
    match signed_head(&app.db, job.customer).await {
        Ok(Some((_, note))) => Enclosed::Checkpoint(note),
        Ok(None) => Enclosed::NoCheckpoint,
        Err(error) => {
            tracing::warn!(delivery = %message.id, cause = %error, "a notice goes without a checkpoint");
            Enclosed::NoCheckpoint
        }
    }
}

/// Records a delivery with what it sets in motion, as entries.
async fn record(app: &App, job: &Job, message: &Message, effect: Effect) -> Result<bool> {
    let mut tx = app.db.write(Role::Worker, "record delivery", Lock::Heads, job.customer, &[]).await?;
    let now = tx.now();
    if !message::delivered(tx.conn(), job.customer, message.id, now).await? {
        return Ok(false);
    }
    let delivered = Delivered { customer: job.customer, message: message.id, subject_id: message.subject_id };
    let entries = effect(&mut tx, delivered).await?;
    remove(tx.conn(), job).await?;
    crate::evidence::commit(tx, entries).await?;
    Ok(true)
}

/// Gives up a message that no try can deliver. What told ops of another one is only an entry, or one
/// address that cannot be mailed would be told of for ever.
async fn give_up(app: &App, job: &Job, message: &Message, why: &'static str) -> Result<bool> {
    let mut tx = app.db.write(Role::Worker, "give message up", Lock::Heads, LogId::PROCESSOR, &[]).await?;
    let now = tx.now();
    tx.act_for(job.customer).await?;
    let first = message::given_up(tx.conn(), job.customer, message.id, now).await?;
    tx.act_for(LogId::PROCESSOR).await?;
    if !first {
        drop(tx);
        done(app, job).await?;
        return Ok(false);
    }
    remove(tx.conn(), job).await?;
    let customer = (job.customer != LogId::PROCESSOR).then(|| CustomerId::from(job.customer.0));
    if message.purpose != UNDELIVERABLE {
        let whose = customer.map_or_else(|| "the staff".to_owned(), |customer| format!("the customer {customer}"));
        let body = format!(
            "The message {} ({}) of {whose} can never be delivered: {why}. Nobody has been told what it says, and nothing that waits for its delivery begins. Find another way to tell them, and have the address put right.",
            message.id, message.purpose
        );
        for address in message::caretakers(tx.conn()).await? {
            let (customer, subject) = (LogId::PROCESSOR, "A message cannot be delivered");
            let subject_id = message.id.uuid();
            enqueue(&mut tx, NewMessage { customer, purpose: UNDELIVERABLE, subject_id, address, subject, body: body.clone() }).await?;
        }
    }
    let event = Event::MessageUndeliverable { message: message.id, customer, purpose: message.purpose.clone() };
    commit_one(tx, NewEntry::new(LogId::PROCESSOR, message.id, &Actor::system(), event)).await?;
    metrics::counter!("messages_undeliverable_total").increment(1);
    tracing::warn!(delivery = %message.id, cause = why, "message given up: it can never be delivered");
    Ok(true)
}

/// Notes the delivery of an ordinary notice.
async fn note(app: &App, job: &Job) -> Result<bool> {
    let mut tx = app.db.housekeeping(Role::Worker, "note delivery", job.customer).await?;
    let now = tx.now();
    let first = message::delivered(tx.conn(), job.customer, job.message, now).await?;
    remove(tx.conn(), job).await?;
    tx.commit_housekeeping().await?;
    Ok(first)
}

async fn tried(app: &App, job: &Job) -> Result<()> {
    let mut tx = app.db.housekeeping(Role::Worker, "count try", job.customer).await?;
    message::tried(tx.conn(), job.customer, job.message).await?;
    tx.commit_housekeeping().await
}

async fn done(app: &App, job: &Job) -> Result<()> {
    let mut tx = app.db.housekeeping(Role::Worker, "remove job", job.customer).await?;
    remove(tx.conn(), job).await?;
    tx.commit_housekeeping().await
}

/// Removes a job; that another worker has removed it is no fault.
async fn remove(conn: &mut sqlx::PgConnection, job: &Job) -> Result<()> {
    sqlx::query!("DELETE FROM job WHERE id = $1", job.id).execute(conn).await?;
    Ok(())
}
