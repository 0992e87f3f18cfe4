//! Stand-in until the registry lands.
use crate::base::{Code, Result};
use crate::db::LogId;
use crate::evidence::RegistryFacts;
/// .
pub async fn codes(_c: &mut sqlx::postgres::PgConnection) -> Result<RegistryFacts> { Ok(RegistryFacts::default()) }
/// .
pub async fn platform_log(_c: &mut sqlx::postgres::PgConnection, _p: &Code) -> Result<LogId> { Ok(LogId::REGISTRY) }
