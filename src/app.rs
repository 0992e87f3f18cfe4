//! The program: everything a handler can reach, and the table of every route. The only file that
//! knows every feature; no rule lives here.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::base::{ApiKeyId, Code, Entropy, Error, Result, to_value};
use crate::config::Config;
use crate::db::{Db, Lock, LogId, Role};
use crate::delivery::{Effects, FileTransport};
use crate::evidence::{Actor, Event, NewEntry, commit};
use crate::export::PermitSigner;
use crate::http::{ClientAddress, DEADLINE, Host, Identified, Limits, Rates, Route, Surface, docs};
use crate::identity::{PasswordHasher, PasswordParams};
use crate::operation::Works;

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
    /// What hashes and verifies passwords, within bounds.
    pub passwords: Arc<PasswordHasher>,
    /// Where mail goes.
    pub mail: Option<FileTransport>,
    /// Where uploads wait until they are whole.
    pub spool: PathBuf,
    /// What deliveries set in motion.
    pub effects: Effects,
    /// How often a key may ask for customers that do not exist.
    pub unknown_limit: Arc<DefaultKeyedRateLimiter<ApiKeyId>>,
    /// How many requests each caller may make.
    pub limits: Arc<Limits>,
    /// What slow work there is.
    pub works: Works,
}

/// What a program is made of.
pub struct AppParts {
    /// The database, with the clock and the entropy of the process.
    pub db: Db,
    /// What signs permits.
    pub permits: PermitSigner,
    /// What hashes and verifies passwords.
    pub passwords: PasswordHasher,
    /// Where mail goes.
    pub mail: FileTransport,
    /// Where uploads wait until they are whole.
    pub spool: PathBuf,
    /// What the process has counted, if somebody asks.
    pub metrics: Option<PrometheusHandle>,
}

/// How many requests for customers that do not exist a key may make in a second.
const UNKNOWN_PER_SECOND: NonZeroU32 = NonZeroU32::new(10).expect("ten is not zero");

/// The requests in a minute of everybody, where no settings say it: in tests and commands.
const UNHINDERED: NonZeroU32 = NonZeroU32::new(100_000_000).expect("a hundred million is not zero");

impl App {
    /// A program of these parts.
    #[must_use]
    pub fn new(parts: AppParts) -> Self {
        let AppParts { db, permits, passwords, mail, spool, metrics } = parts;
        Self {
            db,
            tracker: TaskTracker::new(),
            deadline: DEADLINE,
            metrics,
            permits: Arc::new(permits),
            passwords: Arc::new(passwords),
            mail: Some(mail),
            spool,
            effects: crate::identity::EFFECTS,
            unknown_limit: Arc::new(RateLimiter::keyed(Quota::per_second(UNKNOWN_PER_SECOND))),
            limits: Arc::new(Limits::new(Rates::all(UNHINDERED))),
            works: crate::export::WORKS,
        }
    }

    /// The program that the settings describe.
    ///
    /// # Errors
    /// When something that the settings name cannot be used.
    pub fn of(config: &Config, db: Db, metrics: Option<PrometheusHandle>) -> Result<Self> {
        let pem = std::fs::read(&config.permits.key_file).map_err(Error::internal)?;
        let permits = PermitSigner::from_pem(&pem, &config.permits.issuer)?;
        let cost = config.passwords;
        let params = PasswordParams { memory_kib: cost.memory_kib, passes: cost.iterations, lanes: cost.parallelism };
        let passwords = PasswordHasher::new(params)?;
        let mail = FileTransport::new(&config.mail.directory);
        let app = Self::new(AppParts { db, permits, passwords, mail, spool: config.documents.spool_directory.clone(), metrics });
        Ok(Self { limits: Arc::new(Limits::new(config.limits.rates())), ..app })
    }
}

/// The platforms of the processor, registered at the first start.
const PLATFORMS: [&str; 3] = ["itslearning", "fronter", "skoleintra"];

/// Makes a database ready to serve: the registry's first entries, and the public half of the key
/// that signs permits. Run at every start; it does only what is not done.
///
/// # Errors
/// When the database does not take them.
pub async fn prepare(app: &App) -> Result<()> {
    let mut tx = app.db.write(Role::Ops, "load_registry", Lock::RegistryAlone, LogId::REGISTRY, &[]).await?;
    if tx.head(LogId::REGISTRY)?.size == 0 {
        let mut entries = Vec::new();
        for platform in PLATFORMS {
            entries.push(crate::registry::register_platform(&mut tx, &Code::fixed(platform)).await?);
        }
        entries.extend(crate::registry::load_reference(&mut tx).await?);
        commit(tx, entries).await?;
    } else {
        drop(tx);
    }
    let mut tx = app.db.write(Role::Ops, "publish_permit_key", Lock::Heads, LogId::PROCESSOR, &[]).await?;
    let jwk = to_value(&app.permits.key_set().keys.first());
    let now = tx.now();
    if crate::export::publish_key(tx.conn(), app.permits.kid(), &jwk, now).await? {
        let kid = app.permits.kid().to_owned();
        let event = Event::PermitKeyPublished { kid: kid.clone(), public_key: jwk };
        commit(tx, vec![NewEntry::new(LogId::PROCESSOR, kid, &Actor::system(), event)]).await?;
    }
    Ok(())
}

/// Delivers everything that is due now.
///
/// # Errors
/// When the database does not answer.
pub async fn deliver_due(app: &App) -> Result<usize> {
    let mut delivered = 0;
    loop {
        match crate::delivery::deliver_due(app).await? {
            0 => return Ok(delivered),
            count => delivered += count,
        }
    }
}

/// Starts the background work on the program's tracker; it ends when `stop` is cancelled.
pub fn spawn_background(app: &App, stop: &CancellationToken) {
    app.tracker.spawn(crate::delivery::run(app.clone(), stop.clone()));
    app.tracker.spawn(crate::operation::run(app.clone(), stop.clone()));
    app.tracker.spawn(sweep(app.clone(), stop.clone()));
}

/// How often what is past its end is removed.
const SWEEP: Duration = Duration::from_secs(3_600);

/// Removes answers and operations that were kept long enough, at the start and each hour, until
/// told to stop.
async fn sweep(app: App, stop: CancellationToken) {
    while !stop.is_cancelled() {
        for swept in [app.db.sweep_idempotency().await, crate::operation::sweep_operations(&app).await] {
            if let Err(error) = swept {
                tracing::warn!(cause = %error, "what is past its end was not swept");
            }
        }
        // Only the pause is cut short, never the work before it.
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(SWEEP) => {}
        }
    }
}

/// Every route there is.
#[must_use]
pub fn table() -> Vec<Route> {
    let mut table = docs::routes();
    table.extend(crate::identity::routes());
    table.extend(crate::registry::routes());
    table.extend(crate::customer::routes());
    table.extend(crate::document::routes());
    table.extend(crate::agreement::routes());
    table.extend(crate::instruction::routes());
    table.extend(crate::export::routes());
    table.extend(crate::operation::routes());
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
    fn limits(&self) -> Option<&Limits> {
        Some(&self.limits)
    }
    fn answers(&self) -> Option<&Db> {
        Some(&self.db)
    }
}
