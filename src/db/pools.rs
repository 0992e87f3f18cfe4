//! One pool per runtime role. None is the owner; each connection has short timeouts, so that a
//! stopped process cannot hold a log's head or the registry.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

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
}

impl Role {
    /// All of them.
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
    pools: [PgPool; 5],
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Db {
    /// Makes the pools; connects when first used.
    ///
    /// # Errors
    /// When a URL cannot be read.
    pub fn new(urls: &RoleUrls, connections: u32, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Result<Self> {
        let mut pools = Vec::with_capacity(5);
        for url in &urls.urls {
            let options = PgConnectOptions::from_str(url.expose_secret())
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
                ]);
            pools.push(
                PgPoolOptions::new()
                    .max_connections(connections)
                    .acquire_timeout(Duration::from_secs(2))
                    .idle_timeout(Duration::from_secs(60))
                    .after_release(|connection, _| {
                        Box::pin(async move {
                            // A `begin()` cancelled at the wrong moment hands back a connection
                            // inside an open transaction; the next user would run in it.
                            sqlx::raw_sql("ROLLBACK").execute(connection).await?;
                            Ok(true)
                        })
                    })
                    .connect_lazy_with(options),
            );
        }
        let pools = pools.try_into().map_err(|_| Error::internal("five pools"))?;
        Ok(Self { pools, clock, entropy })
    }

    /// The same pools with another clock: for the loader of the demo world, at the world's own dates.
    #[must_use]
    pub fn with_clock(&self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self.clone() }
    }
    pub(super) fn pool(&self, role: Role) -> &PgPool {
        &self.pools[role as usize]
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
    /// Asks every role's pool for an answer.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when one does not answer.
    pub async fn ping(&self) -> Result<()> {
        for pool in &self.pools {
            sqlx::query("SELECT 1").execute(pool).await?;
        }
        Ok(())
    }
    /// Closes all pools after their running statements.
    pub async fn close(&self) {
        for pool in &self.pools {
            pool.close().await;
        }
    }
}
