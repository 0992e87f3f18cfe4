//! Databases for tests: a migrated template, named by the digest of the migrations and sealed, and
//! quick copies of it. It protects one rule: no copy of a half-migrated template is handed out.
//! Who makes a copy removes it; what a killed process left is removed by the next run.

use std::sync::atomic::{AtomicU32, Ordering};

use secrecy::ExposeSecret;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use super::{Opened, Place, PrivateServer, Result, connect, create, migrate, quoted};
use crate::db::fingerprint;

const PREFIX: &str = "mandate_test_";

impl PrivateServer {
    /// Makes the template of this build's migrations if it is not there, and returns its name.
    /// Processes that ask at the same time wait for the first.
    ///
    /// # Errors
    /// When the server refuses or a migration fails.
    pub async fn template(&self) -> Result<String> {
        let name = format!("{PREFIX}{}", fingerprint());
        let mut admin = self.prepare().await?;
        self.sweep(&mut admin).await?;
        let sealed: Option<bool> =
            sqlx::query_scalar("SELECT datistemplate FROM pg_database WHERE datname = $1").bind(&name).fetch_optional(&mut admin).await?;
        if sealed != Some(true) {
            if sealed.is_some() {
                remove(&mut admin, &name).await?;
            }
            create(&mut admin, &name).await?;
            let mut owner = connect(self.opened(&name, true).owner_url.expose_secret()).await?;
            migrate(&mut owner).await?;
            sqlx::query("UPDATE installation SET private = true").execute(&mut owner).await?;
            owner.close().await?;
            // A template that takes connections cannot be copied while somebody looks at it.
            admin.execute(AssertSqlSafe(format!("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false IS_TEMPLATE true", quoted(&name)))).await?;
        }
        admin.close().await?;
        Ok(name)
    }

    /// Copies the template under a fresh name.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn copy_of(&self, template: &str) -> Result<Opened> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{template}_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut admin = connect(self.address(None, None).expose_secret()).await?;
        // A number of a process comes again, in containers soon.
        remove(&mut admin, &name).await?;
        // Measured on Postgres 15, 16 copies at once: without fsync 20 ms each by files and 30 ms
        // by log; with fsync, which a given server has, the checkpoints of the former cost more.
        let strategy = if matches!(self.place, Place::Own(_)) { "FILE_COPY" } else { "WAL_LOG" };
        let sql = format!("CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY {strategy}", quoted(&name), super::OWNER, quoted(template));
        admin.execute(AssertSqlSafe(sql)).await?;
        admin.close().await?;
        Ok(self.opened(&name, true))
    }

    /// Removes a copy, breaking off what is still connected to it.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn remove(&self, name: &str) -> Result<()> {
        let mut admin = connect(self.address(None, None).expose_secret()).await?;
        remove(&mut admin, name).await?;
        Ok(admin.close().await?)
    }

    /// Removes the copies of processes that are gone. Only on this machine's own server: elsewhere
    /// a number of a process may be another machine's.
    async fn sweep(&self, admin: &mut PgConnection) -> Result<()> {
        let processes = std::path::Path::new("/proc");
        if !matches!(self.place, Place::Own(_)) || !processes.join("self").exists() {
            return Ok(());
        }
        let names: Vec<String> =
            sqlx::query_scalar("SELECT datname::text FROM pg_database WHERE starts_with(datname::text, $1) AND NOT datistemplate")
                .bind(PREFIX)
                .fetch_all(&mut *admin)
                .await?;
        for name in names {
            let maker = name.rsplit('_').nth(1).and_then(|number| number.parse::<u32>().ok());
            if maker.is_some_and(|number| !processes.join(number.to_string()).exists()) {
                remove(admin, &name).await?;
            }
        }
        Ok(())
    }
}

async fn remove(admin: &mut PgConnection, name: &str) -> Result<()> {
    admin.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(name)))).await?;
    Ok(())
}
