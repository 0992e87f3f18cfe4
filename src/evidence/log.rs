//! Where the logs stand: origin, size and root of the present epoch, as one tenant or, for ops,
//! of all. Reads never lock, so what is shown may be behind by the entry being appended.

use serde::Serialize;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::head;
use crate::base::{Digest, Error, Instant, PageQuery, Result};
use crate::db::{CommittedHead, Db, LogId, Role};

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
    #[serde(skip)]
    #[schema(ignore)]
    name: String,
}

impl LogView {
    /// The log's bare id, for the cursor of a list.
    #[must_use]
    pub const fn id(&self) -> Uuid {
        self.id
    }
    /// The log's text name, as in its origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
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

fn edge_of(bytes: &[u8]) -> Result<Vec<Digest>> {
    let edge = bytes.chunks(32).map(Digest::from_slice).collect::<Option<Vec<_>>>();
    edge.ok_or_else(|| Error::internal("a log's edge is not whole"))
}

impl TryFrom<LogRow> for CommittedHead {
    type Error = Error;
    fn try_from(row: LogRow) -> Result<Self> {
        let (size, edge) = (u64::try_from(row.size).map_err(Error::internal)?, edge_of(&row.edge)?);
        Ok(Self { log: LogId(row.id), name: row.name, epoch: row.epoch, size, edge })
    }
}

impl TryFrom<LogRow> for LogView {
    type Error = Error;
    fn try_from(row: LogRow) -> Result<Self> {
        let edge = edge_of(&row.edge)?;
        Ok(Self {
            origin: format!("mandate/{}/{}", row.name, row.epoch),
            kind: row.kind,
            epoch: u32::try_from(row.epoch).map_err(Error::internal)?,
            size: u64::try_from(row.size).map_err(Error::internal)?,
            root: head::root(&edge),
            last_entry_at: (row.size > 0).then_some(row.last_at),
            id: row.id,
            name: row.name,
        })
    }
}

/// One log as it stands.
///
/// # Errors
/// [`Error::NotFound`] when there is no such log for this tenant.
pub async fn log_by_id(conn: &mut PgConnection, log: LogId) -> Result<LogView> {
    row_by_id(conn, log).await?.try_into()
}

async fn row_by_id(conn: &mut PgConnection, log: LogId) -> Result<LogRow> {
    let row = sqlx::query_as!(
        LogRow,
        r#"SELECT l.id, l.kind, l.name, h.epoch, h.size, h.edge, h.last_at AS "last_at: Instant"
           FROM log_head h JOIN log l ON l.id = h.customer_id WHERE h.customer_id = $1"#,
        log.0
    )
    .fetch_optional(conn)
    .await?;
    row.ok_or(Error::NotFound)
}

/// The head of one log.
///
/// # Errors
/// [`Error::NotFound`] when there is no such log for this tenant.
pub async fn head_by_id(conn: &mut PgConnection, log: LogId) -> Result<CommittedHead> {
    row_by_id(conn, log).await?.try_into()
}

/// The logs that this role may see, in id order: the reserved ones first.
///
/// # Errors
/// When the database does not answer.
pub async fn logs(conn: &mut PgConnection, page: &PageQuery) -> Result<Vec<LogView>> {
    rows(conn, page).await?.into_iter().map(LogView::try_from).collect()
}

/// The heads of the same logs.
pub(super) async fn heads(conn: &mut PgConnection, page: &PageQuery) -> Result<Vec<CommittedHead>> {
    rows(conn, page).await?.into_iter().map(CommittedHead::try_from).collect()
}

/// The head of the log of this name, if it is in this epoch; in any for 0.
pub(super) async fn head_of_name(db: &Db, name: &str, epoch: i32) -> Result<Option<CommittedHead>> {
    let mut read = db.read(Role::OpsRead, "head_of_name", LogId::REGISTRY).await?;
    sqlx::query_as!(
        LogRow,
        r#"SELECT l.id, l.kind, l.name, h.epoch, h.size, h.edge, h.last_at AS "last_at: Instant"
           FROM log_head h JOIN log l ON l.id = h.customer_id WHERE l.name = $1 AND ($2 = 0 OR h.epoch = $2)"#,
        name,
        epoch
    )
    .fetch_optional(read.conn())
    .await?
    .map(CommittedHead::try_from)
    .transpose()
}

async fn rows(conn: &mut PgConnection, page: &PageQuery) -> Result<Vec<LogRow>> {
    Ok(sqlx::query_as!(
        LogRow,
        r#"SELECT l.id, l.kind, l.name, h.epoch, h.size, h.edge, h.last_at AS "last_at: Instant"
           FROM log_head h JOIN log l ON l.id = h.customer_id
           WHERE $1::uuid IS NULL OR h.customer_id > $1 ORDER BY h.customer_id LIMIT $2"#,
        page.after,
        page.fetch()
    )
    .fetch_all(conn)
    .await?)
}
