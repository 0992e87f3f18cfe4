//! Clients that leave at random moments, over two connections a role: no connection comes back
//! inside a transaction, no acknowledged write is lost, nobody sees a row of another customer.
//! 1,000 requests here; `MANDATE_TEST_REQUESTS=10000` makes them more. The controls take out the two
//! guards: without both, connections are used inside somebody else's transaction; either one helps.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use mandate::app::App;
use mandate::base::SeededEntropy;
use mandate::db::{Db, LogId, Role};
use mandate::evidence::entries;
use mandate::http::{Bounds, serve};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::support::{Client, Harness, KARI, Proxy, export, instruction, run, with};

/// How many clients are there at once, and how many requests may be under way besides.
const VISITORS: usize = 16;

/// A request as it goes over the wire, and what its answer must be if it is the same for everybody.
#[derive(Clone)]
struct Sent {
    bytes: Vec<u8>,
    expected: Option<Arc<Vec<u8>>>,
    writes_to: Option<&'static str>,
}

/// What a run came to.
#[derive(Default)]
struct Outcome {
    answered: usize,
    left: usize,
    unavailable: usize,
    /// Customer, index and leaf hash of every write that was acknowledged.
    acknowledged: Vec<(&'static str, u64, String)>,
}

/// A small generator: the moments differ between requests and not between runs.
struct Moments(u64);

impl Moments {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

fn wire(method: &str, path: &str, client: &Client, key: &str, body: &str) -> Vec<u8> {
    let token = client.token.as_deref().unwrap();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         idempotency-key: {key}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Sends a request, and stays for the answer or leaves after a while.
async fn visit(address: SocketAddr, sent: &Sent, leaves_after: Option<Duration>) -> Option<(u16, Vec<u8>)> {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(&sent.bytes).await.ok()?;
    let mut answer = Vec::new();
    tokio::select! {
        read = socket.read_to_end(&mut answer) => { read.ok()?; }
        () = tokio::time::sleep(leaves_after.unwrap_or(Duration::from_secs(60))) => return None,
    }
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
    Some((status, answer.split_off(end + 4)))
}

/// Five kinds of requests, of two customers on two surfaces.
struct Mix {
    kari: Client,
    mette: Client,
    its: Client,
    sko: Client,
    seen: [Arc<Vec<u8>>; 2],
}

impl Mix {
    async fn of(h: &Harness) -> Self {
        let (kari, mette) = (h.person(KARI).await, h.person("mette.holm@soby.example").await);
        let mut seen = Vec::new();
        for client in [&kari, &mette] {
            seen.push(Arc::new(client.get("/api/v1/agreements").await.expect(200).bytes));
        }
        assert_ne!(seen[0], seen[1]);
        let seen = [Arc::clone(&seen[0]), Arc::clone(&seen[1])];
        Self { kari, mette, its: h.platform("itslearning"), sko: h.platform("skoleintra"), seen }
    }

    fn request(&self, run: &str, number: usize) -> Sent {
        let key = format!("{run}-{number}");
        let own = |client, seen: usize| Sent {
            bytes: wire("GET", "/api/v1/agreements", client, &key, ""),
            expected: Some(Arc::clone(&self.seen[seen])),
            writes_to: None,
        };
        let write = |client, path, body: Value, customer| Sent {
            bytes: wire("POST", path, client, &key, &body.to_string()),
            expected: None,
            writes_to: Some(customer),
        };
        let gate = "/gate/v1/exports";
        match number % 5 {
            0 => own(&self.kari, 0),
            1 => own(&self.mette, 1),
            2 => write(&self.kari, "/api/v1/instructions", instruction(), "Nordvik"),
            3 => write(&self.its, gate, export(), "Nordvik"),
            _ => write(&self.sko, gate, with(export(), json!({"customer": "site-2002-sko", "platform": "skoleintra"})), "Søby"),
        }
    }
}

impl Outcome {
    fn note(&mut self, sent: &Sent, answer: Option<(u16, Vec<u8>)>) {
        let Some((status, body)) = answer else {
            self.left += 1;
            return;
        };
        self.answered += 1;
        if status == 503 {
            self.unavailable += 1;
            return;
        }
        if let Some(expected) = &sent.expected {
            assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
            assert!(body == **expected, "a row of another customer: {}", String::from_utf8_lossy(&body));
        }
        if let Some(customer) = sent.writes_to {
            assert!(matches!(status, 201 | 403), "{status} {}", String::from_utf8_lossy(&body));
            let json: Value = serde_json::from_slice(&body).unwrap_or_default();
            // Without the envelope a refusal has no body.
            if let (Some(index), Some(leaf)) = (json["receipt"]["index"].as_u64(), json["receipt"]["leaf_hash"].as_str()) {
                self.acknowledged.push((customer, index, leaf.to_owned()));
            }
        }
    }
}

/// Serves a router and sends it requests, more than half of whose clients leave.
async fn visits(app: &App, router: Router, mix: &Arc<Mix>, run: &str, count: usize) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let bounds = Bounds { connections: 1_000, per_address: 1_000, headers: Duration::from_secs(30) };
    let serving = tokio::spawn(serve(listener, router, bounds, stop.clone()));
    let visitors = (0..VISITORS).map(|visitor| {
        let (mix, tracker, run) = (Arc::clone(mix), app.tracker.clone(), run.to_owned());
        tokio::spawn(async move {
            let mut moments = Moments(0x9e37_79b9_7f4a_7c15 ^ (visitor as u64 + 1));
            let mut outcome = Outcome::default();
            for number in (visitor..count).step_by(VISITORS) {
                // Who has left is still being served: without this the queue would only grow.
                while tracker.len() > 2 * VISITORS {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                let sent = mix.request(&run, number / VISITORS * VISITORS + (number + number / VISITORS) % VISITORS);
                let leaves = moments.next(10) < 6;
                let after = Duration::from_micros(moments.next(60_000));
                outcome.note(&sent, visit(address, &sent, leaves.then_some(after)).await);
            }
            outcome
        })
    });
    let mut all = Outcome::default();
    for outcome in futures_util::future::join_all(visitors).await {
        let outcome = outcome.unwrap();
        all.answered += outcome.answered;
        all.left += outcome.left;
        all.unavailable += outcome.unavailable;
        all.acknowledged.extend(outcome.acknowledged);
    }
    stop.cancel();
    serving.await.unwrap();
    app.tracker.close();
    app.tracker.wait().await;
    all
}

/// Connections of the service that stand inside a transaction although nobody works.
async fn standing(h: &Harness) -> i64 {
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut owner = PgConnection::connect(h.database.owner_url.expose_secret()).await.unwrap();
    sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'mandate' AND state LIKE 'idle in transaction%'",
    )
    .fetch_one(&mut owner)
    .await
    .unwrap()
}

/// Every acknowledged write stands where its receipt says.
async fn check_acknowledged(h: &Harness, outcome: &Outcome) {
    for customer in ["Nordvik", "Søby"] {
        let id: uuid::Uuid = h.customer(customer).strip_prefix("cus_").unwrap().parse().unwrap();
        let mut read = h.app.db.read(Role::App, "check", LogId(id)).await.unwrap();
        let stored: BTreeMap<u64, String> = entries(read.conn(), LogId(id), (0, 0), 1_000_000, None)
            .await
            .unwrap()
            .into_iter()
            .map(|entry| (entry.index, entry.leaf_hash.to_string()))
            .collect();
        for (_, index, leaf) in outcome.acknowledged.iter().filter(|(of, ..)| *of == customer) {
            assert_eq!(stored.get(index), Some(leaf), "an acknowledged write is lost");
        }
    }
}

/// A program over two connections a role.
fn program(h: &Harness, proxy: &Proxy, rolls_back: bool, seed: u64) -> App {
    let (urls, entropy) = (proxy.urls(&h.database.urls), Arc::new(SeededEntropy::new(seed)));
    let make = if rolls_back { Db::new } else { Db::without_rollback };
    h.with_db(make(&urls, 2, h.clock.clone(), entropy).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_leave_at_random_moments_leave_nothing_behind() {
    let count = std::env::var("MANDATE_TEST_REQUESTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000);
    run(async |h: &Harness| {
        h.signed(&h.person(KARI).await, &instruction()).await;
        let mix = Arc::new(Mix::of(h).await);
        let proxy = Proxy::before(&h.database.urls).await;
        let app = program(h, &proxy, true, 1);
        let began = Instant::now();
        let outcome = visits(&app, mandate::app::router(app.clone()).unwrap(), &mix, "whole", count).await;
        let standing = standing(h).await;
        println!(
            "{count} requests in {:?}: {} answered ({} of them 503), {} left early, {} writes acknowledged; \
             inside another's transaction {}, standing in one at the end {standing}",
            began.elapsed(),
            outcome.answered,
            outcome.unavailable,
            outcome.left,
            outcome.acknowledged.len(),
            proxy.nested(),
        );
        assert_eq!((proxy.nested(), standing), (0, 0));
        check_acknowledged(h, &outcome).await;
        assert_eq!(outcome.answered + outcome.left, count);
        assert!(outcome.left > count / 4 && outcome.acknowledged.len() > count / 10, "too few to say anything");
        app.db.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_without_envelope_and_rollback_connections_are_used_inside_another_transaction() {
    run(async |h: &Harness| {
        h.signed(&h.person(KARI).await, &instruction()).await;
        let mix = Arc::new(Mix::of(h).await);
        for (run, has_envelope, rolls_back) in [("bare", false, false), ("rolled", false, true), ("envelope", true, false)] {
            let proxy = Proxy::before(&h.database.urls).await;
            // A network takes its time, in which a client can leave.
            proxy.delay(Duration::from_micros(200));
            let app = program(h, &proxy, rolls_back, run.len() as u64);
            let table = mandate::app::table();
            let router = if has_envelope {
                mandate::http::router(app.clone(), table)
            } else {
                mandate::http::router_without_envelope(app.clone(), table)
            };
            let router = router.unwrap();
            let mut sent = 0;
            while sent < 200 || (!has_envelope && !rolls_back && proxy.nested() == 0 && sent < 4_000) {
                let outcome = visits(&app, router.clone(), &mix, &format!("{run}-{sent}"), 200).await;
                check_acknowledged(h, &outcome).await;
                app.tracker.reopen();
                sent += 200;
            }
            let found = proxy.nested();
            println!("envelope {has_envelope}, rollback {rolls_back}: {found} times inside another's transaction in {sent} requests");
            assert_eq!(found > 0, !has_envelope && !rolls_back, "{run}");
            app.db.close().await;
        }
    })
    .await;
}
