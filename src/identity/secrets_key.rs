//! What encrypts secrets that must be read again: a second factor's, which a code is verified with,
//! so that no hash can stand for it. AES-256-GCM under a key that lies in a file of its own and never
//! in the database: who takes a copy of the one has nothing without the other. Each ciphertext is
//! bound to its row, so that none can be moved to another person's.

use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use uuid::Uuid;

use super::totp::{SECRET_LENGTH, TotpSecret};
use crate::base::{Entropy, Error, Result};

/// The key of `secrets.key_file`, which seals and opens, and the one of `secrets.previous_key_file`,
/// which only opens.
pub struct SecretsKey {
    key: LessSafeKey,
    previous: Option<LessSafeKey>,
}

/// Which key a secret is sealed under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Under {
    /// The present one.
    Present,
    /// The previous one.
    Previous,
}

impl SecretsKey {
    /// Reads the file's text: 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`Error::Internal`] for any other text.
    pub fn from_text(text: &str) -> Result<Self> {
        Ok(Self { key: key_of(text)?, previous: None })
    }

    /// With a key that only opens, as its file's text.
    ///
    /// # Errors
    /// As [`Self::from_text`].
    pub fn with_previous(self, text: &str) -> Result<Self> {
        Ok(Self { previous: Some(key_of(text)?), ..self })
    }

    /// The keys of these files; an empty path for the second: there is none.
    ///
    /// # Errors
    /// [`Error::Internal`] when a file cannot be read or holds no key.
    pub fn of_files(file: &Path, previous: &Path) -> Result<Self> {
        let text = |file: &Path| std::fs::read_to_string(file).map_err(Error::internal);
        let key = Self::from_text(&text(file)?)?;
        if previous.as_os_str().is_empty() { Ok(key) } else { key.with_previous(&text(previous)?) }
    }

    /// Encrypts the secret of the row `row` that belongs to `holder`: nonce, ciphertext, tag.
    pub(super) fn seal(&self, row: Uuid, holder: Uuid, secret: &TotpSecret, entropy: &dyn Entropy) -> Result<Vec<u8>> {
        // 96 random bits: under one key, far more persons than there are may enrol (NIST SP 800-38D §8.3).
        let mut nonce = [0_u8; NONCE_LEN];
        entropy.fill(&mut nonce);
        let mut sealed = secret.bytes().to_vec();
        let failed = |_| Error::internal("a secret could not be encrypted");
        self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), bound(row, holder), &mut sealed).map_err(failed)?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Decrypts it.
    ///
    /// # Errors
    /// [`Error::Internal`] when it was encrypted under neither key, for another row, or altered.
    pub(super) fn open(&self, row: Uuid, holder: Uuid, sealed: &[u8]) -> Result<TotpSecret> {
        let opened = self.open_under(row, holder, sealed);
        opened.map(|(secret, _)| secret).ok_or_else(|| Error::internal("a second factor opens with neither secrets key"))
    }

    /// The same with the key that opened it; `None` when neither does.
    pub(super) fn open_under(&self, row: Uuid, holder: Uuid, sealed: &[u8]) -> Option<(TotpSecret, Under)> {
        let with = |key| open(key, row, holder, sealed);
        let previous = || Some((with(self.previous.as_ref()?)?, Under::Previous));
        with(&self.key).map(|secret| (secret, Under::Present)).or_else(previous)
    }
}

fn key_of(text: &str) -> Result<LessSafeKey> {
    let mut bytes = [0_u8; 32];
    hex::decode_to_slice(text.trim(), &mut bytes).map_err(|_| Error::internal("a secrets key is 64 hexadecimal digits"))?;
    let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| Error::internal("the secrets key cannot be used"))?;
    Ok(LessSafeKey::new(key))
}

fn open(key: &LessSafeKey, row: Uuid, holder: Uuid, sealed: &[u8]) -> Option<TotpSecret> {
    let (nonce, rest) = sealed.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut rest = rest.to_vec();
    let opened = key.open_in_place(nonce, bound(row, holder), &mut rest).ok()?;
    let bytes: [u8; SECRET_LENGTH] = (&*opened).try_into().ok()?;
    Some(TotpSecret::of(bytes))
}

fn bound(row: Uuid, holder: Uuid) -> Aad<Vec<u8>> {
    Aad::from([row.as_bytes().as_slice(), holder.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SeededEntropy;

    #[test]
    fn a_secret_opens_with_its_key_in_its_row_only() {
        let entropy = SeededEntropy::new(1);
        let key = SecretsKey::from_text(&format!("{}\n", "0f".repeat(32))).unwrap();
        let secret = TotpSecret::draw(&entropy);
        let (row, holder) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let sealed = key.seal(row, holder, &secret, &entropy).unwrap();
        assert_eq!(sealed.len(), 48);
        assert!(!sealed.windows(4).any(|part| part == &secret.bytes()[..4]));
        assert_eq!(key.open(row, holder, &sealed).unwrap().bytes(), secret.bytes());
        assert!(key.open(holder, holder, &sealed).is_err() && key.open(row, row, &sealed).is_err());
        let other = || SecretsKey::from_text(&"0e".repeat(32)).unwrap();
        assert!(other().open(row, holder, &sealed).is_err());
        // The previous key opens, and says that it did; what is sealed then is sealed under the present one.
        let both = other().with_previous(&"0f".repeat(32)).unwrap();
        assert_eq!(both.open_under(row, holder, &sealed).unwrap().1, Under::Previous);
        let anew = both.seal(row, holder, &secret, &entropy).unwrap();
        assert_eq!(both.open_under(row, holder, &anew).unwrap().1, Under::Present);
        assert_eq!(other().open(row, holder, &anew).unwrap().bytes(), secret.bytes());
        assert!(key.open(row, holder, &anew).is_err() && both.open_under(holder, holder, &sealed).is_none());
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(key.open(row, holder, &altered).is_err(), "{at}");
        }
        assert!(key.open(row, holder, &[]).is_err());
        assert_ne!(sealed, key.seal(row, holder, &secret, &entropy).unwrap());
        for wrong in ["", "0f", &"0g".repeat(32), &"0f".repeat(33)] {
            assert!(SecretsKey::from_text(wrong).is_err(), "{wrong}");
        }
    }
}
