//! The route table: who may call, which method and path, which handler. The router is built from
//! it and from nothing else, so a route outside the table does not exist, and tests can walk every
//! route that does. What a table must hold is checked before it serves.

use std::collections::BTreeSet;

use axum::Extension;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::MethodRouter;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::{OpenApi, RefOr, Schema};
use utoipa_axum::router::UtoipaMethodRouter;

use super::docs::Document;
use super::guard::{self, Guard};
use super::kind::{Idempotency, Kind};
use super::{Access, Host, JSON_LIMIT, Surface, layers};
use crate::app::App;
use crate::base::{Error, Result};

/// Collects one handler for [`Route::new`]. One handler is one route: each has its own access.
#[macro_export]
macro_rules! http_routes {
    ($handler:path $(,)?) => {
        utoipa_axum::routes!($handler)
    };
}
pub use http_routes as routes;

/// One route.
pub struct Route<S = App> {
    /// Who may call it.
    pub access: Access,
    /// Its method.
    pub method: Method,
    /// Its path, with `{names}` in place of segments that vary.
    pub path: String,
    /// Its name in the OpenAPI document.
    pub operation_id: String,
    /// The query parameters it declares; all others are refused.
    pub query: Vec<String>,
    /// The most bytes its body may have.
    pub body_limit: usize,
    /// True if a session may call it that must enrol a second factor first.
    pub before_enrolment: bool,
    /// True if it is open while a restore has left the caller's state unconfirmed.
    pub while_unconfirmed: bool,
    pub(super) operation: Operation,
    pub(super) schemas: Vec<(String, RefOr<Schema>)>,
    /// What the conventions ask of it.
    pub(super) kind: Kind,
    handler: MethodRouter<S>,
    several: bool,
}

impl<S: Host> Route<S> {
    /// A route: `Route::new(Access::institution(&[..]), routes!(list))`.
    #[must_use]
    pub fn new(access: Access, (mut schemas, paths, handler): UtoipaMethodRouter<S>) -> Self {
        let mut found: Vec<(String, Method, Operation)> = Vec::new();
        for (path, item) in paths.paths {
            found.extend(operations(item).map(|(method, operation)| (path.clone(), method, operation)));
        }
        let several = found.len() > 1;
        let (path, method, operation) = found.into_iter().next().unwrap_or_default();
        let operation_id = operation.operation_id.clone().unwrap_or_default();
        let query = names(&operation, &ParameterIn::Query);
        // A schema comes once for every place that names it.
        schemas.sort_by(|a, b| a.0.cmp(&b.0));
        schemas.dedup();
        let kind = Kind::of(access, &method, &path, &operation, &schemas);
        Self {
            access,
            method,
            path,
            operation_id,
            query,
            body_limit: JSON_LIMIT,
            before_enrolment: false,
            while_unconfirmed: false,
            operation,
            schemas,
            kind,
            handler,
            several,
        }
    }

    /// Opens the route to a session that must enrol a second factor first: what enrolling needs, and
    /// what ends the session.
    #[must_use]
    pub const fn before_enrolment(mut self) -> Self {
        self.before_enrolment = true;
        self
    }

    /// Opens the route while a restore has left the caller's state unconfirmed: to a member what concerns
    /// the own account, and to the staff, who read anyhow, what narrows.
    #[must_use]
    pub const fn while_unconfirmed(mut self) -> Self {
        self.while_unconfirmed = true;
        self
    }

    /// Lets the body have this many bytes instead of 1 MiB.
    #[must_use]
    pub const fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// Where the route lies: the surface of its path, which for a public route may be any.
    #[must_use]
    pub fn surface(&self) -> Surface {
        Surface::of(&self.path)
    }

    /// The resource it is about: the first segment after the surface's prefix.
    #[must_use]
    pub fn resource(&self) -> &str {
        let rest = self.path.strip_prefix(self.surface().prefix()).unwrap_or(&self.path);
        rest.split('/').next().unwrap_or_default()
    }

    /// True if it answers a page of a list.
    #[must_use]
    pub const fn is_list(&self) -> bool {
        self.kind.columns.is_some()
    }

    /// True if it shows one resource, so that it has an entity tag.
    #[must_use]
    pub const fn is_single(&self) -> bool {
        self.kind.single
    }

    /// True if it edits or signs what the caller has seen, so that it needs `If-Match`.
    #[must_use]
    pub const fn needs_if_match(&self) -> bool {
        self.kind.needs_if_match
    }

    /// What an `Idempotency-Key` means to it.
    #[must_use]
    pub const fn idempotency(&self) -> Idempotency {
        self.kind.idempotency
    }

    /// What is wrong with the route by itself.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut demand = |holds: bool, text: &str| {
            if !holds {
                faults.push(format!("{} {}: {text}", self.method, self.path));
            }
        };
        demand(!self.several && self.path.starts_with('/'), "is not one method of one path");
        demand(!self.operation_id.is_empty(), "has no operation id");
        demand(self.access == Access::Public || self.access.surface() == self.surface(), "does not lie on the surface of its access");
        let is_open = matches!(self.access, Access::Public | Access::Gate);
        demand(is_open || !self.access.roles().is_empty(), "lists no role");
        let declared: BTreeSet<String> = names(&self.operation, &ParameterIn::Path).into_iter().collect();
        let segments: BTreeSet<String> = segments(&self.path).collect();
        demand(declared == segments, "does not declare exactly the parameters of its path");
        let described = self.operation.summary.as_deref().is_some_and(|text| !text.is_empty());
        demand(described, "has no summary (the first line of the handler's doc comment)");
        let pages = ["limit", "cursor"].iter().all(|name| self.query.iter().any(|query| query == name));
        demand(!self.is_list() || pages, "answers a page and does not take limit and cursor");
        let matches = names(&self.operation, &ParameterIn::Header).iter().any(|name| name.eq_ignore_ascii_case("if-match"));
        demand(matches == self.needs_if_match(), "edits or signs without If-Match, or asks for it to do something else");
        faults
    }
}

