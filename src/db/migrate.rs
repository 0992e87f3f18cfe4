//! Migrations, as a step of their own with a login of their own: the owner's. The service never
//! runs them; it refuses to serve a database whose migrations are not exactly its own.

use std::str::FromStr;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Executor as _};

use super::{Db, Role};
use crate::base::{Error, Result};

static MIGRATOR: Migrator = sqlx::migrate!();

/// Every role of the database; `mandate_owner` migrates and never serves.
pub const ROLES: [&str; 7] =
    ["mandate_owner", "mandate_app", "mandate_gate", "mandate_worker", "mandate_ops", "mandate_ops_read", "mandate_eraser"];

/// A digest of all migrations: the name of a test template, and what `doctor` shows.
#[must_use]
pub fn fingerprint() -> String {
    let parts: Vec<&[u8]> = MIGRATOR.iter().map(|m| m.checksum.as_ref()).collect();
    crate::base::sha256(&parts).to_string()[..16].to_owned()
}

/// Opens one connection outside the pools: for migrating, and for setting up a private database.
///
/// # Errors
/// When the URL cannot be read or the server does not answer.
pub async fn connect(url: &str) -> Result<PgConnection> {
    let options = PgConnectOptions::from_str(url).map_err(|_| Error::internal("a database URL cannot be read"))?;
    // Without it every second start would log that a table exists already.
    let options = options.application_name("mandate").options([("client_min_messages", "warning")]);
    // With its cause: this is for the command line, and not for a client.
    PgConnection::connect_with(&options).await.map_err(Error::internal)
}

/// Creates the roles that are missing, without login; the login must be allowed to create roles.
///
/// # Errors
/// When a role is missing and may not be created.
pub async fn ensure_roles(conn: &mut PgConnection) -> Result<()> {
    for role in ROLES {
        // Roles belong to the whole server, and another database's migration may race for the name.
        let sql = format!(
            "DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role} NOLOGIN; END IF;
             EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        );
        conn.execute(sqlx::AssertSqlSafe(sql)).await?;
    }
    Ok(())
}

/// Brings the schema up to this build's migrations, each in a transaction of its own.
///
/// # Errors
/// When a migration fails, or the database holds one that this build does not know.
pub async fn migrate(conn: &mut PgConnection) -> Result<()> {
    MIGRATOR.run(&mut *conn).await.map_err(Error::internal)?;
    conn.execute(
        "GRANT SELECT ON _sqlx_migrations TO mandate_app, mandate_gate, mandate_worker, mandate_ops, mandate_ops_read, mandate_eraser",
    )
    .await?;
    Ok(())
}

/// What a migration found and did.
pub struct Migrated {
    /// The roles it made, without login.
    pub roles: Vec<&'static str>,
    /// The migrations it ran: version and subject.
    pub ran: Vec<String>,
    /// The roles of the service that cannot log in.
    pub without_login: Vec<&'static str>,
}

/// Makes the roles that are missing and migrates as the owner, whoever logged in.
///
/// # Errors
/// [`Error::Conflict`] when the login may not act as the owner.
pub async fn migrate_as_owner(conn: &mut PgConnection) -> Result<Migrated> {
    let missing: Vec<String> =
        sqlx::query_scalar("SELECT r FROM unnest($1::text[]) r WHERE NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = r)")
            .bind(ROLES.map(str::to_owned).as_slice())
            .fetch_all(&mut *conn)
            .await?;
    if !missing.is_empty() {
        ensure_roles(conn).await?;
    }
    become_owner(conn).await?;
    let before = versions(conn).await?;
    migrate(conn).await?;
    let ran = MIGRATOR.iter().filter(|m| !before.contains(&m.version)).map(|m| format!("{} {}", m.version, m.description)).collect();
    let idle: Vec<String> = sqlx::query_scalar("SELECT rolname::text FROM pg_roles WHERE rolname = ANY ($1) AND NOT rolcanlogin")
        .bind(ROLES.map(str::to_owned).as_slice())
        .fetch_all(&mut *conn)
        .await?;
    let of = |names: &[String], role: &str| names.iter().any(|name| name == role);
    Ok(Migrated {
        roles: ROLES.into_iter().filter(|role| of(&missing, role)).collect(),
        ran,
        without_login: Role::ALL.map(Role::name).into_iter().filter(|role| of(&idle, role)).collect(),
    })
}

/// Takes on the owner's role, so that every table is the owner's: a login that is superuser would
/// otherwise own tables that row level security does not hold for.
async fn become_owner(conn: &mut PgConnection) -> Result<()> {
    let (login, member, creates): (bool, bool, bool) = sqlx::query_as(
        "SELECT current_user = 'mandate_owner', pg_has_role(current_user, 'mandate_owner', 'MEMBER'), rolcreaterole FROM pg_roles WHERE rolname = current_user",
    )
    .fetch_one(&mut *conn)
    .await?;
    if !login && !member && !creates {
        return Err(Error::conflict("not_the_owner", "log in as mandate_owner, or as a login that is a member of it"));
    }
    if !login && !member {
        conn.execute("GRANT mandate_owner TO CURRENT_USER").await?;
    }
    if !login {
        let database: String = sqlx::query_scalar("SELECT quote_ident(current_database())").fetch_one(&mut *conn).await?;
        // Who may not grant this is only warned; what came of it is asked below.
        conn.execute(sqlx::AssertSqlSafe(format!("GRANT CREATE ON DATABASE {database} TO mandate_owner"))).await?;
        conn.execute("GRANT CREATE, USAGE ON SCHEMA public TO mandate_owner").await?;
        conn.execute("SET ROLE mandate_owner").await?;
    }
    let able: bool =
        sqlx::query_scalar("SELECT has_database_privilege(current_database(), 'CREATE') AND has_schema_privilege('public', 'CREATE')")
            .fetch_one(&mut *conn)
            .await?;
    let grant = "mandate_owner may not create here: as the database's owner, grant it CREATE on the database and on the schema public, or make it the owner";
    if able { Ok(()) } else { Err(Error::conflict("not_allowed", grant)) }
}

async fn versions(conn: &mut PgConnection) -> Result<Vec<i64>> {
    let there: bool = sqlx::query_scalar("SELECT to_regclass('public._sqlx_migrations') IS NOT NULL").fetch_one(&mut *conn).await?;
    if !there {
        return Ok(Vec::new());
    }
    Ok(sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success").fetch_all(conn).await?)
}

/// Names the migrations that the database lacks, or has and this build does not know.
///
/// # Errors
/// When the database does not answer.
pub async fn pending(db: &Db) -> Result<Vec<String>> {
    let there: bool =
        sqlx::query_scalar("SELECT to_regclass('public._sqlx_migrations') IS NOT NULL").fetch_one(&db.pool(Role::App)).await?;
    if !there {
        return Ok(vec!["this database was never migrated".to_owned()]);
    }
    let rows: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations WHERE success").fetch_all(&db.pool(Role::App)).await?;
    let known = |version: i64| MIGRATOR.iter().find(|m| m.version == version);
    let mut differences: Vec<String> = MIGRATOR
        .iter()
        .filter(|m| !rows.iter().any(|(version, checksum)| *version == m.version && **checksum == *m.checksum))
        .map(|m| format!("{} is missing or differs", m.version))
        .collect();
    differences.extend(
        rows.iter().filter(|(version, _)| known(*version).is_none()).map(|(version, _)| format!("{version} is not known to this build")),
    );
    Ok(differences)
}
