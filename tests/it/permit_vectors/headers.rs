//! Headers that are not the profile's, each signed over as it stands, and key sets that do not hold
//! a key for permits under the name that the header gives.

use aws_lc_rs::hmac;
use base64::Engine as _;
use mandate::export::PermitFault as F;
use serde_json::{Value, json};

use super::forge::{Forge, Vector, claims, encode};

/// A header with some members replaced (null: taken away), in canonical form.
fn members(key: &Forge, changes: Value) -> Vec<u8> {
    let header = json!({"alg": "ES256", "kid": key.kid, "typ": "export-permit+jwt"});
    mandate::base::canonical(&crate::support::with(header, changes))
}

fn algorithms(key: &Forge) -> Vec<Vector> {
    let wrong = "the only algorithm is ES256";
    let others = [
        "none", "None", "NONE", "nOnE", "HS256", "HS512", "RS256", "PS256", "ES384", "ES512", "ES256K", "EdDSA", "Ed25519", "es256",
        "ES256 ", "",
    ];
    let mut found: Vec<Vector> = others
        .iter()
        .map(|alg| Vector::invalid(format!("alg: {alg:?}"), F::Header, wrong, key.headed(&members(key, json!({"alg": alg})))))
        .collect();
    for (name, changes) in [
        ("absent", json!({"alg": null})),
        ("a list", json!({"alg": ["ES256"]})),
        ("a number", json!({"alg": 256})),
        ("true", json!({"alg": true})),
    ] {
        found.push(Vector::invalid(format!("alg: {name}"), F::Header, wrong, key.headed(&members(key, changes))));
    }
    let payload = encode(&mandate::base::canonical(&claims()));
    for alg in ["none", "ES256"] {
        let header = encode(&members(key, json!({"alg": alg})));
        let fault = if alg == "none" { F::Header } else { F::Signature };
        found.push(Vector::invalid(format!("alg {alg}, no signature"), fault, "it is not signed", format!("{header}.{payload}.")));
    }
    found
}

/// Tokens signed with the public key's bytes for a secret: a verifier that lets the header choose
/// the algorithm takes them.
fn symmetric(key: &Forge) -> Vec<Vector> {
    let point = key.point();
    // SubjectPublicKeyInfo of P-256 (RFC 5480): a fixed head and the point.
    let head = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01,
        0x07, 0x03, 0x42, 0x00,
    ];
    let der = [head.as_slice(), &point].concat();
    let lines = base64::engine::general_purpose::STANDARD.encode(&der);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n{}\n-----END PUBLIC KEY-----\n", &lines[..64], &lines[64..]);
    let secrets: [(&str, Vec<u8>); 7] = [
        ("the point", point.clone()),
        ("the point without its first byte", point[1..].to_vec()),
        ("the DER", der),
        ("the PEM", pem.clone().into_bytes()),
        ("the PEM without its last line end", pem.trim_end().as_bytes().to_vec()),
        ("the JWK", key.jwk.to_string().into_bytes()),
        ("nothing", Vec::new()),
    ];
    let header = encode(&members(key, json!({"alg": "HS256"})));
    let signed = format!("{header}.{}", encode(&mandate::base::canonical(&claims())));
    secrets
        .into_iter()
        .map(|(name, secret)| {
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed.as_bytes());
            let wrong = "a symmetric key made of the public one";
            Vector::invalid(format!("HS256 by {name}"), F::Header, wrong, format!("{signed}.{}", encode(tag.as_ref())))
        })
        .collect()
}

