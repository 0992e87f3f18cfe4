//! What the conventions ask of a route, read from the route itself: its access, method, path, and
//! the schemas it declares. A new route has its layers by standing in the table; no handler adds
//! them. What a route does with them is the guard's.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use serde_json::Value;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{RefOr, Schema};

use super::Access;
use super::listing::Columns;

/// The last segments of routes on which a second try without a key would be a second act in law.
const KEY_REQUIRED: [&str; 4] = ["signatures", "revocations", "deletion-orders", "breach-notices"];

/// What an `Idempotency-Key` means to a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idempotency {
    /// Nothing: the route reads, or puts what may be put twice.
    Reads,
    /// The answer to a request with a key is kept.
    Kept,
    /// The same, and a request without a key is refused.
    Required,
    /// The gate answers it from its log.
    Gate,
    /// Nobody is known whose key it could be; each try is one of its own.
    Public,
}

/// What the conventions ask of a route.
#[derive(Debug, Clone)]
pub(super) struct Kind {
    /// The columns of a list.
    pub columns: Option<Columns>,
    /// Shows one resource as JSON.
    pub single: bool,
    /// Edits or signs what was seen.
    pub needs_if_match: bool,
    /// What a key means.
    pub idempotency: Idempotency,
    /// Its body holds a secret.
    pub asks_secret: bool,
    /// Its answer shows a secret.
    pub shows_secret: bool,
}

impl Kind {
    pub(super) fn of(access: Access, method: &Method, path: &str, operation: &Operation, schemas: &[(String, RefOr<Schema>)]) -> Self {
        let operation = serde_json::to_value(operation).unwrap_or_default();
        let known: BTreeMap<String, Value> =
            schemas.iter().map(|(name, schema)| (name.clone(), serde_json::to_value(schema).unwrap_or_default())).collect();
        let shown = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        let element = (*method == Method::GET).then(|| element(shown, &known)).flatten();
        let last = path.rsplit('/').next().unwrap_or_default();
        let posts = *method == Method::POST;
        let edits = [Method::PUT, Method::PATCH].contains(method);
        Self {
            single: *method == Method::GET && access != Access::Public && shown.is_object() && element.is_none(),
            columns: element.map(|element| Columns::of(element, &known)),
            needs_if_match: edits || (posts && last == "signatures"),
            idempotency: match access {
                _ if !posts => Idempotency::Reads,
                Access::Public => Idempotency::Public,
                Access::Gate => Idempotency::Gate,
                _ if KEY_REQUIRED.contains(&last) => Idempotency::Required,
                _ => Idempotency::Kept,
            },
            asks_secret: holds_secret(&operation["requestBody"], &known),
            shows_secret: holds_secret(&operation["responses"], &known),
        }
    }
}

/// The schema of a list's elements, if this is the schema of a page.
fn element<'s>(shown: &Value, known: &'s BTreeMap<String, Value>) -> Option<&'s Value> {
    let name = shown["$ref"].as_str()?.rsplit('/').next()?;
    let page = known.get(name).filter(|_| name.starts_with("Page_"))?;
    page.pointer("/properties/data/items")
}

/// True if a schema in this part holds a text of the format `password`.
fn holds_secret(part: &Value, known: &BTreeMap<String, Value>) -> bool {
    fn walk(node: &Value, known: &BTreeMap<String, Value>, seen: &mut BTreeSet<String>) -> bool {
        match node {
            Value::Object(members) => {
                let target = members.get("$ref").and_then(Value::as_str).and_then(|text| text.rsplit('/').next());
                let followed = target.filter(|name| seen.insert((*name).to_owned())).and_then(|name| known.get(name));
                members.get("format").is_some_and(|format| format == "password")
                    || followed.is_some_and(|schema| walk(schema, known, seen))
                    || members.values().any(|value| walk(value, known, seen))
            }
            Value::Array(items) => items.iter().any(|item| walk(item, known, seen)),
            _ => false,
        }
    }
    walk(part, known, &mut BTreeSet::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_known_by_what_it_declares() {
        let table = crate::app::table();
        let find = |id: &str| table.iter().find(|route| route.operation_id == id).unwrap();
        assert!(find("list_recipients").is_list() && !find("list_recipients").is_single());
        assert!(find("show_recipient").is_single() && !find("show_recipient").is_list());
        assert!(!find("get_permit_keys").is_single() && !find("create_recipient").is_single());
        for (id, idempotency) in [
            ("create_recipient", Idempotency::Kept),
            ("sign_instruction", Idempotency::Required),
            ("revoke_session", Idempotency::Required),
            ("replace_instruction_draft", Idempotency::Reads),
            ("list_recipients", Idempotency::Reads),
            ("ask_export", Idempotency::Gate),
            ("log_in", Idempotency::Public),
        ] {
            assert_eq!(find(id).idempotency(), idempotency, "{id}");
        }
        let matching = table.iter().filter(|route| route.needs_if_match()).map(|route| route.operation_id.as_str());
        assert_eq!(matching.collect::<Vec<_>>(), ["replace_instruction_draft", "sign_instruction"]);
    }

    #[test]
    fn the_routes_with_secrets_are_known_by_their_schemas() {
        let table = crate::app::table();
        let kind = |id: &str| &table.iter().find(|route| route.operation_id == id).unwrap().kind;
        for (id, asks, shows) in [
            ("step_up", true, false),
            ("log_in", true, true),
            ("create_api_key", false, true),
            ("create_platform_key", false, true),
            ("sign_instruction", false, false),
            ("suspend_exports", false, false),
        ] {
            assert_eq!((kind(id).asks_secret, kind(id).shows_secret), (asks, shows), "{id}");
        }
    }
}
