//! What ops does with customers: registers them, adds their units, and stops their exports. No ops
//! role can sign, accept or approve for one.

use axum::extract::State;

use crate::app::App;
use crate::base::{CustomerId, Error, Faults, Page, Pointer, Result, TypedId, fresh_id};
use crate::customer::notice::tell_customer;
use crate::customer::store;
use crate::customer::view::{AddedUnits, CustomerView, NewCustomer, NewSuspension, NewUnits, SuspensionView, UnitView};
use crate::db::{Lock, LogId, Role};
use crate::evidence::{Event, NewEntry, Receipted, SuspendedBy, commit_one, head_of};
use crate::http::{Created, Json, PathId, Query};
use crate::identity::OpsCaller;

fn check_customer(new: &NewCustomer) -> Result<()> {
    let mut faults = Faults::default();
    if !new.country.is_country() {
        faults.add_at("country", "unknown_code", "must be an ISO 3166-1 alpha-2 country code");
    }
    if new.privacy_contacts.is_empty() {
        faults.add_at("privacy_contacts", "too_few", "must name at least one address");
    }
    faults.check()
}

/// Registers a customer.
#[utoipa::path(post, path = "/api/admin/v1/customers", request_body = NewCustomer,
    responses((status = 201, body = Receipted<CustomerView>, description = "Registered: the first entry of its own log.")))]
pub(super) async fn register_customer(
    State(app): State<App>,
    caller: OpsCaller,
    Json(new): Json<NewCustomer>,
) -> Result<Created<Receipted<CustomerView>>> {
    check_customer(&new)?;
    let id: CustomerId = fresh_id(app.db.clock().now(), app.db.entropy());
    let mut tx = app.db.write_new_log(Role::Ops, "register_customer", id.into(), &id.to_string()).await?;
    store::register(&mut tx, id, &new).await?;
    let view = store::customers(tx.conn(), Some(id), None).await?.into_iter().next().ok_or(Error::NotFound)?;
    let event = Event::CustomerRegistered {
        name: new.name,
        kind: new.kind.to_string(),
        country: new.country,
        zone: new.zone.name().to_owned(),
        language: new.language,
        privacy_contacts: new.privacy_contacts,
        second_contacts: new.second_contacts,
    };
    let receipt = commit_one(tx, NewEntry::new(id, id, &caller.actor(), event)).await?;
    Ok(Created::at(format!("/api/admin/v1/customers/{id}"), Receipted { value: view, receipt }))
}

/// Lists customers.
#[utoipa::path(get, path = "/api/admin/v1/customers",
    params(("limit" = Option<u32>, Query, description = "At most this many, 1 to 100 (25)."), ("cursor" = Option<String>, Query, description = "From the page before.")),
    responses((status = 200, body = Page<CustomerView>, description = "One page.")))]
pub(super) async fn list_customers(State(app): State<App>, _: OpsCaller, query: Query) -> Result<Json<Page<CustomerView>>> {
    let page = query.page("customers")?;
    let mut read = app.db.read(Role::OpsRead, "list_customers", LogId::REGISTRY).await?;
    let rows = store::customers(read.conn(), None, Some(&page)).await?;
    Ok(Json(page.page(rows, |view| view.id.uuid())))
}

/// Shows a customer.
#[utoipa::path(get, path = "/api/admin/v1/customers/{customer_id}", params(("customer_id" = CustomerId, Path, description = "The customer.")),
    responses((status = 200, body = CustomerView, description = "The customer.")))]
pub(super) async fn get_customer(State(app): State<App>, _: OpsCaller, PathId(customer): PathId<CustomerId>) -> Result<Json<CustomerView>> {
    let mut read = app.db.read(Role::OpsRead, "get_customer", LogId::REGISTRY).await?;
    store::customers(read.conn(), Some(customer), None).await?.into_iter().next().map(Json).ok_or(Error::NotFound)
}

fn check_units(new: &NewUnits) -> Result<()> {
    let mut faults = Faults::default();
    if !(1..=1_000).contains(&new.units.len()) {
        faults.add_at("units", "range", "must have 1 to 1000 units");
    }
    let mut seen = std::collections::BTreeSet::new();
    for (i, unit) in new.units.iter().enumerate() {
        if !seen.insert(&unit.code) {
            faults.add(&Pointer::default().at("units").at(i).at("code"), "duplicate", "stands twice in the list");
        }
    }
    faults.check()
}

/// Adds units to a customer, all or none.
#[utoipa::path(post, path = "/api/admin/v1/customers/{customer_id}/units", params(("customer_id" = CustomerId, Path, description = "The customer.")),
    request_body = NewUnits, responses((status = 201, body = Receipted<AddedUnits>, description = "Added.")))]
