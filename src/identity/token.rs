//! Tokens as text: sessions, invitations, API keys. Each begins with its kind, so that a token of
//! one surface is known as such before anything is asked of the database, and only its SHA-256 is
//! stored. An API key ends in a CRC-32, so that scanners find leaked ones and slips cost nothing.

use crate::base::{ApiKeyId, Digest, Entropy, TypedId, random32, sha256, token_text};
use crate::http::Surface;

/// Begins a session's token on the institution surface.
pub const SESSION: &str = "mds_";
/// Begins a session's token on the admin surface.
pub const OPS_SESSION: &str = "mdo_";
/// Begins an invitation's token.
pub const INVITATION: &str = "mdi_";
/// Begins the token that proves an address.
pub const EMAIL_CHANGE: &str = "mde_";
/// Begins the token of an account's recovery.
pub const RECOVERY: &str = "mdr_";
/// Begins an API key of any surface.
pub const API_KEY: &str = "mdt_live_";

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Digits of a CRC-32 in base 62.
const CHECKSUM: usize = 6;
/// Hexadecimal digits of an API key: its id and its secret.
const KEY_DIGITS: usize = 32 + 64;

/// What a token of a surface may be, with the hash it is looked up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// A session.
    Session(Digest),
    /// An API key.
    Key(Digest),
}

/// The hash that is stored in place of a token.
#[must_use]
pub fn hash(text: &str) -> Digest {
    sha256(&[text.as_bytes()])
}

/// Draws a token: its text and the hash to store.
pub fn draw(prefix: &str, entropy: &dyn Entropy) -> (String, Digest) {
    let text = token_text(prefix, &random32(entropy));
    let hash = hash(&text);
    (text, hash)
}

/// Draws an API key: its text and the hash to store.
pub fn draw_key(id: ApiKeyId, entropy: &dyn Entropy) -> (String, Digest) {
    let secret = token_text("", &random32(entropy));
    let body = format!("{API_KEY}{}{secret}", id.uuid().simple());
    let text = format!("{body}{}", checksum(&body));
    let hash = hash(&text);
    (text, hash)
}

/// Reads a token of a surface; `None` for everything that cannot be one.
#[must_use]
pub fn read(surface: Surface, text: &str) -> Option<Token> {
    let session = match surface {
        Surface::Institution => Some(SESSION),
        Surface::Admin => Some(OPS_SESSION),
        Surface::Gate => None,
        Surface::Public => return None,
    };
    if session.is_some_and(|prefix| is_token(prefix, text)) {
        return Some(Token::Session(hash(text)));
    }
    is_key(text).then(|| Token::Key(hash(text)))
}

/// True if the text has the form of a drawn token of this kind.
#[must_use]
pub fn is_token(prefix: &str, text: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|digits| digits.len() == 64 && is_hex(digits))
}

fn is_key(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(API_KEY) else { return false };
    let Some((digits, _)) = rest.split_at_checked(KEY_DIGITS) else { return false };
    let Some((body, sum)) = text.split_at_checked(API_KEY.len() + KEY_DIGITS) else { return false };
    is_hex(digits) && sum == checksum(body)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn checksum(text: &str) -> String {
    let mut left = crc32fast::hash(text.as_bytes());
    let mut digits = [b'0'; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = usize::try_from(left % 62).ok().and_then(|at| BASE62.get(at)).copied().unwrap_or(b'0');
        left /= 62;
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SeededEntropy;
    use uuid::Uuid;

    #[test]
    fn a_token_is_of_its_surface_only() {
        let entropy = SeededEntropy::new(1);
        let (session, hashed) = draw(SESSION, &entropy);
        let (ops, _) = draw(OPS_SESSION, &entropy);
        assert_eq!(read(Surface::Institution, &session), Some(Token::Session(hashed)));
        assert!(matches!(read(Surface::Admin, &ops), Some(Token::Session(_))));
        for (surface, text) in [
            (Surface::Admin, &session),
            (Surface::Gate, &session),
            (Surface::Public, &session),
            (Surface::Institution, &ops),
            (Surface::Gate, &ops),
        ] {
            assert_eq!(read(surface, text), None, "{surface:?}");
        }
        let (invitation, _) = draw(INVITATION, &entropy);
        assert_eq!(read(Surface::Institution, &invitation), None);
    }

    #[test]
    fn a_slip_in_a_key_is_seen_without_the_database() {
        let (key, hashed) = draw_key(Uuid::from_u128(7).into(), &SeededEntropy::new(2));
        assert_eq!(key.len(), API_KEY.len() + KEY_DIGITS + CHECKSUM);
        for surface in [Surface::Institution, Surface::Admin, Surface::Gate] {
            assert_eq!(read(surface, &key), Some(Token::Key(hashed)));
        }
        for at in 0..key.len() {
            let mut slipped = key.clone().into_bytes();
            slipped[at] = if slipped[at] == b'1' { b'2' } else { b'1' };
            assert_eq!(read(Surface::Gate, &String::from_utf8(slipped).unwrap()), None, "{at}");
        }
        for wrong in ["", "mdt_live_", &key[..key.len() - 1], &format!("{key}0"), "mdt_live_\u{e5}"] {
            assert_eq!(read(Surface::Gate, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_checksum_has_six_digits() {
        assert_eq!(checksum(""), "000000");
        // The CRC-32 of "123456789" is 0xCBF43926, as every table of test values has it.
        let mut value = 0xCBF4_3926_u64;
        let mut digits = Vec::new();
        while value > 0 {
            digits.push(BASE62[usize::try_from(value % 62).unwrap()]);
            value /= 62;
        }
        digits.reverse();
        assert_eq!(checksum("123456789").into_bytes(), digits);
    }
}
