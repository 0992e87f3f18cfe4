//! All SQL of permit keys: public halves and the instants of their life.

use serde_json::Value;
use sqlx::postgres::PgConnection;

use super::decide::PermitKey;
use crate::base::{Instant, Result};
use crate::db::ensure_one;

/// Every key there ever was, oldest first.
///
/// # Errors
/// When the database does not answer.
pub async fn permit_keys(conn: &mut PgConnection) -> Result<Vec<PermitKey>> {
    Ok(sqlx::query_as!(
        PermitKey,
        r#"SELECT kid, public_key, published_at AS "published_at: Instant", activated_at AS "activated_at: Instant",
                  retired_at AS "retired_at: Instant", withdrawn_at AS "withdrawn_at: Instant"
           FROM permit_key ORDER BY published_at, kid"#
    )
    .fetch_all(conn)
    .await?)
}

pub(super) async fn publish(conn: &mut PgConnection, kid: &str, jwk: &Value, now: Instant) -> Result<()> {
    let done = sqlx::query!("INSERT INTO permit_key (kid, public_key, published_at) VALUES ($1, $2, $3)", kid, jwk, now as Instant)
        .execute(conn)
        .await?;
    ensure_one(&done)
}

pub(super) async fn activate(conn: &mut PgConnection, kid: &str, now: Instant) -> Result<()> {
    let done = sqlx::query!(
        "UPDATE permit_key SET activated_at = $2 WHERE kid = $1 AND activated_at IS NULL AND withdrawn_at IS NULL",
        kid,
        now as Instant
    )
    .execute(conn)
    .await?;
    ensure_one(&done)
}

pub(super) async fn retire(conn: &mut PgConnection, kid: &str, now: Instant) -> Result<()> {
    let done = sqlx::query!(
        "UPDATE permit_key SET retired_at = $2 WHERE kid = $1 AND activated_at IS NOT NULL AND retired_at IS NULL AND withdrawn_at IS NULL",
        kid,
        now as Instant
    )
    .execute(conn)
    .await?;
    ensure_one(&done)
}

pub(super) async fn withdraw(conn: &mut PgConnection, kid: &str, now: Instant) -> Result<()> {
    let done = sqlx::query!("UPDATE permit_key SET withdrawn_at = $2 WHERE kid = $1 AND withdrawn_at IS NULL", kid, now as Instant)
        .execute(conn)
        .await?;
    ensure_one(&done)
}
