//! The documentation that the binary serves: `/openapi.json`, the interactive pages at `/docs`
//! (vendored Swagger UI), and a page for every kind of problem. Strict policy: no inline script,
//! no inline style, nothing from elsewhere. All of it is in the route table.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::OpenApi;

use super::catalogue::{Problem, by_slug};
use super::{Access, ETag, Host, PROBLEMS, PathId, Route, routes};
use crate::app::App;
use crate::base::{Error, Result};

/// What the pages may load: this server's own files, and the small images inside the style sheet.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE: &str = include_str!("docs/page.html");
const INDEX: &str = include_str!("docs/index.html");
const START: &str = include_str!("docs/start.js");
const STYLE: &str = include_str!("docs/style.css");

/// The files of Swagger UI that the page loads; the others stay unserved.
const VENDORED: [&str; 3] = ["swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"];

/// The routes of the documentation.
#[must_use]
pub fn routes() -> Vec<Route<App>> {
    routes_of()
}

/// The same for any program.
pub(super) fn routes_of<S: Host>() -> Vec<Route<S>> {
    vec![
        Route::new(Access::Public, routes!(get_openapi)),
        Route::new(Access::Public, routes!(get_docs)),
        Route::new(Access::Public, routes!(get_docs_file)),
        Route::new(Access::Public, routes!(list_problems)),
        Route::new(Access::Public, routes!(get_problem)),
    ]
}

/// The document of the table that is being served.
#[derive(Clone)]
pub(super) struct Document {
    bytes: Bytes,
    etag: ETag,
}

impl Document {
    pub(super) fn of(document: &OpenApi) -> Result<Self> {
        let bytes = Bytes::from(document.to_json().map_err(Error::internal)?);
        Ok(Self { etag: ETag::of_bytes(&bytes), bytes })
    }
}

/// Shows the OpenAPI document.
#[utoipa::path(get, path = "/openapi.json", responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value)))]
async fn get_openapi(Extension(document): Extension<Document>) -> impl IntoResponse {
    (document.etag, [(CONTENT_TYPE, "application/json")], document.bytes)
}

fn page(kind: &'static str, text: impl IntoResponse) -> Response {
    ([(CONTENT_TYPE, kind), (CONTENT_SECURITY_POLICY, POLICY)], text).into_response()
}

/// Shows the interactive documentation.
#[utoipa::path(get, path = "/docs", responses((status = 200, description = "A page", content_type = "text/html", body = String)))]
async fn get_docs() -> Response {
    page("text/html; charset=utf-8", INDEX)
}

/// Shows a file that the documentation loads.
#[utoipa::path(get, path = "/docs/ui/{file}", params(("file" = String, Path, description = "Its name")),
    responses((status = 200, description = "The file", content_type = "application/octet-stream", body = String)))]
async fn get_docs_file(PathId(file): PathId<String>) -> Result<Response> {
    let mut response = match file.as_str() {
        "start.js" => page("text/javascript; charset=utf-8", START),
        "style.css" => page("text/css; charset=utf-8", STYLE),
        name if VENDORED.contains(&name) => vendored(name)?,
        _ => return Err(Error::NotFound),
    };
    response.headers_mut().insert(CACHE_CONTROL, axum::http::HeaderValue::from_static("public, max-age=3600"));
    Ok(response)
}

