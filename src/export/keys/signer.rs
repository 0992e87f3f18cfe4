//! What signs permits: the private keys that this process was given as files. Which of them signs
//! is not its own choice: each decision reads it under the registry's lock. A file that arrives
//! later is read when its key is asked for, so that a rotation needs no restart.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::base::{Error, Result, canonical, sha256};
use crate::config::KeyFiles;
use crate::export::decide::Grant;
use crate::export::permit::PermitClaims;
use crate::export::verify::{header, text};

/// A private key for permits: P-256, signing ES256.
pub struct SigningKey {
    kid: String,
    pair: EcdsaKeyPair,
    public: Value,
    header: String,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads a P-256 private key in PKCS#8 PEM.
    ///
    /// # Errors
    /// When the bytes are not such a key.
    pub fn from_pem(bytes: &[u8]) -> Result<Self> {
        let pem = pem::parse(bytes).map_err(Error::internal)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pem.contents()).map_err(Error::internal)?;
        let point = pair.public_key().as_ref();
        let (x, y) = match point {
            [4, rest @ ..] if rest.len() == 64 => (text(&rest[..32]), text(&rest[32..])),
            _ => return Err(Error::internal("a P-256 point is 65 bytes")),
        };
        // RFC 7638: the required members in canonical form.
        let kid = text(&sha256(&[&canonical(&json!({"crv": "P-256", "kty": "EC", "x": x, "y": y}))]).0);
        let public = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid, "use": "sig", "alg": "ES256"});
        Ok(Self { header: header(&kid), kid, pair, public })
    }
    /// Its id: RFC 7638 thumbprint.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }
    /// The public half: JWK (RFC 7517).
    #[must_use]
    pub const fn public(&self) -> &Value {
        &self.public
    }
    /// Signs a permit: after COMMIT only, and only with the grant it stands on.
    ///
    /// # Errors
    /// When signing fails.
    pub fn issue(&self, _grant: &Grant, claims: &PermitClaims) -> Result<String> {
        let signed = format!("{}.{}", self.header, text(&canonical(claims)));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).map_err(Error::internal)?;
        Ok(format!("{signed}.{}", text(signature.as_ref())))
    }
}

/// The keys of this process, and the name permits are issued under.
#[derive(Debug)]
pub struct PermitSigner {
    issuer: String,
    files: KeyFiles,
    first: Arc<SigningKey>,
    keys: RwLock<BTreeMap<String, Arc<SigningKey>>>,
}

impl PermitSigner {
    /// Signs with one key only, in PKCS#8 PEM.
    ///
    /// # Errors
    /// When the bytes are not a P-256 key.
    pub fn from_pem(pem: &[u8], issuer: &str) -> Result<Self> {
        Self::of(vec![SigningKey::from_pem(pem)?], KeyFiles::default(), issuer)
    }
    /// Signs with the keys of these files, and with those that are put beside them later.
    ///
    /// # Errors
    /// When there is none, or one is not a P-256 key.
    pub fn of_files(files: KeyFiles, issuer: &str) -> Result<Self> {
        let paths = files.paths().map_err(Error::internal)?;
        let keys = paths.iter().map(|path| read(path)).collect::<Result<_>>()?;
        Self::of(keys, files, issuer)
    }
    fn of(keys: Vec<SigningKey>, files: KeyFiles, issuer: &str) -> Result<Self> {
        let keys: Vec<Arc<SigningKey>> = keys.into_iter().map(Arc::new).collect();
        let first = keys.first().cloned().ok_or_else(|| Error::internal("there is no file of a permit key"))?;
        let keys = keys.into_iter().map(|key| (key.kid.clone(), key)).collect();
        Ok(Self { issuer: issuer.to_owned(), files, first, keys: RwLock::new(keys) })
    }
    /// The name permits are issued under.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }
    /// The key with which an installation begins, when none ever signed.
    #[must_use]
    pub fn first(&self) -> &SigningKey {
        &self.first
    }
    /// The private key of this id, if this process has its file.
    #[must_use]
    pub fn key(&self, kid: &str) -> Option<Arc<SigningKey>> {
        self.held(kid).or_else(|| {
            self.look_again();
            self.held(kid)
        })
    }
    fn held(&self, kid: &str) -> Option<Arc<SigningKey>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(kid).cloned()
    }
    /// Takes the keys of files that came since; a file that cannot be read is for `mandate doctor`
    /// to name, and keeps no other key from being found.
    fn look_again(&self) {
        let found: Vec<SigningKey> = self.files.paths().unwrap_or_default().iter().filter_map(|path| read(path).ok()).collect();
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        for key in found {
            keys.entry(key.kid.clone()).or_insert_with(|| Arc::new(key));
        }
    }
}

fn read(path: &Path) -> Result<SigningKey> {
    SigningKey::from_pem(&std::fs::read(path).map_err(Error::internal)?)
}
