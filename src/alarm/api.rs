//! What ops reads of alarms: each with its counts and what is normal, and the customers that its
//! subject has touched, which is where a breach's list of the affected begins.

use axum::extract::State;

use super::model::{Level, SubjectKind};
use super::store::{self, AlarmRow};
use crate::app::App;
use crate::base::{AlarmId, Code, CustomerId, Error, Instant, Name, Page, Result, TypedId};
use crate::db::{LogId, Role};
use crate::http::{Access, ETag, Json, OpsRole, PathId, Query, Route, routes as http};
use crate::identity::OpsCaller;

/// An alarm of unusual activity at the gate.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct AlarmView {
    /// Its id.
    pub id: AlarmId,
    /// What kind of subject it is about.
    pub kind: SubjectKind,
    /// The key's id, or the SHA-256 of the pseudonymous reference with its platform.
    pub subject: String,
    /// The platform that asked.
    pub platform: Code,
    /// How far above normal.
    pub level: Level,
    /// Different customers that were asked for; names that no customer has count too.
    pub customers: i64,
    /// Records that were asked for.
    pub rows: i64,
    /// Customers in an hour that were normal.
    pub normal_customers: i64,
    /// Records in an hour that were normal.
    pub normal_rows: i64,
    /// From when was counted.
    pub since_at: Instant,
    /// When it was raised.
    pub raised_at: Instant,
}

impl TryFrom<AlarmRow> for AlarmView {
    type Error = Error;
    fn try_from(row: AlarmRow) -> Result<Self> {
        Ok(Self {
            id: row.id,
            kind: row.kind.parse().map_err(Error::internal)?,
            subject: row.subject,
            platform: row.platform,
            level: row.level.parse().map_err(Error::internal)?,
            customers: row.customers,
            rows: row.rows,
            normal_customers: row.normal_customers,
            normal_rows: row.normal_rows,
            since_at: row.since_at,
            raised_at: row.raised_at,
        })
    }
}

/// A customer that the subject of an alarm has touched.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct TouchedCustomer {
    /// The customer.
    pub customer: CustomerId,
    /// Its legal name.
    pub name: Name,
}

/// All routes of this feature.
#[must_use]
pub fn routes() -> Vec<Route> {
    const READERS: Access = Access::admin(OpsRole::ALL);
    vec![Route::new(READERS, http!(list_alarms)), Route::new(READERS, http!(get_alarm)), Route::new(READERS, http!(list_alarm_customers))]
}

async fn alarm(app: &App, id: AlarmId) -> Result<AlarmRow> {
    let mut tx = app.db.read(Role::OpsRead, "get_alarm", LogId::PROCESSOR).await?;
    store::alarms(tx.conn(), Some(id), None).await?.into_iter().next().ok_or(Error::NotFound)
}

/// Lists alarms of unusual activity, oldest first.
#[utoipa::path(get, path = "/api/admin/v1/alarms",
    params(("limit" = Option<u32>, Query, description = "At most this many, 1 to 100 (25)."), ("cursor" = Option<String>, Query, description = "From the page before.")),
    responses((status = 200, body = Page<AlarmView>, description = "One page.")))]
async fn list_alarms(State(app): State<App>, _: OpsCaller, query: Query) -> Result<Json<Page<AlarmView>>> {
    let page = query.page("alarms")?;
    let mut tx = app.db.read(Role::OpsRead, "list_alarms", LogId::PROCESSOR).await?;
    let Page { data, next_cursor } = page.page(store::alarms(tx.conn(), None, Some(&page)).await?, |row| row.id.uuid());
    let data = data.into_iter().map(AlarmView::try_from).collect::<Result<_>>()?;
    Ok(Json(Page { data, next_cursor }))
}

/// Shows an alarm.
#[utoipa::path(get, path = "/api/admin/v1/alarms/{alarm_id}", params(("alarm_id" = AlarmId, Path, description = "The alarm.")),
    responses((status = 200, body = AlarmView, description = "The alarm.")))]
async fn get_alarm(State(app): State<App>, _: OpsCaller, PathId(id): PathId<AlarmId>) -> Result<(ETag, Json<AlarmView>)> {
    let view = AlarmView::try_from(alarm(&app, id).await?)?;
    Ok((ETag::of(&view), Json(view)))
}

/// Lists the customers that the subject of an alarm has touched.
///
/// From an hour before the alarm to an hour after it; known for thirty days.
#[utoipa::path(get, path = "/api/admin/v1/alarms/{alarm_id}/customers",
    params(("alarm_id" = AlarmId, Path, description = "The alarm."), ("limit" = Option<u32>, Query, description = "At most this many, 1 to 100 (25)."), ("cursor" = Option<String>, Query, description = "From the page before.")),
    responses((status = 200, body = Page<TouchedCustomer>, description = "One page, by id.")))]
async fn list_alarm_customers(
    State(app): State<App>,
    _: OpsCaller,
    PathId(id): PathId<AlarmId>,
    query: Query,
) -> Result<Json<Page<TouchedCustomer>>> {
    let page = query.page(&format!("alarm-customers:{id}"))?;
    let alarm = alarm(&app, id).await?;
    let mut tx = app.db.read(Role::OpsRead, "list_alarm_customers", LogId::PROCESSOR).await?;
    let rows = store::touched(tx.conn(), &alarm, &page).await?;
    let views = rows.into_iter().map(|(customer, name)| TouchedCustomer { customer, name }).collect();
    Ok(Json(page.page(views, |view: &TouchedCustomer| view.customer.uuid())))
}
