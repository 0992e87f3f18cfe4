//! One pool per runtime role. None is the owner; each connection has short timeouts, so that a
//! stopped process cannot hold a log's head or the registry. What a connection brings back is
//! rolled back. Which pool a role has at the moment is `watch`'s.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};

use super::Notary;
use super::notary::Serves;
use super::watch::RolePool;
use crate::base::{Clock, Entropy, Error, Result};

/// The roles the service connects as (house rules: tenancy).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Institution surface: one customer at a time.
    App,
    /// The gate: the customers of a batch.
    Gate,
    /// Background work: job envelopes, then one customer at a time.
    Worker,
    /// Admin surface: registry, processor log, global tables, one customer at a time.
    Ops,
    /// Admin surface, reading across customers: listed columns only.
    OpsRead,
    /// Erasing: what no other role may take away. The service itself never has this login.
    Eraser,
}

impl Role {
    /// All that the service has.
    pub const ALL: [Self; 5] = [Self::App, Self::Gate, Self::Worker, Self::Ops, Self::OpsRead];
    /// The role's name in Postgres.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::App => "mandate_app",
            Self::Gate => "mandate_gate",
            Self::Worker => "mandate_worker",
            Self::Ops => "mandate_ops",
            Self::OpsRead => "mandate_ops_read",
            Self::Eraser => "mandate_eraser",
        }
    }
}

/// One connection URL per role.
#[derive(Debug, Clone)]
pub struct RoleUrls {
    /// In the order of [`Role::ALL`].
    pub urls: [SecretString; 5],
}

/// The database as the service sees it: pools, and the clock and entropy that transactions use.
#[derive(Clone)]
pub struct Db {
    pub(super) pools: Arc<[RolePool; 5]>,
    eraser: Option<Arc<RolePool>>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    notary: Option<Arc<dyn Notary>>,
    pub(super) serves: Serves,
}

/// How long a caller waits for a connection, and a connection that comes back for its ROLLBACK: so
/// that a 503 leaves within 2 s.
const PATIENCE: Duration = Duration::from_millis(1_750);

impl Db {
    /// Makes the pools; connects when first used.
    ///
    /// # Errors
    /// When a URL cannot be read.
    pub fn new(urls: &RoleUrls, connections: u32, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Result<Self> {
        Self::of(urls, &pool_options(connections).after_release(|connection, _| Box::pin(rolled_back(connection))), clock, entropy)
    }

    /// The same without the ROLLBACK of what comes back: the control of the test that shows what it is for.
    ///
    /// # Errors
    /// As [`Self::new`].
    #[doc(hidden)]
    pub fn without_rollback(urls: &RoleUrls, connections: u32, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Result<Self> {
        Self::of(urls, &pool_options(connections), clock, entropy)
    }

    fn of(urls: &RoleUrls, options: &PgPoolOptions, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Result<Self> {
        let serves = Serves::default();
        let of_pools = serves.clone();
        let options = options.clone().after_connect(move |connection, _| {
            let serves = of_pools.clone();
            Box::pin(async move { serves.check(connection).await })
        });
        let mut pools = Vec::with_capacity(5);
        for (role, url) in Role::ALL.into_iter().zip(&urls.urls) {
            pools.push(RolePool::new(role, connect_options(url)?, options.clone()));
        }
        let pools: [RolePool; 5] = pools.try_into().map_err(|_| Error::internal("five pools"))?;
        Ok(Self { pools: Arc::new(pools), eraser: None, clock, entropy, notary: None, serves })
    }

    /// The same pools with another clock: for the loader of the demo world, at the world's own dates.
    #[must_use]
    pub fn with_clock(&self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self.clone() }
    }
    /// The same pools with a notary: what it does is done after every COMMIT with entries.
    #[must_use]
    pub fn with_notary(&self, notary: Arc<dyn Notary>) -> Self {
        Self { notary: Some(notary), ..self.clone() }
    }
    /// The same with the eraser's login, for the command that erases.
    ///
    /// # Errors
    /// When the URL cannot be read.
    pub fn with_eraser(&self, url: &SecretString) -> Result<Self> {
        let options = pool_options(1).after_release(|connection, _| Box::pin(rolled_back(connection)));
        let pool = RolePool::new(Role::Eraser, connect_options(url)?, options);
        Ok(Self { eraser: Some(Arc::new(pool)), ..self.clone() })
    }
    /// Where a role logs in.
    ///
    /// # Errors
    /// When this process was not given that login.
    pub(super) fn at(&self, role: Role) -> Result<&RolePool> {
        let pool = self.pools.get(role as usize).or(self.eraser.as_deref());
        pool.ok_or_else(|| Error::internal("this process was not given the eraser's login"))
    }
    /// The notary, if there is one.
    #[must_use]
    pub fn notary(&self) -> Option<&Arc<dyn Notary>> {
        self.notary.as_ref()
    }
    pub(super) fn pool(&self, role: Role) -> PgPool {
        self.pools[role as usize].current().0
    }
    /// The clock of this process.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }
    /// The source of randomness of this process.
    #[must_use]
    pub fn entropy(&self) -> &dyn Entropy {
        &*self.entropy
    }
    /// Closes all pools after their running statements.
    pub async fn close(&self) {
        for pool in self.pools.iter() {
            pool.current().0.close().await;
        }
    }
}

fn connect_options(url: &SecretString) -> Result<PgConnectOptions> {
    Ok(PgConnectOptions::from_str(url.expose_secret())
        .map_err(|_| Error::internal("a database URL cannot be read"))?
        .application_name("mandate")
        .options([
            ("statement_timeout", "5s"),
            ("lock_timeout", "2s"),
            ("idle_in_transaction_session_timeout", "2s"),
            ("tcp_keepalives_idle", "5"),
            ("tcp_keepalives_interval", "1"),
            ("tcp_keepalives_count", "3"),
            ("TimeZone", "UTC"),
            // Else every ROLLBACK outside a transaction is a notice.
            ("client_min_messages", "error"),
        ]))
}

fn pool_options(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new().max_connections(connections).acquire_timeout(PATIENCE).idle_timeout(Duration::from_secs(60))
}

/// A `begin()` cancelled at the wrong moment (sqlx 0.9.0) hands back a connection inside an open
/// transaction; the next user would run in it. One that does not answer is closed: its socket is
/// dead, and would keep its place in the pool for ever.
async fn rolled_back(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    #[expect(clippy::disallowed_methods, reason = "what is cut off here is closed, and so in no doubt")]
    let answer = tokio::time::timeout(PATIENCE, sqlx::raw_sql("ROLLBACK").execute(connection)).await;
    answer.map_err(|_| sqlx::Error::PoolTimedOut)?.map(|_| true)
}
