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

use crate::alarm::Activity;
use crate::base::{ApiKeyId, Code, Entropy, Error, Result};
use crate::config::{Alarms, Config, KeyFiles};
use crate::customer::Attempts;
use crate::db::{Db, Lock, LogId, Role};
use crate::delivery::{Effects, FileTransport};
use crate::evidence::{LogNotary, commit};
use crate::export::PermitSigner;
use crate::http::{Attempt, ClientAddress, DEADLINE, Host, Identified, Limits, Places, Rates, Route, Surface, docs};
use crate::identity::{PasswordHasher, PasswordParams, SecretsKey};
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
    /// What signs checkpoints, and keeps them outside the database.
    pub notary: Arc<LogNotary>,
    /// What hashes and verifies passwords, within bounds.
    pub passwords: Arc<PasswordHasher>,
    /// What encrypts second factors at rest.
    pub secrets: Arc<SecretsKey>,
    /// Where mail goes.
    pub mail: Option<FileTransport>,
    /// Where uploads wait until they are whole.
    pub spool: PathBuf,
    /// What deliveries set in motion.
    pub effects: Effects,
    /// How much is done at once.
    pub places: Places,
    /// How often a key may ask for customers that do not exist.
    pub unknown_limit: Arc<DefaultKeyedRateLimiter<ApiKeyId>>,
    /// What this process has seen at the gate and not yet written down.
    pub activity: Arc<Activity>,
    /// How often ops persons were refused at customers.
    pub attempts: Arc<Attempts>,
    /// How many requests each caller may make.
    pub rates: Arc<Limits>,
    /// What slow work there is.
    pub works: Works,
}

/// What a program is made of.
pub struct AppParts {
    /// The database, with the clock and the entropy of the process.
    pub db: Db,
    /// What signs permits.
    pub permits: PermitSigner,
    /// What signs checkpoints, and keeps them outside the database.
    pub notary: LogNotary,
    /// What hashes and verifies passwords.
    pub passwords: PasswordHasher,
    /// What encrypts second factors at rest.
    pub secrets: SecretsKey,
    /// Where mail goes.
    pub mail: FileTransport,
    /// Where uploads wait until they are whole.
    pub spool: PathBuf,
    /// What the process has counted, if somebody asks.
    pub metrics: Option<PrometheusHandle>,
    /// What is normal at the gate.
    pub alarms: Alarms,
}

/// How many requests for customers that do not exist a key may make in a second.
const UNKNOWN_PER_SECOND: NonZeroU32 = NonZeroU32::new(10).expect("ten is not zero");

/// The requests in a minute of everybody, where no settings say it: in tests and commands.
const UNHINDERED: NonZeroU32 = NonZeroU32::new(100_000_000).expect("a hundred million is not zero");

impl App {
    /// A program of these parts.
    #[must_use]
    pub fn new(parts: AppParts) -> Self {
        let AppParts { db, permits, notary, passwords, secrets, mail, spool, metrics, alarms } = parts;
        let notary = Arc::new(notary);
        Self {
            db: db.with_notary(notary.clone()),
            tracker: TaskTracker::new(),
            deadline: DEADLINE,
            metrics,
            permits: Arc::new(permits),
            notary,
            passwords: Arc::new(passwords),
            secrets: Arc::new(secrets),
            mail: Some(mail),
            spool,
            effects: crate::identity::EFFECTS,
            places: Places::default(),
            unknown_limit: Arc::new(RateLimiter::keyed(Quota::per_second(UNKNOWN_PER_SECOND))),
            activity: Arc::new(Activity::new(alarms)),
            attempts: Arc::default(),
            rates: Arc::new(Limits::new(Rates::all(UNHINDERED))),
            works: &[crate::export::WORK, crate::pack::WORK],
        }
    }

    /// The program that the settings describe.
    ///
    /// # Errors
    /// When something that the settings name cannot be used.
    pub fn of(config: &Config, db: Db, metrics: Option<PrometheusHandle>) -> Result<Self> {
        let permits = PermitSigner::of_files(key_files(config), &config.permits.issuer)?;
        let notary = LogNotary::of_files(config.evidence.key_files(), &config.evidence.checkpoint_directory)?;
        let cost = config.passwords;
        let params = PasswordParams { memory_kib: cost.memory_kib, passes: cost.iterations, lanes: cost.parallelism };
        let passwords = PasswordHasher::new(params)?;
        let secrets = SecretsKey::of_files(&config.secrets.key_file, &config.secrets.previous_key_file)?;
        let mail = FileTransport::new(&config.mail.directory);
        let (spool, alarms) = (config.documents.spool_directory.clone(), config.alarms);
        let app = Self::new(AppParts { db, permits, notary, passwords, secrets, mail, spool, metrics, alarms });
        let limits = config.limits;
        let places = Places::new(limits.gate_requests, limits.requests, limits.uploads);
        Ok(Self { places, rates: Arc::new(Limits::new(config.rates.rates())), ..app })
    }
}

