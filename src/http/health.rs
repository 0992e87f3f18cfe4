//! The second listener: is the process alive, can it serve, what has it counted. It is for the
//! operator's network and asks for no credential, so it shows nothing about customers. With
//! `route`, the only place that hands a path to a router.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;

use super::{Host, Json};

/// The router of the second listener: `/livez`, `/readyz`, `/metrics`.
pub fn health<S: Host>(host: S) -> Router {
    Router::new().route("/livez", get(live)).route("/readyz", get(ready::<S>)).route("/metrics", get(metrics::<S>)).with_state(host)
}

/// Alive means that the runtime turns; a database that is away is no reason to restart.
async fn live() -> impl IntoResponse {
    ([(CACHE_CONTROL, "no-store")], Json(serde_json::json!({"status": "alive"})))
}

async fn ready<S: Host>(State(host): State<S>) -> impl IntoResponse {
    let (status, body) = match host.ready().await {
        Ok(()) => (StatusCode::OK, serde_json::json!({"status": "ready"})),
        Err(missing) => (StatusCode::SERVICE_UNAVAILABLE, serde_json::json!({"status": "not ready", "missing": missing})),
    };
    (status, [(CACHE_CONTROL, "no-store")], Json(body))
}

async fn metrics<S: Host>(State(host): State<S>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"), (CACHE_CONTROL, "no-store")], host.metrics())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::{Client, Probe};

    #[tokio::test]
    async fn a_process_that_is_not_ready_is_still_alive() {
        for (ready, status) in [(true, 200), (false, 503)] {
            let probe = Probe { ready, ..Probe::default() };
            let client = Client { router: health(probe.clone()), probe };
            assert_eq!(client.get("/livez", &[]).await.status, 200);
            assert_eq!(client.get("/readyz", &[]).await.status.as_u16(), status);
            assert_eq!(client.get("/metrics", &[]).await.bytes, b"http_requests_total 1\n");
        }
    }

    #[tokio::test]
    async fn the_first_listener_does_not_serve_them() {
        let client = crate::http::testing::client();
        for path in ["/livez", "/readyz", "/metrics"] {
            assert_eq!(client.get(path, &[]).await.status, 404, "{path}");
        }
    }
}
