//! Stand-in: thrown away at the merge.
use crate::base::{Code, Error, Result};
use crate::db::LogId;
use crate::evidence::RegistryFacts;
use sqlx::PgConnection;
/// Stand-in.
pub async fn codes(_conn: &mut PgConnection) -> Result<RegistryFacts> {
    Ok(RegistryFacts::default())
}
/// Stand-in.
pub async fn platform_log(_conn: &mut PgConnection, _code: &Code) -> Result<LogId> {
    Err(Error::NotFound)
}
