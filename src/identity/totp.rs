//! Time-based one-time passwords: RFC 6238 over RFC 4226, with SHA-1, six digits and steps of 30 s,
//! as every authenticator reads them. A code of the step before or after the present one counts, for
//! clocks that drift; a code works once, because only a step after the last accepted one does. Pure;
//! HMAC is the library's.

use aws_lc_rs::hmac;
use data_encoding::BASE32_NOPAD;
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

use crate::base::{Email, Entropy, Error, Instant, Result};

/// Milliseconds of one time step.
const STEP_MILLIS: i64 = 30_000;
/// Steps a clock may be off, each way.
const DRIFT: i64 = 1;
/// Bytes of a shared secret: 160 bits (RFC 4226 §4, R6).
pub const SECRET_LENGTH: usize = 20;

/// The time step of an instant (RFC 6238 §4.2, with T0 = 0 and X = 30 s).
#[must_use]
pub fn step_at(now: Instant) -> i64 {
    now.millis().div_euclid(STEP_MILLIS)
}

/// The secret that a person's authenticator and the service share.
#[derive(Clone)]
pub struct TotpSecret([u8; SECRET_LENGTH]);

impl TotpSecret {
    /// Draws one.
    pub fn draw(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; SECRET_LENGTH];
        entropy.fill(&mut bytes);
        Self(bytes)
    }
    /// The secret with these bytes.
    #[must_use]
    pub const fn of(bytes: [u8; SECRET_LENGTH]) -> Self {
        Self(bytes)
    }
    /// Its bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; SECRET_LENGTH] {
        &self.0
    }
    /// Reads its text in base 32 (RFC 4648 §6, without padding).
    ///
    /// # Errors
    /// [`Error::Internal`] for a text that is none.
    pub fn from_base32(text: &str) -> Result<Self> {
        let bytes = BASE32_NOPAD.decode(text.as_bytes()).map_err(Error::internal)?;
        let bytes = bytes.try_into().map_err(|_| Error::internal("a secret of another length"))?;
        Ok(Self(bytes))
    }
    /// Its text in base 32.
    #[must_use]
    pub fn base32(&self) -> String {
        BASE32_NOPAD.encode(&self.0)
    }
    /// What an authenticator reads from a picture or a link: `otpauth://totp/…`.
    #[must_use]
    pub fn uri(&self, account: &Email) -> String {
        let mut uri = url::Url::parse("otpauth://totp").ok();
        if let Some(uri) = &mut uri {
            uri.set_path(&format!("/Mandate:{}", account.as_str()));
            let mut query = uri.query_pairs_mut();
            query.append_pair("secret", &self.base32()).append_pair("issuer", "Mandate");
            query.append_pair("algorithm", "SHA1").append_pair("digits", "6").append_pair("period", "30");
        }
        uri.map(String::from).unwrap_or_default()
    }

    /// The code of a time step.
    #[must_use]
    pub fn code(&self, step: i64) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        // Dynamic truncation, RFC 4226 §5.3.
        let bytes = tag.as_ref();
        let offset = usize::from(bytes[bytes.len() - 1] & 0x0f);
        let mut word = [0; 4];
        word.copy_from_slice(&bytes[offset..offset + 4]);
        let number = u32::from_be_bytes(word) & 0x7fff_ffff;
        format!("{:06}", number % 1_000_000)
    }

    /// The time step whose code this is: within the drift around `now`, and after `last`. All
    /// candidates are looked at, and each in the same time.
    #[must_use]
    pub fn step_of(&self, code: &str, now: Instant, last: i64) -> Option<i64> {
        let present = step_at(now);
        let mut found = 0_i64;
        let mut is_found = Choice::from(0);
        for step in present - DRIFT..=present + DRIFT {
            let matches = self.code(step).as_bytes().ct_eq(code.as_bytes()) & Choice::from(u8::from(step > last));
            found.conditional_assign(&step, matches);
            is_found |= matches;
        }
        bool::from(is_found).then_some(found)
    }

    /// A code that was not used yet, and the milliseconds until it is accepted (0: now).
    #[must_use]
    pub fn unused(&self, now: Instant, last: i64) -> (String, u64) {
        let step = step_at(now).max(last + 1);
        let from = (step - DRIFT) * STEP_MILLIS;
        (self.code(step), u64::try_from(from - now.millis()).unwrap_or(0))
    }
}

/// True if the text has the form of a code.
#[must_use]
pub fn is_code(text: &str) -> bool {
    text.len() == 6 && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SeededEntropy;
    use proptest::prelude::*;

    fn at(seconds: i64) -> Instant {
        Instant::from_millis(seconds * 1000).unwrap()
    }

    #[test]
    fn the_codes_are_those_of_rfc_6238_appendix_b() {
        let secret = TotpSecret::of(*b"12345678901234567890");
        // The appendix prints eight digits; six digits are its last six (RFC 4226 §5.3, step 3).
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(secret.code(step_at(at(seconds))), code, "{seconds}");
        }
    }

    #[test]
    fn the_uri_carries_the_secret_in_base_32() {
        let secret = TotpSecret::of(*b"12345678901234567890");
        let uri = secret.uri(&"kari@nordvik.example".parse().unwrap());
        assert_eq!(
            uri,
            "otpauth://totp/Mandate:kari@nordvik.example?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Mandate&algorithm=SHA1&digits=6&period=30"
        );
        assert_eq!(TotpSecret::from_base32("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ").unwrap().bytes(), b"12345678901234567890");
        assert!(TotpSecret::from_base32("GEZDGNBV").is_err() && TotpSecret::from_base32("1").is_err());
    }

    #[test]
    fn a_code_drifts_by_one_step_each_way_and_works_once() {
        let secret = TotpSecret::draw(&SeededEntropy::new(3));
        let now = at(1_800_000_015);
        let present = step_at(now);
        for (step, last, accepted) in [
            (present, 0, true),
            (present - 1, 0, true),
            (present + 1, 0, true),
            (present - 2, 0, false),
            (present + 2, 0, false),
            (present, present, false),
            (present - 1, present, false),
            (present + 1, present, true),
        ] {
            let found = secret.step_of(&secret.code(step), now, last);
            assert_eq!(found, accepted.then_some(step), "{} {}", step - present, last - present);
        }
        for wrong in ["", "12345", "1234567", "abcdef"] {
            assert_eq!(secret.step_of(wrong, now, 0), None, "{wrong}");
        }
        assert!(is_code("000000") && !is_code("00000") && !is_code("00000a") && !is_code("\u{664}\u{664}\u{664}"));
    }

    proptest! {
        #[test]
        fn the_next_unused_code_is_accepted_once_its_time_has_come(seconds in 1_000_000_000_i64..4_000_000_000, used in -2_i64..4) {
            let secret = TotpSecret::draw(&SeededEntropy::new(5));
            let now = at(seconds);
            let last = step_at(now) + used;
            let (code, wait) = secret.unused(now, last);
            let then = Instant::from_millis(now.millis() + i64::try_from(wait).unwrap()).unwrap();
            prop_assert!(secret.step_of(&code, then, last).is_some());
            prop_assert!(wait <= 120_000);
        }
    }
}
