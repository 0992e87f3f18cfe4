//! What stands under an idempotency key, unreadable without it. The database keeps a hash of the
//! client's key; fingerprints and answers are keyed by the key itself (HKDF-SHA-256), so that a
//! copy of the table shows neither. Where a request or an answer holds a secret, the caller's token
//! goes into the key too: 256 bits that are kept nowhere, whatever key the client chose.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, hmac};
use uuid::Uuid;

use crate::base::{Digest, Error, Result, sha256};

/// Everything that is derived from one key of a client.
#[derive(Clone)]
pub(super) struct Seal {
    key: Vec<u8>,
    token: Vec<u8>,
    asks_secret: bool,
    shows_secret: bool,
}

impl Seal {
    pub(super) fn of(key: &str, token: &str, asks_secret: bool, shows_secret: bool) -> Self {
        Self { key: key.into(), token: token.into(), asks_secret, shows_secret }
    }

    /// The name under which the database finds the key.
    pub(super) fn name(&self, customer: &str) -> Digest {
        sha256(&[b"mandate idempotency key v1\n", customer.as_bytes(), b"\n", &self.key])
    }

    fn derive(&self, salt: &[u8], purpose: &[u8], with_token: bool) -> Result<[u8; 32]> {
        let token: &[u8] = if with_token { &self.token } else { &[] };
        let length = (self.key.len() as u64).to_be_bytes();
        let secret = [&length, self.key.as_slice(), token].concat();
        let mut derived = [0; 32];
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(&secret);
        let filled = prk.expand(&[purpose], hkdf::HKDF_SHA256).and_then(|okm| okm.fill(&mut derived));
        filled.map_err(|_| Error::internal("a key cannot be derived"))?;
        Ok(derived)
    }

    /// Begins the fingerprint of a request with all but its body.
    pub(super) fn fingerprint(&self, head: &[u8]) -> Result<Fingerprint> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.derive(b"", b"mandate request v1", self.asks_secret)?);
        let mut context = hmac::Context::with_key(&key);
        context.update(&(head.len() as u64).to_be_bytes());
        context.update(head);
        Ok(Fingerprint(context))
    }

    /// One key for each try, used for one answer: the nonce needs no randomness.
    fn cipher(&self, attempt: Uuid) -> Result<(LessSafeKey, Nonce)> {
        let key = self.derive(attempt.as_bytes(), b"mandate answer v1", self.shows_secret)?;
        let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| Error::internal("a key has the wrong length"))?;
        Ok((LessSafeKey::new(key), Nonce::assume_unique_for_key([0; 12])))
    }

    /// Seals the answer of a try.
    pub(super) fn seal(&self, attempt: Uuid, mut answer: Vec<u8>) -> Result<Vec<u8>> {
        let (key, nonce) = self.cipher(attempt)?;
        let sealed = key.seal_in_place_append_tag(nonce, Aad::empty(), &mut answer);
        sealed.map_err(|_| Error::internal("an answer cannot be sealed"))?;
        Ok(answer)
    }

    /// Opens the answer of a try; `None` when it was sealed with another token.
    pub(super) fn open(&self, attempt: Uuid, mut sealed: Vec<u8>) -> Result<Option<Vec<u8>>> {
        let (key, nonce) = self.cipher(attempt)?;
        Ok(key.open_in_place(nonce, Aad::empty(), &mut sealed).ok().map(|answer| answer.to_vec()))
    }
}

/// The fingerprint of a request while its body is read.
#[derive(Clone)]
pub(super) struct Fingerprint(hmac::Context);

impl Fingerprint {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    pub(super) fn end(self) -> Result<Digest> {
        Digest::from_slice(self.0.sign().as_ref()).ok_or_else(|| Error::internal("a fingerprint has the wrong length"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRY: Uuid = Uuid::from_u128(1);

    fn print(seal: &Seal, head: &[u8], body: &[&[u8]]) -> Digest {
        let mut fingerprint = seal.fingerprint(head).unwrap();
        body.iter().for_each(|part| fingerprint.update(part));
        fingerprint.end().unwrap()
    }

    #[test]
    fn an_answer_opens_with_its_key_and_a_secret_one_with_its_token_too() {
        let sealed = |shows_secret| Seal::of("k", "token", false, shows_secret).seal(TRY, b"answer".to_vec()).unwrap();
        let open = |key, token, shows_secret, attempt, sealed| Seal::of(key, token, false, shows_secret).open(attempt, sealed).unwrap();
        assert_eq!(open("k", "token", false, TRY, sealed(false)).as_deref(), Some(&b"answer"[..]));
        assert_eq!(open("k", "another session", false, TRY, sealed(false)).as_deref(), Some(&b"answer"[..]));
        assert_eq!(open("k", "token", true, TRY, sealed(true)).as_deref(), Some(&b"answer"[..]));
        assert_eq!(open("k", "another session", true, TRY, sealed(true)), None);
        assert_eq!(open("other", "token", false, TRY, sealed(false)), None);
        assert_eq!(open("k", "token", false, Uuid::from_u128(2), sealed(false)), None);
        assert!(!sealed(false).windows(6).any(|part| part == b"answer"));
    }

    #[test]
    fn a_fingerprint_tells_requests_apart_and_not_the_pieces_of_a_body() {
        let seal = Seal::of("k", "token", false, false);
        let whole = print(&seal, b"POST /a", &[b"body"]);
        assert_eq!(whole, print(&seal, b"POST /a", &[b"bo", b"dy"]));
        let others = [
            print(&seal, b"POST /b", &[b"body"]),
            print(&seal, b"POST /", &[b"abody"]),
            print(&seal, b"POST /a", &[b"bodi"]),
            print(&Seal::of("l", "token", false, false), b"POST /a", &[b"body"]),
            print(&Seal::of("k", "token", true, false), b"POST /a", &[b"body"]),
        ];
        assert!(others.iter().all(|other| *other != whole));
        assert_eq!(whole, print(&Seal::of("k", "another session", false, false), b"POST /a", &[b"body"]));
    }
}
