//! How long a login or a step-up waits after failures. Whoever guesses is slowed down, more and more;
//! nobody is kept out by those who fail as that person elsewhere. Pure.

use chrono::Duration;

use crate::base::Instant;

/// After how many failures something waits, and when it is forgotten.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Failures before there is a wait.
    pub free: i32,
    /// How long after the last one all are forgotten.
    pub forgotten: Duration,
}

/// Failed logins of one account from one address.
pub const OF_PAIR: Patience = Patience { free: 5, forgotten: Duration::minutes(15) };
/// The same of one address, behind which a whole school may sit.
pub const OF_ADDRESS: Patience = Patience { free: 20, forgotten: Duration::minutes(15) };
/// The same of one account from everywhere, where a password alone is guessed: enough that nobody keeps a
/// person out by a few requests, and so few that many addresses together guess no password.
pub const OF_ACCOUNT: Patience = Patience { free: 100, forgotten: Duration::hours(24) };
/// The same where codes of a second factor are guessed, of which one in 333,333 is right.
pub const OF_ACCOUNT_WITH_CODE: Patience = Patience { free: 20, forgotten: Duration::hours(24) };
/// For this long after a success from an address, failures elsewhere do not slow an account down there.
pub const KNOWN_PLACE: Duration = Duration::days(30);
/// The longest wait between two logins, in seconds.
const LONGEST_WAIT: i64 = 300;

/// What is remembered of tries under one name.
#[derive(Debug, Clone, Copy)]
pub struct Tries {
    /// Failures in a row.
    pub failures: i32,
    /// The last try.
    pub last_at: Instant,
    /// The last success.
    pub succeeded_at: Option<Instant>,
}

/// Seconds until an account may be tried again from an address: by its own failures there alone, if it
/// came in from there lately, or else by those of the account and of the address elsewhere as well.
#[must_use]
pub fn login_wait([pair, account, address]: [(Option<Tries>, Patience); 3], now: Instant) -> u64 {
    let wait = |(tries, patience): (Option<Tries>, Patience)| tries.map_or(0, |tries| wait_after(tries, patience, now));
    let is_known = pair.0.and_then(|tries| tries.succeeded_at).is_some_and(|at| now < at.plus(KNOWN_PLACE));
    if is_known { wait(pair) } else { wait(pair).max(wait(account)).max(wait(address)) }
}

/// Seconds until the next try; 0: now.
fn wait_after(Tries { failures, last_at, .. }: Tries, Patience { free, forgotten }: Patience, now: Instant) -> u64 {
    if failures < free || now >= last_at.plus(forgotten) {
        return 0;
    }
    let doublings = u32::try_from(failures - free).unwrap_or(0).min(16);
    let delay = 2_i64.pow(doublings).min(LONGEST_WAIT);
    let until = last_at.plus(Duration::seconds(delay));
    let left = until.millis() - now.millis();
    u64::try_from(left).map_or(0, |millis| millis.div_ceil(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Instant {
        Instant::from_millis(millis).unwrap()
    }

    #[test]
    fn a_login_is_slowed_down_more_and_more_and_then_forgotten() {
        for (failures, elapsed, wait) in [
            (0, 0, 0),
            (4, 0, 0),
            (5, 0, 1),
            (5, 1, 1),
            (5, 1000, 0),
            (6, 0, 2),
            (7, 1500, 3),
            (13, 0, 256),
            (14, 0, 300),
            (i32::MAX, 0, 300),
            (i32::MAX, 299_001, 1),
            (i32::MAX, 900_000, 0),
        ] {
            let tries = Tries { failures, last_at: at(0), succeeded_at: None };
            assert_eq!(wait_after(tries, OF_PAIR, at(elapsed)), wait, "{failures} {elapsed}");
        }
    }

    #[test]
    fn where_an_account_came_in_lately_only_its_own_failures_there_slow_it_down() {
        let tries = |failures, succeeded_at| Some(Tries { failures, last_at: at(0), succeeded_at });
        let day = 86_400_000;
        for (pair, account, address, now, waits) in [
            (None, tries(99, None), tries(19, None), 0, false),
            (None, tries(100, None), None, 0, true),
            (None, None, tries(20, None), 0, true),
            (tries(0, Some(at(0))), tries(1000, None), tries(1000, None), 0, false),
            (tries(5, Some(at(0))), None, None, 0, true),
            // Thirty days later the place is as strange as any; the account's failures are a day old at most.
            (tries(0, Some(at(-30 * day + 1))), tries(1000, None), None, 0, false),
            (tries(0, Some(at(-30 * day))), tries(1000, None), None, 0, true),
            (None, tries(i32::MAX, None), None, day, false),
        ] {
            let wait = login_wait([(pair, OF_PAIR), (account, OF_ACCOUNT), (address, OF_ADDRESS)], at(now));
            assert_eq!(wait > 0, waits, "{pair:?} {account:?} {address:?} {now}");
        }
    }
}
