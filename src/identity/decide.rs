//! What may happen next to sessions, keys, memberships and a customer's first signatory,
//! and why not. Pure: facts and `now` in, a verdict out; the store functions that need a verdict
//! demand it as a value that nothing else can make.

use std::collections::BTreeSet;

use chrono::{Duration, NaiveDate};
use chrono_tz::Tz;

use super::model::{Authority, AuthorityKind, NamingRole, Needs, covers};
use crate::base::{Error, Faults, Instant, OpsPersonId, Reference, Result};

/// A session that nobody used for this long has ended.
pub const IDLE: Duration = Duration::minutes(30);
/// A session ends this long after the login, however much it is used.
pub const ABSOLUTE: Duration = Duration::hours(12);
/// The last use of a session is written at most this often.
pub const TOUCH: Duration = Duration::minutes(1);
/// How long an invitation can be accepted.
pub const INVITATION: Duration = Duration::days(7);
/// A first signatory's authority begins this long after its notice was delivered.
pub const FIRST_SIGNATORY_DELAY: Duration = Duration::hours(72);
/// A recovered account can be entered this long after its notice was delivered: the same wait.
pub const RECOVERY_DELAY: Duration = FIRST_SIGNATORY_DELAY;
/// How long after that its token can be used.
pub const RECOVERY_TERM: Duration = Duration::days(7);
/// How long a new e-mail address can be proved.
pub const EMAIL_PROOF: Duration = Duration::hours(24);
/// How long a second factor that was begun can be confirmed.
pub const ENROLMENT: Duration = Duration::minutes(10);
/// How many recovery codes come with a factor.
pub const RECOVERY_CODES: usize = 10;
/// How long a step-up holds.
pub const STEP_UP: Duration = Duration::minutes(5);
/// The longest life of an API key.
pub const KEY_LIFE: Duration = Duration::days(400);
/// Keys of one name that may live at once: the old and the new one of a rotation.
pub const LIVE_KEYS: i64 = 2;
/// The least characters of a new password.
pub const PASSWORD_LENGTH: usize = 12;

/// When a session was made, used and ended.
#[derive(Debug, Clone, Copy)]
pub struct SessionTimes {
    /// Last use, to the minute.
    pub last_used_at: Instant,
    /// Absolute end.
    pub expires_at: Instant,
    /// When it was revoked.
    pub revoked_at: Option<Instant>,
}

/// True if a session may be used now.
#[must_use]
pub fn session_lives(times: &SessionTimes, now: Instant) -> bool {
    times.revoked_at.is_none() && now < times.expires_at && now < times.last_used_at.plus(IDLE)
}

/// True if its last use is to be written again.
#[must_use]
pub fn session_touched(times: &SessionTimes, now: Instant) -> bool {
    now >= times.last_used_at.plus(TOUCH)
}

/// True if a step-up made then still holds.
#[must_use]
pub fn stepped_up(at: Option<Instant>, now: Instant) -> bool {
    at.is_some_and(|at| now <= at.plus(STEP_UP))
}

/// True if a factor that was begun then can still be confirmed.
#[must_use]
pub fn enrolment_open(begun_at: Instant, now: Instant) -> bool {
    now < begun_at.plus(ENROLMENT)
}

/// True if a session may do nothing but enrol a second factor: its person must have one, as all of
/// ops and everyone with authority, and has none.
#[must_use]
pub const fn must_enrol(is_ops: bool, has_authority: bool, has_factor: bool) -> bool {
    (is_ops || has_authority) && !has_factor
}

/// True if a member's authority stays suspended when its account comes back through this customer.
/// Every customer confirms it by a person of its own; where nobody else has authority over people,
/// the notice to the agreement's contact and the 72 hours of this recovery take that place, as they
/// did for the first signatory, or nobody could ever act there again.
#[must_use]
pub const fn suspended_by_recovery(is_through_this_customer: bool, others_can_confirm: bool) -> bool {
    !is_through_this_customer || others_can_confirm
}

/// True if an API key may be used now.
#[must_use]
pub fn key_lives(expires_at: Instant, revoked_at: Option<Instant>, now: Instant) -> bool {
    revoked_at.is_none() && now < expires_at
}

/// True if a membership that nobody ended still acts: up to the end of its last day in the
/// customer's zone.
#[must_use]
pub fn membership_acts(until_on: Option<NaiveDate>, zone: Tz, now: Instant) -> bool {
    until_on.is_none_or(|last| now.date_in(zone) <= last)
}

/// Says whether a key may be made: it ends, within 400 days, and at most one of its name lives.
///
/// # Errors
/// [`Error::Invalid`] for its end; [`Error::Conflict`] when two of its name live.
pub fn key_made(expires_at: Instant, live: i64, now: Instant) -> Result<()> {
    if expires_at <= now || expires_at > now.plus(KEY_LIFE) {
        return Err(Error::invalid("expires_at", "range", "must lie in the future, at most 400 days from now"));
    }
    if live >= LIVE_KEYS {
        return Err(Error::conflict("two_live_keys", "Two keys of this name are live: revoke one of them first."));
    }
    Ok(())
}

