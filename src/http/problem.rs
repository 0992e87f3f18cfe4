//! Errors as `application/problem+json` (RFC 9457). An error travels inside the response until the
//! outermost layer, which knows the request id, writes the body; whatever else fails on the way
//! (router, extractor, panic) is written there too, so that no other form of error leaves.
//! Causes go to the log, never into a body.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::catalogue::entry;
use super::idempotency::REPLAYED;
use super::limits::{RATE_LIMIT, RATE_LIMIT_POLICY};
use crate::base::{Error, Fault};

/// The beginning of every `type`.
const TYPES: &str = "/docs/problems/";

/// The headers of a failed response that its problem keeps.
const CARRIED: [HeaderName; 4] = [ALLOW, RATE_LIMIT, RATE_LIMIT_POLICY, REPLAYED];

/// The body of every answer that is not a success.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// The page that explains this kind of problem.
    #[serde(rename = "type")]
    kind: String,
    /// Its name, the same for every occurrence.
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// What is wrong this time.
    detail: String,
    /// The id under which the service's log knows the request.
    request_id: String,
    /// Which conflict, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// Every fault of the request at once.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: Vec<Fault>,
    /// Members of the kind: a refused export has `reasons`, `decision`, `receipt` and `advice`.
    #[serde(flatten)]
    #[schema(ignore)]
    members: serde_json::Map<String, serde_json::Value>,
}

/// Members that no kind of problem may replace.
const FIXED: [&str; 7] = ["type", "title", "status", "detail", "request_id", "code", "errors"];

impl ProblemBody {
    fn new(error: &Error, request_id: &str) -> Self {
        let problem = entry(error);
        let code = match error {
            Error::Conflict { code, .. } => Some(*code),
            _ => None,
        };
        let errors = match error {
            Error::BadParameters(faults) | Error::Invalid(faults) => faults.clone(),
            _ => Vec::new(),
        };
        let mut members = match error {
            Error::Refused(answer) | Error::OutcomeRecorded(answer) => answer.members.clone(),
            _ => serde_json::Map::new(),
        };
        members.retain(|name, _| !FIXED.contains(&name.as_str()));
        Self {
            kind: format!("{TYPES}{}", problem.slug),
            title: problem.title,
            status: problem.status,
            detail: detail(error),
            request_id: request_id.to_owned(),
            code,
            errors,
            members,
        }
    }
}

fn detail(error: &Error) -> String {
    let fixed = match error {
        Error::Malformed(first) => first,
        Error::Conflict { detail, .. } => detail,
        Error::NotAcceptable(offered) => return format!("The route answers in {offered}."),
        Error::OutcomeRecorded(_) => "The request took effect before; receipts names its entries. It was not done again.",
        Error::UnsupportedMediaType(accepted) => return format!("Content-Type must be {accepted}."),
        Error::EncodedBody => "Content-Encoding must be absent: send the body as it is.",
        Error::TooLarge(limit) if *limit > 0 => return format!("The body may have at most {limit} bytes."),
        Error::TooLarge(_) => "The body has more bytes than the route takes.",
        Error::HeadersTooLarge(limit) => return format!("The line and headers of a request may have at most {limit} bytes."),
        Error::BadParameters(faults) | Error::Invalid(faults) => {
            return match faults.len() {
                1 => "There is 1 fault.".to_owned(),
                count => format!("There are {count} faults."),
            };
        }
        Error::Unauthenticated => "Send one valid credential of this surface.",
        Error::Forbidden(_) => "The credential may not do this.",
        Error::StepUpRequired => "Enter the password and a code again, then repeat the request.",
        Error::SecondFactorRequired => "Enrol a second factor, then repeat the request.",
        Error::MemberUnconfirmed => "A person of your institution with authority over people must confirm you first.",
        Error::Refused(_) => "No valid mandate covers this export.",
        Error::NotFound => "There is nothing under this address.",
        Error::MethodNotAllowed => "The Allow header lists the methods of this address.",
        Error::PreconditionFailed => "The resource has changed since it was read.",
        Error::PreconditionRequired => "Send the entity tag of the copy seen as If-Match.",
        Error::OutcomeUnknown => "Send the request again with the same idempotency key, after the seconds in Retry-After.",
        Error::CheckpointNotKept => "The request took effect. Send it again with the same idempotency key for its answer.",
        Error::Quarantined { registry: false } => "The institution's log failed a check. Operations was alarmed and examines it.",
        Error::Quarantined { registry: true } => {
            "The log that holds for all failed a check: nothing can be recorded. Operations was alarmed."
        }
        Error::ProcessorUnconfirmed => "Entries of the processor's log were lost in a restore. Operations must confirm what counts first.",
        Error::TooMany(_) | Error::Unavailable { .. } => "Try again after the seconds in Retry-After.",
        Error::Internal(_) => "The service has a fault; quote the request id when reporting it.",
    };
    fixed.to_owned()
}

/// An error on its way out, as a response extension.
#[derive(Clone)]
struct Pending(Arc<Error>);

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::from_u16(entry(&self).status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.extensions_mut().insert(Pending(Arc::new(self)));
        response
    }
}

