//! Judges a storm: whether anything was permitted after an answered stop. By two measures that do
//! not know of each other: the clock (an ask sent after the stop was answered) and the log (an
//! entry behind the stop's). Negative control: made-up histories below, each with one fault.

use std::time::Instant;

/// An answered stop of one subject (an instruction, or a customer's exports), and its release.
#[derive(Debug, Clone)]
pub struct Stop {
    pub subject: String,
    pub answered: Instant,
    /// Index of its entry; none when it stands in another log than the permits.
    pub index: Option<u64>,
    /// When its release was sent, and the index of the release's entry.
    pub released: Option<(Instant, Option<u64>)>,
}

/// An answered ask: an export, a redemption, or the same key again.
#[derive(Debug, Clone)]
pub struct Asked {
    pub subject: String,
    pub sent: Instant,
    pub answered: Instant,
    pub index: u64,
    pub permitted: bool,
}

/// Every permit that should not have been.
pub fn faults(stops: &[Stop], asks: &[Asked]) -> Vec<String> {
    let mut faults = Vec::new();
    for stop in stops {
        for ask in asks.iter().filter(|ask| ask.permitted && ask.subject == stop.subject) {
            let (until, until_index) = stop.released.unzip();
            // Released in between, it may have been permitted after the release.
            if ask.sent >= stop.answered && until.is_none_or(|until| ask.answered <= until) {
                faults.push(format!("sent after the stop was answered, and permitted: {ask:?} {stop:?}"));
            }
            let before_release = until_index.flatten().is_none_or(|until| ask.index < until);
            if stop.index.is_some_and(|index| ask.index > index) && before_release {
                faults.push(format!("permitted behind the stop in the log: {ask:?} {stop:?}"));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(base: Instant, millis: u64) -> Instant {
        base + Duration::from_millis(millis)
    }

    fn history(base: Instant, released: bool, sent: u64, index: u64, permitted: bool) -> usize {
        let released = released.then(|| (at(base, 50), Some(20)));
        let stop = Stop { subject: "s".to_owned(), answered: at(base, 10), index: Some(7), released };
        let ask = Asked { subject: "s".to_owned(), sent: at(base, sent), answered: at(base, sent + 5), index, permitted };
        let stranger = Asked { subject: "t".to_owned(), permitted: true, index: 8, ..ask.clone() };
        faults(&[stop], &[ask, stranger]).len()
    }

    #[test]
    fn what_follows_a_stop_is_found_by_the_clock_and_by_the_log() {
        let base = Instant::now();
        assert_eq!(history(base, false, 0, 6, true), 0, "permitted before");
        assert_eq!(history(base, false, 20, 8, false), 0, "refused after");
        assert_eq!(history(base, false, 20, 6, true), 1, "sent after the answer");
        assert_eq!(history(base, false, 5, 8, true), 1, "sent before, committed after");
        assert_eq!(history(base, false, 20, 8, true), 2, "both");
        assert_eq!(history(base, true, 20, 8, true), 2, "both, before the release");
        assert_eq!(history(base, true, 60, 21, true), 0, "after the release");
        assert_eq!(history(base, true, 5, 12, true), 1, "committed between stop and release");
    }
}
