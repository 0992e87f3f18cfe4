//! The worker of slow work: leases an operation, runs its kind, and records what came of it. A lease
//! is renewed with each part; one whose process ended is leased again and begun anew, and what the
//! first then still writes is refused. An operation that cannot be done after three tries has failed.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::store::{self, Running};
use crate::app::App;
use crate::base::{Error, Result};

/// How often an operation is begun before it counts as failed.
const TRIES: i32 = 3;

/// What a kind leaves behind: its parts are written already.
#[derive(Debug, Clone, Copy)]
pub struct Finished {
    /// Media type of the result.
    pub media_type: &'static str,
}

/// Does the work of one kind.
pub type Work = for<'a> fn(&'a App, &'a mut Running) -> BoxFuture<'a, Result<Finished>>;

/// Every kind, by its word.
pub type Works = &'static [(&'static str, Work)];

/// Does what waits; how many operations ended.
///
/// # Errors
/// When the database does not answer.
pub async fn run_due(app: &App) -> Result<usize> {
    let mut ended = 0;
    while let Some(mut running) = store::lease(app).await? {
        let Some((_, work)) = app.works.iter().find(|(kind, _)| *kind == running.kind) else {
            return Err(Error::internal("an operation of a kind that nobody does"));
        };
        match work(app, &mut running).await {
            Ok(finished) => store::finish(app, &running, finished.media_type).await?,
            Err(error) if running.attempt < TRIES => {
                tracing::warn!(operation = %running.id, cause = %error, "an operation broke off and will be begun again");
                continue;
            }
            Err(error) => {
                tracing::warn!(operation = %running.id, cause = %error, "an operation has failed");
                store::fail(app, &running).await?;
            }
        }
        ended += 1;
    }
    Ok(ended)
}

/// Does what waits, each second, until told to stop.
pub async fn run(app: App, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = run_due(&app).await {
            tracing::warn!(cause = %error, "operations could not be run");
        }
        // Only the pause is cut short, never the work before it.
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}
