//! The OpenAPI 3.1 document of a route table. What the table knows (credentials, roles, the errors
//! a route can answer) is added here, so that no handler can forget to document it.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use utoipa::openapi::path::{Operation, PathItem, Paths};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, Content, Info, OpenApi, OpenApiBuilder, Ref, RefOr, Response, ResponseBuilder, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::catalogue::PROBLEMS;
use super::problem::ProblemBody;
use super::{Access, Credential, Host, Idempotency, Route, conventions};
use crate::base;

const SESSION: &str = "session";
const API_KEY: &str = "api_key";
const PLATFORM_KEY: &str = "platform_key";

/// The document of a table: every route in it and no other.
#[must_use]
pub fn openapi<S: Host>(table: &[Route<S>]) -> OpenApi {
    document(table).0
}

/// The document of a table, and what is wrong with it: a name that stands for two schemas, of which
/// the document would show one for both, or for none.
pub(super) fn document<S: Host>(table: &[Route<S>]) -> (OpenApi, Vec<String>) {
    let (schemas, twice) = schemas(table);
    let mut faults: Vec<String> = twice.iter().map(|name| format!("two schemas are named {name}")).collect();
    let known: BTreeSet<String> = schemas.keys().cloned().collect();
    let mut paths = Paths::new();
    for route in table {
        // The document knows no segments that stand for several.
        let item = paths.paths.entry(route.path.replace("{*", "{")).or_default();
        if let Some(slot) = slot(item, &route.method) {
            *slot = Some(described(route));
        }
    }
    let mut components = Components::new();
    components.schemas = schemas;
    components.responses = responses();
    for (name, description) in [
        (SESSION, "The token of a session, created with e-mail and password."),
        (API_KEY, "An API key of the surface."),
        (PLATFORM_KEY, "The key of a platform."),
    ] {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description)).build();
        components.add_security_scheme(name, SecurityScheme::Http(scheme));
    }
    let mut info = Info::new("Mandate", env!("CARGO_PKG_VERSION"));
    info.description = Some(env!("CARGO_PKG_DESCRIPTION").to_owned());
    let document = OpenApiBuilder::new().info(info).paths(paths).components(Some(components)).build();
    let unknown = &targets(&document) - &known;
    faults.extend(unknown.iter().map(|name| format!("no route brings the schema {name}: write inline({name}) at the parameter")));
    (document, faults)
}

/// Every schema that the routes bring along, and the shared words that parameters refer to (types of
/// parameters are not collected with a route); and the names that stand for two.
fn schemas<S: Host>(table: &[Route<S>]) -> (BTreeMap<String, RefOr<Schema>>, BTreeSet<String>) {
    let mut problem = Vec::new();
    ProblemBody::schemas(&mut problem);
    let mut known: BTreeMap<String, RefOr<Schema>> = problem.into_iter().collect();
    known.insert(ProblemBody::name().into_owned(), ProblemBody::schema());
    let parameters = table.iter().flat_map(|route| targets(&route.operation.parameters)).collect::<BTreeSet<_>>();
    macro_rules! add {
        ($name:ident) => {
            if parameters.contains(&*<base::$name as ToSchema>::name()) {
                known.insert(<base::$name as ToSchema>::name().into_owned(), base::$name::schema());
            }
        };
    }
    base::for_each_id!(add);
    base::for_each_text!(add);
    add!(Instant);
    add!(Digest);
    let mut twice = BTreeSet::new();
    for (name, schema) in table.iter().flat_map(|route| &route.schemas) {
        match known.get(name) {
            None => drop(known.insert(name.clone(), schema.clone())),
            Some(other) if other != schema => drop(twice.insert(name.clone())),
            Some(_) => {}
        }
    }
    (known, twice)
}

/// The names of the schemas that a part of the document refers to.
fn targets(part: &impl serde::Serialize) -> BTreeSet<String> {
    let text = serde_json::to_string(part).unwrap_or_default();
    text.split("\"#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

fn slot<'a>(item: &'a mut PathItem, method: &Method) -> Option<&'a mut Option<Operation>> {
    Some(match *method {
        Method::GET => &mut item.get,
        Method::POST => &mut item.post,
        Method::PUT => &mut item.put,
        Method::PATCH => &mut item.patch,
        Method::DELETE => &mut item.delete,
        Method::HEAD => &mut item.head,
        Method::OPTIONS => &mut item.options,
        Method::TRACE => &mut item.trace,
        _ => return None,
    })
}

/// One shared response for each status of the catalogue.
fn responses() -> BTreeMap<String, RefOr<Response>> {
    let mut responses = BTreeMap::new();
    for problem in PROBLEMS {
        let same = PROBLEMS.iter().filter(|other| other.status == problem.status);
        let kinds: Vec<_> = same.map(|other| format!("[{}](/docs/problems/{})", other.title, other.slug)).collect();
        let content = Content::new(Some(Ref::from_schema_name(ProblemBody::name())));
        let mut response = ResponseBuilder::new().description(kinds.join(", ")).content("application/problem+json", content).build();
        conventions::headers_of_problem(problem.status, &mut response);
        responses.insert(problem.status.to_string(), RefOr::T(response));
    }
    responses
}

