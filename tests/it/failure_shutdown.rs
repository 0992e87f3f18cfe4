//! The real program and signals: not ready at once, what was asked is answered, exit code 0; work
//! that had to be left behind, after the time for it or at a second signal, is exit code 1.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mandate::db::Role;
use secrecy::ExposeSecret as _;
use sqlx::{Connection as _, PgConnection};

use crate::support::{Harness, LOG_KEY, PERMIT_KEY, run, served_before};

/// A running `mandate serve` on a test's database.
struct Program {
    child: Child,
    main: SocketAddr,
    health: SocketAddr,
    folder: PathBuf,
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Program {
    /// `drain`: seconds for running requests after a signal.
    async fn start(h: &Harness, name: &str, drain: u32) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", h.database.name));
        std::fs::create_dir_all(&folder).unwrap();
        let key = folder.join("key.pem");
        let mandate = env!("CARGO_BIN_EXE_mandate");
        // The key that signs in this world; another would not be ready.
        std::fs::write(&key, PERMIT_KEY).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let secrets = folder.join("secrets-key");
        std::fs::remove_file(&secrets).ok();
        assert!(Command::new(mandate).args(["secrets-key", "generate"]).arg(&secrets).stdout(Stdio::null()).status().unwrap().success());
        let log_key = folder.join("log-key.pem");
        std::fs::write(&log_key, LOG_KEY).unwrap();
        std::fs::set_permissions(&log_key, std::fs::Permissions::from_mode(0o600)).unwrap();
        served_before(h, &folder).await;
        let (main, health) = (free_address(), free_address());
        let mut command = Command::new(mandate);
        command.arg("serve").env("MANDATE_HOME", &folder).stdout(Stdio::null()).stderr(Stdio::null());
        for (role, name) in Role::ALL.into_iter().zip(["APP", "GATE", "WORKER", "OPS", "OPS_READ"]) {
            command.env(format!("MANDATE__DATABASE__{name}_URL"), h.database.urls.urls[role as usize].expose_secret());
        }
        command
            .env("MANDATE__PERMITS__KEY_FILE", &key)
            .env("MANDATE__EVIDENCE__KEY_FILE", &log_key)
            .env("MANDATE__SECRETS__KEY_FILE", &secrets)
            .env("MANDATE__LISTEN__ADDRESS", main.to_string())
            .env("MANDATE__LISTEN__HEALTH_ADDRESS", health.to_string())
            .env("MANDATE__DATABASE__CONNECTIONS", "2")
            .env("MANDATE__LIMITS__DRAIN_SECONDS", drain.to_string());
        let program = Self { child: command.spawn().unwrap(), main, health, folder };
        let began = Instant::now();
        while program.ready() != 200 {
            assert!(began.elapsed() < Duration::from_secs(20), "it does not become ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        program
    }

    /// The status of `/readyz`; 0 without an answer.
    fn ready(&self) -> u16 {
        status(self.health, "GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap_or(0)
    }

    fn signal(&self) {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
    }

    fn end(mut self) -> (Option<i32>, Duration) {
        let began = Instant::now();
        let code = self.child.wait().unwrap().code();
        std::fs::remove_dir_all(&self.folder).ok();
        (code, began.elapsed())
    }
}

fn status(address: SocketAddr, request: &str) -> Option<u16> {
    let mut socket = TcpStream::connect(address).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    socket.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).ok();
    answer.get(9..12)?.parse().ok()
}

/// A request that is answered once `held` is given back, or after two seconds: a login's slow-down
/// row is not held, so a login is asked for whose first statement waits.
fn asked(program: &Program) -> std::thread::JoinHandle<Option<u16>> {
    let (address, body) = (program.main, r#"{"email":"nobody@nowhere.example","password":"wrong horse battery"}"#);
    let request = format!(
        "POST /api/v1/sessions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    std::thread::spawn(move || status(address, &request))
}

/// Delivers the checkpoints of the day, which a program queues at its start and may leave behind.
async fn deliver(h: &Harness) {
    h.advance(chrono::Utc::now() - h.app.db.clock().now().utc());
    mandate::app::deliver_due(&h.app).await.unwrap();
}

/// A session that keeps every login waiting.
async fn held(h: &Harness) -> PgConnection {
    let mut owner = PgConnection::connect(h.database.owner_url.expose_secret()).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE login_slowdown IN ACCESS EXCLUSIVE MODE").execute(&mut owner).await.unwrap();
    owner
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_signal_it_is_not_ready_answers_what_was_asked_and_exits_with_0() {
    run(async |h: &Harness| {
        let program = Program::start(h, "clean", 3).await;
        let holder = held(h).await;
        let asked = asked(&program);
        tokio::time::sleep(Duration::from_millis(300)).await;
        program.signal();
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(program.ready(), 503, "not ready at once, and still there to say so");
        assert!(TcpStream::connect(program.main).is_err(), "no new connections");
        drop(holder);
        assert_eq!(asked.join().unwrap(), Some(401), "what was asked before is answered as ever");
        let (code, time) = program.end();
        println!("clean: exit {code:?}, {time:?} after the last answer");
        assert_eq!(code, Some(0));
        assert!(time < Duration::from_secs(2));
        // With nothing to do it leaves at once.
        let program = Program::start(h, "idle", 3).await;
        program.signal();
        let (code, time) = program.end();
        println!("idle: exit {code:?} after {time:?}");
        assert!(code == Some(0) && time < Duration::from_secs(2));
        deliver(h).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_or_the_end_of_its_time_ends_it_with_1() {
    run(async |h: &Harness| {
        let program = Program::start(h, "second", 3).await;
        let holder = held(h).await;
        let waiting = asked(&program);
        tokio::time::sleep(Duration::from_millis(300)).await;
        program.signal();
        tokio::time::sleep(Duration::from_millis(200)).await;
        program.signal();
        let (code, time) = program.end();
        println!("second signal: exit {code:?} after {time:?}");
        assert!(code == Some(1) && time < Duration::from_millis(1_500));
        waiting.join().unwrap();
        drop(holder);
        // The time that is set here is shorter than a request waits for a lock.
        let program = Program::start(h, "late", 1).await;
        let holder = held(h).await;
        let waiting = asked(&program);
        tokio::time::sleep(Duration::from_millis(300)).await;
        program.signal();
        let (code, time) = program.end();
        println!("1 s for the rest: exit {code:?} after {time:?}");
        assert!(code == Some(1) && time > Duration::from_millis(700) && time < Duration::from_secs(4));
        waiting.join().unwrap();
        drop(holder);
        deliver(h).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_end_does_not_keep_it() {
    run(async |h: &Harness| {
        let program = Program::start(h, "endless", 8).await;
        let address = program.main;
        // Without the word of the end, it would be waited for as long as a body may take: ten seconds.
        let endless = std::thread::spawn(move || {
            let head = "POST /api/v1/sessions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\nconnection: close\r\n\r\n{";
            status(address, head)
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        program.signal();
        let (code, time) = program.end();
        println!("an endless body: exit {code:?} after {time:?}");
        assert!(code == Some(0) && time < Duration::from_secs(4));
        assert_eq!(endless.join().unwrap(), Some(503));
        deliver(h).await;
    })
    .await;
}
