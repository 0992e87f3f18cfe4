//! Reading a permit by anybody who has the key set: JWS (RFC 7515) of one fixed profile. Every
//! check compares with the only form a permit can have, so that there is nothing to negotiate: the
//! header's bytes, the payload's bytes (RFC 8785), 64 bytes of signature. It proves where a permit
//! comes from; it never lets a byte leave. Pure: no clock, no network.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::permit::PermitClaims;
use crate::base::{Instant, MAX_INTEGER, canonical};

/// The longest life of a permit, from `iat` to `exp`, in seconds.
pub const PERMIT_SECONDS: i64 = 300;

crate::words! {
    /// Why a text is not a permit to be relied on, in the order in which it is looked at: the first
    /// that holds is the answer.
    pub enum PermitFault {
        /// Not three parts of canonical base64url without padding (RFC 7515 §2).
        Form = "form",
        /// The header is not the profile's: another algorithm or type, another member, other bytes.
        Header = "header",
        /// The key set has no P-256 key for signatures under this `kid`.
        UnknownKey = "unknown_key",
        /// Not 64 bytes, or not made by this key over these bytes.
        Signature = "signature",
        /// Not the canonical JSON (RFC 8785) of exactly the profile's claims.
        Payload = "payload",
        /// Not `iat <= nbf < exp <= iat + 300`.
        Lifetime = "lifetime",
        /// Issued under another name.
        Issuer = "issuer",
        /// Issued to another platform.
        Audience = "audience",
        /// `now` is before `nbf`.
        NotYetValid = "not_yet_valid",
        /// `now` is `exp` or later.
        Expired = "expired",
    }
}

/// A permit whose origin and form are proven, with the key that signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedPermit {
    /// Id of the key.
    pub kid: String,
    /// What it says.
    pub claims: PermitClaims,
}

/// Public keys by which permits are read.
#[derive(Default)]
pub struct PermitKeySet(BTreeMap<String, ParsedPublicKey>);

impl std::fmt::Debug for PermitKeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl PermitKeySet {
    /// Takes the keys of a JSON Web Key Set (RFC 7517) that can sign permits: P-256, for
    /// signatures. Others are left aside, as RFC 7517 §5 asks.
    #[must_use]
    pub fn of(set: &Value) -> Self {
        let keys = set.get("keys").and_then(Value::as_array);
        Self(keys.into_iter().flatten().filter_map(public_key).collect())
    }

    /// Reads a permit whatever its issuer, its audience and the time; the last three are judged by
    /// [`verify_permit`], or by the decision of a redemption.
    ///
    /// # Errors
    /// The first fault.
    pub fn read(&self, token: &str) -> Result<SignedPermit, PermitFault> {
        let parts: Vec<&str> = token.split('.').collect();
        let [header, payload, signature] = parts[..] else { return Err(PermitFault::Form) };
        let signed = &token[..header.len() + 1 + payload.len()];
        let (header, payload, signature) = (bytes(header)?, bytes(payload)?, bytes(signature)?);
        let kid = kid_of(&header).ok_or(PermitFault::Header)?;
        let key = self.0.get(kid).ok_or(PermitFault::UnknownKey)?;
        key.verify_sig(signed.as_bytes(), &signature).map_err(|_| PermitFault::Signature)?;
        let claims: PermitClaims = serde_json::from_slice(&payload).map_err(|_| PermitFault::Payload)?;
        // Only this comparison rules out a member twice, an unknown one in a selector, a null for
        // an absent one, blanks, another order, another spelling of a number or a text.
        if !whole_numbers(&claims) || canonical(&claims) != payload {
            return Err(PermitFault::Payload);
        }
        let PermitClaims { iat, nbf, exp, .. } = claims;
        if !(iat <= nbf && nbf < exp && exp - iat <= PERMIT_SECONDS) {
            return Err(PermitFault::Lifetime);
        }
        Ok(SignedPermit { kid: kid.to_owned(), claims })
    }
}

