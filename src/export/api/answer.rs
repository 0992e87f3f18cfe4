//! From the gate's answers to HTTP: a permit, or a problem that lists every reason with what it
//! means and what to do. Signing happens here, after the commit.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, json};

use crate::base::{Digest, Error, ExportId, Instant, RefusedAnswer, Result, Selector, Volume, canonical, sha256, to_value};
use crate::evidence::{Cause, Event, InstructionRef, Reason, ReasonCode, Receipt};
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
    /// Where the decision stands in the customer's log.
    pub receipt: Receipt,
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

/// A report that was taken.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct ReportView {
    /// The export.
    pub id: ExportId,
    /// completed or aborted.
    pub state: &'static str,
    /// Dimensions in which more was delivered than permitted.
    pub over: Vec<String>,
    /// Where the report stands in the customer's log.
    pub receipt: Receipt,
}

/// The hashes under which an answer is kept for its key.
pub(super) fn hashes(key: &IdempotencyKey, request: &serde_json::Value) -> (Digest, Digest) {
    (sha256(&[key.as_str().as_bytes()]), sha256(&[&canonical(request)]))
}

fn replayed(again: bool, response: impl IntoResponse) -> Response {
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
        Answer::Permitted { grant, claims, key, receipt, again } => {
            let permit = key.issue(&grant, &claims)?;
            let expires_at = Instant::from_millis(claims.exp * 1000).ok_or_else(|| Error::internal("a permit ends in time"))?;
            let view =
                PermitView { id: claims.jti, permit, expires_at, instruction: grant.instruction(), except: claims.except.clone(), receipt };
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
        Answer::Reported { export, event, receipt, again } => {
            let (state, over) = match *event {
                Event::ExportCompleted { over, .. } => ("completed", over.into_iter().collect()),
                _ => ("aborted", Vec::new()),
            };
            replayed(again, (StatusCode::CREATED, Json(ReportView { id: export, state, over, receipt })))
        }
    })
}