fn kinds_and_names(key: &Forge, other: &Forge) -> Vec<Vector> {
    let mut found = Vec::new();
    for typ in [
        json!(null),
        json!("JWT"),
        json!("jwt"),
        json!("at+jwt"),
        json!("export-permit"),
        json!("export-permit+JWT"),
        json!("EXPORT-PERMIT+JWT"),
        json!("application/export-permit+jwt"),
        json!("export-permit+jwt "),
        json!(["export-permit+jwt"]),
        json!(""),
        json!(1),
    ] {
        let token = key.headed(&members(key, json!({"typ": typ})));
        found.push(Vector::invalid(format!("typ: {typ}"), F::Header, "the only type is export-permit+jwt", token));
    }
    for kid in [
        json!(null),
        json!([key.kid]),
        json!(7),
        json!(""),
        json!("../../../dev/null"),
        json!("' OR '1'='1"),
        json!(key.kid[1..]),
        json!(format!("{}A", key.kid)),
        json!(format!("{}=", &key.kid[1..])),
        json!(format!("{} ", &key.kid[1..])),
        json!(format!("{}+", &key.kid[1..])),
        json!({"kid": key.kid}),
    ] {
        let token = key.headed(&members(key, json!({"kid": kid})));
        found.push(Vector::invalid(format!("kid: {kid}"), F::Header, "a kid is 43 letters of base64url", token));
    }
    let unknown = "the key set has no key of this kid";
    found.push(Vector::invalid("the key of another installation", F::UnknownKey, unknown, other.permit(&claims())));
    let upper = members(key, json!({"kid": key.kid.to_uppercase()}));
    found.push(Vector::invalid("kid: in capitals", F::UnknownKey, unknown, key.headed(&upper)));
    found.push(Vector::invalid("kid: of nobody", F::UnknownKey, unknown, key.headed(&members(key, json!({"kid": "A".repeat(43)})))));
    found
}

fn more_members(key: &Forge) -> Vec<Vector> {
    let certificate = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A";
    let extra = [
        json!({"jwk": key.jwk}),
        json!({"jku": "https://mandate.test/.well-known/jwks.json"}),
        json!({"x5u": "https://mandate.test/key.pem"}),
        json!({"x5c": [certificate]}),
        json!({"x5t": "AAAAAAAAAAAAAAAAAAAAAAAAAAA"}),
        json!({"x5t#S256": "A".repeat(43)}),
        json!({"crit": []}),
        json!({"crit": ["exp"], "exp": 1}),
        json!({"crit": ["b64"], "b64": false}),
        json!({"b64": true}),
        json!({"cty": "json"}),
        json!({"zip": "DEF"}),
        json!({"enc": "A256GCM"}),
        json!({"nonce": "1"}),
        json!({"iss": "https://mandate.test"}),
        json!({"aud": "itslearning"}),
        json!({"exp": 9_999_999_999_i64}),
        json!({"": ""}),
        json!({"ALG": "none"}),
        json!({"zzz": null}),
    ];
    extra
        .into_iter()
        .map(|more| {
            let mut header = json!({"alg": "ES256", "kid": key.kid, "typ": "export-permit+jwt"});
            header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let names: Vec<&str> = more.as_object().unwrap().keys().map(String::as_str).collect();
            let token = key.headed(&mandate::base::canonical(&header));
            Vector::invalid(format!("one member more: {}", names.join(", ")), F::Header, "nothing else stands in the header", token)
        })
        .collect()
}

