//! The processor's staff: an `ops_admin` proposes somebody, a second ops person approves, and all
//! others are told; each sets the password alone, by the invitation that is then mailed. Entries of
//! the processor's log. For 72 hours a newcomer counts as none of two (`two_persons`).

use axum::extract::State;

use super::first_signatory::NewApproval;
use super::people::NewEnding;
use super::view::OpsPersonView;
use crate::app::App;
use crate::base::{Email, Error, Name, OpsPersonId, Page, Result, TypedId};
use crate::db::{Lock, LogId, Role, WriteTx};
use crate::evidence::{Event, NewEntry, Receipted, commit_one};
use crate::http::{Created, Json, OpsRole, PathId, Query};
use crate::identity::caller::OpsCaller;
use crate::identity::notice::{invite, tell_staff};
use crate::identity::staff::{Addition, addition};
use crate::identity::store::{self, Invitee, ops_stepped_up, two_persons};

crate::request! {
    /// An ops person to be added.
    pub struct NewOpsPerson {
        /// E-mail, lower case.
        email: Email,
        /// Name.
        name: Name,
        /// Role; another role is another person record.
        role: OpsRole,
    }
}

/// Lists the staff.
#[utoipa::path(get, path = "/api/admin/v1/ops-people",
    params(("limit" = Option<u32>, Query, description = "At most this many, 1 to 100 (25)."), ("cursor" = Option<String>, Query, description = "From the page before.")),
    responses((status = 200, body = Page<OpsPersonView>, description = "One page.")))]
pub(super) async fn list_ops_people(State(app): State<App>, _: OpsCaller, query: Query) -> Result<Json<Page<OpsPersonView>>> {
    let page = query.page("ops-people")?;
    let mut tx = app.db.read(Role::Ops, "list_ops_people", LogId::PROCESSOR).await?;
    let rows = store::ops_people(tx.conn(), &page).await?;
    let Page { data, next_cursor } = page.page(rows, |person| person.id.uuid());
    Ok(Json(Page { data: data.into_iter().map(OpsPersonView::from).collect(), next_cursor }))
}

/// The roles that approve a person of the staff.
const fn may_approve(role: OpsRole) -> bool {
    matches!(role, OpsRole::OpsAdmin | OpsRole::OpsSecurity)
}

/// Admits a person to the staff: the invitation goes out.
async fn admit(tx: &mut WriteTx, id: OpsPersonId, email: Email, approved_by: Option<OpsPersonId>) -> Result<()> {
    store::admit(tx, id, approved_by).await?;
    invite(tx, LogId::PROCESSOR, Invitee::Ops(id), email, "POST /api/admin/v1/invitation-acceptances", id.uuid()).await
}

/// Proposes an ops person.
///
/// Another `ops_admin`, or `ops_security`, approves before the invitation goes out. Only the very
/// first ops person adds the second one alone, who must have one of these roles.
#[utoipa::path(post, path = "/api/admin/v1/ops-people", request_body = NewOpsPerson,
    responses((status = 201, body = Receipted<OpsPersonView>, description = "Waits for an approval; `admitted_at` is set where none was needed.")))]
pub(super) async fn add_ops_person(
    State(app): State<App>,
    caller: OpsCaller,
    Json(new): Json<NewOpsPerson>,
) -> Result<Created<Receipted<OpsPersonView>>> {
    let mut tx = app.db.write(Role::Ops, "add_ops_person", Lock::Heads, LogId::PROCESSOR, &[]).await?;
    let by = ops_stepped_up(&mut tx, &caller).await?;
    let others = store::other_staff(tx.conn(), Some(by)).await?;
    let addition = addition(others, may_approve(new.role))?;
    let id = store::insert_ops_person(&mut tx, (&new.email, &new.name, new.role), Some(by), None).await?;
    let role = new.role.to_string();
    let (event, body) = match addition {
        Addition::Proposed => {
            let how = format!(
                "Another ops_admin or ops_security approves: POST /api/admin/v1/ops-people/{id}/approvals. If nobody knows why, end it: POST /api/admin/v1/ops-people/{id}/endings."
            );
            (Event::OpsPersonProposed { ops_person: id, role }, format!("{by} proposed {id} for the staff as {}. {how}", new.role))
        }
        Addition::Alone => {
            admit(&mut tx, id, new.email, None).await?;
            (Event::OpsPersonAddedAlone { ops_person: id, role }, format!("{by} alone added {id} to the staff as {}.", new.role))
        }
    };
    tell_staff(&mut tx, by, id, body).await?;
    let view = store::ops_person(tx.conn(), id).await?.into();
    let receipt = commit_one(tx, NewEntry::new(LogId::PROCESSOR, id, &caller.actor(), event)).await?;
    Ok(Created::at("/api/admin/v1/ops-people", Receipted { value: view, receipt }))
}

