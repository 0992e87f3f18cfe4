//! Second factors and their recovery codes. Row level security lets each surface reach the factors
//! of its own persons only. A secret is stored encrypted and a recovery code as a hash; the last
//! time step only grows, by the statement that accepts a code.

use sqlx::postgres::PgConnection;

use crate::base::*;
use crate::db::ensure_one;
use crate::identity::model::Account;

/// A factor in use.
#[derive(Debug, Clone)]
pub struct StoredFactor {
    pub id: SecondFactorId,
    pub sealed: Vec<u8>,
    pub last_step: i64,
}

/// A factor that was begun and not confirmed.
pub struct BegunFactor {
    pub id: SecondFactorId,
    pub sealed: Vec<u8>,
    pub begun_at: Instant,
}

/// A factor in use as its person sees it.
pub struct FactorInUse {
    pub id: SecondFactorId,
    pub confirmed_at: Instant,
    pub recovery_codes_left: i64,
}

/// The account's factor in use.
pub async fn factor_in_use(conn: &mut PgConnection, account: Account) -> Result<Option<FactorInUse>> {
    Ok(sqlx::query_as!(
        FactorInUse,
        r#"SELECT f.id AS "id: SecondFactorId", f.confirmed_at AS "confirmed_at!: Instant",
                  (SELECT count(*) FROM recovery_code c WHERE c.second_factor_id = f.id AND c.used_at IS NULL AND c.ended_at IS NULL)
                      AS "recovery_codes_left!"
           FROM second_factor f WHERE (f.person_id = $1 OR f.ops_person_id = $2) AND f.confirmed_at IS NOT NULL AND f.ended_at IS NULL"#,
        account.person() as Option<PersonId>,
        account.ops_person() as Option<OpsPersonId>
    )
    .fetch_optional(conn)
    .await?)
}

/// The account's factor that was begun and not confirmed.
///
/// # Errors
/// [`Error::NotFound`] when that is not this one.
pub async fn begun_factor(conn: &mut PgConnection, account: Account, id: SecondFactorId) -> Result<BegunFactor> {
    sqlx::query_as!(
        BegunFactor,
        r#"SELECT id AS "id: SecondFactorId", sealed, begun_at AS "begun_at: Instant" FROM second_factor
           WHERE id = $1 AND (person_id = $2 OR ops_person_id = $3) AND confirmed_at IS NULL"#,
        id as SecondFactorId,
        account.person() as Option<PersonId>,
        account.ops_person() as Option<OpsPersonId>
    )
    .fetch_optional(conn)
    .await?
    .ok_or(Error::NotFound)
}

/// Begins a factor, in the place of one that was begun before.
pub async fn begin_factor(conn: &mut PgConnection, account: Account, id: SecondFactorId, sealed: &[u8], now: Instant) -> Result<()> {
    sqlx::query!(
        "DELETE FROM second_factor WHERE (person_id = $1 OR ops_person_id = $2) AND confirmed_at IS NULL",
        account.person() as Option<PersonId>,
        account.ops_person() as Option<OpsPersonId>
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "INSERT INTO second_factor (id, person_id, ops_person_id, sealed, begun_at) VALUES ($1, $2, $3, $4, $5)",
        id as SecondFactorId,
        account.person() as Option<PersonId>,
        account.ops_person() as Option<OpsPersonId>,
        sealed,
        now as Instant
    )
    .execute(conn)
    .await
    .map_err(crate::db::conflict_on(
        if account.person().is_some() { "second_factor_begun_of_person" } else { "second_factor_begun_of_ops_person" },
        "begun_twice",
        "Another second factor was begun at this moment: begin again.",
    ))?;
    Ok(())
}

/// Puts a begun factor to use, in the place of the one before it, with its recovery codes.
///
/// # Errors
/// [`Error::NotFound`] when it was confirmed or dropped in between.
pub async fn confirm_factor(
    conn: &mut PgConnection,
    account: Account,
    id: SecondFactorId,
    step: i64,
    codes: &[Digest],
    now: Instant,
) -> Result<()> {
    sqlx::query!(
        "UPDATE second_factor SET ended_at = $3 WHERE (person_id = $1 OR ops_person_id = $2) AND confirmed_at IS NOT NULL AND ended_at IS NULL",
        account.person() as Option<PersonId>,
        account.ops_person() as Option<OpsPersonId>,
        now as Instant
    )
    .execute(&mut *conn)
    .await?;
    let done = sqlx::query!(
        "UPDATE second_factor SET confirmed_at = $2, last_step = $3 WHERE id = $1 AND confirmed_at IS NULL",
        id as SecondFactorId,
        now as Instant,
        step
    )
    .execute(&mut *conn)
    .await?;
    if done.rows_affected() == 0 {
        return Err(Error::NotFound);
    }
    ensure_one(&done)?;
    insert_codes(conn, id, codes).await
}

