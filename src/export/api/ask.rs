//! `POST /gate/v1/exports`: may this leave? Shape and values are checked here; whether it may
//! leave is decided under the customer's head. A request for nobody's customer is refused too, and
//! recorded in the platform's log.

use axum::extract::State;
use axum::response::Response;
use serde_json::json;

use super::answer::{DryRunView, PermitView, answer, hashes, refused, replayed};
use crate::app::App;
use crate::base::{Code, Digest, Error, Faults, Name, Note, Recipient, Reference, Result, Selector, Volume, to_value};
use crate::db::{Lock, LogId, Role, WriteTx};
use crate::evidence::{Cause, Event, ExportRequest, GateKey, NewEntry, Reason, ReasonCode, RequestedBy, answered, commit_one};
use crate::export::decide::Refusal;
use crate::export::gate::{self, Ask, Asked, Mode};
use crate::export::{store, touch};
use crate::http::{IdempotencyKey, Json, ProblemBody};
use crate::identity::PlatformCaller;

crate::request! {
    /// To whom the data would be handed out.
    pub struct ExportRecipient {
        /// The legal entity's name.
        legal_entity: Name,
        /// Its country, ISO 3166-1 alpha-2.
        country: Code,
        /// What it is to the customer.
        role: Code,
        /// The ground of a transfer to a third country (GDPR Art. 45 to 49), if it is one.
        transfer_ground: Option<Note>,
        /// Its engagement, if it is a sub-processor.
        engagement: Option<Reference>,
    }
}

crate::request! {
    /// What a platform asks to hand out.
    pub struct NewExport {
        /// The customer: the platform's own name for it, or its id here.
        customer: Reference,
        /// The platform: the key's own.
        platform: Code,
        /// The way the data would leave.
        channel: Code,
        /// The purpose.
        purpose: Code,
        /// The categories of data, at least one.
        data_categories: std::collections::BTreeSet<Code>,
        /// Whose data, at least one selector.
        subjects: Vec<Selector>,
        /// To whom.
        recipient: ExportRecipient,
        /// How much, at most; a dimension that the instruction limits must be stated.
        volume: Option<Volume>,
        /// Who stands behind the request.
        requested_by: RequestedBy,
        /// True to be answered without a permit; recorded as a dry run.
        dry_run: Option<bool>,
        /// `single` on channels where each click is an export (lti, plugin-rest): the permit is redeemed
        /// at once and the whole of it may leave as one chunk. `chunked` when absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        mode: Option<ExportMode>,
    }
}

crate::words! {
    /// How an export is handed out.
    pub enum ExportMode {
        /// A permit is issued, redeemed, and each chunk asked for.
        Chunked = "chunked",
        /// All of it in this call.
        Single = "single",
    }
}

/// Where each click is an export. On any other channel one answer would let out what is handed out
/// over minutes, and nothing could stop it any more.
const SINGLE_CHANNELS: [&str; 2] = ["lti", "plugin-rest"];

fn check(caller: &PlatformCaller, body: &NewExport) -> Result<()> {
    let mut faults = Faults::default();
    if body.platform != caller.platform {
        faults.add_at("platform", "not_your_platform", "is not the platform this key is bound to");
    }
    if body.data_categories.is_empty() {
        faults.add_at("data_categories", "too_few", "must name at least one category");
    }
    if body.subjects.is_empty() {
        faults.add_at("subjects", "too_few", "must have at least one selector");
    }
    if body.mode == Some(ExportMode::Single) && !SINGLE_CHANNELS.contains(&body.channel.as_str()) {
        faults.add_at("mode", "not_for_this_channel", "single is for the channels lti and plugin-rest");
    }
    faults.check()
}

