//! `tests/vectors/permits.json`: permits that a verifier must take, and permits that it must refuse,
//! each with the fault it must name. The file is what platforms in other languages test against
//! (docs/permits.md); here it is held against the library's own function, and against what makes it.

pub mod forge;
mod headers;
mod invalid;
mod payloads;
mod valid;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use mandate::base::Instant;
use mandate::export::{PermitFault, PermitKeySet, verify_permit};
use serde_json::{Value, json};

use forge::{AUDIENCE, Forge, ISSUER, NOW, Vector};

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/permits.json")
}

fn committed() -> Value {
    serde_json::from_slice(&std::fs::read(file()).unwrap()).unwrap()
}

fn list<'f>(file: &'f Value, name: &str) -> &'f Vec<Value> {
    file[name].as_array().unwrap()
}

/// The library's judgement of a vector of the file.
fn judged(file: &Value, vector: &Value) -> Result<(), PermitFault> {
    let member = |name: &str| vector.get(name).unwrap_or(&file[name]).clone();
    let (issuer, audience) = (member("issuer"), member("audience"));
    let now = Instant::from_millis(member("now").as_i64().unwrap() * 1000).unwrap();
    let keys = PermitKeySet::of(&member("key_set"));
    let token = vector["token"].as_str().unwrap();
    verify_permit(token, &keys, issuer.as_str().unwrap(), audience.as_str().unwrap(), now).map(|_| ())
}

#[test]
fn every_vector_is_judged_right_and_the_fault_is_named() {
    let file = committed();
    let mut wrong = Vec::new();
    for vector in list(&file, "valid") {
        if let Err(fault) = judged(&file, vector) {
            wrong.push(format!("{} is valid, and was refused: {fault}", vector["name"]));
        }
    }
    for vector in list(&file, "invalid") {
        let expected = vector["fault"].as_str().unwrap();
        match judged(&file, vector) {
            Ok(()) => wrong.push(format!("{} was taken", vector["name"])),
            Err(fault) if fault.word() == expected => {}
            Err(fault) => wrong.push(format!("{}: {fault}, not {expected}", vector["name"])),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_vectors_are_many_and_each_stands_for_something() {
    let file = committed();
    let (valid, invalid) = (list(&file, "valid"), list(&file, "invalid"));
    assert!(valid.len() >= 40, "{} valid", valid.len());
    assert!(invalid.len() >= 200, "{} invalid", invalid.len());
    let names: BTreeSet<&str> = valid.iter().chain(invalid).map(|v| v["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), valid.len() + invalid.len(), "each has a name of its own");
    let mut faults: BTreeMap<&str, usize> = BTreeMap::new();
    for vector in invalid {
        assert!(!vector["wrong"].as_str().unwrap().is_empty(), "{}", vector["name"]);
        *faults.entry(vector["fault"].as_str().unwrap()).or_default() += 1;
    }
    for fault in PermitFault::ALL {
        assert!(faults.contains_key(fault.word()), "no vector has the fault {fault}: {faults:?}");
    }
    println!("{} valid, {} invalid: {faults:?}", valid.len(), invalid.len());
}

/// Signatures are random; all else in the file is what the code beside makes.
#[test]
fn the_file_is_what_this_code_makes() {
    let (file, made) = (committed(), vectors());
    for name in ["now", "issuer", "audience", "key_set", "about"] {
        assert_eq!(file[name], made[name], "{name}");
    }
    for name in ["valid", "invalid"] {
        let without_token = |vector: &Value| crate::support::with(vector.clone(), json!({"token": null}));
        let (file, made): (Vec<_>, Vec<_>) =
            (list(&file, name).iter().map(without_token).collect(), list(&made, name).iter().map(without_token).collect());
        assert_eq!(file, made, "{name}: write the file anew, as below");
    }
}

/// The crate that platforms in Rust would take agrees on what it can judge: origin and expiry.
#[test]
fn a_second_library_reads_the_valid_ones() {
    let file = committed();
    for vector in list(&file, "valid") {
        let token = vector["token"].as_str().unwrap();
        let kid = jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
        let keys = vector.get("key_set").unwrap_or(&file["key_set"])["keys"].as_array().unwrap();
        let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(keys.iter().find(|k| k["kid"] == kid).unwrap().clone()).unwrap();
        let key = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
        let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
        rules.validate_exp = false;
        rules.set_audience(&[vector.get("audience").unwrap_or(&file["audience"]).as_str().unwrap()]);
        jsonwebtoken::decode::<Value>(token, &key, &rules).unwrap_or_else(|e| panic!("{}: {e}", vector["name"]));
    }
}

/// Writes the file anew: `cargo test --test it -- --ignored the_vectors_are_written_anew`.
#[test]
#[ignore = "writes tests/vectors/permits.json; signatures are random, so it changes each time"]
fn the_vectors_are_written_anew() {
    let mut text = serde_json::to_string_pretty(&vectors()).unwrap();
    text.push('\n');
    std::fs::write(file(), text).unwrap();
}

fn vectors() -> Value {
    let keys = Forge::all();
    let json = |vectors: Vec<Vector>| vectors.iter().map(Vector::json).collect::<Value>();
    json!({
        "about": "Permits for testing a verifier; docs/permits.md has the rules. A vector may carry now, issuer, audience or key_set of its \
                  own; what it does not carry stands here. The keys are published, so they protect nothing.",
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "now": NOW,
        "key_set": {"keys": [keys[0].jwk, keys[1].jwk]},
        "valid": json(valid::all(&keys)),
        "invalid": json(invalid::all(&keys)),
    })
}
