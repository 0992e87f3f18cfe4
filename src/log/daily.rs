//! The customer's daily checkpoint, by the outbox: what it has received the processor cannot take
//! back. It goes out on each day on which the log has grown since the last one.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::store;
use crate::app::App;
use crate::base::{Instant, Result};
use crate::db::{CommittedHead, LogId, Role};
use crate::delivery::{DAILY_CHECKPOINT, NewMessage, enqueue_without_act};
use crate::evidence::signed_head;

/// How often it is looked for customers whose checkpoint of the day is due.
const EVERY: Duration = Duration::from_secs(600);

/// Queues the checkpoint of today (UTC) for every customer whose log has grown; how many.
///
/// # Errors
/// When the database does not answer.
pub async fn queue_daily_checkpoints(app: &App) -> Result<usize> {
    let mut count = 0;
    loop {
        let standing = app.db.standing().await?;
        let mut read = app.db.read(Role::OpsRead, "daily_checkpoints", LogId::PROCESSOR).await?;
        let today = day(read.now());
        let due = store::without_checkpoint(read.conn(), today).await?;
        drop(read);
        if due.is_empty() || standing.kid.is_none() {
            return Ok(count);
        }
        for customer in due {
            count += usize::from(queue(app, customer).await?);
        }
    }
}

fn day(now: Instant) -> chrono::NaiveDate {
    now.utc().date_naive()
}

async fn queue(app: &App, customer: LogId) -> Result<bool> {
    let mut read = app.db.read(Role::Worker, "daily_checkpoint", customer).await?;
    let contacts = crate::customer::directory(read.conn()).await?.privacy_contacts;
    drop(read);
    let Some((head, note)) = signed_head(&app.db, customer).await? else { return Ok(false) };
    let mut tx = app.db.housekeeping(Role::Worker, "daily_checkpoint", customer).await?;
    let today = day(tx.now());
    if !store::note_checkpoint(tx.conn(), today, &head).await? {
        return Ok(false);
    }
    for address in contacts {
        let message = NewMessage {
            customer,
            purpose: DAILY_CHECKPOINT,
            subject_id: customer.0,
            address,
            subject: "The checkpoint of your log",
            body: body(&head, &note),
        };
        enqueue_without_act(&mut tx, app.db.entropy(), message).await?;
    }
    tx.commit_housekeeping().await?;
    Ok(true)
}

fn body(head: &CommittedHead, note: &str) -> String {
    format!(
        "This is the signed checkpoint of your institution's log, which holds {} entries: every instruction,\n\
         every decision of the gate, every act of yours and of ours. Keep this message. Whoever has it can\n\
         prove that nothing recorded until now was changed, removed or added afterwards.\n\n{note}",
        head.size
    )
}

/// Queues daily checkpoints until told to stop.
pub async fn run_daily(app: App, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = queue_daily_checkpoints(&app).await {
            tracing::warn!(cause = %error, "daily checkpoints were not queued");
        }
        // Only the pause is cut short, never the work before it.
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