fn vendored(name: &str) -> Result<Response> {
    let config = Arc::new(utoipa_swagger_ui::Config::from("/openapi.json"));
    let file = utoipa_swagger_ui::serve(name, config).map_err(|error| Error::internal(error.to_string()))?;
    let file = file.ok_or(Error::NotFound)?;
    let mut response = page("application/octet-stream", file.bytes.into_owned());
    let kind = axum::http::HeaderValue::try_from(file.content_type).map_err(Error::internal)?;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    if file.gzpipped {
        response.headers_mut().insert(CONTENT_ENCODING, axum::http::HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

/// Lists the kinds of problems.
#[utoipa::path(get, path = "/docs/problems", responses((status = 200, description = "A page", content_type = "text/html", body = String)))]
async fn list_problems() -> Response {
    let item = |problem: &Problem| {
        let Problem { slug, status, title, .. } = problem;
        format!("<li>{status} <a href=\"/docs/problems/{slug}\">{}</a></li>", escape(title))
    };
    let items: Vec<String> = PROBLEMS.iter().map(item).collect();
    problem_page("Problems", &format!("<ul>{}</ul>", items.concat()))
}

/// Shows what a kind of problem means and what to do.
#[utoipa::path(get, path = "/docs/problems/{slug}", params(("slug" = String, Path, description = "The last part of the problem's type")),
    responses((status = 200, description = "A page", content_type = "text/html", body = String)))]
async fn get_problem(PathId(slug): PathId<String>) -> Result<Response> {
    let problem = by_slug(&slug).ok_or(Error::NotFound)?;
    let text = format!(
        "<p>Status {}, type <code>/docs/problems/{}</code></p><p>{}</p><p><a href=\"/docs/problems\">All problems</a></p>",
        problem.status,
        problem.slug,
        escape(problem.text)
    );
    Ok(problem_page(problem.title, &text))
}

fn problem_page(title: &str, content: &str) -> Response {
    page("text/html; charset=utf-8", PAGE.replace("{{title}}", &escape(title)).replace("{{content}}", content))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::client;

    #[tokio::test]
    async fn every_kind_of_problem_has_its_page() {
        let client = client();
        let index = client.get("/docs/problems", &[]).await;
        for problem in PROBLEMS {
            let address = format!("/docs/problems/{}", problem.slug);
            let answer = client.get(&address, &[]).await;
            assert_eq!(answer.status, 200, "{address}");
            assert!(String::from_utf8_lossy(&answer.bytes).contains(&escape(problem.text)));
            assert!(String::from_utf8_lossy(&index.bytes).contains(&address));
        }
        assert_eq!(client.get("/docs/problems/unheard-of", &[]).await.status, 404);
    }

    #[tokio::test]
    async fn no_page_needs_an_inline_script_or_style() {
        let client = client();
        for path in ["/docs", "/docs/problems", "/docs/problems/conflict"] {
            let answer = client.get(path, &[]).await;
            let policy = answer.headers["content-security-policy"].to_str().unwrap();
            assert!(!policy.contains("unsafe") && policy.starts_with("default-src 'none'"), "{policy}");
            let text = String::from_utf8_lossy(&answer.bytes).to_lowercase();
            assert!(!text.contains("<style") && !text.contains("style=") && !text.contains("javascript:"), "{path}");
            // A script without a source would be inline; so would an event handler.
            assert_eq!(text.matches("<script").count(), text.matches("<script src=\"/docs/ui/").count(), "{path}");
            assert!(!text.contains(" on"), "{path}");
        }
    }

    #[tokio::test]
    async fn everything_that_a_page_loads_is_there() {
        let client = client();
        let page = client.get("/docs", &[]).await;
        let text = String::from_utf8_lossy(&page.bytes).into_owned();
        let loaded: Vec<&str> = text.split('"').filter(|part| part.starts_with("/docs/ui/")).collect();
        assert_eq!(loaded.len(), 5, "{loaded:?}");
        for path in loaded {
            let answer = client.get(path, &[]).await;
            assert_eq!(answer.status, 200, "{path}");
            assert_ne!(answer.headers["content-type"], "application/octet-stream", "{path}");
        }
        assert_eq!(client.get("/docs/ui/index.html", &[]).await.status, 404);
        assert_eq!(client.get("/docs/ui/..%2fCargo.toml", &[]).await.status, 404);
    }

    #[tokio::test]
    async fn the_document_is_served_with_a_tag() {
        let client = client();
        let answer = client.get("/openapi.json", &[]).await;
        assert_eq!(answer.body["info"]["title"], "Mandate");
        let again = axum::http::Request::get("/openapi.json").header("if-none-match", &answer.headers["etag"]);
        assert_eq!(client.send(again.body(axum::body::Body::empty()).unwrap()).await.status, 304);
    }
}
