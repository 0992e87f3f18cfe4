//! Shape and values of a request, with every fault at once. serde stops at its first error; a
//! client that sends five mistakes would learn of them in five requests. [`crate::request!`]
//! declares a body once and makes its type, its schema and its reading.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::{Error, Fault, Result};

/// Where in the body: a JSON pointer (RFC 6901).
#[derive(Debug, Clone, Default)]
pub struct Pointer(String);

impl Pointer {
    /// The pointer to a member or element below this one.
    #[must_use]
    pub fn at(&self, part: impl fmt::Display) -> Self {
        let part = part.to_string().replace('~', "~0").replace('/', "~1");
        let part: String = part.chars().take(100).collect();
        Self(format!("{}/{part}", self.0))
    }
}

/// All faults of one request so far.
#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Adds a fault. `detail` says the rule, never the value.
    pub fn add(&mut self, at: &Pointer, code: &'static str, detail: impl Into<String>) {
        self.0.push(Fault { pointer: at.0.clone(), code, detail: detail.into() });
    }
    /// Adds a fault at a member of the body's top level.
    pub fn add_at(&mut self, field: &str, code: &'static str, detail: impl Into<String>) {
        self.add(&Pointer::default().at(field), code, detail);
    }
    /// True if nothing is wrong so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// Ends the reading.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all faults, if there is one.
    pub fn finish<T>(self, value: Option<T>) -> Result<T> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(Error::Invalid(self.0)),
        }
    }
    /// Ends the reading of something that has no value.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all faults, if there is one.
    pub fn check(self) -> Result<()> {
        self.finish(Some(()))
    }
}

/// A type that can be read from JSON, noting every fault.
pub trait Decode: Sized {
    /// Reads the value; `None` after noting at least one fault.
    fn decode(value: &Value, at: &Pointer, faults: &mut Faults) -> Option<Self>;
    /// What an absent member means; a fault unless the type has an answer.
    fn absent(at: &Pointer, faults: &mut Faults) -> Option<Self> {
        faults.add(at, "required", "is required");
        None
    }
}

/// An object being read, which in the end names the members nobody asked for.
pub struct Object<'v> {
    members: &'v Map<String, Value>,
    at: Pointer,
    asked: BTreeSet<&'static str>,
}

impl<'v> Object<'v> {
    /// Starts reading an object.
    pub fn open(value: &'v Value, at: &Pointer, faults: &mut Faults) -> Option<Self> {
        let Value::Object(members) = value else {
            faults.add(at, "type", "must be an object");
            return None;
        };
        Some(Self { members, at: at.clone(), asked: BTreeSet::new() })
    }
    /// Reads one member.
    pub fn field<T: Decode>(&mut self, name: &'static str, faults: &mut Faults) -> Option<T> {
        self.asked.insert(name);
        let at = self.at.at(name);
        match self.members.get(name) {
            None => T::absent(&at, faults),
            Some(value) => T::decode(value, &at, faults),
        }
    }
    /// Notes every member that was not asked for.
    pub fn close(self, faults: &mut Faults) {
        for name in self.members.keys().filter(|name| !self.asked.contains(name.as_str())) {
            faults.add(&self.at.at(name), "unknown_field", "is not a field of this object");
        }
    }
}

/// Reads a text that parses.
pub(super) fn parsed<T: FromStr>(value: &Value, at: &Pointer, faults: &mut Faults, code: &'static str, rule: &'static str) -> Option<T> {
    let Value::String(text) = value else {
        faults.add(at, "type", "must be a text");
        return None;
    };
    let parsed = text.parse().ok();
    if parsed.is_none() {
        faults.add(at, code, rule);
    }
    parsed
}

impl<T: Decode> Decode for Option<T> {
    fn decode(value: &Value, at: &Pointer, faults: &mut Faults) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::decode(value, at, faults).map(Some),
        }
    }
    fn absent(_: &Pointer, _: &mut Faults) -> Option<Self> {
        Some(None)
    }
}

/// The most elements a list of a request may have.
pub const MAX_ELEMENTS: usize = 10_000;

