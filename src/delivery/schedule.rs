//! When a message is tried again. A job is leased by putting its next try ahead before the try is
//! made, so that a worker that dies leaves nothing to clean up. Pure.

use chrono::Duration;

/// How long after its nth try (counted from 0) a job is due again.
#[must_use]
pub(super) fn retry_after(tries: i32) -> Duration {
    Duration::minutes(match tries {
        ..=0 => 1,
        1 => 5,
        2 => 15,
        _ => 60,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_become_rarer_down_to_one_an_hour() {
        let minutes: Vec<i64> = (0..5).map(|tries| retry_after(tries).num_minutes()).collect();
        assert_eq!(minutes, [1, 5, 15, 60, 60]);
        assert_eq!(retry_after(i32::MAX).num_minutes(), 60);
    }
}
