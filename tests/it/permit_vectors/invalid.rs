//! Permits that no verifier may take, by the part that is wrong. Whatever can be signed rightly is:
//! each differs from a permit in one thing, so that the rule for that thing is what refuses it.

use mandate::export::PermitFault as F;
use serde_json::{Value, json};

use super::forge::{Forge, ISSUED, Vector, changed, claims, decode, encode};
use super::valid::ORDER;
use super::{headers, payloads};

fn plain(key: &Forge) -> [String; 3] {
    let token = key.permit(&claims());
    let parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    parts.try_into().unwrap()
}

fn forms(key: &Forge) -> Vec<Vector> {
    let [h, p, s] = plain(key);
    let whole = format!("{h}.{p}.{s}");
    let cases = [
        ("empty", String::new()),
        ("one dot", ".".into()),
        ("three dots", "...".into()),
        ("one part", h.clone()),
        ("no signature part", format!("{h}.{p}")),
        ("a fourth part", format!("{whole}.AA")),
        ("a fourth part, empty", format!("{whole}.")),
        ("five parts, as of an encrypted token", format!("{whole}.AA.AA")),
        ("a dot in front", format!(".{whole}")),
        ("a blank in front", format!(" {whole}")),
        ("a line end behind", format!("{whole}\n")),
        ("a carriage return behind", format!("{whole}\r")),
        ("a tab between", format!("{h}.\t{p}.{s}")),
        ("a line end between", format!("{h}.{p}\r\n.{s}")),
        ("a scheme in front", format!("Bearer {whole}")),
        ("in quotes", format!("\"{whole}\"")),
        ("a NUL behind", format!("{whole}\0")),
        ("the JSON form of a JWS", json!({"protected": h, "payload": p, "signature": s}).to_string()),
        ("a dot of another script", whole.replace('.', "\u{3002}")),
        ("a comma for a dot", whole.replace('.', ",")),
        ("two permits", format!("{whole} {whole}")),
    ];
    let wrong = "not three parts of base64url";
    cases.into_iter().map(|(name, token)| Vector::invalid(format!("form: {name}"), F::Form, wrong, token)).collect()
}

/// Another text for the same bytes, or nearly.
type Spelling = fn(&str) -> String;

/// Each part spelled otherwise, and signed over the spelling.
fn encodings(key: &Forge) -> Vec<Vector> {
    let mut found = Vec::new();
    let [header, _, _] = plain(key);
    // A length that leaves bits beyond the last byte.
    let (padded, payload) = (0..3)
        .map(|n| changed("/scope/recipient/legal_entity", Some(json!("x".repeat(n + 1)))))
        .map(|claims| encode(&mandate::base::canonical(&claims)))
        .enumerate()
        .find(|(_, text)| text.len() % 4 == 2)
        .unwrap();
    assert!(padded < 3);
    let spellings: [(&str, Spelling); 12] = [
        ("padded", |t| format!("{t}{}", "=".repeat(4 - t.len() % 4))),
        ("one sign of padding", |t| format!("{t}=")),
        ("an encoded sign of padding", |t| format!("{t}%3D")),
        ("a blank within", |t| format!("{} {}", &t[..8], &t[8..])),
        ("a line end within", |t| format!("{}\n{}", &t[..8], &t[8..])),
        ("a blank behind", |t| format!("{t} ")),
        ("a plus of the other alphabet", |t| format!("+{}", &t[1..])),
        ("a slash of the other alphabet", |t| format!("{}/{}", &t[..9], &t[10..])),
        ("a sign of no alphabet", |t| format!("{}!{}", &t[..9], &t[10..])),
        ("a letter beyond ASCII", |t| format!("{}é{}", &t[..9], &t[10..])),
        ("a length that no bytes have", |t| format!("{}A", &t[..t.len() - t.len() % 4])),
        ("bits beyond the last byte", |t| {
            let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let last = alphabet.iter().position(|c| Some(c) == t.as_bytes().last()).unwrap();
            format!("{}{}", &t[..t.len() - 1], char::from(alphabet[last + 1]))
        }),
    ];
    for (name, spell) in spellings {
        let wrong = "not canonical base64url without padding";
        if name != "bits beyond the last byte" {
            // A header is a multiple of three bytes: it leaves no bits.
            found.push(Vector::invalid(format!("header: {name}"), F::Form, wrong, key.seal(&spell(&header), &payload)));
        }
        found.push(Vector::invalid(format!("payload: {name}"), F::Form, wrong, key.seal(&header, &spell(&payload))));
        let signature = encode(&key.signature(&format!("{header}.{payload}")));
        found.push(Vector::invalid(format!("signature: {name}"), F::Form, wrong, format!("{header}.{payload}.{}", spell(&signature))));
    }
    found
}

