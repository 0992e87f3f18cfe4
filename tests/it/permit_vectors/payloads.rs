//! Payloads that are not the canonical JSON of a permit's claims, each rightly signed.

use mandate::base::{MAX_INTEGER, canonical};
use mandate::export::PermitFault as F;
use serde_json::{Value, json};

use super::forge::{Forge, ISSUED, Vector, changed, claims};

/// Every member that a permit must have.
const MEMBERS: [&str; 32] = [
    "/iss",
    "/aud",
    "/jti",
    "/iat",
    "/nbf",
    "/exp",
    "/customer",
    "/instruction",
    "/instruction/id",
    "/instruction/version",
    "/instruction/document_sha256",
    "/agreement",
    "/agreement/id",
    "/agreement/version",
    "/scope",
    "/scope/channel",
    "/scope/purpose",
    "/scope/data_categories",
    "/scope/recipient",
    "/scope/recipient/legal_entity",
    "/scope/recipient/country",
    "/scope/recipient/role",
    "/volume",
    "/selectors",
    "/selectors/count",
    "/selectors/salt",
    "/selectors/sha256",
    "/except",
    "/log",
    "/log/origin",
    "/log/index",
    "/log/root",
];

fn members(key: &Forge) -> Vec<Vector> {
    let mut found = Vec::new();
    for pointer in MEMBERS {
        let wrong = "a member is missing";
        found.push(Vector::invalid(format!("{pointer} is missing"), F::Payload, wrong, key.permit(&changed(pointer, None))));
    }
    for pointer in MEMBERS.iter().filter(|pointer| !pointer.ends_with("data_categories") && **pointer != "/except") {
        let value = claims().pointer(pointer).unwrap().clone();
        let token = key.permit(&changed(pointer, Some(json!([value]))));
        found.push(Vector::invalid(format!("{pointer} is a list"), F::Payload, "a list where one value belongs", token));
    }
    for pointer in ["/aud", "/jti", "/exp", "/scope", "/volume", "/except", "/scope/data_categories", "/log/size"] {
        let token = key.permit(&changed(pointer, Some(Value::Null)));
        found.push(Vector::invalid(format!("{pointer} is null"), F::Payload, "null where a value belongs", token));
    }
    for parent in ["", "/instruction", "/agreement", "/scope", "/scope/recipient", "/volume", "/selectors", "/log"] {
        let token = key.permit(&changed(&format!("{parent}/zone"), Some(json!("x"))));
        found.push(Vector::invalid(format!("one member more in {parent}/"), F::Payload, "a member that no permit has", token));
    }
    for name in ["sub", "scp", "kid", "cnf", "admin", "__proto__"] {
        let token = key.permit(&changed(&format!("/{name}"), Some(json!("x"))));
        found.push(Vector::invalid(format!("one member more: {name}"), F::Payload, "a member that no permit has", token));
    }
    found
}

