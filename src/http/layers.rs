//! The envelope around every request: its id, its one log line, its metrics, the headers of its
//! answer, and the task it runs on. A request runs to completion even if its client leaves: a
//! handler dropped at an await could leave a transaction in doubt. The log holds the route's
//! pattern, never the path, the query, a header's text or a body.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tracing::Instrument;

use super::naming::{REQUEST_ID, RequestId, method, request_id, trace_id};
use super::problem::{Cause, chain, render};
use super::{Host, Surface};
use crate::base::{Entropy, Error};

/// The policy of answers that are not pages: nothing may load, nobody may frame.
const NO_CONTENT: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// The most bytes of a request's line and headers.
const HEADERS: usize = 32 * 1024;

/// The bytes of a request's line and headers, as they came.
fn head_length(request: &Request) -> usize {
    let (path, colon_space_and_end) = (request.uri().path_and_query(), 4);
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + colon_space_and_end);
    path.map_or(0, |path| path.as_str().len()) + headers.sum::<usize>()
}

/// Answers one request: on a task of its own, within the deadline, with everything around it.
///
/// The task has twice the time that its client has. What still runs then waits on a dead socket or an
/// endless body, and nobody waits for it; its connection is rolled back or closed (`db::pools`).
pub(super) async fn envelope<S: Host>(State(host): State<S>, mut request: Request, next: Next) -> Response {
    let seen = Arc::new(Seen::of(&request, host.entropy()));
    request.extensions_mut().insert(RequestId(Arc::clone(&seen.request_id)));
    let span = tracing::info_span!("request", request_id = %seen.request_id);
    let inner = Arc::clone(&seen);
    if head_length(&request) > HEADERS {
        return seen.finish(Error::HeadersTooLarge(HEADERS).into_response());
    }
    let lost = host.lost(seen.surface());
    let work = async move {
        let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        inner.finish(answer.unwrap_or_else(|_| Error::internal("a handler panicked").into_response()))
    };
    #[expect(clippy::disallowed_methods, reason = "nobody waits for it any more: the client was answered long before")]
    let work = tokio::time::timeout(2 * host.deadline(), work);
    let task = host.tracker().spawn(work.instrument(span));
    tokio::select! {
        biased;
        ended = task => match ended {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => seen.finish(seen.unanswered("twice the deadline passed")),
            Err(_) => seen.finish(Error::internal("the task of a request was ended").into_response()),
        },
        () = lost => seen.finish(seen.unanswered("the database fell silent")),
        () = tokio::time::sleep(host.deadline()) => seen.finish(seen.unanswered("deadline passed")),
    }
}

/// What is remembered of a request for its log line and its answer.
struct Seen {
    request_id: Arc<str>,
    trace_id: Option<String>,
    route: Option<MatchedPath>,
    method: &'static str,
    started: Instant,
    told: AtomicBool,
}

impl Seen {
    fn of(request: &Request, entropy: &dyn Entropy) -> Self {
        Self {
            request_id: request_id(request.headers(), entropy),
            trace_id: trace_id(request.headers()),
            route: request.extensions().get::<MatchedPath>().cloned(),
            method: method(request.method()),
            started: Instant::now(),
            told: AtomicBool::new(false),
        }
    }

    fn route(&self) -> &str {
        self.route.as_ref().map_or("unmatched", MatchedPath::as_str)
    }

    fn surface(&self) -> Surface {
        Surface::of(self.route())
    }

    /// The answer to a request whose task goes on: what only reads can be said to have failed.
    fn unanswered(&self, cause: &'static str) -> Response {
        let error = match self.method {
            "GET" | "HEAD" | "OPTIONS" => Error::Unavailable { retry_after: 1, cause },
            _ => Error::OutcomeUnknown,
        };
        error.into_response()
    }

    /// Completes an answer: problem body, headers, metrics, and the request's one log line.
    fn finish(&self, answer: Response) -> Response {
        let (route, surface) = (self.route(), self.surface());
        let (mut answer, cause) = render(answer, &self.request_id);
        self.set_headers(answer.headers_mut(), surface);
        self.tell(route, surface, answer.status(), cause);
        answer
    }

