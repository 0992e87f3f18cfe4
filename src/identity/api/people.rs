//! A customer's people: only a person with `people` authority, with step-up, invites, grants and
//! ends, and of this customer only. Each act is an entry and a notice to the others concerned.

use axum::extract::State;
use chrono::NaiveDate;

use super::view::{AuthorityGrant, MemberView};
use crate::app::App;
use crate::base::{CustomerId, Email, Error, Faults, MembershipId, Name, Page, Pointer, Result, TypedId};
use crate::db::{Lock, Role, WriteTx};
use crate::evidence::{Event, NewEntry, Receipted, commit};
use crate::http::{Created, CustomerRole, Json, PathId, Query};
use crate::identity::caller::InstitutionCaller;
use crate::identity::decide::{membership_until, needs_over};
use crate::identity::model::{Authority, AuthorityKind};
use crate::identity::notice::{tell_people, welcome};
use crate::identity::store::{self, Enroller, Signatory, signatory};

crate::request! {
    /// A person to be invited.
    pub struct NewMember {
        /// E-mail, lower case.
        email: Email,
        /// Name.
        name: Name,
        /// Role.
        role: CustomerRole,
        /// Last day, in the customer's zone; required for an auditor.
        until_on: Option<NaiveDate>,
        /// What the person may instruct.
        authority: Vec<AuthorityGrant>,
    }
}

crate::request! {
    /// A confirmation of authority; it says nothing more.
    pub struct NewAuthorityConfirmation {}
}

crate::request! {
    /// An end; it says nothing more.
    pub struct NewEnding {}
}

/// Lists the customer's people.
#[utoipa::path(get, path = "/api/v1/people",
    params(("limit" = Option<u32>, Query, description = "At most this many, 1 to 100 (25)."), ("cursor" = Option<String>, Query, description = "From the page before.")),
    responses((status = 200, body = Page<MemberView>, description = "One page.")))]
pub(super) async fn list_people(State(app): State<App>, caller: InstitutionCaller, query: Query) -> Result<Json<Page<MemberView>>> {
    let page = query.page(&format!("people:{}", caller.customer()))?;
    let mut tx = app.db.read(Role::App, "list_people", caller.log()).await?;
    let rows = store::members(tx.conn(), caller.customer(), &page).await?;
    let Page { data, next_cursor } = page.page(rows, |member| member.id.uuid());
    Ok(Json(Page { data: data.into_iter().map(MemberView::from).collect(), next_cursor }))
}

/// Shows one of the customer's people.
#[utoipa::path(get, path = "/api/v1/people/{membership_id}", params(("membership_id" = MembershipId, Path, description = "The membership.")),
    responses((status = 200, body = MemberView, description = "The member.")))]
pub(super) async fn get_member(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId(id): PathId<MembershipId>,
) -> Result<Json<MemberView>> {
    let mut tx = app.db.read(Role::App, "get_member", caller.log()).await?;
    Ok(Json(store::member(tx.conn(), caller.customer(), id).await?.into()))
}

/// Notes kinds that stand twice, and units that the customer does not have.
async fn check_grants(
    tx: &mut WriteTx,
    customer: CustomerId,
    grants: &[AuthorityGrant],
    faults: &mut Faults,
    base: &Pointer,
) -> Result<()> {
    let mut kinds = std::collections::BTreeSet::new();
    for (i, grant) in grants.iter().enumerate() {
        let at = base.at(i);
        if !kinds.insert(grant.kind) {
            faults.add(&at.at("kind"), "duplicate", "stands twice in the list");
        }
        check_units(tx, customer, grant, faults, &at).await?;
    }
    Ok(())
}

async fn check_units(tx: &mut WriteTx, customer: CustomerId, grant: &AuthorityGrant, faults: &mut Faults, at: &Pointer) -> Result<()> {
    let Some(units) = &grant.units else { return Ok(()) };
    if units.is_empty() {
        faults.add(&at.at("units"), "too_few", "must name at least one unit, or be absent for all");
    }
    let unknown = store::unknown_units(tx.conn(), customer, units).await?;
    for (i, _) in units.iter().enumerate().filter(|(_, unit)| unknown.contains(*unit)) {
        faults.add(&at.at("units").at(i), "unknown_unit", "is not a unit of this customer");
    }
    Ok(())
}

fn granted(tx: &WriteTx, grant: &AuthorityGrant) -> Authority {
    Authority { kind: grant.kind, units: grant.units.clone(), begins_at: tx.now() }
}

fn grant_entry(customer: CustomerId, caller: &InstitutionCaller, membership: MembershipId, authority: &Authority) -> NewEntry {
    let Authority { kind, units, begins_at } = authority.clone();
    let event = Event::AuthorityGranted { membership, kind: kind.to_string(), units, begins_at };
    NewEntry::new(customer, membership, &caller.actor(), event)
}

