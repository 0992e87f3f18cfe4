//! What a customer does with its own: reads its units, and stops all its exports at once. Stopping
//! needs authority of any kind, and neither step-up nor a fresh copy: it must never fail on those.

use axum::extract::State;

use crate::app::App;
use crate::base::{Page, Result, SuspensionId, TypedId};
use crate::customer::notice::tell_customer;
use crate::customer::store;
use crate::customer::view::{NewSuspension, SuspensionView, UnitView};
use crate::db::{Lock, Role};
use crate::evidence::{Event, NewEntry, Receipted, SuspendedBy, commit_one};
use crate::http::{Created, Json, PathId, Query};
use crate::identity::{InstitutionCaller, anyone_with_authority};

/// Lists the customer's units.
#[utoipa::path(get, path = "/api/v1/units",
    params(("limit" = Option<u32>, Query, description = "At most this many, 1 to 100 (25)."), ("cursor" = Option<String>, Query, description = "From the page before.")),
    responses((status = 200, body = Page<UnitView>, description = "One page, by code.")))]
pub(super) async fn list_units(State(app): State<App>, caller: InstitutionCaller, query: Query) -> Result<Json<Page<UnitView>>> {
    let page = query.page_by_text(&format!("units:{}", caller.customer()))?;
    let mut read = app.db.read(Role::App, "list_units", caller.log()).await?;
    let rows = store::units(read.conn(), caller.customer(), &page).await?;
    Ok(Json(page.page_by_text(rows, |unit| unit.code.to_string())))
}

/// Stops every export of the customer at once.
#[utoipa::path(post, path = "/api/v1/suspensions", request_body = NewSuspension,
    responses((status = 201, body = Receipted<SuspensionView>, description = "Stopped, from the next decision on.")))]
pub(super) async fn suspend_exports(
    State(app): State<App>,
    caller: InstitutionCaller,
    Json(new): Json<NewSuspension>,
) -> Result<Created<Receipted<SuspensionView>>> {
    let customer = caller.customer();
    let mut tx = app.db.write(Role::App, "suspend_exports", Lock::Heads, caller.log(), &[]).await?;
    let by = anyone_with_authority(&mut tx, &caller).await?;
    let id = store::suspend(&mut tx, customer, SuspendedBy::Customer, &new.ground, by.uuid()).await?;
    let view = store::suspension(tx.conn(), customer, id).await?.view;
    let body = format!("A person of your institution has stopped all exports of your data. Suspension: {id}.");
    tell_customer(&mut tx, "customer_suspended", id.uuid(), "Exports of your data are stopped", body).await?;
    let event = Event::CustomerSuspended { suspension: id, made_by: SuspendedBy::Customer, ground: new.ground };
    let receipt = commit_one(tx, NewEntry::new(customer, id, &caller.actor(), event)).await?;
    Ok(Created::at(format!("/api/v1/suspensions/{id}"), Receipted { value: view, receipt }))
}

/// Lists the customer's suspensions.
#[utoipa::path(get, path = "/api/v1/suspensions",
    params(("limit" = Option<u32>, Query, description = "At most this many, 1 to 100 (25)."), ("cursor" = Option<String>, Query, description = "From the page before.")),
    responses((status = 200, body = Page<SuspensionView>, description = "One page.")))]
pub(super) async fn list_suspensions(
    State(app): State<App>,
    caller: InstitutionCaller,
    query: Query,
) -> Result<Json<Page<SuspensionView>>> {
    let page = query.page(&format!("suspensions:{}", caller.customer()))?;
    let mut read = app.db.read(Role::App, "list_suspensions", caller.log()).await?;
    let rows = store::suspensions(read.conn(), caller.customer(), None, Some(&page)).await?;
    Ok(Json(page.page(rows.into_iter().map(|row| row.view).collect(), |view: &SuspensionView| view.id.uuid())))
}

/// Shows a suspension.
#[utoipa::path(get, path = "/api/v1/suspensions/{suspension_id}", params(("suspension_id" = SuspensionId, Path, description = "The suspension.")),
    responses((status = 200, body = SuspensionView, description = "The suspension.")))]
pub(super) async fn get_suspension(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId(id): PathId<SuspensionId>,
) -> Result<Json<SuspensionView>> {
    let mut read = app.db.read(Role::App, "get_suspension", caller.log()).await?;
    Ok(Json(store::suspension(read.conn(), caller.customer(), id).await?.view))
}