    fn set_headers(&self, headers: &mut HeaderMap, surface: Surface) {
        if let Ok(id) = HeaderValue::from_str(&self.request_id) {
            headers.insert(REQUEST_ID, id);
        }
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.entry(CONTENT_SECURITY_POLICY).or_insert(NO_CONTENT);
        if surface != Surface::Public {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
    }

    fn tell(&self, route: &str, surface: Surface, status: StatusCode, cause: Option<Cause>) {
        let request_id = &*self.request_id;
        let elapsed = self.started.elapsed();
        let word = match &cause {
            Some(Cause::Word(word)) => Some(*word),
            Some(Cause::Fault(error)) => {
                tracing::error!(request_id, route, cause = chain(error), "internal error");
                None
            }
            None => None,
        };
        if self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(request_id, route, status = status.as_u16(), "a request ended after its deadline");
            return;
        }
        let labels = [("route", route.to_owned()), ("method", self.method.to_owned()), ("status", status.as_str().to_owned())];
        metrics::counter!("http_requests_total", &labels).increment(1);
        metrics::histogram!("http_request_duration_seconds", &labels).record(elapsed.as_secs_f64());
        tracing::info!(
            request_id,
            trace_id = self.trace_id,
            method = self.method,
            route,
            surface = surface.word(),
            status = status.as_u16(),
            milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            cause = word,
            "request"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::{Answer, Client, Probe, client, client_of};
    use axum::body::Body;
    use std::sync::Mutex;
    use std::time::Duration;
    use tokio::io::AsyncWriteExt;

    /// What was logged while the guard lives.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn capture() -> (Self, tracing::subscriber::DefaultGuard) {
            let lines = Self::default();
            let writer = lines.clone();
            let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
            (lines, tracing::subscriber::set_default(subscriber))
        }
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
        fn requests(&self) -> Vec<serde_json::Value> {
            let lines: Vec<serde_json::Value> = self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            lines.into_iter().filter(|line| line["fields"]["message"] == "request").collect()
        }
    }

    fn problem(answer: &Answer) -> (u16, &str) {
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert_eq!(answer.body["status"], answer.status.as_u16());
        assert_eq!(answer.body["request_id"], answer.headers["x-request-id"].to_str().unwrap());
        let slug = answer.body["type"].as_str().unwrap().strip_prefix("/docs/problems/").unwrap();
        (answer.status.as_u16(), slug)
    }

    #[tokio::test]
    async fn every_failure_is_a_problem() {
        let client = client();
        assert_eq!(problem(&client.get("/nowhere", &[]).await), (404, "not-found"));
        let answer = client.post("/open", "application/json", "{}").await;
        assert_eq!(problem(&answer), (405, "method-not-allowed"));
        assert_eq!(answer.headers["allow"], "GET,HEAD");
        assert_eq!(problem(&client.post("/api/v1/things", "text/plain", "{}").await), (415, "unsupported-media-type"));
        assert_eq!(problem(&client.post("/api/v1/things", "application/json", "{").await), (400, "malformed-body"));
        let answer = client.post("/api/v1/things", "application/json", "{\"nmae\":1}").await;
        assert_eq!(problem(&answer), (422, "invalid-body"));
        assert_eq!(answer.body["errors"].as_array().map(Vec::len), Some(2));
        assert_eq!(problem(&client.get("/api/v1/things", &[]).await), (401, "unauthenticated"));
        assert_eq!(problem(&client.get("/broken", &[]).await), (500, "internal"));
        let body = "{\"name\":\"panic\"}";
        assert_eq!(problem(&client.post("/api/v1/things", "application/json", body).await), (500, "internal"));
        // Control: a success is left as it is.
        assert_eq!(client.get("/api/v1/things", &["Bearer admin-key"]).await.headers["content-type"], "application/json");
        // Nothing is read of a request whose headers are too large, and headers just within the limit are read.
        for (size, status) in [(HEADERS, 431), (HEADERS - 100, 200)] {
            let request = Request::get("/open").header("x-long", "a".repeat(size)).body(Body::empty()).unwrap();
            let answer = client.send(request).await;
            assert_eq!(answer.status, status);
            assert!(status == 200 || problem(&answer) == (431, "headers-too-large"));
        }
    }

    #[tokio::test]
    async fn every_answer_has_a_request_id_and_the_headers_of_safety() {
        let client = client();
        let send = async |id: &str| {
            let request = Request::get("/open").header("x-request-id", id).body(Body::empty()).unwrap();
            client.send(request).await.headers["x-request-id"].to_str().unwrap().to_owned()
        };
        assert_eq!(send("a-1").await, "a-1");
        let longest = "x".repeat(128);
        assert_eq!(send(&longest).await, longest);
        for wrong in ["", "a b", "\u{e5}", &"x".repeat(129)] {
            let made = send(wrong).await;
            assert!(made.len() == 32 && made != wrong, "{made}");
        }
        assert_ne!(send("").await, send("").await);
        for path in ["/open", "/nowhere", "/api/v1/things", "/docs"] {
            let headers = client.get(path, &[]).await.headers;
            assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
            assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
            assert!(headers["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'none'"), "{path}");
            assert_eq!(headers.contains_key("cache-control"), path.starts_with("/api"), "{path}");
        }
    }

