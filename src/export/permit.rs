//! Permits: JWS (RFC 7515) with one fixed profile: ES256, `typ` `export-permit+jwt`, a `kid`, and
//! nothing else in the header, whose bytes are compared whole. Issuing demands a [`Grant`], which
//! only the decision makes. A permit proves its origin; it never lets a byte leave by itself.

use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use serde::{Deserialize, Serialize};

use super::decide::Grant;
use crate::base::{
    AgreementId, Code, CustomerId, Digest, Error, ExportId, InstructionId, Recipient, Result, Selector, Volume, canonical, sha256,
};
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

/// The key that signs permits, and the name they are issued under.
pub struct PermitSigner {
    issuer: String,
    kid: String,
    private: EncodingKey,
    public: DecodingKey,
    jwk: Jwk,
    header: String,
}

impl std::fmt::Debug for PermitSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PermitSigner").field("issuer", &self.issuer).field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl PermitSigner {
    /// Reads a P-256 private key in PKCS#8 PEM.
    ///
    /// # Errors
    /// When the bytes are not such a key.
    pub fn from_pem(pem: &[u8], issuer: &str) -> Result<Self> {
        let private = EncodingKey::from_ec_pem(pem).map_err(Error::internal)?;
        let mut jwk = Jwk::from_encoding_key(&private, Algorithm::ES256).map_err(Error::internal)?;
        let kid = jwk.thumbprint(ThumbprintHash::SHA256).map_err(Error::internal)?;
        jwk.common.key_id = Some(kid.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let public = DecodingKey::from_jwk(&jwk).map_err(Error::internal)?;
        let mut signer = Self { issuer: issuer.to_owned(), kid, private, public, jwk, header: String::new() };
        let sample = signer.encode(&serde_json::json!({}))?;
        sample.split('.').next().unwrap_or_default().clone_into(&mut signer.header);
        Ok(signer)
    }
    /// The key's id: its RFC 7638 thumbprint.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }
    /// The name permits are issued under.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }
    /// The public half as a key set (RFC 7517).
    #[must_use]
    pub fn key_set(&self) -> JwkSet {
        JwkSet { keys: vec![self.jwk.clone()] }
    }
    fn encode<T: Serialize>(&self, claims: &T) -> Result<String> {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(PERMIT_TYPE.to_owned());
        header.kid = Some(self.kid.clone());
        jsonwebtoken::encode(&header, claims, &self.private).map_err(Error::internal)
    }
    /// Signs a permit: after COMMIT only, and only with the grant it stands on.
    ///
    /// # Errors
    /// When signing fails.
    pub fn issue(&self, _grant: &Grant, claims: &PermitClaims) -> Result<String> {
        self.encode(claims)
    }
    /// The claims of a permit that this key signed; `None` for anything else. Times are not judged
    /// here: the decision judges them.
    #[must_use]
    pub fn read(&self, token: &str) -> Option<PermitClaims> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        if header != self.header || payload.contains('.') {
            return None;
        }
        let holds = jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &self.public, Algorithm::ES256).ok()?;
        if !holds {
            return None;
        }
        let mut rules = jsonwebtoken::Validation::new(Algorithm::ES256);
        rules.validate_exp = false;
        rules.validate_aud = false;
        rules.required_spec_claims.clear();
        let claims = jsonwebtoken::decode::<PermitClaims>(token, &self.public, &rules).ok()?.claims;
        (claims.iss == self.issuer).then_some(claims)
    }
}
