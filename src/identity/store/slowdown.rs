//! Failed logins, counted per account and address together, per account, and per address under a hash,
//! whether the account exists or not. An attempt is counted before the password is looked at: counted
//! after, a hundred guesses sent at once would all pass before the first is known to be wrong. Where an
//! account came in lately, the failures of others do not count: nobody keeps a person out by failing as
//! that person. Step-ups have counters of their own: whoever has the password and guesses at the factor
//! clears nothing by logging in again.

use sqlx::postgres::PgConnection;

use crate::base::{Digest, Email, Instant, Result, sha256};
use crate::http::{ClientAddress, Surface};
use crate::identity::slowdown::{KNOWN_PLACE, OF_ACCOUNT, OF_ACCOUNT_WITH_CODE, OF_ADDRESS, OF_PAIR, Patience, Tries, login_wait};

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// A login.
    LogIn,
    /// Password and factor, in a session.
    StepUp,
}

/// What a login or a step-up is counted under.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    pair: Digest,
    account: Digest,
    address: Option<Digest>,
    of_account: Patience,
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
        let address = client.bucket().map(|address| address.to_string());
        let with_code = act == Act::StepUp || surface == Surface::Admin;
        Self {
            // No address has a blank in it, nor has the name of the kind.
            pair: under(kind, &format!("{} {}", account.as_str(), address.as_deref().unwrap_or_default())),
            account: under(kind, account.as_str()),
            address: address.map(|address| under("address", &address)),
            of_account: if with_code { OF_ACCOUNT_WITH_CODE } else { OF_ACCOUNT },
        }
    }
}

async fn tries(conn: &mut PgConnection, key: Digest) -> Result<Option<Tries>> {
    Ok(sqlx::query_as!(
        Tries,
        r#"SELECT failures, last_at AS "last_at: Instant", succeeded_at AS "succeeded_at: Instant"
           FROM login_slowdown WHERE subject_hash = $1 FOR UPDATE"#,
        key as Digest
    )
    .fetch_optional(conn)
    .await?)
}

async fn count(conn: &mut PgConnection, key: Digest, patience: Patience, now: Instant) -> Result<()> {
    sqlx::query!(
        "INSERT INTO login_slowdown (subject_hash, failures, last_at) VALUES ($1, 1, $2)
         ON CONFLICT (subject_hash) DO UPDATE SET last_at = $2,
             failures = CASE WHEN login_slowdown.last_at <= $3 THEN 1 ELSE LEAST(login_slowdown.failures, 1000000) + 1 END",
        key as Digest,
        now as Instant,
        now.plus(-patience.forgotten) as Instant
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Counts an attempt at an account and answers 0, or answers the seconds to wait before one.
pub async fn attempt(conn: &mut PgConnection, attempt: &Attempt, now: Instant) -> Result<u64> {
    sqlx::query!(
        "DELETE FROM login_slowdown WHERE subject_hash IN
             (SELECT subject_hash FROM login_slowdown WHERE last_at <= $1 AND (succeeded_at IS NULL OR succeeded_at <= $2)
              LIMIT 100 FOR UPDATE SKIP LOCKED)",
        now.plus(-OF_ACCOUNT.forgotten) as Instant,
        now.plus(-KNOWN_PLACE) as Instant
    )
    .execute(&mut *conn)
    .await?;
    // Always in this order, so that two attempts never wait for each other crosswise.
    let pair = tries(conn, attempt.pair).await?;
    let account = tries(conn, attempt.account).await?;
    let address = match attempt.address {
        Some(address) => tries(conn, address).await?,
        None => None,
    };
    let wait = login_wait([(pair, OF_PAIR), (account, attempt.of_account), (address, OF_ADDRESS)], now);
    if wait == 0 {
        count(conn, attempt.pair, OF_PAIR, now).await?;
        count(conn, attempt.account, attempt.of_account, now).await?;
    }
    Ok(wait)
}

/// Password or factor was wrong: the address is counted too.
pub async fn failed(conn: &mut PgConnection, attempt: &Attempt, now: Instant) -> Result<()> {
    match attempt.address {
        Some(address) => count(conn, address, OF_ADDRESS, now).await,
        None => Ok(()),
    }
}

/// All that was asked for was right: the account is free again, and known where it came in. Its address
/// is not free, or whoever knows one password could go on guessing others.
pub async fn cleared(conn: &mut PgConnection, attempt: &Attempt, now: Instant) -> Result<()> {
    sqlx::query!(
        "INSERT INTO login_slowdown (subject_hash, failures, last_at, succeeded_at) VALUES ($1, 0, $2, $2)
         ON CONFLICT (subject_hash) DO UPDATE SET failures = 0, last_at = $2, succeeded_at = $2",
        attempt.pair as Digest,
        now as Instant
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!("DELETE FROM login_slowdown WHERE subject_hash = $1", attempt.account as Digest).execute(conn).await?;
    Ok(())
}

/// The password was not looked at: the attempt does not count.
pub async fn undone(conn: &mut PgConnection, attempt: &Attempt) -> Result<()> {
    for key in [attempt.pair, attempt.account] {
        sqlx::query!("UPDATE login_slowdown SET failures = failures - 1 WHERE subject_hash = $1 AND failures > 0", key as Digest)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}
