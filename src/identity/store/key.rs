//! API keys of all surfaces: only the SHA-256 of a key's text is stored. Whose key it is stands in
//! the row and is named by every query besides the policy.

use chrono::NaiveDate;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::base::*;
use crate::db::{LogId, Role, WriteTx, conflict_on};
use crate::http::Surface;

/// Whose key it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyHolder {
    /// A customer's, on the institution surface.
    Customer(CustomerId),
    /// The processor's, on the admin surface.
    Ops,
    /// A platform's, at the gate.
    Platform(Code),
}

impl KeyHolder {
    /// The surface it is good for.
    #[must_use]
    pub const fn surface(&self) -> Surface {
        match self {
            Self::Customer(_) => Surface::Institution,
            Self::Ops => Surface::Admin,
            Self::Platform(_) => Surface::Gate,
        }
    }
    /// The role that may make and revoke it.
    #[must_use]
    pub const fn managed_by(&self) -> Role {
        match self {
            Self::Customer(_) => Role::App,
            Self::Ops | Self::Platform(_) => Role::Ops,
        }
    }
    /// The log that its making and revoking goes to.
    #[must_use]
    pub fn home(&self) -> LogId {
        match self {
            Self::Customer(customer) => (*customer).into(),
            Self::Ops | Self::Platform(_) => LogId::PROCESSOR,
        }
    }
    const fn customer(&self) -> Option<CustomerId> {
        match self {
            Self::Customer(customer) => Some(*customer),
            _ => None,
        }
    }
    /// The platform it is bound to.
    #[must_use]
    pub const fn platform(&self) -> Option<&Code> {
        match self {
            Self::Platform(platform) => Some(platform),
            _ => None,
        }
    }
}

/// A key to be made.
pub struct NewKey<'a> {
    pub id: ApiKeyId,
    pub hash: Digest,
    pub name: &'a Name,
    pub role: &'a str,
    pub created_by: Uuid,
    pub expires_at: Instant,
    /// What is normal in an hour, for a platform's key that differs from the configured one.
    pub normal: NormalOfKey,
}

/// What is normal for a key in an hour; `None`: as configured.
#[derive(Debug, Clone, Copy, Default)]
pub struct NormalOfKey {
    pub customers: Option<i64>,
    pub rows: Option<i64>,
}

/// A key as its holder sees it.
#[derive(Debug, Clone)]
pub struct ApiKey {
    pub id: ApiKeyId,
    pub name: Name,
    pub role: String,
    pub created_at: Instant,
    pub expires_at: Instant,
    pub last_used_on: Option<NaiveDate>,
    pub revoked_at: Option<Instant>,
    pub normal_customers: Option<i64>,
    pub normal_rows: Option<i64>,
    pub approved_by: Option<OpsPersonId>,
    pub approved_at: Option<Instant>,
}

/// The key behind a text's hash.
pub struct FoundKey {
    pub id: ApiKeyId,
    pub customer: Option<CustomerId>,
    pub platform: Option<Code>,
    pub role: String,
    pub expires_at: Instant,
    pub last_used_on: Option<NaiveDate>,
    pub revoked_at: Option<Instant>,
    pub approved_at: Option<Instant>,
    pub processor_unconfirmed: bool,
}

/// The key of a surface behind a text's hash.
pub async fn key_by_text(conn: &mut PgConnection, surface: Surface, hash: Digest) -> Result<Option<FoundKey>> {
    Ok(sqlx::query_as!(
        FoundKey,
        r#"SELECT id AS "id!: ApiKeyId", customer_id AS "customer?: CustomerId", platform AS "platform?: Code", role AS "role!",
                  expires_at AS "expires_at!: Instant", last_used_on, revoked_at AS "revoked_at?: Instant",
                  approved_at AS "approved_at?: Instant", processor_unconfirmed() AS "processor_unconfirmed!"
           FROM api_key_by_secret($1) WHERE surface = $2"#,
        hash as Digest,
        surface.word()
    )
    .fetch_optional(conn)
    .await?)
}

