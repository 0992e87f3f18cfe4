//! A client of the router in the same process: the loader acts as persons do, through the routes.

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::base::{Error, Result};

/// Somebody calling.
#[derive(Clone)]
pub struct Caller {
    router: Router,
    token: Option<String>,
}

impl Caller {
    /// Nobody yet.
    pub const fn nobody(router: Router) -> Self {
        Self { router, token: None }
    }
    /// The same with a token.
    pub fn with(&self, token: &str) -> Self {
        Self { router: self.router.clone(), token: Some(token.to_owned()) }
    }

    /// Posts JSON and gives the answer's body.
    ///
    /// # Errors
    /// When the answer is not a success; its text names route and problem.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.send(Method::POST, path, &[("content-type", "application/json")], Body::from(body.to_string())).await
    }

    /// Sends a request and gives the answer's body.
    ///
    /// # Errors
    /// When the answer is not a success.
    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Body) -> Result<Value> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(body).map_err(Error::internal)?;
        let response = self.router.clone().oneshot(request).await.map_err(Error::internal)?;
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.map_err(Error::internal)?;
        if !status.is_success() {
            let problem = String::from_utf8_lossy(&bytes).into_owned();
            return Err(Error::internal(format!("loading the demo world: {path} answered {status}: {problem}")));
        }
        serde_json::from_slice(&bytes).map_err(Error::internal)
    }
}

/// A text member of an answer.
///
/// # Errors
/// When it is not there.
pub fn member<'v>(answer: &'v Value, name: &str) -> Result<&'v str> {
    answer.get(name).and_then(Value::as_str).ok_or_else(|| Error::internal(format!("an answer lacks {name}")))
}
