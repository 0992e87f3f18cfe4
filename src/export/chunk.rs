//! The decision on one chunk of a running export: a full decision again on the cited version, with
//! the export's own reservation set apart, and the permit's volume as the budget of all its chunks.
//! This is what stops an export that runs. Pure.

use super::candidate;
use super::decide::{Considered, Refusal, View, evaluate, of_export, only, too_old};
use crate::base::{Code, ExportId, Instant, Volume};
use crate::evidence::{Closed, ExportFacts, ExportRequest, ReasonCode, Used};

/// A chunk as it is asked for.
#[derive(Debug, Clone)]
pub struct Chunk<'a> {
    /// The export it belongs to.
    pub export: ExportId,
    /// The platform that asks.
    pub by: &'a Code,
    /// Its number, once per export.
    pub number: u32,
    /// What would leave with it.
    pub volume: Volume,
    /// For a key asked again: when it was allowed first.
    pub first_at: Option<Instant>,
}

/// Decides whether a chunk may leave. A dimension that the permit states must be stated, and all
/// chunks together may not pass it. An allowed chunk asked again with its key stands apart from
/// its own sum: it may leave once more within 300 s, if it would be allowed now.
#[must_use]
pub fn decide_chunk(chunk: &Chunk<'_>, request: &ExportRequest, facts: View<'_>, now: Instant) -> Considered {
    let id = chunk.export;
    let Some(export) = facts.customer.exports.get(&id) else { return only(of_export(ReasonCode::PermitNotRedeemed, id)) };
    if *chunk.by != request.platform {
        return only(of_export(ReasonCode::PermitBorrowed, id));
    }
    let mut reasons = Vec::new();
    if !export.redeemed {
        reasons.push(of_export(ReasonCode::PermitNotRedeemed, id));
    }
    match export.closed {
        None => {}
        Some(Closed::Voided) => reasons.push(of_export(ReasonCode::PermitVoid, id)),
        Some(_) => reasons.push(of_export(ReasonCode::ExportClosed, id)),
    }
    let mut used = Used::default().plus(&export.authorised);
    match chunk.first_at {
        Some(first_at) => {
            reasons.extend(too_old(first_at, now));
            used = used.less(&chunk.volume);
        }
        None if export.chunk_numbers.contains(&chunk.number) => reasons.push(of_export(ReasonCode::ChunkRepeated, id)),
        None => {}
    }
    if candidate::over(&request.volume, used, &chunk.volume) {
        reasons.push(of_export(ReasonCode::VolumeExceedsPermit, id));
    }
    evaluate(request, facts, now, Some(id), reasons)
}

/// Reasons that lie in the chunk and not in the export: the next chunk may be allowed.
const OF_THE_CHUNK: [ReasonCode; 3] = [ReasonCode::AnswerTooOld, ReasonCode::ChunkRepeated, ReasonCode::VolumeExceedsPermit];

/// True if the refusal of a chunk stops the export that runs.
#[must_use]
pub fn stops(export: &ExportFacts, refusal: &Refusal) -> bool {
    export.runs() && refusal.reasons.iter().any(|reason| !OF_THE_CHUNK.contains(&reason.code))
}
