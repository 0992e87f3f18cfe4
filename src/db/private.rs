//! The private database: for trying the program out, and for its tests. On the server that this
//! program runs itself, or on one that `DATABASE_URL` gives with an administrative login. It
//! protects two rules: the service connects as its five roles here too, never as owner; and a role
//! that another installation has given a password keeps it. Not for production.

mod logins;
mod template;

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use url::Url;

use super::server::{Binaries, Cluster, Lookup, Options, ServerError};
use super::{Role, RoleUrls, connect, ensure_roles, migrate};
use crate::base::Error;

/// The owner of every private database.
const OWNER: &str = "mandate_owner";
/// Key of the lock behind which roles and databases are made: two statements that change one row
/// of a server's catalogue at the same time fail.
const SETUP_LOCK: i64 = 0x6d61_6e64_6174_6502;

/// Why there is no private database.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    /// The server of this program's own does not run.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The server answered with an error, or not at all.
    #[error("the private database cannot be set up")]
    Database(#[from] Error),
    /// `DATABASE_URL` is not a Postgres URL.
    #[error(
        "DATABASE_URL cannot be read: give postgres://LOGIN:PASSWORD@HOST:5432/DATABASE, or postgres:///DATABASE?host=/FOLDER&user=LOGIN for a socket, or unset it"
    )]
    Address,
    /// A role of this server has a password that is not from here.
    #[error(
        "the role {0} of this server has a password that was not set for the login in DATABASE_URL, perhaps by another installation: \
         use a server of its own, or, if nothing needs it, say ALTER ROLE {0} NOLOGIN and start again"
    )]
    ForeignRole(&'static str),
}

impl From<sqlx::Error> for PrivateError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(Error::internal(error))
    }
}

type Result<T> = std::result::Result<T, PrivateError>;

/// A server that private databases may be made on.
pub struct PrivateServer {
    place: Place,
}

enum Place {
    Own(Box<Cluster>),
    Given(Url),
}

/// A private database, migrated.
pub struct Opened {
    /// Its name.
    pub name: String,
    /// True if this call made it.
    pub created: bool,
    /// The logins of the service.
    pub urls: RoleUrls,
    /// The owner's login: for the clock of a private database and for tests, never for serving.
    pub owner_url: SecretString,
    /// The eraser's login: for erasing on a private database, and for tests.
    pub eraser_url: SecretString,
}

impl PrivateServer {
    /// Takes the server that `given` is an administrative login to; else starts or joins the
    /// cluster in `dir`.
    ///
    /// # Errors
    /// When the URL cannot be read, or there is no Postgres here.
    pub async fn ensure(given: Option<&SecretString>, dir: &Path, options: Options) -> Result<Self> {
        if let Some(text) = given {
            return Ok(Self { place: Place::Given(administrative(text.expose_secret())?) });
        }
        let dir = dir.to_path_buf();
        let started = tokio::task::spawn_blocking(move || {
            let binaries = Binaries::find(&Lookup::system())?;
            Cluster::ensure(&binaries, &dir, options)
        });
        let cluster = started.await.map_err(Error::internal)??;
        Ok(Self { place: Place::Own(Box::new(cluster)) })
    }

    /// The server as it is: for a look at one that runs.
    ///
    /// # Errors
    /// When the URL cannot be read, or the cluster in `dir` cannot be joined.
    pub fn find(given: Option<&SecretString>, dir: &Path) -> Result<Self> {
        if let Some(text) = given {
            return Ok(Self { place: Place::Given(administrative(text.expose_secret())?) });
        }
        let cluster = Cluster::ensure(&Binaries::find(&Lookup::system())?, dir, Options { fsync: true })?;
        if cluster.started_by_us {
            // It has stopped since somebody saw it running, and a look leaves nothing behind.
            cluster.stop()?;
        }
        Ok(Self { place: Place::Own(Box::new(cluster)) })
    }

    /// The service's logins to a database of this server, which need not exist.
    #[must_use]
    pub fn urls(&self, name: &str) -> RoleUrls {
        RoleUrls { urls: Role::ALL.map(|role| self.address(Some(role.name()), Some(name))) }
    }

    /// The eraser's login to such a database.
    #[must_use]
    pub fn eraser_url(&self, name: &str) -> SecretString {
        self.address(Some(Role::Eraser.name()), Some(name))
    }

    /// The line to print, loudly, at every start.
    #[must_use]
    pub fn banner(&self) -> String {
        match &self.place {
            Place::Own(cluster) => cluster.banner(),
            Place::Given(url) => format!(
                "PRIVATE DATABASE on the server {} of DATABASE_URL: for trying, not for production.",
                url.host_str().unwrap_or("behind the socket")
            ),
        }
    }

    /// Stops the server if this value started it.
    ///
    /// # Errors
    /// When it does not stop.
    pub async fn stop(self) -> Result<()> {
        let Place::Own(cluster) = self.place else { return Ok(()) };
        tokio::task::spawn_blocking(move || cluster.stop()).await.map_err(Error::internal)??;
        Ok(())
    }

