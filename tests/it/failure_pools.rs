//! The gate and the rest have connections and places of their own, every connection has its timeouts,
//! and a lock that somebody keeps is answered 503 within its timeout. Negative control of each: the
//! same request is served once what is held has been given back; and without the places of requests
//! and uploads, their tests were seen to fail.

use std::time::{Duration, Instant};

use mandate::app::App;
use mandate::db::{Lock, LogId, Role};
use mandate::http::{Bounds, Places, serve};
use secrecy::ExposeSecret as _;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use tokio::io::AsyncWriteExt as _;
use tokio_util::sync::CancellationToken;

use crate::support::{Answer, Client, Harness, KARI, export, instruction, run, with};

/// A session of the owner inside a transaction.
async fn session(h: &Harness) -> PgConnection {
    let mut owner = PgConnection::connect(h.database.owner_url.expose_secret()).await.unwrap();
    sqlx::raw_sql("BEGIN").execute(&mut owner).await.unwrap();
    owner
}

fn log(h: &Harness, customer: &str) -> uuid::Uuid {
    h.customer(customer).strip_prefix("cus_").unwrap().parse().unwrap()
}

/// A session that holds a customer's head.
async fn holder(h: &Harness, customer: &str) -> PgConnection {
    let mut owner = session(h).await;
    sqlx::query("SELECT 1 FROM log_head WHERE customer_id = $1 FOR UPDATE").bind(log(h, customer)).execute(&mut owner).await.unwrap();
    owner
}

async fn timed(answer: impl Future<Output = Answer>) -> (Answer, Duration) {
    let began = Instant::now();
    (answer.await, began.elapsed())
}