/// Invites a person.
#[utoipa::path(post, path = "/api/v1/people", request_body = NewMember,
    responses((status = 201, body = Receipted<MemberView>, description = "A member; the invitation is on its way.")))]
pub(super) async fn invite_person(
    State(app): State<App>,
    caller: InstitutionCaller,
    Json(new): Json<NewMember>,
) -> Result<Created<Receipted<MemberView>>> {
    let customer = caller.customer();
    let mut tx = app.db.write(Role::App, "invite_person", Lock::Heads, caller.log(), &[]).await?;
    let needs = needs_over(new.authority.iter().map(|grant| grant.units.as_ref()));
    let by = signatory(&mut tx, &caller, AuthorityKind::People, &needs).await?;
    let mut faults = Faults::default();
    let own = store::own_customer(tx.conn()).await?;
    membership_until(new.role == CustomerRole::Auditor, new.until_on, tx.now().date_in(own.zone), &mut faults);
    if new.role != CustomerRole::CustomerAdmin && !new.authority.is_empty() {
        faults.add_at("authority", "role", "only a customer_admin can have authority");
    }
    check_grants(&mut tx, customer, &new.authority, &mut faults, &Pointer::default().at("authority")).await?;
    faults.check()?;
    let (person, has_password) = store::person_for_invitation(&mut tx, &new.email, &new.name).await?;
    let id = store::insert_membership(&mut tx, Enroller::Person(by), customer, (person, &new.name), new.role, new.until_on).await?;
    let event = Event::MembershipBegan { membership: id, person, role: new.role.to_string(), until_on: new.until_on };
    let mut entries = vec![NewEntry::new(customer, id, &caller.actor(), event)];
    for grant in &new.authority {
        let authority = granted(&tx, grant);
        store::insert_authority(&mut tx, by, customer, id, &authority).await?;
        entries.push(grant_entry(customer, &caller, id, &authority));
    }
    welcome(&mut tx, (customer, &own.name), (person, has_password), new.email, id.uuid()).await?;
    let body = format!("A person was invited to your institution: membership {id}, role {}.", new.role);
    tell_people(&mut tx, customer, by.membership(), id.uuid(), body).await?;
    done(tx, customer, id, entries).await
}

async fn done(mut tx: WriteTx, customer: CustomerId, id: MembershipId, entries: Vec<NewEntry>) -> Result<Created<Receipted<MemberView>>> {
    let view = store::member(tx.conn(), customer, id).await?.into();
    let receipt = commit(tx, entries).await?.pop().ok_or_else(|| Error::internal("an entry without its receipt"))?;
    Ok(Created::at(format!("/api/v1/people/{id}"), Receipted { value: view, receipt }))
}

/// Demands that somebody else can grant now: a customer must not lock itself out.
async fn leaves_somebody(tx: &mut WriteTx, customer: CustomerId, id: MembershipId) -> Result<()> {
    let (now, zone) = (tx.now(), store::own_customer(tx.conn()).await?.zone);
    if store::people_elsewhere(tx.conn(), customer, id, (now, now.date_in(zone))).await? {
        return Ok(());
    }
    Err(Error::conflict(
        "last_people_authority",
        "Nobody else can grant authority now: give authority over people to another person, who logs in, first.",
    ))
}

async fn as_people_signatory(tx: &mut WriteTx, caller: &InstitutionCaller, held: &[Authority]) -> Result<Signatory> {
    let needs = needs_over(held.iter().map(|a| a.units.as_ref()));
    signatory(tx, caller, AuthorityKind::People, &needs).await
}

/// Ends a membership, with all its authority.
#[utoipa::path(post, path = "/api/v1/people/{membership_id}/endings", params(("membership_id" = MembershipId, Path, description = "The membership.")),
    request_body = NewEnding, responses((status = 201, body = Receipted<MemberView>, description = "Ended, from the next request on.")))]
pub(super) async fn end_membership(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId(id): PathId<MembershipId>,
    Json(NewEnding {}): Json<NewEnding>,
) -> Result<Created<Receipted<MemberView>>> {
    let customer = caller.customer();
    let mut tx = app.db.write(Role::App, "end_membership", Lock::Heads, caller.log(), &[]).await?;
    let member = store::member(tx.conn(), customer, id).await?;
    let by = as_people_signatory(&mut tx, &caller, &member.authority).await?;
    if member.ended_at.is_some() {
        return Err(Error::conflict("already_ended", "The membership was ended before."));
    }
    if member.authority.iter().any(|a| a.kind == AuthorityKind::People) {
        leaves_somebody(&mut tx, customer, id).await?;
    }
    store::end_membership(&mut tx, by, customer, id).await?;
    let body = format!("A membership of your institution was ended: {id}.");
    tell_people(&mut tx, customer, by.membership(), id.uuid(), body).await?;
    let entries = vec![NewEntry::new(customer, id, &caller.actor(), Event::MembershipEnded { membership: id })];
    done(tx, customer, id, entries).await
}