fn operations(item: PathItem) -> impl Iterator<Item = (Method, Operation)> {
    let methods = [
        (Method::GET, item.get),
        (Method::POST, item.post),
        (Method::PUT, item.put),
        (Method::PATCH, item.patch),
        (Method::DELETE, item.delete),
        (Method::HEAD, item.head),
        (Method::OPTIONS, item.options),
        (Method::TRACE, item.trace),
    ];
    methods.into_iter().filter_map(|(method, operation)| Some((method, operation?)))
}

/// The names of the parameters that an operation declares in one place.
pub(super) fn names(operation: &Operation, place: &ParameterIn) -> Vec<String> {
    let parameters = operation.parameters.iter().flatten();
    parameters
        .filter_map(|parameter| match parameter {
            RefOr::T(parameter) if parameter.parameter_in == *place => Some(parameter.name.clone()),
            _ => None,
        })
        .collect()
}

fn segments(path: &str) -> impl Iterator<Item = String> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).map(|name| name.trim_start_matches('*').to_owned())
}

/// The path with every name replaced, so that two that match the same requests are equal.
fn shape(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// The document of a table that holds what it must: each route whole by itself, none twice, no
/// operation id twice.
///
/// # Errors
/// Every fault at once.
pub fn checked<S: Host>(table: &[Route<S>]) -> Result<OpenApi> {
    let mut faults: Vec<String> = table.iter().flat_map(Route::faults).collect();
    let mut places = BTreeSet::new();
    let mut ids = BTreeSet::new();
    let mut spellings = std::collections::BTreeMap::new();
    for route in table {
        let place = (route.method.to_string(), shape(&route.path));
        if !places.insert(place) {
            faults.push(format!("{} {}: stands twice", route.method, route.path));
        }
        if !ids.insert(&route.operation_id) {
            faults.push(format!("{} {}: operation id {} stands twice", route.method, route.path, route.operation_id));
        }
        // The router would panic on two names for one segment.
        let known = spellings.entry(shape(&route.path)).or_insert(&route.path);
        if **known != route.path {
            faults.push(format!("{} {}: is spelt {known} elsewhere", route.method, route.path));
        }
    }
    let (document, of_document) = super::openapi::document(table);
    faults.extend(of_document);
    if faults.is_empty() { Ok(document) } else { Err(Error::internal(format!("route table: {}", faults.join("; ")))) }
}

/// The router of a table. Every request passes the envelope (`layers`), then its route's guard.
///
/// # Errors
/// When the table has a fault: see [`checked`].
pub fn router<S: Host>(host: S, table: Vec<Route<S>>) -> Result<axum::Router> {
    let bare = router_without_envelope(host.clone(), table)?;
    Ok(bare.layer(from_fn_with_state(host, layers::envelope::<S>)))
}

/// The same without the envelope: the control of the test that shows what it is for.
///
/// # Errors
/// As [`router`].
#[doc(hidden)]
pub fn router_without_envelope<S: Host>(host: S, table: Vec<Route<S>>) -> Result<axum::Router> {
    let document = Document::of(&checked(&table)?)?;
    let mut router = axum::Router::new();
    for route in table {
        let guard = Guard::of(host.clone(), &route);
        let handler = route.handler.route_layer(from_fn_with_state(guard, guard::pass::<S>));
        router = router.route(&route.path, handler);
    }
    Ok(router.layer(Extension(document)).with_state(host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::{Probe, table};

    #[utoipa::path(get, path = "/api/v1/things/{id}", params(("id" = String, Path)))]
    async fn silent() {}
    /// Lies on another surface.
    #[utoipa::path(get, path = "/api/admin/v1/things")]
    async fn elsewhere() {}
    /// Names its segment otherwise.
    #[utoipa::path(get, path = "/api/v1/things/{thing}/parts", params(("thing" = String, Path)))]
    async fn thing_parts() {}
    /// Declares nothing.
    #[utoipa::path(delete, path = "/api/v1/things/{id}/parts")]
    async fn undeclared() {}
    /// Answers two methods.
    #[utoipa::path(method(get, put), path = "/api/v1/two")]
    async fn two() {}

    const READERS: Access = Access::institution(&[crate::http::CustomerRole::CustomerReader]);

    fn faults(table: &[Route<Probe>]) -> String {
        crate::http::problem::chain(&checked(table).map(drop).unwrap_err())
    }

    #[tokio::test]
    async fn a_table_with_a_fault_does_not_serve() {
        let cases: Vec<(Vec<Route<Probe>>, &str)> = vec![
            (vec![Route::new(READERS, routes!(silent))], "has no summary"),
            (vec![Route::new(READERS, routes!(elsewhere))], "does not lie on the surface"),
            (vec![Route::new(Access::institution(&[]), routes!(thing_parts))], "lists no role"),
            (vec![Route::new(READERS, routes!(undeclared))], "does not declare exactly"),
            (vec![Route::new(READERS, routes!(two))], "is not one method of one path"),
            (vec![Route::new(READERS, routes!(thing_parts)), Route::new(READERS, routes!(undeclared))], "is spelt"),
            (vec![Route::new(READERS, routes!(thing_parts)), Route::new(READERS, routes!(thing_parts))], "stands twice"),
        ];
        for (table, fault) in cases {
            assert!(faults(&table).contains(fault), "{fault}: {}", faults(&table));
            assert!(router(Probe::default(), table).is_err());
        }
        assert!(router(Probe::default(), table()).is_ok());
    }
}
