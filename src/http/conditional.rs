//! Headers that make a write safe: `If-Match` against a stale copy, `Idempotency-Key` against a
//! second try. `ETag` is strong. What stops something (revocation, objection, suspension) must
//! never ask for `If-Match`. Keeping answers for a key is done in `idempotency`.

use axum::extract::FromRequestParts;
use axum::http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};

use crate::base::{Error, Fault, Result, canonical, sha256};

/// The name of the header that makes a second try harmless.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

fn bad_header(name: &str, code: &'static str, detail: &str) -> Error {
    Error::BadParameters(vec![Fault { pointer: name.to_owned(), code, detail: detail.to_owned() }])
}

/// A strong entity tag. As a part of an answer it sets the header: `(etag, Json(view))`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag(String);

impl ETag {
    /// The tag of a resource as it is shown: equal views have equal tags.
    #[must_use]
    pub fn of<T: serde::Serialize>(view: &T) -> Self {
        Self::of_bytes(&canonical(view))
    }
    /// The tag of bytes.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(hex::encode(&sha256(&[bytes]).0[..16]))
    }
    fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

impl IntoResponseParts for ETag {
    type Error = Error;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts> {
        let value = HeaderValue::try_from(self.quoted()).map_err(Error::internal)?;
        parts.headers_mut().insert(ETAG, value);
        Ok(parts)
    }
}

/// The tag of the copy that the caller saw. Absent: 428. Malformed, weak, `*` or several: 400.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IfMatch(ETag);

impl IfMatch {
    /// Demands that the copy seen is the present one.
    ///
    /// # Errors
    /// [`Error::PreconditionFailed`] when it is not.
    pub fn demand(&self, present: &ETag) -> Result<()> {
        if self.0 == *present { Ok(()) } else { Err(Error::PreconditionFailed) }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let mut values = parts.headers.get_all(IF_MATCH).iter();
        let Some(value) = values.next() else { return Err(Error::PreconditionRequired) };
        let text = value.to_str().unwrap_or_default().trim();
        let tag = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        // `*` would be "whatever it is now", which is what the header is there to prevent.
        match tag.filter(|tag| !tag.is_empty() && !tag.contains('"')) {
            Some(tag) if values.next().is_none() => Ok(Self(ETag(tag.to_owned()))),
            _ => Err(bad_header("If-Match", "etag", "must be the one strong entity tag of the copy seen, in quotes")),
        }
    }
}

/// Turns an answer that the caller already has into 304.
pub(super) fn not_modified(condition: &HeaderMap, response: Response) -> Response {
    let Some(tag) = response.headers().get(ETAG).filter(|_| response.status() == StatusCode::OK) else { return response };
    // If-None-Match is compared weakly (RFC 9110 section 13.1.2).
    let known = condition.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|list| {
        list.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one).as_bytes() == tag.as_bytes())
    });
    if known { (StatusCode::NOT_MODIFIED, [(ETAG, tag.clone())]).into_response() } else { response }
}

/// The key under which a second try repeats the first answer. Absent or malformed: 400. Only the
/// gate's handlers take it themselves; everywhere else it is the guard's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key as the client made it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The key of a request.
    ///
    /// # Errors
    /// [`Error::BadParameters`] when it is malformed, or absent where it is required.
    pub(super) fn read(headers: &HeaderMap, required: bool) -> Result<Option<Self>> {
        let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(value) = values.next() else {
            return if required { Err(bad_header("Idempotency-Key", "required", "is required")) } else { Ok(None) };
        };
        let bytes = value.as_bytes();
        let visible = (1..=255).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
        match value.to_str() {
            Ok(text) if visible && values.next().is_none() => Ok(Some(Self(text.to_owned()))),
            _ => Err(bad_header("Idempotency-Key", "header", "must be one value of 1 to 255 visible ASCII characters")),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        Self::read(&parts.headers, true)?.ok_or_else(|| bad_header("Idempotency-Key", "required", "is required"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn parts(headers: &[(HeaderName, &str)]) -> Parts {
        let mut request = Request::new(());
        for (name, value) in headers {
            request.headers_mut().append(name, value.parse().unwrap());
        }
        request.into_parts().0
    }

    #[tokio::test]
    async fn if_match_takes_one_strong_tag_and_nothing_else() {
        let etag = ETag::of(&serde_json::json!({"b": 1, "a": 2}));
        let mut seen = parts(&[(IF_MATCH, &etag.quoted())]);
        let read = IfMatch::from_request_parts(&mut seen, &()).await.unwrap();
        assert!(read.demand(&ETag::of(&serde_json::json!({"a": 2, "b": 1}))).is_ok());
        assert!(matches!(read.demand(&ETag::of(&1)), Err(Error::PreconditionFailed)));
        let absent = IfMatch::from_request_parts(&mut parts(&[]), &()).await;
        assert!(matches!(absent, Err(Error::PreconditionRequired)));
        for wrong in ["*", "abc", "W/\"abc\"", "\"a\", \"b\"", "\"\"", ""] {
            let read = IfMatch::from_request_parts(&mut parts(&[(IF_MATCH, wrong)]), &()).await;
            assert!(matches!(read, Err(Error::BadParameters(_))), "{wrong}");
        }
        let twice = IfMatch::from_request_parts(&mut parts(&[(IF_MATCH, "\"a\""), (IF_MATCH, "\"a\"")]), &()).await;
        assert!(matches!(twice, Err(Error::BadParameters(_))));
    }

    #[tokio::test]
    async fn an_idempotency_key_is_one_visible_text() {
        let read = async |values: &[&str]| {
            let headers: Vec<_> = values.iter().map(|value| (IDEMPOTENCY_KEY, *value)).collect();
            let mut parts = parts(&headers);
            <IdempotencyKey as FromRequestParts<()>>::from_request_parts(&mut parts, &()).await
        };
        let longest = "k".repeat(255);
        assert_eq!(read(&[&longest]).await.unwrap().as_str(), longest);
        let longer = "k".repeat(256);
        let wrong: [&[&str]; 5] = [&[], &[""], &["a b"], &[&longer], &["a", "a"]];
        for values in wrong {
            assert!(matches!(read(values).await, Err(Error::BadParameters(_))), "{values:?}");
        }
    }

    #[test]
    fn a_known_copy_is_answered_with_304_and_another_is_not() {
        let answer = || (ETag("t".to_owned()), "body").into_response();
        for (condition, status) in [("\"t\"", 304), ("W/\"t\"", 304), ("\"x\", \"t\"", 304), ("*", 304), ("\"x\"", 200)] {
            let parts = parts(&[(IF_NONE_MATCH, condition)]);
            assert_eq!(not_modified(&parts.headers, answer()).status(), status, "{condition}");
        }
        assert_eq!(not_modified(&HeaderMap::new(), answer()).status(), 200);
    }
}
