//! All SQL of documents. A row and its parts are inserted in one transaction and never changed;
//! the same bytes of one customer are one document.

use sqlx::postgres::PgConnection;

use super::media::MediaType;
use super::view::DocumentView;
use crate::base::{CustomerId, Digest, DocumentId, Error, Instant, PageQuery, Result, sha256};
use crate::db::WriteTx;
use crate::evidence::{Actor, Event, NewEntry};

/// Bytes of one part.
pub const PART: usize = 1024 * 1024;

/// What is known of bytes before they are stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Described {
    pub sha256: Digest,
    pub length: u64,
    pub media_type: MediaType,
}

struct DocumentRow {
    id: DocumentId,
    sha256: Digest,
    length: i64,
    media_type: String,
    stored_at: Instant,
    stored_by: String,
    erased_at: Option<Instant>,
}

impl TryFrom<DocumentRow> for DocumentView {
    type Error = Error;
    fn try_from(row: DocumentRow) -> Result<Self> {
        Ok(Self {
            id: row.id,
            sha256: row.sha256,
            length: u64::try_from(row.length).map_err(Error::internal)?,
            media_type: row.media_type.parse().map_err(Error::internal)?,
            stored_at: row.stored_at,
            stored_by: row.stored_by,
            erased_at: row.erased_at,
        })
    }
}

/// A document of the customer.
///
/// # Errors
/// [`Error::NotFound`] when the customer has none with this id.
pub async fn document_by_id(conn: &mut PgConnection, customer: CustomerId, id: DocumentId) -> Result<DocumentView> {
    sqlx::query_as!(
        DocumentRow,
        r#"SELECT id AS "id: DocumentId", sha256 AS "sha256: Digest", length, media_type, stored_at AS "stored_at: Instant", stored_by,
                  erased_at AS "erased_at: Instant"
           FROM document WHERE customer_id = $1 AND id = $2"#,
        customer as CustomerId,
        id as DocumentId
    )
    .fetch_optional(conn)
    .await?
    .ok_or(Error::NotFound)?
    .try_into()
}

/// The same, whose bytes are there: what is to be cited.
///
/// # Errors
/// [`Error::NotFound`] when the customer has none with this id, or its bytes were erased.
pub async fn whole_document(conn: &mut PgConnection, customer: CustomerId, id: DocumentId) -> Result<DocumentView> {
    let found = document_by_id(conn, customer, id).await?;
    if found.erased_at.is_none() { Ok(found) } else { Err(Error::NotFound) }
}

/// The customer's document of these bytes. One that was erased is not found: what was taken away does not come
/// back under its old entry, but may be stored anew.
pub(super) async fn by_digest(conn: &mut PgConnection, customer: CustomerId, sha256: Digest) -> Result<Option<DocumentView>> {
    sqlx::query_as!(
        DocumentRow,
        r#"SELECT id AS "id: DocumentId", sha256 AS "sha256: Digest", length, media_type, stored_at AS "stored_at: Instant", stored_by,
                  erased_at AS "erased_at: Instant"
           FROM document WHERE customer_id = $1 AND sha256 = $2 AND erased_at IS NULL"#,
        customer as CustomerId,
        sha256 as Digest
    )
    .fetch_optional(conn)
    .await?
    .map(DocumentView::try_from)
    .transpose()
}

pub(super) async fn list(conn: &mut PgConnection, customer: CustomerId, page: &PageQuery) -> Result<Vec<DocumentView>> {
    sqlx::query_as!(
        DocumentRow,
        r#"SELECT id AS "id: DocumentId", sha256 AS "sha256: Digest", length, media_type, stored_at AS "stored_at: Instant", stored_by,
                  erased_at AS "erased_at: Instant"
           FROM document WHERE customer_id = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3"#,
        customer as CustomerId,
        page.after,
        page.fetch()
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(DocumentView::try_from)
    .collect()
}

/// Inserts the row; its parts follow in the same transaction.
pub(super) async fn insert(tx: &mut WriteTx, customer: CustomerId, new: Described, actor: &Actor) -> Result<(DocumentView, NewEntry)> {
    let view = DocumentView {
        id: tx.fresh(),
        sha256: new.sha256,
        length: new.length,
        media_type: new.media_type,
        stored_at: tx.now(),
        stored_by: actor.as_str().to_owned(),
        erased_at: None,
    };
    sqlx::query!(
        "INSERT INTO document (customer_id, id, sha256, length, media_type, stored_at, stored_by) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        customer as CustomerId,
        view.id as DocumentId,
        view.sha256 as Digest,
        i64::try_from(view.length).map_err(Error::internal)?,
        view.media_type.word(),
        view.stored_at as Instant,
        view.stored_by
    )
    .execute(tx.conn())
    .await
    .map_err(|error| match &error {
        // The named log exists and is no customer's.
        sqlx::Error::Database(db) if db.constraint() == Some("document_customer") => Error::NotFound,
        _ => error.into(),
    })?;
    let event = Event::DocumentStored {
        document: view.id,
        sha256: view.sha256,
        length: view.length,
        media_type: view.media_type.word().to_owned(),
    };
    let entry = NewEntry::new(customer, view.id, actor, event);
    Ok((view, entry))
}

pub(super) async fn insert_part(tx: &mut WriteTx, customer: CustomerId, document: DocumentId, part: i32, bytes: &[u8]) -> Result<()> {
    sqlx::query!(
        "INSERT INTO document_part (customer_id, document_id, part, bytes) VALUES ($1, $2, $3, $4)",
        customer as CustomerId,
        document as DocumentId,
        part,
        bytes
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The bytes of a document's part, by its number from 0.
///
/// # Errors
/// When the document has no such part.
pub async fn document_part(conn: &mut PgConnection, customer: CustomerId, document: DocumentId, part: i32) -> Result<Vec<u8>> {
    sqlx::query_scalar!(
        "SELECT bytes FROM document_part WHERE customer_id = $1 AND document_id = $2 AND part = $3",
        customer as CustomerId,
        document as DocumentId,
        part
    )
    .fetch_optional(conn)
    .await?
    .ok_or_else(|| Error::internal("a document lacks a part"))
}

/// Stores bytes that the service itself has made (typed text, the demo world's papers), once. The
/// entry is absent when the customer has these bytes already. The type is the caller's to know.
///
/// # Errors
/// When the database does not take them.
pub async fn store_bytes(
    tx: &mut WriteTx,
    customer: CustomerId,
    bytes: &[u8],
    media_type: MediaType,
    actor: &Actor,
) -> Result<(DocumentView, Option<NewEntry>)> {
    let sha256 = sha256(&[bytes]);
    if let Some(known) = by_digest(tx.conn(), customer, sha256).await? {
        return Ok((known, None));
    }
    let new = Described { sha256, length: bytes.len() as u64, media_type };
    let (view, entry) = insert(tx, customer, new, actor).await?;
    for (number, part) in (0_i32..).zip(bytes.chunks(PART)) {
        insert_part(tx, customer, view.id, number, part).await?;
    }
    Ok((view, Some(entry)))
}