    #[tokio::test]
    async fn a_request_is_one_line_without_text_of_the_request() {
        let (lines, _guard) = Lines::capture();
        let client = client();
        let request = Request::get("/api/v1/things/ins_secretid?person=Kari")
            .header("authorization", "Bearer admin-session")
            .header("x-request-id", "r-7")
            .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
            .header("user-agent", "secret-agent");
        assert_eq!(client.send(request.body(Body::empty()).unwrap()).await.status, 400);
        let text = lines.text();
        for secret in ["secret", "Kari", "person", "admin-session", "Bearer"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        let found = lines.requests();
        assert_eq!(found.len(), 1, "{text}");
        let fields = &found[0]["fields"];
        assert!(fields["milliseconds"].is_u64());
        let expected = [
            ("request_id", "r-7"),
            ("trace_id", "0af7651916cd43dd8448eb211c80319c"),
            ("method", "GET"),
            ("route", "/api/v1/things/{id}"),
            ("surface", "institution"),
        ];
        for (name, value) in expected {
            assert_eq!(fields[name], value, "{name}");
        }
        client.get("/nowhere/Kari", &[]).await;
        assert_eq!(lines.requests()[1]["fields"]["route"], "unmatched");
        assert!(!lines.text().contains("Kari"));
        // Control: the capture does see what is logged.
        tracing::info!("Kari");
        assert!(lines.text().contains("Kari"));
    }

    #[tokio::test]
    async fn a_request_is_counted_under_its_pattern() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let _guard = metrics::set_default_local_recorder(&recorder);
        let client = client();
        client.get("/api/v1/things/ins_secretid", &[]).await;
        client.get("/nowhere/secret", &[]).await;
        let text = handle.render();
        let counted = "http_requests_total{route=\"/api/v1/things/{id}\",method=\"GET\",status=\"401\"} 1";
        assert!(text.contains(counted) && text.contains("route=\"unmatched\""), "{text}");
        assert!(text.contains("http_request_duration_seconds") && !text.contains("secret"), "{text}");
    }

    #[tokio::test]
    async fn the_cause_of_a_fault_is_in_the_log_and_not_in_the_answer() {
        let (lines, _guard) = Lines::capture();
        let client = client();
        let answer = client.get("/broken", &[]).await;
        assert!(!String::from_utf8_lossy(&answer.bytes).contains("disk"));
        let text = lines.text();
        assert!(text.contains("the disk is full") && text.contains("ERROR") && text.contains("r-1"), "{text}");
        client.post("/api/v1/things", "application/json", "{\"name\":\"panic\"}").await;
        assert!(lines.text().contains("a handler panicked") && !lines.text().contains("Kari"));
        client.get("/api/v1/secrets", &["Bearer admin-key"]).await;
        assert!(lines.text().contains("API key where a session is demanded"));
    }

    #[tokio::test]
    async fn past_the_deadline_the_client_is_answered_and_the_handler_goes_on() {
        let (lines, _guard) = Lines::capture();
        let client = client_of(Probe { deadline: Duration::from_millis(300), ..Probe::default() });
        let answer = client.get("/slow", &[]).await;
        assert_eq!(problem(&answer), (503, "unavailable"));
        assert_eq!((answer.headers["retry-after"].as_bytes(), client.probe.handled()), (b"1".as_slice(), 0));
        finish(&client.probe).await;
        assert_eq!(client.probe.handled(), 1);
        assert_eq!(lines.requests().len(), 1);
        assert!(lines.text().contains("a request ended after its deadline"));
    }

    #[tokio::test]
    async fn at_twice_the_deadline_what_still_runs_is_given_up() {
        let client = client_of(Probe { deadline: Duration::from_millis(30), ..Probe::default() });
        assert_eq!(problem(&client.get("/slow", &[]).await), (503, "unavailable"));
        client.probe.tracker().close();
        client.probe.tracker().wait().await;
        assert_eq!(client.probe.handled(), 0);
    }

    async fn finish(probe: &Probe) {
        probe.release.notify_one();
        probe.tracker().close();
        probe.tracker().wait().await;
        // A task outside the tracker gets its turn too.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    /// Sends a request over a socket, leaves once its handler has begun, and lets that handler go on.
    async fn leave_early(client: &Client) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(axum::serve(listener, client.router.clone()).into_future());
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        socket.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        client.probe.begun.notified().await;
        drop(socket);
        // The server needs a turn to notice.
        tokio::time::sleep(Duration::from_millis(100)).await;
        finish(&client.probe).await;
        server.abort();
    }

    #[tokio::test]
    async fn a_client_that_leaves_does_not_cancel_the_handler() {
        let (lines, _guard) = Lines::capture();
        let client = client();
        leave_early(&client).await;
        assert_eq!(client.probe.handled(), 1);
        assert_eq!(lines.requests().len(), 1);
        // Control: the same handler without the envelope is dropped.
        let probe = Probe::default();
        let bare = axum::Router::new().route("/slow", axum::routing::get(crate::http::testing::slow));
        let bare = Client { router: bare.with_state(probe.clone()), probe };
        leave_early(&bare).await;
        assert_eq!(bare.probe.handled(), 0);
    }
}