fn signatures(key: &Forge, next: &Forge, other: &Forge) -> Vec<Vector> {
    let [h, p, s] = plain(key);
    let bytes = decode(&s);
    let (r, t) = bytes.split_at(32);
    let (zero, one, most) = ([0_u8; 32], [[0; 31].as_slice(), &[1]].concat(), [0xff_u8; 32]);
    let flipped = |at: usize| {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        changed
    };
    let hmac = |secret: &[u8]| {
        let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA512, secret);
        aws_lc_rs::hmac::sign(&secret, format!("{h}.{p}").as_bytes()).as_ref().to_vec()
    };
    let reversed: Vec<u8> = r.iter().rev().chain(t.iter().rev()).copied().collect();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("none", Vec::new()),
        ("zeros (CVE-2022-21449)", [zero, zero].concat()),
        ("r is zero", [&zero, t].concat()),
        ("s is zero", [r, &zero].concat()),
        ("r and s are one", [one.clone(), one].concat()),
        ("r is the group's order", [&ORDER, t].concat()),
        ("s is the group's order", [r, &ORDER].concat()),
        ("both are the group's order", [ORDER, ORDER].concat()),
        ("all bits set", [most, most].concat()),
        ("a bit of r turned", flipped(31)),
        ("the first bit turned", flipped(0)),
        ("a bit of s turned", flipped(32)),
        ("the last bit turned", flipped(63)),
        ("r and s exchanged", [t, r].concat()),
        ("numbers the other way round", reversed),
        ("63 bytes", bytes[..63].to_vec()),
        ("65 bytes", [bytes.as_slice(), &[0]].concat()),
        ("a zero in front", [&[0], bytes.as_slice()].concat()),
        ("r alone", r.to_vec()),
        ("twice", [bytes.clone(), bytes.clone()].concat()),
        ("in ASN.1 DER", der(r, t)),
        ("in ASN.1 DER, zeros behind", [der(r, t).as_slice(), &[0, 0]].concat()),
        ("of another installation's key", other.signature(&format!("{h}.{p}"))),
        ("of the next key", next.signature(&format!("{h}.{p}"))),
        ("over the payload only", key.signature(&p)),
        ("over the header only", key.signature(&h)),
        ("over both without the dot", key.signature(&format!("{h}{p}"))),
        ("over what the parts decode to", key.signature(&String::from_utf8([decode(&h), vec![b'.'], decode(&p)].concat()).unwrap())),
        ("with a dot behind what is signed", key.signature(&format!("{h}.{p}."))),
        ("a symmetric one of 64 bytes, by the public key's point", hmac(&key.point())),
        ("a symmetric one of 64 bytes, by nothing", hmac(&[])),
    ];
    let token = |signature: &[u8]| format!("{h}.{p}.{}", encode(signature));
    cases
        .into_iter()
        .map(|(name, made)| Vector::invalid(format!("signature: {name}"), F::Signature, "not the key's signature over it", token(&made)))
        .collect()
}

fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        let sign: &[u8] = if number[0] >= 0x80 { &[0] } else { &[] };
        let number = [sign, number].concat();
        [&[2, u8::try_from(number.len()).unwrap()], number.as_slice()].concat()
    };
    let both = [integer(r), integer(s)].concat();
    [&[0x30, u8::try_from(both.len()).unwrap()], both.as_slice()].concat()
}

