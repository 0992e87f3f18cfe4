//! What every request passes before its handler: who calls and how often, whether the route's access
//! names them, whether the query holds only declared parameters, the headers its kind of route
//! needs, how large the body may become; and what every answer passes after it. Default deny: the
//! guard is put around each handler when the router is built, not by the handler.

use std::sync::Arc;

use axum::RequestExt;
use axum::body::Body;
use axum::extract::{RawPathParams, Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::{Extensions, HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::access::bearer;
use super::conditional::not_modified;
use super::idempotency::{Keeping, once};
use super::kind::{Idempotency, Kind};
use super::limits::{self, Bucket, Standing};
use super::listing::{Form, as_csv, negotiated, vary};
use super::places::Holding;
use super::query::check_declared;
use super::upload::cap;
use super::{Access, Attempt, ClientAddress, Host, IdempotencyKey, Identified, JSON_LIMIT, Principal, Route, Surface};
use crate::base::{Error, Result};
use crate::db::watch_checkpoints;

/// What a guard knows of its route.
#[derive(Clone)]
pub(super) struct Guard<S> {
    host: S,
    access: Access,
    query: Arc<[String]>,
    body_limit: usize,
    /// The operation's id, where staff of the processor would change something of a customer.
    attempted: Option<Arc<str>>,
    before_enrolment: bool,
    while_unconfirmed: bool,
    kind: Arc<Kind>,
    keeping: Arc<Keeping>,
}

/// The path parameter that names a customer on the admin surface.
const CUSTOMER: &str = "customer_id";

/// The operation whose refusals the customer must see.
fn attempted<S>(route: &Route<S>) -> Option<Arc<str>> {
    let changes = !matches!(route.method, Method::GET | Method::HEAD);
    let is_on_customer = route.access.surface() == Surface::Admin && route.path.split('/').any(|part| part == "{customer_id}");
    (changes && is_on_customer).then(|| route.operation_id.as_str().into())
}

/// True for an answer that refuses an attempt. Who is unknown (401) is nobody to tell of, and who is
/// slowed down (429) has attempted nothing.
const fn is_refusal(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 402..=428 | 430..=499)
}

/// What a request has shown on its way in.
#[derive(Default)]
struct Passed {
    standing: Option<Standing>,
    principal: Option<Principal>,
    key: Option<IdempotencyKey>,
    csv: bool,
    holding: Holding,
}

impl<S: Host> Guard<S> {
    pub(super) fn of(host: S, route: &Route<S>) -> Self {
        let keeping = Keeping {
            route: route.operation_id.as_str().into(),
            streams: route.body_limit > JSON_LIMIT,
            asks_secret: route.kind.asks_secret,
            shows_secret: route.kind.shows_secret,
            customer_at: route.path.split('/').position(|segment| segment == "{customer_id}"),
        };
        Self {
            host,
            access: route.access,
            query: route.query.as_slice().into(),
            body_limit: route.body_limit,
            attempted: attempted(route),
            before_enrolment: route.before_enrolment,
            while_unconfirmed: route.while_unconfirmed,
            kind: Arc::new(route.kind.clone()),
            keeping: Arc::new(keeping),
        }
    }

    /// The attempt that a request makes, by somebody who is not yet known.
    async fn attempt(&self, request: &mut Request) -> Option<Attempt> {
        let operation = Arc::clone(self.attempted.as_ref()?);
        // Decoded as the handler will read it: no spelling of an id may hide an attempt.
        let path = request.extract_parts::<RawPathParams>().await.ok()?;
        let customer = path.iter().find(|(name, _)| *name == CUSTOMER)?.1.to_owned();
        Some(Attempt { operation, customer, caller: Extensions::new() })
    }

    async fn check(&self, request: &mut Request, attempt: Option<&mut Attempt>, passed: &mut Passed) -> Result<()> {
        if let Some(places) = self.host.places() {
            passed.holding = places.take(self.access.surface())?;
        }
        if self.access == Access::Public {
            let client = ClientAddress::of(request);
            self.count_address(client, passed)?;
            if let Some(places) = self.host.places() {
                places.count_stranger(&mut passed.holding, client)?;
            }
        } else {
            let client = ClientAddress::of(request);
            let who = self.authenticated(bearer(request.headers()), client, passed).await?;
            if let Some(attempt) = attempt {
                attempt.caller = who.extensions.clone();
                self.host.may_attempt(attempt)?;
            }
            self.access.admit(&who)?;
            if who.must_enrol && !self.before_enrolment {
                return Err(Error::SecondFactorRequired);
            }
            if let Some(unconfirmed) = who.unconfirmed {
                unconfirmed.admit(self.while_unconfirmed, matches!(*request.method(), Method::GET | Method::HEAD), who.is_key)?;
            }
            passed.principal = who.principal;
            request.extensions_mut().extend(who.extensions);
        }
        check_declared(request.uri().query(), &self.query)?;
        if self.kind.columns.is_some() {
            passed.csv = negotiated(request.headers())? == Form::Csv;
        }
        if self.kind.needs_if_match && !request.headers().contains_key(IF_MATCH) {
            return Err(Error::PreconditionRequired);
        }
        if self.kind.idempotency != Idempotency::Reads {
            passed.key = IdempotencyKey::read(request.headers(), self.kind.idempotency == Idempotency::Required)?;
        }
        if is_encoded(request.headers()) {
            return Err(Error::EncodedBody);
        }
        if declared_length(request.headers()) > self.body_limit as u64 {
            return Err(Error::TooLarge(self.body_limit as u64));
        }
        Ok(())
    }

    /// Who calls, counted by its credential; a token that is none counts for its address.
    async fn authenticated(&self, token: Result<&str>, client: ClientAddress, passed: &mut Passed) -> Result<Identified> {
        let found = match token {
            Ok(token) => self.host.authenticate(self.access.surface(), token, client).await,
            Err(error) => Err(error),
        };
        let who = match found {
            Err(Error::Unauthenticated) => {
                self.count_address(client, passed)?;
                return Err(Error::Unauthenticated);
            }
            found => found?,
        };
        let kind = match (self.access, who.is_key) {
            (Access::Gate, _) => limits::Kind::PlatformKey,
            (_, true) => limits::Kind::ApiKey,
            (_, false) => limits::Kind::Session,
        };
        self.count(kind, who.principal.map(|principal| Bucket::Credential(principal.credential)), passed)?;
        if let (Some(places), Some(principal)) = (self.host.places(), &who.principal) {
            places.count(&mut passed.holding, self.access.surface(), principal)?;
        }
        Ok(who)
    }

    fn count_address(&self, client: ClientAddress, passed: &mut Passed) -> Result<()> {
        self.count(limits::Kind::Address, client.bucket().map(Bucket::Address), passed)
    }

    /// Without limits, or without an address to count, nobody is held back.
    fn count(&self, kind: limits::Kind, bucket: Option<Bucket>, passed: &mut Passed) -> Result<()> {
        let (Some(limits), Some(bucket)) = (self.host.limits(), bucket) else { return Ok(()) };
        let (standing, outcome) = limits.count(kind, bucket);
        passed.standing = Some(standing);
        outcome
    }

    /// The handler, with what the conventions put around it.
    async fn run(&self, passed: &Passed, request: Request, next: Next) -> Response {
        let keeps = matches!(self.kind.idempotency, Idempotency::Kept | Idempotency::Required);
        if let (true, Some(key), Some(who)) = (keeps, &passed.key, passed.principal) {
            return once(&self.host, &self.keeping, who, key, request, next).await;
        }
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let condition = request.headers().clone();
        let uri = request.uri().clone();
        let mut answer = next.run(request).await;
        if self.kind.single {
            answer = tagged(answer).await;
        }
        if let Some(columns) = &self.kind.columns {
            if passed.csv {
                answer = as_csv(answer, columns, &uri).await;
            }
            vary(answer.headers_mut());
        }
        if reads && condition.contains_key(IF_NONE_MATCH) { not_modified(&condition, answer) } else { answer }
    }
}

/// Gives the JSON of one resource its strong tag, where the handler has not.
async fn tagged(answer: Response) -> Response {
    let is_json = answer.headers().get(CONTENT_TYPE).is_some_and(|media| media == "application/json");
    if answer.status() != StatusCode::OK || !is_json || answer.headers().contains_key(ETAG) {
        return answer;
    }
    let (parts, body) = answer.into_parts();
    match axum::body::to_bytes(body, usize::MAX).await {
        Ok(bytes) => (super::ETag::of_bytes(&bytes), Response::from_parts(parts, Body::from(bytes))).into_response(),
        Err(error) => Error::internal(error).into_response(),
    }
}

/// True if a body would have to be decoded first: its bytes are not what a handler would read.
fn is_encoded(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn declared_length(headers: &HeaderMap) -> u64 {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    length.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Lets a request through to its handler, or answers it with the first thing that is wrong. What it
/// recorded is kept outside the database before it is answered.
pub(super) async fn pass<S: Host>(State(guard): State<Guard<S>>, request: Request, next: Next) -> Response {
    let mut passed = Passed::default();
    let (mut answer, unkept) = watch_checkpoints(answered(&guard, &mut passed, request, next)).await;
    if unkept {
        answer = Error::CheckpointNotKept.into_response();
    }
    if let Some(standing) = passed.standing {
        standing.tell(answer.headers_mut());
    }
    answer
}

async fn answered<S: Host>(guard: &Guard<S>, passed: &mut Passed, mut request: Request, next: Next) -> Response {
    let mut attempt = guard.attempt(&mut request).await;
    let answer = match guard.check(&mut request, attempt.as_mut(), passed).await {
        // A length may be absent or a lie, so the bytes are counted as well.
        Ok(()) => guard.run(passed, cap(request, guard.body_limit), next).await,
        Err(error) => error.into_response(),
    };
    if let Some(attempt) = attempt.filter(|_| is_refusal(answer.status())) {
        guard.host.refused(&attempt, answer.status().as_u16()).await;
    }
    answer
}

#[cfg(test)]
mod tests {
    use crate::http::testing::{Client, client};
    use axum::body::Body;
    use axum::http::{Request, StatusCode};

    async fn status(client: &Client, path: &str, authorization: &[&str]) -> StatusCode {
        client.get(path, authorization).await.status
    }

    #[tokio::test]
    async fn only_a_listed_role_with_the_right_kind_of_credential_gets_in() {
        let client = client();
        for (path, token, expected) in [
            ("/api/v1/things", "admin-session", 200),
            ("/api/v1/things", "admin-key", 200),
            ("/api/v1/things", "auditor-session", 403),
            ("/api/v1/things", "ops-session", 401),
            ("/api/v1/things", "platform-key", 401),
            ("/api/v1/things", "nobody", 401),
            ("/api/v1/secrets", "admin-session", 200),
            ("/api/v1/secrets", "admin-key", 403),
            ("/api/admin/v1/things", "ops-session", 200),
            ("/api/admin/v1/things", "admin-session", 401),
            ("/gate/v1/things", "platform-key", 200),
            ("/gate/v1/things", "admin-session", 401),
            ("/gate/v1/things", "ops-session", 401),
        ] {
            let answer = client.get(path, &[&format!("Bearer {token}")]).await;
            assert_eq!(answer.status.as_u16(), expected, "{path} as {token}");
            assert_eq!(answer.headers.contains_key("www-authenticate"), expected == 401, "{path} as {token}");
        }
    }

    #[tokio::test]
    async fn the_handler_does_not_run_for_whom_the_access_does_not_name() {
        let client = client();
        for authorization in [&[][..], &["Bearer nobody"], &["Bearer auditor-session"]] {
            client.get("/api/v1/things", authorization).await;
        }
        assert_eq!(client.probe.handled(), 0);
        // Control: the same counter does count a handler that runs.
        client.get("/api/v1/things", &["Bearer admin-session"]).await;
        assert_eq!(client.probe.handled(), 1);
    }

    #[tokio::test]
    async fn two_credentials_are_refused_and_not_resolved() {
        let client = client();
        let good = "Bearer admin-session";
        assert_eq!(status(&client, "/api/v1/things", &[good]).await, 200);
        assert_eq!(status(&client, "/api/v1/things", &[good, good]).await, 401);
        assert_eq!(status(&client, "/api/v1/things", &[good, "Bearer nobody"]).await, 401);
        assert_eq!(status(&client, "/open", &[good, good]).await, 200);
    }

    #[tokio::test]
    async fn an_unknown_query_parameter_is_refused_by_every_route() {
        let client = client();
        let good = ["Bearer admin-session"];
        assert_eq!(status(&client, "/api/v1/things?limit=1", &good).await, 200);
        // The handler behind this path reads no query at all.
        let answer = client.get("/api/v1/secrets?limit=1&x=2", &good).await;
        assert_eq!(answer.status, 400);
        let pointers: Vec<_> = answer.body["errors"].as_array().unwrap().iter().map(|e| e["pointer"].clone()).collect();
        assert_eq!(pointers, ["limit", "x"]);
        // Who is unknown learns nothing about parameters.
        assert_eq!(status(&client, "/api/v1/secrets?x=2", &[]).await, 401);
    }

    #[tokio::test]
    async fn the_caller_reaches_the_handler() {
        let answer = client().get("/api/v1/things", &["Bearer admin-key"]).await;
        assert_eq!(answer.body["caller"], "admin-key");
    }

    #[tokio::test]
    async fn an_id_that_cannot_be_read_is_answered_like_an_absent_one() {
        let client = client();
        let good = ["Bearer admin-session"];
        let absent = client.get("/api/v1/things/ins_0190a0b0c0d0700080000123456789ab", &good).await;
        assert_eq!(absent.status, 404);
        for id in ["x", "exp_0190a0b0c0d0700080000123456789ab", "%ff", "ins_%00"] {
            let answer = client.get(&format!("/api/v1/things/{id}"), &good).await;
            assert_eq!((answer.status, &answer.bytes), (absent.status, &absent.bytes), "{id}");
        }
    }

    /// Negative control: the same body without the header, or with the one coding that changes nothing.
    #[tokio::test]
    async fn an_encoded_body_is_refused_and_not_read_as_it_is() {
        let client = client();
        for (coding, expected) in [("gzip", 415), ("GZIP, identity", 415), ("br", 415), ("", 415), ("Identity", 201)] {
            let request = Request::post("/api/v1/things")
                .header("authorization", "Bearer admin-session")
                .header("content-type", "application/json")
                .header("content-encoding", coding);
            let answer = client.send(request.body(Body::from("{\"name\":\"a\"}")).unwrap()).await;
            assert_eq!(answer.status.as_u16(), expected, "{coding}");
            if expected == 415 {
                assert_eq!(answer.body["type"], "/docs/problems/unsupported-media-type", "{coding}");
                assert_eq!(answer.headers["accept-encoding"], "identity");
            }
        }
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_with_and_without_a_declared_length() {
        let client = client();
        let answer = client.post("/api/v1/things", "application/json", &" ".repeat(1024 * 1024 + 1)).await;
        assert_eq!((answer.status.as_u16(), answer.body["type"].as_str()), (413, Some("/docs/problems/body-too-large")));
        let answer = client.post("/api/v1/things", "application/json", "{\"name\":\"a\"}").await;
        assert_eq!(answer.status, 201);
        // A body without a declared length is counted.
        let chunks = futures_util::stream::iter((0..17).map(|_| std::io::Result::Ok(vec![b' '; 1024 * 64])));
        let request =
            Request::post("/api/v1/things").header("authorization", "Bearer admin-session").header("content-type", "application/json");
        let answer = client.send(request.body(Body::from_stream(chunks)).unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.body["type"].as_str()), (413, Some("/docs/problems/body-too-large")));
    }
}
