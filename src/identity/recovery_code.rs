//! Recovery codes: ten per factor, each of 80 random bits, shown once, stored as hashes, used once.
//! How a person types one (case, dashes, spaces) makes no difference. Pure.

use data_encoding::BASE32_NOPAD;

use super::decide::RECOVERY_CODES;
use crate::base::{Digest, Entropy, random32, sha256};

/// Characters of a code, without dashes.
const LENGTH: usize = 16;

/// Draws the codes of a factor: their texts, and the hashes to store.
pub fn draw(entropy: &dyn Entropy) -> (Vec<String>, Vec<Digest>) {
    let codes: Vec<String> = (0..RECOVERY_CODES).map(|_| text(&BASE32_NOPAD.encode(&random32(entropy)[..10]))).collect();
    let hashes = codes.iter().filter_map(|code| hash(code)).collect();
    (codes, hashes)
}

fn text(letters: &str) -> String {
    let groups: Vec<&str> = [0, 4, 8, 12].into_iter().filter_map(|at| letters.get(at..at + 4)).collect();
    groups.join("-").to_lowercase()
}

/// The hash of a typed code; `None` for a text that cannot be one.
#[must_use]
pub fn hash(typed: &str) -> Option<Digest> {
    let letters: String = typed.chars().filter(|c| !matches!(c, '-' | ' ')).map(|c| c.to_ascii_uppercase()).collect();
    let is_code = letters.len() == LENGTH && BASE32_NOPAD.decode(letters.as_bytes()).is_ok();
    is_code.then(|| sha256(&[letters.as_bytes()]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SeededEntropy;
    use std::collections::BTreeSet;

    #[test]
    fn ten_codes_are_drawn_and_read_however_they_are_typed() {
        let (codes, hashes) = draw(&SeededEntropy::new(1));
        assert_eq!((codes.len(), hashes.iter().collect::<BTreeSet<_>>().len()), (10, 10));
        for (code, stored) in codes.iter().zip(&hashes) {
            assert_eq!((code.len(), code.matches('-').count()), (19, 3), "{code}");
            for typed in [code.clone(), code.to_uppercase(), code.replace('-', ""), code.replace('-', " ")] {
                assert_eq!(hash(&typed).as_ref(), Some(stored), "{typed}");
            }
        }
        for wrong in ["", "123456", "0000-0000-0000-0000", &codes[0][..18], &format!("{}a", codes[0]), "\u{e5}aaa-aaaa-aaaa-aaa"] {
            assert_eq!(hash(wrong), None, "{wrong}");
        }
    }
}
