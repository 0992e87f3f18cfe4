//! Locking: the registry, then heads, each read as it is locked; and the clock's word on it.

use sqlx::postgres::PgConnection;

use super::{Head, Lock, LogId};
use crate::base::{Digest, Error, Instant, Result};

/// Key of the registry's advisory lock.
const REGISTRY_LOCK: i64 = 0x6d61_6e64_6174_6501;

pub(super) struct HeadRow {
    epoch: i32,
    size: i64,
    edge: Vec<u8>,
    pub(super) last_at: Instant,
    pub(super) kind: String,
    name: String,
    database_at: Instant,
    pub(super) offset: i64,
}

/// Takes the registry's lock, waiting 500 ms at most.
pub(super) async fn lock_registry(conn: &mut PgConnection, lock: Lock) -> Result<()> {
    let sql = match lock {
        Lock::Heads => return Ok(()),
        Lock::RegistryAlone => "SELECT pg_advisory_xact_lock($1)",
        Lock::RegistryShared => "SELECT pg_advisory_xact_lock_shared($1)",
    };
    sqlx::query("SET LOCAL lock_timeout = '500ms'").execute(&mut *conn).await?;
    sqlx::query(sql).bind(REGISTRY_LOCK).execute(&mut *conn).await?;
    sqlx::query("SET LOCAL lock_timeout = '2s'").execute(&mut *conn).await?;
    Ok(())
}

pub(super) async fn lock_head(conn: &mut PgConnection, id: LogId) -> Result<Option<HeadRow>> {
    Ok(sqlx::query_as!(
        HeadRow,
        r#"SELECT h.epoch, h.size, h.edge, h.last_at AS "last_at: Instant", l.kind, l.name,
                  clock_timestamp() AS "database_at!: Instant", i.clock_offset_millis AS "offset"
           FROM log_head h JOIN log l ON l.id = h.customer_id CROSS JOIN installation i
           WHERE h.customer_id = $1 FOR UPDATE OF h"#,
        id.0
    )
    .fetch_optional(conn)
    .await?)
}

/// Makes a log and its empty head, as that log's tenant.
pub(super) async fn insert_log(conn: &mut PgConnection, log: LogId, kind: &str, name: &str) -> Result<()> {
    sqlx::query!("INSERT INTO log (id, kind, name) VALUES ($1, $2, $3)", log.0, kind, name).execute(&mut *conn).await?;
    sqlx::query!("INSERT INTO log_head (customer_id) VALUES ($1)", log.0).execute(conn).await?;
    Ok(())
}

/// A clock more than 2 s behind the head, or (the machine's own) 5 s off the database's, decides nothing.
pub(super) fn check_clock(read: Instant, row: &HeadRow, system: bool) -> Result<()> {
    let behind = row.last_at.millis() - read.millis();
    let off = (row.database_at.millis() - read.millis()).abs();
    if behind > 2_000 || (system && off > 5_000) {
        return Err(Error::Unavailable { retry_after: 5, cause: "the clock is off" });
    }
    Ok(())
}

impl HeadRow {
    pub(super) fn into_head(self) -> Result<Head> {
        let edge = self.edge.chunks(32).map(Digest::from_slice).collect::<Option<Vec<_>>>();
        Ok(Head {
            epoch: self.epoch,
            size: u64::try_from(self.size).map_err(Error::internal)?,
            edge: edge.ok_or_else(|| Error::internal("a log's edge is not whole"))?,
            last_at: self.last_at,
            name: self.name,
            changed: false,
        })
    }
}
