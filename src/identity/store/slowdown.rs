//! Failed logins, counted per account and per address under a hash, whether the account exists or
//! not. An account's attempt is counted before the password is looked at: counted after, a hundred
//! guesses sent at once would all pass before the first is known to be wrong. Step-ups have a counter
//! of their own: whoever has the password and guesses at the factor clears nothing by logging in again.

use sqlx::postgres::PgConnection;

use crate::base::{Digest, Email, Instant, Result, sha256};
use crate::http::{ClientAddress, Surface};
use crate::identity::decide::{FORGOTTEN, FREE_OF_ACCOUNT, FREE_OF_ADDRESS, login_wait};

/// What is tried.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    /// A login.
    LogIn,
    /// Password and factor, in a session.
    StepUp,
}

/// What a login or a step-up is counted under.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    account: Digest,
    address: Option<Digest>,
}

impl Attempt {
    /// The counters of an account and an address on a surface.
    #[must_use]
    pub fn of(surface: Surface, act: Act, account: &Email, client: ClientAddress) -> Self {
        let kind = match act {
            Act::LogIn => "account",
            Act::StepUp => "step-up",
        };
        let under = |kind: &str, text: &str| sha256(&[surface.word().as_bytes(), b" ", kind.as_bytes(), b" ", text.as_bytes()]);
        Self { account: under(kind, account.as_str()), address: client.bucket().map(|address| under("address", &address.to_string())) }
    }
}

async fn wait(conn: &mut PgConnection, key: Digest, free: i32, now: Instant) -> Result<u64> {
    let row = sqlx::query!(
        r#"SELECT failures, last_at AS "last_at: Instant" FROM login_slowdown WHERE subject_hash = $1 FOR UPDATE"#,
        key as Digest
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map_or(0, |row| login_wait(row.failures, free, row.last_at, now)))
}

async fn count(conn: &mut PgConnection, key: Digest, now: Instant) -> Result<()> {
    sqlx::query!(
        "INSERT INTO login_slowdown (subject_hash, failures, last_at) VALUES ($1, 1, $2)
         ON CONFLICT (subject_hash) DO UPDATE SET last_at = $2,
             failures = CASE WHEN login_slowdown.last_at <= $3 THEN 1 ELSE LEAST(login_slowdown.failures, 1000000) + 1 END",
        key as Digest,
        now as Instant,
        now.plus(-FORGOTTEN) as Instant
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Counts an attempt at an account and answers 0, or answers the seconds to wait before one.
pub async fn attempt(conn: &mut PgConnection, attempt: &Attempt, now: Instant) -> Result<u64> {
    sqlx::query!(
        "DELETE FROM login_slowdown WHERE subject_hash IN
             (SELECT subject_hash FROM login_slowdown WHERE last_at <= $1 LIMIT 100 FOR UPDATE SKIP LOCKED)",
        now.plus(-FORGOTTEN) as Instant
    )
    .execute(&mut *conn)
    .await?;
    let account = wait(conn, attempt.account, FREE_OF_ACCOUNT, now).await?;
    let address = match attempt.address {
        Some(address) => wait(conn, address, FREE_OF_ADDRESS, now).await?,
        None => 0,
    };
    let wait = account.max(address);
    if wait == 0 {
        count(conn, attempt.account, now).await?;
    }
    Ok(wait)
}

/// Password or factor was wrong: the address is counted too.
pub async fn failed(conn: &mut PgConnection, attempt: &Attempt, now: Instant) -> Result<()> {
    match attempt.address {
        Some(address) => count(conn, address, now).await,
        None => Ok(()),
    }
}

/// All that was asked for was right: the account is free again. Its address is not, or whoever knows one
/// password could go on guessing others.
pub async fn cleared(conn: &mut PgConnection, attempt: &Attempt) -> Result<()> {
    sqlx::query!("DELETE FROM login_slowdown WHERE subject_hash = $1", attempt.account as Digest).execute(conn).await?;
    Ok(())
}

/// The password was not looked at: the attempt does not count.
pub async fn undone(conn: &mut PgConnection, attempt: &Attempt) -> Result<()> {
    sqlx::query!("UPDATE login_slowdown SET failures = failures - 1 WHERE subject_hash = $1 AND failures > 0", attempt.account as Digest)
        .execute(conn)
        .await?;
    Ok(())
}