/// The same three members in other bytes.
fn spellings(key: &Forge) -> Vec<Vector> {
    let plain = String::from_utf8(key.header()).unwrap();
    let kid = &key.kid;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("another order", format!(r#"{{"typ":"export-permit+jwt","alg":"ES256","kid":"{kid}"}}"#).into()),
        ("a blank behind a colon", plain.replacen(':', ": ", 1).into()),
        ("a line end behind", format!("{plain}\n").into()),
        ("a blank in front", format!(" {plain}").into()),
        ("a byte order mark", format!("\u{feff}{plain}").into()),
        ("a NUL behind", format!("{plain}\0").into()),
        ("an escaped letter", plain.replacen("alg", r"\u0061lg", 1).into()),
        ("an escaped plus", plain.replacen('+', r"\u002b", 1).into()),
        ("a comma behind the last member", plain.replacen('}', ",}", 1).into()),
        ("single quotes", plain.replace('"', "'").into()),
        ("a comment", plain.replacen('{', "{/**/", 1).into()),
        ("alg twice, none first", plain.replacen('{', r#"{"alg":"none","#, 1).into()),
        ("alg twice, none last", plain.replacen('}', r#","alg":"none"}"#, 1).into()),
        ("alg twice, the same", plain.replacen('{', r#"{"alg":"ES256","#, 1).into()),
        ("kid twice", plain.replacen('}', &format!(r#","kid":"{kid}"}}"#), 1).into()),
        ("typ twice", plain.replacen('}', r#","typ":"JWT"}"#, 1).into()),
        ("two objects", format!("{plain}{plain}").into()),
        ("a list", format!("[{plain}]").into()),
        ("a text", Value::from(plain.clone()).to_string().into()),
        ("null", b"null".to_vec()),
        ("an empty object", b"{}".to_vec()),
        ("not JSON", b"alg=ES256".to_vec()),
        ("not UTF-8", [plain.as_bytes(), &[0xff]].concat()),
        ("UTF-16", plain.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        ("encoded twice", encode(plain.as_bytes()).into()),
    ];
    let wrong = "the header's bytes are not the profile's";
    cases.into_iter().map(|(name, header)| Vector::invalid(format!("header: {name}"), F::Header, wrong, key.headed(&header))).collect()
}

fn key_sets(key: &Forge, next: &Forge) -> Vec<Vector> {
    let x = key.jwk["x"].as_str().unwrap();
    let jwk = |changes: Value| json!({"keys": [crate::support::with(key.jwk.clone(), changes), next.jwk]});
    let bytes = super::forge::decode(x);
    let cases = [
        ("without the key: withdrawn, or not yet fetched", json!({"keys": [next.jwk]})),
        ("empty", json!({"keys": []})),
        ("no list", json!({"keys": key.jwk})),
        ("no keys at all", json!({})),
        ("the key under another name", jwk(json!({"kid": "A".repeat(43)}))),
        ("the key without a name", jwk(json!({"kid": null}))),
        ("a symmetric key of this name", json!({"keys": [{"kty": "oct", "kid": key.kid, "k": x, "alg": "HS256"}]})),
        ("another kind", jwk(json!({"kty": "OKP"}))),
        ("RSA", json!({"keys": [{"kty": "RSA", "kid": key.kid, "n": "AQAB", "e": "AQAB"}]})),
        ("another curve", jwk(json!({"crv": "P-384"}))),
        ("secp256k1", jwk(json!({"crv": "secp256k1"}))),
        ("for encryption", jwk(json!({"use": "enc"}))),
        ("for another algorithm", jwk(json!({"alg": "ES384"}))),
        ("for ECDH", jwk(json!({"alg": "ECDH-ES"}))),
        ("a coordinate of 31 bytes", jwk(json!({"x": encode(&bytes[1..])}))),
        ("a coordinate of 33 bytes", jwk(json!({"x": encode(&[&[0], bytes.as_slice()].concat())}))),
        ("a coordinate with padding", jwk(json!({"x": format!("{x}=")}))),
        ("a coordinate that is missing", jwk(json!({"y": null}))),
        ("a point that is not on the curve", jwk(json!({"x": key.jwk["y"], "y": key.jwk["x"]}))),
        ("the point of zeros", jwk(json!({"x": encode(&[0; 32]), "y": encode(&[0; 32])}))),
        ("a coordinate beyond the field", jwk(json!({"x": encode(&[0xff; 32])}))),
    ];
    cases
        .into_iter()
        .map(|(name, set)| {
            let wrong = "the key set has no P-256 key for signatures under this kid";
            Vector::invalid(format!("key set: {name}"), F::UnknownKey, wrong, key.permit(&claims())).with(json!({"key_set": set}))
        })
        .collect()
}

pub fn all([key, next, other]: &[Forge; 3]) -> Vec<Vector> {
    let parts = [algorithms(key), symmetric(key), kinds_and_names(key, other), more_members(key), spellings(key), key_sets(key, next)];
    parts.into_iter().flatten().collect()
}