/// True if somebody may stop the recovery of a member's account, as whoever may stop exports: without
/// step-up. The person does, who plainly has a way in, and everybody with authority over people.
#[must_use]
pub fn may_stop_recovery(is_own: bool, held: &[Authority], now: Instant) -> bool {
    is_own || covers(held, AuthorityKind::People, &Needs::Kind, now)
}

/// Notes a new password that is too short.
pub fn new_password(length: usize, faults: &mut Faults) {
    if length < PASSWORD_LENGTH {
        faults.add_at("password", "too_short", "must have at least 12 characters");
    }
}

/// What somebody who grants or ends these authorities needs authority over people for: nobody
/// hands out, or takes back, more than lies in the units that are theirs. A person without any belongs
/// to no unit, but to the institution.
#[must_use]
pub fn needs_over<'a>(authorities: impl IntoIterator<Item = Option<&'a BTreeSet<Reference>>>) -> Needs {
    let mut named = BTreeSet::new();
    for units in authorities {
        match units {
            None => return Needs::AllUnits,
            Some(units) => named.extend(units.iter().cloned()),
        }
    }
    if named.is_empty() { Needs::AllUnits } else { Needs::Units(named) }
}

/// Notes what is wrong with the last day of a membership: an auditor has one, and none lies in the past.
pub fn membership_until(is_auditor: bool, until_on: Option<NaiveDate>, today: NaiveDate, faults: &mut Faults) {
    match until_on {
        None if is_auditor => faults.add_at("until_on", "required", "is required for an auditor"),
        Some(last) if last < today => faults.add_at("until_on", "range", "must not lie in the past"),
        _ => {}
    }
}

/// Somebody of the processor's staff, in one of the two roles that name a first signatory or give a
/// lost account back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Namer {
    /// The person.
    pub ops_person: OpsPersonId,
    /// In which of the two roles.
    pub role: NamingRole,
}

/// Proof that two ops persons of both roles named the first signatory, or agreed to a recovery.
/// Demanded by the store functions that make its membership, or open the way back.
#[derive(Debug, Clone, Copy)]
pub struct Approval {
    approved_by: OpsPersonId,
}

impl Approval {
    /// Who approved.
    #[must_use]
    pub const fn approved_by(&self) -> OpsPersonId {
        self.approved_by
    }
}

/// Proof that a first signatory may be withdrawn. Demanded by the store function that does it.
#[derive(Debug, Clone, Copy)]
pub struct Withdrawal(());

/// Says whether a first signatory may be withdrawn by ops: once, and only before its authority
/// begins. From then on memberships are the customer's own to end.
///
/// # Errors
/// [`Error::Conflict`].
pub fn withdraw(withdrawn_at: Option<Instant>, authority_begins_at: Option<Instant>, now: Instant) -> Result<Withdrawal> {
    if withdrawn_at.is_some() {
        return Err(withdrawn());
    }
    if authority_begins_at.is_some_and(|begins_at| begins_at <= now) {
        let detail = "The first signatory's authority has begun: only a person of the customer can end the membership.";
        return Err(Error::conflict("authority_begun", detail));
    }
    Ok(Withdrawal(()))
}

/// The conflict of a first signatory that was withdrawn.
#[must_use]
pub const fn withdrawn() -> Error {
    Error::conflict("already_withdrawn", "The first signatory was withdrawn before.")
}