/// A permit's parts put together with those of another.
fn mixtures(key: &Forge, next: &Forge) -> Vec<Vector> {
    let [h, p, s] = plain(key);
    let swapped = |pointer: &str, value: Value| encode(&mandate::base::canonical(&changed(pointer, Some(value))));
    let changes = [
        ("a later end", swapped("/exp", json!(ISSUED + 299))),
        ("another platform", swapped("/aud", json!("fronter"))),
        ("another customer", swapped("/customer", json!("cus_00000000000070008000000000000000"))),
        ("another export", swapped("/jti", json!("exp_00000000000070008000000000000000"))),
        ("another recipient", swapped("/scope/recipient/legal_entity", json!("Somebody"))),
        ("more categories", swapped("/scope/data_categories", json!(["enrolment", "health", "identity"]))),
        ("more volume", swapped("/volume", json!({"rows": 120_000}))),
        ("no exceptions", swapped("/except", json!([]))),
        ("another instruction", swapped("/instruction/version", json!(2))),
    ];
    let mut found: Vec<Vector> = changes
        .into_iter()
        .map(|(name, changed)| {
            let wrong = "the payload is not the one that was signed";
            Vector::invalid(format!("payload of another permit: {name}"), F::Signature, wrong, format!("{h}.{changed}.{s}"))
        })
        .collect();
    let [other_header, ..] = plain(next);
    found.push(Vector::invalid("the next key's header", F::Signature, "signed by another key than it names", key.seal(&other_header, &p)));
    for (name, token) in [
        ("payload first", format!("{p}.{h}.{s}")),
        ("signature first", format!("{s}.{h}.{p}")),
        ("the payload for a header", format!("{p}.{p}.{s}")),
        ("an empty header", format!(".{p}.{s}")),
        ("nothing but dots", "..".into()),
    ] {
        found.push(Vector::invalid(format!("parts exchanged: {name}"), F::Header, "the first part is no header of a permit", token));
    }
    for (name, token, fault) in [
        ("an empty payload", format!("{h}..{s}"), F::Signature),
        ("the header for a payload", format!("{h}.{h}.{s}"), F::Signature),
        ("the payload cut", format!("{h}.{}.{s}", &p[..p.len() / 8 * 4]), F::Signature),
        ("the signature cut to 48 bytes", format!("{h}.{p}.{}", &s[..64]), F::Signature),
        ("the header cut", format!("{}.{p}.{s}", &h[..64]), F::Header),
    ] {
        found.push(Vector::invalid(format!("cut: {name}"), fault, "a part is not whole", token));
    }
    found
}

fn around(key: &Forge) -> Vec<Vector> {
    let at =
        |name: &str, fault: F, wrong: &str, now: i64| Vector::invalid(name, fault, wrong, key.permit(&claims())).with(json!({"now": now}));
    let early = "now is before nbf; there is no leeway";
    let late = "now is exp or later; there is no leeway";
    let mut found = vec![
        at("one second early", F::NotYetValid, early, ISSUED - 1),
        at("one minute early", F::NotYetValid, early, ISSUED - 60),
        at("at the beginning of time", F::NotYetValid, early, 0),
        at("at its end", F::Expired, late, ISSUED + 300),
        at("one second late", F::Expired, late, ISSUED + 301),
        at("one minute late", F::Expired, late, ISSUED + 360),
        at("a year late", F::Expired, late, ISSUED + 31_536_000),
        Vector::invalid("before its nbf", F::NotYetValid, early, key.permit(&changed("/nbf", Some(json!(ISSUED + 61))))),
        Vector::invalid("after its own shorter life", F::Expired, late, key.permit(&changed("/exp", Some(json!(ISSUED + 60))))),
    ];
    let long = "exp is more than 300 s after iat";
    let order = "not iat <= nbf < exp";
    for (name, wrong, pointer, value) in [
        ("301 seconds", long, "/exp", ISSUED + 301),
        ("one hour", long, "/exp", ISSUED + 3_600),
        ("one year", long, "/exp", ISSUED + 31_536_000),
        ("for ever", long, "/exp", 9_007_199_254_740_991),
        ("issued long ago", long, "/iat", ISSUED - 1),
        ("issued at the beginning of time", long, "/iat", 0),
        ("no life", order, "/exp", ISSUED),
        ("ended before it was issued", order, "/exp", ISSUED - 1),
        ("begins at its end", order, "/nbf", ISSUED + 300),
        ("begins after its end", order, "/nbf", ISSUED + 301),
        ("begins before it was issued", order, "/nbf", ISSUED - 1),
    ] {
        found.push(Vector::invalid(format!("life: {name}"), F::Lifetime, wrong, key.permit(&changed(pointer, Some(json!(value))))));
    }
    for (pointer, fault, wrong, values) in [
        (
            "/iss",
            F::Issuer,
            "issued under another name",
            [
                "https://mandate.test/",
                "https://mandate.tes",
                "http://mandate.test",
                "https://MANDATE.test",
                "https://mandate.test.example",
                "mandate.test",
                "https://mandate.test:443",
                "itslearning",
            ],
        ),
        (
            "/aud",
            F::Audience,
            "issued to another platform",
            [
                "fronter",
                "itslearnin",
                "itslearning2",
                "ITSLEARNING",
                "itslearning,fronter",
                "itslearning fronter",
                "*",
                "https://mandate.test",
            ],
        ),
    ] {
        for value in values {
            let token = key.permit(&changed(pointer, Some(json!(value))));
            found.push(Vector::invalid(format!("{pointer}: {value}"), fault, wrong, token));
        }
    }
    found
}

pub fn all(keys: &[Forge; 3]) -> Vec<Vector> {
    let [key, next, other] = keys;
    let parts = [
        forms(key),
        encodings(key),
        headers::all(keys),
        signatures(key, next, other),
        mixtures(key, next),
        payloads::all(key),
        around(key),
    ];
    parts.into_iter().flatten().collect()
}
