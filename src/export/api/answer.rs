//! From the gate's answers to HTTP: a permit, or a problem that lists every reason with what it
//! means and what to do. Signing happens here, after the commit.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, json};

use crate::base::{Digest, Error, ExportId, Instant, RefusedAnswer, Result, Selector, Volume, canonical, sha256, to_value};
use crate::evidence::{Cause, CompletionRecord, Deviation, Event, InstructionRef, Reason, ReasonCode, Receipt, SINGLE_CHUNK};
use crate::export::advice::advice;
use crate::export::decide::Refusal;
use crate::export::gate::Answer;
use crate::http::{IdempotencyKey, Json};

/// A reason as it is answered: with words for the person who pressed the button.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct ReasonView {
    /// Why.
    pub code: ReasonCode,
    /// The record that caused it.
    pub cause: Cause,
    /// What it means.
    pub meaning: &'static str,
    /// What to do about it.
    pub advice: &'static str,
}

impl From<&Reason> for ReasonView {
    fn from(reason: &Reason) -> Self {
        let (meaning, advice) = advice(reason.code);
        Self { code: reason.code, cause: reason.cause.clone(), meaning, advice }
    }
}

/// A permitted export.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct PermitView {
    /// The export.
    pub id: ExportId,
    /// The permit: a JWS to be redeemed once, before it expires.
    pub permit: String,
    /// Until when.
    pub expires_at: Instant,
    /// The cited instruction.
    pub instruction: InstructionRef,
    /// Restricted selectors to be left out.
    pub except: Vec<Selector>,
    /// In single mode: the permit is redeemed already, and its only chunk may leave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redemption: Option<SingleRedemption>,
    /// Where the decision stands in the customer's log.
    pub receipt: Receipt,
}

/// What single mode did besides permitting.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct SingleRedemption {
    /// When the permit was redeemed.
    pub redeemed_at: Instant,
    /// The number of its only chunk.
    pub chunk_no: u32,
    /// What may leave with it.
    pub volume: Volume,
}

/// A dry run that would have been permitted.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct DryRunView {
    /// Always true.
    pub dry_run: bool,
    /// Always `allowed`: a refusal is answered as a refusal.
    pub outcome: &'static str,
    /// The instruction that would have been cited.
    pub instruction: Option<InstructionRef>,
    /// Where the decision stands in the customer's log.
    pub receipt: Receipt,
}

/// A redeemed permit: what may leave now.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct RedemptionView {
    /// The export.
    pub id: ExportId,
    /// The cited instruction.
    pub instruction: InstructionRef,
    /// How much, at most.
    pub volume: Volume,
    /// Restricted selectors to be left out: this list holds, not the permit's.
    pub except: Vec<Selector>,
    /// Where the decision stands in the customer's log.
    pub receipt: Receipt,
}

/// A chunk that may leave now.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct ChunkAuthorisation {
    /// The export.
    pub id: ExportId,
    /// The platform's number of the chunk.
    pub chunk_no: u32,
    /// Restricted selectors to be left out: this list holds from now on.
    pub except: Vec<Selector>,
    /// Where the decision stands in the customer's log.
    pub receipt: Receipt,
}

/// A report that was taken.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct ReportView {
    /// The export.
    pub id: ExportId,
    /// completed, aborted, or swept: the service had closed the export, and the report is recorded with that;
    /// or voided: a restore had ended it, and the report is recorded with that.
    pub state: &'static str,
    /// Dimensions in which more was delivered than permitted.
    pub over: Vec<String>,
    /// What differs from what the chunks authorised; the customer is told of it.
    pub differences: BTreeMap<String, Deviation>,
    /// Where the report stands in the customer's log.
    pub receipt: Receipt,
}

crate::words! {
    /// What became of one report of a batch.
    pub enum ExportOutcome {
        /// The export is complete.
        Completed = "completed",
        /// The service had closed the export, or a restore had made it void: the report is recorded and told to
        /// the customer.
        Late = "late",
        /// The export is not in a state that can be completed; `code` says which.
        Conflict = "conflict",
        /// The platform has no such export.
        NotFound = "not_found",
    }
}

/// The outcome of one report of a batch.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct CompletionOutcome {
    /// The export.
    pub export: ExportId,
    /// What became of the report.
    pub outcome: ExportOutcome,
    /// Which conflict, as a single report would be answered.
    pub code: Option<String>,
    /// Dimensions in which more was delivered than permitted.
    pub over: Vec<String>,
    /// What differs from what the chunks authorised; the customer is told of it.
    pub differences: BTreeMap<String, Deviation>,
    /// Where the report stands in the customer's log.
    pub receipt: Option<Receipt>,
}

