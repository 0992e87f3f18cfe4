//! Who the caller is, as the service sees it.

use axum::extract::State;

use super::session::{holder, ops_holder};
use super::view::{AuthorityView, SecondFactorView};
use crate::app::App;
use crate::base::{ApiKeyId, CustomerId, Instant, MembershipId, OpsPersonId, Result, SessionId};
use crate::db::{LogId, Role};
use crate::http::{CustomerRole, Json, OpsRole};
use crate::identity::caller::{InstitutionCaller, InstitutionCredential, OpsCaller, OpsCredential};
use crate::identity::decide::STEP_UP;
use crate::identity::store;

/// The caller of the institution surface.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct MeView {
    /// The customer.
    pub customer: CustomerId,
    /// Its name.
    pub customer_name: String,
    /// The role.
    pub role: CustomerRole,
    /// The membership; null for an API key.
    pub membership: Option<MembershipId>,
    /// The session in use; null for an API key.
    pub session: Option<SessionId>,
    /// The API key in use; null for a person.
    pub api_key: Option<ApiKeyId>,
    /// Until when a step-up holds; null when there is none.
    pub stepped_up_until: Option<Instant>,
    /// The second factor in use; null when there is none.
    pub second_factor: Option<SecondFactorView>,
    /// True while none of the authority holds: the account was recovered, and the customer has not
    /// confirmed it.
    pub authority_suspended: bool,
    /// What the person may instruct.
    pub authority: Vec<AuthorityView>,
}

/// The caller of the admin surface.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct OpsMeView {
    /// The role.
    pub role: OpsRole,
    /// The person; null for an API key.
    pub ops_person: Option<OpsPersonId>,
    /// The session in use; null for an API key.
    pub session: Option<SessionId>,
    /// The API key in use; null for a person.
    pub api_key: Option<ApiKeyId>,
    /// The second factor in use; null when there is none.
    pub second_factor: Option<SecondFactorView>,
}

/// Shows who the caller is.
#[utoipa::path(get, path = "/api/v1/me", responses((status = 200, body = MeView, description = "The caller.")))]
pub(super) async fn get_me(State(app): State<App>, caller: InstitutionCaller) -> Result<Json<MeView>> {
    let mut tx = app.db.read(Role::App, "me", caller.log()).await?;
    let now = tx.now();
    let customer_name = store::own_customer(tx.conn()).await?.name;
    let mut view = MeView {
        customer: caller.customer(),
        customer_name,
        role: caller.role,
        membership: None,
        session: None,
        api_key: None,
        stepped_up_until: None,
        second_factor: None,
        authority_suspended: false,
        authority: Vec::new(),
    };
    match caller.credential() {
        InstitutionCredential::Key(key) => view.api_key = Some(key),
        InstitutionCredential::Session { session, membership, .. } => {
            let holder = holder(&caller)?.0;
            let present = store::session(tx.conn(), holder, session).await?;
            let until = present.stepped_up_at.map(|at| at.plus(STEP_UP));
            view.stepped_up_until = until.filter(|until| now <= *until);
            view.authority = store::held(tx.conn(), caller.customer(), membership).await?.into_iter().map(AuthorityView::from).collect();
            view.authority_suspended = store::authority_suspended(tx.conn(), caller.customer(), membership).await?;
            view.second_factor = store::factor_in_use(tx.conn(), holder.account()).await?.map(SecondFactorView::from);
            view.membership = Some(membership);
            view.session = Some(session);
        }
    }
    Ok(Json(view))
}

/// Shows who the ops caller is.
#[utoipa::path(get, path = "/api/admin/v1/me", responses((status = 200, body = OpsMeView, description = "The caller.")))]
pub(super) async fn get_ops_me(State(app): State<App>, caller: OpsCaller) -> Result<Json<OpsMeView>> {
    let mut view = OpsMeView { role: caller.role, ops_person: None, session: None, api_key: None, second_factor: None };
    match caller.credential() {
        OpsCredential::Session { session, ops_person } => {
            let holder = ops_holder(&caller)?.0;
            let mut tx = app.db.read(Role::Ops, "ops_me", LogId::PROCESSOR).await?;
            store::session(tx.conn(), holder, session).await?;
            view.second_factor = store::factor_in_use(tx.conn(), holder.account()).await?.map(SecondFactorView::from);
            view.ops_person = Some(ops_person);
            view.session = Some(session);
        }
        OpsCredential::Key(key) => view.api_key = Some(key),
    }
    Ok(Json(view))
}
