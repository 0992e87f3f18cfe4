//! Two processes of the program on one database; one is stopped (SIGSTOP) in the middle of its
//! transactions, in each of which it holds a customer's head and the registry. The other serves all
//! customers again within 3 s, because the database ends what idles in a transaction; continued, the
//! first serves again, and no answered decision is missing from its log.
//! Negative control: without `idle_in_transaction_session_timeout` the other never serves them.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::support::{Harness, KARI, LOG_KEY, PERMIT_KEY, bare, connect_as_owner, export, instruction, run_today, try_sql, with};
use mandate::base::Digest;
use mandate::db::{LogId, Role};

const CUSTOMERS: [(&str, &str); 4] =
    [("Nordvik", "site-1001-its"), ("Søby", "site-2002-its"), ("Gymnasium", "site-3003-its"), ("Kantonsschule", "site-4004-its")];

/// A process of the program; gone with this value, stopped or not.
struct Server {
    child: Child,
    base: String,
    health: String,
    folder: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Server {
    async fn start(h: &Harness, name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("stopped-{}-{name}", h.database.name));
        std::fs::create_dir_all(&folder).unwrap();
        for (name, key) in [("permit-key.pem", PERMIT_KEY), ("log-key.pem", LOG_KEY)] {
            let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(folder.join(name));
            std::io::Write::write_all(&mut file.unwrap(), key).unwrap();
        }
        let secrets = folder.join("secrets-key");
        std::fs::remove_file(&secrets).ok();
        let made = Command::new(env!("CARGO_BIN_EXE_mandate")).args(["secrets-key", "generate"]).arg(&secrets).output().unwrap();
        assert!(made.status.success());
        // Free at this moment, and nobody else here asks for them.
        let ports = [0, 1].map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let [main, health] = ports.map(|port| port.local_addr().unwrap().to_string());
        let mut command = Command::new(env!("CARGO_BIN_EXE_mandate"));
        command.args(["serve", "--listen", &main, "--health-listen", &health]).env("MANDATE_HOME", &folder);
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
        let server = Self { child, base: format!("http://{main}"), health: format!("http://{health}"), folder };
        server.ready().await;
        server
    }

