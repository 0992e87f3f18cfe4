//! What a database says about itself: whether it is private, how far its test clock is ahead, who
//! a login is. For the command line. It protects one rule: the clock of a database that is not
//! private cannot be moved, by the statement here and by a constraint beneath it.

use chrono::Duration;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnection, PgExecutor};

use super::{Db, Role, connect};
use crate::base::{Error, Instant, Result};

/// The facts of a database about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Installation {
    /// True for trying and tests.
    pub private: bool,
    /// How far the test clock is ahead of the machine's, milliseconds.
    pub clock_offset_millis: i64,
    /// True once the demo world has been loaded whole.
    pub world_loaded: bool,
    /// The database server's own time.
    pub database_at: Instant,
}

impl Db {
    /// Reads what the database says about itself.
    ///
    /// # Errors
    /// When it does not answer, or was never migrated.
    pub async fn installation(&self) -> Result<Installation> {
        read(&self.pool(Role::App)).await
    }
}

/// Reads what a database says about itself, over one connection.
///
/// # Errors
/// When it does not answer, or was never migrated.
pub async fn installation_at(conn: &mut PgConnection) -> Result<Installation> {
    read(conn).await
}

async fn read<'e>(executor: impl PgExecutor<'e>) -> Result<Installation> {
    Ok(sqlx::query_as!(
        Installation,
        r#"SELECT private, clock_offset_millis, world_loaded, clock_timestamp() AS "database_at!: Instant" FROM installation"#
    )
    .fetch_one(executor)
    .await?)
}

/// Moves the test clock forward, as the owner; never back, since a log's time does not run back.
///
/// # Errors
/// [`Error::Conflict`] when the database is not private.
pub async fn advance_clock(conn: &mut PgConnection, duration: Duration) -> Result<()> {
    let done = sqlx::query!(
        "UPDATE installation SET clock_offset_millis = clock_offset_millis + $1 WHERE private AND $1 > 0::bigint",
        duration.num_milliseconds()
    )
    .execute(conn)
    .await?;
    if done.rows_affected() == 1 {
        return Ok(());
    }
    Err(Error::conflict("not_private", "only a private database has a test clock"))
}

/// Notes, as the owner, that the demo world has been loaded whole.
///
/// # Errors
/// When the database does not answer.
pub async fn note_world_loaded(owner_url: &str) -> Result<()> {
    let mut conn = connect(owner_url).await?;
    let done = sqlx::query!("UPDATE installation SET world_loaded = true WHERE private").execute(&mut conn).await?;
    super::ensure_one(&done)?;
    Ok(conn.close().await?)
}

/// Who a login turned out to be.
#[derive(Debug)]
pub struct Login {
    /// Its name.
    pub name: String,
    /// The server's version.
    pub server: String,
}

/// Logs in once and leaves.
///
/// # Errors
/// With the server's own words, or why it was not reached.
pub async fn log_in(url: &str) -> Result<Login> {
    let mut conn = connect(url).await?;
    let (name, server) = sqlx::query_as("SELECT current_user::text, current_setting('server_version')").fetch_one(&mut conn).await?;
    conn.close().await?;
    Ok(Login { name, server })
}
