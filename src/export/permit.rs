//! What a permit says. Its claims are made of a [`Grant`], which only the decision makes; they are
//! signed after the commit (`keys`) and read back by one function (`verify`). A permit proves its
//! origin; it never lets a byte leave by itself.

use serde::{Deserialize, Serialize};

use super::decide::Grant;
use crate::base::{AgreementId, Code, CustomerId, Digest, ExportId, InstructionId, Recipient, Selector, Volume, canonical, sha256};
use crate::evidence::{ExportRequest, GrantRecord, Receipt};

/// The only `typ` of a permit.
pub const PERMIT_TYPE: &str = "export-permit+jwt";

/// The cited instruction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CitedInstruction {
    /// Its id.
    pub id: InstructionId,
    /// The one version.
    pub version: u32,
    /// Hash of what was written.
    pub document_sha256: Digest,
}

/// The cited agreement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CitedAgreement {
    /// Its id.
    pub id: AgreementId,
    /// Its version.
    pub version: u32,
}

/// What may leave, and to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermitScope {
    /// The channel.
    pub channel: Code,
    /// The purpose.
    pub purpose: Code,
    /// The categories.
    pub data_categories: Vec<Code>,
    /// The recipient.
    pub recipient: Recipient,
}

/// The selectors of the request, hashed under a salt, so that a permit names no subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HashedSelectors {
    /// How many.
    pub count: u64,
    /// 32 random bytes.
    pub salt: Digest,
    /// SHA-256 of the salt and the canonical JSON of the selectors.
    pub sha256: Digest,
}

/// Where the permit's entry stands in the customer's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogPlace {
    /// Log and epoch.
    pub origin: String,
    /// Index of the entry.
    pub index: u64,
    /// Hash of its leaf.
    pub leaf_hash: Digest,
    /// Size of the log with it.
    pub size: u64,
    /// Root of the tree of that size.
    pub root: Digest,
}

/// All claims of a permit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermitClaims {
    /// Who issued it.
    pub iss: String,
    /// The one platform that may redeem it.
    pub aud: Code,
    /// The export.
    pub jti: ExportId,
    /// Seconds since 1970.
    pub iat: i64,
    /// As `iat`.
    pub nbf: i64,
    /// At most 300 s after `iat`; no leeway.
    pub exp: i64,
    /// The customer.
    pub customer: CustomerId,
    /// What it stands on.
    pub instruction: CitedInstruction,
    /// Under which agreement.
    pub agreement: CitedAgreement,
    /// What may leave.
    pub scope: PermitScope,
    /// How much, at most.
    pub volume: Volume,
    /// Whose, hashed.
    pub selectors: HashedSelectors,
    /// Restricted selectors to be left out.
    pub except: Vec<Selector>,
    /// Its place in the log.
    pub log: LogPlace,
}

/// The hash of selectors that a permit carries.
#[must_use]
pub fn selectors_hash(salt: &Digest, selectors: &[Selector]) -> Digest {
    sha256(&[&salt.0, &canonical(&selectors)])
}

/// The claims of a permit for this grant. The one function that makes them.
#[must_use]
pub fn claims(
    grant: &Grant,
    record: &GrantRecord,
    issuer: &str,
    customer: CustomerId,
    request: &ExportRequest,
    place: &Receipt,
) -> PermitClaims {
    let salt = record.selectors_salt;
    let (agreement, agreement_version) = grant.agreement();
    PermitClaims {
        iss: issuer.to_owned(),
        aud: request.platform.clone(),
        jti: record.export,
        iat: record.issued_at.seconds(),
        nbf: record.issued_at.seconds(),
        exp: record.expires_at.seconds(),
        customer,
        instruction: CitedInstruction {
            id: grant.instruction().id,
            version: grant.instruction().version,
            document_sha256: grant.document_sha256(),
        },
        agreement: CitedAgreement { id: agreement, version: agreement_version },
        scope: PermitScope {
            channel: request.channel.clone(),
            purpose: request.purpose.clone(),
            data_categories: request.data_categories.iter().cloned().collect(),
            recipient: request.recipient.clone(),
        },
        volume: request.volume,
        selectors: HashedSelectors { count: request.subjects.len() as u64, salt, sha256: selectors_hash(&salt, &request.subjects) },
        except: grant.except().to_vec(),
        log: LogPlace { origin: place.origin.clone(), index: place.index, leaf_hash: place.leaf_hash, size: place.size, root: place.root },
    }
}
