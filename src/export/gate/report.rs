//! What platforms report of exports that ended, reconciled with what chunks authorised. A
//! difference is told to the customer in the transaction that records it. A batch is one entry in
//! each customer's log; a report in it that does not fit its export leaves its neighbours alone.

use std::collections::BTreeSet;

use super::notice::{self, Ended};
use super::{Answer, Ask, Asked, Batch};
use crate::base::{Digest, Error, ExportId, Result, Volume, to_value};
use crate::evidence::{Closed, CompletionRecord, Event, ExportFacts};
use crate::export::closing::{may_abort, may_complete, over, reconcile};
use crate::export::store::running::{Closing, close};

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
            Ask::Complete(Delivered { export: id, volume, sha256 }) => {
                let export = self.facts.exports.get(id).ok_or(Error::NotFound)?;
                may_complete(export)?;
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
            let report = to_value(&event).get("record").cloned().unwrap_or_default();
            let closing = self.closing(id, reconciled.returned, report)?;
            let now = self.tx.now();
            close(self.tx.conn(), self.customer, how, &[closing], now).await?;
            notice::ended(&mut self.tx, &[Ended { export: id, how, delivered: *delivered, reconciled }]).await?;
        }
        Ok(Answer::Reported { export: id, event: Box::new(event), receipt, again: false })
    }

    /// Completions of this customer in one batch, each against the facts and its own neighbours.
    pub(super) async fn reports(&mut self, asked: &Asked, reports: &[Delivered]) -> Result<Answer> {
        let mut done = BTreeSet::new();
        let mut completions = Vec::with_capacity(reports.len());
        for report in reports {
            completions.push(completion(self.facts.exports.get(&report.export), report, &mut done)?);
        }
        let event = Event::ExportsCompleted { completions: completions.clone() };
        let receipt = self.append(asked, asked.caller.key, event, None, true).await?;
        let mut closings = Vec::new();
        let mut ended = Vec::new();
        for (completion, reconciled) in completions.iter().filter_map(|c| Some((c, c.reconciled.as_ref()?))) {
            closings.push(self.closing(completion.export, reconciled.returned, to_value(completion))?);
            ended.push(Ended { export: completion.export, how: Closed::Completed, delivered: completion.delivered, reconciled });
        }
        let now = self.tx.now();
        close(self.tx.conn(), self.customer, Closed::Completed, &closings, now).await?;
        notice::ended(&mut self.tx, &ended).await?;
        Ok(Answer::ReportedMany { completions, receipt })
    }

    fn closing(&self, id: ExportId, returned: Volume, report: serde_json::Value) -> Result<Closing> {
        let grant = &self.facts.exports.get(&id).ok_or(Error::NotFound)?.grant;
        Ok(Closing { export: id, report, instruction: grant.instruction, day: grant.day, returned })
    }
}

/// A report of a batch, taken or not. The second report of one export in a batch is not taken.
fn completion(export: Option<&ExportFacts>, report: &Delivered, done: &mut BTreeSet<ExportId>) -> Result<CompletionRecord> {
    let export = export.ok_or(Error::NotFound)?;
    let fits = match may_complete(export) {
        Ok(()) if done.contains(&report.export) => Err("export-completed"),
        Ok(()) => Ok(()),
        Err(Error::Conflict { code, .. }) => Err(code),
        Err(error) => return Err(error),
    };
    let taken = fits.is_ok();
    if taken {
        done.insert(report.export);
    }
    Ok(CompletionRecord {
        export: report.export,
        delivered: report.volume,
        sha256: report.sha256,
        over: over(&export.request.volume, &report.volume),
        reconciled: taken.then(|| reconcile(export, Closed::Completed, &report.volume)),
        conflict: fits.err().map(str::to_owned),
    })
}
