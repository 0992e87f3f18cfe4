//! JSON in and out: strict reading (RFC 8259 with duplicate keys, NUL and excess depth refused),
//! and canonical writing (RFC 8785). Two readers of one text must never see two meanings.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        d.deserialize_any(self)
    }
}

fn no_nul<E: serde::de::Error>(text: &str) -> Result<&str, E> {
    if text.contains('\0') { Err(E::custom("NUL")) } else { Ok(text) }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(Value::from(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value::from(v))
    }
    fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<Value, E> {
        Number::from_f64(v).map(Value::Number).ok_or_else(|| E::custom("number"))
    }
    fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<Value, E> {
        no_nul(v).map(|text| Value::String(text.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Strict)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            no_nul::<A::Error>(&key)?;
            let value = map.next_value_seed(Strict)?;
            if members.insert(key, value).is_some() {
                return Err(A::Error::custom("duplicate key"));
            }
        }
        Ok(Value::Object(members))
    }
}

/// Reads exactly one JSON value.
///
/// # Errors
/// A fixed text naming the first fault: not UTF-8, syntax, duplicate key, NUL, or nested deeper
/// than 128 levels. It never repeats the input.
pub fn parse_strict(bytes: &[u8]) -> Result<Value, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "The body is not UTF-8.")?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict.deserialize(&mut reader).map_err(|e| {
        let cause = e.to_string();
        if cause.starts_with("duplicate key") {
            "The body has an object with the same key twice."
        } else if cause.starts_with("NUL") {
            "The body has a text with a NUL character."
        } else if cause.starts_with("recursion limit") {
            "The body is nested deeper than 128 levels."
        } else {
            "The body is not one JSON value."
        }
    })?;
    reader.end().map_err(|_| "The body is not one JSON value.")?;
    Ok(value)
}

/// The canonical bytes of a value (RFC 8785).
///
/// # Panics
/// Never for values made of this crate's types: their maps have text keys and their numbers are
/// integers within ±2^53.
#[must_use]
pub fn canonical<T: serde::Serialize>(value: &T) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "records are made of types that always serialise")]
    serde_json_canonicalizer::to_vec(value).expect("records serialise")
}

/// The value as a JSON tree.
///
/// # Panics
/// Never for this crate's types, as [`canonical`].
#[must_use]
pub fn to_value<T: serde::Serialize>(value: &T) -> Value {
    #[expect(clippy::expect_used, reason = "records are made of types that always serialise")]
    serde_json::to_value(value).expect("records serialise")
}

/// Reads a typed value out of a stored JSON tree.
///
/// # Errors
/// When the tree does not have the type's shape.
pub fn from_value<T: for<'de> Deserialize<'de>>(value: &Value) -> Result<T, serde_json::Error> {
    T::deserialize(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_has_one_meaning() {
        assert!(parse_strict(br#"{"a":[1,true,null,"x"]}"#).is_ok());
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        for (bytes, part) in [
            (br#"{"a":1,"a":2}"#.as_slice(), "twice"),
            (br#"{"a":{"b":1,"b":1}}"#, "twice"),
            (br#"{"a":"x\u0000y"}"#, "NUL"),
            (b"{} {}", "one JSON value"),
            (b"", "one JSON value"),
            (b"{\"a\":NaN}", "one JSON value"),
            (b"\"\xff\"", "UTF-8"),
            (deep.as_bytes(), "128 levels"),
        ] {
            let fault = parse_strict(bytes).unwrap_err();
            assert!(fault.contains(part), "{fault}");
        }
    }

    #[test]
    fn canonical_form_sorts_keys() {
        let value = parse_strict("{\"b\":1,\"a\":\"\u{e9}\"}".as_bytes()).unwrap();
        assert_eq!(canonical(&value), "{\"a\":\"\u{e9}\",\"b\":1}".as_bytes());
    }
}
