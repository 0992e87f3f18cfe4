//! A workshop for permits, true and false: fixed keys that are no secret, claims to be changed, and
//! the ways to put three parts together.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mandate::base::canonical;
use mandate::export::{PermitFault, SigningKey};
use serde_json::{Value, json};

/// When the permits of the vectors were issued, and when they are looked at.
pub const ISSUED: i64 = 1_795_521_600;
pub const NOW: i64 = ISSUED + 60;
pub const ISSUER: &str = "https://mandate.test";
pub const AUDIENCE: &str = "itslearning";

/// A signing key of the vectors.
pub struct Forge {
    pub kid: String,
    pub jwk: Value,
    pair: EcdsaKeyPair,
}

impl Forge {
    /// The keys of the installation, and one of another.
    pub fn all() -> [Self; 3] {
        [
            include_bytes!("../../vectors/permit-key-1.pem").as_slice(),
            include_bytes!("../../vectors/permit-key-2.pem"),
            include_bytes!("../../vectors/permit-key-other.pem"),
        ]
        .map(Self::of)
    }
    pub fn of(bytes: &[u8]) -> Self {
        let key = SigningKey::from_pem(bytes).unwrap();
        let pem = pem::parse(bytes).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pem.contents()).unwrap();
        Self { kid: key.kid().to_owned(), jwk: key.public().clone(), pair }
    }
    /// The uncompressed point of the public half.
    pub fn point(&self) -> Vec<u8> {
        self.pair.public_key().as_ref().to_vec()
    }
    pub fn header(&self) -> Vec<u8> {
        canonical(&json!({"alg": "ES256", "kid": self.kid, "typ": "export-permit+jwt"}))
    }
    pub fn signature(&self, signed: &str) -> Vec<u8> {
        self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap().as_ref().to_vec()
    }
    /// Signs two parts as they stand.
    pub fn seal(&self, header: &str, payload: &str) -> String {
        let signed = format!("{header}.{payload}");
        format!("{signed}.{}", encode(&self.signature(&signed)))
    }
    /// A permit with these claims in canonical form.
    pub fn permit(&self, claims: &Value) -> String {
        self.seal(&encode(&self.header()), &encode(&canonical(claims)))
    }
    /// A permit with this header and the plain claims.
    pub fn headed(&self, header: &[u8]) -> String {
        self.seal(&encode(header), &encode(&canonical(&claims())))
    }
    /// A permit with these bytes for claims.
    pub fn saying(&self, payload: &[u8]) -> String {
        self.seal(&encode(&self.header()), &encode(payload))
    }
}

pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
pub fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// The claims of a plain permit.
pub fn claims() -> Value {
    let customer = "cus_019a0c3e5d007a118000000000000001";
    json!({
        "iss": ISSUER,
        "aud": AUDIENCE,
        "jti": "exp_019a0c3e5d007a118000000000000002",
        "iat": ISSUED,
        "nbf": ISSUED,
        "exp": ISSUED + 300,
        "customer": customer,
        "instruction": {"id": "ins_019a0c3e5d007a118000000000000003", "version": 1, "document_sha256": "1f".repeat(32)},
        "agreement": {"id": "agr_019a0c3e5d007a118000000000000004", "version": 2},
        "scope": {
            "channel": "organisation-api",
            "purpose": "statutory-reporting",
            "data_categories": ["enrolment", "identity"],
            "recipient": {"legal_entity": "Utdanningsregisteret", "country": "NO", "role": "school_authority"},
        },
        "volume": {"rows": 1200},
        "selectors": {"count": 1, "salt": "2a".repeat(32), "sha256": "3b".repeat(32)},
        "except": [{"kind": "subject", "ref": "p-17", "unit": "S03", "groups": ["7A", "7B"]}],
        "log": {
            "origin": format!("mandate/{customer}/1"),
            "index": 41,
            "leaf_hash": "4c".repeat(32),
            "size": 42,
            "root": "5d".repeat(32),
        },
    })
}

/// The claims with the value at a pointer replaced or added; `None` takes it away.
pub fn changed(pointer: &str, value: Option<Value>) -> Value {
    let mut all = claims();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let members = all.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => drop(members.insert(name.to_owned(), value)),
        None => assert!(members.remove(name).is_some(), "{pointer}"),
    }
    all
}

/// A permit, true or false, and how to look at it.
pub struct Vector {
    pub name: String,
    pub token: String,
    /// What a verifier must find, and why in words; `None` for a valid one.
    pub fault: Option<(PermitFault, String)>,
    /// What replaces the file's `now`, `issuer`, `audience` or `key_set`.
    pub instead: Value,
}

impl Vector {
    pub fn valid(name: impl Into<String>, token: String) -> Self {
        Self { name: name.into(), token, fault: None, instead: json!({}) }
    }
    pub fn invalid(name: impl Into<String>, fault: PermitFault, wrong: impl Into<String>, token: String) -> Self {
        Self { name: name.into(), token, fault: Some((fault, wrong.into())), instead: json!({}) }
    }
    pub fn with(mut self, instead: Value) -> Self {
        self.instead = instead;
        self
    }
    pub fn json(&self) -> Value {
        let mut all = json!({"name": self.name});
        let members = all.as_object_mut().unwrap();
        if let Some((fault, wrong)) = &self.fault {
            members.insert("fault".to_owned(), json!(fault));
            members.insert("wrong".to_owned(), json!(wrong));
        }
        members.extend(self.instead.as_object().unwrap().clone());
        members.insert("token".to_owned(), json!(self.token));
        all
    }
}
