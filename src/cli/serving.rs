//! Serving: two listeners, one way to end. At a signal the process says that it is not ready, takes
//! no more connections, lets what runs come to its end (25 s at most), and leaves with exit code 0.
//! Work that had to be left behind, after that time or at a second signal, is exit code 1.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use crate::app::{self, App};
use crate::config::{Config, Limits};
use crate::http::{self, Bounds};

/// Connections of the second listener: an operator's few.
const HEALTH_CONNECTIONS: usize = 64;
/// How often the counters give back what they no longer need.
const UPKEEP: Duration = Duration::from_secs(5);

/// The sockets, bound but not yet answering.
pub(super) struct Listeners {
    main: TcpListener,
    health: TcpListener,
    limits: Limits,
}

impl Listeners {
    /// Binds both addresses, so that one in use is found before anything else is started.
    pub(super) async fn bind(config: &Config) -> Result<Self, Failure> {
        let main = bind("listen.address", config.listen.address).await?;
        Ok(Self { main, health: bind("listen.health_address", config.listen.health_address).await?, limits: config.limits })
    }

    /// The address that people open.
    pub(super) fn base_url(&self) -> Result<String, Failure> {
        let address = self.main.local_addr().map_err(|error| Failure::new(format!("the listener has no address: {error}")))?;
        Ok(format!("http://{address}"))
    }
}

async fn bind(key: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
    let told =
        |error| Failure::new(format!("{key}: cannot listen on {address}: {error}; stop what listens there, or give another address"));
    TcpListener::bind(address).await.map_err(told)
}

/// The signals that end the process.
pub(super) struct Ending {
    terminate: Signal,
    interrupt: Signal,
}

impl Ending {
    /// Hears signals from now on; one that comes early is kept until somebody waits for it.
    pub(super) fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::new(format!("signals cannot be heard: {error}")));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }
    /// Waits for a signal.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Serves until a signal; `ready` is called once connections are being answered.
pub(super) async fn run(app: App, listeners: Listeners, mut ending: Ending, ready: impl FnOnce()) -> Result<(), Failure> {
    app::prepare(&app).await?;
    app.db.serve_only(&app.db.standing().await?);
    let stop = CancellationToken::new();
    let Listeners { main, health, limits } = listeners;
    let bounds = Bounds {
        connections: limits.connections as usize,
        per_address: limits.connections_per_address as usize,
        headers: Duration::from_secs(limits.header_seconds.into()),
    };
    let main = tokio::spawn(http::serve(main, app::router(app.clone())?, bounds, stop.clone()));
    let bounds = Bounds { connections: HEALTH_CONNECTIONS, ..bounds };
    // It answers until the end: that the process is not ready is told here.
    let health = tokio::spawn(http::serve(health, http::health(app.clone()), bounds, CancellationToken::new()));
    app::spawn_background(&app, &stop);
    spawn_upkeep(&app, &stop);
    tracing::info!("ready");
    ready();
    ending.next().await;
    tracing::info!("ending: running work comes to its end");
    // From here on the process is not ready.
    app.tracker.close();
    stop.cancel();
    drain(&app, main, ending, Duration::from_secs(limits.drain_seconds.into())).await?;
    health.abort();
    // Only after a clean end: what was left behind would be waited for here.
    app.db.close().await;
    Ok(())
}

async fn drain(app: &App, main: JoinHandle<()>, mut ending: Ending, patience: Duration) -> Result<(), Failure> {
    let ended = async {
        // The listener's task ends when its connections have; the work of a client that has left
        // is still on the tracker.
        main.await.ok();
        app.tracker.wait().await;
    };
    tokio::select! {
        () = ended => Ok(()),
        () = ending.next() => Err(Failure::new("ended by a second signal, with work still running")),
        () = tokio::time::sleep(patience) => Err(Failure::new(format!("work was still running {} s after the signal", patience.as_secs()))),
    }
}

fn spawn_upkeep(app: &App, stop: &CancellationToken) {
    let Some(metrics) = app.metrics.clone() else { return };
    let stop = stop.clone();
    app.tracker.spawn(async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(UPKEEP) => metrics.run_upkeep(),
            }
        }
    });
}
