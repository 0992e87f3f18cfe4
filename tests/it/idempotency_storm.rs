//! Operations that are each sent 2 to 20 times at once, over real sockets, by clients of which many
//! leave at random moments: before the request is whole, before its answer, in the middle of it.
//! Each has exactly one effect, and everybody who stays gets the same answer.
//!
//! A short run by default; `MANDATE_STORM=10000` is the full one (`docs/idempotency.md`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mandate::app::App;
use mandate::base::{Entropy as _, SeededEntropy};
use mandate::http::Places;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::idempotency::draft;
use crate::support::{Client, Harness, KARI, run};

/// Sockets that are open at once.
const SOCKETS: usize = 48;

/// What a client does after it has sent this much of its request.
#[derive(Clone, Copy)]
enum Leaves {
    /// Stays for the answer.
    Never,
    /// Leaves after so many bytes of its request.
    Early(usize),
    /// Sends all, and leaves after so long.
    Late(Duration),
}

struct Seen {
    status: u16,
    replayed: bool,
    body: Vec<u8>,
}

struct Storm {
    address: SocketAddr,
    token: String,
    sockets: Semaphore,
    entropy: SeededEntropy,
    counts: [AtomicU64; 6],
}

const SENT: usize = 0;
const LEFT: usize = 1;
const MADE: usize = 2;
const REPLAYED: usize = 3;
const RUNNING: usize = 4;
const BUSY: usize = 5;

impl Storm {
    fn random(&self, below: u64) -> u64 {
        let mut bytes = [0; 8];
        self.entropy.fill(&mut bytes);
        u64::from_be_bytes(bytes) % below
    }

    fn count(&self, what: usize) {
        self.counts[what].fetch_add(1, Ordering::Relaxed);
    }

