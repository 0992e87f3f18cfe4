//! A request that is sent again has its effect once and gets the same answer. Around the handler,
//! by the route table: the key is claimed, the handler runs while every transaction it commits
//! marks the claim (`db::Claim`), and the answer of a success is kept for 30 days. A refusal had no
//! effect, so it gives the key back: the same request may be tried again once its reason is gone.
//! The gate has a mechanism of its own in its log, and a public route knows nobody to keep for.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::{FutureExt, StreamExt};
use serde_json::{Map, Value};

use super::access::bearer;
use super::body::received;
use super::seal::{Fingerprint, Seal};
use super::{Host, IdempotencyKey, Principal};
use crate::base::{Digest, Error, Fault, RefusedAnswer, Result};
use crate::db::{Claim, Claimed, Db, IdempotencyScope, Known};

/// Says that an answer is the one of an earlier request.
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What the table knows of a route whose answers are kept.
#[derive(Debug, Clone)]
pub(super) struct Keeping {
    /// The operation id.
    pub route: Arc<str>,
    /// True if its body is larger than what is held in memory.
    pub streams: bool,
    /// True if its body holds a secret.
    pub asks_secret: bool,
    /// True if its answer shows a secret.
    pub shows_secret: bool,
    /// The segment of the path that names a customer, if one does.
    pub customer_at: Option<usize>,
}

/// Answers a request that came with a key.
pub(super) async fn once<S: Host>(
    host: &S,
    keeping: &Keeping,
    who: Principal,
    key: &IdempotencyKey,
    request: Request,
    next: Next,
) -> Response {
    match answered(host, keeping, who, key, request, next).await {
        Ok(answer) => answer,
        Err(error) => error.into_response(),
    }
}

async fn answered<S: Host>(
    host: &S,
    keeping: &Keeping,
    who: Principal,
    key: &IdempotencyKey,
    request: Request,
    next: Next,
) -> Result<Response> {
    let Some(db) = host.answers() else { return Ok(next.run(request).await) };
    let seal = Seal::of(key.as_str(), bearer(request.headers())?, keeping.asks_secret, keeping.shows_secret);
    let path = request.uri().path();
    let customer = keeping.customer_at.and_then(|at| path.split('/').nth(at)).unwrap_or_default();
    let key_hash = seal.name(customer);
    let scope = IdempotencyScope { home: who.home, role: who.role, principal: who.id, route: Arc::clone(&keeping.route), key_hash };
    let begun = seal.fingerprint(&head(&request))?;
    let (request, body) = if keeping.streams { (request, None) } else { whole(request, begun.clone()).await? };
    match db.claim(scope, body).await? {
        Claimed::Mine(claim) => Ok(first(db, &seal, claim, begun, body, request, next).await),
        Claimed::Known(known) => {
            let body = match body {
                // Before the answer is shown, the whole body has to be the same.
                None if known.answer.is_some() => whole(request, begun).await?.1,
                read => read,
            };
            let receipts = known.receipts.clone();
            let answer = repeated(&seal, known, body);
            // The first try may have failed at just this, and the act stands.
            if matches!(answer, Ok(_) | Err(Error::OutcomeRecorded(_))) {
                host.keep_again(&receipts.unwrap_or_default()).await?;
            }
            answer
        }
    }
}

/// All of a request that its answer depends on, but the body. `If-Match` is left out: it says when
/// to act, not what to do.
fn head(request: &Request) -> Vec<u8> {
    let media = request.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let place = request.uri().path_and_query().map_or("", |place| place.as_str());
    [request.method().as_str().as_bytes(), place.as_bytes(), media].join(&b'\n')
}

/// Reads the whole body, ends the fingerprint with it, and puts it back.
async fn whole(request: Request, mut fingerprint: Fingerprint) -> Result<(Request, Option<Digest>)> {
    let (parts, body) = request.into_parts();
    let mut copy = Request::new(body);
    copy.extensions_mut().clone_from(&parts.extensions);
    let bytes = received(copy, usize::MAX).await?;
    fingerprint.update(&bytes);
    Ok((Request::from_parts(parts, Body::from(bytes)), Some(fingerprint.end()?)))
}

/// Lets the fingerprint follow a body that the handler streams.
fn followed(request: Request, fingerprint: &Arc<Mutex<Fingerprint>>) -> Request {
    let (parts, body) = request.into_parts();
    let fingerprint = Arc::clone(fingerprint);
    let stream = body.into_data_stream().inspect(move |read| {
        if let Ok(bytes) = read {
            fingerprint.lock().unwrap_or_else(PoisonError::into_inner).update(bytes);
        }
    });
    Request::from_parts(parts, Body::from_stream(stream))
}

