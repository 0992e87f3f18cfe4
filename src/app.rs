//! The program: everything a handler can reach, and the table of every route. The only file that
//! knows every feature; no rule lives here.

use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::task::TaskTracker;

use crate::base::{Entropy, Result};
use crate::db::Db;
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
}

impl App {
    /// A program on this database.
    #[must_use]
    pub fn new(db: Db, metrics: Option<PrometheusHandle>) -> Self {
        Self { db, tracker: TaskTracker::new(), deadline: DEADLINE, metrics }
    }
}

/// Every route there is.
#[must_use]
pub fn table() -> Vec<Route> {
    let mut table = docs::routes();
    table.extend(crate::agreement::routes());
    table.extend(crate::instruction::routes());
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
