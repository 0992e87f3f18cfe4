//! Whether the database answers. A server's own timeouts are never heard across a black hole, so
//! each role has one connection that only asks. When it is not answered, the role's pool is replaced
//! by a new one, callers are refused at once instead of one timeout each, and whoever waits is told.
//! What still runs on the old pool runs on; its connections are closed when they come back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Postgres, Transaction};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Db, Role};
use crate::base::{Error, Result};

/// The pause between two questions.
const PAUSE: Duration = Duration::from_millis(250);
/// How long an answer may take: with the pause before it and the answer to the client after it,
/// whoever comes in at the beginning of a silence is told of it within 2 s.
const SILENCE: Duration = Duration::from_millis(1_500);
/// How long an idle connection may take to answer before it is used.
const IDLE_ANSWER: Duration = Duration::from_secs(1);

/// What is known of the database, as one role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody watches: commands and most tests.
    Unwatched,
    /// The last question was answered.
    Answers,
    /// It was not.
    Lost,
}

/// The pool of one role, and what is known of its database.
pub(super) struct RolePool {
    role: Role,
    connect: PgConnectOptions,
    options: PgPoolOptions,
    /// The pool, and how many there were before it.
    current: RwLock<(PgPool, u64)>,
    state: watch::Sender<State>,
    /// True when a connection that had been idle did not answer.
    silent: Arc<AtomicBool>,
}

impl Db {
    /// Watches the database until told to stop.
    pub async fn watch(&self, stop: &CancellationToken) {
        futures_util::future::join_all(self.pools.iter().map(|pool| pool.watch(stop))).await;
    }

    /// Ends when the database falls silent for this role after this call.
    pub fn lost(&self, role: Role) -> impl Future<Output = ()> + Send + 'static {
        let mut state = self.pools[role as usize].state.subscribe();
        async move {
            while state.changed().await.is_ok() {
                if *state.borrow_and_update() == State::Lost {
                    return;
                }
            }
            std::future::pending().await
        }
    }

    /// Says whether every role's database answers: what the watch knows, or, without one, by asking.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when one does not.
    pub async fn answers(&self) -> Result<()> {
        self.serves.only_this()?;
        for pool in self.pools.iter() {
            let state = *pool.state.borrow();
            match state {
                State::Answers => {}
                State::Lost => return Err(lost()),
                State::Unwatched => {
                    sqlx::query("SELECT 1").execute(&pool.current().0).await?;
                }
            }
        }
        Ok(())
    }

    /// Begins a transaction; at once refused while the database is lost.
    pub(super) async fn begin(&self, role: Role) -> Result<Transaction<'static, Postgres>> {
        self.serves.only_this()?;
        let at = self.at(role)?;
        loop {
            if *at.state.borrow() == State::Lost {
                return Err(lost());
            }
            let (pool, number) = at.current();
            #[expect(clippy::disallowed_methods, reason = "the one place that begins a transaction")]
            let begun = pool.begin().await;
            if at.silent.swap(false, Ordering::Relaxed) {
                // The idle connection that was tried did not answer, and the others are no younger.
                at.replace(number);
            }
            match begun {
                // Replaced while this one waited.
                Err(sqlx::Error::PoolClosed) if at.current().1 != number => {}
                begun => return Ok(begun?),
            }
        }
    }
}

/// True if a connection that was idle still answers. One that does not is closed, and the caller
/// gets a new one.
async fn is_alive(connection: &mut PgConnection, silent: &AtomicBool) -> bool {
    #[expect(clippy::disallowed_methods, reason = "what is cut off here is closed, and so in no doubt")]
    let answer = tokio::time::timeout(IDLE_ANSWER, connection.ping()).await;
    if answer.is_err() {
        silent.store(true, Ordering::Relaxed);
    }
    matches!(answer, Ok(Ok(())))
}

const fn lost() -> Error {
    Error::Unavailable { retry_after: 1, cause: "the database does not answer" }
}

impl RolePool {
    pub(super) fn new(role: Role, connect: PgConnectOptions, options: PgPoolOptions) -> Self {
        let silent = Arc::new(AtomicBool::new(false));
        let noted = Arc::clone(&silent);
        let options = options.test_before_acquire(false).before_acquire(move |connection, _| {
            let silent = Arc::clone(&noted);
            Box::pin(async move { Ok(is_alive(connection, &silent).await) })
        });
        let pool = options.clone().connect_lazy_with(connect.clone());
        Self { role, connect, options, current: RwLock::new((pool, 0)), state: watch::Sender::new(State::Unwatched), silent }
    }

    pub(super) fn current(&self) -> (PgPool, u64) {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts a new pool in the place of the one with this number, if it still stands there.
    fn replace(&self, number: u64) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.1 != number {
            return;
        }
        let new = self.options.clone().connect_lazy_with(self.connect.clone());
        let (old, _) = std::mem::replace(&mut *current, (new, number + 1));
        drop(current);
        tracing::warn!(role = self.role.name(), "a pool was replaced");
        metrics::counter!("database_pools_replaced_total", "role" => self.role.name()).increment(1);
        // Closed now; its idle connections leave when its last transaction has.
        tokio::spawn(async move { old.close().await });
    }

    async fn watch(&self, stop: &CancellationToken) {
        let mut probe = None;
        while !stop.is_cancelled() {
            #[expect(clippy::disallowed_methods, reason = "a connection of its own, which is closed when it is cut off")]
            let answer = tokio::time::timeout(SILENCE, self.ask(probe.take())).await;
            match answer {
                Ok(Ok(asked)) => {
                    probe = asked;
                    self.note(State::Answers);
                }
                Ok(Err(_)) | Err(_) => self.note(State::Lost),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// Asks over the connection that asked last, else over a new one: that a session was ended says
    /// nothing of the database. A server that answers with an error (too many sessions, a changed
    /// password) is there, unless it is starting or ending.
    async fn ask(&self, probe: Option<PgConnection>) -> Result<Option<PgConnection>, sqlx::Error> {
        if let Some(mut probe) = probe
            && probe.ping().await.is_ok()
        {
            return Ok(Some(probe));
        }
        match self.connect.connect().await {
            Err(sqlx::Error::Database(told)) if told.code().is_none_or(|code| !code.starts_with("57P")) => Ok(None),
            connected => connected.map(Some),
        }
    }

    fn note(&self, found: State) {
        let before = *self.state.borrow();
        if before == found {
            return;
        }
        let role = self.role.name();
        metrics::gauge!("database_answers", "role" => role).set(if found == State::Answers { 1.0 } else { 0.0 });
        self.state.send_replace(found);
        if found == State::Lost {
            tracing::warn!(role, "the database does not answer");
            self.replace(self.current().1);
        } else if before == State::Lost {
            tracing::warn!(role, "the database answers again");
        }
    }
}
