//! The watch: every few seconds each process writes down what it has seen, reads how the subjects
//! stand over all processes, and raises what is due. What fails is tried again with the next round;
//! an alarm is raised once, because it is looked for again under the head of the processor's log.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::activity::Tally;
use super::decide::{bucket_of, due, level, window};
use super::model::{Normal, Subject, Suspect};
use super::store;
use crate::app::App;
use crate::base::{AlarmId, Instant, Result, TypedId};
use crate::db::{Lock, LogId, Role};
use crate::delivery::{NewMessage, enqueue};
use crate::evidence::{Actor, Event, NewEntry, commit_one};

/// How long a process keeps what it has seen to itself.
const EVERY: Duration = Duration::from_secs(5);

/// Watches until told to stop; what was seen last is still written down.
pub async fn run(app: App, stop: CancellationToken) {
    let mut pruned = None;
    loop {
        let is_last = stop.is_cancelled();
        if let Err(error) = watch_once(&app).await {
            tracing::warn!(cause = %error, "activity at the gate could not be written down, will be tried again");
        }
        let bucket = bucket_of(app.db.clock().now());
        if pruned != Some(bucket) && prune(&app).await.is_ok() {
            pruned = Some(bucket);
        }
        if is_last {
            return;
        }
        // Only the pause is cut short, never the work before it.
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

async fn prune(app: &App) -> Result<()> {
    let mut tx = app.db.housekeeping(Role::Worker, "prune_activity", LogId::PROCESSOR).await?;
    let now = tx.now();
    store::prune(tx.conn(), now).await?;
    tx.commit_housekeeping().await
}

/// One round; how many alarms were raised.
///
/// # Errors
/// When the database does not answer; nothing that was seen is lost.
pub async fn watch_once(app: &App) -> Result<usize> {
    let seen = app.activity.take();
    if seen.is_empty() {
        return Ok(0);
    }
    if let Err(error) = write_down(app, &seen).await {
        app.activity.put_back(seen);
        return Err(error);
    }
    let raised = judge(app, &seen).await;
    if raised.is_err() {
        // Counted already: only who it was must be looked at again.
        let again = seen.into_iter().map(|(subject, bucket, tally)| (subject, bucket, Tally { asks: 0, rows: 0, ..tally }));
        app.activity.put_back(again.collect());
    }
    raised
}

async fn write_down(app: &App, seen: &[(Subject, Instant, Tally)]) -> Result<()> {
    let mut tx = app.db.housekeeping(Role::Worker, "write_activity", LogId::PROCESSOR).await?;
    store::add(tx.conn(), seen).await?;
    tx.commit_housekeeping().await
}

async fn judge(app: &App, seen: &[(Subject, Instant, Tally)]) -> Result<usize> {
    let mut subjects: Vec<Subject> = seen.iter().map(|(subject, ..)| *subject).collect();
    subjects.sort_unstable();
    subjects.dedup();
    let mut raised = 0;
    for some in subjects.chunks(1_000) {
        for suspect in suspects(app, seen, some).await? {
            if raise(app, &suspect).await?.is_some() {
                raised += 1;
            }
        }
    }
    Ok(raised)
}

/// Those of the subjects that are above normal and about whom that was not said within the hour.
async fn suspects(app: &App, seen: &[(Subject, Instant, Tally)], subjects: &[Subject]) -> Result<Vec<Suspect>> {
    let mut tx = app.db.read(Role::Worker, "judge_activity", LogId::PROCESSOR).await?;
    let now = tx.now();
    let standings = store::standings(tx.conn(), subjects, now).await?;
    drop(tx);
    let mut found = Vec::new();
    for (subject, standing) in subjects.iter().zip(standings) {
        let configured = app.activity.normal(subject.kind());
        let normal = Normal {
            customers: standing.normal_customers.unwrap_or(configured.customers),
            rows: standing.normal_rows.unwrap_or(configured.rows),
        };
        let Some(level) = level(standing.counts, normal).filter(|level| due(*level, &standing.raised)) else { continue };
        let Some((.., tally)) = seen.iter().find(|(other, ..)| other == subject) else { continue };
        let (platform, since_at) = (tally.platform.clone(), window(now));
        found.push(Suspect { subject: *subject, platform, counts: standing.counts, normal, level, since_at });
    }
    Ok(found)
}

async fn raise(app: &App, suspect: &Suspect) -> Result<Option<AlarmId>> {
    let mut tx = app.db.write(Role::Worker, "raise_alarm", Lock::Heads, LogId::PROCESSOR, &[]).await?;
    let now = tx.now();
    let raised = store::raised(tx.conn(), suspect.subject, now).await?;
    if !due(suspect.level, &raised) {
        return Ok(None);
    }
    let id = store::insert(&mut tx, suspect).await?;
    let Suspect { subject, platform, counts, normal, level, since_at } = suspect;
    let body = format!(
        "A subject at the gate is above its normal ({level}).\n\nAlarm: {id}\nPlatform: {platform}\nSubject: {} {}\nSince: {since_at}\n\
         Customers: {} (normal in an hour: {})\nRecords asked for: {} (normal in an hour: {})\n\n\
         GET /api/admin/v1/alarms/{id}/customers lists who was touched. A key is stopped with one call:\n\
         POST /api/admin/v1/platforms/{platform}/api-keys/KEY/revocations; a whole platform with POST /api/admin/v1/platforms/{platform}/suspensions.\n",
        subject.kind(),
        subject.text(),
        counts.customers,
        normal.customers,
        counts.rows,
        normal.rows,
    );
    for address in store::security_addresses(tx.conn()).await? {
        let subject = "Unusual activity at the gate";
        let message =
            NewMessage { customer: LogId::PROCESSOR, purpose: "alarm", subject_id: id.uuid(), address, subject, body: body.clone() };
        enqueue(&mut tx, message).await?;
    }
    let event = Event::UnusualActivity {
        alarm: id,
        kind: subject.kind().to_string(),
        subject: subject.text(),
        platform: platform.clone(),
        level: level.to_string(),
        customers: counts.customers,
        rows: counts.rows,
        normal_customers: normal.customers,
        normal_rows: normal.rows,
        since_at: *since_at,
    };
    commit_one(tx, NewEntry::new(LogId::PROCESSOR, id, &Actor::system(), event)).await?;
    metrics::counter!("gate_alarms_total", "kind" => subject.kind().word(), "level" => level.word()).increment(1);
    tracing::warn!(alarm = %id, kind = subject.kind().word(), level = level.word(), customers = counts.customers, rows = counts.rows, "unusual activity at the gate");
    Ok(Some(id))
}
