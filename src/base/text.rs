//! Text with a rule: codes, names, references. A value of these types has passed its rule, so
//! nothing further in checks length or control characters again.

use std::fmt;
use std::str::FromStr;

use utoipa::openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type};

/// The text breaks the rule of its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadText(pub &'static str);

pub(super) fn string_schema(pattern: &str, max: usize) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).max_length(Some(max)).into()
}

pub(super) fn format_schema(format: KnownFormat) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::KnownFormat(format))).into()
}

fn printable(text: &str, max: usize) -> bool {
    let length = text.chars().count();
    (1..=max).contains(&length) && text.trim() == text && !text.chars().any(char::is_control)
}

/// True if two texts that look the same are the same: composed (NFC), and without characters that
/// nobody sees. A restriction of one spelling would otherwise miss another. Joiners are part of
/// names in some scripts.
fn unambiguous(text: &str, joiners: bool) -> bool {
    let unseen = |c: char| match c {
        '\u{200c}' | '\u{200d}' => !joiners,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => {
            true
        }
        _ => false,
    };
    unicode_normalization::is_nfc(text) && !text.chars().any(unseen)
}

macro_rules! text_newtypes {
    ($($(#[$doc:meta])* $name:ident, $max:literal, $rule:literal, $pattern:literal, |$t:ident| $check:expr $(, or in records $older:expr)?;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
            #[serde(transparent)]
            pub struct $name(String);

            impl $name {
                /// The text.
                #[must_use]
                pub fn as_str(&self) -> &str { &self.0 }
                /// A text of a row or an entry: a rule that has grown stricter since makes none unreadable.
                ///
                /// # Errors
                /// When it never was a text of this type.
                pub fn of_record($t: &str) -> Result<Self, BadText> {
                    if $check $(|| $older)? { Ok(Self($t.to_owned())) } else { Err(BadText($rule)) }
                }
            }
            impl FromStr for $name {
                type Err = BadText;
                fn from_str($t: &str) -> Result<Self, BadText> {
                    if $check { Ok(Self($t.to_owned())) } else { Err(BadText($rule)) }
                }
            }
            impl TryFrom<String> for $name {
                type Error = BadText;
                fn try_from(text: String) -> Result<Self, BadText> { text.parse() }
            }
            impl From<$name> for String {
                fn from(text: $name) -> String { text.0 }
            }
            impl AsRef<str> for $name {
                fn as_ref(&self) -> &str { &self.0 }
            }
            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
            }
            impl fmt::Debug for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Debug::fmt(&self.0, f) }
            }
            impl<'de> serde::Deserialize<'de> for $name {
                fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                    Self::of_record(&String::deserialize(d)?).map_err(serde::de::Error::custom)
                }
            }
            impl utoipa::PartialSchema for $name {
                fn schema() -> RefOr<Schema> { string_schema($pattern, $max) }
            }
            impl utoipa::ToSchema for $name {}
            impl super::Decode for $name {
                fn decode(value: &serde_json::Value, at: &super::Pointer, faults: &mut super::Faults) -> Option<Self> {
                    super::decode::parsed(value, at, faults, "text", $rule)
                }
            }
        )*

        /// Calls a macro with every text type, so that other modules can add traits to all of them.
        macro_rules! for_each_text {
            ($m:ident) => { $($m!($name);)* };
        }
        pub(crate) use for_each_text;
    };
}

text_newtypes! {
    /// A code of a code list (purpose, category, channel, platform, country, role), known or not:
    /// an unknown one is a recorded refusal at the gate and a fault elsewhere.
    Code, 64, "must be 1 to 64 visible characters, composed (NFC)", r"^\S(.{0,62}\S)?$", |t| printable(t, 64) && unambiguous(t, false);
    /// A name of a person, legal entity or unit.
    Name, 200, "must be 1 to 200 visible characters, composed (NFC), without surrounding blanks", r"^\S(.{0,198}\S)?$", |t| printable(t, 200) && unambiguous(t, true);
    /// A reference made by a platform: pseudonymous, never a name.
    Reference, 128, "must be 1 to 128 visible characters, composed (NFC), without surrounding blanks", r"^\S(.{0,126}\S)?$", |t| printable(t, 128) && unambiguous(t, false);
    /// A legal reason, ground or note.
    Note, 2000, "must be 1 to 2000 characters without control characters", r"^\S([^\x00-\x1f]{0,1998}\S)?$", |t| printable(t, 2000);
    /// An e-mail address that mail can be sent to, kept in lower case by its users.
    Email, 254, "must be an e-mail address in lower case", r"^[^\s@A-Z]+@[^\s@A-Z]+\.[^\s@A-Z]+$", |t| is_email(t) && t.parse::<lettre::Address>().is_ok(), or in records is_email(t);
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    printable(text, 254)
        && text.is_ascii()
        && !text.contains([' ', '"', ',', ';', '<', '>', '\\'])
        && !text.bytes().any(|b| b.is_ascii_uppercase())
        && (1..=64).contains(&local.len())
        && !domain.contains('@')
        && domain.split('.').count() >= 2
        && domain.split('.').all(|label| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
}

impl Code {
    /// A code written in the source, which must be well-formed.
    #[must_use]
    pub fn fixed(text: &'static str) -> Self {
        Self(text.to_owned())
    }
    /// True if this is an ISO 3166-1 alpha-2 country code in capitals.
    #[must_use]
    pub fn is_country(&self) -> bool {
        self.0.len() == 2 && self.0.bytes().all(|b| b.is_ascii_uppercase()) && rust_iso3166::from_alpha2(&self.0).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_rules_hold_at_their_edges() {
        assert!("a".repeat(64).parse::<Code>().is_ok());
        assert!("a".repeat(65).parse::<Code>().is_err());
        for wrong in ["", " a", "a ", "a\u{0}b", "a\nb"] {
            assert!(wrong.parse::<Code>().is_err(), "{wrong:?}");
        }
        // The composed and the decomposed spelling of one unit, and what nobody sees.
        assert!("\u{c5}1".parse::<Reference>().is_ok() && "A\u{30a}1".parse::<Reference>().is_err());
        for unseen in ["p\u{200b}1", "p\u{202e}1", "\u{feff}p1", "p\u{ad}1", "p\u{200d}1"] {
            assert!(unseen.parse::<Reference>().is_err() && unseen.parse::<Code>().is_err(), "{unseen:?}");
        }
        assert!("\u{646}\u{200c}\u{627}".parse::<Name>().is_ok() && "a\u{202e}b".parse::<Name>().is_err());
        for right in ["kari.solheim@nordvik.example", "a@b.no"] {
            assert!(right.parse::<Email>().is_ok(), "{right}");
        }
        for wrong in ["a@b", "A@b.no", "a b@c.no", "@b.no", "a@@b.no", "a@b..no"] {
            assert!(wrong.parse::<Email>().is_err(), "{wrong}");
        }
        // What nobody could ever mail; a record of it is read all the same.
        for wrong in ["a..b@c.no", ".a@b.no", "a.@b.no", "a(b)@c.no", "a@-b.no", "a@b-.no", "a:b@c.no"] {
            assert!(wrong.parse::<Email>().is_err() && Email::of_record(wrong).is_ok(), "{wrong}");
            assert!(serde_json::from_value::<Email>(wrong.into()).is_ok() && Email::of_record("a b@c.no").is_err());
        }
        assert!(Code::fixed("NO").is_country() && !Code::fixed("XX").is_country() && !Code::fixed("no").is_country());
    }
}
