//! What a person or key sees of the slow work it asked for; somebody else's is not there.

use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use super::store::{self, principal};
use super::view::OperationView;
use crate::app::App;
use crate::base::{Error, OperationId, Page, Result, TypedId};
use crate::db::Role;
use crate::http::{Access, CustomerRole, Json, PathId, Query, Route, parts, routes};
use crate::identity::InstitutionCaller;

/// The routes of operations.
#[must_use]
pub fn routes() -> Vec<Route> {
    let reading = Access::institution(CustomerRole::ALL);
    vec![
        Route::new(reading, routes!(list_operations)),
        Route::new(reading, routes!(get_operation)),
        Route::new(reading, routes!(get_operation_result)),
    ]
}

/// Lists the caller's operations.
#[utoipa::path(get, path = "/api/v1/operations",
    params(("limit" = Option<u32>, Query, description = "At most this many, 1 to 100 (25)."), ("cursor" = Option<String>, Query, description = "From the page before.")),
    responses((status = 200, body = Page<OperationView>, description = "One page.")))]
async fn list_operations(State(app): State<App>, caller: InstitutionCaller, query: Query) -> Result<Json<Page<OperationView>>> {
    let page = query.page(&format!("operations:{}:{}", caller.customer(), principal(&caller)))?;
    let mut read = app.db.read(Role::App, "list_operations", caller.log()).await?;
    let rows = store::operations(read.conn(), caller.customer(), principal(&caller), None, Some(&page)).await?;
    Ok(Json(page.page(rows, |view| view.id.uuid())))
}

async fn own(app: &App, caller: &InstitutionCaller, id: OperationId) -> Result<(OperationView, i32)> {
    let mut read = app.db.read(Role::App, "get_operation", caller.log()).await?;
    let found = store::operations(read.conn(), caller.customer(), principal(caller), Some(id), None).await?;
    let view = found.into_iter().next().ok_or(Error::NotFound)?;
    let parts = store::parts(read.conn(), caller.customer(), id).await?;
    Ok((view, parts))
}

/// Shows an operation of the caller's.
#[utoipa::path(get, path = "/api/v1/operations/{operation_id}", params(("operation_id" = OperationId, Path, description = "The operation.")),
    responses((status = 200, body = OperationView, description = "The operation: its progress, its result or its problem.")))]
async fn get_operation(State(app): State<App>, caller: InstitutionCaller, PathId(id): PathId<OperationId>) -> Result<Json<OperationView>> {
    Ok(Json(own(&app, &caller, id).await?.0))
}

/// Gives the result of an operation of the caller's.
///
/// Always as an attachment. Not found until the operation is done.
#[utoipa::path(get, path = "/api/v1/operations/{operation_id}/result", params(("operation_id" = OperationId, Path, description = "The operation.")),
    responses((status = 200, description = "The bytes.", content((String = "text/csv"), (String = "application/zip")))))]
async fn get_operation_result(State(app): State<App>, caller: InstitutionCaller, PathId(id): PathId<OperationId>) -> Result<Response> {
    let (view, count) = own(&app, &caller, id).await?;
    let result = view.result.ok_or(Error::NotFound)?;
    let extension = if result.media_type == "application/zip" { "zip" } else { "csv" };
    let headers = [
        (CONTENT_TYPE, result.media_type),
        (CONTENT_LENGTH, result.length.to_string()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{}-{id}.{extension}\"", view.kind)),
    ];
    let customer = caller.customer();
    let body = parts(app, count, move |app, number| async move {
        let mut read = app.db.read(Role::App, "read_operation_part", customer.into()).await?;
        store::part(read.conn(), customer, id, number).await
    });
    Ok((headers, body).into_response())
}
