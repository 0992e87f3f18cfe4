//! A document as it is shown, and the digest that a client may send along (RFC 9530): it is
//! checked, because bytes that changed on the way must not become evidence.

use axum::http::HeaderMap;

use super::media::MediaType;
use crate::base::{Digest, DocumentId, Error, Fault, Instant, Result};

/// A document: what is known of its bytes.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct DocumentView {
    /// Its id.
    pub id: DocumentId,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// How many bytes.
    pub length: u64,
    /// Media type, by content.
    pub media_type: MediaType,
    /// When it was stored.
    pub stored_at: Instant,
    /// Who stored it: a random reference.
    pub stored_by: String,
    /// When its bytes were erased; absent while they are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erased_at: Option<Instant>,
}

/// The name of the header with a declared digest.
pub(super) const CONTENT_DIGEST: &str = "content-digest";

/// The declared SHA-256, in base64; `None` when the client declares none.
///
/// # Errors
/// [`Error::BadParameters`] when the header is there and has no well-formed `sha-256`.
pub(super) fn declared_digest(headers: &HeaderMap) -> Result<Option<String>> {
    let mut members = Vec::new();
    for value in headers.get_all(CONTENT_DIGEST) {
        members.extend(value.to_str().unwrap_or("?").split(',').map(str::trim));
    }
    if members.is_empty() {
        return Ok(None);
    }
    let mut declared = members.iter().filter_map(|member| member.strip_prefix("sha-256=:")?.strip_suffix(':'));
    match (declared.next(), declared.next()) {
        (Some(text), None) if text.len() == 44 && text.is_ascii() => Ok(Some(text.to_owned())),
        _ => {
            let detail = "must be sha-256=:…: with the base64 of the SHA-256 of the body (RFC 9530)".to_owned();
            Err(Error::BadParameters(vec![Fault { pointer: "Content-Digest".to_owned(), code: "header", detail }]))
        }
    }
}

/// Base64 of a digest (RFC 4648 section 4).
pub(super) fn base64(digest: &Digest) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(44);
    for chunk in digest.0.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let index = (bits >> (18 - 6 * place)) & 63;
            let letter = ALPHABET.get(index as usize).copied().unwrap_or(b'=');
            text.push(if place > chunk.len() { '=' } else { char::from(letter) });
        }
    }
    text
}

/// What is wrong with received bytes: all of it.
pub(super) fn faults(claimed: MediaType, found: Option<MediaType>, length: u64, sha256: &Digest, declared: Option<&str>) -> Vec<Fault> {
    let fault = |pointer: &str, code, detail: &str| Fault { pointer: pointer.to_owned(), code, detail: detail.to_owned() };
    let mut faults = Vec::new();
    if length == 0 {
        faults.push(fault("", "empty", "the document has no bytes"));
    } else if found != Some(claimed) {
        faults.push(fault("Content-Type", "media_type", "the bytes are not of the declared type"));
    }
    if declared.is_some_and(|declared| declared != base64(sha256)) {
        faults.push(fault("Content-Digest", "digest", "the SHA-256 of the bytes is another"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::sha256;

    const OF_NOTHING: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

    #[test]
    fn base64_is_that_of_the_standard() {
        assert_eq!(base64(&sha256(&[])), OF_NOTHING);
        assert_eq!(base64(&Digest([0xff; 32])), format!("{}8=", "/".repeat(42)));
    }

    #[test]
    fn a_declared_digest_is_read_or_refused_and_never_ignored() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_DIGEST, value.parse().unwrap());
            }
            declared_digest(&headers).map_err(|_| ())
        };
        let right = format!("sha-256=:{OF_NOTHING}:");
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[&right]), Ok(Some(OF_NOTHING.to_owned())));
        assert_eq!(read(&["sha-512=:AA==:", &right]), Ok(Some(OF_NOTHING.to_owned())));
        assert_eq!(read(&[&format!("sha-512=:AA==:, {right}")]), Ok(Some(OF_NOTHING.to_owned())));
        for wrong in ["", "sha-512=:AA==:", "sha-256=AA", "sha-256=:AA==:", OF_NOTHING] {
            assert_eq!(read(&[wrong]), Err(()), "{wrong}");
        }
        assert_eq!(read(&[&right, &right]), Err(()));
    }

    #[test]
    fn every_fault_of_a_document_is_listed_at_once() {
        let digest = sha256(&[]);
        let codes = |claimed, found, length, declared| -> Vec<&'static str> {
            faults(claimed, found, length, &digest, declared).into_iter().map(|fault| fault.code).collect()
        };
        let pdf = MediaType::Pdf;
        assert_eq!(codes(pdf, Some(pdf), 9, Some(OF_NOTHING)), [""; 0]);
        assert_eq!(codes(pdf, None, 0, None), ["empty"]);
        assert_eq!(codes(pdf, Some(MediaType::Png), 9, Some("x")), ["media_type", "digest"]);
        assert_eq!(codes(pdf, None, 9, None), ["media_type"]);
    }
}