fn values(key: &Forge) -> Vec<Vector> {
    let cases = [
        ("/exp", json!((ISSUED + 300).to_string()), "a number as a text"),
        ("/exp", json!(true), "true for a number"),
        ("/iat", json!(-1), "a number below zero"),
        ("/nbf", json!(1_795_521_600.5), "a broken number"),
        ("/volume/rows", json!(-1), "a number below zero"),
        ("/volume/rows", json!("1200"), "a number as a text"),
        ("/volume/rows", json!(1.5), "a broken number"),
        ("/volume/rows", Value::Null, "null for a number that is absent"),
        ("/volume/files", json!(false), "false for a number"),
        ("/instruction/version", json!("1"), "a number as a text"),
        ("/instruction/version", json!(-1), "a number below zero"),
        ("/aud", json!(""), "an empty text"),
        ("/aud", json!(7), "a number for a text"),
        ("/aud", json!({"platform": "itslearning"}), "an object for a text"),
        ("/iss", json!(true), "true for a text"),
        ("/jti", json!("ins_019a0c3e5d007a118000000000000002"), "an id of another kind"),
        ("/jti", json!("019a0c3e5d007a118000000000000002"), "an id without its kind"),
        ("/jti", json!("exp_019A0C3E5D007A118000000000000002"), "an id in capitals"),
        ("/jti", json!("exp_019a0c3e-5d00-7a11-8000-000000000002"), "an id with dashes"),
        ("/jti", json!("exp_019a0c3e5d007a11800000000000000"), "an id that is too short"),
        ("/jti", json!(""), "an empty id"),
        ("/customer", json!("exp_019a0c3e5d007a118000000000000001"), "an id of another kind"),
        ("/instruction/id", json!("agr_019a0c3e5d007a118000000000000003"), "an id of another kind"),
        ("/agreement/id", json!("ins_019a0c3e5d007a118000000000000004"), "an id of another kind"),
        ("/instruction/document_sha256", json!("1F".repeat(32)), "a digest in capitals"),
        ("/selectors/salt", json!("2a".repeat(31)), "a digest that is too short"),
        ("/selectors/sha256", json!(format!("sha256:{}", "3b".repeat(32))), "a digest with its name"),
        ("/log/root", json!("5g".repeat(32)), "a digest of other letters"),
        ("/log/leaf_hash", json!(""), "an empty digest"),
        ("/log", json!("mandate/x/1"), "a text for an object"),
        ("/scope/data_categories", json!("identity"), "one value where a list belongs"),
        ("/scope/data_categories", json!({"0": "identity"}), "an object where a list belongs"),
        ("/scope/data_categories", json!(["identity", null]), "null in a list"),
        ("/scope/data_categories", json!(["identity", ["contact"]]), "a list in a list"),
        ("/scope/recipient", json!("Utdanningsregisteret"), "a text for an object"),
        ("/scope/recipient/legal_entity", json!(""), "an empty text"),
        ("/scope/recipient/transfer_ground", Value::Null, "null for a text that is absent"),
        ("/except", json!({}), "an object where a list belongs"),
        ("/except", json!("whole"), "a text where a list belongs"),
        ("/except", json!(["whole"]), "a text for a selector"),
        ("/except", json!([null]), "null for a selector"),
        ("/except", json!([{}]), "a selector without its kind"),
        ("/except", json!([{"kind": "class", "unit": "S03"}]), "a selector of an unknown kind"),
        ("/except", json!([{"kind": "whole", "unit": "S03"}]), "a member that its kind does not have"),
        ("/except", json!([{"kind": "unit"}]), "a unit without its code"),
        ("/except", json!([{"kind": "group", "unit": "S03"}]), "a group without its reference"),
        ("/except", json!([{"kind": "subject", "unit": "S03"}]), "a person without a reference"),
        ("/except", json!([{"kind": "subject", "ref": ["p-1"]}]), "a list where one value belongs"),
        ("/except", json!([{"kind": "subject", "ref": "p-1", "groups": []}]), "an empty list for one that is absent"),
        ("/except", json!([{"kind": "subject", "ref": "p-1", "groups": ["7B", "7A"]}]), "groups out of order"),
        ("/except", json!([{"kind": "subject", "ref": "p-1", "groups": ["7A", "7A"]}]), "the same group twice"),
        ("/except", json!([{"kind": "subject", "ref": "p-1", "unit": null}]), "null for a text that is absent"),
    ];
    cases
        .into_iter()
        .enumerate()
        .map(|(n, (pointer, value, wrong))| {
            Vector::invalid(format!("{pointer}: {wrong} ({n})"), F::Payload, wrong, key.permit(&changed(pointer, Some(value))))
        })
        .collect()
}

