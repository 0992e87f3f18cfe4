//! The recoveries of accounts as their customer sees them, and its stop: the person, who then plainly
//! has a way in, or anybody with authority over people ends one before it is used. As with exports,
//! stopping waits for no code.

use axum::extract::State;

use super::first_signatory::NewWithdrawal;
use crate::app::App;
use crate::base::{AccountRecoveryId, Error, MembershipId, Page, Result, TypedId as _};
use crate::db::{Lock, Role};
use crate::evidence::{Event, NewEntry, Receipted, commit_one};
use crate::http::{Created, Json, PathId, Query};
use crate::identity::caller::{InstitutionCaller, InstitutionCredential};
use crate::identity::decide::may_stop_recovery;
use crate::identity::notice::tell_people;
use crate::identity::store::{self, AccountRecoveryView};

/// Whose recoveries the caller sees: a member whom nobody has confirmed since a restore, the own only.
const fn only_of(caller: &InstitutionCaller) -> Option<MembershipId> {
    match caller.credential() {
        InstitutionCredential::Session { membership, .. } if caller.unconfirmed => Some(membership),
        _ => None,
    }
}

/// Lists the recoveries of accounts of the customer's members.
#[utoipa::path(get, path = "/api/v1/account-recoveries",
    params(("limit" = Option<u32>, Query, description = "At most this many, 1 to 100 (25)."), ("cursor" = Option<String>, Query, description = "From the page before.")),
    responses((status = 200, body = Page<AccountRecoveryView>, description = "One page.")))]
pub(super) async fn list_own_account_recoveries(
    State(app): State<App>,
    caller: InstitutionCaller,
    query: Query,
) -> Result<Json<Page<AccountRecoveryView>>> {
    let page = query.page(&format!("own-account-recoveries:{}", caller.customer()))?;
    let mut tx = app.db.read(Role::App, "list_own_account_recoveries", caller.log()).await?;
    let rows = store::recoveries(tx.conn(), caller.customer(), only_of(&caller), &page).await?;
    Ok(Json(page.page(rows, |row| row.id.uuid())))
}

/// Shows the recovery of a member's account.
#[utoipa::path(get, path = "/api/v1/account-recoveries/{account_recovery_id}", params(("account_recovery_id" = AccountRecoveryId, Path, description = "The recovery.")),
    responses((status = 200, body = AccountRecoveryView, description = "How far it has come.")))]
pub(super) async fn get_own_account_recovery(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId(id): PathId<AccountRecoveryId>,
) -> Result<Json<AccountRecoveryView>> {
    let mut tx = app.db.read(Role::App, "get_own_account_recovery", caller.log()).await?;
    let found = store::recovery(tx.conn(), caller.customer(), id).await?;
    if only_of(&caller).is_some_and(|own| own != found.membership) {
        return Err(Error::NotFound);
    }
    Ok(Json(found))
}

/// Stops the recovery of a member's account: its token is worth nothing from now on.
#[utoipa::path(post, path = "/api/v1/account-recoveries/{account_recovery_id}/withdrawals", params(("account_recovery_id" = AccountRecoveryId, Path, description = "The recovery.")),
    request_body = NewWithdrawal, responses((status = 201, body = Receipted<AccountRecoveryView>, description = "Stopped.")))]
pub(super) async fn stop_account_recovery(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId(id): PathId<AccountRecoveryId>,
    Json(NewWithdrawal {}): Json<NewWithdrawal>,
) -> Result<Created<Receipted<AccountRecoveryView>>> {
    let InstitutionCredential::Session { membership, .. } = caller.credential() else {
        return Err(Error::Forbidden("an API key where a person must act"));
    };
    let customer = caller.customer();
    let mut tx = app.db.write(Role::App, "stop_account_recovery", Lock::Heads, caller.log(), &[]).await?;
    let now = tx.now();
    let present = store::recovery(tx.conn(), customer, id).await?;
    let held = store::held(tx.conn(), customer, membership).await?;
    if !may_stop_recovery(present.membership == membership, &held, now) {
        return Err(Error::Forbidden("neither the person nor authority over people"));
    }
    store::withdraw_recovery(&mut tx, customer, id).await?;
    let body = format!("The recovery of the account of the member {} of your institution was stopped by {membership}.", present.membership);
    tell_people(&mut tx, customer, membership, id.uuid(), body).await?;
    let value = store::recovery(tx.conn(), customer, id).await?;
    let receipt =
        commit_one(tx, NewEntry::new(customer, id, &caller.actor(), Event::AccountRecoveryWithdrawn { account_recovery: id })).await?;
    Ok(Created::at(format!("/api/v1/account-recoveries/{id}"), Receipted { value, receipt }))
}
