//! Agreements as ops prepares and offers them, for the customer named in the path. Accepting and
//! ending are the customer's alone.

use axum::extract::State;

use super::view::{AgreementView, receipted, view};
use crate::agreement::{NewAgreement, store};
use crate::app::App;
use crate::base::{AgreementId, CustomerId, Page, Result, TypedId};
use crate::db::{Lock, Role};
use crate::delivery::NewMessage;
use crate::evidence::Receipted;
use crate::http::{Created, ETag, Json, PathId, Query};
use crate::identity::OpsCaller;

/// Lists a customer's agreements.
#[utoipa::path(get, path = "/api/admin/v1/customers/{customer_id}/agreements",
    params(("customer_id" = CustomerId, Path, description = "The customer"),
        ("limit" = Option<u32>, Query, description = "1 to 100, 25 when absent"), ("cursor" = Option<String>, Query, description = "next_cursor of the page before")),
    responses((status = 200, body = Page<AgreementView>, description = "The agreements")))]
pub(super) async fn list_customer_agreements(
    State(app): State<App>,
    caller: OpsCaller,
    PathId(customer): PathId<CustomerId>,
    query: Query,
) -> Result<Json<Page<AgreementView>>> {
    let customer = caller.scope_of(customer).customer();
    let page = query.page(&format!("agreements:{customer}:"))?;
    let mut tx = app.db.read(Role::Ops, "agreement.list", customer.into()).await?;
    let now = tx.now();
    store::demand_customer(tx.conn(), customer).await?;
    let covered = store::covered(tx.conn(), customer, now).await?;
    let found = store::list(tx.conn(), customer, &page).await?;
    let views = found.into_iter().map(|agreement| view(customer, agreement, &covered, now)).collect();
    Ok(Json(page.page(views, |view| view.id.uuid())))
}

/// Shows one agreement of a customer.
#[utoipa::path(get, path = "/api/admin/v1/customers/{customer_id}/agreements/{agreement_id}",
    params(("customer_id" = CustomerId, Path, description = "The customer"), ("agreement_id" = AgreementId, Path, description = "The agreement")),
    responses((status = 200, body = AgreementView, description = "The agreement")))]
pub(super) async fn show_customer_agreement(
    State(app): State<App>,
    caller: OpsCaller,
    PathId((customer, id)): PathId<(CustomerId, AgreementId)>,
) -> Result<(ETag, Json<AgreementView>)> {
    let customer = caller.scope_of(customer).customer();
    let mut tx = app.db.read(Role::Ops, "agreement.show", customer.into()).await?;
    let now = tx.now();
    let covered = store::covered(tx.conn(), customer, now).await?;
    let shown = view(customer, store::find(tx.conn(), customer, id).await?, &covered, now);
    Ok((ETag::of(&shown), Json(shown)))
}

/// Prepares an agreement for a customer.
#[utoipa::path(post, path = "/api/admin/v1/customers/{customer_id}/agreements",
    params(("customer_id" = CustomerId, Path, description = "The customer")), request_body = NewAgreement,
    responses((status = 201, body = Receipted<AgreementView>, description = "The agreement, not yet offered")))]
pub(super) async fn prepare_agreement(
    State(app): State<App>,
    caller: OpsCaller,
    PathId(customer): PathId<CustomerId>,
    Json(body): Json<NewAgreement>,
) -> Result<Created<Receipted<AgreementView>>> {
    let person = caller.person()?;
    let customer = caller.scope_of(customer).customer();
    let mut tx = app.db.write(Role::Ops, "agreement.prepare", Lock::Heads, customer.into(), &[]).await?;
    let now = tx.now();
    store::demand_customer(tx.conn(), customer).await?;
    let (id, entries) = store::prepare(&mut tx, customer, person, &body).await?;
    let covered = store::covered(tx.conn(), customer, now).await?;
    let prepared = view(customer, store::find(tx.conn(), customer, id).await?, &covered, now);
    let receipts = crate::evidence::commit(tx, entries).await?;
    Ok(Created::at(format!("/api/admin/v1/customers/{customer}/agreements/{id}"), receipted(prepared, receipts)?))
}

/// Offers a prepared agreement to the customer.
#[utoipa::path(post, path = "/api/admin/v1/customers/{customer_id}/agreements/{agreement_id}/offers",
    params(("customer_id" = CustomerId, Path, description = "The customer"), ("agreement_id" = AgreementId, Path, description = "The agreement")),
    responses((status = 201, body = Receipted<AgreementView>, description = "The agreement, offered")))]
pub(super) async fn offer_agreement(
    State(app): State<App>,
    caller: OpsCaller,
    PathId((customer, id)): PathId<(CustomerId, AgreementId)>,
) -> Result<Created<Receipted<AgreementView>>> {
    let person = caller.person()?;
    let customer = caller.scope_of(customer).customer();
    let mut tx = app.db.write(Role::Ops, "agreement.offer", Lock::Heads, customer.into(), &[]).await?;
    let now = tx.now();
    let entries = store::offer(&mut tx, customer, person, id).await?;
    let covered = store::covered(tx.conn(), customer, now).await?;
    let offered = view(customer, store::find(tx.conn(), customer, id).await?, &covered, now);
    let body = format!(
        "The agreement {id} for the platform {} is offered to your institution.\nA person with authority for agreements can read its document ({}) and accept it. Before that it has no force.\n",
        offered.platform, offered.document,
    );
    let message = NewMessage {
        customer: customer.into(),
        purpose: "agreement_offered",
        subject_id: id.uuid(),
        address: offered.parameters.contact.clone(),
        subject: "An agreement is offered",
        body,
    };
    crate::delivery::enqueue(&mut tx, message).await?;
    let receipts = crate::evidence::commit(tx, entries).await?;
    Ok(Created::at(format!("/api/admin/v1/customers/{customer}/agreements/{id}"), receipted(offered, receipts)?))
}
