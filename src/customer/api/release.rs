//! Releases: of the customer's own suspension by its person with `export` authority for all units, since
//! it stopped them all, and step-up; of one made by ops by `ops_security` and a second ops person, both with step-up. A release of one never lifts the other.

use axum::extract::State;

use crate::app::App;
use crate::base::{CustomerId, Error, ReleaseId, Result, SuspensionId, TypedId};
use crate::customer::notice::tell_customer;
use crate::customer::store;
use crate::customer::view::SuspensionView;
use crate::db::{Lock, Role};
use crate::evidence::{Event, NewEntry, Receipted, SuspendedBy, commit_one};
use crate::http::{Created, Json, OpsRole, PathId};
use crate::identity::{AuthorityKind, InstitutionCaller, Needs, OpsCaller, ops_stepped_up, signatory, two_persons};
use crate::registry::{Proposal, ReleaseStep, decide_release};

crate::request! {
    /// A release; it says nothing more.
    pub struct NewRelease {}
}

const OTHERS: Error = Error::conflict("made_by_others", "Only those who stopped the exports may release them.");

/// Releases a suspension that the customer made.
#[utoipa::path(post, path = "/api/v1/suspensions/{suspension_id}/releases", params(("suspension_id" = SuspensionId, Path, description = "The suspension.")),
    request_body = NewRelease, responses((status = 201, body = Receipted<SuspensionView>, description = "Released.")))]
pub(super) async fn release_suspension(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId(id): PathId<SuspensionId>,
    Json(NewRelease {}): Json<NewRelease>,
) -> Result<Created<Receipted<SuspensionView>>> {
    let customer = caller.customer();
    let mut tx = app.db.write(Role::App, "release_suspension", Lock::Heads, caller.log(), &[]).await?;
    let present = store::suspension(tx.conn(), customer, id).await?;
    let signatory = signatory(&mut tx, &caller, AuthorityKind::Export, &Needs::AllUnits).await?;
    if present.view.made_by != SuspendedBy::Customer {
        return Err(OTHERS);
    }
    if present.view.released_at.is_some() {
        return Err(Error::conflict("already_released", "The suspension was released before."));
    }
    let release: ReleaseId = tx.fresh();
    store::release(&mut tx, customer, id, release, signatory.membership().uuid()).await?;
    let view = store::suspension(tx.conn(), customer, id).await?.view;
    let body = format!("A person of your institution has released the suspension {id}. Exports that you instruct are possible again.");
    tell_customer(&mut tx, "customer_released", id.uuid(), "Exports of your data are possible again", body).await?;
    let event = Event::CustomerReleased { suspension: id, release };
    let receipt = commit_one(tx, NewEntry::new(customer, id, &caller.actor(), event)).await?;
    Ok(Created::at(format!("/api/v1/suspensions/{id}"), Receipted { value: view, receipt }))
}

/// Proposes the release of a suspension that ops made, or carries out the proposed one.
#[utoipa::path(post, path = "/api/admin/v1/customers/{customer_id}/suspensions/{suspension_id}/releases",
    params(("customer_id" = CustomerId, Path, description = "The customer."), ("suspension_id" = SuspensionId, Path, description = "The suspension.")),
    request_body = NewRelease, responses((status = 201, body = Receipted<SuspensionView>, description = "Proposed by the first person, released by the second.")))]
pub(super) async fn release_customer(
    State(app): State<App>,
    caller: OpsCaller,
    PathId((customer, id)): PathId<(CustomerId, SuspensionId)>,
    Json(NewRelease {}): Json<NewRelease>,
) -> Result<Created<Receipted<SuspensionView>>> {
    let mut tx = app.db.write(Role::Ops, "release_customer", Lock::Heads, caller.scope_of(customer).customer().into(), &[]).await?;
    let present = store::suspension(tx.conn(), customer, id).await?;
    let by = ops_stepped_up(&mut tx, &caller).await?;
    if present.view.made_by != SuspendedBy::Ops {
        return Err(OTHERS);
    }
    let step = decide_release(present.proposal, present.view.released_at.is_some(), by, caller.role == OpsRole::OpsSecurity)?;
    let event = match step {
        ReleaseStep::Propose => {
            let release = store::propose_release(&mut tx, customer, id, by).await?;
            let body =
                format!("The processor proposes to release the suspension {id}. It holds until a second person of the processor agrees.");
            tell_customer(&mut tx, "customer_release_proposed", id.uuid(), "The release of a suspension is proposed", body).await?;
            Event::CustomerReleaseProposed { suspension: id, release }
        }
        ReleaseStep::Carry(Proposal { release, by: first, at }) => {
            two_persons(&mut tx, (first, at), by).await?;
            store::release(&mut tx, customer, id, release, by.uuid()).await?;
            let body =
                format!("Two persons of the processor have released the suspension {id}. Exports that you instruct are possible again.");
            tell_customer(&mut tx, "customer_released", id.uuid(), "Exports of your data are possible again", body).await?;
            Event::CustomerReleased { suspension: id, release }
        }
    };
    let view = store::suspension(tx.conn(), customer, id).await?.view;
    let receipt = commit_one(tx, NewEntry::new(customer, id, &caller.actor(), event)).await?;
    Ok(Created::at(format!("/api/admin/v1/customers/{customer}/suspensions"), Receipted { value: view, receipt }))
}
