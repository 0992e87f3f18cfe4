//! Handlers of documents: upload as a stream, metadata, and the bytes part by part. An upload is
//! received whole before a transaction begins, so one that is cut off stores nothing; no
//! transaction is open while a client reads either.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use super::media::MediaType;
use super::spool::Spooled;
use super::store::{self, Described, PART};
use super::view::{DocumentView, declared_digest, faults};
use crate::app::App;
use crate::base::{CustomerId, DocumentId, Error, Page, Result, TypedId};
use crate::db::{Lock, Role, WriteTx};
use crate::evidence::{Actor, NewEntry, Receipted, commit_one};
use crate::http::{Access, Created, CustomerRole, ETag, Json, OpsRole, PathId, Query, Route, Upload, parts, routes};
use crate::identity::{InstitutionCaller, OpsCaller};

/// The most bytes of a document: 25 MiB.
const MOST: usize = 25 * 1024 * 1024;

const STORING: &[OpsRole] = &[OpsRole::OpsAdmin, OpsRole::OpsPrivacy];

/// The routes of documents.
#[must_use]
pub fn routes() -> Vec<Route> {
    let reading = Access::institution(CustomerRole::ALL);
    vec![
        Route::new(Access::institution(&[CustomerRole::CustomerAdmin]), routes!(store_document)).body_limit(MOST),
        Route::new(reading, routes!(list_documents)),
        Route::new(reading, routes!(get_document)),
        Route::new(reading, routes!(get_document_content)),
        Route::new(Access::admin_session(STORING), routes!(store_customer_document)).body_limit(MOST),
        Route::new(Access::admin(OpsRole::ALL), routes!(get_customer_document)),
    ]
}

/// Receives a body and holds it against what the headers claim.
async fn receive(app: &App, headers: &HeaderMap, upload: Upload) -> Result<(Spooled, MediaType)> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let claimed = match (types.next(), types.next()) {
        (Some(value), None) => value.to_str().ok().and_then(MediaType::claimed),
        _ => None,
    };
    let claimed = claimed.ok_or(Error::UnsupportedMediaType(MediaType::UPLOADED))?;
    let declared = declared_digest(headers)?;
    let spooled = Spooled::receive(app, upload).await?;
    let faults = faults(claimed, spooled.found, spooled.length, &spooled.sha256, declared.as_deref());
    if faults.is_empty() { Ok((spooled, claimed)) } else { Err(Error::Invalid(faults)) }
}

/// Stores what was received, once: the entry is absent when the customer has these bytes already.
async fn keep(
    tx: &mut WriteTx,
    customer: CustomerId,
    mut spooled: Spooled,
    media_type: MediaType,
    actor: &Actor,
) -> Result<(DocumentView, Option<NewEntry>)> {
    if let Some(known) = store::by_digest(tx.conn(), customer, spooled.sha256).await? {
        return Ok((known, None));
    }
    let new = Described { sha256: spooled.sha256, length: spooled.length, media_type };
    let (view, entry) = store::insert(tx, customer, new, actor).await?;
    for number in 0_i32.. {
        let part = spooled.part().await?;
        if part.is_empty() {
            break;
        }
        store::insert_part(tx, customer, view.id, number, &part).await?;
    }
    Ok((view, Some(entry)))
}

/// 201 with a receipt for a new document, 200 for one that was stored before.
async fn answer(tx: WriteTx, kept: (DocumentView, Option<NewEntry>), place: &str) -> Result<Response> {
    let (view, entry) = kept;
    let Some(entry) = entry else { return Ok(Json(view).into_response()) };
    let receipt = commit_one(tx, entry).await?;
    Ok(Created::at(format!("{place}/{}", view.id), Receipted { value: view, receipt }).into_response())
}

/// Stores a document.
///
/// The body is the document itself, at most 25 MiB. Its type is found by content and must be the
/// declared one. The same bytes are stored once.
#[utoipa::path(post, path = "/api/v1/documents",
    params(("Content-Digest" = Option<String>, Header, description = "sha-256=:…: with the base64 of the body's SHA-256 (RFC 9530); checked.")),
    request_body(content((Vec<u8> = "application/pdf"), (Vec<u8> = "message/rfc822"), (Vec<u8> = "image/png"), (Vec<u8> = "image/jpeg"), (Vec<u8> = "application/vnd.etsi.asic-e+zip"))),
    responses((status = 201, body = Receipted<DocumentView>, description = "Stored."),
        (status = 200, body = DocumentView, description = "Stored before.")))]
async fn store_document(State(app): State<App>, caller: InstitutionCaller, headers: HeaderMap, upload: Upload) -> Result<Response> {
    let (spooled, media_type) = receive(&app, &headers, upload).await?;
    let mut tx = app.db.write(Role::App, "store document", Lock::Heads, caller.log(), &[]).await?;
    let kept = keep(&mut tx, caller.customer(), spooled, media_type, &caller.actor()).await?;
    answer(tx, kept, "/api/v1/documents").await
}

