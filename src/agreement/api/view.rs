//! How an agreement is shown: parameters, where it stands, when it is in force, and what is still
//! possible when it has ended. Equal for the customer and for ops.

use std::collections::BTreeSet;

use crate::agreement::decide::wind_down;
use crate::agreement::{Agreement, AgreementState, Parameters, WindDown};
use crate::base::{AgreementId, Code, CustomerId, Digest, DocumentId, Error, Instant, MembershipId, Reference, Result};
use crate::evidence::{Receipt, Receipted};

/// An agreement between the processor and one customer for one platform.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct AgreementView {
    /// Id.
    pub id: AgreementId,
    /// The customer.
    pub customer: CustomerId,
    /// Version of the parameters.
    pub version: u32,
    /// The platform it covers.
    pub platform: Code,
    /// How the platform names the customer; effective with the acceptance.
    pub external_id: Reference,
    /// Where it stands now.
    pub state: AgreementState,
    /// All its parameters.
    pub parameters: Parameters,
    /// The document that both sides sign.
    pub document: DocumentId,
    /// The document's SHA-256, which the acceptance names.
    pub document_sha256: Digest,
    /// When it was prepared.
    pub prepared_at: Instant,
    /// When it was offered.
    pub offered_at: Option<Instant>,
    /// When it was accepted.
    pub accepted_at: Option<Instant>,
    /// The membership that accepted it.
    pub accepted_by: Option<MembershipId>,
    /// First instant in force.
    pub in_force_from_at: Option<Instant>,
    /// First instant no longer in force; null: open.
    pub in_force_until_at: Option<Instant>,
    /// When it was terminated.
    pub terminated_at: Option<Instant>,
    /// What is still possible once it has ended and no other is in force for the platform; else null.
    pub wind_down: Option<Vec<WindDown>>,
}

/// The view of an agreement at `now`; `covered`: the platforms with an agreement in force.
pub(super) fn view(customer: CustomerId, agreement: Agreement, covered: &BTreeSet<Code>, now: Instant) -> AgreementView {
    let state = agreement.state(now);
    AgreementView {
        id: agreement.id,
        customer,
        version: agreement.version,
        state,
        wind_down: wind_down(state, covered.contains(&agreement.platform)).map(<[_]>::to_vec),
        platform: agreement.platform,
        external_id: agreement.external_id,
        parameters: agreement.parameters,
        document: agreement.document,
        document_sha256: agreement.document_sha256,
        prepared_at: agreement.prepared_at,
        offered_at: agreement.offered_at,
        accepted_at: agreement.accepted_at,
        accepted_by: agreement.accepted_by,
        in_force_from_at: agreement.in_force_from,
        in_force_until_at: agreement.in_force_until,
        terminated_at: agreement.terminated_at,
    }
}

/// The view with the receipt of the last entry, which is the customer's.
pub(super) fn receipted(value: AgreementView, receipts: Vec<Receipt>) -> Result<Receipted<AgreementView>> {
    let receipt = receipts.into_iter().next_back().ok_or_else(|| Error::internal("a commit without a receipt"))?;
    Ok(Receipted { value, receipt })
}
