//! What this process has seen at the gate since it last wrote it down. One short lock per request
//! and no database; its memory is bounded, and what does not fit is still counted: references too
//! many to tell apart are one subject, so that a flood of them is an alarm and no hiding place.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::decide::bucket_of;
use super::model::{Normal, Subject, SubjectKind, Touch};
use crate::base::{Code, Instant};
use crate::config::Alarms;

/// The most references that are told apart between two writings.
const MOST_REFERENCES: usize = 20_000;
/// The most pairs of a subject and a customer that are kept, of keys and of references each.
const MOST_PAIRS: usize = 100_000;
/// The most rows that are counted, so that no sum of them overflows.
pub(super) const MOST_ROWS: u64 = 1_000_000_000_000_000;

/// What one subject did in one bucket.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    pub platform: Code,
    pub asks: u64,
    pub rows: u64,
    pub touched: HashSet<Uuid>,
}

/// The counts of the process.
#[derive(Debug)]
pub struct Activity {
    alarms: Alarms,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    keys: Book,
    references: Book,
}

#[derive(Debug, Default)]
struct Book {
    tallies: HashMap<(Subject, Instant), Tally>,
    pairs: usize,
}

impl Book {
    fn add(&mut self, subject: Subject, bucket: Instant, platform: &Code, asks: u64, rows: u64, touched: impl IntoIterator<Item = Uuid>) {
        let is_full = self.tallies.len() >= MOST_REFERENCES && !self.tallies.contains_key(&(subject, bucket));
        let subject = if is_full { subject.others(platform) } else { subject };
        let tally = self.tallies.entry((subject, bucket)).or_insert_with(|| Tally {
            platform: platform.clone(),
            asks: 0,
            rows: 0,
            touched: HashSet::new(),
        });
        tally.asks = tally.asks.saturating_add(asks);
        tally.rows = tally.rows.saturating_add(rows).min(MOST_ROWS);
        for customer in touched {
            if self.pairs < MOST_PAIRS && tally.touched.insert(customer) {
                self.pairs += 1;
            }
        }
    }
}

impl Open {
    const fn book(&mut self, subject: Subject) -> &mut Book {
        match subject {
            Subject::Key(_) => &mut self.keys,
            Subject::Job(_) | Subject::Person(_) => &mut self.references,
        }
    }
}

impl Activity {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(alarms: Alarms) -> Self {
        Self { alarms, open: Mutex::default() }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request, whatever its answer was.
    pub fn note(&self, touch: &Touch<'_>, at: Instant) {
        let bucket = bucket_of(at);
        let key = Subject::Key(touch.key);
        let behind = touch.requested_by.map(|by| Subject::behind(by, touch.platform));
        let mut open = self.open();
        for subject in std::iter::once(key).chain(behind) {
            open.book(subject).add(subject, bucket, touch.platform, 1, touch.rows, [touch.customer]);
        }
    }

    /// Takes out everything that was counted.
    pub(super) fn take(&self) -> Vec<(Subject, Instant, Tally)> {
        let Open { keys, references } = std::mem::take(&mut *self.open());
        let both = keys.tallies.into_iter().chain(references.tallies);
        both.map(|((subject, bucket), tally)| (subject, bucket, tally)).collect()
    }

    /// Puts back what could not be written.
    pub(super) fn put_back(&self, tallies: Vec<(Subject, Instant, Tally)>) {
        let mut open = self.open();
        for (subject, bucket, tally) in tallies {
            open.book(subject).add(subject, bucket, &tally.platform, tally.asks, tally.rows, tally.touched);
        }
    }

    /// What the settings call normal.
    pub(super) const fn normal(&self, kind: SubjectKind) -> Normal {
        let a = &self.alarms;
        let (customers, rows) = match kind {
            SubjectKind::Key => (a.key_customers_per_hour, a.key_rows_per_hour),
            SubjectKind::Job => (a.job_customers_per_hour, a.job_rows_per_hour),
            SubjectKind::Person => (a.person_customers_per_hour, a.person_rows_per_hour),
        };
        Normal { customers, rows }
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::Requester;
    use super::*;
    use crate::base::{ApiKeyId, Digest};

    fn activity() -> Activity {
        let most = u64::MAX;
        Activity::new(Alarms {
            key_customers_per_hour: 1,
            key_rows_per_hour: most,
            job_customers_per_hour: 1,
            job_rows_per_hour: most,
            person_customers_per_hour: 1,
            person_rows_per_hour: most,
        })
    }

    #[test]
    fn memory_is_bounded_and_what_does_not_fit_is_one_subject() {
        let (activity, platform) = (activity(), Code::fixed("itslearning"));
        let at = Instant::from_millis(1_800_000_000_000).unwrap();
        let key = ApiKeyId::from(Uuid::from_u128(1));
        for n in 0..150_000_u128 {
            let reference = format!("u-{n}");
            let requested_by = Some(Requester { kind: "user", reference: &reference });
            activity.note(&Touch { key, platform: &platform, requested_by, customer: Uuid::from_u128(n % 60_000), rows: 2 }, at);
        }
        let open = activity.open();
        assert_eq!((open.keys.tallies.len(), open.references.tallies.len()), (1, MOST_REFERENCES + 1));
        assert_eq!((open.keys.pairs, open.references.pairs), (60_000, MOST_REFERENCES + 60_000));
        drop(open);
        let seen = activity.take();
        let others = Subject::Person(Digest([0; 32])).others(&platform);
        let rest = seen.iter().find(|(subject, ..)| *subject == others).unwrap();
        assert_eq!((rest.2.asks, rest.2.touched.len()), (130_000, 60_000));
        // Nothing of the key is lost however many references there are.
        let of_key = seen.iter().find(|(subject, ..)| *subject == Subject::Key(key)).unwrap();
        assert_eq!((of_key.2.asks, of_key.2.rows), (150_000, 300_000));
        assert!(activity.take().is_empty());
        // What was put back is there again, once.
        activity.put_back(seen);
        let again = activity.take();
        assert_eq!(again.iter().map(|(.., tally)| tally.asks).sum::<u64>(), 300_000);
    }

    #[test]
    fn pairs_are_bounded_for_keys_too() {
        let (activity, platform) = (activity(), Code::fixed("itslearning"));
        let at = Instant::from_millis(1_800_000_000_000).unwrap();
        for n in 0..u128::try_from(2 * MOST_PAIRS).unwrap() {
            let key = ApiKeyId::from(Uuid::from_u128(1));
            activity.note(&Touch { key, platform: &platform, requested_by: None, customer: Uuid::from_u128(n), rows: 0 }, at);
        }
        assert_eq!(activity.open().keys.pairs, MOST_PAIRS);
    }
}
