//! A body in parts, each read when the client is ready for it, so that no transaction is open while
//! one reads slowly. Each read is a task of its own: the body is dropped when the client leaves, and a
//! dropped read would leave its connection in doubt.

use axum::body::Body;
use futures_util::stream;

use super::Host;
use crate::base::{Error, Result};

/// The body of `count` parts, which `read` gives by their numbers from 0.
pub fn parts<S: Host, F>(host: S, count: i32, read: impl Fn(S, i32) -> F + Send + 'static) -> Body
where
    F: Future<Output = Result<Vec<u8>>> + Send + 'static,
{
    Body::from_stream(stream::try_unfold(0, move |number| {
        let task = (number < count).then(|| host.tracker().spawn(read(host.clone(), number)));
        async move {
            let Some(task) = task else { return Ok::<_, Error>(None) };
            let bytes = task.await.map_err(Error::internal)??;
            Ok(Some((bytes, number + 1)))
        }
    }))
}