pub(super) async fn add_customer_units(
    State(app): State<App>,
    caller: OpsCaller,
    PathId(customer): PathId<CustomerId>,
    Json(new): Json<NewUnits>,
) -> Result<Created<Receipted<AddedUnits>>> {
    check_units(&new)?;
    let mut tx = app.db.write(Role::Ops, "add_units", Lock::Heads, caller.scope_of(customer).customer().into(), &[]).await?;
    store::add_units(&mut tx, customer, &new.units).await?;
    let now = tx.now();
    let event = Event::UnitsAdded { units: new.units.iter().map(|u| (u.code.clone(), u.name.clone())).collect() };
    let receipt = commit_one(tx, NewEntry::new(customer, customer, &caller.actor(), event)).await?;
    let units = new.units.into_iter().map(|u| UnitView { code: u.code, name: u.name, added_at: now }).collect();
    Ok(Created::at(format!("/api/admin/v1/customers/{customer}/units"), Receipted { value: AddedUnits { units }, receipt }))
}

/// Lists the units of a customer.
#[utoipa::path(get, path = "/api/admin/v1/customers/{customer_id}/units",
    params(("customer_id" = CustomerId, Path, description = "The customer."), ("limit" = Option<u32>, Query, description = "At most this many, 1 to 100 (25)."), ("cursor" = Option<String>, Query, description = "From the page before.")),
    responses((status = 200, body = Page<UnitView>, description = "One page, by code.")))]
pub(super) async fn list_customer_units(
    State(app): State<App>,
    caller: OpsCaller,
    PathId(customer): PathId<CustomerId>,
    query: Query,
) -> Result<Json<Page<UnitView>>> {
    let page = query.page_by_text(&format!("units:ops:{customer}"))?;
    let log = LogId::from(caller.scope_of(customer).customer());
    let mut read = app.db.read(Role::Ops, "list_customer_units", log).await?;
    head_of(read.conn(), log).await?;
    let rows = store::units(read.conn(), customer, &page).await?;
    Ok(Json(page.page_by_text(rows, |unit| unit.code.to_string())))
}

/// Stops every export of a customer at once, except the return of data at the end.
#[utoipa::path(post, path = "/api/admin/v1/customers/{customer_id}/suspensions", params(("customer_id" = CustomerId, Path, description = "The customer.")),
    request_body = NewSuspension, responses((status = 201, body = Receipted<SuspensionView>, description = "Stopped; the customer is told.")))]
pub(super) async fn suspend_customer(
    State(app): State<App>,
    caller: OpsCaller,
    PathId(customer): PathId<CustomerId>,
    Json(new): Json<NewSuspension>,
) -> Result<Created<Receipted<SuspensionView>>> {
    let by = caller.person()?;
    let mut tx = app.db.write(Role::Ops, "suspend_customer", Lock::Heads, caller.scope_of(customer).customer().into(), &[]).await?;
    let id = store::suspend(&mut tx, customer, SuspendedBy::Ops, &new.ground, by.uuid()).await?;
    let view = store::suspension(tx.conn(), customer, id).await?.view;
    let body = format!("The processor has stopped the exports of your data. Suspension: {id}. Ground: {}", new.ground);
    tell_customer(&mut tx, "customer_suspended", id.uuid(), "Exports of your data are stopped", body).await?;
    let event = Event::CustomerSuspended { suspension: id, made_by: SuspendedBy::Ops, ground: new.ground };
    let receipt = commit_one(tx, NewEntry::new(customer, id, &caller.actor(), event)).await?;
    Ok(Created::at(format!("/api/admin/v1/customers/{customer}/suspensions"), Receipted { value: view, receipt }))
}

/// Lists the suspensions of a customer.
#[utoipa::path(get, path = "/api/admin/v1/customers/{customer_id}/suspensions",
    params(("customer_id" = CustomerId, Path, description = "The customer."), ("limit" = Option<u32>, Query, description = "At most this many, 1 to 100 (25)."), ("cursor" = Option<String>, Query, description = "From the page before.")),
    responses((status = 200, body = Page<SuspensionView>, description = "One page.")))]
pub(super) async fn list_customer_suspensions(
    State(app): State<App>,
    caller: OpsCaller,
    PathId(customer): PathId<CustomerId>,
    query: Query,
) -> Result<Json<Page<SuspensionView>>> {
    let page = query.page(&format!("suspensions:{customer}"))?;
    let log = LogId::from(caller.scope_of(customer).customer());
    let mut read = app.db.read(Role::Ops, "list_customer_suspensions", log).await?;
    head_of(read.conn(), log).await?;
    let rows = store::suspensions(read.conn(), customer, None, Some(&page)).await?;
    Ok(Json(page.page(rows.into_iter().map(|row| row.view).collect(), |view: &SuspensionView| view.id.uuid())))
}