/// Lists the customer's documents.
#[utoipa::path(get, path = "/api/v1/documents",
    params(("limit" = Option<u32>, Query, description = "At most this many, 1 to 100 (25)."), ("cursor" = Option<String>, Query, description = "From the page before.")),
    responses((status = 200, body = Page<DocumentView>, description = "One page.")))]
async fn list_documents(State(app): State<App>, caller: InstitutionCaller, query: Query) -> Result<Json<Page<DocumentView>>> {
    let page = query.page(&format!("documents:{}", caller.customer()))?;
    let mut tx = app.db.read(Role::App, "list documents", caller.log()).await?;
    let rows = store::list(tx.conn(), caller.customer(), &page).await?;
    Ok(Json(page.page(rows, |view| view.id.uuid())))
}

/// Shows what is known of a document.
#[utoipa::path(get, path = "/api/v1/documents/{document_id}", params(("document_id" = DocumentId, Path, description = "The document.")),
    responses((status = 200, body = DocumentView, description = "The document.")))]
async fn get_document(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId(id): PathId<DocumentId>,
) -> Result<(ETag, Json<DocumentView>)> {
    let mut tx = app.db.read(Role::App, "show document", caller.log()).await?;
    let view = store::document_by_id(tx.conn(), caller.customer(), id).await?;
    Ok((ETag::of(&view), Json(view)))
}

/// Gives a document's bytes.
///
/// Always as an attachment, with a name made from the id. Bytes that were erased are not found.
#[utoipa::path(get, path = "/api/v1/documents/{document_id}/content", params(("document_id" = DocumentId, Path, description = "The document.")),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream", description = "The bytes, with their own media type.")))]
async fn get_document_content(State(app): State<App>, caller: InstitutionCaller, PathId(id): PathId<DocumentId>) -> Result<Response> {
    let mut tx = app.db.read(Role::App, "show document content", caller.log()).await?;
    let view = store::whole_document(tx.conn(), caller.customer(), id).await?;
    drop(tx);
    let headers = [
        (CONTENT_TYPE, view.media_type.word().to_owned()),
        (CONTENT_LENGTH, view.length.to_string()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{id}.{}\"", view.media_type.extension())),
    ];
    let count = i32::try_from(view.length.div_ceil(PART as u64)).map_err(Error::internal)?;
    let customer = caller.customer();
    let body = parts(app, count, move |app, number| async move {
        let mut tx = app.db.read(Role::App, "read document part", customer.into()).await?;
        store::document_part(tx.conn(), customer, id, number).await
    });
    Ok((ETag::of_bytes(&view.sha256.0), headers, body).into_response())
}

/// Stores a document for a customer.
///
/// As the customer's own upload; ops prepares agreements with it and can sign nothing.
#[utoipa::path(post, path = "/api/admin/v1/customers/{customer_id}/documents",
    params(("customer_id" = CustomerId, Path, description = "The customer."),
        ("Content-Digest" = Option<String>, Header, description = "sha-256=:…: with the base64 of the body's SHA-256 (RFC 9530); checked.")),
    request_body(content((Vec<u8> = "application/pdf"), (Vec<u8> = "message/rfc822"), (Vec<u8> = "image/png"), (Vec<u8> = "image/jpeg"), (Vec<u8> = "application/vnd.etsi.asic-e+zip"))),
    responses((status = 201, body = Receipted<DocumentView>, description = "Stored."),
        (status = 200, body = DocumentView, description = "Stored before.")))]
async fn store_customer_document(
    State(app): State<App>,
    caller: OpsCaller,
    PathId(customer): PathId<CustomerId>,
    headers: HeaderMap,
    upload: Upload,
) -> Result<Response> {
    let (spooled, media_type) = receive(&app, &headers, upload).await?;
    let mut tx = app.db.write(Role::Ops, "store customer document", Lock::Heads, customer.into(), &[]).await?;
    let kept = keep(&mut tx, customer, spooled, media_type, &caller.actor()).await?;
    answer(tx, kept, &format!("/api/admin/v1/customers/{customer}/documents")).await
}

/// Shows what is known of a customer's document.
#[utoipa::path(get, path = "/api/admin/v1/customers/{customer_id}/documents/{document_id}",
    params(("customer_id" = CustomerId, Path, description = "The customer."), ("document_id" = DocumentId, Path, description = "The document.")),
    responses((status = 200, body = DocumentView, description = "The document.")))]
async fn get_customer_document(
    State(app): State<App>,
    _: OpsCaller,
    PathId((customer, id)): PathId<(CustomerId, DocumentId)>,
) -> Result<(ETag, Json<DocumentView>)> {
    let mut tx = app.db.read(Role::Ops, "show customer document", customer.into()).await?;
    let view = store::document_by_id(tx.conn(), customer, id).await?;
    Ok((ETag::of(&view), Json(view)))
}
