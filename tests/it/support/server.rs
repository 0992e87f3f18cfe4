//! A process of the program, as it is installed: a folder with its keys, the logins of its roles, two
//! ports. It can be stopped, continued, killed and started again in the same folder.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mandate::db::Role;
use mandate::evidence::LogNotary;
use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::harness::{Harness, LOG_KEY, PERMIT_KEY};

/// Starts a process in a folder; gives it and the addresses it is asked at, and asked for its health at.
pub type Spawn = fn(&Harness, &Path) -> (Child, String, String);

/// A process of the program; gone with this value, stopped or not.
pub struct Server {
    pub child: Child,
    pub base: String,
    health: String,
    pub folder: PathBuf,
    spawn: Spawn,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Addresses that were free a moment ago; nobody else here asks for them.
pub fn free_addresses() -> [String; 2] {
    let ports = [0, 1].map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    ports.map(|port| port.local_addr().unwrap().to_string())
}

/// Keeps checkpoints in a server's folder as if it had served before: one without the registry's is taken
/// for a lost one.
pub async fn served_before(h: &Harness, folder: &Path) {
    let checkpoints = folder.join("checkpoints");
    std::fs::create_dir_all(&checkpoints).unwrap();
    LogNotary::from_pem(LOG_KEY, &checkpoints).unwrap().keep_all(&h.app.db).await.unwrap();
}

/// A client that waits no longer than a request may take.
pub fn http() -> reqwest::Client {
    reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap()
}

impl Server {
    pub async fn start(h: &Harness, name: &str) -> Self {
        Self::start_by(h, name, program).await
    }

    pub async fn start_by(h: &Harness, name: &str, spawn: Spawn) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("server-{}-{name}", h.database.name));
        std::fs::create_dir_all(&folder).unwrap();
        for (name, key) in [("permit-key.pem", PERMIT_KEY), ("log-key.pem", LOG_KEY)] {
            let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(folder.join(name));
            std::io::Write::write_all(&mut file.unwrap(), key).unwrap();
        }
        let secrets = folder.join("secrets-key");
        std::fs::remove_file(&secrets).ok();
        let made = Command::new(env!("CARGO_BIN_EXE_mandate")).args(["secrets-key", "generate"]).arg(&secrets).output().unwrap();
        assert!(made.status.success());
        served_before(h, &folder).await;
        let (child, base, health) = spawn(h, &folder);
        let server = Self { child, base, health, folder, spawn };
        server.ready().await;
        server
    }

    /// Kills the process, as nothing that it could hear of.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again in its folder, after it has ended.
    pub async fn again(&mut self, h: &Harness) {
        (self.child, self.base, self.health) = (self.spawn)(h, &self.folder);
        self.ready().await;
    }

    /// Waits until it says that it serves.
    pub async fn ready(&self) {
        for _ in 0..1_500 {
            let answer = http().get(format!("{}/readyz", self.health)).send().await;
            if answer.is_ok_and(|answer| answer.status() == 200) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not ready: {}", self.log());
    }

    /// What it logged since it was started last.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap()
    }

    pub fn signal(&self, which: &str) {
        assert!(Command::new("kill").args([which, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Sends a request with its idempotency key; none when no whole answer came.
    pub async fn post(&self, path: &str, token: &str, key: &str, body: &Value) -> Option<(u16, Value)> {
        let request = http().post(format!("{}{path}", self.base)).bearer_auth(token).header("idempotency-key", key);
        let answer = request.json(body).send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.json().await.ok()?))
    }
}

/// The program itself.
fn program(h: &Harness, folder: &Path) -> (Child, String, String) {
    let [main, health] = free_addresses();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mandate"));
    command.args(["serve", "--listen", &main, "--health-listen", &health]).env("MANDATE_HOME", folder);
    for (key, value) in [
        ("MAIL__DIRECTORY", "mail"),
        ("DOCUMENTS__SPOOL_DIRECTORY", "spool"),
        ("PERMITS__KEY_FILE", "permit-key.pem"),
        ("EVIDENCE__KEY_FILE", "log-key.pem"),
        ("SECRETS__KEY_FILE", "secrets-key"),
    ] {
        command.env(format!("MANDATE__{key}"), folder.join(value));
    }
    command.env("MANDATE__PERMITS__ISSUER", "https://mandate.test").env_remove("DATABASE_URL");
    for (role, url) in Role::ALL.into_iter().zip(&h.database.urls.urls) {
        let role = role.name().trim_start_matches("mandate_").to_uppercase();
        command.env(format!("MANDATE__DATABASE__{role}_URL"), url.expose_secret());
    }
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
    (child, format!("http://{main}"), format!("http://{health}"))
}
