//! Lists as CSV (RFC 4180) beside JSON, for every route that answers a page. The columns come from
//! the schema of the list's elements, so that they are the same whatever the page holds. A text
//! that a spreadsheet would run as a formula is made harmless. The next page is in `Link`.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, LINK, VARY};
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use url::form_urlencoded;

use crate::base::{Error, Result};

/// What a list is offered as.
const OFFERED: &str = "application/json and in text/csv";

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Csv,
}

/// The form that `Accept` asks for (RFC 9110 section 12.5.1); JSON when it asks for nothing.
///
/// # Errors
/// [`Error::NotAcceptable`] when it takes neither.
pub(super) fn negotiated(headers: &HeaderMap) -> Result<Form> {
    if !headers.contains_key(ACCEPT) {
        return Ok(Form::Json);
    }
    let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_ascii_lowercase();
    let accepted: Vec<String> = headers.get_all(ACCEPT).iter().map(text).collect();
    let ranges: Vec<(&str, f32)> = accepted.iter().flat_map(|line| line.split(',')).filter_map(range).collect();
    let weight = |kind: &str, sub: &str| {
        let (full, group) = (format!("{kind}/{sub}"), format!("{kind}/*"));
        // The most specific range that names a form decides about it.
        let named = [(full.as_str(), 3), (group.as_str(), 2), ("*/*", 1)];
        named.iter().find_map(|(name, rank)| ranges.iter().find(|(range, _)| range == name).map(|(_, q)| (*q, *rank)))
    };
    let wanted = |found: Option<(f32, i32)>| found.filter(|(q, _)| *q > 0.0);
    match (wanted(weight("application", "json")), wanted(weight("text", "csv"))) {
        (None, None) => Err(Error::NotAcceptable(OFFERED)),
        (json, csv) if csv > json => Ok(Form::Csv),
        _ => Ok(Form::Json),
    }
}

fn range(text: &str) -> Option<(&str, f32)> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let q = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse().ok());
    Some((name, q.filter(|q| (0.0..=1.0).contains(q))?))
}

/// The columns of a list, each a path into its elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns(Vec<Vec<String>>);

impl Columns {
    /// The columns of elements with this schema; `known` are the schemas it may refer to.
    pub(super) fn of(element: &Value, known: &BTreeMap<String, Value>) -> Self {
        let mut columns = Vec::new();
        walk(element, known, &mut Vec::new(), &mut columns);
        columns.dedup();
        Self(columns)
    }

    /// The columns of a view, for a report that is longer than a page.
    #[must_use]
    pub fn of_type<T: utoipa::ToSchema>() -> Self {
        let mut schemas = Vec::new();
        T::schemas(&mut schemas);
        let known = schemas.into_iter().map(|(name, schema)| (name, crate::base::to_value(&schema))).collect();
        Self::of(&crate::base::to_value(&T::schema()), &known)
    }

    /// The line of the columns' names.
    ///
    /// # Errors
    /// [`Error::Internal`] when it cannot be written.
    pub fn heading(&self) -> Result<Vec<u8>> {
        written(|writer| writer.write_record(self.0.iter().map(|path| path.join("."))))
    }

    /// A line for each element.
    ///
    /// # Errors
    /// [`Error::Internal`] when it cannot be written.
    pub fn rows(&self, rows: &[Value]) -> Result<Vec<u8>> {
        let cells =
            |row: &Value| -> Vec<String> { self.0.iter().map(|path| cell(path.iter().try_fold(row, |at, name| at.get(name)))).collect() };
        written(|writer| rows.iter().try_for_each(|row| writer.write_record(cells(row))))
    }
}

fn written(lines: impl FnOnce(&mut csv::Writer<Vec<u8>>) -> csv::Result<()>) -> Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    lines(&mut writer).map_err(Error::internal)?;
    writer.into_inner().map_err(|error| Error::internal(error.into_error()))
}

fn walk(schema: &Value, known: &BTreeMap<String, Value>, path: &mut Vec<String>, columns: &mut Vec<Vec<String>>) {
    let schema = resolved(schema, known);
    if path.len() < 5 {
        if let Some(parts) = schema["allOf"].as_array() {
            return parts.iter().for_each(|part| walk(part, known, path, columns));
        }
        if let Some(properties) = schema["properties"].as_object() {
            for (name, property) in properties {
                path.push(name.clone());
                walk(property, known, path, columns);
                path.pop();
            }
            return;
        }
    }
    columns.push(path.clone());
}

/// Follows references, and looks through "this or null".
fn resolved<'s>(mut schema: &'s Value, known: &'s BTreeMap<String, Value>) -> &'s Value {
    for _ in 0..8 {
        let target = schema["$ref"].as_str().and_then(|text| text.rsplit('/').next());
        let one = schema["oneOf"].as_array().and_then(|all| {
            let mut some = all.iter().filter(|one| one["type"] != "null");
            some.next().filter(|_| some.next().is_none())
        });
        match (target.and_then(|name| known.get(name)), one) {
            (Some(found), _) | (None, Some(found)) => schema = found,
            (None, None) => break,
        }
    }
    schema
}