/// Says whether a proposed first signatory or recovery may be approved: once, by somebody else, in
/// the other role.
///
/// # Errors
/// [`Error::Conflict`].
pub fn approve(proposed_by: Namer, approver: Namer, is_approved: bool) -> Result<Approval> {
    if is_approved {
        return Err(Error::conflict("already_approved", "It was approved before."));
    }
    if proposed_by.ops_person == approver.ops_person || proposed_by.role == approver.role {
        let detail = "A second ops person approves, in the other role of ops_admin and ops_privacy.";
        return Err(Error::conflict("second_person_needed", detail));
    }
    Ok(Approval { approved_by: approver.ops_person })
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn at(millis: i64) -> Instant {
        Instant::from_millis(millis).unwrap()
    }

    #[test]
    fn a_session_ends_idle_or_at_its_end_or_revoked() {
        let hour = 3_600_000;
        let times =
            |last, revoked: Option<i64>| SessionTimes { last_used_at: at(last), expires_at: at(12 * hour), revoked_at: revoked.map(at) };
        for (last, revoked, now, lives) in [
            (0, None, 0, true),
            (0, None, hour / 2 - 1, true),
            (0, None, hour / 2, false),
            (12 * hour - 1, None, 12 * hour - 1, true),
            (12 * hour - 1, None, 12 * hour, false),
            (0, Some(5), 6, false),
        ] {
            assert_eq!(session_lives(&times(last, revoked), at(now)), lives, "{last} {revoked:?} {now}");
        }
        assert!(!session_touched(&times(0, None), at(59_999)) && session_touched(&times(0, None), at(60_000)));
    }

    #[test]
    fn a_step_up_holds_five_minutes_and_an_enrolment_ten() {
        for (made, now, holds) in [(Some(0), 0, true), (Some(0), 300_000, true), (Some(0), 300_001, false), (None, 0, false)] {
            assert_eq!(stepped_up(made.map(at), at(now)), holds, "{made:?} {now}");
        }
        assert!(enrolment_open(at(0), at(599_999)) && !enrolment_open(at(0), at(600_000)));
    }

    #[test]
    fn ops_and_everyone_with_authority_must_enrol_and_nobody_else() {
        for (is_ops, has_authority, has_factor, must) in [
            (true, false, false, true),
            (false, true, false, true),
            (false, false, false, false),
            (true, false, true, false),
            (false, true, true, false),
        ] {
            assert_eq!(must_enrol(is_ops, has_authority, has_factor), must, "{is_ops} {has_authority} {has_factor}");
        }
    }

    #[test]
    fn a_recovery_suspends_authority_unless_nobody_of_its_customer_could_confirm_it() {
        for (through, others, suspended) in [(true, true, true), (true, false, false), (false, true, true), (false, false, true)] {
            assert_eq!(suspended_by_recovery(through, others), suspended, "{through} {others}");
        }
    }

    #[test]
    fn a_recovery_is_stopped_by_its_person_and_by_whoever_has_authority_over_people() {
        let held = |kind, begins| [Authority { kind, units: Some([("S01".parse().unwrap())].into()), begins_at: at(begins) }];
        let (people, export) = (held(AuthorityKind::People, 5), held(AuthorityKind::Export, 0));
        for (own, held, now, may) in
            [(true, &export, 0, true), (false, &export, 9, false), (false, &people, 4, false), (false, &people, 5, true)]
        {
            assert_eq!(may_stop_recovery(own, held, at(now)), may, "{own} {held:?} {now}");
        }
    }

    #[test]
    fn a_membership_acts_to_the_end_of_its_last_day_in_its_zone() {
        let last = NaiveDate::from_ymd_opt(2026, 9, 30);
        let end: Instant = "2026-09-30T22:00:00Z".parse().unwrap();
        let zone = chrono_tz::Europe::Oslo;
        assert!(membership_acts(None, zone, end) && membership_acts(last, zone, end.plus(Duration::milliseconds(-1))));
        assert!(!membership_acts(last, zone, end));
    }

    #[test]
    fn a_key_ends_and_two_of_a_name_live() {
        let day = 86_400_000;
        for (expires, live, good) in [(1, 0, true), (400 * day, 1, true), (400 * day + 1, 0, false), (0, 0, false), (1, 2, false)] {
            assert_eq!(key_made(at(expires), live, at(0)).is_ok(), good, "{expires} {live}");
        }
        assert!(key_lives(at(2), None, at(1)) && !key_lives(at(2), None, at(2)) && !key_lives(at(2), Some(at(0)), at(1)));
    }

    #[test]
    fn who_grants_needs_every_unit_that_is_granted() {
        let set = |units: &[&str]| -> BTreeSet<Reference> { units.iter().map(|unit| unit.parse().unwrap()).collect() };
        let (one, two) = (set(&["S01"]), set(&["S02"]));
        assert_eq!(needs_over([]), Needs::AllUnits);
        assert_eq!(needs_over([Some(&one), Some(&two)]), Needs::Units(set(&["S01", "S02"])));
        assert_eq!(needs_over([Some(&one), None]), Needs::AllUnits);
    }

    #[test]
    fn a_last_day_is_demanded_of_an_auditor_and_never_past() {
        let day = |day| NaiveDate::from_ymd_opt(2026, 9, day).unwrap();
        for (is_auditor, until, good) in
            [(true, None, false), (true, Some(day(10)), true), (false, None, true), (false, Some(day(9)), false)]
        {
            let mut faults = Faults::default();
            membership_until(is_auditor, until, day(10), &mut faults);
            assert_eq!(faults.is_empty(), good, "{is_auditor} {until:?}");
        }
    }

    #[test]
    fn a_first_signatory_is_withdrawn_once_and_before_its_authority_begins() {
        for (withdrawn, begins, now, good) in [
            (None, None, 5, true),
            (None, Some(6), 5, true),
            (None, Some(5), 5, false),
            (Some(1), None, 5, false),
            (Some(1), Some(6), 5, false),
        ] {
            assert_eq!(withdraw(withdrawn.map(at), begins.map(at), at(now)).is_ok(), good, "{withdrawn:?} {begins:?} {now}");
        }
    }

    #[test]
    fn a_first_signatory_needs_two_persons_in_both_roles() {
        let namer = |id: u128, role| Namer { ops_person: Uuid::from_u128(id).into(), role };
        let first = namer(1, NamingRole::OpsAdmin);
        for (approver, is_approved, good) in [
            (namer(2, NamingRole::OpsPrivacy), false, true),
            (namer(2, NamingRole::OpsPrivacy), true, false),
            (namer(2, NamingRole::OpsAdmin), false, false),
            (namer(1, NamingRole::OpsPrivacy), false, false),
            (first, false, false),
        ] {
            assert_eq!(approve(first, approver, is_approved).is_ok(), good, "{approver:?} {is_approved}");
        }
    }
}
