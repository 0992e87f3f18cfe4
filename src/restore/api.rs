//! The state of a customer's log after a restore, and its confirmation: by a person with export
//! authority for all units and step-up, whose own authority was confirmed before (people first).

use axum::extract::State;

use super::narrowing::{Narrowing, Said};
use super::run::OpenedEpoch;
use super::store;
use super::supply::left;
use crate::app::App;
use crate::base::{Error, Instant, RestoreId, Result, TypedId as _};
use crate::customer::tell_customer;
use crate::db::{Lock, Role};
use crate::evidence::{Event, NewEntry, Receipted, commit_one, head_of};
use crate::http::{Access, Created, CustomerRole, Json, Route, routes as http};
use crate::identity::{AuthorityKind, InstitutionCaller, Needs, signatory};

/// All routes of this feature.
#[must_use]
pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Access::institution(CustomerRole::ALL), http!(get_state)).while_unconfirmed(),
        Route::new(Access::institution_session(&[CustomerRole::CustomerAdmin]), http!(confirm_state)),
    ]
}

/// How the present epoch of the customer's log began.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct StateView {
    /// The present epoch.
    pub epoch: u32,
    /// True while every export is refused, because nobody has confirmed the state.
    pub unconfirmed: bool,
    /// The restore that opened the epoch; null in the first one.
    pub restore: Option<RestoreId>,
    /// The earlier epoch of which entries are missing; null: none.
    pub missing_epoch: Option<u32>,
    /// Index of the first missing entry in it.
    pub missing_from: Option<u64>,
    /// Index of the last one that is known of.
    pub missing_until: Option<u64>,
    /// When the epoch was opened.
    pub opened_at: Option<Instant>,
    /// When the state was confirmed.
    pub confirmed_at: Option<Instant>,
    /// How many of the missing entries were supplied from a pack.
    pub supplied: u64,
    /// What the supplied entries ended and what is not ended now: the state cannot be confirmed before it is.
    pub to_end: Vec<String>,
    /// What the supplied entries gave: it does not hold again by them.
    pub to_repeat: Vec<String>,
}

impl StateView {
    fn of(opened: Vec<store::Opened>, epoch: u32, said: Said) -> Result<Self> {
        let opened: Vec<OpenedEpoch> = opened.into_iter().map(OpenedEpoch::try_from).collect::<Result<_>>()?;
        let unconfirmed = opened.iter().any(|opened| opened.unconfirmed && opened.confirmed_at.is_none());
        let last = opened.into_iter().next_back();
        let missing = last.as_ref().and_then(|last| last.missing);
        Ok(Self {
            epoch,
            unconfirmed,
            restore: last.as_ref().map(|last| last.restore),
            missing_epoch: missing.map(|(epoch, ..)| epoch),
            missing_from: missing.map(|(_, from, _)| from),
            missing_until: missing.map(|(.., until)| until),
            opened_at: last.as_ref().map(|last| last.opened_at),
            confirmed_at: last.as_ref().and_then(|last| last.confirmed_at),
            supplied: last.map_or(0, |last| last.supplied),
            to_end: said.narrowing.iter().map(Narrowing::told).collect(),
            to_repeat: said.widening,
        })
    }
}

crate::request! {
    /// The confirmation of the customer's state: its instructions, authorisations, people and keys are as they should be.
    pub struct NewStateConfirmation {
        /// The present epoch, as it was seen.
        epoch: u32,
    }
}

/// Shows whether the customer's state is confirmed.
///
/// After a restore of the service's data entries of the log may be missing. Until a person of the customer
/// confirms its state, the gate refuses every export with `state_unconfirmed`.
#[utoipa::path(get, path = "/api/v1/evidence/state", responses((status = 200, body = StateView, description = "How the present epoch began.")))]
pub(super) async fn get_state(State(app): State<App>, caller: InstitutionCaller) -> Result<Json<StateView>> {
    let mut read = app.db.read(Role::App, "get_state", caller.log()).await?;
    let opened = store::opened(read.conn(), Some(caller.log())).await?;
    let (epoch, _) = head_of(read.conn(), caller.log()).await?;
    let now = read.now();
    let said = left(read.conn(), caller.log(), now).await?;
    Ok(Json(StateView::of(opened, epoch, said)?))
}

/// Confirms the customer's state after a restore.
///
/// What is in force then is what the service holds now: look through instructions, people and keys first.
#[utoipa::path(post, path = "/api/v1/evidence/state-confirmations", request_body = NewStateConfirmation,
    responses((status = 201, body = Receipted<StateView>, description = "Confirmed, from the next decision on.")))]
pub(super) async fn confirm_state(
    State(app): State<App>,
    caller: InstitutionCaller,
    Json(new): Json<NewStateConfirmation>,
) -> Result<Created<Receipted<StateView>>> {
    let customer = caller.customer();
    let mut tx = app.db.write(Role::App, "confirm_state", Lock::Heads, caller.log(), &[]).await?;
    let signatory = signatory(&mut tx, &caller, AuthorityKind::Export, &Needs::AllUnits).await?;
    let (epoch, _) = head_of(tx.conn(), caller.log()).await?;
    let now = tx.now();
    let said = left(tx.conn(), caller.log(), now).await?;
    let present = StateView::of(store::opened(tx.conn(), Some(caller.log())).await?, epoch, said.clone())?;
    if present.epoch != new.epoch {
        return Err(Error::conflict("another_epoch", "The log is in another epoch: look at the state again."));
    }
    if !present.unconfirmed {
        return Err(Error::conflict("state_confirmed", "The state needs no confirmation."));
    }
    if !present.to_end.is_empty() {
        let detail = "What the supplied entries ended is not ended again: the state names it in to_end.";
        return Err(Error::conflict("supplied_acts_open", detail));
    }
    store::confirm(&mut tx, signatory, customer).await?;
    let view = StateView::of(store::opened(tx.conn(), Some(caller.log())).await?, epoch, said)?;
    let membership = signatory.membership();
    let body = format!(
        "{membership} has confirmed the state of your institution after the restore. Exports that you instruct are possible again."
    );
    tell_customer(&mut tx, "state_confirmed", membership.uuid(), "The state of your institution is confirmed", body).await?;
    let event = Event::StateConfirmed { epoch: new.epoch, membership };
    let receipt = commit_one(tx, NewEntry::new(customer, membership, &caller.actor(), event)).await?;
    Ok(Created::at("/api/v1/evidence/state", Receipted { value: view, receipt }))
}
