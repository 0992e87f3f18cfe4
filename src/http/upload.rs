//! Reading a body piece by piece, never more of it than the route takes. The bytes are counted as
//! they come: a declared length may be absent, and is not believed. Media types and what the bytes
//! mean are the reader's.

use axum::RequestExt;
use axum::body::{BodyDataStream, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use super::JSON_LIMIT;
use crate::base::{Error, Result};

/// Cancelled when the service ends: a body that has not arrived by then is not waited for.
#[derive(Debug, Clone)]
pub(super) struct Stopping(pub CancellationToken);

/// The most bytes that the route of a request takes.
#[derive(Debug, Clone, Copy)]
struct Limit(usize);

/// Caps the body of a request, however a handler reads it.
pub(super) fn cap(mut request: Request, limit: usize) -> Request {
    request.extensions_mut().insert(Limit(limit));
    DefaultBodyLimit::max(limit).apply(&mut request);
    request.with_limited_body()
}

/// A body that streams: `while let Some(bytes) = upload.chunk().await?`. The route sets its limit
/// with [`super::Route::body_limit`].
pub struct Upload {
    stream: BodyDataStream,
    stopping: Stopping,
    limit: usize,
    left: usize,
}

impl Upload {
    /// The body of a request, of at most `most` bytes and at most what its route takes.
    pub(super) fn of(request: Request, most: usize) -> Self {
        let limit = request.extensions().get::<Limit>().map_or(JSON_LIMIT, |limit| limit.0).min(most);
        let stopping = request.extensions().get::<Stopping>().cloned().unwrap_or_else(|| Stopping(CancellationToken::new()));
        Self { stream: request.into_body().into_data_stream(), stopping, limit, left: limit }
    }

    /// The next bytes; `None` at the end of the body.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the body goes on past its limit, [`Error::Malformed`] when it ends
    /// before its end, [`Error::Unavailable`] when the service ends before it has arrived.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let next = tokio::select! {
            biased;
            next = self.stream.next() => next,
            () = self.stopping.0.cancelled() => return Err(Error::Unavailable { retry_after: 1, cause: "the service is ending" }),
        };
        let bytes = match next {
            None => return Ok(None),
            Some(Ok(bytes)) => bytes,
            Some(Err(error)) if is_over_cap(&error) => return Err(Error::TooLarge(self.limit as u64)),
            Some(Err(_)) => return Err(Error::Malformed("The body ended early.")),
        };
        self.left = self.left.checked_sub(bytes.len()).ok_or(Error::TooLarge(self.limit as u64))?;
        Ok(Some(bytes))
    }

    /// All bytes at once.
    ///
    /// # Errors
    /// As [`Self::chunk`].
    pub(super) async fn read_all(mut self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(bytes) = self.chunk().await? {
            all.extend_from_slice(&bytes);
        }
        Ok(all)
    }
}

/// The cap's error has a type that axum does not name, so it is known by its text.
fn is_over_cap(error: &dyn std::error::Error) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.to_string() == "length limit exceeded" {
            return true;
        }
        next = error.source();
    }
    false
}

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        Ok(Self::of(request, usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    /// A stream of four times ten bytes, which has no length that could be believed.
    fn stream() -> Request {
        let chunks = futures_util::stream::iter((0..4).map(|_| std::io::Result::Ok(vec![b'x'; 10])));
        Request::new(Body::from_stream(chunks))
    }

    #[tokio::test]
    async fn bytes_are_counted_as_they_come() {
        for (limit, most, expected) in
            [(40, usize::MAX, Ok(40)), (39, usize::MAX, Err(39)), (40, 40, Ok(40)), (40, 39, Err(39)), (usize::MAX, 5, Err(5))]
        {
            let read = Upload::of(cap(stream(), limit), most).read_all().await;
            match (read, expected) {
                (Ok(bytes), Ok(length)) => assert_eq!(bytes.len(), length),
                (Err(Error::TooLarge(told)), Err(limit)) => assert_eq!(told, limit),
                (read, _) => panic!("{limit} {most}: {read:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_handler_that_reads_the_body_itself_is_capped_too() {
        let read = axum::body::to_bytes(cap(stream(), 39).into_body(), usize::MAX).await;
        assert!(is_over_cap(&read.unwrap_err()));
        assert!(axum::body::to_bytes(cap(stream(), 40).into_body(), usize::MAX).await.is_ok());
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_malformed() {
        let broken = futures_util::stream::iter([Ok(vec![1]), Err(std::io::Error::other("reset"))]);
        let read = Upload::of(cap(Request::new(Body::from_stream(broken)), 9), 9).read_all().await;
        assert!(matches!(read, Err(Error::Malformed(_))));
    }
}