/// A page of JSON as CSV; any other answer stays as it is.
pub(super) async fn as_csv(answer: Response, columns: &Columns, uri: &Uri) -> Response {
    let is_page = answer.status().is_success();
    let (mut parts, body) = answer.into_parts();
    if !is_page {
        return Response::from_parts(parts, body);
    }
    let written = async {
        let bytes = axum::body::to_bytes(body, usize::MAX).await.map_err(Error::internal)?;
        let page: Value = serde_json::from_slice(&bytes).map_err(Error::internal)?;
        let rows = page["data"].as_array().ok_or_else(|| Error::internal("a list without data"))?;
        Ok::<_, Error>((text(columns, rows)?, next(&page, uri)))
    };
    let (text, link) = match written.await {
        Ok(written) => written,
        Err(error) => return error.into_response(),
    };
    let name = uri.path().rsplit('/').next().unwrap_or("list");
    parts.headers.remove(ETAG);
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present"));
    for (header, value) in [(CONTENT_DISPOSITION, Some(format!("attachment; filename=\"{name}.csv\""))), (LINK, link)] {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            parts.headers.insert(header, value);
        }
    }
    Response::from_parts(parts, Body::from(text))
}

/// Says that the form depends on `Accept`.
pub(super) fn vary(headers: &mut HeaderMap) {
    headers.append(VARY, HeaderValue::from_static("Accept"));
}

/// The reference of the next page (RFC 8288): the same query with its cursor.
fn next(page: &Value, uri: &Uri) -> Option<String> {
    let cursor = page["next_cursor"].as_str()?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    query.extend_pairs(pairs.filter(|(name, _)| name != "cursor"));
    query.append_pair("cursor", cursor);
    Some(format!("<{}?{}>; rel=\"next\"", uri.path(), query.finish()))
}

fn text(columns: &Columns, rows: &[Value]) -> Result<Vec<u8>> {
    Ok([columns.heading()?, columns.rows(rows)?].concat())
}

/// A value as a cell: lists of plain values are joined, what is deeper stays JSON.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        // A number is a number to a spreadsheet, also with a sign.
        Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
        Some(Value::String(text)) => harmless(text.clone()),
        Some(Value::Array(all)) if all.iter().all(|one| one.is_string() || one.is_number()) => {
            let plain = all.iter().map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned));
            harmless(plain.collect::<Vec<_>>().join("; "))
        }
        Some(deeper) => harmless(deeper.to_string()),
    }
}

/// A text that begins like a formula gets an apostrophe, which spreadsheets take for "this is text".
fn harmless(text: String) -> String {
    let runs = |c: char| matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '\u{ff1d}' | '\u{ff0b}' | '\u{ff0d}' | '\u{ff20}');
    if text.starts_with(runs) { format!("'{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn accept_chooses_the_form() {
        let read = |text: &str| negotiated(&HeaderMap::from_iter([(ACCEPT, text.parse().unwrap())])).ok();
        for (accept, form) in [
            ("*/*", Some(Form::Json)),
            ("application/json", Some(Form::Json)),
            ("text/csv", Some(Form::Csv)),
            ("TEXT/CSV; charset=utf-8", Some(Form::Csv)),
            ("text/csv, */*", Some(Form::Csv)),
            ("text/*", Some(Form::Csv)),
            ("text/csv;q=0.5, application/json", Some(Form::Json)),
            ("text/csv;q=0, */*", Some(Form::Json)),
            ("application/json;q=0, */*", Some(Form::Csv)),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Some(Form::Json)),
            ("image/png", None),
            ("text/csv;q=0", None),
            ("", None),
            ("nonsense", None),
        ] {
            assert_eq!(read(accept), form, "{accept}");
        }
        assert_eq!(negotiated(&HeaderMap::new()).ok(), Some(Form::Json));
    }

    #[test]
    fn columns_are_the_schemas_and_not_the_rows() {
        let known = BTreeMap::from([
            ("Place".to_owned(), json!({"type": "object", "properties": {"country": {"type": "string"}, "town": {"type": "string"}}})),
            ("Id".to_owned(), json!({"type": "string"})),
        ]);
        let element = json!({"allOf": [
            {"properties": {"id": {"$ref": "#/components/schemas/Id"}, "place": {"oneOf": [{"$ref": "#/components/schemas/Place"}, {"type": "null"}]}}},
            {"properties": {"names": {"type": "array"}, "free": {"type": "object"}}},
        ]});
        let columns = Columns::of(&element, &known);
        assert_eq!(columns.heading().unwrap(), b"id,place.country,place.town,free,names\r\n");
        let rows =
            [json!({"id": "a,\"b\"", "place": null, "names": ["x", "y"], "free": {"n": 1}}), json!({"id": 7, "place": {"town": "Oslo"}})];
        let text = String::from_utf8(text(&columns, &rows).unwrap()).unwrap();
        assert_eq!(text, "id,place.country,place.town,free,names\r\n\"a,\"\"b\"\"\",,,\"{\"\"n\"\":1}\",x; y\r\n7,,Oslo,,\r\n");
        // Nothing on the page: the columns still stand there.
        assert_eq!(super::text(&columns, &[]).unwrap(), b"id,place.country,place.town,free,names\r\n");
    }

    #[test]
    fn a_cell_never_runs() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\u{ff1d}1"] {
            assert_eq!(cell(Some(&json!(text))), format!("'{text}"));
            assert_eq!(cell(Some(&json!([text, "b"]))), format!("'{text}; b"));
        }
        // Controls: what is a number stays one, and a text that only holds such a sign stays.
        assert_eq!(cell(Some(&json!(-1))), "-1");
        assert_eq!(cell(Some(&json!("a=b"))), "a=b");
    }

    #[test]
    fn the_next_page_keeps_the_filter() {
        let uri: Uri = "/api/v1/things?kind=export&cursor=old&limit=2".parse().unwrap();
        let link = next(&json!({"next_cursor": "new"}), &uri);
        assert_eq!(link.as_deref(), Some("</api/v1/things?kind=export&limit=2&cursor=new>; rel=\"next\""));
        assert_eq!(next(&json!({"next_cursor": null}), &uri), None);
    }
}
