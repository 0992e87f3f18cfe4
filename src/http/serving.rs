//! Serving over sockets, within bounds: how many connections, how long a client may take for a
//! request's headers, how large they may be. When told to stop it takes no more connections, closes
//! those that carry no request, and lets each other one send its answer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::ClientAddress;
use super::places::{Holder, Shares};
use super::upload::Stopping;

/// The most bytes that are kept of what a client has sent and nobody has read yet. Headers that do
/// not fit are a 431 without a body, since no request is there to answer; those that do are held to
/// the smaller limit of the envelope.
const BUFFER: usize = 64 * 1024;
/// The pause after the system refused a connection: it has run out of something.
const BREATH: Duration = Duration::from_millis(500);

/// What bounds the connections of a listener.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How many at once; the next wait in the system's queue.
    pub connections: usize,
    /// How many of them from one address (an IPv6 client's /64); the next are closed.
    pub per_address: usize,
    /// How long a client may take for a request's headers, and for the next request.
    pub headers: Duration,
}

/// Serves a router until told to stop; ends when the last connection has.
pub async fn serve(listener: TcpListener, router: Router, bounds: Bounds, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(bounds.connections));
    let shares = Arc::new(Shares::default());
    let connections = TaskTracker::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(bounds.headers).max_header_size(BUFFER).max_buf_size(BUFFER);
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            next = next => next,
        };
        let Ok((socket, peer)) = accepted else {
            tokio::time::sleep(BREATH).await;
            continue;
        };
        let address = ClientAddress(Some(peer.ip())).bucket();
        let Some(share) = address.and_then(|address| shares.hold(Holder::Address(address), bounds.per_address)) else { continue };
        let (http, router, stop) = (http.clone(), router.clone(), stop.clone());
        connections.spawn(async move {
            let _held = (place, share);
            connection(&http, socket, peer, router, stop).await;
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn connection(http: &http1::Builder, socket: TcpStream, peer: SocketAddr, router: Router, stop: CancellationToken) {
    // An answer is small and complete: waiting to fill a packet only delays it.
    socket.set_nodelay(true).ok();
    let asked = Arc::new(AtomicBool::new(false));
    let (noted, stopping) = (Arc::clone(&asked), Stopping(stop.clone()));
    let service = service_fn(move |request: Request<Incoming>| {
        noted.store(true, Ordering::Relaxed);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(stopping.clone());
        let answer = router.clone().oneshot(request);
        async move { Ok::<_, Infallible>(answer.await.unwrap_or_else(|never| match never {})) }
    });
    let mut connection = pin!(http.serve_connection(TokioIo::new(socket), service));
    let ended = tokio::select! {
        // How a client breaks off is its own business.
        ended = connection.as_mut() => return ended.unwrap_or_default(),
        () = stop.cancelled() => asked.load(Ordering::Relaxed),
    };
    // One on which nothing was asked yet would be waited for until its headers are late.
    if ended {
        connection.as_mut().graceful_shutdown();
        connection.await.unwrap_or_default();
    }
}
