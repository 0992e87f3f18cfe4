//! Crowds: strangers, neighbours and one stolen token cannot take the places of those who stop an
//! export. Negative control: places without shares, or strangers among the known, were seen to fail.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Method;
use mandate::app::App;
use mandate::http::{Bounds, Places, serve};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::{Answer, Client, Harness, JONAS, KARI, run};

const JSON: (&str, &str) = ("content-type", "application/json");

/// A request whose body does not come.
fn slow(client: &Client, path: &str, headers: &[(&str, &str)]) -> JoinHandle<Answer> {
    let body = Body::from_stream(futures_util::stream::pending::<std::io::Result<Vec<u8>>>());
    let (client, request) = (client.clone(), client.request(Method::POST, path, headers, body));
    tokio::spawn(async move { client.send(request).await })
}

fn at(h: &Harness, places: Places) -> impl Fn(Client) -> Client {
    let router = mandate::app::router(App { places, ..h.app.clone() }).unwrap();
    move |client| Client { router: router.clone(), ..client }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_token_takes_neither_a_neighbours_places_nor_a_colleagues() {
    run(async |h: &Harness| {
        let at = at(h, Places::new(256, 256, 1));
        let (kari, jonas, mette) = (at(h.person(KARI).await), at(h.person(JONAS).await), at(h.person("mette.holm@soby.example").await));
        // A sixteenth would be sixteen: the smallest share is 32.
        let held: Vec<_> = (0..40).map(|n| slow(&kari, "/api/v1/recipients", &[JSON, ("idempotency-key", &format!("k{n}"))])).collect();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let answered: Vec<_> = held.iter().filter(|held| held.is_finished()).collect();
        assert_eq!(answered.len(), 8, "those past the share are answered at once");
        kari.get("/api/v1/me").await.expect(429);
        let ground = json!({"ground": "Held."});
        mette.post("/api/v1/suspensions", &ground).await.expect(201);
        jonas.get("/api/v1/me").await.expect(200);
        // A body that does not come is given up, and its place comes back.
        let mut statuses = Vec::new();
        for held in held {
            statuses.push(held.await.unwrap().status.as_u16());
        }
        statuses.sort_unstable();
        assert_eq!((statuses[0], statuses[31], statuses[32], statuses[39]), (400, 400, 429, 429));
        kari.get("/api/v1/me").await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_have_places_of_their_own() {
    run(async |h: &Harness| {
        let at = at(h, Places::new(8, 8, 1));
        let kari = at(h.person(KARI).await);
        let held: Vec<_> = (0..12).map(|_| slow(&at(h.nobody.clone()), "/api/v1/sessions", &[JSON])).collect();
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(held.iter().filter(|held| !held.is_finished()).count(), 2);
        at(h.nobody.clone()).post("/api/v1/sessions", &json!({})).await.expect(503);
        kari.post("/api/v1/suspensions", &json!({"ground": "Held."})).await.expect(201);
        for held in held {
            held.abort();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_cannot_take_all_connections() {
    run(async |h: &Harness| {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let bounds = Bounds { connections: 8, per_address: 6, headers: Duration::from_secs(20) };
        tokio::spawn(serve(listener, mandate::app::router(h.app.clone()).unwrap(), bounds, CancellationToken::new()));
        let mut crowd = Vec::new();
        for _ in 0..12 {
            let mut socket = TcpStream::connect(address).await.unwrap();
            socket.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
            crowd.push(socket);
        }
        let began = Instant::now();
        let from = |last: u8| async move {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(([127, 0, 0, last], 0).into()).unwrap();
            let mut socket = socket.connect(address).await.unwrap();
            socket.write_all(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
            let mut text = String::new();
            socket.read_to_string(&mut text).await.map(|_| text.starts_with("HTTP/1.1 200")).unwrap_or(false)
        };
        assert!(from(2).await, "another address is served");
        assert!(!from(1).await, "the crowd's own is not");
        assert!(began.elapsed() < Duration::from_secs(5));
        // Control: one of the crowd leaves, and its place comes back.
        drop(crowd);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(from(1).await);
    })
    .await;
}
