//! `POST /gate/v1/exports/{export_id}/redemptions`: a permit is used, once. A full decision again
//! on fresh facts; a replayed, borrowed, altered or expired permit is refused and recorded.

use axum::extract::State;
use axum::response::Response;
use serde_json::json;

use super::answer::{RedemptionView, answer, hashes};
use super::ask::{platform_head, refuse_unknown};
use crate::app::App;
use crate::base::{BadText, CustomerId, ExportId, Reference, Result};
use crate::db::{LogId, Role};
use crate::evidence::ReasonCode;
use crate::export::gate::{self, Ask, Asked};
use crate::export::{PermitKeySet, SignedPermit, permit_keys, store, touch};
use crate::http::{IdempotencyKey, Json, PathId, ProblemBody};
use crate::identity::PlatformCaller;

/// The text of a permit; whether it is ours is decided, not parsed.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(transparent)]
pub struct PermitText(String);

impl std::str::FromStr for PermitText {
    type Err = BadText;
    fn from_str(text: &str) -> Result<Self, BadText> {
        let printable = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        if printable { Ok(Self(text.to_owned())) } else { Err(BadText("must be a permit as it was answered")) }
    }
}
impl utoipa::PartialSchema for PermitText {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        String::schema()
    }
}
impl utoipa::ToSchema for PermitText {}
impl crate::base::Decode for PermitText {
    fn decode(value: &serde_json::Value, at: &crate::base::Pointer, faults: &mut crate::base::Faults) -> Option<Self> {
        let text = value.as_str().and_then(|t| t.parse().ok());
        if text.is_none() {
            faults.add(at, "permit", "must be the text of a permit as it was answered");
        }
        text
    }
}

crate::request! {
    /// A permit to be redeemed.
    pub struct NewRedemption {
        /// The permit, as it was answered.
        permit: PermitText,
    }
}

/// Redeems a permit.
///
/// Exactly one redemption of a permit succeeds. The same key and body repeats the answer; any other
/// key is refused.
#[utoipa::path(post, path = "/gate/v1/exports/{export_id}/redemptions",
    params(("export_id" = ExportId, Path, description = "The export"), ("Idempotency-Key" = String, Header, description = "One key per redemption")),
    request_body = NewRedemption,
    responses((status = 201, body = RedemptionView, description = "What may leave now."),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Refused, with every reason.")))]
pub(super) async fn redeem_permit(
    State(app): State<App>,
    caller: PlatformCaller,
    PathId(export): PathId<ExportId>,
    key: IdempotencyKey,
    Json(body): Json<NewRedemption>,
) -> Result<Response> {
    let hashes = hashes(&key, &json!({"export": export, "body": body}));
    let (customer, presented) = read(&app, &caller, export, &body.permit.0).await?;
    let Some(customer) = customer else {
        let request = json!({"export": export});
        touch::nobody(&app, &caller, &export.to_string(), None);
        let tx = platform_head(&app, &caller).await?;
        return refuse_unknown(&app, &caller, tx, request, ("redemptions", hashes), ReasonCode::PermitAltered).await;
    };
    let customer_named: Reference = customer.to_string().parse().map_err(crate::base::Error::internal)?;
    let ask = Ask::Redeem { export, presented: presented.map(Box::new) };
    let asked = Asked { caller, customer_named, ask, hashes };
    answer(gate::answer(&app, customer, &asked).await?)
}

/// Reads the permit by the keys that ever signed, withdrawn ones too, so that the decision can name
/// them; and finds whose log its redemption belongs to: the customer of this platform's export, or
/// for a borrowed permit the one that its signed claims name.
async fn read(app: &App, caller: &PlatformCaller, export: ExportId, permit: &str) -> Result<(Option<CustomerId>, Option<SignedPermit>)> {
    let mut read = app.db.read(Role::Gate, "customer_of_export", LogId::REGISTRY).await?;
    let keys = permit_keys(read.conn()).await?;
    let signed: Vec<_> = keys.iter().filter(|key| key.activated_at.is_some()).map(|key| &key.public_key).collect();
    let presented = PermitKeySet::of(&json!({ "keys": signed })).read(permit).ok();
    let presented = presented.filter(|p| p.claims.iss == app.permits.issuer() && p.claims.jti == export);
    let platform = presented.as_ref().map_or(&caller.platform, |p| &p.claims.aud);
    Ok((store::customer_of_export(read.conn(), platform, export).await?, presented))
}
