//! One test's world: a copy of a database in which the demo world was loaded once per run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use chrono::Duration;
use mandate::app::{App, AppParts};
use mandate::base::{Clock as _, FixedClock, Instant, SeededEntropy, SystemClock};
use mandate::db::server::Options;
use mandate::db::{Db, Opened, PrivateServer};
use mandate::delivery::FileTransport;
use mandate::demo::Access;
use mandate::evidence::LogNotary;
use mandate::export::PermitSigner;
use mandate::identity::{PasswordHasher, PasswordParams, SecretsKey, TotpSecret, step_at};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::client::Client;
use super::crashing::Crashing;

/// The time at which every test begins.
pub const START: &str = "2026-11-24T08:00:00.000Z";
/// A key for tests only.
pub const PERMIT_KEY: &[u8] = include_bytes!("permit-key.pem");
/// Another, for the logs.
pub const LOG_KEY: &[u8] = include_bytes!("log-key.pem");
/// Another.
const SECRETS_KEY: &str = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2";

struct Shared {
    server: PrivateServer,
    world: String,
    access: Access,
}

static SHARED: OnceCell<Shared> = OnceCell::const_new();

pub struct Harness {
    pub app: App,
    pub clock: Arc<FixedClock>,
    pub access: Access,
    pub nobody: Client,
    pub database: Opened,
    pub mail: PathBuf,
    pub checkpoints: PathBuf,
    /// Second factors, with the last time step that was used.
    factors: Mutex<BTreeMap<String, (TotpSecret, i64)>>,
}

/// Runs a test in a world of its own, and audits it.
pub async fn run(test: impl AsyncFnOnce(&Harness)) {
    super::logged::collect();
    let shared = SHARED.get_or_init(shared).await;
    let database = shared.server.copy_of(&shared.world).await.unwrap();
    run_in(shared, database, shared.access.clone(), START.parse().unwrap(), test).await;
}

/// The same in a world that is loaded for it, up to the machine's own time: for tests that start
/// the program itself, which has no other clock.
pub async fn run_today(test: impl AsyncFnOnce(&Harness)) {
    super::logged::collect();
    let shared = SHARED.get_or_init(shared).await;
    let now = SystemClock::default().now();
    let (database, access) = loaded(&shared.server, now).await;
    run_in(shared, database, access, now, test).await;
}

/// The same on a server that the test may restore; nothing is audited at the end.
pub async fn run_on(server: &PrivateServer, test: impl AsyncFnOnce(&Harness)) {
    super::logged::collect();
    let start = START.parse().unwrap();
    let (database, access) = loaded(server, start).await;
    let harness = Harness::open(database, access, start, 10);
    test(&harness).await;
    harness.app.db.close().await;
    let _ = std::fs::remove_dir_all(&harness.mail);
    let _ = std::fs::remove_dir_all(&harness.checkpoints);
}

/// The same without the audit: for a test that means to break its world.
pub async fn run_unaudited(test: impl AsyncFnOnce(&Harness)) {
    super::logged::collect();
    let shared = SHARED.get_or_init(shared).await;
    let now = SystemClock::default().now();
    let (database, access) = loaded(&shared.server, now).await;
    let harness = Harness::open(database, access, now, 10);
    test(&harness).await;
    harness.close(&shared.server).await;
}

/// The same as [`run_today`] on a Postgres of its own, which the test may crash; audited or not.
pub async fn run_crashing(crashing: &Crashing, is_audited: bool, test: impl AsyncFnOnce(&Harness)) {
    super::logged::collect();
    let server = crashing.server().await;
    let now = SystemClock::default().now();
    let (database, access) = loaded(&server, now).await;
    let mut harness = Harness::open(database, access, now, 10);
    test(&harness).await;
    if is_audited {
        // The connections of before the crashes are dead.
        harness.app = harness.another(&harness.database.urls, 10);
        harness.audited().await;
        harness.close(&server).await;
    }
}

async fn run_in(shared: &Shared, database: Opened, access: Access, start: Instant, test: impl AsyncFnOnce(&Harness)) {
    let harness = Harness::open(database, access, start, 10);
    test(&harness).await;
    harness.audited().await;
    harness.close(&shared.server).await;
}

async fn shared() -> Shared {
    // A cluster belongs to the programs that made it.
    let programs = std::env::var("MANDATE_PG_BIN").unwrap_or_default().replace(['/', '.'], "-");
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("pg{programs}"));
    let given = std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty()).map(SecretString::from);
    let server = PrivateServer::ensure(given.as_ref(), &dir, Options { fsync: false }).await.unwrap();
    let (world, access) = loaded(&server, START.parse().unwrap()).await;
    Shared { server, world: world.name, access }
}

