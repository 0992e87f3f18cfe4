//! Direct SQL as a role of the database, as the service would log in with it, acting for one
//! customer; and what an error of the database says.

use std::collections::BTreeMap;

use secrecy::ExposeSecret as _;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

use super::Harness;
use mandate::db::Role;

/// The roles a service or an eraser logs in with.
pub const LOGINS: [&str; 6] = ["mandate_app", "mandate_gate", "mandate_worker", "mandate_ops", "mandate_ops_read", "mandate_eraser"];

/// A connection as a role, acting for one customer (or a batch of one) until it is closed.
pub async fn connect_as(h: &Harness, login: &str, customer: Option<Uuid>) -> PgConnection {
    let role = Role::ALL.into_iter().find(|role| role.name() == login);
    let url = role.map_or(&h.database.eraser_url, |role| &h.database.urls.urls[role as usize]);
    let mut conn = PgConnection::connect(url.expose_secret()).await.unwrap();
    if let Some(customer) = customer {
        let setting = if login == "mandate_gate" { "mandate.customers" } else { "mandate.customer" };
        let value = if login == "mandate_gate" { format!("{{{customer}}}") } else { customer.to_string() };
        sqlx::query("SELECT set_config($1, $2, false)").bind(setting).bind(value).execute(&mut conn).await.unwrap();
    }
    conn
}

/// A connection as the owner, whom no test may take for a role of the service.
pub async fn connect_as_owner(h: &Harness) -> PgConnection {
    PgConnection::connect(h.database.owner_url.expose_secret()).await.unwrap()
}

/// A connection as the login that the server itself is administered with.
pub async fn superuser(h: &Harness) -> PgConnection {
    let given = std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty());
    let options: PgConnectOptions = match given {
        Some(url) => url.parse::<PgConnectOptions>().unwrap().database(&h.database.name),
        None => h.database.owner_url.expose_secret().parse::<PgConnectOptions>().unwrap().username("postgres"),
    };
    PgConnection::connect_with(&options).await.unwrap()
}

/// Runs a statement.
pub async fn try_sql(conn: &mut PgConnection, sql: &str) -> Result<u64, String> {
    let done = conn.execute(AssertSqlSafe(sql.to_owned())).await;
    done.map(|done| done.rows_affected()).map_err(|error| said(&error))
}

/// Runs statements in a transaction that is rolled back; the first error, if there is one.
pub async fn try_rolled_back(conn: &mut PgConnection, begin: &str, statements: &[&str]) -> Result<(), String> {
    try_sql(conn, begin).await?;
    let mut outcome = Ok(());
    for statement in statements {
        outcome = outcome.and(try_sql(conn, statement).await.map(|_| ()));
        if outcome.is_err() {
            break;
        }
    }
    try_sql(conn, "ROLLBACK").await.unwrap();
    outcome
}

/// All that a client may read of an error: code, constraint, text, detail.
pub fn said(error: &sqlx::Error) -> String {
    let Some(db) = error.as_database_error() else { return error.to_string() };
    let pg = db.downcast_ref::<sqlx::postgres::PgDatabaseError>();
    let rest = [pg.detail(), pg.hint(), pg.r#where()].into_iter().flatten().collect::<Vec<_>>().join(" | ");
    format!("{} {} {} {rest}", pg.code(), pg.constraint().unwrap_or("-"), pg.message())
}

/// The bare id behind a text id.
pub fn bare(id: &str) -> Uuid {
    id.split_once('_').unwrap().1.parse().unwrap()
}

impl Harness {
    /// All logs of the database: id, kind, name.
    pub async fn logs(&self) -> Vec<(Uuid, String, String)> {
        let mut owner = mandate::db::connect(self.database.owner_url.expose_secret()).await.unwrap();
        sqlx::query_as("SELECT id, kind, name FROM log ORDER BY id").fetch_all(&mut owner).await.unwrap()
    }

    /// Jobs that wait, by kind.
    pub async fn jobs(&self) -> BTreeMap<String, i64> {
        let mut owner = mandate::db::connect(self.database.owner_url.expose_secret()).await.unwrap();
        let rows: Vec<(String, i64)> = sqlx::query_as("SELECT kind, count(*) FROM job GROUP BY kind").fetch_all(&mut owner).await.unwrap();
        rows.into_iter().collect()
    }
}
