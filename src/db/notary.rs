//! What is done after every COMMIT with entries, and what that needs to know of the database. Here
//! is only the seam: keys, checkpoints and where they are kept are `evidence`'s. A checkpoint that
//! could not be kept never takes the act back; whoever watches is told, and does not answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use sqlx::postgres::PgConnection;

use super::{Db, LogId};
use crate::base::{Digest, Error, Result};

/// The head of a log, as it was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedHead {
    /// The log.
    pub log: LogId,
    /// Its text name.
    pub name: String,
    /// Its epoch.
    pub epoch: i32,
    /// Number of entries.
    pub size: u64,
    /// Roots of the tree's complete subtrees, largest first.
    pub edge: Vec<Digest>,
}

/// Who signs, and which database it was that committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The active key of the logs; absent before the first was published.
    pub kid: Option<String>,
    /// Postgres's system identifier: another one is another cluster.
    pub system_identifier: String,
    /// Postgres's timeline: another one is a restore or a failover.
    pub timeline: u32,
}

/// Signs checkpoints, and keeps them outside the database.
pub trait Notary: Send + Sync + std::fmt::Debug {
    /// True if this process has the private half.
    fn has_key(&self, kid: &str) -> bool;
    /// Signs a checkpoint; `None` when this process has not the private half.
    fn sign(&self, kid: &str, origin: &str, size: u64, root: Digest) -> Option<String>;
    /// Keeps the checkpoints of heads that were committed just now.
    ///
    /// # Errors
    /// When one is not kept; it will be tried again.
    fn keep<'n>(&'n self, db: &'n Db, standing: &'n Standing, heads: Vec<CommittedHead>) -> BoxFuture<'n, Result<()>>;
    /// Takes note of heads whose checkpoints are kept within 10 s.
    fn note(&self, heads: Vec<CommittedHead>);
}

tokio::task_local! {
    static UNKEPT: Arc<AtomicBool>;
}

/// Runs a request, and says whether a checkpoint of what it committed could not be kept.
pub async fn watch_checkpoints<F: Future>(request: F) -> (F::Output, bool) {
    let unkept = Arc::new(AtomicBool::new(false));
    let output = UNKEPT.scope(Arc::clone(&unkept), request).await;
    (output, unkept.load(Ordering::Relaxed))
}

/// Tells whoever watches this task that a checkpoint could not be kept.
pub(super) fn tell_unkept() {
    // Without a watcher there is no answer to hold back: a job, a command.
    UNKEPT.try_with(|unkept| unkept.store(true, Ordering::Relaxed)).ok();
}

/// Which database this process serves, once it has looked. A database that was restored, or a replica that
/// was promoted, is taken in by a start and by nothing else: a new connection to it is closed, and from then
/// on everything is refused.
#[derive(Debug, Clone, Default)]
pub(super) struct Serves {
    this: Arc<OnceLock<(String, u32)>>,
    met_another: Arc<AtomicBool>,
}

impl Serves {
    /// Refuses a connection to another database.
    pub(super) async fn check(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        let Some((system_identifier, timeline)) = self.this.get() else { return Ok(()) };
        let standing = standing(conn).await.map_err(|error| sqlx::Error::Configuration(Box::new(error)))?;
        if (&standing.system_identifier, &standing.timeline) == (system_identifier, timeline) {
            return Ok(());
        }
        if !self.met_another.swap(true, Ordering::Relaxed) {
            tracing::error!("ALARM: the database is another one, or on another timeline: every process must be started again");
        }
        Err(sqlx::Error::Configuration("the database is not the one that this process began with".into()))
    }
    /// Refuses everything once another database was met.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub(super) fn only_this(&self) -> Result<()> {
        match self.met_another.load(Ordering::Relaxed) {
            true => Err(Error::Unavailable { retry_after: 5, cause: "the database is another one than this process began with" }),
            false => Ok(()),
        }
    }
}

/// Reads who signs and which database this is.
pub(super) async fn standing(conn: &mut PgConnection) -> Result<Standing> {
    let row = sqlx::query!(
        r#"SELECT (SELECT kid FROM log_key WHERE activated_at IS NOT NULL AND retired_at IS NULL AND withdrawn_at IS NULL) AS kid,
                  (SELECT system_identifier FROM pg_control_system())::text AS "system_identifier!",
                  ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::bigint AS "timeline!""#
    )
    .fetch_one(conn)
    .await?;
    let timeline = u32::try_from(row.timeline).map_err(Error::internal)?;
    Ok(Standing { kid: row.kid, system_identifier: row.system_identifier, timeline })
}

impl Db {
    /// Who signs, and which database this is.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn standing(&self) -> Result<Standing> {
        let mut read = self.read(super::Role::OpsRead, "standing", LogId::REGISTRY).await?;
        standing(read.conn()).await
    }

    /// Serves this database from now on, and no other.
    pub fn serve_only(&self, standing: &Standing) {
        self.serves.this.set((standing.system_identifier.clone(), standing.timeline)).ok();
    }
}
