//! Permits that every verifier must take: each shape of claims, each edge of time, each key.

use mandate::base::MAX_INTEGER;
use serde_json::{Value, json};

use super::forge::{Forge, ISSUED, Vector, changed, claims, decode, encode};

/// Order of P-256's group (SEC 2 §2.4.2).
pub const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84,
    0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// `ORDER - number`, big-endian.
pub fn negated(number: &[u8]) -> Vec<u8> {
    let mut borrow = 0_i16;
    let mut digits: Vec<u8> = ORDER
        .iter()
        .zip(number)
        .rev()
        .map(|(a, b)| {
            let digit = i16::from(*a) - i16::from(*b) - borrow;
            borrow = i16::from(digit < 0);
            u8::try_from(digit.rem_euclid(256)).unwrap()
        })
        .collect();
    digits.reverse();
    digits
}

/// The permit with its `s` in the upper or the lower half of the group.
fn with_s(token: &str, high: bool) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let signature = decode(signature);
    let (r, s) = signature.split_at(32);
    let s = if (s > negated(s).as_slice()) == high { s.to_vec() } else { negated(s) };
    format!("{signed}.{}", encode(&[r, &s].concat()))
}

fn shapes(key: &Forge) -> Vec<Vector> {
    let entity = "/scope/recipient/legal_entity";
    let text = |name: &str, value: String| (name.to_owned(), entity, json!(value));
    let cases: Vec<(String, &str, Value)> = vec![
        ("volume: nothing stated".into(), "/volume", json!({})),
        ("volume: files only".into(), "/volume", json!({"files": 500})),
        ("volume: bytes only".into(), "/volume", json!({"bytes": 1})),
        ("volume: all three".into(), "/volume", json!({"bytes": 10_737_418_240_u64, "files": 48_000, "rows": 1})),
        ("volume: none at all".into(), "/volume", json!({"rows": 0})),
        ("volume: the greatest number there is".into(), "/volume", json!({"rows": MAX_INTEGER})),
        ("except: nothing".into(), "/except", json!([])),
        ("except: everybody".into(), "/except", json!([{"kind": "whole"}])),
        ("except: a unit".into(), "/except", json!([{"kind": "unit", "unit": "S03"}])),
        ("except: a group".into(), "/except", json!([{"kind": "group", "unit": "S03", "group": "7B"}])),
        ("except: a person".into(), "/except", json!([{"kind": "subject", "ref": "p-1"}])),
        ("except: a person of a unit".into(), "/except", json!([{"kind": "subject", "ref": "p-1", "unit": "S03"}])),
        ("except: fifty".into(), "/except", (0..50).map(|n| json!({"kind": "subject", "ref": format!("p-{n}")})).collect()),
        ("one category".into(), "/scope/data_categories", json!(["identity"])),
        ("twelve categories".into(), "/scope/data_categories", (0..12).map(|n| json!(format!("category-{n}"))).collect()),
        ("a transfer ground".into(), "/scope/recipient/transfer_ground", json!("Art. 46(2)(c), standard contractual clauses of 2021")),
        text("letters beyond ASCII", "Bezirksregierung Köln, Außenstelle Ærøskøbing".into()),
        text("other scripts", "Υπουργείο Παιδείας 文部科学省".into()),
        text("beyond the basic plane", "Skole \u{1f3eb} \u{10348}".into()),
        text("quotes and backslashes", r#"The "Old\School" \\ Trust"#.into()),
        text("marks of other languages", "</script> & <!-- ' ` -->".into()),
        text("a name of 200 characters", "ø".repeat(200)),
        text("a name of digits", "0017".into()),
        text("a name with the words of JSON", "null, true, {\"a\":1}".into()),
        ("the first entry of a log".into(), "/log", {
            let mut log = claims()["log"].clone();
            log["index"] = json!(0);
            log["size"] = json!(1);
            log
        }),
        ("the second epoch of a log".into(), "/log/origin", json!("mandate/cus_019a0c3e5d007a118000000000000001/2")),
        ("a hundred million entries".into(), "/log", {
            let mut log = claims()["log"].clone();
            log["index"] = json!(100_000_000);
            log["size"] = json!(100_000_001);
            log
        }),
        ("a thousand selectors".into(), "/selectors/count", json!(1000)),
        ("a late version".into(), "/instruction/version", json!(4711)),
        ("another customer".into(), "/customer", json!("cus_00000000000070008000000000000000")),
        ("another country".into(), "/scope/recipient/country", json!("GB")),
        ("it ends after one second".into(), "/exp", json!(ISSUED + 61)),
    ];
    cases.into_iter().map(|(name, pointer, value)| Vector::valid(name, key.permit(&changed(pointer, Some(value))))).collect()
}

fn times(key: &Forge) -> Vec<Vector> {
    let at = |name: &str, seconds: i64| Vector::valid(name, key.permit(&claims())).with(json!({"now": ISSUED + seconds}));
    let later = key.permit(&changed("/nbf", Some(json!(ISSUED + 30))));
    vec![
        at("in its first second", 0),
        at("in its last second", 299),
        Vector::valid("it begins after it was issued", later).with(json!({"now": ISSUED + 30})),
        Vector::valid("the shortest life", key.permit(&changed("/exp", Some(json!(ISSUED + 1))))).with(json!({"now": ISSUED})),
    ]
}

fn surroundings(key: &Forge, next: &Forge, other: &Forge) -> Vec<Vector> {
    let plain = || key.permit(&claims());
    let bare = json!({"kty": "EC", "crv": "P-256", "x": key.jwk["x"], "y": key.jwk["y"], "kid": key.kid});
    let mut more = key.jwk.clone();
    more.as_object_mut().unwrap().extend(json!({"key_ops": ["verify"], "x5t": "AA", "nbf": 1}).as_object().unwrap().clone());
    let strangers = json!({"keys": [
        {"kty": "RSA", "kid": "rsa", "n": "AQAB", "e": "AQAB", "use": "sig", "alg": "RS256"},
        {"kty": "OKP", "crv": "Ed25519", "kid": "okp", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        {"kty": "oct", "kid": "oct", "k": "AAAA"},
        {"kty": "from-the-future"},
        key.jwk,
    ]});
    vec![
        Vector::valid("plain", plain()),
        Vector::valid("by the key published next", next.permit(&claims())),
        Vector::valid("s in the lower half", with_s(&plain(), false)),
        Vector::valid("s in the upper half: ECDSA has two signatures for one, both are the key's", with_s(&plain(), true)),
        Vector::valid("fronter", key.permit(&changed("/aud", Some(json!("fronter"))))).with(json!({"audience": "fronter"})),
        Vector::valid("skoleintra", key.permit(&changed("/aud", Some(json!("skoleintra"))))).with(json!({"audience": "skoleintra"})),
        Vector::valid("an issuer with a port and a path", key.permit(&changed("/iss", Some(json!("http://127.0.0.1:8080/x")))))
            .with(json!({"issuer": "http://127.0.0.1:8080/x"})),
        Vector::valid("a key without use and alg", plain()).with(json!({"key_set": {"keys": [bare]}})),
        Vector::valid("a key with members unknown to the profile", plain()).with(json!({"key_set": {"keys": [more]}})),
        Vector::valid("strangers in the key set are left aside", plain()).with(json!({"key_set": strangers})),
        Vector::valid("the key set in another order", plain()).with(json!({"key_set": {"keys": [other.jwk, next.jwk, key.jwk]}})),
    ]
}

pub fn all([key, next, other]: &[Forge; 3]) -> Vec<Vector> {
    [surroundings(key, next, other), times(key), shapes(key)].into_iter().flatten().collect()
}
