//! The tenant of a transaction: set in the statement that also answers what is needed to begin, and
//! whether the tenant's log, or the registry, is in quarantine: then nothing is recorded in it.

use sqlx::postgres::PgConnection;

use super::LogId;
use crate::base::{Error, Result};
use crate::db::Role;

/// What is said of a tenant when it is set.
#[derive(sqlx::FromRow)]
pub(in crate::db) struct Tenant {
    /// The installation's clock offset, as it stands now.
    pub offset: i64,
    /// What kind of log the tenant has; `None`: there is no such log.
    pub kind: Option<String>,
    quarantined: bool,
    registry_quarantined: bool,
    restoring: bool,
}

impl Tenant {
    /// Refuses what would be recorded in a log that failed its check, or while the registry did; and
    /// everything while a restore is taken in.
    pub(super) const fn may_write(&self) -> Result<()> {
        if self.restoring {
            return Err(Error::Unavailable { retry_after: 5, cause: "a restore is being taken in" });
        }
        if self.quarantined || self.registry_quarantined {
            return Err(Error::Quarantined { registry: self.registry_quarantined });
        }
        Ok(())
    }
    /// Refuses what would be read for the customer of a log that failed its check. Ops reads on, and the
    /// registry is read by all.
    pub(super) fn may_read(&self, role: Role, home: LogId) -> Result<()> {
        if self.quarantined && home != LogId::REGISTRY && !matches!(role, Role::Ops | Role::OpsRead) {
            return Err(Error::Quarantined { registry: false });
        }
        Ok(())
    }
}

/// Sets the tenant, and answers in the same statement what a transaction needs to know to begin.
pub(in crate::db) async fn set_tenant(conn: &mut PgConnection, role: Role, id: LogId) -> Result<Tenant> {
    let (setting, value) = match role {
        Role::Gate => ("mandate.customers", format!("{{{}}}", id.0)),
        _ => ("mandate.customer", id.0.to_string()),
    };
    let sql = "SELECT set_config($1, $2, true), clock_offset_millis AS \"offset\", (SELECT kind FROM log WHERE id = $3) AS kind,
                      EXISTS (SELECT 1 FROM log_quarantine WHERE customer_id = $3) AS quarantined,
                      EXISTS (SELECT 1 FROM log_quarantine WHERE customer_id = $4) AS registry_quarantined,
                      EXISTS (SELECT 1 FROM restore WHERE finished_at IS NULL) AS restoring
               FROM installation";
    Ok(sqlx::query_as(sql).bind(setting).bind(value).bind(id.0).bind(LogId::REGISTRY.0).fetch_one(conn).await?)
}