    async fn send(&self, key: &str, name: &str, leaves: Leaves) -> Option<Seen> {
        let _socket = self.sockets.acquire().await.unwrap();
        self.count(SENT);
        let body = draft(name).to_string();
        let key = if key.is_empty() { String::new() } else { format!("idempotency-key: {key}\r\n") };
        let request = format!(
            "POST /api/v1/instructions HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n{key}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        );
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        match leaves {
            Leaves::Early(bytes) => {
                let _ = socket.write_all(&request.as_bytes()[..bytes.min(request.len())]).await;
                self.count(LEFT);
                None
            }
            Leaves::Late(after) => {
                let _ = socket.write_all(request.as_bytes()).await;
                tokio::time::sleep(after).await;
                self.count(LEFT);
                None
            }
            Leaves::Never => {
                socket.write_all(request.as_bytes()).await.unwrap();
                let mut answer = Vec::new();
                socket.read_to_end(&mut answer).await.unwrap();
                Some(read(&answer))
            }
        }
    }

    /// Sends until the answer is final.
    async fn insist(&self, key: &str, name: &str) -> Seen {
        loop {
            let seen = self.send(key, name, Leaves::Never).await.unwrap();
            match seen.status {
                409 => self.count(RUNNING),
                503 => self.count(BUSY),
                201 => {
                    self.count(if seen.replayed { REPLAYED } else { MADE });
                    return seen;
                }
                other => panic!("{other}: {}", String::from_utf8_lossy(&seen.body)),
            }
            tokio::time::sleep(Duration::from_millis(10 + self.random(40))).await;
        }
    }

    /// One operation: all its sends at once, then one more, then one with another body.
    async fn operation(self: Arc<Self>, number: usize) {
        let (key, name) = (format!("operation-{number}"), format!("Recipient {number}"));
        let sends = (0..2 + self.random(19)).map(|_| {
            let (storm, key, name) = (Arc::clone(&self), key.clone(), name.clone());
            let leaves = match self.random(4) {
                0 => Leaves::Early(usize::try_from(self.random(1_100)).unwrap()),
                1 => Leaves::Late(Duration::from_micros(self.random(30_000))),
                _ => Leaves::Never,
            };
            tokio::spawn(async move {
                match leaves {
                    Leaves::Never => Some(storm.insist(&key, &name).await),
                    leaves => storm.send(&key, &name, leaves).await,
                }
            })
        });
        let sends: Vec<_> = sends.collect();
        let mut bodies = BTreeSet::new();
        let mut first = 0;
        for send in sends {
            if let Some(seen) = send.await.unwrap() {
                first += usize::from(!seen.replayed);
                bodies.insert(seen.body);
            }
        }
        let last = self.insist(&key, &name).await;
        first += usize::from(!last.replayed);
        bodies.insert(last.body);
        assert_eq!(bodies.len(), 1, "{key}: everybody gets the same answer");
        assert!(first <= 1, "{key}: one answer is the first");
        let mut other = self.send(&key, "Another body", Leaves::Never).await.unwrap();
        while other.status == 503 {
            self.count(BUSY);
            tokio::time::sleep(Duration::from_millis(50)).await;
            other = self.send(&key, "Another body", Leaves::Never).await.unwrap();
        }
        assert_eq!(other.status, 422, "{key}: {}", String::from_utf8_lossy(&other.body));
    }
}

fn read(answer: &[u8]) -> Seen {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Seen { status, replayed: head.contains("\r\nidempotency-replayed: true"), body: answer[end + 4..].to_vec() }
}

/// How many drafts there are for each recipient.
async fn book(client: &Client) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    let mut path = "/api/v1/instructions?limit=100".to_owned();
    loop {
        let page = client.get(&path).await.expect(200).json();
        for row in page["data"].as_array().unwrap() {
            *found.entry(row["scope"]["recipients"][0]["legal_entity"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
        match &page["next_cursor"] {
            Value::String(cursor) => path = format!("/api/v1/instructions?limit=100&cursor={cursor}"),
            _ => return found,
        }
    }
}

/// Negative control, in the test: the same request without a key has an effect each time. By hand:
/// with `App::answers` giving `None`, the first operation is seen to have several effects.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_operation_sent_many_times_has_one_effect() {
    let operations: usize = std::env::var("MANDATE_STORM").map_or(150, |text| text.parse().unwrap());
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let before = book(&kari).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // One caller's share of the places is what `crowds` is about.
        let app = App { places: Places::new(1_024, 4_096, 16), ..h.app.clone() };
        let service = mandate::app::router(app).unwrap().into_make_service_with_connect_info::<SocketAddr>();
        let server = tokio::spawn(axum::serve(listener, service).into_future());
        let storm = Arc::new(Storm {
            address,
            token: kari.token.clone().unwrap(),
            sockets: Semaphore::new(SOCKETS),
            entropy: SeededEntropy::new(41),
            counts: Default::default(),
        });
        let started = Instant::now();
        // A few operations at a time, so that the sends of one meet each other.
        let turns = Arc::new(Semaphore::new(8));
        let running = (0..operations).map(|number| {
            let (storm, turns) = (Arc::clone(&storm), Arc::clone(&turns));
            tokio::spawn(async move {
                let _turn = turns.acquire().await.unwrap();
                storm.operation(number).await;
            })
        });
        for operation in running.collect::<Vec<_>>() {
            operation.await.unwrap();
        }
        let elapsed = started.elapsed();
        for _ in 0..2 {
            assert_eq!(storm.send("", "Without a key", Leaves::Never).await.unwrap().status, 201);
        }
        server.abort();
        h.app.tracker.close();
        h.app.tracker.wait().await;
        let after = book(&kari).await;
        assert_eq!(after["Without a key"], 2, "control: without a key each send is one effect");
        assert_eq!(after.get("Another body"), None);
        for number in 0..operations {
            assert_eq!(after[&format!("Recipient {number}")], 1, "operation {number} has one effect");
        }
        assert_eq!(after.len(), before.len() + operations + 1);
        let [sent, left, made, replayed, still, busy] = storm.counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        println!(
            "{operations} operations, {sent} requests in {:.1} s: {left} clients left, {made} first answers, {replayed} replayed, \
             {still} times 409 while running, {busy} times 503",
            elapsed.as_secs_f64()
        );
    })
    .await;
}
