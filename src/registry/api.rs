//! Handlers of platforms and their suspensions, on the admin surface only. A suspension stops a
//! platform's gate at once; its release takes two ops persons.

use axum::extract::State;

use super::decide::{Proposal, ReleaseStep, decide_release};
use super::store::{self, PlatformRow, SuspensionRow};
use crate::app::App;
use crate::base::{Code, Instant, Note, OpsPersonId, Page, ReleaseId, Result, SuspensionId, TypedId};
use crate::db::{Lock, LogId, Role};
use crate::evidence::{Event, NewEntry, Receipted, commit_one};
use crate::http::{Access, Created, ETag, Json, OpsRole, PathId, Query, Route, routes};
use crate::identity::{OpsCaller, ops_stepped_up, two_persons};

crate::request! {
    /// A stop of a platform's gate.
    pub struct NewPlatformSuspension {
        /// Why.
        ground: Note,
    }
}

/// A system that holds the personal data.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct PlatformView {
    /// Its code.
    pub code: Code,
    /// The ways in which personal data leaves it.
    pub channels: Vec<Code>,
    /// True while a suspension holds.
    pub suspended: bool,
}

crate::words! {
    /// Where a suspension stands.
    pub enum SuspensionState {
        /// Everything is stopped.
        InForce = "in_force",
        /// One ops person proposed its release; everything is still stopped.
        ReleaseProposed = "release_proposed",
        /// It has ended.
        Released = "released",
    }
}

impl SuspensionState {
    /// The state of a suspension with or without a proposed release and an end.
    #[must_use]
    pub const fn of(proposed: bool, released: bool) -> Self {
        match (proposed, released) {
            (_, true) => Self::Released,
            (true, false) => Self::ReleaseProposed,
            (false, false) => Self::InForce,
        }
    }
}

/// A stop of a platform's gate.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct PlatformSuspensionView {
    /// Its id.
    pub id: SuspensionId,
    /// The platform.
    pub platform: Code,
    /// Where it stands.
    pub state: SuspensionState,
    /// Why.
    pub ground: Note,
    /// Who stopped it.
    pub suspended_by: OpsPersonId,
    /// Since when.
    pub suspended_at: Instant,
    /// The release, proposed or carried out.
    pub release_id: Option<ReleaseId>,
    /// Who proposed it.
    pub release_proposed_by: Option<OpsPersonId>,
    /// When.
    pub release_proposed_at: Option<Instant>,
    /// The second ops person.
    pub released_by: Option<OpsPersonId>,
    /// When the suspension ended.
    pub released_at: Option<Instant>,
}

impl From<PlatformRow> for PlatformView {
    fn from(row: PlatformRow) -> Self {
        Self { code: row.code, channels: row.channels, suspended: row.suspended }
    }
}

impl From<SuspensionRow> for PlatformSuspensionView {
    fn from(row: SuspensionRow) -> Self {
        let state = SuspensionState::of(row.proposal().is_some(), row.released_at.is_some());
        Self {
            id: row.id,
            platform: row.platform,
            state,
            ground: row.ground,
            suspended_by: row.suspended_by,
            suspended_at: row.suspended_at,
            release_id: row.release_id,
            release_proposed_by: row.release_proposed_by,
            release_proposed_at: row.release_proposed_at,
            released_by: row.released_by,
            released_at: row.released_at,
        }
    }
}

const SECURITY: &[OpsRole] = &[OpsRole::OpsSecurity];
const RELEASING: &[OpsRole] = &[OpsRole::OpsSecurity, OpsRole::OpsAdmin, OpsRole::OpsPrivacy];

/// The routes of platforms.
#[must_use]
pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Access::admin(OpsRole::ALL), routes!(list_platforms)),
        Route::new(Access::admin(OpsRole::ALL), routes!(get_platform)),
        Route::new(Access::admin_session(SECURITY), routes!(suspend_platform)).while_unconfirmed(),
        Route::new(Access::admin(OpsRole::ALL), routes!(list_platform_suspensions)),
        Route::new(Access::admin(OpsRole::ALL), routes!(get_platform_suspension)),
        Route::new(Access::admin_session(RELEASING), routes!(release_platform)),
    ]
}

/// Lists the platforms.
#[utoipa::path(get, path = "/api/admin/v1/platforms",
    params(("limit" = Option<u32>, Query, description = "At most this many, 1 to 100 (25)."), ("cursor" = Option<String>, Query, description = "From the page before.")),
    responses((status = 200, body = Page<PlatformView>, description = "One page.")))]
async fn list_platforms(State(app): State<App>, _: OpsCaller, query: Query) -> Result<Json<Page<PlatformView>>> {
    let page = query.page("platforms")?;
    let mut tx = app.db.read(Role::OpsRead, "list platforms", LogId::REGISTRY).await?;
    let Page { data, next_cursor } = page.page(store::platforms(tx.conn(), &page).await?, |row| row.log_id);
    Ok(Json(Page { data: data.into_iter().map(PlatformView::from).collect(), next_cursor }))
}

/// Shows a platform.
#[utoipa::path(get, path = "/api/admin/v1/platforms/{platform}", params(("platform" = Code, Path, description = "Its code.")),
    responses((status = 200, body = PlatformView, description = "The platform.")))]
async fn get_platform(State(app): State<App>, _: OpsCaller, PathId(platform): PathId<Code>) -> Result<(ETag, Json<PlatformView>)> {
    let mut tx = app.db.read(Role::OpsRead, "show platform", LogId::REGISTRY).await?;
    let view = PlatformView::from(store::platform(tx.conn(), &platform).await?);
    Ok((ETag::of(&view), Json(view)))
}

