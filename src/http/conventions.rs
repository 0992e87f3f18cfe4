//! The conventions in the OpenAPI document: the headers, parameters and forms that the guard adds to
//! a route by its kind, so that what is documented and what is done come from the same table.

use axum::http::Method;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{Content, ObjectBuilder, RefOr, Required, Response, ResponseBuilder, Schema, Type};

use super::{Access, Host, Idempotency, Route};

/// A header of an answer: its name and what it says.
type Told = (&'static str, &'static str);

const REQUEST_ID: Told = ("X-Request-Id", "The id of the request: the client's, or one that was made.");
const RATE_LIMIT: Told =
    ("RateLimit", "What is left of the quota and the seconds until it is whole again, as \"policy\";r=LEFT;t=SECONDS.");
const POLICY: Told = ("RateLimit-Policy", "The quota and its window in seconds, as \"policy\";q=QUOTA;w=SECONDS.");
const RETRY_AFTER: Told = ("Retry-After", "Seconds until the next try.");
const ETAG: Told = ("ETag", "Strong entity tag of the resource as it is shown.");
const REPLAYED: Told = ("Idempotency-Replayed", "true: this is the answer to an earlier request with the same key.");
const NEXT: Told = ("Link", "As CSV: the reference of the next page, with rel=\"next\"; absent on the last.");

fn text() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).into()
}

fn tell(response: &mut Response, told: &[Told]) {
    for (name, description) in told {
        let header = HeaderBuilder::new().schema(Some(text())).description(Some(*description)).build();
        response.headers.entry((*name).to_owned()).or_insert(RefOr::T(header));
    }
}

fn parameter(name: &str, required: bool, description: &str) -> Parameter {
    let required = if required { Required::True } else { Required::False };
    let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Header).required(required);
    let schema: RefOr<Schema> = match name {
        "Idempotency-Key" => {
            ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(255)).pattern(Some("^[!-~]+$")).into()
        }
        _ => text(),
    };
    parameter.description(Some(description)).schema(Some(schema)).build()
}

/// Adds what the guard adds.
pub(super) fn describe<S: Host>(route: &Route<S>, operation: &mut Operation) {
    let mut parameters = Vec::new();
    let key = |required, text| parameter("Idempotency-Key", required, text);
    match route.idempotency() {
        Idempotency::Kept => {
            parameters.push(key(false, "Makes a second try harmless: for 30 days the same key and body get the same answer."))
        }
        Idempotency::Required => {
            parameters.push(key(true, "Makes a second try harmless: for 30 days the same key and body get the same answer."))
        }
        Idempotency::Public => parameters.push(key(false, "Without effect: nobody is known whose key it could be.")),
        // The gate's handlers declare theirs.
        Idempotency::Gate | Idempotency::Reads => {}
    }
    if route.is_single() {
        parameters.push(parameter("If-None-Match", false, "The ETag of a copy; 304 if it is still the present one."));
        let mut unchanged = ResponseBuilder::new().description("The copy is the present one.").build();
        tell(&mut unchanged, &[ETAG, REQUEST_ID, RATE_LIMIT, POLICY]);
        operation.responses.responses.entry("304".to_owned()).or_insert(RefOr::T(unchanged));
    }
    operation.parameters.get_or_insert_default().extend(parameters.into_iter().map(RefOr::T));
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        tell(response, &[REQUEST_ID, RATE_LIMIT, POLICY]);
        if !status.starts_with('2') {
            continue;
        }
        if route.is_single() {
            tell(response, &[ETAG]);
        }
        if route.method == Method::POST && route.access != Access::Public {
            tell(response, &[REPLAYED]);
        }
        if route.is_list() {
            tell(response, &[NEXT]);
            response.content.insert("text/csv".to_owned(), RefOr::T(Content::new(Some(text()))));
        }
    }
}

/// The headers of a problem.
pub(super) fn headers_of_problem(status: u16, response: &mut Response) {
    tell(response, &[REQUEST_ID, RATE_LIMIT, POLICY]);
    if matches!(status, 429 | 503) {
        tell(response, &[RETRY_AFTER]);
    }
}