/// True while a person of the customer must confirm the state in which a restore left its log.
pub async fn state_unconfirmed(conn: &mut PgConnection, customer: CustomerId) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM log_epoch WHERE customer_id = $1 AND unconfirmed AND confirmed_at IS NULL) AS "unconfirmed!""#,
        customer as CustomerId
    )
    .fetch_one(conn)
    .await?)
}

/// Notes the day of use. Two requests may do it at once; the later one then has nothing to do.
pub async fn used_key(conn: &mut PgConnection, id: ApiKeyId, today: NaiveDate) -> Result<()> {
    sqlx::query!(
        "UPDATE api_key SET last_used_on = $2 WHERE id = $1 AND (last_used_on IS NULL OR last_used_on < $2)",
        id as ApiKeyId,
        today
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How many keys of a name live.
pub async fn live_keys(conn: &mut PgConnection, holder: &KeyHolder, name: &Name, now: Instant) -> Result<i64> {
    Ok(sqlx::query_scalar!(
        r#"SELECT count(*) AS "live!" FROM api_key
           WHERE surface = $1 AND ($2::uuid IS NULL OR customer_id = $2) AND ($3::text IS NULL OR platform = $3)
             AND name = $4 AND revoked_at IS NULL AND expires_at > $5"#,
        holder.surface().word(),
        holder.customer() as Option<CustomerId>,
        holder.platform() as Option<&Code>,
        name as &Name,
        now as Instant
    )
    .fetch_one(conn)
    .await?)
}

/// Makes a key.
pub async fn insert_key(tx: &mut WriteTx, holder: &KeyHolder, new: &NewKey<'_>) -> Result<()> {
    let now = tx.now();
    if let KeyHolder::Platform(platform) = holder {
        return insert_platform_key(tx, platform, new).await;
    }
    sqlx::query!(
        "INSERT INTO api_key (id, surface, secret_hash, name, customer_id, role, created_by, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        new.id as ApiKeyId,
        holder.surface().word(),
        new.hash as Digest,
        new.name as &Name,
        holder.customer() as Option<CustomerId>,
        new.role,
        new.created_by,
        now as Instant,
        new.expires_at as Instant
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Makes a platform's key, which is good for nothing until it is approved.
async fn insert_platform_key(tx: &mut WriteTx, platform: &Code, new: &NewKey<'_>) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "INSERT INTO api_key (id, surface, secret_hash, name, platform, role, created_by, created_at, expires_at, normal_customers, normal_rows)
         VALUES ($1, 'gate', $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        new.id as ApiKeyId,
        new.hash as Digest,
        new.name as &Name,
        platform as &Code,
        new.role,
        new.created_by,
        now as Instant,
        new.expires_at as Instant,
        new.normal.customers,
        new.normal.rows
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The ops person who made a platform's key, and when.
///
/// # Errors
/// [`Error::NotFound`] when there is no such key.
pub async fn maker_of_key(conn: &mut PgConnection, id: ApiKeyId) -> Result<(OpsPersonId, Instant)> {
    let row = sqlx::query!(
        r#"SELECT created_by AS "made_by: OpsPersonId", created_at AS "created_at: Instant" FROM api_key WHERE surface = 'gate' AND id = $1"#,
        id as ApiKeyId
    )
    .fetch_optional(conn)
    .await?
    .ok_or(Error::NotFound)?;
    Ok((row.made_by, row.created_at))
}

/// Approves a platform's key.
///
/// # Errors
/// [`Error::Conflict`] when it is approved or revoked, or when the approver made it.
pub async fn approve_key(tx: &mut WriteTx, platform: &Code, id: ApiKeyId, by: OpsPersonId) -> Result<()> {
    let now = tx.now();
    let done = sqlx::query!(
        "UPDATE api_key SET approved_by = $3, approved_at = $4
         WHERE surface = 'gate' AND platform = $1 AND id = $2 AND approved_at IS NULL AND revoked_at IS NULL",
        platform as &Code,
        id as ApiKeyId,
        by as OpsPersonId,
        now as Instant
    )
    .execute(tx.conn())
    .await
    .map_err(conflict_on("api_key_two", "second_person_needed", "Another ops person must approve the key that you made."))?;
    if done.rows_affected() == 0 {
        return Err(Error::conflict("not_awaiting_approval", "The key is approved already, or it is revoked."));
    }
    crate::db::ensure_one(&done)
}

/// The holder's keys, revoked and expired ones too, in order of their ids.
pub async fn keys(conn: &mut PgConnection, holder: &KeyHolder, page: &PageQuery) -> Result<Vec<ApiKey>> {
    Ok(sqlx::query_as!(
        ApiKey,
        r#"SELECT id AS "id: ApiKeyId", name AS "name: Name", role, created_at AS "created_at: Instant",
                  expires_at AS "expires_at: Instant", last_used_on, revoked_at AS "revoked_at: Instant",
                  normal_customers, normal_rows, approved_by AS "approved_by: OpsPersonId", approved_at AS "approved_at: Instant"
           FROM api_key WHERE surface = $1 AND ($2::uuid IS NULL OR customer_id = $2) AND ($3::text IS NULL OR platform = $3)
             AND ($4::uuid IS NULL OR id > $4) ORDER BY id LIMIT $5"#,
        holder.surface().word(),
        holder.customer() as Option<CustomerId>,
        holder.platform() as Option<&Code>,
        page.after,
        page.fetch()
    )
    .fetch_all(conn)
    .await?)
}

/// One of the holder's keys.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn key(conn: &mut PgConnection, holder: &KeyHolder, id: ApiKeyId) -> Result<ApiKey> {
    sqlx::query_as!(
        ApiKey,
        r#"SELECT id AS "id: ApiKeyId", name AS "name: Name", role, created_at AS "created_at: Instant",
                  expires_at AS "expires_at: Instant", last_used_on, revoked_at AS "revoked_at: Instant",
                  normal_customers, normal_rows, approved_by AS "approved_by: OpsPersonId", approved_at AS "approved_at: Instant"
           FROM api_key WHERE surface = $1 AND ($2::uuid IS NULL OR customer_id = $2) AND ($3::text IS NULL OR platform = $3) AND id = $4"#,
        holder.surface().word(),
        holder.customer() as Option<CustomerId>,
        holder.platform() as Option<&Code>,
        id as ApiKeyId
    )
    .fetch_optional(conn)
    .await?
    .ok_or(Error::NotFound)
}

/// Revokes a key that the holder has; effective for every request that looks it up afterwards.
///
/// # Errors
/// [`Error::Conflict`] when it is revoked already.
pub async fn revoke_key(tx: &mut WriteTx, holder: &KeyHolder, id: ApiKeyId) -> Result<()> {
    let now = tx.now();
    let done = sqlx::query!(
        "UPDATE api_key SET revoked_at = $5 WHERE surface = $1 AND ($2::uuid IS NULL OR customer_id = $2)
             AND ($3::text IS NULL OR platform = $3) AND id = $4 AND revoked_at IS NULL",
        holder.surface().word(),
        holder.customer() as Option<CustomerId>,
        holder.platform() as Option<&Code>,
        id as ApiKeyId,
        now as Instant
    )
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 0 {
        return Err(Error::conflict("already_revoked", "The key is revoked; nothing more is needed."));
    }
    crate::db::ensure_one(&done)
}

/// True if there is such a platform.
pub async fn platform_exists(conn: &mut PgConnection, platform: &Code) -> Result<bool> {
    let exists = sqlx::query_scalar!(r#"SELECT EXISTS (SELECT 1 FROM platform WHERE code = $1) AS "exists!""#, platform as &Code);
    Ok(exists.fetch_one(conn).await?)
}