impl<T: Decode> Decode for Vec<T> {
    fn decode(value: &Value, at: &Pointer, faults: &mut Faults) -> Option<Self> {
        let Value::Array(items) = value else {
            faults.add(at, "type", "must be a list");
            return None;
        };
        if items.len() > MAX_ELEMENTS {
            faults.add(at, "too_many", "must have at most 10000 elements");
            return None;
        }
        let read: Vec<Option<T>> = items.iter().enumerate().map(|(i, item)| T::decode(item, &at.at(i), faults)).collect();
        read.into_iter().collect()
    }
}

impl<T: Decode + Ord> Decode for BTreeSet<T> {
    fn decode(value: &Value, at: &Pointer, faults: &mut Faults) -> Option<Self> {
        let items = Vec::<T>::decode(value, at, faults)?;
        let mut set = Self::new();
        for (i, item) in items.into_iter().enumerate() {
            if !set.insert(item) {
                faults.add(&at.at(i), "duplicate", "stands twice in the list");
            }
        }
        Some(set)
    }
}

impl Decode for bool {
    fn decode(value: &Value, at: &Pointer, faults: &mut Faults) -> Option<Self> {
        if value.as_bool().is_none() {
            faults.add(at, "type", "must be true or false");
        }
        value.as_bool()
    }
}

/// The largest integer that every JSON reader keeps exactly (RFC 8259 §6).
pub const MAX_INTEGER: u64 = 9_007_199_254_740_991;

impl Decode for u64 {
    fn decode(value: &Value, at: &Pointer, faults: &mut Faults) -> Option<Self> {
        let number = value.as_u64().filter(|n| *n <= MAX_INTEGER);
        if number.is_none() {
            let code = if value.is_number() { "range" } else { "type" };
            faults.add(at, code, "must be a whole number from 0 to 9007199254740991");
        }
        number
    }
}

impl Decode for u32 {
    fn decode(value: &Value, at: &Pointer, faults: &mut Faults) -> Option<Self> {
        let number = value.as_u64().and_then(|n| Self::try_from(n).ok());
        if number.is_none() {
            let code = if value.is_number() { "range" } else { "type" };
            faults.add(at, code, "must be a whole number from 0 to 4294967295");
        }
        number
    }
}

macro_rules! decode_parsed {
    ($($ty:ty, $code:literal, $rule:literal;)*) => {
        $(impl Decode for $ty {
            fn decode(value: &Value, at: &Pointer, faults: &mut Faults) -> Option<Self> {
                parsed(value, at, faults, $code, $rule)
            }
        })*
    };
}
decode_parsed! {
    super::Instant, "instant", "must be an instant in RFC 3339, such as 2026-11-24T08:00:00Z";
    chrono_tz::Tz, "time_zone", "must be an IANA time zone, such as Europe/Oslo";
}

/// A civil date: four digits of year, and not the last, so that its end is an instant in any zone.
impl Decode for chrono::NaiveDate {
    fn decode(value: &Value, at: &Pointer, faults: &mut Faults) -> Option<Self> {
        const RULE: &str = "must be a civil date of the years 1 to 9998, such as 2026-11-24";
        let date = parsed(value, at, faults, "date", RULE)?;
        if (1..=9998).contains(&chrono::Datelike::year(&date)) {
            return Some(date);
        }
        faults.add(at, "date", RULE);
        None
    }
}

/// Declares a request body: its type, its OpenAPI schema and its reading with all faults.
#[macro_export]
macro_rules! request {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$fm:meta])* $field:ident: $ty:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, utoipa::ToSchema, serde::Serialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$fm])* pub $field: $ty,)* }

        impl $crate::base::Decode for $name {
            fn decode(
                value: &serde_json::Value,
                at: &$crate::base::Pointer,
                faults: &mut $crate::base::Faults,
            ) -> Option<Self> {
                #[allow(unused_mut, reason = "a body without fields reads none")]
                let mut object = $crate::base::Object::open(value, at, faults)?;
                $(let $field = object.field::<$ty>(stringify!($field), faults);)*
                object.close(faults);
                Some(Self { $($field: $field?,)* })
            }
        }
    };
}