/// Runs the handler and keeps what it answered.
async fn first(
    db: &Db,
    seal: &Seal,
    claim: Arc<Claim>,
    begun: Fingerprint,
    body: Option<Digest>,
    request: Request,
    next: Next,
) -> Response {
    let following = Arc::new(Mutex::new(begun));
    let request = if body.is_some() { request } else { followed(request, &following) };
    let run = AssertUnwindSafe(Arc::clone(&claim).hold(next.run(request))).catch_unwind().await;
    let answer = run.unwrap_or_else(|_| Error::internal("a handler panicked").into_response());
    if !answer.status().is_success() {
        if let Err(error) = db.give_back(&claim).await {
            tracing::warn!(cause = %error, "an idempotency key was not given back and is left behind");
        }
        return answer;
    }
    let (parts, bytes) = answer.into_parts();
    let Ok(bytes) = axum::body::to_bytes(bytes, usize::MAX).await else {
        return Error::internal("the body of an answer broke off").into_response();
    };
    let kept = async {
        let fingerprint = match body {
            Some(fingerprint) => fingerprint,
            None => following.lock().unwrap_or_else(PoisonError::into_inner).clone().end()?,
        };
        let sealed = seal.seal(claim.attempt, packed(&parts.headers, &bytes)?)?;
        let status = i16::try_from(parts.status.as_u16()).map_err(Error::internal)?;
        db.keep_answer(&claim, fingerprint, status, &sealed).await
    };
    if let Err(error) = kept.await {
        tracing::warn!(cause = %error, "an answer was not kept: a repeat will learn that the outcome is on record");
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// Answers a request whose key was used before.
fn repeated(seal: &Seal, known: Known, body: Option<Digest>) -> Result<Response> {
    if known.fingerprint.is_some_and(|first| body.is_some_and(|this| this != first)) {
        let detail = "was used for another request before".to_owned();
        return Err(Error::Invalid(vec![Fault { pointer: "Idempotency-Key".to_owned(), code: "reused", detail }]));
    }
    match (known.answer, known.receipts) {
        (Some((status, sealed)), _) => {
            let Some(answer) = seal.open(known.attempt, sealed)? else {
                return Err(Error::conflict(
                    "secret-shown-once",
                    "The request took effect before. Its answer shows a secret, and only to the session or key that asked first.",
                ));
            };
            unpacked(status, &answer)
        }
        (None, Some(receipts)) => {
            let members = Map::from_iter([("receipts".to_owned(), receipts)]);
            Err(Error::OutcomeRecorded(Box::new(RefusedAnswer { members })))
        }
        (None, None) => Err(Error::conflict("request-running", "The first request with this key still runs. Send it again in a moment.")),
    }
}

/// Headers and body as one text of bytes: a line of JSON, then the body.
fn packed(headers: &HeaderMap, body: &[u8]) -> Result<Vec<u8>> {
    let lines = headers.iter().map(|(name, value)| {
        let value = value.to_str().map_err(Error::internal)?;
        Ok(Value::from(vec![name.as_str(), value]))
    });
    let mut bytes = serde_json::to_vec(&lines.collect::<Result<Vec<Value>>>()?).map_err(Error::internal)?;
    bytes.push(b'\n');
    bytes.extend(body);
    Ok(bytes)
}

fn unpacked(status: i16, packed: &[u8]) -> Result<Response> {
    let end = packed.iter().position(|byte| *byte == b'\n').ok_or_else(|| Error::internal("a kept answer is not whole"))?;
    let (lines, body) = packed.split_at(end);
    let lines: Vec<(String, String)> = serde_json::from_slice(lines).map_err(Error::internal)?;
    let mut answer = Response::new(Body::from(body.get(1..).unwrap_or_default().to_vec()));
    let status = u16::try_from(status).map_err(Error::internal)?;
    *answer.status_mut() = StatusCode::from_u16(status).map_err(Error::internal)?;
    for (name, value) in lines {
        let name = HeaderName::try_from(name).map_err(Error::internal)?;
        answer.headers_mut().append(name, HeaderValue::try_from(value).map_err(Error::internal)?);
    }
    answer.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(answer: Option<(i16, Vec<u8>)>, receipts: Option<Value>) -> Known {
        Known { attempt: uuid::Uuid::from_u128(1), fingerprint: Some(Digest([1; 32])), receipts, answer }
    }

    #[tokio::test]
    async fn a_kept_answer_comes_back_as_it_was() {
        let seal = Seal::of("k", "t", false, true);
        let headers = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (axum::http::header::LOCATION, HeaderValue::from_static("/api/v1/things/1")),
        ]);
        let sealed = seal.seal(uuid::Uuid::from_u128(1), packed(&headers, b"{\n\"a\": 1}").unwrap()).unwrap();
        let again = repeated(&seal, known(Some((201, sealed.clone())), None), Some(Digest([1; 32]))).unwrap();
        assert_eq!((again.status().as_u16(), &again.headers()[REPLAYED]), (201, &HeaderValue::from_static("true")));
        assert_eq!(again.headers()["location"], "/api/v1/things/1");
        assert_eq!(axum::body::to_bytes(again.into_body(), 100).await.unwrap(), "{\n\"a\": 1}");
        // Another body, another token, and a request that is known and has no answer.
        let other = repeated(&seal, known(Some((201, sealed.clone())), None), Some(Digest([2; 32])));
        assert!(matches!(other, Err(Error::Invalid(faults)) if faults[0].code == "reused"));
        let elsewhere = Seal::of("k", "another session", false, true);
        let other = repeated(&elsewhere, known(Some((201, sealed)), None), Some(Digest([1; 32])));
        assert!(matches!(other, Err(Error::Conflict { code: "secret-shown-once", .. })));
        let running = repeated(&seal, known(None, None), Some(Digest([1; 32])));
        assert!(matches!(running, Err(Error::Conflict { code: "request-running", .. })));
        let recorded = repeated(&seal, known(None, Some(serde_json::json!([{"index": 3}]))), Some(Digest([1; 32])));
        assert!(matches!(recorded, Err(Error::OutcomeRecorded(answer)) if answer.members["receipts"][0]["index"] == 3));
    }
}
