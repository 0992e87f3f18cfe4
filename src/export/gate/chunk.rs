//! A chunk of a running export, asked for before it leaves. The first refusal that stops an export
//! is told to its customer in the same transaction.

use super::{Answer, Asked, Batch, notice};
use crate::base::{Digest, Error, ExportId, Reference, Result, Volume, random32};
use crate::evidence::{ChunkRecord, Event, StoredEntry, commit_last};
use crate::export::chunk::{Chunk, decide_chunk, stops};
use crate::export::decide::{Decision, Refusal};
use crate::export::store;
use crate::export::store::running::NewChunk;

/// What a platform wants to let out next.
pub(in crate::export) struct AskedChunk {
    pub number: u32,
    pub volume: Volume,
    /// Its reference of the last file.
    pub last: Option<Reference>,
}

impl Batch {
    /// `first`: the entry that allowed this key before.
    pub(super) async fn chunk(&mut self, asked: &Asked, id: ExportId, chunk: &AskedChunk, first: Option<&StoredEntry>) -> Result<Answer> {
        let export = self.facts.exports.get(&id).ok_or(Error::NotFound)?;
        let mut request = export.request.clone();
        request.subjects = store::kept(export.subjects.as_ref());
        let first_at = first.map(|s| s.at);
        let presented = Chunk { export: id, by: &asked.caller.platform, number: chunk.number, volume: chunk.volume, first_at };
        let considered = decide_chunk(&presented, &request, self.view(), self.tx.now());
        let decision = self.record(asked, &request, &considered, first);
        let chunk_no = chunk.number;
        match (&considered.decision, first) {
            (Decision::Allow(grant), Some(first)) => {
                let receipt = first.receipt(&self.customer.to_string());
                let except = grant.except().to_vec();
                Ok(Answer::ChunkAuthorised { export: id, chunk_no, except, receipt, unstated: None, again: true })
            }
            (Decision::Allow(grant), None) => {
                let last = chunk.last.as_ref().map(|reference| (reference, Digest(random32(self.tx.entropy()))));
                let commitment = last.map(|(reference, nonce)| commit_last(&nonce, reference.as_str()));
                let record = ChunkRecord { chunk_no, volume: chunk.volume, last: commitment };
                let epoch = self.tx.head(self.customer.into())?.epoch;
                let receipt = self.append(asked, id, Event::ChunkAuthorised { export: id, chunk: record, decision }, None, true).await?;
                let new = NewChunk { number: chunk_no, volume: &chunk.volume, last, epoch, index: receipt.index, at: self.tx.now() };
                self.store_chunk(id, &new).await?;
                let unstated = request.volume.rows.is_none().then(|| (request.requested_by, chunk.volume.rows.unwrap_or(0)));
                let except = grant.except().to_vec();
                Ok(Answer::ChunkAuthorised { export: id, chunk_no, except, receipt, unstated, again: false })
            }
            (Decision::Refuse(refusal), first) => {
                let record = ChunkRecord { chunk_no, volume: chunk.volume, last: None };
                let stops = stops(export, refusal);
                let running = stops && !export.stopped;
                let event = Event::ChunkRefused { export: id, chunk: record, stops, decision };
                let receipt = self.append(asked, id, event, None, first.is_none()).await?;
                if running {
                    self.stop(id, refusal, receipt.index).await?;
                }
                Ok(Answer::Refused { refusal: refusal.clone(), receipt, again: false })
            }
        }
    }

    /// Stores a chunk whose entry is appended: the facts already hold its sum.
    pub(super) async fn store_chunk(&mut self, id: ExportId, chunk: &NewChunk<'_>) -> Result<()> {
        let export = self.facts.exports.get(&id).ok_or_else(|| Error::internal("a chunk of an export that is not there"))?;
        store::running::authorise(self.tx.conn(), self.customer, export, chunk).await
    }

    async fn stop(&mut self, id: ExportId, refusal: &Refusal, index: u64) -> Result<()> {
        let now = self.tx.now();
        store::running::stop(self.tx.conn(), self.customer, id, index, now).await?;
        let export = self.facts.exports.get(&id).ok_or(Error::NotFound)?;
        notice::stopped(&mut self.tx, export, refusal).await
    }
}