/// Asks whether an export may be made.
///
/// Answers 201 with a permit, 200 for a dry run that would be permitted, or 403 with every reason.
/// Each decision is recorded in the customer's log.
#[utoipa::path(post, path = "/gate/v1/exports", params(("Idempotency-Key" = String, Header, description = "One key per export, 1 to 255 visible ASCII characters")),
    request_body = NewExport,
    responses((status = 201, body = PermitView, description = "Permitted."), (status = 200, body = DryRunView, description = "A dry run that would be permitted."),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Refused, with every reason.")))]
pub(super) async fn ask_export(
    State(app): State<App>,
    caller: PlatformCaller,
    key: IdempotencyKey,
    Json(body): Json<NewExport>,
) -> Result<Response> {
    let hashes = hashes(&key, &to_value(&body));
    check(&caller, &body)?;
    let mut read = app.db.read(Role::Gate, "customer_named", LogId::REGISTRY).await?;
    let found = store::customer_named(read.conn(), &caller.platform, body.customer.as_str()).await?;
    drop(read);
    let customer = match found {
        Some(customer) => customer,
        None => {
            touch::nobody(&app, &caller, body.customer.as_str(), Some(&body.requested_by));
            let mut tx = platform_head(&app, &caller).await?;
            // Whoever names a customer to the platform holds this head: it was before us, or it waits.
            match store::customer_named(tx.conn(), &caller.platform, body.customer.as_str()).await? {
                Some(customer) => customer,
                None => return refuse_unknown(&app, &caller, tx, to_value(&body), ("exports", hashes), ReasonCode::AgreementMissing).await,
            }
        }
    };
    let NewExport { recipient, .. } = body;
    let request = ExportRequest {
        platform: body.platform,
        channel: body.channel,
        purpose: body.purpose,
        data_categories: body.data_categories,
        subjects: body.subjects,
        recipient: Recipient {
            legal_entity: recipient.legal_entity,
            country: recipient.country,
            role: recipient.role,
            transfer_ground: recipient.transfer_ground,
        },
        engagement: recipient.engagement,
        volume: body.volume.unwrap_or_default(),
        requested_by: body.requested_by,
    };
    let mode = match (body.dry_run, body.mode) {
        (Some(true), _) => Mode::DryRun,
        (_, Some(ExportMode::Single)) => Mode::Single,
        _ => Mode::Chunked,
    };
    let ask = Ask::Export { request: Box::new(request), mode };
    let asked = Asked { caller, customer_named: body.customer, ask, hashes };
    answer(gate::answer(&app, customer, &asked).await?)
}

/// Begins a write to the log of the caller's platform.
pub(super) async fn platform_head(app: &App, caller: &PlatformCaller) -> Result<WriteTx> {
    let mut read = app.db.read(Role::Gate, "platform_log", LogId::REGISTRY).await?;
    let log = crate::registry::platform_log(read.conn(), &caller.platform).await?;
    drop(read);
    app.db.write(Role::Gate, "gate_unknown", Lock::RegistryShared, log, &[]).await
}

/// Refuses a request that belongs to no customer: recorded in the platform's log, without its
/// subjects. What is recorded is limited per key; a repeated answer records nothing.
pub(super) async fn refuse_unknown(
    app: &App,
    caller: &PlatformCaller,
    mut tx: WriteTx,
    mut request: serde_json::Value,
    (route, hashes): (&'static str, (Digest, Digest)),
    code: ReasonCode,
) -> Result<Response> {
    let log = tx.home();
    let reasons = vec![Reason { code, cause: Cause::Nothing }];
    let refusal = Refusal { reasons: reasons.clone(), more_candidates: false };
    if let Some(stored) = answered(tx.conn(), log, &caller.platform, route, hashes.0).await? {
        if stored.request_hash != Some(hashes.1) {
            return Err(Error::invalid("Idempotency-Key", "key_reused", "was used for another request"));
        }
        let name = tx.head(log)?.name.clone();
        return Ok(replayed(true, refused(&refusal, &stored.receipt(&name))));
    }
    if app.unknown_limit.check_key(&caller.key).is_err() {
        return Err(Error::TooMany(1));
    }
    if let Some(members) = request.as_object_mut() {
        let count = members.get("subjects").and_then(|s| s.as_array()).map_or(0, Vec::len);
        members.insert("subjects".to_owned(), json!({"count": count}));
    }
    let event = Event::UnknownRefused { request, reasons, api_key: caller.key };
    let gate = GateKey { platform: caller.platform.clone(), route, hashes: Some(hashes) };
    let receipt = commit_one(tx, NewEntry::new(log, caller.key, &caller.actor(), event).at_gate(gate)).await?;
    Ok(replayed(false, refused(&refusal, &receipt)))
}