    async fn ready(&self) {
        for _ in 0..300 {
            let answer = client().get(format!("{}/readyz", self.health)).send().await;
            if answer.is_ok_and(|answer| answer.status() == 200) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("not ready: {}", std::fs::read_to_string(self.folder.join("log")).unwrap());
    }

    fn signal(&self, which: &str) {
        assert!(Command::new("kill").args([which, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Asks for an export of a customer; none when no answer came.
    async fn ask(&self, key: &str, customer: &str, platform_key: &str) -> Option<(u16, Value)> {
        let body = with(export(), json!({"customer": customer, "subjects": [{"kind": "whole"}]}));
        let request = client().post(format!("{}/gate/v1/exports", self.base)).bearer_auth(platform_key).header("idempotency-key", key);
        let answer = request.json(&body).send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.json().await.ok()?))
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap()
}

/// Waits until this many of the gate's transactions wait for a table that is locked away.
async fn waiting(owner: &mut PgConnection, count: i64) {
    for _ in 0..150 {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(DISTINCT l.pid) FROM pg_locks l JOIN pg_locks held USING (pid)
             WHERE NOT l.granted AND l.relation = 'instruction_term'::regclass AND held.granted AND held.relation = 'log_head'::regclass",
        )
        .fetch_one(&mut *owner)
        .await
        .unwrap();
        if waiting == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the transactions did not come to wait");
}

/// How long until every customer gets a decision from this process and the registry is free.
async fn served(h: &Harness, server: &Server, since: Instant, answered: &mut Vec<(usize, Value)>) -> Duration {
    let key = &h.access.keys.iter().find(|key| key.platform == "itslearning").unwrap().key;
    let mut owner = connect_as_owner(h).await;
    for (place, (name, customer)) in CUSTOMERS.into_iter().enumerate() {
        for attempt in 0.. {
            match server.ask(&format!("{customer}-{}-{attempt}", answered.len()), customer, key).await {
                Some((201 | 403, decided)) => {
                    answered.push((place, decided));
                    break;
                }
                Some((503, _)) | None => {}
                Some((status, body)) => panic!("{status} {body}"),
            }
            assert!(since.elapsed() < Duration::from_secs(20), "{name} is not served");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    // The key of the service's registry lock.
    while !sqlx::query_scalar::<_, bool>("SELECT pg_try_advisory_lock(7881702200285881601)").fetch_one(&mut owner).await.unwrap() {
        assert!(since.elapsed() < Duration::from_secs(20), "the registry is not free");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    since.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_stopped_inside_its_transactions_holds_nobody_up_for_longer_than_three_seconds() {
    run_today(async |h: &Harness| {
        let kari = h.person(KARI).await;
        h.signed(&kari, &instruction()).await;
        let (first, second) = (Server::start(h, "first").await, Server::start(h, "second").await);
        let mut answered = Vec::new();
        for server in [&first, &second] {
            served(h, server, Instant::now(), &mut answered).await;
        }
        // Every decision reads this table under its locks.
        let mut owner = connect_as_owner(h).await;
        try_sql(&mut owner, "BEGIN").await.unwrap();
        try_sql(&mut owner, "LOCK TABLE instruction_term IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let key = h.access.keys.iter().find(|key| key.platform == "itslearning").unwrap().key.clone();
        let cut_off = CUSTOMERS.map(|(_, customer)| first.ask(customer, customer, &key));
        let ([a, b, c, d], elapsed) = tokio::join!(
            async {
                let [a, b, c, d] = cut_off;
                tokio::join!(a, b, c, d).into()
            },
            async {
                waiting(&mut owner, 4).await;
                first.signal("-STOP");
                let stopped = Instant::now();
                try_sql(&mut owner, "ROLLBACK").await.unwrap();
                let elapsed = served(h, &second, stopped, &mut answered).await;
                first.signal("-CONT");
                elapsed
            }
        );
        println!("served again {:.2} s after SIGSTOP", elapsed.as_secs_f64());
        assert!(elapsed < Duration::from_secs(3), "{elapsed:?}");
        for (place, answer) in [a, b, c, d].into_iter().enumerate() {
            let (status, body): (u16, Value) = answer.expect("a continued process answers");
            match status {
                201 | 403 => answered.push((place, body)),
                status => assert_eq!(status, 503, "{body}"),
            }
        }
        let continued = Instant::now();
        served(h, &first, continued, &mut answered).await;
        println!("the continued process serves {:.2} s later", continued.elapsed().as_secs_f64());
        for server in [first, second] {
            server.signal("-TERM");
            let mut server = server;
            assert!(server.child.wait().unwrap().success(), "{}", std::fs::read_to_string(server.folder.join("log")).unwrap());
        }
        nothing_lost(h, &answered).await;
    })
    .await;
}

/// Every receipt that was answered stands in its log.
async fn nothing_lost(h: &Harness, answered: &[(usize, Value)]) {
    assert!(answered.len() >= 16);
    for (place, answer) in answered {
        let log = LogId(bare(&h.customer(CUSTOMERS[*place].0)));
        let mut read = h.app.db.read(Role::App, "answered", log).await.unwrap();
        let entries = mandate::evidence::entries(read.conn(), log, (0, 0), 10_000, None).await.unwrap();
        let index: u64 = answer["receipt"]["index"].as_u64().unwrap();
        let leaf: Digest = answer["receipt"]["leaf_hash"].as_str().unwrap().parse().unwrap();
        assert!(entries.iter().any(|entry| entry.index == index && entry.leaf_hash == leaf), "{answer}");
    }
}