/// A database with the demo world, settled two hours before `start`.
async fn loaded(server: &PrivateServer, start: Instant) -> (Opened, Access) {
    let template = server.template().await.unwrap();
    let opened = server.copy_of(&template).await.unwrap();
    let empty = Access { database: String::new(), password: String::new(), logins: Vec::new(), keys: Vec::new() };
    let harness = Harness::open(opened, empty, start, 4);
    let access = mandate::demo::load(&harness.app, &harness.clock, &harness.mail, "correct horse battery", start.plus(-Duration::hours(2)))
        .await
        .unwrap();
    harness.app.db.close().await;
    let _ = std::fs::remove_dir_all(&harness.mail);
    let _ = std::fs::remove_dir_all(&harness.checkpoints);
    (harness.database, access)
}

impl Harness {
    fn open(database: Opened, access: Access, start: Instant, connections: u32) -> Self {
        let mail = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("mail-{}", database.name));
        let checkpoints = mail.with_file_name(format!("checkpoints-{}", database.name));
        let secret = |text: &String| (TotpSecret::from_base32(text).unwrap(), 0);
        let factors = access.logins.iter().filter_map(|l| Some((l.email.clone(), secret(l.totp_secret.as_ref()?))));
        let factors = Mutex::new(factors.collect());
        Self::in_place(database, access, Arc::new(FixedClock::new(start)), connections, (mail, checkpoints), factors, 7)
    }

    /// The same world on another database, as a backup brought it back: clock, mail, checkpoints and
    /// what people know are as they were.
    pub fn restored(&self, database: Opened) -> Self {
        let factors = Mutex::new(self.factors.lock().unwrap().clone());
        let place = (self.mail.clone(), self.checkpoints.clone());
        // Other randomness than before, also where the database has the same name.
        Self::in_place(database, self.access.clone(), self.clock.clone(), 10, place, factors, 8)
    }

    fn in_place(
        database: Opened,
        access: Access,
        clock: Arc<FixedClock>,
        connections: u32,
        (mail, checkpoints): (PathBuf, PathBuf),
        factors: Mutex<BTreeMap<String, (TotpSecret, i64)>>,
        first: u64,
    ) -> Self {
        let seed = database.name.bytes().fold(first, |sum, b| sum.wrapping_mul(31).wrapping_add(u64::from(b)));
        let db = Db::new(&database.urls, connections, clock.clone(), Arc::new(SeededEntropy::new(seed))).unwrap();
        std::fs::create_dir_all(&mail).unwrap();
        std::fs::create_dir_all(&checkpoints).unwrap();
        let permits = PermitSigner::from_pem(PERMIT_KEY, "https://mandate.test").unwrap();
        let params = PasswordParams { memory_kib: 8, passes: 1, lanes: 1 };
        let app = App::new(AppParts {
            db,
            permits,
            notary: LogNotary::from_pem(LOG_KEY, &checkpoints).unwrap(),
            passwords: PasswordHasher::new(params).unwrap(),
            secrets: SecretsKey::from_text(SECRETS_KEY).unwrap(),
            mail: FileTransport::new(&mail),
            spool: std::env::temp_dir(),
            metrics: None,
            alarms: mandate::config::Config::load(&mandate::config::Environment::default(), None, &[]).unwrap().alarms,
        });
        let nobody = Client { router: mandate::app::router(app.clone()).unwrap(), token: None };
        Self { app, clock, access, nobody, database, mail, checkpoints, factors }
    }

    async fn audited(&self) {
        mandate::app::deliver_due(&self.app).await.unwrap();
        super::audit::audit(self).await;
    }

    async fn close(self, server: &PrivateServer) {
        self.app.db.close().await;
        server.remove(&self.database.name).await.unwrap();
        let _ = std::fs::remove_dir_all(&self.mail);
        let _ = std::fs::remove_dir_all(&self.checkpoints);
    }

    /// A code of a person's second factor that was not used yet. The clock goes on a step when the
    /// three codes that are accepted now are used up.
    pub fn code(&self, email: &str) -> String {
        let mut factors = self.factors.lock().unwrap();
        let (secret, last) = factors.get_mut(email).unwrap_or_else(|| panic!("{email} has no second factor"));
        let present = step_at(self.app.db.clock().now());
        *last = (*last + 1).max(present - 1);
        if *last > present + 1 {
            self.advance(Duration::seconds(30));
        }
        secret.code(*last)
    }

    /// The secret of a person's second factor.
    pub fn secret(&self, email: &str) -> TotpSecret {
        self.factors.lock().unwrap()[email].0.clone()
    }

    fn has_factor(&self, email: &str) -> bool {
        self.factors.lock().unwrap().contains_key(email)
    }

    /// Moves the clock forward.
    pub fn advance(&self, duration: Duration) {
        self.clock.advance(duration);
    }

    /// The present time of the world, in milliseconds.
    pub fn clock_millis(&self) -> i64 {
        self.app.db.clock().now().millis()
    }

    /// The id of a customer of the world by the beginning of its name.
    pub fn customer(&self, name: &str) -> String {
        let found = self.access.logins.iter().filter_map(|l| l.customer.as_ref()).find(|(_, n)| n.starts_with(name));
        found.unwrap_or_else(|| panic!("no customer {name}")).0.clone()
    }

    /// A person of the world, logged in, without step-up.
    pub async fn login(&self, email: &str) -> Client {
        let login = self.access.logins.iter().find(|l| l.email == email).unwrap_or_else(|| panic!("no person {email}"));
        let surface = if login.customer.is_some() { "/api/v1" } else { "/api/admin/v1" };
        let mut body = json!({"email": email, "password": self.access.password});
        if login.customer.is_none() {
            body["code"] = self.code(email).into();
        }
        let session = self.nobody.post(&format!("{surface}/sessions"), &body).await.expect(201);
        self.nobody.with(session.text("/token"))
    }

    /// A person of the world, logged in, with step-up.
    pub async fn person(&self, email: &str) -> Client {
        let client = self.login(email).await;
        self.step_up(&client, email).await;
        client
    }

    /// Steps up a client's present session.
    pub async fn step_up(&self, client: &Client, email: &str) {
        let login = self.access.logins.iter().find(|l| l.email == email).unwrap();
        let surface = if login.customer.is_some() { "/api/v1" } else { "/api/admin/v1" };
        let me = client.get(&format!("{surface}/me")).await.expect(200);
        let session = me.text("/session");
        let body = json!({"password": self.access.password, "code": self.code(email)});
        client.post(&format!("{surface}/sessions/{session}/step-ups"), &body).await.expect(201);
    }

    /// Enrols a second factor in a client's session, which is stepped up by it; gives its recovery codes.
    pub async fn enrol(&self, client: &Client, surface: &str, email: &str) -> Vec<String> {
        let me = client.get(&format!("{surface}/me")).await.expect(200);
        let path = format!("{surface}/sessions/{}/second-factors", me.text("/session"));
        let begun = client.post(&path, &json!({})).await.expect(201);
        let secret = mandate::demo::secret_of(&begun.text("/otpauth_uri")).unwrap();
        self.factors.lock().unwrap().insert(email.to_owned(), (secret, 0));
        let body = json!({"password": self.access.password, "code": self.code(email)});
        let confirmed = client.post(&format!("{path}/{}/confirmations", begun.text("/id")), &body).await.expect(201);
        let codes = confirmed.json()["recovery_codes"].as_array().unwrap().clone();
        codes.into_iter().map(|code| code.as_str().unwrap().to_owned()).collect()
    }

    /// A person who accepts the invitation that was mailed, logged in and stepped up.
    pub async fn invited(&self, email: &str, customer: &str) -> Client {
        let token = mandate::demo::invitation(&self.mail, email).unwrap();
        let body = json!({"token": token, "password": self.access.password});
        self.nobody.post("/api/v1/invitation-acceptances", &body).await.expect(201);
        self.nobody.post("/api/v1/invitation-acceptances", &body).await.expect(422);
        self.log_in_as(email, customer).await
    }

    /// A person of a customer, by password, stepped up; enrols a second factor if there is none.
    pub async fn log_in_as(&self, email: &str, customer: &str) -> Client {
        let body = json!({"email": email, "password": self.access.password, "customer": customer});
        let session = self.nobody.post("/api/v1/sessions", &body).await.expect(201);
        let client = self.nobody.with(session.text("/token"));
        if self.has_factor(email) {
            let body = json!({"password": self.access.password, "code": self.code(email)});
            client.post(&format!("/api/v1/sessions/{}/step-ups", session.text("/id")), &body).await.expect(201);
        } else {
            self.enrol(&client, "/api/v1", email).await;
        }
        client
    }

    /// An ops person who accepts the invitation that was mailed, logged in and stepped up.
    pub async fn invited_ops(&self, email: &str) -> Client {
        let token = mandate::demo::invitation(&self.mail, email).unwrap();
        let body = json!({"token": token, "password": self.access.password});
        self.nobody.post("/api/admin/v1/invitation-acceptances", &body).await.expect(201);
        self.log_in_ops(email).await
    }

    /// An ops person, stepped up; enrols a second factor if there is none.
    pub async fn log_in_ops(&self, email: &str) -> Client {
        let mut body = json!({"email": email, "password": self.access.password});
        let enrolled = self.has_factor(email);
        if enrolled {
            body["code"] = json!(self.code(email));
        }
        let session = self.nobody.post("/api/admin/v1/sessions", &body).await.expect(201);
        let client = self.nobody.with(session.text("/token"));
        if enrolled {
            body["code"] = json!(self.code(email));
            let body = json!({"password": body["password"], "code": body["code"]});
            client.post(&format!("/api/admin/v1/sessions/{}/step-ups", session.text("/id")), &body).await.expect(201);
        } else {
            self.enrol(&client, "/api/admin/v1", email).await;
        }
        client
    }

    /// A platform with its key.
    pub fn platform(&self, platform: &str) -> Client {
        let key = self.access.keys.iter().find(|k| k.platform == platform).unwrap();
        self.nobody.with(&key.key)
    }

    /// Drafts and signs an instruction; gives its id.
    pub async fn signed(&self, signatory: &Client, instruction: &Value) -> String {
        let id = self.drafted(signatory, instruction).await;
        self.sign(signatory, &id, 1).await.expect(201);
        id
    }

    /// Drafts an instruction; gives its id.
    pub async fn drafted(&self, signatory: &Client, instruction: &Value) -> String {
        signatory.post("/api/v1/instructions", instruction).await.expect(201).text("/id")
    }

    /// Signs the present draft of an instruction.
    pub async fn sign(&self, signatory: &Client, id: &str, version: u32) -> super::Answer {
        let path = format!("/api/v1/instructions/{id}");
        let seen = signatory.get(&path).await.expect(200);
        let etag = seen.headers.get("etag").unwrap().to_str().unwrap().to_owned();
        let key = super::client::fresh_key();
        let headers = [("if-match", etag.as_str()), ("idempotency-key", key.as_str())];
        signatory.post_with(&format!("{path}/signatures"), &headers, &json!({"version": version})).await
    }

    /// Asks the gate.
    pub async fn ask(&self, platform: &Client, key: &str, export: &Value) -> super::Answer {
        platform.post_with("/gate/v1/exports", &[("idempotency-key", key)], export).await
    }

    /// Redeems a permit.
    pub async fn redeem(&self, platform: &Client, key: &str, export: &str, permit: &str) -> super::Answer {
        let path = format!("/gate/v1/exports/{export}/redemptions");
        platform.post_with(&path, &[("idempotency-key", key)], &json!({"permit": permit})).await
    }

    /// Asks whether a chunk of a running export may leave.
    pub async fn chunk(&self, platform: &Client, key: &str, export: &str, chunk: &Value) -> super::Answer {
        platform.post_with(&format!("/gate/v1/exports/{export}/chunks"), &[("idempotency-key", key)], chunk).await
    }

    /// A redeemed export; gives its id.
    pub async fn running(&self, platform: &Client, key: &str, export: &Value) -> String {
        let permitted = self.ask(platform, key, export).await.expect(201);
        let (id, permit) = (permitted.text("/id"), permitted.text("/permit"));
        self.redeem(platform, key, &id, &permit).await.expect(201);
        id
    }

    /// Another process of the same service, with this key of the logs alone.
    pub fn app_with_log_key(&self, pem: &[u8]) -> App {
        let notary = Arc::new(LogNotary::from_pem(pem, &self.checkpoints).unwrap());
        App { db: self.app.db.with_notary(notary.clone()), notary, ..self.app.clone() }
    }

    /// Texts of the mail that was sent so far and has these words.
    pub async fn mail_with(&self, words: &str) -> Vec<String> {
        mandate::app::deliver_due(&self.app).await.unwrap();
        let files = std::fs::read_dir(&self.mail).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
        // Long lines are cut softly (RFC 2045 §6.7).
        files.map(|text| text.replace("=\r\n", "")).filter(|text| text.contains(words)).collect()
    }
}
