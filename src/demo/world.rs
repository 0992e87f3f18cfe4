//! `world.json` as it stands: who there is, and what was agreed when.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Deserialize;
use serde_json::Value;

use crate::base::{Error, Result};

/// The file.
#[derive(Debug, Deserialize)]
pub struct World {
    pub processor: Processor,
    pub customers: Vec<Customer>,
    pub recipients: Vec<Recipient>,
    pub ops: Vec<Ops>,
    pub auditor: Auditor,
}

#[derive(Debug, Deserialize)]
pub struct Processor {
    pub platforms: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub struct Customer {
    pub key: String,
    pub name: String,
    pub kind: String,
    pub country: String,
    pub zone: chrono_tz::Tz,
    pub language: String,
    pub units: Vec<String>,
    pub people: Vec<Person>,
    /// Parameters as the admin surface takes them, and what the loader needs of them besides.
    pub agreements: Vec<Value>,
    pub external_ids: BTreeMap<String, String>,
    pub contacts: Contacts,
}

#[derive(Debug, Deserialize)]
pub struct Contacts {
    pub privacy: Vec<String>,
    pub second: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub struct Person {
    pub name: String,
    pub email: String,
    pub role: String,
    pub authority: Option<Authority>,
}

#[derive(Debug, Deserialize)]
pub struct Authority {
    pub kinds: Vec<String>,
    /// `all`, or a list of units.
    pub units: Value,
}

#[derive(Debug, Deserialize)]
pub struct Recipient {
    pub customer: String,
    pub legal_entity: String,
    pub country: String,
    pub role: String,
}

#[derive(Debug, Deserialize)]
pub struct Ops {
    pub name: String,
    pub email: String,
    pub role: String,
}

#[derive(Debug, Deserialize)]
pub struct Auditor {
    pub customer: String,
    pub name: String,
    pub email: String,
    pub until_on: NaiveDate,
}

impl World {
    /// Reads the built-in file.
    ///
    /// # Errors
    /// When the file does not have this shape.
    pub fn read() -> Result<Self> {
        serde_json::from_str(include_str!("../../config/data/world.json")).map_err(Error::internal)
    }
}

/// A text member of an agreement.
pub fn text<'v>(agreement: &'v Value, name: &str) -> &'v str {
    agreement.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The day an agreement was accepted.
///
/// # Errors
/// When the world has no such date.
pub fn accepted_on(agreement: &Value) -> Result<NaiveDate> {
    text(agreement, "accepted_on").parse().map_err(Error::internal)
}