/// Stops a platform's gate at once.
///
/// Every export by the platform is refused from the next decision on, for every customer.
#[utoipa::path(post, path = "/api/admin/v1/platforms/{platform}/suspensions", params(("platform" = Code, Path, description = "Its code.")),
    request_body = NewPlatformSuspension,
    responses((status = 201, body = Receipted<PlatformSuspensionView>, description = "Stopped.")))]
async fn suspend_platform(
    State(app): State<App>,
    caller: OpsCaller,
    PathId(platform): PathId<Code>,
    Json(new): Json<NewPlatformSuspension>,
) -> Result<Created<Receipted<PlatformSuspensionView>>> {
    let by = caller.person()?;
    let mut tx = app.db.write(Role::Ops, "suspend platform", Lock::RegistryAlone, LogId::REGISTRY, &[]).await?;
    store::platform(tx.conn(), &platform).await?;
    let id = store::suspend(&mut tx, &platform, &new.ground, by).await?;
    let view = PlatformSuspensionView::from(store::suspension(tx.conn(), &platform, id).await?);
    let event = Event::PlatformSuspended { suspension: id, platform, ground: new.ground };
    let receipt = commit_one(tx, NewEntry::new(LogId::REGISTRY, id, &caller.actor(), event)).await?;
    Ok(Created::at(format!("/api/admin/v1/platforms/{}/suspensions/{id}", view.platform), Receipted { value: view, receipt }))
}

/// Lists a platform's suspensions.
#[utoipa::path(get, path = "/api/admin/v1/platforms/{platform}/suspensions",
    params(("platform" = Code, Path, description = "Its code."),
        ("limit" = Option<u32>, Query, description = "At most this many, 1 to 100 (25)."), ("cursor" = Option<String>, Query, description = "From the page before.")),
    responses((status = 200, body = Page<PlatformSuspensionView>, description = "One page.")))]
async fn list_platform_suspensions(
    State(app): State<App>,
    _: OpsCaller,
    PathId(platform): PathId<Code>,
    query: Query,
) -> Result<Json<Page<PlatformSuspensionView>>> {
    let page = query.page(&format!("platform-suspensions:{platform}"))?;
    let mut tx = app.db.read(Role::OpsRead, "list platform suspensions", LogId::REGISTRY).await?;
    store::platform(tx.conn(), &platform).await?;
    let rows = store::suspensions(tx.conn(), &platform, &page).await?;
    let Page { data, next_cursor } = page.page(rows, |row| row.id.uuid());
    Ok(Json(Page { data: data.into_iter().map(PlatformSuspensionView::from).collect(), next_cursor }))
}

/// Shows a suspension of a platform.
#[utoipa::path(get, path = "/api/admin/v1/platforms/{platform}/suspensions/{suspension_id}",
    params(("platform" = Code, Path, description = "Its code."), ("suspension_id" = SuspensionId, Path, description = "The suspension.")),
    responses((status = 200, body = PlatformSuspensionView, description = "The suspension.")))]
async fn get_platform_suspension(
    State(app): State<App>,
    _: OpsCaller,
    PathId((platform, id)): PathId<(Code, SuspensionId)>,
) -> Result<(ETag, Json<PlatformSuspensionView>)> {
    let mut tx = app.db.read(Role::OpsRead, "show platform suspension", LogId::REGISTRY).await?;
    let view = PlatformSuspensionView::from(store::suspension(tx.conn(), &platform, id).await?);
    Ok((ETag::of(&view), Json(view)))
}

/// Proposes or carries out the release of a platform.
///
/// The first call, by `ops_security`, proposes; a call by another ops person releases. Both with
/// step-up, and neither by somebody who joined the staff within the last 72 hours.
#[utoipa::path(post, path = "/api/admin/v1/platforms/{platform}/suspensions/{suspension_id}/releases",
    params(("platform" = Code, Path, description = "Its code."), ("suspension_id" = SuspensionId, Path, description = "The suspension.")),
    responses((status = 201, body = Receipted<PlatformSuspensionView>, description = "Proposed or released: see `state`.")))]
async fn release_platform(
    State(app): State<App>,
    caller: OpsCaller,
    PathId((platform, id)): PathId<(Code, SuspensionId)>,
) -> Result<Created<Receipted<PlatformSuspensionView>>> {
    let mut tx = app.db.write(Role::Ops, "release platform", Lock::RegistryAlone, LogId::REGISTRY, &[]).await?;
    let found = store::suspension(tx.conn(), &platform, id).await?;
    let by = ops_stepped_up(&mut tx, &caller).await?;
    let is_security = caller.role == OpsRole::OpsSecurity;
    let event = match decide_release(found.proposal(), found.released_at.is_some(), by, is_security)? {
        ReleaseStep::Propose => {
            let release = store::propose_release(&mut tx, id, by).await?;
            Event::PlatformReleaseProposed { suspension: id, release }
        }
        ReleaseStep::Carry(Proposal { release, by: first, at }) => {
            two_persons(&mut tx, (first, at), by).await?;
            store::release(&mut tx, id, by).await?;
            Event::PlatformReleased { suspension: id, release }
        }
    };
    let view = PlatformSuspensionView::from(store::suspension(tx.conn(), &platform, id).await?);
    let receipt = commit_one(tx, NewEntry::new(LogId::REGISTRY, id, &caller.actor(), event)).await?;
    Ok(Created::at(format!("/api/admin/v1/platforms/{platform}/suspensions/{id}"), Receipted { value: view, receipt }))
}