/// Confirms the authority of a member whose account was recovered: it holds again.
#[utoipa::path(post, path = "/api/v1/people/{membership_id}/confirmations", params(("membership_id" = MembershipId, Path, description = "The membership.")),
    request_body = NewAuthorityConfirmation, responses((status = 201, body = Receipted<MemberView>, description = "Confirmed.")))]
pub(super) async fn confirm_authority(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId(id): PathId<MembershipId>,
    Json(NewAuthorityConfirmation {}): Json<NewAuthorityConfirmation>,
) -> Result<Created<Receipted<MemberView>>> {
    let customer = caller.customer();
    let mut tx = app.db.write(Role::App, "confirm_authority", Lock::Heads, caller.log(), &[]).await?;
    let member = store::member(tx.conn(), customer, id).await?;
    let by = as_people_signatory(&mut tx, &caller, &member.authority).await?;
    let now = tx.now();
    if member.ended_at.is_some() || store::confirm_authority(tx.conn(), customer, id, Some(by), now).await? == 0 {
        return Err(Error::conflict("not_suspended", "The member's authority is not suspended."));
    }
    let body = format!("The authority of the member {id} of your institution was confirmed: it holds again.");
    tell_people(&mut tx, customer, by.membership(), id.uuid(), body).await?;
    let entries = vec![NewEntry::new(customer, id, &caller.actor(), Event::AuthorityConfirmed { membership: id })];
    done(tx, customer, id, entries).await
}

/// Grants authority to a member.
#[utoipa::path(post, path = "/api/v1/people/{membership_id}/authorities", params(("membership_id" = MembershipId, Path, description = "The membership.")),
    request_body = AuthorityGrant, responses((status = 201, body = Receipted<MemberView>, description = "Granted.")))]
pub(super) async fn grant_authority(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId(id): PathId<MembershipId>,
    Json(grant): Json<AuthorityGrant>,
) -> Result<Created<Receipted<MemberView>>> {
    let customer = caller.customer();
    let mut tx = app.db.write(Role::App, "grant_authority", Lock::Heads, caller.log(), &[]).await?;
    let member = store::member(tx.conn(), customer, id).await?;
    let by = signatory(&mut tx, &caller, AuthorityKind::People, &needs_over([grant.units.as_ref()])).await?;
    let mut faults = Faults::default();
    check_units(&mut tx, customer, &grant, &mut faults, &Pointer::default()).await?;
    faults.check()?;
    if member.ended_at.is_some() || member.role != CustomerRole::CustomerAdmin {
        return Err(Error::conflict("not_a_customer_admin", "Only a present customer_admin can have authority."));
    }
    let authority = granted(&tx, &grant);
    store::insert_authority(&mut tx, by, customer, id, &authority).await?;
    let body = format!("Authority was granted at your institution: {} to membership {id}.", grant.kind);
    tell_people(&mut tx, customer, by.membership(), id.uuid(), body).await?;
    let entries = vec![grant_entry(customer, &caller, id, &authority)];
    done(tx, customer, id, entries).await
}

/// Takes authority of a kind back from a member. What was signed with it stays.
#[utoipa::path(post, path = "/api/v1/people/{membership_id}/authorities/{kind}/endings",
    params(("membership_id" = MembershipId, Path, description = "The membership."), ("kind" = inline(AuthorityKind), Path, description = "For what.")),
    request_body = NewEnding, responses((status = 201, body = Receipted<MemberView>, description = "Taken back.")))]
pub(super) async fn end_authority(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId((id, kind)): PathId<(MembershipId, AuthorityKind)>,
    Json(NewEnding {}): Json<NewEnding>,
) -> Result<Created<Receipted<MemberView>>> {
    let customer = caller.customer();
    let mut tx = app.db.write(Role::App, "end_authority", Lock::Heads, caller.log(), &[]).await?;
    let member = store::member(tx.conn(), customer, id).await?;
    let ending: Vec<Authority> = member.authority.into_iter().filter(|a| a.kind == kind).collect();
    let by = as_people_signatory(&mut tx, &caller, &ending).await?;
    if kind == AuthorityKind::People {
        leaves_somebody(&mut tx, customer, id).await?;
    }
    store::end_authority(&mut tx, by, customer, id, kind).await?;
    let body = format!("Authority was taken back at your institution: {kind} from membership {id}.");
    tell_people(&mut tx, customer, by.membership(), id.uuid(), body).await?;
    let event = Event::AuthorityEnded { membership: id, kind: kind.to_string() };
    let entries = vec![NewEntry::new(customer, id, &caller.actor(), event)];
    done(tx, customer, id, entries).await
}
