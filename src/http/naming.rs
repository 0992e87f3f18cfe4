//! What a request is called in the log: its id, the trace it belongs to, its method. All three come
//! from the client, so each is taken in a bounded form only, without blanks and line breaks.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, Method};

use crate::base::Entropy;

/// The header that names a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of the request, for handlers that record it. Made here or taken from `X-Request-Id`.
#[derive(Debug, Clone)]
pub struct RequestId(pub Arc<str>);

/// A method as a word; a client can send any text as a method, and text of clients is not logged.
pub(super) fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

/// The id that the client gave, or a new one.
pub(super) fn request_id(headers: &HeaderMap, entropy: &dyn Entropy) -> Arc<str> {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    match given.filter(|text| (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())) {
        Some(text) => text.into(),
        None => {
            let mut bytes = [0; 16];
            entropy.fill(&mut bytes);
            hex::encode(bytes).into()
        }
    }
}

/// The trace id of a `traceparent` (W3C Trace Context, version 00).
pub(super) fn trace_id(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, parent, flags] = parts.as_slice() else { return None };
    let hex = |text: &str, length: usize| text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let named = |text: &str| text.bytes().any(|b| b != b'0');
    let valid = *version == "00" && hex(trace, 32) && hex(parent, 16) && hex(flags, 2) && named(trace) && named(parent);
    valid.then(|| (*trace).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_valid_traceparent_gives_a_trace_id() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", text.parse().unwrap());
            trace_id(&headers)
        };
        assert!(read("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").is_some());
        for wrong in [
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-kari",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