/// Where the settings say that the private keys of permits lie.
#[must_use]
pub fn key_files(config: &Config) -> KeyFiles {
    KeyFiles { file: config.permits.key_file.clone(), directory: config.permits.key_directory.clone() }
}

/// The platforms of the processor, registered at the first start.
const PLATFORMS: [&str; 3] = ["itslearning", "fronter", "skoleintra"];

/// Makes a database ready to serve: another epoch of every log after a restore, the registry's first entries, and the first key that signs
/// permits, the first key of the logs, and every checkpoint that is not yet kept. Run at every start; it does only what is not done.
///
/// # Errors
/// When the database does not take them.
pub async fn prepare(app: &App) -> Result<()> {
    // Before anything else is read or recorded: what a restore brought back counts only after it.
    crate::restore::take_in(&app.db, app.notary.outside(), &app.notary.public_keys(), false).await?;
    let back = crate::erasure::brought_back(&app.db, app.notary.outside()).await?;
    if back.due > 0 {
        // The eraser's login is never the service's.
        tracing::warn!(due = back.due, "ALARM: what was erased is in the database again: run `mandate erase`");
    }
    if !crate::fsck::check_at_start(app).await? {
        // The registry failed: everything is read, and nothing written.
        return Ok(());
    }
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
    crate::export::begin_with_first_key(app).await?;
    crate::log::begin_with_first_log_key(app).await?;
    app.notary.keep_all(&app.db).await
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
    app.tracker.spawn(crate::export::run_sweep(app.clone(), stop.clone()));
    app.tracker.spawn(crate::alarm::run(app.clone(), stop.clone()));
    app.tracker.spawn(crate::operation::run(app.clone(), stop.clone()));
    app.tracker.spawn(crate::evidence::run_notary(app.notary.clone(), app.db.clone(), stop.clone()));
    app.tracker.spawn(crate::log::run_daily(app.clone(), stop.clone()));
    app.tracker.spawn(sweep(app.clone(), stop.clone()));
    let (db, stop) = (app.db.clone(), stop.clone());
    app.tracker.spawn(async move { db.watch(&stop).await });
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
    table.extend(crate::alarm::routes());
    table.extend(crate::operation::routes());
    table.extend(crate::pack::routes());
    table.extend(crate::log::routes());
    table.extend(crate::restore::routes());
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
    fn may_attempt(&self, attempt: &Attempt) -> Result<()> {
        crate::customer::may_attempt(self, attempt)
    }
    async fn refused(&self, attempt: &Attempt, status: u16) {
        crate::customer::refused(self, attempt, status).await;
    }
    async fn ready(&self) -> Result<(), &'static str> {
        if self.tracker.is_closed() {
            return Err("ending");
        }
        self.db.answers().await.map_err(|_| "database")?;
        match crate::export::missing_permit_key(self).await {
            Ok(None) => {}
            Ok(Some(_)) => return Err("permit key"),
            Err(_) => return Err("database"),
        }
        match crate::log::missing_log_key(self).await {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err("key of the logs"),
            Err(_) => Err("database"),
        }
    }
    async fn keep_again(&self, receipts: &serde_json::Value) -> Result<()> {
        self.notary.keep_again(&self.db, receipts).await.map_err(|error| {
            tracing::warn!(cause = %error, "a checkpoint was not kept outside the database");
            Error::CheckpointNotKept
        })
    }
    fn places(&self) -> Option<&Places> {
        Some(&self.places)
    }
    fn lost(&self, surface: Surface) -> impl Future<Output = ()> + Send + 'static {
        let (one, other) = match surface {
            Surface::Institution => (Role::App, Role::App),
            Surface::Gate | Surface::Public => (Role::Gate, Role::Gate),
            Surface::Admin => (Role::Ops, Role::OpsRead),
        };
        let (one, other) = (self.db.lost(one), self.db.lost(other));
        async move {
            tokio::select! {
                () = one => {}
                () = other => {}
            }
        }
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
        Some(&self.rates)
    }
    fn answers(&self) -> Option<&Db> {
        Some(&self.db)
    }
}
