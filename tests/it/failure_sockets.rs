//! The listener: a client that is slow with its headers, sends too many, or holds too many
//! connections; and what becomes of each connection when the service ends. Seen to fail without the
//! header timeout, and when a connection on which nothing was asked is waited for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use mandate::http::{Bounds, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

struct Served {
    address: SocketAddr,
    stop: CancellationToken,
    release: Arc<Notify>,
    ended: JoinHandle<()>,
}

async fn served(connections: usize) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, release) = (CancellationToken::new(), Arc::new(Notify::new()));
    let waits = Arc::clone(&release);
    let slow = get(async move || {
        waits.notified().await;
        "slow"
    });
    let router = Router::new().route("/", get(async || "quick")).route("/slow", slow);
    let bounds = Bounds { connections, per_address: connections, headers: Duration::from_millis(500) };
    let ended = tokio::spawn(serve(listener, router, bounds, stop.clone()));
    Served { address, stop, release, ended }
}

async fn connect(address: SocketAddr, bytes: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(bytes.as_bytes()).await.unwrap();
    socket
}

/// What comes until the server closes, and how long that takes.
async fn to_end(mut socket: TcpStream) -> (String, Duration) {
    let began = Instant::now();
    let mut text = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(5), socket.read_to_end(&mut text)).await;
    assert!(read.is_ok(), "the server does not close");
    (String::from_utf8_lossy(&text).into_owned(), began.elapsed())
}

#[tokio::test]
async fn a_client_that_is_slow_with_its_headers_is_closed() {
    let server = served(8).await;
    let (_, silent) = to_end(connect(server.address, "").await).await;
    let (_, half) = to_end(connect(server.address, "GET / HTTP/1.1\r\nhost: x\r\nx-a: ").await).await;
    let mut drip = connect(server.address, "GET / HTTP/1.1\r\n").await;
    let began = Instant::now();
    while drip.write_all(b"x-a: b\r\n").await.is_ok() && began.elapsed() < Duration::from_secs(5) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("closed after: nothing {silent:?}, half a header {half:?}, a header every 50 ms {:?}", began.elapsed());
    for time in [silent, half, began.elapsed()] {
        assert!((Duration::from_millis(400)..Duration::from_secs(3)).contains(&time), "{time:?}");
    }
    // A connection that was used is closed when no next request comes.
    let (text, idle) = to_end(connect(server.address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await).await;
    assert!(text.ends_with("quick") && idle >= Duration::from_millis(400));
    // Control: a handler may take longer than headers may.
    let slow = tokio::spawn(to_end(connect(server.address, "GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await));
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    server.release.notify_one();
    assert!(slow.await.unwrap().0.ends_with("slow"));
}

#[tokio::test]
async fn headers_over_the_limit_are_431() {
    let server = served(8).await;
    let sized = |size: usize| format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-a: {}\r\n\r\n", "a".repeat(size));
    let many = |count: usize| format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{}\r\n", "x-a: b\r\n".repeat(count));
    for (request, status) in [(sized(60_000), "200"), (sized(70_000), "431"), (many(90), "200"), (many(200), "431")] {
        let (text, _) = to_end(connect(server.address, &request).await).await;
        assert!(text.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {text:.60}");
    }
}

#[tokio::test]
async fn connections_past_the_places_wait_for_one() {
    let server = served(2).await;
    let request = "GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let held = [connect(server.address, request).await, connect(server.address, request).await];
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut third = connect(server.address, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    let mut byte = [0];
    assert!(tokio::time::timeout(Duration::from_millis(300), third.read(&mut byte)).await.is_err(), "it waits");
    let [first, second] = held.map(|socket| tokio::spawn(to_end(socket)));
    server.release.notify_one();
    assert!(to_end(third).await.0.ends_with("quick"));
    server.release.notify_one();
    assert!(first.await.unwrap().0.ends_with("slow") && second.await.unwrap().0.ends_with("slow"));
}

#[tokio::test]
async fn told_to_stop_it_answers_what_was_asked_and_closes_the_rest() {
    let server = served(8).await;
    let fresh = connect(server.address, "").await;
    let half = connect(server.address, "GET / HTTP/1.1\r\nx-a").await;
    let mut idle = connect(server.address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    let asked = tokio::spawn(to_end(connect(server.address, "GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await));
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.stop.cancel();
    for socket in [fresh, half, idle] {
        assert!(to_end(socket).await.1 < Duration::from_millis(300), "it carries no request");
    }
    assert!(TcpStream::connect(server.address).await.is_err(), "no new connection");
    assert!(!server.ended.is_finished(), "a request is still being answered");
    server.release.notify_one();
    let (text, _) = asked.await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("slow"));
    assert!(text.contains("connection: close"), "{text}");
    server.ended.await.unwrap();
}