/// Declares an enumeration of fixed words: text form, schema, reading and storage by one list.
#[macro_export]
macro_rules! words {
    ($(#[doc = $doc:literal])+ $(#[expect($($expect:tt)*)])? pub enum $name:ident { $($(#[$vm:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[doc = $doc])+
        $(#[expect($($expect)*)])?
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$vm])* #[serde(rename = $word)] $variant,)* }

        // Derived, the schema would list the variants' names: it cannot see a word that a macro passes on.
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $crate::base::schema_of_words(concat!($($doc),+), &[$($word,)*])
            }
        }
        impl utoipa::ToSchema for $name {}

        impl $name {
            /// Every value, in order.
            #[allow(dead_code, reason = "not every enumeration is walked")]
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// The word that stands for the value in JSON and in tables.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(self.word()) }
        }
        impl std::str::FromStr for $name {
            type Err = $crate::base::BadText;
            fn from_str(text: &str) -> Result<Self, $crate::base::BadText> {
                match text { $($word => Ok(Self::$variant),)* _ => Err($crate::base::BadText("unknown word")) }
            }
        }
        impl $crate::base::Decode for $name {
            fn decode(
                value: &serde_json::Value,
                at: &$crate::base::Pointer,
                faults: &mut $crate::base::Faults,
            ) -> Option<Self> {
                $crate::base::decode_word(value, at, faults, &[$($word,)*])
            }
        }
    };
}

/// The schema of a closed list of words.
#[must_use]
pub fn schema_of_words(about: &str, words: &[&str]) -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
    let text = utoipa::openapi::ObjectBuilder::new().schema_type(utoipa::openapi::schema::Type::String);
    text.description(Some(about.trim())).enum_values(Some(words.iter().copied())).into()
}

/// Reads a text that must be one of a closed list of words.
pub fn decode_word<T: FromStr>(value: &Value, at: &Pointer, faults: &mut Faults, words: &[&str]) -> Option<T> {
    let Some(text) = value.as_str() else {
        faults.add(at, "type", "must be a text");
        return None;
    };
    let word = text.parse().ok();
    if word.is_none() {
        faults.add(at, "unknown_value", format!("must be one of: {}", words.join(", ")));
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::request! {
        /// A body for this test.
        pub struct Sample {
            name: super::super::Name,
            count: u64,
            tags: Vec<super::super::Code>,
            note: Option<super::super::Note>,
        }
    }

    crate::words! {
        /// Words for this test.
        pub enum Spoken {
            /// Two words.
            InForce = "in_force",
            /// One.
            Over = "over",
        }
    }

    /// Negative control: with a derived schema the list is `InForce`, `Over`.
    #[test]
    fn a_schema_lists_the_words_that_are_written() {
        let schema = serde_json::to_value(<Spoken as utoipa::PartialSchema>::schema()).unwrap();
        let written: Vec<_> = Spoken::ALL.iter().map(|word| serde_json::to_value(word).unwrap()).collect();
        assert_eq!(schema["enum"], serde_json::json!(written));
    }

    /// Negative control: the first two are taken.
    #[test]
    fn a_civil_date_has_an_end_that_can_be_written() {
        for (text, taken) in
            [("2026-11-24", true), ("9998-12-31", true), ("9999-12-31", false), ("+262142-12-30", false), ("0000-01-01", false)]
        {
            let read = chrono::NaiveDate::decode(&serde_json::json!(text), &Pointer::default(), &mut Faults::default());
            assert_eq!(read.is_some(), taken, "{text}");
        }
    }

    #[test]
    fn every_fault_is_listed_at_once() {
        let body = serde_json::json!({"count": -1, "tags": ["ok", 7, ""], "extra/x": 1});
        let mut faults = Faults::default();
        let read = Sample::decode(&body, &Pointer::default(), &mut faults);
        let Err(Error::Invalid(list)) = faults.finish(read) else { panic!("accepted") };
        let found: Vec<_> = list.iter().map(|f| (f.pointer.as_str(), f.code)).collect();
        assert_eq!(
            found,
            [("/name", "required"), ("/count", "range"), ("/tags/1", "type"), ("/tags/2", "text"), ("/extra~1x", "unknown_field")]
        );
    }
}