async fn insert_codes(conn: &mut PgConnection, id: SecondFactorId, codes: &[Digest]) -> Result<()> {
    for hash in codes {
        let insert =
            sqlx::query!("INSERT INTO recovery_code (second_factor_id, code_hash) VALUES ($1, $2)", id as SecondFactorId, *hash as Digest);
        insert.execute(&mut *conn).await?;
    }
    Ok(())
}

/// Puts other recovery codes in the place of those of a factor that were not used.
pub async fn renew_codes(conn: &mut PgConnection, id: SecondFactorId, codes: &[Digest], now: Instant) -> Result<()> {
    sqlx::query!(
        "UPDATE recovery_code SET ended_at = $2 WHERE second_factor_id = $1 AND used_at IS NULL AND ended_at IS NULL",
        id as SecondFactorId,
        now as Instant
    )
    .execute(&mut *conn)
    .await?;
    insert_codes(conn, id, codes).await
}

/// Accepts a code's time step; false if one as late was accepted before, at this very moment perhaps.
pub async fn use_step(conn: &mut PgConnection, id: SecondFactorId, step: i64) -> Result<bool> {
    let done = sqlx::query!(
        "UPDATE second_factor SET last_step = $2 WHERE id = $1 AND last_step < $2 AND confirmed_at IS NOT NULL AND ended_at IS NULL",
        id as SecondFactorId,
        step
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Uses a recovery code of a factor in use: how many are left, or `None` if it is not one, or was used.
pub async fn use_recovery_code(conn: &mut PgConnection, id: SecondFactorId, hash: Digest, now: Instant) -> Result<Option<i64>> {
    let done = sqlx::query!(
        "UPDATE recovery_code SET used_at = $3 WHERE second_factor_id = $1 AND code_hash = $2 AND used_at IS NULL AND ended_at IS NULL
             AND EXISTS (SELECT 1 FROM second_factor f WHERE f.id = $1 AND f.confirmed_at IS NOT NULL AND f.ended_at IS NULL)",
        id as SecondFactorId,
        hash as Digest,
        now as Instant
    )
    .execute(&mut *conn)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(None);
    }
    let left = sqlx::query_scalar!(
        r#"SELECT count(*) AS "left!" FROM recovery_code WHERE second_factor_id = $1 AND used_at IS NULL AND ended_at IS NULL"#,
        id as SecondFactorId
    );
    Ok(Some(left.fetch_one(conn).await?))
}

/// Sets the password of the person whose session this is; false without a step-up that holds.
pub async fn change_password(conn: &mut PgConnection, session: SessionId, password_hash: &str, now: Instant) -> Result<bool> {
    let changed =
        sqlx::query_scalar!(r#"SELECT change_password($1, $2, $3) AS "changed!""#, session as SessionId, password_hash, now as Instant);
    Ok(changed.fetch_one(conn).await?)
}

/// Notes an address to be proved by a token's bearer in this person's sessions: true if no account of
/// the surface has it.
///
/// # Errors
/// [`Error::StepUpRequired`] when the session has no step-up that holds.
pub async fn begin_email_change(
    conn: &mut PgConnection,
    session: SessionId,
    (email, token): (&Email, Digest),
    (now, expires_at): (Instant, Instant),
) -> Result<bool> {
    let free = sqlx::query_scalar!(
        r#"SELECT begin_email_change($1, $2, $3, $4, $5) AS "free""#,
        session as SessionId,
        email as &Email,
        token as Digest,
        expires_at as Instant,
        now as Instant
    );
    free.fetch_one(conn).await?.ok_or(Error::StepUpRequired)
}

/// Proves the address that this token was mailed to, which counts from now on; `None` if it cannot
/// be proved (any more) in this session.
pub async fn change_email(conn: &mut PgConnection, session: SessionId, token: Digest, now: Instant) -> Result<Option<Email>> {
    let email =
        sqlx::query_scalar!(r#"SELECT change_email($1, $2, $3) AS "email: Email""#, session as SessionId, token as Digest, now as Instant);
    Ok(email.fetch_one(conn).await?)
}

/// The last time step that the factor behind an address accepted, as the owner of a private database.
///
/// # Errors
/// [`Error::NotFound`] when nobody of that address has a factor.
pub async fn last_step_of(conn: &mut PgConnection, email: &Email) -> Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT f.last_step AS "last_step!" FROM second_factor f LEFT JOIN person p ON p.id = f.person_id LEFT JOIN ops_person o ON o.id = f.ops_person_id
           WHERE COALESCE(p.email, o.email) = $1 AND f.confirmed_at IS NOT NULL AND f.ended_at IS NULL"#,
        email as &Email
    )
    .fetch_optional(conn)
    .await?
    .ok_or(Error::NotFound)
}
