//! From the database's errors to the service's: constraints have names chosen by hand, and each
//! name a client can run into is translated in one line where the statement stands.

use crate::base::{Error, Result};

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let unavailable = |cause| Self::Unavailable { retry_after: 1, cause };
        match &error {
            sqlx::Error::PoolTimedOut => unavailable("no free connection"),
            sqlx::Error::Io(_) | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => unavailable("database connection lost"),
            sqlx::Error::Database(db) => match db.code().as_deref() {
                Some("55P03") => unavailable("lock not granted in time"),
                Some("57014") => unavailable("statement took too long"),
                Some("40001" | "40P01") => unavailable("serialization or deadlock"),
                // The database's own judgement of a decision's time (its trigger on `export`).
                Some("MD001") => unavailable("the clock is off"),
                Some("57P01" | "57P02" | "57P03" | "25P03" | "53300") => unavailable("database shutting down or full"),
                // The log of the tenant exists and is no customer's: the registry's, a platform's.
                Some("23503") if db.constraint().is_some_and(|name| name.ends_with("_customer")) => Self::NotFound,
                _ => Self::internal(error),
            },
            _ => Self::internal(error),
        }
    }
}

/// Turns a violation of the named constraint into a conflict; every other error stays itself.
pub fn conflict_on(constraint: &'static str, code: &'static str, detail: &'static str) -> impl FnOnce(sqlx::Error) -> Error {
    move |error| match &error {
        sqlx::Error::Database(db) if db.constraint() == Some(constraint) => Error::conflict(code, detail),
        _ => error.into(),
    }
}

/// Asserts that a statement touched exactly one row.
///
/// # Errors
/// [`Error::Internal`] when it touched none or several: a fact changed without its row.
pub fn ensure_one(result: &sqlx::postgres::PgQueryResult) -> Result<()> {
    if result.rows_affected() == 1 { Ok(()) } else { Err(Error::internal("a statement did not touch exactly one row")) }
}