/// A program with few connections, and a caller at it in place of the harness' own.
fn small(h: &Harness, connections: u32) -> (App, impl Fn(Client) -> Client) {
    let app = h.another(&h.database.urls, connections);
    let router = mandate::app::router(app.clone()).unwrap();
    (app, move |client| Client { router: router.clone(), ..client })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_the_gate_nor_the_rest_takes_the_others_connections() {
    run(async |h: &Harness| {
        h.signed(&h.person(KARI).await, &instruction()).await;
        let (_, at) = small(h, 2);
        let kari = at(h.person(KARI).await);
        let mette = at(h.person("mette.holm@soby.example").await);
        let (platform, its) = (at(h.platform("itslearning")), at(h.platform("skoleintra")));
        // Both connections of the institutions' surface wait for Nordvik's head.
        let head = holder(h, "Nordvik").await;
        let body = json!({"ground": "Held."});
        let waiting = (0..6).map(|_| kari.post("/api/v1/suspensions", &body));
        let waiting = async { futures_util::future::join_all(waiting).await };
        let soby = with(export(), json!({"customer": "site-2002-sko", "platform": "skoleintra"}));
        let asked = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            timed(h.ask(&its, "soby", &soby)).await
        };
        let (waited, (answer, time)) = tokio::join!(waiting, asked);
        println!("the gate, while the institutions' connections are all held: {} in {time:?}", answer.status);
        assert!(waited.iter().all(|answer| answer.status == 503 && answer.headers.contains_key("retry-after")));
        assert_eq!(answer.status, 403, "a decision, which is a refusal here");
        assert!(time < Duration::from_millis(1_000));
        // And the other way round.
        let export = export();
        let keys: Vec<String> = (0..6).map(|i| format!("held-{i}")).collect();
        let waiting = keys.iter().map(|key| h.ask(&platform, key, &export));
        let waiting = async { futures_util::future::join_all(waiting).await };
        let asked = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            timed(mette.post("/api/v1/suspensions", &body)).await
        };
        let (waited, (answer, time)) = tokio::join!(waiting, asked);
        println!("an institution, while the gate's connections are all held: {} in {time:?}", answer.status);
        assert!(waited.iter().all(|answer| answer.status == 503 && answer.headers.contains_key("retry-after")));
        answer.expect(201);
        assert!(time < Duration::from_millis(1_000));
        drop(head);
        h.ask(&platform, "free", &export).await.expect(201);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_is_held_is_503_within_its_timeout_and_stalls_nobody_else() {
    run(async |h: &Harness| {
        h.signed(&h.person(KARI).await, &instruction()).await;
        let (platform, other) = (h.platform("itslearning"), h.platform("skoleintra"));
        let head = holder(h, "Nordvik").await;
        let soby = with(export(), json!({"customer": "site-2002-sko", "platform": "skoleintra"}));
        let export = export();
        let held = timed(h.ask(&platform, "held", &export));
        let others = async {
            let mut worst = Duration::ZERO;
            for i in 0..20 {
                let (answer, time) = timed(h.ask(&other, &format!("o-{i}"), &soby)).await;
                assert_eq!(answer.status, 403);
                worst = worst.max(time);
            }
            worst
        };
        let ((answer, time), worst) = tokio::join!(held, others);
        println!("a held head: {} after {time:?}; 20 decisions for another customer meanwhile, the slowest {worst:?}", answer.status);
        assert_eq!(answer.status, 503);
        assert!(answer.headers.contains_key("retry-after"));
        assert!((Duration::from_millis(1_900)..Duration::from_millis(4_000)).contains(&time));
        drop(head);
        h.ask(&platform, "held", &export).await.expect(201);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_is_held_is_503_after_half_a_second() {
    run(async |h: &Harness| {
        h.signed(&h.person(KARI).await, &instruction()).await;
        let platform = h.platform("itslearning");
        let mut owner = session(h).await;
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(0x6d61_6e64_6174_6501_i64).execute(&mut owner).await.unwrap();
        let (answer, time) = timed(h.ask(&platform, "held", &export())).await;
        println!("a held registry: {} after {time:?}", answer.status);
        assert_eq!(answer.status, 503);
        assert!(answer.headers.contains_key("retry-after"));
        assert!((Duration::from_millis(450)..Duration::from_millis(2_000)).contains(&time));
        drop(owner);
        h.ask(&platform, "held", &export()).await.expect(201);
    })
    .await;
}

#[tokio::test]
async fn every_connection_of_every_role_has_its_timeouts() {
    run(async |h: &Harness| {
        for role in Role::ALL {
            let mut tx = h.app.db.read(role, "settings", LogId::REGISTRY).await.unwrap();
            for (name, expected) in [
                ("statement_timeout", "5s"),
                ("lock_timeout", "2s"),
                ("idle_in_transaction_session_timeout", "2s"),
                ("TimeZone", "UTC"),
                ("application_name", "mandate"),
            ] {
                let found: String = sqlx::query_scalar("SELECT current_setting($1)").bind(name).fetch_one(tx.conn()).await.unwrap();
                assert_eq!(found, expected, "{role:?} {name}");
            }
            // Over a unix socket they are shown as 0, whatever was set: so where they come from is asked.
            let keepalives: Vec<(String, String)> = sqlx::query_as(
                "SELECT name, source FROM pg_settings WHERE name IN ('tcp_keepalives_idle', 'tcp_keepalives_interval', 'tcp_keepalives_count')",
            )
            .fetch_all(tx.conn())
            .await
            .unwrap();
            assert_eq!(keepalives.len(), 3);
            assert!(keepalives.iter().all(|(_, source)| source == "client"), "{role:?} {keepalives:?}");
        }
        // Control: a session that nobody configured has none of them.
        let mut owner = PgConnection::connect(h.database.owner_url.expose_secret()).await.unwrap();
        let found: String = sqlx::query_scalar("SELECT current_setting('statement_timeout')").fetch_one(&mut owner).await.unwrap();
        assert_eq!(found, "0");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_stands_still_gives_its_head_back() {
    run(async |h: &Harness| {
        for role in [Role::App, Role::Gate, Role::Worker, Role::Ops] {
            let log = LogId(log(h, "Nordvik"));
            let mut still = h.app.db.write(role, "stands still", Lock::Heads, log, &[]).await.unwrap();
            let began = Instant::now();
            // The first waits out the lock's timeout at most; the second finds the head free.
            let next = match h.app.db.write(role, "next", Lock::Heads, log, &[]).await {
                Ok(next) => next,
                Err(_) => h.app.db.write(role, "next", Lock::Heads, log, &[]).await.unwrap(),
            };
            let time = began.elapsed();
            println!("{role:?}: the head was free again after {time:?}");
            assert!(time < Duration::from_secs(4));
            drop(next);
            assert!(sqlx::query("SELECT 1").execute(still.conn()).await.is_err(), "the session has ended");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_the_places_requests_are_503_at_once_and_the_gate_has_places_of_its_own() {
    run(async |h: &Harness| {
        let app = App { places: Places::new(2, 2, 1), ..h.app.clone() };
        let router = mandate::app::router(app.clone()).unwrap();
        let at = |client: Client| Client { router: router.clone(), ..client };
        let (kari, platform) = (at(h.person(KARI).await), at(h.platform("itslearning")));
        let head = holder(h, "Nordvik").await;
        let body = json!({"ground": "Held."});
        let waiting = async { futures_util::future::join_all((0..2).map(|_| kari.post("/api/v1/suspensions", &body))).await };
        let asked = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let (full, time) = timed(kari.get("/api/v1/me")).await;
            let decided = platform
                .post_with("/gate/v1/exports", &[("idempotency-key", "k")], &with(export(), json!({"customer": "site-2002-its"})))
                .await;
            (full, time, decided)
        };
        let (waited, (full, time, decided)) = tokio::join!(waiting, asked);
        assert!(waited.iter().all(|answer| answer.status == 503));
        assert_eq!(full.status, 503);
        assert_eq!(full.headers["retry-after"], "1");
        println!("no place: 503 after {time:?}");
        assert!(time < Duration::from_millis(500));
        assert_eq!(decided.status, 403, "the gate decides meanwhile");
        drop(head);
        kari.get("/api/v1/me").await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_the_places_of_the_spool_an_upload_is_503_and_a_place_comes_back() {
    run(async |h: &Harness| {
        let app = App { places: Places::new(8, 8, 1), ..h.app.clone() };
        let router = mandate::app::router(app).unwrap();
        let kari = Client { router, ..h.person(KARI).await };
        let pdf = mandate::document::pdf_of_lines("Held", &["in the spool".to_owned()]);
        let (release, released) = tokio::sync::oneshot::channel::<()>();
        let bytes = pdf.clone();
        let slow = futures_util::stream::once(async move {
            released.await.ok();
            std::io::Result::Ok(bytes)
        });
        let headers = [("content-type", "application/pdf")];
        let held = kari.request(axum::http::Method::POST, "/api/v1/documents", &headers, axum::body::Body::from_stream(slow));
        let client = kari.clone();
        let held = tokio::spawn(async move { client.send(held).await });
        tokio::time::sleep(Duration::from_millis(200)).await;
        let late = kari.raw(axum::http::Method::POST, "/api/v1/documents", &headers, pdf.clone()).await;
        assert_eq!(late.status, 503);
        assert_eq!(late.headers["retry-after"], "5");
        release.send(()).unwrap();
        held.await.unwrap().expect(201);
        kari.raw(axum::http::Method::POST, "/api/v1/documents", &headers, pdf).await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_whose_client_leaves_stores_nothing_and_gives_its_place_back() {
    run(async |h: &Harness| {
        let app = App { places: Places::new(8, 8, 1), ..h.app.clone() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let bounds = Bounds { connections: 8, per_address: 8, headers: Duration::from_secs(5) };
        tokio::spawn(serve(listener, mandate::app::router(app.clone()).unwrap(), bounds, CancellationToken::new()));
        let kari = h.person(KARI).await;
        let before = kari.get("/api/v1/documents").await.expect(200).bytes;
        let head = format!(
            "POST /api/v1/documents HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/pdf\r\ncontent-length: 100000\r\n\r\n%PDF-1.7",
            kari.token.as_deref().unwrap()
        );
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        let began = Instant::now();
        while app.places.uploads.available_permits() > 0 {
            assert!(began.elapsed() < Duration::from_secs(5), "the upload takes no place");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(socket);
        let began = Instant::now();
        while app.places.uploads.available_permits() == 0 {
            assert!(began.elapsed() < Duration::from_secs(2), "the place is not given back");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        app.tracker.close();
        app.tracker.wait().await;
        assert_eq!(kari.get("/api/v1/documents").await.expect(200).bytes, before);
    })
    .await;
}