/// Approves an ops person whom another one proposed.
#[utoipa::path(post, path = "/api/admin/v1/ops-people/{ops_person_id}/approvals", params(("ops_person_id" = OpsPersonId, Path, description = "The ops person.")),
    request_body = NewApproval, responses((status = 201, body = Receipted<OpsPersonView>, description = "Added; the invitation is on its way.")))]
pub(super) async fn approve_ops_person(
    State(app): State<App>,
    caller: OpsCaller,
    PathId(id): PathId<OpsPersonId>,
    Json(NewApproval {}): Json<NewApproval>,
) -> Result<Created<Receipted<OpsPersonView>>> {
    let mut tx = app.db.write(Role::Ops, "approve_ops_person", Lock::Heads, LogId::PROCESSOR, &[]).await?;
    let present = store::ops_person(tx.conn(), id).await?;
    let by = ops_stepped_up(&mut tx, &caller).await?;
    two_persons(&mut tx, (present.added_by.unwrap_or(by), present.created_at), by).await?;
    admit(&mut tx, id, present.email, Some(by)).await?;
    let body = format!("{by} approved {id}, who joins the staff as {}. If nobody knows why, end the access.", present.role);
    tell_staff(&mut tx, by, id, body).await?;
    let view = store::ops_person(tx.conn(), id).await?.into();
    let event = Event::OpsPersonAdded { ops_person: id, role: present.role.to_string() };
    let receipt = commit_one(tx, NewEntry::new(LogId::PROCESSOR, id, &caller.actor(), event)).await?;
    Ok(Created::at("/api/admin/v1/ops-people", Receipted { value: view, receipt }))
}

/// Why the last ops person of a role stays. One `ops_admin` session ends nobody whose role keeps watch
/// over it: another `ops_security` joins by two persons, whom the one who leaves can still stop.
const fn last_of_role(role: OpsRole) -> Option<Error> {
    match role {
        OpsRole::OpsAdmin => Some(Error::conflict("last_ops_admin", "Nobody else is an ops_admin: add another one first.")),
        OpsRole::OpsSecurity => Some(Error::conflict("last_ops_security", "Nobody else is an ops_security: add another one first.")),
        _ => None,
    }
}

/// Ends an ops person's access, with step-up.
///
/// All others are told, and the person. The last `ops_admin` and the last `ops_security` stay.
#[utoipa::path(post, path = "/api/admin/v1/ops-people/{ops_person_id}/endings", params(("ops_person_id" = OpsPersonId, Path, description = "The ops person.")),
    request_body = NewEnding, responses((status = 201, body = Receipted<OpsPersonView>, description = "Ended, from the next request on.")))]
pub(super) async fn end_ops_person(
    State(app): State<App>,
    caller: OpsCaller,
    PathId(id): PathId<OpsPersonId>,
    Json(NewEnding {}): Json<NewEnding>,
) -> Result<Created<Receipted<OpsPersonView>>> {
    let mut tx = app.db.write(Role::Ops, "end_ops_person", Lock::Heads, LogId::PROCESSOR, &[]).await?;
    let present = store::ops_person(tx.conn(), id).await?;
    let by = ops_stepped_up(&mut tx, &caller).await?;
    if present.ended_at.is_some() {
        return Err(Error::conflict("already_ended", "The access was ended before."));
    }
    if let Some(conflict) = last_of_role(present.role)
        && store::others_in_role(tx.conn(), id, present.role).await? == 0
    {
        return Err(conflict);
    }
    // Told first, so that the person is among those with access.
    let body = format!("{by} ended the access of {id} ({}). If nobody knows why, ask, and watch what {by} does.", present.role);
    tell_staff(&mut tx, by, by, body).await?;
    store::end_ops_person(&mut tx, id).await?;
    let view = store::ops_person(tx.conn(), id).await?.into();
    let event = Event::OpsPersonEnded { ops_person: id };
    let receipt = commit_one(tx, NewEntry::new(LogId::PROCESSOR, id, &caller.actor(), event)).await?;
    Ok(Created::at("/api/admin/v1/ops-people", Receipted { value: view, receipt }))
}
