//! Query parameters and path segments. An unknown or repeated query parameter is an error, never
//! ignored: a filter with a slip in its name would otherwise show everything. An id in the path
//! that cannot be read is answered like one that does not exist.

use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use url::form_urlencoded;

use crate::base::{Error, Fault, Order, PageQuery, Result};

fn fault(name: &str, code: &'static str, detail: &str) -> Fault {
    Fault { pointer: name.chars().take(100).collect(), code, detail: detail.to_owned() }
}

/// Decodes a raw query; notes names that stand twice and text that is no text.
fn decode(raw: Option<&str>) -> (Vec<(String, String)>, Vec<Fault>) {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut faults = Vec::new();
    for (name, value) in form_urlencoded::parse(raw.unwrap_or_default().as_bytes()) {
        if pairs.iter().any(|(other, _)| *other == name) {
            faults.push(fault(&name, "duplicate", "stands more than once"));
            continue;
        }
        // The decoder puts U+FFFD where the bytes are not UTF-8.
        if [&name, &value].iter().any(|text| text.chars().any(|c| c == '\u{fffd}' || c.is_control())) {
            faults.push(fault(&name, "encoding", "must be printable UTF-8, percent-encoded"));
        }
        pairs.push((name.into_owned(), value.into_owned()));
    }
    (pairs, faults)
}

/// Refuses parameters that the operation does not declare, so that handlers need not remember.
pub(super) fn check_declared(raw: Option<&str>, declared: &[String]) -> Result<()> {
    if raw.is_none_or(str::is_empty) {
        return Ok(());
    }
    let (pairs, mut faults) = decode(raw);
    for (name, _) in &pairs {
        if !declared.contains(name) {
            faults.push(fault(name, "unknown_parameter", "is not a parameter of this route"));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Error::BadParameters(faults)) }
}

/// The query parameters of a request. Reading notes faults; [`Self::page`] or [`Self::finish`]
/// ends it with all of them at once.
#[derive(Debug)]
#[must_use = "faults are answered by `page` or `finish`"]
pub struct Query {
    path: String,
    pairs: Vec<(String, String)>,
    faults: Vec<Fault>,
    asked: Vec<&'static str>,
}

impl Query {
    fn raw(&mut self, name: &'static str) -> Option<&str> {
        self.asked.push(name);
        self.pairs.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Reads a parameter that may be absent. A value that does not parse is noted as a fault.
    pub fn optional<T: FromStr>(&mut self, name: &'static str) -> Option<T> {
        let parsed = self.raw(name)?.parse().ok();
        if parsed.is_none() {
            self.faults.push(fault(name, "value", "is not a value of this parameter"));
        }
        parsed
    }

    /// Reads a parameter that must be there; its absence is noted as a fault.
    pub fn required<T: FromStr>(&mut self, name: &'static str) -> Option<T> {
        if !self.pairs.iter().any(|(other, _)| other == name) {
            self.faults.push(fault(name, "required", "is required"));
        }
        self.optional(name)
    }

    /// Ends the reading with `limit` and `cursor`. A cursor is bound to the path, to every other
    /// parameter, and to `list`, which names what neither of them says: whose list it is.
    ///
    /// # Errors
    /// [`Error::BadParameters`] with every fault of the query.
    pub fn page(self, list: &str) -> Result<PageQuery> {
        self.paged(list, Order::Id)
    }

    /// The same for a list in the order of texts.
    ///
    /// # Errors
    /// As [`Self::page`].
    pub fn page_by_text(self, list: &str) -> Result<PageQuery> {
        self.paged(list, Order::Text)
    }

    fn paged(mut self, list: &str, order: Order) -> Result<PageQuery> {
        let limit = self.raw("limit").map(str::to_owned);
        let cursor = self.raw("cursor").map(str::to_owned);
        let mut filter: Vec<_> = self.pairs.iter().filter(|(name, _)| name != "limit" && name != "cursor").collect();
        filter.sort_unstable();
        let list = format!("{:?}", (&self.path, filter, list));
        match PageQuery::read(limit.as_deref(), cursor.as_deref(), &list, order) {
            Ok(page) => self.finish().map(|()| page),
            Err(Error::BadParameters(faults)) => {
                self.faults.extend(faults);
                self.finish()?;
                Err(Error::BadParameters(Vec::new()))
            }
            Err(other) => Err(other),
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`Error::BadParameters`] with every fault of the query.
    pub fn finish(mut self) -> Result<()> {
        for (name, _) in &self.pairs {
            if !self.asked.contains(&name.as_str()) {
                self.faults.push(fault(name, "unknown_parameter", "is not a parameter of this route"));
            }
        }
        if self.faults.is_empty() { Ok(()) } else { Err(Error::BadParameters(self.faults)) }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let (pairs, faults) = decode(parts.uri.query());
        Ok(Self { path: parts.uri.path().to_owned(), pairs, faults, asked: Vec::new() })
    }
}

/// The id in the path, or a tuple of the ids in their order. Text that is no such id is answered
/// with the bytes of an absent one.
#[derive(Debug, Clone, Copy)]
pub struct PathId<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for PathId<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(ids)) => Ok(Self(ids)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => Err(match error.kind() {
                ErrorKind::WrongNumberOfParameters { .. } | ErrorKind::UnsupportedType { .. } => {
                    Error::internal("a handler asks for other path segments than its route has")
                }
                _ => Error::NotFound,
            }),
            Err(_) => Err(Error::internal("a handler asks for path segments that its route lacks")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(raw: &str) -> Query {
        let (pairs, faults) = decode(Some(raw));
        Query { path: String::new(), pairs, faults, asked: Vec::new() }
    }
    fn codes(error: Error) -> Vec<(String, &'static str)> {
        let Error::BadParameters(faults) = error else { panic!("{error:?}") };
        faults.into_iter().map(|fault| (fault.pointer, fault.code)).collect()
    }

    #[test]
    fn declared_parameters_pass_and_all_others_are_listed() {
        let declared = ["limit".to_owned(), "at".to_owned()];
        for raw in [None, Some(""), Some("limit=3"), Some("at=x&limit=%33")] {
            assert!(check_declared(raw, &declared).is_ok(), "{raw:?}");
        }
        let error = check_declared(Some("limti=3&limit=1&limit=2&%ff=1&x"), &declared).unwrap_err();
        let found = codes(error);
        let found: Vec<_> = found.iter().map(|(name, code)| (name.as_str(), *code)).collect();
        assert_eq!(
            found,
            [
                ("limit", "duplicate"),
                ("\u{fffd}", "encoding"),
                ("limti", "unknown_parameter"),
                ("\u{fffd}", "unknown_parameter"),
                ("x", "unknown_parameter")
            ]
        );
    }

    #[test]
    fn every_fault_of_the_values_is_listed_at_once() {
        let mut q = query("count=x&limit=500&cursor=zz&stray=1");
        assert_eq!(q.optional::<u32>("count"), None);
        assert_eq!(q.required::<u32>("size"), None);
        let found = codes(q.page("things").unwrap_err());
        let found: Vec<_> = found.iter().map(|(name, code)| (name.as_str(), *code)).collect();
        assert_eq!(
            found,
            [("count", "value"), ("size", "required"), ("limit", "range"), ("cursor", "cursor"), ("stray", "unknown_parameter")]
        );
    }

    #[test]
    fn a_right_query_gives_its_values() {
        let mut q = query("count=3&limit=2");
        assert_eq!(q.optional::<u32>("count"), Some(3));
        assert_eq!(q.optional::<u32>("absent"), None);
        assert_eq!(q.page("things").unwrap().limit, 2);
    }
}
