//! What platforms report of exports that ended, reconciled with what chunks authorised. A
//! difference is told to the customer in the transaction that records it. A batch is one entry in
//! each customer's log; a report in it that does not fit its export leaves its neighbours alone.

use std::collections::BTreeSet;

use super::notice::{self, Ended};
use super::{Answer, Ask, Asked, Batch};
use crate::base::{Digest, Error, ExportId, Result, Volume, to_value};
use crate::evidence::{Closed, CompletionRecord, Event, ExportFacts};
use crate::export::closing::{Completion, may_abort, may_complete, over, reconcile, reconcile_late};
use crate::export::store::running::{Closing, close, report_late};

/// What a platform says it has delivered.
#[derive(Debug, Clone)]
pub(in crate::export) struct Delivered {
    pub export: ExportId,
    pub volume: Volume,
    pub sha256: Digest,
}

impl Batch {
    pub(super) async fn report(&mut self, asked: &Asked) -> Result<Answer> {
        let (id, how, event) = match &asked.ask {
            Ask::Complete(delivered) => {
                let export = self.facts.exports.get(&delivered.export).ok_or(Error::NotFound)?;
                if may_complete(export)? == Completion::Late {
                    let event = late_event(export, delivered);
                    let (id, void) = (delivered.export, self.is_void(delivered.export));
                    let receipt = self.append(asked, id, event.clone(), None, true).await?;
                    self.keep_late(std::slice::from_ref(&event)).await?;
                    return Ok(Answer::Reported { export: id, event: Box::new(event), void, receipt, again: false });
                }
                let Delivered { export: id, volume, sha256 } = delivered;
                let reconciled = Some(reconcile(export, Closed::Completed, volume));
                let over = over(&export.request.volume, volume);
                let event = Event::ExportCompleted { export: *id, delivered: *volume, sha256: *sha256, over, reconciled };
                (*id, Closed::Completed, event)
            }
            Ask::Abort { export: id, delivered } => {
                let export = self.facts.exports.get(id).ok_or(Error::NotFound)?;
                may_abort(export)?;
                let reconciled = Some(reconcile(export, Closed::Aborted, delivered));
                (*id, Closed::Aborted, Event::ExportAborted { export: *id, delivered: *delivered, reconciled })
            }
            _ => return Err(Error::internal("a report is of a completion or an abortion")),
        };
        let receipt = self.append(asked, id, event.clone(), None, true).await?;
        if let Event::ExportCompleted { delivered, reconciled: Some(reconciled), .. }
        | Event::ExportAborted { delivered, reconciled: Some(reconciled), .. } = &event
        {
            let closing = self.closing(id, reconciled.returned, record_of(&event))?;
            let now = self.tx.now();
            close(self.tx.conn(), self.customer, how, &[closing], now).await?;
            notice::ended(&mut self.tx, &[Ended { export: id, how, delivered: *delivered, reconciled }]).await?;
        }
        Ok(Answer::Reported { export: id, event: Box::new(event), void: false, receipt, again: false })
    }

    /// True if the export is of an epoch before a restore, and had not ended then.
    pub(super) fn is_void(&self, id: ExportId) -> bool {
        self.facts.exports.get(&id).is_some_and(|export| export.closed == Some(Closed::Voided))
    }

    /// Completions of this customer in one batch, each against the facts and its own neighbours. The
    /// batch is one entry; each report that came too late is one more.
    pub(super) async fn reports(&mut self, asked: &Asked, reports: &[Delivered]) -> Result<Answer> {
        let mut done = BTreeSet::new();
        let mut completions = Vec::with_capacity(reports.len());
        let mut late = Vec::new();
        for report in reports {
            let export = self.facts.exports.get(&report.export).ok_or(Error::NotFound)?;
            let completion = completion(export, report, &mut done)?;
            late.extend(completion.late.then(|| late_event(export, report)));
            completions.push(completion);
        }
        let event = Event::ExportsCompleted { completions: completions.clone() };
        let receipt = self.append(asked, asked.caller.key, event, None, true).await?;
        let mut closings = Vec::new();
        let mut ended = Vec::new();
        for (completion, reconciled) in completions.iter().filter(|c| !c.late).filter_map(|c| Some((c, c.reconciled.as_ref()?))) {
            closings.push(self.closing(completion.export, reconciled.returned, to_value(completion))?);
            ended.push(Ended { export: completion.export, how: Closed::Completed, delivered: completion.delivered, reconciled });
        }
        let now = self.tx.now();
        close(self.tx.conn(), self.customer, Closed::Completed, &closings, now).await?;
        notice::ended(&mut self.tx, &ended).await?;
        for event in &late {
            if let Event::ExportReportedLate { export, .. } = event {
                self.append(asked, *export, event.clone(), None, false).await?;
            }
        }
        self.keep_late(&late).await?;
        Ok(Answer::ReportedMany { completions, receipt })
    }

    /// Keeps late reports beside the closings of their exports, and tells of them.
    async fn keep_late(&mut self, events: &[Event]) -> Result<()> {
        let (mut reports, mut told) = (Vec::new(), Vec::new());
        for event in events {
            if let Event::ExportReportedLate { export, delivered, reconciled, .. } = event {
                reports.push((*export, record_of(event)));
                told.push(Ended { export: *export, how: Closed::Completed, delivered: *delivered, reconciled });
            }
        }
        report_late(self.tx.conn(), self.customer, &reports).await?;
        notice::late(&mut self.tx, &told).await
    }

    fn closing(&self, id: ExportId, returned: Volume, report: serde_json::Value) -> Result<Closing> {
        let grant = &self.facts.exports.get(&id).ok_or(Error::NotFound)?.grant;
        Ok(Closing { export: id, report, instruction: grant.instruction, day: grant.day, returned })
    }
}

fn record_of(event: &Event) -> serde_json::Value {
    to_value(event).get("record").cloned().unwrap_or_default()
}

fn late_event(export: &ExportFacts, report: &Delivered) -> Event {
    let over = over(&export.request.volume, &report.volume);
    let reconciled = reconcile_late(export, &report.volume);
    Event::ExportReportedLate { export: report.export, delivered: report.volume, sha256: report.sha256, over, reconciled }
}

/// A report of a batch, taken or not. The second report of one export in a batch is not taken.
fn completion(export: &ExportFacts, report: &Delivered, done: &mut BTreeSet<ExportId>) -> Result<CompletionRecord> {
    let (does, conflict) = match may_complete(export) {
        Ok(Completion::Ends) if done.contains(&report.export) => (None, Some("export-completed")),
        // For whoever knows of no late reports it is the conflict that it was.
        Ok(Completion::Late) => {
            let conflict = if export.closed == Some(Closed::Voided) { "export-void" } else { "export-swept" };
            ((!done.contains(&report.export)).then_some(Completion::Late), Some(conflict))
        }
        Ok(Completion::Ends) => (Some(Completion::Ends), None),
        Err(Error::Conflict { code, .. }) => (None, Some(code)),
        Err(error) => return Err(error),
    };
    if does.is_some() {
        done.insert(report.export);
    }
    let reconciled = does.map(|does| match does {
        Completion::Ends => reconcile(export, Closed::Completed, &report.volume),
        Completion::Late => reconcile_late(export, &report.volume),
    });
    Ok(CompletionRecord {
        export: report.export,
        delivered: report.volume,
        sha256: report.sha256,
        over: over(&export.request.volume, &report.volume),
        reconciled,
        late: does == Some(Completion::Late),
        conflict: conflict.map(str::to_owned),
    })
}
