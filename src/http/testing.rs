//! A small program for the tests of this folder: five tokens, a table with a route of each kind,
//! and a client that speaks to the router without a socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Request, StatusCode};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::*;
use crate::base::{Entropy, Error, InstructionId, Name, Page, Result, SeededEntropy};

/// A program that serves nothing but probes.
#[derive(Clone)]
pub struct Probe {
    pub tracker: TaskTracker,
    pub entropy: Arc<SeededEntropy>,
    pub handled: Arc<AtomicU32>,
    pub deadline: Duration,
    pub ready: bool,
    /// Told by the slow handler when it has begun.
    pub begun: Arc<Notify>,
    /// Awaited by the slow handler before it ends.
    pub release: Arc<Notify>,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            tracker: TaskTracker::new(),
            entropy: Arc::new(SeededEntropy::new(7)),
            handled: Arc::default(),
            deadline: Duration::from_secs(30),
            ready: true,
            begun: Arc::default(),
            release: Arc::default(),
        }
    }
}

impl Probe {
    pub fn handled(&self) -> u32 {
        self.handled.load(Ordering::SeqCst)
    }
    fn count(&self) {
        self.handled.fetch_add(1, Ordering::SeqCst);
    }
}

impl Host for Probe {
    async fn authenticate(&self, surface: Surface, token: &str, _: ClientAddress) -> Result<Identified> {
        let (role, is_key) = match token {
            "admin-session" => (IdentifiedRole::Customer(CustomerRole::CustomerAdmin), false),
            "admin-key" => (IdentifiedRole::Customer(CustomerRole::CustomerAdmin), true),
            "auditor-session" => (IdentifiedRole::Customer(CustomerRole::Auditor), false),
            "ops-session" => (IdentifiedRole::Ops(OpsRole::OpsAdmin), false),
            "platform-key" => (IdentifiedRole::Platform, true),
            _ => return Err(Error::Unauthenticated),
        };
        assert_ne!(surface, Surface::Public);
        Ok(Identified::new(role, is_key, Caller(token.to_owned())))
    }
    async fn ready(&self) -> Result<(), &'static str> {
        if self.ready { Ok(()) } else { Err("database") }
    }
    fn metrics(&self) -> String {
        "http_requests_total 1\n".to_owned()
    }
    fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }
    fn entropy(&self) -> &dyn Entropy {
        &*self.entropy
    }
    fn deadline(&self) -> Duration {
        self.deadline
    }
}

/// The caller as a feature's extractor would see it.
#[derive(Clone)]
struct Caller(String);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        caller(parts)
    }
}

crate::request! {
    /// A thing to be created.
    pub struct NewThing { name: Name, }
}

/// A thing as it is shown.
#[derive(serde::Serialize, utoipa::ToSchema)]
struct Thing {
    caller: String,
}

/// Lists things.
#[utoipa::path(get, path = "/api/v1/things", params(("limit" = Option<u32>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = Thing)))]
async fn list_things(State(probe): State<Probe>, caller: Caller, query: Query) -> Result<Json<Thing>> {
    probe.count();
    let page = query.page("things")?;
    let _: Page<u8> = page.page(Vec::new(), |_| uuid::Uuid::nil());
    Ok(Json(Thing { caller: caller.0 }))
}

/// Creates a thing.
#[utoipa::path(post, path = "/api/v1/things", responses((status = 201, body = Thing)))]
async fn create_thing(caller: Caller, Json(body): Json<NewThing>) -> Result<Created<Thing>> {
    assert_ne!(body.name.as_str(), "panic", "names of people must not reach the log: Kari");
    Ok(Created::at("/api/v1/things/1", Thing { caller: caller.0 }))
}

/// Shows a thing.
#[utoipa::path(get, path = "/api/v1/things/{id}", params(("id" = InstructionId, Path)), responses((status = 200, body = Thing)))]
async fn get_thing(_: PathId<InstructionId>) -> Result<Json<Thing>> {
    Err(Error::NotFound)
}

/// Shows secrets.
#[utoipa::path(get, path = "/api/v1/secrets", responses((status = 200, body = Thing)))]
async fn get_secrets() -> (ETag, Json<Thing>) {
    (ETag::of(&1), Json(Thing { caller: String::new() }))
}

/// Lists things for the staff.
#[utoipa::path(get, path = "/api/admin/v1/things", responses((status = 200)))]
async fn list_admin_things() {}

/// Lists things for a platform.
#[utoipa::path(get, path = "/gate/v1/things", responses((status = 200)))]
async fn list_gate_things() {}

/// Is open.
#[utoipa::path(get, path = "/open", responses((status = 200)))]
async fn open() {}

/// Waits until it is released.
#[utoipa::path(get, path = "/slow", responses((status = 200)))]
pub async fn slow(State(probe): State<Probe>) -> &'static str {
    probe.begun.notify_one();
    probe.release.notified().await;
    probe.count();
    "done"
}

/// Fails with a source.
#[utoipa::path(get, path = "/broken", responses((status = 200)))]
async fn broken() -> Result<()> {
    Err(Error::internal(std::io::Error::other("the disk is full")))
}

/// A route of each kind, and the documentation.
pub fn table() -> Vec<Route<Probe>> {
    let admins = Access::institution(&[CustomerRole::CustomerAdmin]);
    let mut table = docs::routes_of();
    table.extend([
        Route::new(admins, routes!(list_things)),
        Route::new(admins, routes!(create_thing)),
        Route::new(admins, routes!(get_thing)),
        Route::new(Access::institution_session(&[CustomerRole::CustomerAdmin]), routes!(get_secrets)),
        Route::new(Access::admin(OpsRole::ALL), routes!(list_admin_things)),
        Route::new(Access::Gate, routes!(list_gate_things)),
        Route::new(Access::Public, routes!(open)),
        Route::new(Access::Public, routes!(slow)),
        Route::new(Access::Public, routes!(broken)),
    ]);
    table
}

/// Speaks to a router.
pub struct Client {
    pub probe: Probe,
    pub router: axum::Router,
}

/// What came back.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
    pub body: serde_json::Value,
}

pub fn client() -> Client {
    client_of(Probe::default())
}

pub fn client_of(probe: Probe) -> Client {
    Client { router: router(probe.clone(), table()).unwrap(), probe }
}

impl Client {
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 10_000_000).await.unwrap().to_vec();
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        Answer { status: parts.status, headers: parts.headers, bytes, body }
    }
    pub async fn get(&self, path: &str, authorization: &[&str]) -> Answer {
        let mut request = Request::get(path).header("x-request-id", "r-1");
        for value in authorization {
            request = request.header("authorization", *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }
    pub async fn post(&self, path: &str, kind: &str, body: &str) -> Answer {
        let request = Request::post(path)
            .header("authorization", "Bearer admin-session")
            .header("content-type", kind)
            .header("content-length", body.len());
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }
}
