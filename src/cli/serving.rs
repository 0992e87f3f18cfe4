//! Serving: two listeners, one way to end. At a signal the process takes no more connections, lets
//! what runs come to its end (25 s at most), and leaves; a second signal ends it at once.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use crate::app::{self, App};
use crate::config::Config;

/// How long running work may take to end.
const DRAIN: Duration = Duration::from_secs(25);
/// How often the counters give back what they no longer need.
const UPKEEP: Duration = Duration::from_secs(5);

/// The sockets, bound but not yet answering.
pub(super) struct Listeners {
    main: TcpListener,
    health: TcpListener,
}

impl Listeners {
    /// Binds both addresses, so that one in use is found before anything else is started.
    pub(super) async fn bind(config: &Config) -> Result<Self, Failure> {
        let main = bind("listen.address", config.listen.address).await?;
        Ok(Self { main, health: bind("listen.health_address", config.listen.health_address).await? })
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
    let stop = CancellationToken::new();
    let router = app::router(app.clone())?.into_make_service_with_connect_info::<SocketAddr>();
    let stopped = stop.clone().cancelled_owned();
    let main = tokio::spawn(axum::serve(listeners.main, router).with_graceful_shutdown(stopped).into_future());
    let health = tokio::spawn(axum::serve(listeners.health, crate::http::health(app.clone())).into_future());
    app::spawn_background(&app, &stop);
    spawn_upkeep(&app, &stop);
    tracing::info!("ready");
    ready();
    ending.next().await;
    tracing::info!("ending: running work comes to its end");
    stop.cancel();
    let done = drain(&app, main, ending).await;
    health.abort();
    app.db.close().await;
    done
}

async fn drain(app: &App, main: JoinHandle<std::io::Result<()>>, mut ending: Ending) -> Result<(), Failure> {
    let ended = async {
        // The listener's task ends when its connections have; the work of a client that has left
        // is still on the tracker.
        main.await.ok();
        app.tracker.close();
        app.tracker.wait().await;
    };
    tokio::select! {
        () = ended => Ok(()),
        () = ending.next() => Err(Failure::new("ended by a second signal, with work still running")),
        () = tokio::time::sleep(DRAIN) => Err(Failure::new(format!("work was still running {} s after the signal", DRAIN.as_secs()))),
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
