//! The shadow report: what a platform's dry runs would have been answered, why, and for which
//! customers. A platform goes live in shadow first; this is what its people read before it asks in
//! earnest. For ops; a customer finds its own dry runs among its decisions.

use std::collections::BTreeMap;

use axum::extract::State;
use chrono::Duration;

use crate::app::App;
use crate::base::{Code, CustomerId, Error, Fault, Instant, Name, Page, Result, TypedId};
use crate::db::{LogId, Role};
use crate::evidence::ReasonCode;
use crate::export::advice::advice;
use crate::export::store::shadow::{self, Tally, Window};
use crate::http::{Json, PathId, Query};
use crate::identity::OpsCaller;

/// The longest window of a report.
const LONGEST: Duration = Duration::days(31);

/// A reason of refusal, and how many dry runs it would have refused.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct ReasonCount {
    /// Why.
    pub code: ReasonCode,
    /// What it means.
    pub meaning: &'static str,
    /// Dry runs.
    pub count: i64,
}

/// A channel and its dry runs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct ChannelCount {
    /// The channel as the platform named it.
    pub channel: String,
    /// Dry runs.
    pub tried: i64,
    /// Those that would have been refused.
    pub refused: i64,
}

/// What a platform's dry runs would have been answered.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct ShadowReport {
    /// The platform.
    pub platform: Code,
    /// From when.
    pub from_at: Instant,
    /// Until when, not included.
    pub until_at: Instant,
    /// Dry runs.
    pub tried: i64,
    /// Those that would have been permitted.
    pub permitted: i64,
    /// Those that would have been refused.
    pub refused: i64,
    /// Of those, dry runs under a name that no customer has.
    pub unknown_customer: i64,
    /// By reason; a dry run can have several.
    pub reasons: Vec<ReasonCount>,
    /// By channel.
    pub channels: Vec<ChannelCount>,
}

/// What a platform's dry runs for one customer would have been answered.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct CustomerShadowReport {
    /// The customer.
    pub customer: CustomerId,
    /// Its legal name.
    pub name: Name,
    /// Dry runs.
    pub tried: i64,
    /// Those that would have been permitted.
    pub permitted: i64,
    /// Those that would have been refused.
    pub refused: i64,
    /// By reason; a dry run can have several.
    pub reasons: Vec<ReasonCount>,
    /// By channel.
    pub channels: Vec<ChannelCount>,
}

fn reason_counts(tallies: Vec<Tally>) -> Result<Vec<ReasonCount>> {
    let count = |tally: Tally| {
        let code: ReasonCode = tally.word.parse().map_err(Error::internal)?;
        Ok(ReasonCount { code, meaning: advice(code).0, count: tally.refused })
    };
    tallies.into_iter().map(count).collect()
}

fn channel_counts(tallies: Vec<Tally>) -> Vec<ChannelCount> {
    tallies.into_iter().map(|t| ChannelCount { channel: t.word, tried: t.tried, refused: t.refused }).collect()
}

fn sums(channels: &[ChannelCount]) -> (i64, i64) {
    channels.iter().fold((0, 0), |(tried, refused), channel| (tried + channel.tried, refused + channel.refused))
}

/// The window that a query asks for: the last day, when it does not say.
fn window(platform: Code, query: &mut Query, now: Instant) -> Result<Window> {
    let until = query.optional("until").unwrap_or(now);
    let from = query.optional("from").unwrap_or_else(|| until.plus(-Duration::days(1)));
    if from >= until || until > from.plus(LONGEST) {
        let detail = "must lie before `until`, and at most 31 days before it".to_owned();
        return Err(Error::BadParameters(vec![Fault { pointer: "from".to_owned(), code: "range", detail }]));
    }
    Ok(Window { platform, from, until })
}

/// Shows what a platform's dry runs would have been answered.
///
/// Reads every dry run of the window: keep it as short as the question allows.
#[utoipa::path(get, path = "/api/admin/v1/platforms/{platform}/shadow-report",
    params(("platform" = Code, Path, description = "Its code."),
        ("from" = Option<Instant>, Query, description = "From when; a day before `until` when absent."),
        ("until" = Option<Instant>, Query, description = "Until when, not included; now when absent. At most 31 days after `from`.")),
    responses((status = 200, body = ShadowReport, description = "The totals.")))]
