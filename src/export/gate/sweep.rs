//! The sweep: exports that never end are closed by the service itself, each an entry under its
//! customer's head, and told to the customer. What no chunk authorised goes back to the
//! instruction. A permit that is never redeemed needs none: it returns its volume at its `exp`.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::notice::{self, Ended};
use crate::app::App;
use crate::base::{CustomerId, Error, ExportId, Result, Volume, to_value};
use crate::db::{Lock, LogId, Role};
use crate::evidence::{Actor, Closed, Event, NewEntry, Reconciliation, append, finish};
use crate::export::closing::{may_sweep, reconcile, silent_since};
use crate::export::store::running::{Closing, close, silent};
use crate::export::store::{Selection, facts};

/// How often it looks.
const PAUSE: Duration = Duration::from_secs(60);
/// The most exports closed in one look: the oldest first, the others a minute later.
const BATCH: i32 = 500;

/// Closes what never ends, once a minute, until told to stop.
pub async fn run_sweep(app: App, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = sweep(&app).await {
            tracing::warn!(cause = %error, "exports that never end could not be closed, will be tried again");
        }
        // Only the pause is cut short, never the work before it.
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Closes exports that run and have been silent for [`crate::export::SILENT_HOURS`]; how many.
///
/// # Errors
/// When the database does not answer. What one customer's transaction refuses leaves the others alone.
pub async fn sweep(app: &App) -> Result<usize> {
    let mut read = app.db.read(Role::Gate, "silent_exports", LogId::REGISTRY).await?;
    let since = silent_since(read.now());
    let found = silent(read.conn(), since, BATCH).await?;
    drop(read);
    let mut by_customer: BTreeMap<CustomerId, Vec<ExportId>> = BTreeMap::new();
    for (customer, export) in found {
        by_customer.entry(customer).or_default().push(export);
    }
    let (mut closed, mut failed) = (0, None);
    for (customer, exports) in by_customer {
        match sweep_customer(app, customer, exports).await {
            Ok(count) => closed += count,
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(closed), Err)
}

/// Decides again under the head: what has moved or ended in between is left alone.
async fn sweep_customer(app: &App, customer: CustomerId, own: Vec<ExportId>) -> Result<usize> {
    let mut tx = app.db.write(Role::Gate, "sweep", Lock::Heads, customer.into(), &[]).await?;
    let now = tx.now();
    let facts = facts(tx.conn(), customer, &Selection::only(own.clone()), now).await?;
    let mut reconciled = Vec::new();
    for id in own {
        let Some(export) = facts.exports.get(&id).filter(|export| may_sweep(export, now)) else { continue };
        let with_chunks = reconcile(export, Closed::Swept, &Volume::default());
        let event = Event::ExportSwept { export: id, reconciled: with_chunks.clone() };
        let report = to_value(&event).get("record").cloned().ok_or_else(|| Error::internal("an event without its record"))?;
        append(&mut tx, &NewEntry::new(customer, id, &Actor::system(), event)).await?;
        let grant = &export.grant;
        let closing = Closing { export: id, report, instruction: grant.instruction, day: grant.day, returned: with_chunks.returned };
        reconciled.push((closing, with_chunks));
    }
    if reconciled.is_empty() {
        return Ok(0);
    }
    let (closings, reconciled): (Vec<_>, Vec<_>) = reconciled.into_iter().unzip();
    close(tx.conn(), customer, Closed::Swept, &closings, now).await?;
    let ended: Vec<Ended<'_>> = closings.iter().zip(&reconciled).map(|(closing, reconciled)| told(closing.export, reconciled)).collect();
    notice::ended(&mut tx, &ended).await?;
    finish(tx).await?;
    Ok(closings.len())
}

const fn told(export: ExportId, reconciled: &Reconciliation) -> Ended<'_> {
    Ended { export, how: Closed::Swept, delivered: Volume { rows: None, files: None, bytes: None }, reconciled }
}
