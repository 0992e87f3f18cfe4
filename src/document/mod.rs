//! Stand-in: thrown away at the merge.
use crate::base::{CustomerId, Digest, DocumentId, Error, Result};
use crate::db::WriteTx;
use crate::evidence::{Actor, NewEntry};
use sqlx::PgConnection;
/// A stored document.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Id.
    pub id: DocumentId,
    /// Hash.
    pub sha256: Digest,
    /// Bytes.
    pub length: u64,
    /// Media type.
    pub media_type: String,
}
/// Stand-in.
pub async fn store_bytes(_tx: &mut WriteTx, _c: CustomerId, _b: &[u8], _m: &str, _a: &Actor) -> Result<(Stored, Option<NewEntry>)> {
    Err(Error::NotFound)
}
/// Stand-in.
pub async fn find(_conn: &mut PgConnection, _c: CustomerId, _id: DocumentId) -> Result<Stored> {
    Err(Error::NotFound)
}
