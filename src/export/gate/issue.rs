//! A permit is asked for, once or again. In single mode the same decision also redeems it and
//! authorises its only chunk: on the same facts at the same instant both would be decided the same.

use super::{Answer, Asked, Batch, Mode};
use crate::app::App;
use crate::base::{Digest, Error, Result, random32};
use crate::evidence::{DecisionRecord, Event, ExportRequest, GrantRecord, SINGLE_CHUNK, StoredEntry};
use crate::export::chunk::{Chunk, decide_chunk};
use crate::export::decide::{Decision, Grant, decide_again, decide_export, decide_try_again};
use crate::export::permit::claims;
use crate::export::store::running::{NewChunk, redeem};
use crate::export::store::{self, NewExport};
use crate::export::verify::PERMIT_SECONDS;

impl Batch {
    pub(super) async fn export(&mut self, app: &App, asked: &Asked, request: &ExportRequest, mode: Mode) -> Result<Answer> {
        let considered = decide_export(request, self.view(), self.tx.now());
        let decision = self.record(asked, request, &considered, None);
        let subjects = Some(request.subjects.as_slice());
        if mode == Mode::DryRun {
            let event = Event::ExportTried { decision: decision.clone() };
            let receipt = self.append(asked, asked.caller.key, event, subjects, true).await?;
            return Ok(match considered.decision {
                Decision::Allow(_) => Answer::WouldPermit { record: Box::new(decision), receipt, again: false },
                Decision::Refuse(refusal) => Answer::Refused { refusal, receipt, again: false },
            });
        }
        let grant = match considered.decision {
            Decision::Refuse(refusal) => {
                let receipt = self.append(asked, asked.caller.key, Event::ExportRefused { decision }, subjects, true).await?;
                return Ok(Answer::Refused { refusal, receipt, again: false });
            }
            Decision::Allow(grant) => grant,
        };
        let key = self.signing_key(app)?;
        let granted = self.granted(&grant);
        let epoch = self.tx.head(self.customer.into())?.epoch;
        let single = mode == Mode::Single;
        let event = if single {
            Event::ExportPermittedSingle { decision, grant: granted.clone() }
        } else {
            Event::ExportPermitted { decision, grant: granted.clone() }
        };
        let receipt = self.append(asked, granted.export, event, subjects, true).await?;
        let claims = claims(&grant, &granted, app.permits.issuer(), self.customer, request, &receipt);
        let now = self.tx.now();
        let row = NewExport { customer: self.customer, request, grant: &granted, claims: &claims, epoch, decided_at: now };
        store::insert(self.tx.conn(), &row).await?;
        if single {
            let export = self.facts.exports.get(&granted.export).ok_or_else(|| Error::internal("a permit without its facts"))?;
            redeem(self.tx.conn(), self.customer, export, now).await?;
            let volume = &request.volume;
            let chunk = NewChunk { number: SINGLE_CHUNK, volume, last: None, epoch, index: receipt.index, at: now };
            self.store_chunk(granted.export, &chunk).await?;
        }
        Ok(Answer::Permitted { grant, claims: Box::new(claims), key, single, receipt, again: false })
    }

    fn granted(&self, grant: &Grant) -> GrantRecord {
        let now = self.tx.now();
        let (agreement, agreement_version) = grant.agreement();
        GrantRecord {
            export: self.tx.fresh(),
            instruction: grant.instruction(),
            document_sha256: grant.document_sha256(),
            agreement,
            agreement_version,
            selectors_salt: Digest(random32(self.tx.entropy())),
            day: grant.day(),
            issued_at: now,
            expires_at: now.plus(chrono::Duration::seconds(PERMIT_SECONDS)),
        }
    }

    /// The allowing answer of a dry run is asked for again with its key.
    pub(super) async fn tried_again(
        &mut self,
        asked: &Asked,
        request: &ExportRequest,
        first: DecisionRecord,
        stored: &StoredEntry,
    ) -> Result<Answer> {
        let considered = decide_try_again(stored.at, request, self.view(), self.tx.now());
        let decision = self.record(asked, request, &considered, Some(stored));
        match considered.decision {
            Decision::Allow(_) => {
                let receipt = stored.receipt(&self.customer.to_string());
                Ok(Answer::WouldPermit { record: Box::new(first), receipt, again: true })
            }
            Decision::Refuse(refusal) => {
                let event = Event::ExportTried { decision };
                let receipt = self.append(asked, asked.caller.key, event, Some(&request.subjects), false).await?;
                Ok(Answer::Refused { refusal, receipt, again: false })
            }
        }
    }

    /// The answer of a permit, or of an export in single mode, is asked for again with its key.
    pub(super) async fn permit_again(
        &mut self,
        app: &App,
        asked: &Asked,
        request: &ExportRequest,
        granted: &GrantRecord,
        single: bool,
        stored: &StoredEntry,
    ) -> Result<Answer> {
        let (export, now) = (granted.export, self.tx.now());
        let considered = if single {
            let by = &asked.caller.platform;
            let chunk = Chunk { export, by, number: SINGLE_CHUNK, volume: request.volume, first_at: Some(stored.at) };
            decide_chunk(&chunk, request, self.view(), now)
        } else {
            decide_again(export, stored.at, request, self.view(), now)
        };
        match considered.decision {
            Decision::Allow(grant) => {
                let key = self.signing_key(app)?;
                let claims = store::permit(self.tx.conn(), self.customer, export).await?.ok_or(Error::NotFound)?;
                let receipt = stored.receipt(&self.customer.to_string());
                Ok(Answer::Permitted { grant, claims: Box::new(claims), key, single, receipt, again: true })
            }
            Decision::Refuse(ref refusal) => {
                let refusal = refusal.clone();
                let decision = self.record(asked, request, &considered, Some(stored));
                let event = Event::ExportRefused { decision };
                let receipt = self.append(asked, export, event, Some(&request.subjects), false).await?;
                Ok(Answer::Refused { refusal, receipt, again: false })
            }
        }
    }
}