    /// Opens the database `name`: makes roles, logins and the database where they are missing,
    /// and migrates. `private` allows the test clock and mail that counts as delivered.
    ///
    /// # Errors
    /// When the server refuses, or a role has a password from elsewhere.
    pub async fn open(&self, name: &str, private: bool) -> Result<Opened> {
        let mut admin = self.prepare().await?;
        let created = !exists(&mut admin, name).await?;
        if created {
            create(&mut admin, name).await?;
        }
        let opened = self.opened(name, created);
        let mut owner = connect(opened.owner_url.expose_secret()).await?;
        migrate(&mut owner).await?;
        sqlx::query("UPDATE installation SET private = $1 WHERE private <> $1 AND clock_offset_millis = 0")
            .bind(private)
            .execute(&mut owner)
            .await?;
        owner.close().await?;
        admin.close().await?;
        Ok(opened)
    }

    /// An administrative connection that holds the setup lock until it is closed, with all roles
    /// there and able to log in.
    async fn prepare(&self) -> Result<PgConnection> {
        let mut admin = connect(self.address(None, None).expose_secret()).await?;
        sqlx::query("SELECT pg_advisory_lock($1)").bind(SETUP_LOCK).execute(&mut admin).await?;
        ensure_roles(&mut admin).await?;
        self.ensure_logins(&mut admin).await?;
        Ok(admin)
    }

    fn opened(&self, name: &str, created: bool) -> Opened {
        Opened {
            name: name.to_owned(),
            created,
            urls: self.urls(name),
            owner_url: self.address(Some(OWNER), Some(name)),
            eraser_url: self.eraser_url(name),
        }
    }

    /// The URL of a database for a role; nothing named means the administrative login and its
    /// database.
    fn address(&self, role: Option<&str>, database: Option<&str>) -> SecretString {
        match &self.place {
            Place::Own(cluster) => cluster.connection_url(role.unwrap_or("postgres"), database.unwrap_or("postgres")).into(),
            Place::Given(base) => {
                let mut url = base.clone();
                let replaced = |key: &str| match key {
                    "dbname" => database.is_some(),
                    "user" | "password" => role.is_some(),
                    _ => false,
                };
                let kept: Vec<(String, String)> =
                    base.query_pairs().filter(|(key, _)| !replaced(key)).map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
                if let Some(name) = database {
                    url.set_path(&format!("/{name}"));
                }
                // In the query, since a URL without a host takes no login before it; the query wins.
                let password = role.map(|role| logins::password(base, role));
                let login = [("user", role), ("password", password.as_deref())];
                let login = login.into_iter().filter_map(|(key, value)| Some((key, value?)));
                url.query_pairs_mut().clear().extend_pairs(kept).extend_pairs(login);
                String::from(url).into()
            }
        }
    }
}

fn administrative(text: &str) -> Result<Url> {
    let url = Url::parse(text).map_err(|_| PrivateError::Address)?;
    let known = matches!(url.scheme(), "postgres" | "postgresql") && !url.cannot_be_a_base();
    known.then_some(url).ok_or(PrivateError::Address)
}

async fn exists(admin: &mut PgConnection, name: &str) -> Result<bool> {
    let row: Option<(bool,)> = sqlx::query_as("SELECT true FROM pg_database WHERE datname = $1").bind(name).fetch_optional(admin).await?;
    Ok(row.is_some())
}

/// Makes an empty database with the order and encoding that the migrations are tested with,
/// whatever the server's own are.
async fn create(admin: &mut PgConnection, name: &str) -> Result<()> {
    let sql = format!(
        "CREATE DATABASE {} OWNER {OWNER} TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'",
        quoted(name)
    );
    admin.execute(AssertSqlSafe(sql)).await?;
    Ok(())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr;

    fn given(text: &str) -> PrivateServer {
        PrivateServer { place: Place::Given(administrative(text).unwrap()) }
    }

    #[test]
    fn a_roles_address_keeps_the_server_and_changes_the_login() {
        for (admin, host, socket) in [
            ("postgres://boss:pw@db:5433/postgres?sslmode=require", "db", None),
            ("postgres:///postgres?host=/run/pg&user=boss&password=pw", "localhost", Some("/run/pg")),
        ] {
            let server = given(admin);
            let url = server.address(Some("mandate_app"), Some("mandate_demo"));
            let options = sqlx::postgres::PgConnectOptions::from_str(url.expose_secret()).unwrap();
            assert_eq!(options.get_username(), "mandate_app");
            assert_eq!(options.get_database(), Some("mandate_demo"));
            assert_eq!(options.get_socket().map(|path| path.to_str().unwrap()), socket);
            if socket.is_none() {
                assert_eq!((options.get_host(), options.get_port()), (host, 5433));
            }
            assert!(!server.banner().contains("pw"));
            let own = server.address(None, None);
            let own = sqlx::postgres::PgConnectOptions::from_str(own.expose_secret()).unwrap();
            assert_eq!((own.get_username(), own.get_database()), ("boss", Some("postgres")));
        }
        for wrong in ["", "db", "mysql://db/x", "postgres:db"] {
            assert!(administrative(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn passwords_are_the_same_for_one_login_and_differ_between_logins_and_roles() {
        let password = |admin: &str, role| logins::password(&administrative(admin).unwrap(), role);
        let one = password("postgres://boss:pw@db/postgres", "mandate_app");
        assert_eq!(one, password("postgres://boss:pw@127.0.0.1:5432/other?sslmode=disable", "mandate_app"));
        assert_eq!(one, password("postgres:///x?host=/run/pg&user=boss&password=pw", "mandate_app"));
        assert_ne!(one, password("postgres://boss:pw@db/postgres", "mandate_ops"));
        assert_ne!(one, password("postgres://boss:other@db/postgres", "mandate_app"));
    }
}
