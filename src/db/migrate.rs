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
    Ok(PgConnection::connect_with(&options).await?)
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
    conn.execute("GRANT SELECT ON _sqlx_migrations TO mandate_app, mandate_gate, mandate_worker, mandate_ops, mandate_ops_read, mandate_eraser")
        .await?;
    Ok(())
}

/// Names the migrations that the database lacks, or has and this build does not know.
///
/// # Errors
/// When the database does not answer or was never migrated.
pub async fn pending(db: &Db) -> Result<Vec<String>> {
    let rows: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations WHERE success").fetch_all(db.pool(Role::App)).await?;
    let known = |version: i64| MIGRATOR.iter().find(|m| m.version == version);
    let mut differences: Vec<String> = MIGRATOR
        .iter()
        .filter(|m| !rows.iter().any(|(version, checksum)| *version == m.version && **checksum == *m.checksum))
        .map(|m| format!("{} is missing or differs", m.version))
        .collect();
    differences.extend(rows.iter().filter(|(version, _)| known(*version).is_none()).map(|(version, _)| format!("{version} is not known to this build")));
    Ok(differences)
}