/// The same claims, or nearly, in other bytes.
fn spellings(key: &Forge) -> Vec<Vector> {
    let plain = String::from_utf8(canonical(&claims())).unwrap();
    let number = format!("\"exp\":{}", ISSUED + 300);
    let rows = "\"rows\":1200";
    let swap = |from: &str, to: &str| {
        assert!(plain.contains(from), "{from}");
        plain.replacen(from, to, 1)
    };
    let (scope, rest) = plain[1..].split_once(",\"aud\"").unwrap();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("an empty object", b"{}".to_vec()),
        ("null", b"null".to_vec()),
        ("a list of claims", format!("[{plain}]").into()),
        ("a text", Value::from(plain.clone()).to_string().into()),
        ("two objects", format!("{plain}{plain}").into()),
        ("cut short", plain[..plain.len() - 1].into()),
        ("a line end behind", format!("{plain}\n").into()),
        ("a blank in front", format!(" {plain}").into()),
        ("a blank behind a colon", swap(":", ": ").into()),
        ("laid out for reading", serde_json::to_vec_pretty(&claims()).unwrap()),
        ("a byte order mark", format!("\u{feff}{plain}").into()),
        ("a NUL behind", format!("{plain}\0").into()),
        ("members in another order", format!("{{\"aud\"{},{scope}}}", &rest[..rest.len() - 1]).into()),
        ("a comma behind the last member", format!("{},}}", &plain[..plain.len() - 1]).into()),
        ("a comment", swap("{", "{/* */").into()),
        ("single quotes", plain.replace('"', "'").into()),
        ("an escaped letter", swap("itslearning", r"\u0069tslearning").into()),
        ("an escaped letter in a name", swap("\"aud\"", r#""\u0061ud""#).into()),
        ("an escaped slash", swap("mandate/cus", r"mandate\/cus").into()),
        ("half a pair of surrogates", swap("Utdanningsregisteret", r"Utdannings\ud83c").into()),
        ("an escaped NUL", swap("Utdanningsregisteret", r"Utdannings\u0000").into()),
        ("a control character as it is", swap("Utdanningsregisteret", "Utdannings\u{1}").into()),
        ("not UTF-8", [plain.as_bytes(), &[0xff]].concat()),
        ("Latin-1", {
            let bytes = swap("Utdanningsregisteret", "K#ln").into_bytes();
            bytes.into_iter().map(|b| if b == b'#' { 0xf6 } else { b }).collect()
        }),
        ("UTF-16", plain.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        ("a number with a fraction of zero", swap(&number, &format!("{number}.0")).into()),
        ("a number with an exponent", swap(rows, "\"rows\":12e2").into()),
        ("a number with a leading zero", swap(rows, "\"rows\":01200").into()),
        ("a number with a plus", swap(rows, "\"rows\":+1200").into()),
        ("minus zero", swap(rows, "\"rows\":-0").into()),
        ("a hexadecimal number", swap(rows, "\"rows\":0x4b0").into()),
        ("a number beyond what all readers share", swap(rows, &format!("\"rows\":{}", MAX_INTEGER + 2)).into()),
        ("a number beyond 64 bits", swap(rows, "\"rows\":18446744073709551616").into()),
        ("a number of 400 digits", swap(rows, &format!("\"rows\":{}", "9".repeat(400))).into()),
        ("NaN", swap(rows, "\"rows\":NaN").into()),
        ("Infinity", swap(rows, "\"rows\":Infinity").into()),
        ("aud twice, the same", swap("\"aud\":", "\"aud\":\"itslearning\",\"aud\":").into()),
        ("aud twice, another first", swap("\"aud\":", "\"aud\":\"fronter\",\"aud\":").into()),
        ("exp twice, the later last", swap(&number, &format!("{number},\"exp\":{}", ISSUED + 299)).into()),
        ("jti twice", swap("\"jti\":", "\"jti\":\"exp_00000000000070008000000000000000\",\"jti\":").into()),
        ("rows twice", swap(rows, "\"rows\":1,\"rows\":1200").into()),
        ("kind twice", swap("\"kind\":\"subject\"", "\"kind\":\"subject\",\"kind\":\"subject\"").into()),
        ("scope twice", swap("\"scope\":", "\"scope\":{},\"scope\":").into()),
        ("nested a thousand deep", format!("{}{}", "[".repeat(1000), "]".repeat(1000)).into()),
    ];
    let wrong = "not the canonical JSON of a permit's claims";
    cases.into_iter().map(|(name, payload)| Vector::invalid(format!("payload: {name}"), F::Payload, wrong, key.saying(&payload))).collect()
}

pub fn all(key: &Forge) -> Vec<Vector> {
    [members(key), values(key), spellings(key)].into_iter().flatten().collect()
}
