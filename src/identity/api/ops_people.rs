//! The processor's staff: an `ops_admin` adds and ends them; each sets the password alone, by the
//! invitation that is mailed. Entries of the processor's log.

use axum::extract::State;

use super::people::NewEnding;
use super::view::OpsPersonView;
use crate::app::App;
use crate::base::{Email, Error, Name, OpsPersonId, Page, Result, TypedId};
use crate::db::{Lock, LogId, Role};
use crate::evidence::{Event, NewEntry, Receipted, commit_one};
use crate::http::{Created, Json, OpsRole, PathId, Query};
use crate::identity::caller::OpsCaller;
use crate::identity::notice::{invite, tell_staff};
use crate::identity::store::{self, Invitee};

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

/// Adds an ops person.
#[utoipa::path(post, path = "/api/admin/v1/ops-people", request_body = NewOpsPerson,
    responses((status = 201, body = Receipted<OpsPersonView>, description = "Added; the invitation is on its way.")))]
pub(super) async fn add_ops_person(
    State(app): State<App>,
    caller: OpsCaller,
    Json(new): Json<NewOpsPerson>,
) -> Result<Created<Receipted<OpsPersonView>>> {
    let by = caller.person()?;
    let mut tx = app.db.write(Role::Ops, "add_ops_person", Lock::Heads, LogId::PROCESSOR, &[]).await?;
    let id = store::insert_ops_person(&mut tx, &new.email, &new.name, new.role, None).await?;
    let route = "POST /api/admin/v1/invitation-acceptances";
    invite(&mut tx, LogId::PROCESSOR, Invitee::Ops(id), new.email, route, id.uuid()).await?;
    tell_staff(&mut tx, id, by, new.role).await?;
    let view = store::ops_person(tx.conn(), id).await?.into();
    let event = Event::OpsPersonAdded { ops_person: id, role: new.role.to_string() };
    let receipt = commit_one(tx, NewEntry::new(LogId::PROCESSOR, id, &caller.actor(), event)).await?;
    Ok(Created::at("/api/admin/v1/ops-people", Receipted { value: view, receipt }))
}

/// Ends an ops person's access.
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
    if present.ended_at.is_some() {
        return Err(Error::conflict("already_ended", "The access was ended before."));
    }
    if present.role == OpsRole::OpsAdmin && store::ops_admins(tx.conn(), id).await? == 0 {
        return Err(Error::conflict("last_ops_admin", "Nobody else is an ops_admin: add another one first."));
    }
    store::end_ops_person(&mut tx, id).await?;
    let view = store::ops_person(tx.conn(), id).await?.into();
    let event = Event::OpsPersonEnded { ops_person: id };
    let receipt = commit_one(tx, NewEntry::new(LogId::PROCESSOR, id, &caller.actor(), event)).await?;
    Ok(Created::at("/api/admin/v1/ops-people", Receipted { value: view, receipt }))
}
