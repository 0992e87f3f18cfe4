//! When activity is unusual, and when that is said again. The window slides in steps of ten minutes
//! and is never shorter than an hour: seven buckets, the last one open. A calendar hour would let a
//! thief who works across its end pass with twice the normal. Pure.

use chrono::Duration;

use super::model::{Counts, Level, Normal};
use crate::base::Instant;

/// Length of a bucket, in milliseconds.
const BUCKET: i64 = 10 * 60 * 1_000;
/// How far the first bucket of the window lies before the present one.
const HOUR: Duration = Duration::hours(1);

/// The start of the bucket that an instant lies in.
pub(super) fn bucket_of(at: Instant) -> Instant {
    Instant::from_millis(at.millis().div_euclid(BUCKET) * BUCKET).unwrap_or(at)
}

/// The start of the window that ends at `now`.
pub(super) fn window(now: Instant) -> Instant {
    bucket_of(now).plus(-HOUR)
}

/// Since when an earlier alarm of the same subject still speaks for the present.
pub(super) fn fresh(now: Instant) -> Instant {
    now.plus(-HOUR)
}

/// How far above normal the counts are; `None`: they are normal.
pub(super) const fn level(counts: Counts, normal: Normal) -> Option<Level> {
    if counts.customers > normal.customers.saturating_mul(10) || counts.rows > normal.rows.saturating_mul(10) {
        Some(Level::Extreme)
    } else if counts.customers > normal.customers || counts.rows > normal.rows {
        Some(Level::Unusual)
    } else {
        None
    }
}

/// True if nothing as grave was raised for the subject within the last hour.
pub(super) fn due(level: Level, raised: &[Level]) -> bool {
    raised.iter().all(|earlier| *earlier < level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_more_than_normal_is_unusual_and_normal_is_not() {
        let normal = Normal { customers: 5, rows: 1_000 };
        for (customers, rows, expected) in [
            (0, 0, None),
            (5, 1_000, None),
            (6, 0, Some(Level::Unusual)),
            (0, 1_001, Some(Level::Unusual)),
            (50, 10_000, Some(Level::Unusual)),
            (51, 0, Some(Level::Extreme)),
            (0, 10_001, Some(Level::Extreme)),
            (u64::MAX, u64::MAX, Some(Level::Extreme)),
        ] {
            assert_eq!(level(Counts { customers, rows }, normal), expected, "{customers} {rows}");
        }
        let endless = Normal { customers: u64::MAX, rows: u64::MAX };
        assert_eq!(level(Counts { customers: u64::MAX, rows: u64::MAX }, endless), None);
    }

    #[test]
    fn an_alarm_is_said_once_and_again_when_it_is_graver() {
        use Level::{Extreme, Unusual};
        for (level, raised, expected) in [
            (Unusual, &[][..], true),
            (Unusual, &[Unusual], false),
            (Extreme, &[Unusual], true),
            (Unusual, &[Extreme], false),
            (Extreme, &[Unusual, Extreme], false),
        ] {
            assert_eq!(due(level, raised), expected, "{level} after {raised:?}");
        }
    }

    proptest! {
        #[test]
        fn any_two_instants_within_an_hour_are_counted_together(at in 0_i64..4_000_000_000_000, later in 0_i64..=3_600_000) {
            let first = Instant::from_millis(at).unwrap();
            let now = Instant::from_millis(at + later).unwrap();
            prop_assert!(bucket_of(first) >= window(now));
            prop_assert!(bucket_of(first) <= first && first < bucket_of(first).plus(Duration::milliseconds(BUCKET)));
        }
    }
}
