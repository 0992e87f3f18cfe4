//! A report of all decisions of a period, as CSV: too long for a page, so it is slow work. It reads
//! the log from its beginning in steps, each in a transaction of its own; entries never change, and a
//! period that has passed gets no more of them, so the steps are of one piece.

use axum::extract::State;
use futures_util::future::BoxFuture;

use super::read::DecisionView;
use crate::app::App;
use crate::base::{Error, Instant, Order, PageQuery, Result, TypedId, from_value, to_value};
use crate::db::{LogId, Role};
use crate::export::store::read::{DecisionFilter, decisions};
use crate::http::{Columns, Json};
use crate::identity::InstitutionCaller;
use crate::operation::{Accepted, Finished, OperationView, Running, Work, begin};

/// The slow work of this feature.
pub const WORK: (&str, Work) = (KIND, report);

const KIND: &str = "decision-report";

crate::request! {
    /// A report of the decisions of a period.
    pub struct NewDecisionReport {
        /// The first instant of the period.
        from_at: Instant,
        /// The first instant after it, not in the future.
        until_at: Instant,
    }
}

/// Asks for a report of all decisions of a period, as CSV.
///
/// Permits, refusals, redemptions and dry runs, in the log's order, without subjects. The answer is
/// an operation that shows progress and then the result.
#[utoipa::path(post, path = "/api/v1/decision-reports", request_body = NewDecisionReport,
    responses((status = 202, body = OperationView, description = "Accepted; Location is the operation.")))]
pub(super) async fn create_decision_report(
    State(app): State<App>,
    caller: InstitutionCaller,
    Json(new): Json<NewDecisionReport>,
) -> Result<Accepted> {
    let mut tx = app.db.housekeeping(Role::App, "create_decision_report", caller.log()).await?;
    if new.until_at > tx.now() {
        return Err(Error::invalid("until_at", "range", "must not lie in the future"));
    }
    if new.from_at >= new.until_at {
        return Err(Error::invalid("from_at", "range", "must lie before until_at"));
    }
    let request = serde_json::json!({"from_at": new.from_at, "until_at": new.until_at});
    let view = begin(&app, &mut tx, &caller, KIND, request).await?;
    tx.commit_effect().await?;
    Ok(Accepted(view))
}

#[derive(serde::Deserialize)]
struct Period {
    from_at: Instant,
    until_at: Instant,
}

fn report<'a>(app: &'a App, running: &'a mut Running) -> BoxFuture<'a, Result<Finished>> {
    Box::pin(async move {
        let Period { from_at, until_at } = from_value(&running.request).map_err(Error::internal)?;
        let filter = DecisionFilter { from_at: Some(from_at), until_at: Some(until_at), ..DecisionFilter::default() };
        let columns = Columns::of_type::<DecisionView>();
        let (mut cursor, mut done, mut text) = (None::<String>, 0, columns.heading()?);
        loop {
            let page = PageQuery::read(Some("100"), cursor.as_deref(), KIND, Order::Id)?;
            let mut read = app.db.read(Role::Worker, "decision_report", LogId::from(running.customer)).await?;
            let rows = decisions(read.conn(), running.customer, &filter, Some(&page)).await?;
            drop(read);
            let page = page.page(rows, |row| row.id.uuid());
            let views = page.data.into_iter().map(|row| DecisionView::of(row).map(|view| to_value(&view)));
            let views = views.collect::<Result<Vec<_>>>()?;
            done += i64::try_from(views.len()).map_err(Error::internal)?;
            text.extend(columns.rows(&views)?);
            running.write(app, &text, done).await?;
            text.clear();
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(Finished { media_type: "text/csv; charset=utf-8; header=present" });
            }
        }
    })
}
