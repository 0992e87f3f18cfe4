//! JSON bodies in and out. In: the media type, the size, one strict JSON value, then shape and
//! values with every fault at once. Out: 200, or 201 with the place of what was created.
//! What is larger than JSON (documents) is an [`super::Upload`].

use std::time::Duration;

use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::Upload;
use crate::base::{Decode, Error, Faults, Pointer, Result, parse_strict};

/// The most bytes a JSON body may have.
pub const JSON_LIMIT: usize = 1024 * 1024;

/// How long a body may take to arrive that is read whole: who is slow keeps a place meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);

/// A JSON body: read strictly as an argument, written as an answer (200).
#[derive(Debug, Clone)]
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: Decode> FromRequest<S> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        if !is_json(request.headers()) {
            return Err(Error::UnsupportedMediaType("application/json"));
        }
        let bytes = received(request, JSON_LIMIT).await?;
        let value = parse_strict(&bytes).map_err(Error::Malformed)?;
        let mut faults = Faults::default();
        let read = T::decode(&value, &Pointer::default(), &mut faults);
        faults.finish(read).map(Self)
    }
}

/// All bytes of a body that comes in time, at most `most` and at most what its route takes.
///
/// # Errors
/// [`Error::Malformed`] when it is late, and as [`Upload::chunk`].
pub(super) async fn received(request: Request, most: usize) -> Result<Vec<u8>> {
    received_within(PATIENCE, request, most).await
}

async fn received_within(patience: Duration, request: Request, most: usize) -> Result<Vec<u8>> {
    #[expect(clippy::disallowed_methods, reason = "on the client's bytes; no database is asked meanwhile")]
    let read = tokio::time::timeout(patience, Upload::of(request, most).read_all()).await;
    read.map_err(|_| Error::Malformed("The body did not arrive in time."))?
}

/// `application/json`, alone or with UTF-8 as its charset.
fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
    let mut parts = text.split(';').map(str::trim);
    parts.next() == Some("application/json") && parts.all(|part| part.replace('"', "") == "charset=utf-8")
}

impl<T: serde::Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], bytes).into_response(),
            Err(error) => Error::internal(error).into_response(),
        }
    }
}

/// 201 with `Location` and what was created.
#[derive(Debug, Clone)]
pub struct Created<T> {
    location: String,
    value: T,
}

impl<T> Created<T> {
    /// Created at this path.
    pub fn at(location: impl Into<String>, value: T) -> Self {
        Self { location: location.into(), value }
    }
}

impl<T: serde::Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        match HeaderValue::try_from(self.location) {
            Ok(location) => {
                let mut response = Json(self.value).into_response();
                if response.status() == StatusCode::OK {
                    *response.status_mut() = StatusCode::CREATED;
                    response.headers_mut().insert(LOCATION, location);
                }
                response
            }
            Err(error) => Error::internal(error).into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    crate::request! {
        /// A body without required fields.
        pub struct Sample { note: Option<crate::base::Note>, }
    }

    async fn read(kind: &[&str], body: impl Into<Body>) -> Result<Json<Sample>> {
        let mut request = Request::new(body.into());
        for value in kind {
            request.headers_mut().append(CONTENT_TYPE, value.parse().unwrap());
        }
        Json::from_request(request, &()).await
    }

    #[tokio::test]
    async fn only_json_in_utf_8_is_read() {
        for kind in ["application/json", "Application/JSON; charset=UTF-8", "application/json; charset=\"utf-8\""] {
            assert!(read(&[kind], "{}").await.is_ok(), "{kind}");
        }
        let refused: [&[&str]; 6] = [
            &[],
            &["text/plain"],
            &["application/jsonx"],
            &["application/json; charset=latin1"],
            &["application/problem+json"],
            &["application/json", "application/json"],
        ];
        for kind in refused {
            assert!(matches!(read(kind, "{}").await, Err(Error::UnsupportedMediaType(_))), "{kind:?}");
        }
    }

    #[tokio::test]
    async fn an_empty_body_is_not_an_empty_object() {
        assert!(matches!(read(&["application/json"], "").await, Err(Error::Malformed(_))));
        assert!(matches!(read(&["application/json"], "{\"x\":1}").await, Err(Error::Invalid(_))));
    }

    #[tokio::test]
    async fn the_size_is_counted_and_not_believed() {
        let padded = |size: usize| format!("{{}}{}", " ".repeat(size - 2));
        assert!(read(&["application/json"], padded(JSON_LIMIT)).await.is_ok());
        let error = read(&["application/json"], padded(JSON_LIMIT + 1)).await.unwrap_err();
        assert!(matches!(error, Error::TooLarge(1_048_576)), "{error:?}");
    }

    #[tokio::test]
    async fn a_body_that_does_not_end_in_time_is_refused() {
        let slow = || Body::from_stream(futures_util::stream::pending::<std::io::Result<Vec<u8>>>());
        let late = received_within(Duration::from_millis(20), Request::new(slow()), 9).await;
        assert!(matches!(late, Err(Error::Malformed("The body did not arrive in time."))));
        assert!(received(Request::new(Body::from("{}")), 9).await.is_ok());
    }

    #[test]
    fn created_says_where() {
        let response = Created::at("/api/v1/things/1", serde_json::json!({"a": 1})).into_response();
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(response.headers()[LOCATION], "/api/v1/things/1");
    }
}