pub(super) async fn get_shadow_report(
    State(app): State<App>,
    _: OpsCaller,
    PathId(platform): PathId<Code>,
    mut query: Query,
) -> Result<Json<ShadowReport>> {
    let mut read = app.db.read(Role::OpsRead, "shadow_report", LogId::REGISTRY).await?;
    crate::registry::platform_log(read.conn(), &platform).await?;
    let window = window(platform, &mut query, read.now())?;
    query.finish()?;
    let of_customers = shadow::channels(read.conn(), &window, None).await?;
    let of_nobody = shadow::nobodys(read.conn(), &window).await?;
    let mut reasons = shadow::reasons(read.conn(), &window, None).await?;
    drop(read);
    let unknown_customer = of_nobody.iter().map(|t| t.tried).sum();
    if unknown_customer > 0 {
        let word = ReasonCode::AgreementMissing.to_string();
        match reasons.iter_mut().find(|tally| tally.word == word) {
            Some(tally) => tally.refused += unknown_customer,
            None => reasons.push(Tally { customer: None, word, tried: unknown_customer, refused: unknown_customer }),
        }
    }
    let mut by_channel: BTreeMap<String, ChannelCount> = BTreeMap::new();
    for count in channel_counts(of_customers.into_iter().chain(of_nobody).collect()) {
        let sum = by_channel.entry(count.channel.clone()).or_insert(ChannelCount { tried: 0, refused: 0, ..count.clone() });
        sum.tried += count.tried;
        sum.refused += count.refused;
    }
    let channels: Vec<ChannelCount> = by_channel.into_values().collect();
    let (tried, refused) = sums(&channels);
    let Window { platform, from, until } = window;
    let reasons = reason_counts(reasons)?;
    let permitted = tried - refused;
    Ok(Json(ShadowReport { platform, from_at: from, until_at: until, tried, permitted, refused, unknown_customer, reasons, channels }))
}

/// Lists what a platform's dry runs would have been answered, customer by customer.
#[utoipa::path(get, path = "/api/admin/v1/platforms/{platform}/shadow-report/customers",
    params(("platform" = Code, Path, description = "Its code."),
        ("from" = Option<Instant>, Query, description = "From when; a day before `until` when absent."),
        ("until" = Option<Instant>, Query, description = "Until when, not included; now when absent. At most 31 days after `from`."),
        ("limit" = Option<u32>, Query, description = "At most this many, 1 to 100 (25)."), ("cursor" = Option<String>, Query, description = "From the page before.")),
    responses((status = 200, body = Page<CustomerShadowReport>, description = "One page of the customers with dry runs, by id.")))]
pub(super) async fn list_shadow_report_customers(
    State(app): State<App>,
    _: OpsCaller,
    PathId(platform): PathId<Code>,
    mut query: Query,
) -> Result<Json<Page<CustomerShadowReport>>> {
    let mut read = app.db.read(Role::OpsRead, "shadow_report_customers", LogId::REGISTRY).await?;
    crate::registry::platform_log(read.conn(), &platform).await?;
    let (from, until): (Option<Instant>, Option<Instant>) = (query.optional("from"), query.optional("until"));
    let window = window(platform, &mut query, read.now())?;
    let page = query.page(&format!("shadow-report:{}:{from:?}:{until:?}", window.platform))?;
    let Page { data, next_cursor } = page.page(shadow::customers(read.conn(), &window, &page).await?, |(id, _)| id.uuid());
    let ids: Vec<CustomerId> = data.iter().map(|(id, _)| *id).collect();
    let (mut channels, mut reasons): (BTreeMap<_, Vec<Tally>>, BTreeMap<_, Vec<Tally>>) = (BTreeMap::new(), BTreeMap::new());
    for tally in shadow::channels(read.conn(), &window, Some(&ids)).await? {
        channels.entry(tally.customer).or_default().push(tally);
    }
    for tally in shadow::reasons(read.conn(), &window, Some(&ids)).await? {
        reasons.entry(tally.customer).or_default().push(tally);
    }
    let mut views = Vec::with_capacity(data.len());
    for (customer, name) in data {
        let channels = channel_counts(channels.remove(&Some(customer)).unwrap_or_default());
        let reasons = reason_counts(reasons.remove(&Some(customer)).unwrap_or_default())?;
        let (tried, refused) = sums(&channels);
        views.push(CustomerShadowReport { customer, name, tried, permitted: tried - refused, refused, reasons, channels });
    }
    Ok(Json(Page { data: views, next_cursor }))
}