/// The error that a failed response stands for; one that nobody described is told by its status.
fn error_of(response: &Response) -> Option<Arc<Error>> {
    if let Some(Pending(error)) = response.extensions().get::<Pending>() {
        return Some(Arc::clone(error));
    }
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return None;
    }
    Some(Arc::new(match status.as_u16() {
        401 => Error::Unauthenticated,
        403 => Error::Forbidden("refused without a cause"),
        404 | 410 => Error::NotFound,
        405 => Error::MethodNotAllowed,
        406 => Error::NotAcceptable("the forms that its description lists"),
        409 => Error::conflict("conflict", "Read the resource again before another try."),
        412 => Error::PreconditionFailed,
        413 => Error::TooLarge(0),
        415 => Error::UnsupportedMediaType("one that the route reads"),
        422 => Error::Invalid(Vec::new()),
        428 => Error::PreconditionRequired,
        429 => Error::TooMany(1),
        503 => Error::Unavailable { retry_after: 1, cause: "refused without a cause" },
        400..=499 => Error::Malformed("The request cannot be read."),
        _ => Error::internal(format!("status {status} without an error")),
    }))
}

/// What the log learns of an error.
pub(super) enum Cause {
    /// A word of this crate's own, for the line of the request.
    Word(&'static str),
    /// A fault of the service, for a line of its own.
    Fault(Arc<Error>),
}

/// Writes the body of a failed response; leaves any other as it is.
pub(super) fn render(response: Response, request_id: &str) -> (Response, Option<Cause>) {
    let Some(error) = error_of(&response) else { return (response, None) };
    let body = ProblemBody::new(&error, request_id);
    let mut rendered = Response::new(Body::from(serde_json::to_vec(&body).unwrap_or_default()));
    *rendered.status_mut() = StatusCode::from_u16(body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = rendered.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    for name in CARRIED {
        if let Some(value) = response.headers().get(&name) {
            headers.insert(name, value.clone());
        }
    }
    match &*error {
        Error::Unauthenticated => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // RFC 9110 §12.5.3: which codings would have been read.
        Error::EncodedBody => {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        Error::TooMany(seconds) | Error::Unavailable { retry_after: seconds, .. } => {
            headers.insert(RETRY_AFTER, HeaderValue::from(*seconds));
        }
        Error::OutcomeUnknown | Error::CheckpointNotKept => {
            headers.insert(RETRY_AFTER, HeaderValue::from(1));
        }
        Error::Quarantined { .. } | Error::ProcessorUnconfirmed => {
            headers.insert(RETRY_AFTER, HeaderValue::from(300));
        }
        _ => {}
    }
    let cause = match &*error {
        Error::Forbidden(cause) | Error::Unavailable { cause, .. } => Some(Cause::Word(cause)),
        Error::Conflict { code, .. } => Some(Cause::Word(code)),
        Error::OutcomeUnknown => Some(Cause::Word("outcome unknown")),
        Error::CheckpointNotKept => Some(Cause::Word("checkpoint not kept")),
        Error::Quarantined { .. } => Some(Cause::Word("a log is in quarantine")),
        Error::ProcessorUnconfirmed => Some(Cause::Word("the processor's state is unconfirmed")),
        Error::Internal(_) => Some(Cause::Fault(error)),
        _ => None,
    };
    (rendered, cause)
}

/// An error and what caused it, one after the other.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut next = error.source();
    while let Some(cause) = next {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::RefusedAnswer;

    async fn body(error: Error) -> (Response, serde_json::Value) {
        let (mut response, _) = render(error.into_response(), "r-1");
        let body = std::mem::replace(response.body_mut(), Body::empty());
        let bytes = axum::body::to_bytes(body, 100_000).await.unwrap();
        (response, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn a_problem_has_all_members_and_no_cause() {
        let (response, problem) = body(Error::Forbidden("inner cause")).await;
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let expected = serde_json::json!({
            "type": "/docs/problems/forbidden", "title": "Not allowed", "status": 403,
            "detail": "The credential may not do this.", "request_id": "r-1",
        });
        assert_eq!(problem, expected);
        let (_, problem) = body(Error::internal("SELECT secret")).await;
        assert!(!problem.to_string().contains("SELECT"), "{problem}");
    }

    #[tokio::test]
    async fn headers_say_how_to_go_on() {
        assert_eq!(body(Error::Unauthenticated).await.0.headers()[WWW_AUTHENTICATE], "Bearer");
        assert_eq!(body(Error::TooMany(7)).await.0.headers()[RETRY_AFTER], "7");
        let late = Error::Unavailable { retry_after: 3, cause: "x" };
        assert_eq!(body(late).await.0.headers()[RETRY_AFTER], "3");
    }

    #[tokio::test]
    async fn a_refusal_adds_members_and_replaces_none() {
        let members = serde_json::json!({"reasons": [{"code": "agreement_missing"}], "status": 200, "type": "x"});
        let serde_json::Value::Object(members) = members else { panic!() };
        let (_, problem) = body(Error::Refused(Box::new(RefusedAnswer { members }))).await;
        assert_eq!(problem["reasons"][0]["code"], "agreement_missing");
        assert_eq!((&problem["status"], &problem["type"]), (&403.into(), &"/docs/problems/export-refused".into()));
    }

    #[tokio::test]
    async fn a_failed_response_that_nobody_described_becomes_a_problem_and_a_success_stays() {
        for status in (400..600).filter_map(|code| StatusCode::from_u16(code).ok()) {
            let (response, _) = render((status, "inner text").into_response(), "r-1");
            assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
            let bytes = axum::body::to_bytes(response.into_body(), 100_000).await.unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains("inner text"));
        }
        let (response, _) = render((StatusCode::OK, "text").into_response(), "r-1");
        assert_eq!(response.headers()[CONTENT_TYPE], "text/plain; charset=utf-8");
    }

    #[test]
    fn the_chain_of_a_fault_is_told_to_the_log() {
        let inner = std::io::Error::other("disk");
        assert_eq!(chain(&Error::internal(inner)), "disk");
    }
}
