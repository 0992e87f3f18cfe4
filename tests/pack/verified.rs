//! What is as it was recorded verifies, and says what it holds.

use std::io::Cursor;

use chrono::Duration;
use mandate::pack::{Options, Period, Report, Verdict, verify};

use crate::contents::{Contents, key};
use crate::world::everything;

pub fn check(pack: &[u8], options: &Options) -> Report {
    verify(Cursor::new(pack), options, |_, _| {})
}

#[test]
fn a_history_in_which_everything_happens_once_verifies() {
    let contents = everything();
    let pinned = [1, 7, contents.log.len()].map(|size| contents.checkpoint(size)).to_vec();
    let options = Options { pinned, key: Some(*key().public_key()), ..Options::default() };
    let report = check(&contents.pack(), &options);
    assert_eq!(report.verdict, Verdict::Verified, "{report}");
    let summary = report.summary.clone().unwrap();
    assert_eq!(summary.erased.subjects["export.permitted"], 1);
    assert_eq!((summary.erased.documents, summary.documents, summary.left_out.records), (1, 2, 0));
    let text = report.to_string();
    for words in ["VERIFIED", "subject lists erased", "exports permitted", &key().kid()] {
        assert!(text.contains(words), "{words}: {text}");
    }
    // Every decision was decided again.
    let decisions = contents.log.iter().filter(|entry| entry.record.get("decision").is_some()).count() as u64;
    assert_eq!(summary.decided, decisions);
}

#[test]
fn the_same_contents_give_the_same_pack() {
    assert_eq!(everything().pack(), everything().pack());
}

#[test]
fn a_period_leaves_out_refusals_dry_runs_and_documents_and_says_so() {
    let whole = everything();
    let middle = whole.log[whole.log.len() / 2].at;
    let period = Period { from_at: middle, until_at: middle.plus(Duration::days(1)) };
    let contents = Contents { period: Some(period), ..whole };
    let report = check(&contents.pack(), &Options::default());
    assert_eq!(report.verdict, Verdict::Verified, "{report}");
    let summary = report.summary.clone().unwrap();
    assert!(summary.left_out.records > 0 && summary.left_out.documents > 0, "{summary:?}");
    assert!(report.to_string().contains("they were not checked"), "{report}");
}

#[test]
fn progress_ends_at_the_whole() {
    let pack = everything().pack();
    let mut last = (0, 0);
    verify(Cursor::new(&pack), &Options::default(), |passed, total| last = (passed, total));
    assert!(last.0 > 0 && last.0 == last.1, "{last:?}");
}
