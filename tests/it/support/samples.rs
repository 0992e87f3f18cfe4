//! The export that most tests ask for, and the instruction that covers it, at Nordvik.

use serde_json::{Value, json};

pub const KARI: &str = "kari.solheim@nordvik.example";
pub const MAJA: &str = "maja.berg@nordvik.example";
pub const JONAS: &str = "jonas.lie@nordvik.example";
pub const ADMIN: &str = "admin@ops.example";
pub const PRIVACY: &str = "privacy@ops.example";
pub const SECURITY: &str = "security@ops.example";

/// An instruction of Nordvik for exports to its school authority.
pub fn instruction() -> Value {
    json!({
        "kind": "export",
        "platforms": ["itslearning"],
        "channels": ["organisation-api"],
        "purposes": ["statutory-reporting"],
        "data_categories": ["identity", "enrolment"],
        "subjects": [{"kind": "whole"}],
        "recipients": [{"legal_entity": "Utdanningsregisteret", "country": "NO", "role": "school_authority"}],
        "text": "Report enrolment to the school authority.",
    })
}

/// An export that it covers.
pub fn export() -> Value {
    json!({
        "customer": "site-1001-its",
        "platform": "itslearning",
        "channel": "organisation-api",
        "purpose": "statutory-reporting",
        "data_categories": ["identity", "enrolment"],
        "subjects": [{"kind": "unit", "unit": "S03"}],
        "recipient": {"legal_entity": "Utdanningsregisteret", "country": "NO", "role": "school_authority"},
        "requested_by": {"kind": "job", "ref": "nightly"},
    })
}

/// The value with members replaced; a null removes one.
pub fn with(mut value: Value, changes: Value) -> Value {
    for (name, change) in changes.as_object().unwrap() {
        let members = value.as_object_mut().unwrap();
        if change.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), change.clone());
        }
    }
    value
}