impl CompletionOutcome {
    /// Of an export that the platform does not have.
    pub(super) const fn unknown(export: ExportId) -> Self {
        Self { export, outcome: ExportOutcome::NotFound, code: None, over: Vec::new(), differences: BTreeMap::new(), receipt: None }
    }
    /// As it was recorded.
    pub(super) fn of(record: CompletionRecord, receipt: Receipt) -> Self {
        let outcome = match (&record.conflict, record.late) {
            (_, true) => ExportOutcome::Late,
            (None, _) => ExportOutcome::Completed,
            (Some(_), _) => ExportOutcome::Conflict,
        };
        let differences = record.reconciled.map(|r| r.differences).unwrap_or_default();
        let over = if outcome == ExportOutcome::Conflict { Vec::new() } else { record.over.into_iter().collect() };
        let code = record.conflict.filter(|_| !record.late);
        Self { export: record.export, outcome, code, over, differences, receipt: Some(receipt) }
    }
}

/// The outcomes of a batch.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct CompletionOutcomes {
    /// How many exports are complete by it.
    pub completed: usize,
    /// One for each report, in the order of the request.
    pub completions: Vec<CompletionOutcome>,
}

/// Tag of the hash of a request.
const REQUEST_TAG: &[u8] = b"mandate request v1\n";

/// The hashes under which an answer is kept for its key. That of the request, which may name persons, is
/// keyed with the idempotency key, which is not kept: nobody without it can test a guess.
pub(super) fn hashes(key: &IdempotencyKey, request: &serde_json::Value) -> (Digest, Digest) {
    let key = key.as_str().as_bytes();
    // A key has no line break.
    (sha256(&[key]), sha256(&[REQUEST_TAG, key, b"\n", &canonical(request)]))
}

pub(super) fn replayed(again: bool, response: impl IntoResponse) -> Response {
    let mut response = response.into_response();
    if again {
        let value = axum::http::HeaderValue::from_static("true");
        response.headers_mut().insert("idempotency-replayed", value);
    }
    response
}

/// The refusal as a problem.
pub(super) fn refused(refusal: &Refusal, receipt: &Receipt) -> Error {
    let reasons: Vec<ReasonView> = refusal.reasons.iter().map(ReasonView::from).collect();
    let mut members = Map::new();
    members.insert("reasons".to_owned(), to_value(&reasons));
    members.insert("more_candidates".to_owned(), json!(refusal.more_candidates));
    members.insert("receipt".to_owned(), to_value(receipt));
    Error::Refused(Box::new(RefusedAnswer { members }))
}

/// Signs where there is something to sign, and answers.
pub(super) fn answer(answer: Answer) -> Result<Response> {
    Ok(match answer {
        Answer::Permitted { grant, claims, key, single, receipt, again } => {
            let permit = key.issue(&grant, &claims)?;
            let time = |seconds: i64| Instant::from_millis(seconds * 1000).ok_or_else(|| Error::internal("a permit lies in time"));
            let (redeemed_at, expires_at) = (time(claims.iat)?, time(claims.exp)?);
            let redemption = single.then_some(SingleRedemption { redeemed_at, chunk_no: SINGLE_CHUNK, volume: claims.volume });
            let (instruction, except) = (grant.instruction(), grant.except().to_vec());
            let view = PermitView { id: claims.jti, permit, expires_at, instruction, except, redemption, receipt };
            replayed(again, (StatusCode::CREATED, Json(view)))
        }
        Answer::WouldPermit { record, receipt, again } => {
            let view = DryRunView { dry_run: true, outcome: "allowed", instruction: record.candidates.first().copied(), receipt };
            replayed(again, Json(view))
        }
        Answer::Redeemed { export, except, receipt, again } => {
            let grant = &export.grant;
            let view = RedemptionView { id: grant.export, instruction: grant.instruction, volume: export.request.volume, except, receipt };
            replayed(again, (StatusCode::CREATED, Json(view)))
        }
        Answer::Refused { refusal, receipt, again } => replayed(again, refused(&refusal, &receipt)),
        Answer::ChunkAuthorised { export, chunk_no, except, receipt, again, .. } => {
            replayed(again, (StatusCode::CREATED, Json(ChunkAuthorisation { id: export, chunk_no, except, receipt })))
        }
        Answer::Reported { export, event, void, receipt, again } => {
            let (state, over, reconciled) = match *event {
                Event::ExportCompleted { over, reconciled, .. } => ("completed", over.into_iter().collect(), reconciled),
                Event::ExportReportedLate { over, reconciled, .. } => {
                    (if void { "voided" } else { "swept" }, over.into_iter().collect(), Some(reconciled))
                }
                Event::ExportAborted { reconciled, .. } => ("aborted", Vec::new(), reconciled),
                _ => ("aborted", Vec::new(), None),
            };
            let differences = reconciled.map(|r| r.differences).unwrap_or_default();
            replayed(again, (StatusCode::CREATED, Json(ReportView { id: export, state, over, differences, receipt })))
        }
        Answer::ReportedMany { .. } => return Err(Error::internal("a batch is answered by its own route")),
    })
}