/// Verifies a permit offline: that `issuer` issued it to `audience`, unchanged, and that it holds
/// at `now`. There is no leeway. The answer proves the permit's origin; whether a byte may leave is
/// for the gate alone to say.
///
/// # Errors
/// The first fault.
pub fn verify_permit(token: &str, key_set: &PermitKeySet, issuer: &str, audience: &str, now: Instant) -> Result<PermitClaims, PermitFault> {
    let SignedPermit { claims, .. } = key_set.read(token)?;
    if claims.iss != issuer {
        return Err(PermitFault::Issuer);
    }
    if claims.aud.as_str() != audience {
        return Err(PermitFault::Audience);
    }
    if now.seconds() < claims.nbf {
        return Err(PermitFault::NotYetValid);
    }
    if now.seconds() >= claims.exp {
        return Err(PermitFault::Expired);
    }
    Ok(claims)
}

/// Around the `kid` in the only header there is: canonical JSON, so that it has one spelling.
const HEADER: (&str, &str) = (r#"{"alg":"ES256","kid":""#, r#"","typ":"export-permit+jwt"}"#);
/// Length of a key's id: 32 bytes in base64url.
const KID_LENGTH: usize = 43;

/// The header of every permit that the key signs, encoded.
pub(super) fn header(kid: &str) -> String {
    let (before, after) = HEADER;
    text(format!("{before}{kid}{after}").as_bytes())
}

fn kid_of(header: &[u8]) -> Option<&str> {
    let (before, after) = HEADER;
    let kid = std::str::from_utf8(header).ok()?.strip_prefix(before)?.strip_suffix(after)?;
    let plain = kid.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_');
    (plain && kid.len() == KID_LENGTH).then_some(kid)
}

fn public_key(jwk: &Value) -> Option<(String, ParsedPublicKey)> {
    let member = |name: &str| jwk.get(name).and_then(Value::as_str);
    let unless_other = |name: &str, expected: &str| jwk.get(name).is_none_or(|value| value == expected);
    let fits = member("kty") == Some("EC") && member("crv") == Some("P-256") && unless_other("use", "sig") && unless_other("alg", "ES256");
    let coordinate = |name: &str| bytes(member(name)?).ok().filter(|number| number.len() == 32);
    let point = [vec![4], coordinate("x")?, coordinate("y")?].concat();
    let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()?;
    fits.then_some((member("kid")?.to_owned(), key))
}

/// Every number is one that all readers of JSON understand alike (RFC 8259 §6).
fn whole_numbers(claims: &PermitClaims) -> bool {
    let times = [claims.iat, claims.nbf, claims.exp].map(u64::try_from);
    let counts = claims.volume.parts().into_iter().filter_map(|(_, count)| count);
    let counts = counts.chain([claims.selectors.count, claims.log.index, claims.log.size]);
    times.into_iter().all(|time| time.is_ok_and(|time| time <= MAX_INTEGER)) && counts.into_iter().all(|count| count <= MAX_INTEGER)
}

/// Base64url without padding (RFC 7515 §2).
pub(super) fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The same read back; the engine refuses padding, other alphabets, and bits beyond the last byte.
fn bytes(text: &str) -> Result<Vec<u8>, PermitFault> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| PermitFault::Form)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::PERMIT_TYPE;

    #[test]
    fn the_header_is_canonical_and_names_the_type() {
        let kid = "k".repeat(KID_LENGTH);
        let plain = canonical(&serde_json::json!({"typ": PERMIT_TYPE, "alg": "ES256", "kid": kid}));
        assert_eq!(text(&plain), header(&kid));
        assert_eq!(kid_of(&plain), Some(kid.as_str()));
    }

    #[test]
    fn an_encoding_has_one_spelling() {
        assert_eq!(bytes("AQ").unwrap(), [1]);
        for other in ["AR", "AQ=", "AQ==", "A", "A Q", "AQ\n", "+/8", "A\u{e9}"] {
            assert_eq!(bytes(other), Err(PermitFault::Form), "{other:?}");
        }
    }
}
