//! Lists: a page of at most 100 and an opaque cursor. The cursor is bound to the list it came
//! from, so that it cannot carry a reader into another list.

use uuid::Uuid;

use super::{Error, Fault, Result, sha256};

/// One page of a list.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// The elements.
    pub data: Vec<T>,
    /// Pass as `cursor` to get the next page; null on the last.
    pub next_cursor: Option<String>,
}

/// What part of a list is asked for.
#[derive(Debug, Clone, Copy)]
pub struct PageQuery {
    /// How many, 1 to 100.
    pub limit: i64,
    /// After which element.
    pub after: Option<Uuid>,
    list: [u8; 8],
}

fn tag(list: &str) -> [u8; 8] {
    let mut tag = [0; 8];
    tag.copy_from_slice(&sha256(&[list.as_bytes()]).0[..8]);
    tag
}

impl PageQuery {
    /// Reads `limit` (25 when absent) and `cursor`; `list` names the list, its customer and filter.
    ///
    /// # Errors
    /// [`Error::BadParameters`] when the limit is outside 1 to 100 or the cursor is of another list.
    pub fn read(limit: Option<&str>, cursor: Option<&str>, list: &str) -> Result<Self> {
        let mut faults = Vec::new();
        let limit = match limit.map(str::parse::<i64>) {
            None => 25,
            Some(Ok(limit)) if (1..=100).contains(&limit) => limit,
            Some(_) => {
                let detail = "must be a whole number from 1 to 100".to_owned();
                faults.push(Fault { pointer: "limit".to_owned(), code: "range", detail });
                25
            }
        };
        let list = tag(list);
        let after = cursor.and_then(|text| {
            let bytes = hex::decode(text).ok()?;
            let (id, mark) = bytes.split_at_checked(16)?;
            (mark == list).then(|| Uuid::from_slice(id).ok()).flatten()
        });
        if cursor.is_some() && after.is_none() {
            let detail = "is not a cursor of this list".to_owned();
            faults.push(Fault { pointer: "cursor".to_owned(), code: "cursor", detail });
        }
        if faults.is_empty() { Ok(Self { limit, after, list }) } else { Err(Error::BadParameters(faults)) }
    }

    /// How many rows a query must fetch so that [`Self::page`] knows whether more follow.
    #[must_use]
    pub const fn fetch(&self) -> i64 {
        self.limit + 1
    }

    /// Cuts the fetched rows to a page.
    pub fn page<T>(&self, mut rows: Vec<T>, id: impl Fn(&T) -> Uuid) -> Page<T> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| more).map(|last| {
            let mut bytes = id(last).as_bytes().to_vec();
            bytes.extend(self.list);
            hex::encode(bytes)
        });
        Page { data: rows, next_cursor }
    }
}
