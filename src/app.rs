//! The program: everything a handler can reach, and the table of every route. The only file that
//! knows every feature; no rule lives here.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::base::{ApiKeyId, Entropy, Error, Result};
use crate::config::Config;
use crate::db::Db;
use crate::export::PermitSigner;
use crate::http::{ClientAddress, DEADLINE, Host, Identified, Route, Surface, docs};

/// The running program, as handlers receive it.
#[derive(Clone)]
pub struct App {
    /// The database, with the clock and the entropy of the process.
    pub db: Db,
    /// Where requests and background work run to completion; awaited at the end of the process.
    pub tracker: TaskTracker,
    /// How long a client waits for an answer.
    pub deadline: Duration,
    /// What the process has counted; absent where nobody asks (tests, commands).
    pub metrics: Option<PrometheusHandle>,
    /// What signs permits.
    pub permits: Arc<PermitSigner>,
    /// How often a key may ask for customers that do not exist.
    pub unknown_limit: Arc<DefaultKeyedRateLimiter<ApiKeyId>>,
}

/// What a program is made of.
pub struct AppParts {
    /// The database, with the clock and the entropy of the process.
    pub db: Db,
    /// What signs permits.
    pub permits: PermitSigner,
    /// What the process has counted, if somebody asks.
    pub metrics: Option<PrometheusHandle>,
}

/// How many requests for customers that do not exist a key may make in a second.
const UNKNOWN_PER_SECOND: NonZeroU32 = NonZeroU32::new(10).expect("ten is not zero");

impl App {
    /// A program of these parts.
    #[must_use]
    pub fn new(parts: AppParts) -> Self {
        let AppParts { db, permits, metrics } = parts;
        Self {
            db,
            tracker: TaskTracker::new(),
            deadline: DEADLINE,
            metrics,
            permits: Arc::new(permits),
            unknown_limit: Arc::new(RateLimiter::keyed(Quota::per_second(UNKNOWN_PER_SECOND))),
        }
    }

    /// The program that the settings describe.
    ///
    /// # Errors
    /// When something that the settings name cannot be used.
    pub fn of(config: &Config, db: Db, metrics: Option<PrometheusHandle>) -> Result<Self> {
        let pem = std::fs::read(&config.permits.key_file).map_err(Error::internal)?;
        let permits = PermitSigner::from_pem(&pem, &config.permits.issuer)?;
        Ok(Self::new(AppParts { db, permits, metrics }))
    }
}

/// Starts the background work on the program's tracker; it ends when `stop` is cancelled.
pub fn spawn_background(_app: &App, _stop: &CancellationToken) {}

/// Every route there is.
#[must_use]
pub fn table() -> Vec<Route> {
    let mut table = docs::routes();
    table.extend(crate::registry::routes());
    table.extend(crate::customer::routes());
    table.extend(crate::document::routes());
    table.extend(crate::export::routes());
    table
}

/// The router of the first listener.
///
/// # Errors
/// When the table has a fault.
pub fn router(app: App) -> Result<axum::Router> {
    crate::http::router(app, table())
}

impl Host for App {
    async fn authenticate(&self, surface: Surface, token: &str, client: ClientAddress) -> Result<Identified> {
        let caller = crate::identity::authenticate(self, token, surface, client).await?;
        Ok(caller.into())
    }
    async fn ready(&self) -> Result<(), &'static str> {
        self.db.ping().await.map_err(|_| "database")
    }
    fn metrics(&self) -> String {
        self.metrics.as_ref().map(PrometheusHandle::render).unwrap_or_default()
    }
    fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }
    fn entropy(&self) -> &dyn Entropy {
        self.db.entropy()
    }
    fn deadline(&self) -> Duration {
        self.deadline
    }
}
