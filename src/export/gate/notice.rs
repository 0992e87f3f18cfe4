//! What a customer is told of its running exports: fixed words, ids and counts. References of files
//! stay in the service, because they may point at a person and mail is read by many.

use crate::base::{ExportId, Result, TypedId, Volume};
use crate::customer::tell_customer;
use crate::db::WriteTx;
use crate::evidence::{Closed, ExportFacts, Reconciliation};
use crate::export::advice::advice;
use crate::export::decide::Refusal;

/// The most exports that one message lists.
const LISTED: usize = 50;

fn counts(volume: &Volume) -> String {
    let stated: Vec<String> = volume.parts().iter().filter_map(|(name, count)| Some(format!("{} {name}", (*count)?))).collect();
    if stated.is_empty() { "volume not stated".to_owned() } else { stated.join(", ") }
}

fn chunks(count: u64, sum: &Volume) -> String {
    let chunks = if count == 1 { "1 chunk".to_owned() } else { format!("{count} chunks") };
    if count == 0 { "no chunk".to_owned() } else { format!("{chunks} ({})", counts(sum)) }
}

/// Tells that a running export is stopped, why, and what had been let out before.
pub(super) async fn stopped(tx: &mut WriteTx, export: &ExportFacts, refusal: &Refusal) -> Result<()> {
    let id = export.grant.export;
    let mut why: Vec<&str> = refusal.reasons.iter().map(|reason| advice(reason.code).0).collect();
    why.dedup();
    let body = format!(
        "The export {id} by {} was running and is stopped.\n\nWhy: {}\n\nBefore that, {} had been authorised. Nothing more leaves while the reason lasts.\n\n\
         The export with its last file is shown at /api/v1/exports/{id}, each chunk at /api/v1/exports/{id}/chunks.\n",
        export.request.platform,
        why.join(" "),
        chunks(export.chunks, &export.authorised)
    );
    tell_customer(tx, "export_stopped", id.uuid(), "A running export is stopped", body).await
}

/// An export that ended, as it is told.
pub(super) struct Ended<'a> {
    pub export: ExportId,
    pub how: Closed,
    pub delivered: Volume,
    pub reconciled: &'a Reconciliation,
}

impl Ended<'_> {
    /// True if the customer must hear of it: it differs, was cut off after some of it left, or never ended.
    fn must_be_told(&self) -> bool {
        let cut_off = self.how == Closed::Aborted && self.reconciled.chunks > 0;
        cut_off || self.how == Closed::Swept || !self.reconciled.differences.is_empty()
    }
    fn line(&self) -> String {
        let Self { export, how, reconciled, .. } = self;
        let mut line = format!("{export}: authorised {}", chunks(reconciled.chunks, &reconciled.authorised));
        match how {
            Closed::Completed | Closed::Aborted => line.push_str(&format!("; reported as delivered {}", counts(&self.delivered))),
            Closed::Swept | Closed::Voided => line.push_str("; never reported"),
        }
        for (dimension, deviation) in &reconciled.differences {
            line.push_str(&format!("; {dimension}: {deviation}"));
        }
        line
    }
}

/// Tells of reports that came after their exports had been closed, in one message: the customer was
/// told that nothing was reported.
pub(super) async fn late(tx: &mut WriteTx, late: &[Ended<'_>]) -> Result<()> {
    let Some(first) = late.first() else { return Ok(()) };
    let (purpose, subject, opening) = if late.iter().all(|e| e.reconciled.differences.is_empty()) {
        let opening = "A platform reports, after the export had been closed, what was delivered. It agrees with what the gate authorised.";
        ("export_reported_late", "An export was reported late", opening)
    } else {
        let opening = "What a platform reports, after the export had been closed, differs from what the gate authorised.";
        ("export_differs", "An export differs from what was authorised", opening)
    };
    tell(tx, (purpose, subject, opening), first.export, late.iter().map(Ended::line)).await
}

/// Tells of exports that ended in one transaction, in one message, those that must be told of.
pub(super) async fn ended(tx: &mut WriteTx, ended: &[Ended<'_>]) -> Result<()> {
    let told: Vec<&Ended<'_>> = ended.iter().filter(|e| e.must_be_told()).collect();
    let Some(first) = told.first() else { return Ok(()) };
    let (purpose, subject, opening) = match first.how {
        Closed::Completed => (
            "export_differs",
            "An export differs from what was authorised",
            "What a platform reports differs from what the gate authorised.",
        ),
        Closed::Aborted => {
            ("export_aborted", "An export was cut off", "A platform has aborted an export of which something may have left.")
        }
        Closed::Swept | Closed::Voided => {
            ("export_swept", "An export never ended", "Exports were started and never reported complete or aborted. They are closed now.")
        }
    };
    tell(tx, (purpose, subject, opening), first.export, told.iter().map(|e| e.line())).await
}

async fn tell(
    tx: &mut WriteTx,
    (purpose, subject, opening): (&'static str, &'static str, &str),
    first: ExportId,
    all: impl ExactSizeIterator<Item = String>,
) -> Result<()> {
    let more = all.len().saturating_sub(LISTED);
    let mut lines: Vec<String> = all.take(LISTED).collect();
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    let body = format!("{opening}\n\n{}\n\nEach is shown with its last file at /api/v1/exports/ and its id.\n", lines.join("\n"));
    tell_customer(tx, purpose, first.uuid(), subject, body).await
}