/// The operation as its handler declares it, with what the table knows.
fn described<S: Host>(route: &Route<S>) -> Operation {
    let mut operation = route.operation.clone();
    operation.tags = Some(vec![format!("{}: {}", route.surface().word(), route.resource())]);
    operation.security = Some(security(&route.access));
    let roles = route.access.roles();
    if !roles.is_empty() {
        operation.extensions.get_or_insert_default().insert("x-roles".to_owned(), roles.into());
    }
    conventions::describe(route, &mut operation);
    for status in errors(route) {
        let response = Ref::from_response_name(status.to_string());
        operation.responses.responses.entry(status.to_string()).or_insert(RefOr::Ref(response));
    }
    operation
}

fn security(access: &Access) -> Vec<SecurityRequirement> {
    let schemes: &[&str] = match access {
        Access::Public => &[],
        Access::Gate => &[PLATFORM_KEY],
        Access::Institution { credential, .. } | Access::Admin { credential, .. } => match credential {
            Credential::SessionOnly => &[SESSION],
            Credential::SessionOrKey => &[SESSION, API_KEY],
        },
    };
    schemes.iter().map(|name| SecurityRequirement::new(*name, <[&str; 0]>::default())).collect()
}

/// The errors that a route can answer, by what it takes and who may call it.
fn errors<S: Host>(route: &Route<S>) -> Vec<u16> {
    let mut statuses = vec![400, 429, 500, 503];
    if route.access != Access::Public {
        statuses.extend([401, 403]);
    }
    if route.path.contains('{') {
        statuses.push(404);
    }
    if !matches!(route.method, Method::GET | Method::HEAD) {
        statuses.push(409);
    }
    if route.is_list() {
        statuses.push(406);
    }
    if matches!(route.idempotency(), Idempotency::Kept | Idempotency::Required) {
        statuses.extend([413, 422]);
    }
    if route.operation.request_body.is_some() {
        statuses.extend([413, 415, 422]);
    }
    if route.needs_if_match() {
        statuses.extend([412, 428]);
    }
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::routes;
    use crate::http::testing::table;

    fn document() -> serde_json::Value {
        serde_json::to_value(openapi(&table())).unwrap()
    }

    #[test]
    fn the_document_has_every_route_of_the_table_and_no_other() {
        let written: BTreeSet<_> = table().iter().map(|route| (route.path.clone(), route.method.as_str().to_lowercase())).collect();
        let document = document();
        let mut documented = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            documented.extend(item.as_object().unwrap().keys().map(|method| (path.clone(), method.clone())));
        }
        assert_eq!(documented, written);
        assert!(written.len() > 5);
        // Control: a route less in the table is a route less in the document.
        let mut shorter = table();
        shorter.pop();
        assert_ne!(serde_json::to_value(openapi(&shorter)).unwrap()["paths"], document["paths"]);
    }

    #[test]
    fn each_operation_says_who_may_call_it_and_what_can_go_wrong() {
        let document = document();
        assert_eq!(document["openapi"], "3.1.0");
        let create = &document["paths"]["/api/v1/things"]["post"];
        assert_eq!(create["security"], serde_json::json!([{"session": []}, {"api_key": []}]));
        assert_eq!(create["x-roles"], serde_json::json!(["customer_admin"]));
        assert_eq!(create["tags"], serde_json::json!(["institution: things"]));
        let answers: Vec<_> = create["responses"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(answers, ["201", "400", "401", "403", "409", "413", "415", "422", "429", "500", "503"]);
        assert_eq!(document["paths"]["/open"]["get"]["security"], serde_json::json!([]));
        let secrets = &document["paths"]["/api/v1/secrets"]["get"];
        assert_eq!(secrets["security"], serde_json::json!([{"session": []}]));
    }

    #[test]
    fn a_schema_is_named_once_and_is_there() {
        mod other {
            #[derive(utoipa::ToSchema)]
            pub struct Thing {
                #[expect(dead_code, reason = "only its schema is looked at")]
                pub size: u32,
            }
        }
        #[derive(utoipa::ToSchema)]
        #[expect(dead_code, reason = "only its schema is looked at")]
        enum Lost {
            One,
        }
        /// Shows another thing.
        #[utoipa::path(get, path = "/other", responses((status = 200, body = other::Thing)))]
        async fn other_thing() {}
        /// Names a type that nobody collects.
        #[utoipa::path(get, path = "/lost", params(("lost" = Lost, Query)))]
        async fn lost() {}
        /// Describes it in place.
        #[utoipa::path(get, path = "/found", params(("lost" = inline(Lost), Query)))]
        async fn found() {}

        let with = |route| {
            let mut table = table();
            table.push(route);
            super::document(&table).1
        };
        assert_eq!(super::document(&table()).1, Vec::<String>::new());
        assert_eq!(with(Route::new(Access::Public, routes!(found))), Vec::<String>::new());
        assert_eq!(with(Route::new(Access::Public, routes!(other_thing))), ["two schemas are named Thing"]);
        assert!(with(Route::new(Access::Public, routes!(lost)))[0].contains("schema Lost"));
        let shared = &document()["components"]["schemas"];
        assert!(shared["InstructionId"].is_object() && shared["CustomerId"].is_null());
    }
}
