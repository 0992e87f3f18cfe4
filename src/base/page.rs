//! Lists: a page of at most 100 and an opaque cursor. The cursor is bound to the list it came
//! from, so that it cannot carry a reader into another list. It names the last element seen, not a
//! place, so that what is added in between neither repeats an element nor hides one.

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
#[derive(Debug, Clone)]
pub struct PageQuery {
    /// How many, 1 to 100.
    pub limit: i64,
    /// After which element, of a list in the order of ids.
    pub after: Option<Uuid>,
    /// After which element, of a list in the order of texts.
    pub after_text: Option<String>,
    list: [u8; 8],
}

/// What puts the elements of a list in order, and so what its cursors hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// An id.
    Id,
    /// A text.
    Text,
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
    pub fn read(limit: Option<&str>, cursor: Option<&str>, list: &str, order: Order) -> Result<Self> {
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
        let last = cursor.and_then(|text| {
            let bytes = hex::decode(text).ok()?;
            let (last, mark) = bytes.split_at_checked(bytes.len().checked_sub(list.len())?)?;
            (mark == list).then(|| last.to_vec())
        });
        let (mut after, mut after_text) = (None, None);
        match order {
            Order::Id => after = last.and_then(|last| Uuid::from_slice(&last).ok()),
            Order::Text => after_text = last.and_then(|last| String::from_utf8(last).ok()),
        }
        if cursor.is_some() && after.is_none() && after_text.is_none() {
            let detail = "is not a cursor of this list".to_owned();
            faults.push(Fault { pointer: "cursor".to_owned(), code: "cursor", detail });
        }
        if faults.is_empty() { Ok(Self { limit, after, after_text, list }) } else { Err(Error::BadParameters(faults)) }
    }

    /// How many rows a query must fetch so that [`Self::page`] knows whether more follow.
    #[must_use]
    pub const fn fetch(&self) -> i64 {
        self.limit + 1
    }

    /// Cuts the fetched rows to a page.
    pub fn page<T>(&self, rows: Vec<T>, id: impl Fn(&T) -> Uuid) -> Page<T> {
        self.cut(rows, |row| id(row).into_bytes().to_vec())
    }

    /// Cuts the fetched rows of a list in the order of texts to a page.
    pub fn page_by_text<T>(&self, rows: Vec<T>, text: impl Fn(&T) -> String) -> Page<T> {
        self.cut(rows, |row| text(row).into_bytes())
    }

    fn cut<T>(&self, mut rows: Vec<T>, key: impl Fn(&T) -> Vec<u8>) -> Page<T> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| more).map(|last| hex::encode([key(last), self.list.to_vec()].concat()));
        Page { data: rows, next_cursor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(order: Order, list: &str) -> Option<String> {
        let page = PageQuery::read(Some("1"), None, list, order).unwrap();
        match order {
            Order::Id => page.page(vec![Uuid::from_u128(1), Uuid::from_u128(2)], |id| *id).next_cursor,
            Order::Text => page.page_by_text(vec!["S01", "S02"], |text| (*text).to_owned()).next_cursor,
        }
    }

    #[test]
    fn a_cursor_goes_on_in_its_own_list_and_in_no_other() {
        let id = cursor(Order::Id, "things:a").unwrap();
        let page = PageQuery::read(None, Some(&id), "things:a", Order::Id).unwrap();
        assert_eq!((page.after, page.limit), (Some(Uuid::from_u128(1)), 25));
        let text = cursor(Order::Text, "units:a").unwrap();
        let page = PageQuery::read(None, Some(&text), "units:a", Order::Text).unwrap();
        assert_eq!(page.after_text.as_deref(), Some("S01"));
        let cut = &id[2..];
        for wrong in [id.as_str(), "", "zz", "00", cut] {
            assert!(PageQuery::read(None, Some(wrong), "things:b", Order::Id).is_err(), "{wrong}");
        }
        assert!(PageQuery::read(None, Some(cut), "things:a", Order::Id).is_err());
    }
}
