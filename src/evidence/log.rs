//! Where the logs stand: origin, size and root of the present epoch, as one tenant or, for ops,
//! of all. Reads never lock, so what is shown may be behind by the entry being appended.

use serde::Serialize;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::head;
use crate::base::{Digest, Error, Instant, PageQuery, Result};
use crate::db::LogId;

/// A log as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct LogView {
    /// Name of the log and epoch.
    pub origin: String,
    /// customer, platform, processor or registry.
    pub kind: String,
    /// The present epoch; a restore opens a new one.
    pub epoch: u32,
    /// Number of entries in it.
    pub size: u64,
    /// Root of the tree of that size (RFC 6962).
    pub root: Digest,
    /// Time of the last entry; null when there is none.
    pub last_entry_at: Option<Instant>,
    #[serde(skip)]
    #[schema(ignore)]
    id: Uuid,
}

impl LogView {
    /// The log's bare id, for the cursor of a list.
    #[must_use]
    pub const fn id(&self) -> Uuid {
        self.id
    }
}

struct LogRow {
    id: Uuid,
    kind: String,
    name: String,
    epoch: i32,
    size: i64,
    edge: Vec<u8>,
    last_at: Instant,
}

impl TryFrom<LogRow> for LogView {
    type Error = Error;
    fn try_from(row: LogRow) -> Result<Self> {
        let edge = row.edge.chunks(32).map(Digest::from_slice).collect::<Option<Vec<_>>>();
        let edge = edge.ok_or_else(|| Error::internal("a log's edge is not whole"))?;
        Ok(Self {
            origin: format!("mandate/{}/{}", row.name, row.epoch),
            kind: row.kind,
            epoch: u32::try_from(row.epoch).map_err(Error::internal)?,
            size: u64::try_from(row.size).map_err(Error::internal)?,
            root: head::root(&edge),
            last_entry_at: (row.size > 0).then_some(row.last_at),
            id: row.id,
        })
    }
}

/// One log as it stands.
///
/// # Errors
/// [`Error::NotFound`] when there is no such log for this tenant.
pub async fn log_by_id(conn: &mut PgConnection, log: LogId) -> Result<LogView> {
    sqlx::query_as!(
        LogRow,
        r#"SELECT l.id, l.kind, l.name, h.epoch, h.size, h.edge, h.last_at AS "last_at: Instant"
           FROM log_head h JOIN log l ON l.id = h.customer_id WHERE h.customer_id = $1"#,
        log.0
    )
    .fetch_optional(conn)
    .await?
    .ok_or(Error::NotFound)?
    .try_into()
}

/// The logs that this role may see, in id order: the reserved ones first.
///
/// # Errors
/// When the database does not answer.
pub async fn logs(conn: &mut PgConnection, page: &PageQuery) -> Result<Vec<LogView>> {
    sqlx::query_as!(
        LogRow,
        r#"SELECT l.id, l.kind, l.name, h.epoch, h.size, h.edge, h.last_at AS "last_at: Instant"
           FROM log_head h JOIN log l ON l.id = h.customer_id
           WHERE $1::uuid IS NULL OR h.customer_id > $1 ORDER BY h.customer_id LIMIT $2"#,
        page.after,
        page.fetch()
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(LogView::try_from)
    .collect()
}
