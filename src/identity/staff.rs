//! How the processor's staff grows, and who counts as the second of two persons. Somebody joins by
//! two persons, and a newcomer waits for 72 hours, so that one stolen account makes no colleague
//! that every other rule then asks. Pure.

use chrono::Duration;

use crate::base::{Error, Instant, Result};

/// For this long after joining, an ops person counts as none of two.
pub const STAFF_DELAY: Duration = Duration::hours(72);

/// Who of the processor's staff there is besides somebody.
#[derive(Debug, Clone, Copy)]
pub struct OtherStaff {
    /// Those with access whose role may approve a person of the staff.
    pub approvers: i64,
    /// Those who ever had access, in any role, ended or not.
    pub entered: i64,
}

/// How somebody joins the staff.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addition {
    /// A second person must approve.
    Proposed,
    /// At once: nobody is there who could approve.
    Alone,
}

/// How an ops person adds another. Alone is only the way of the installation's first person, to the
/// first one who can approve; whoever ends everybody else does not come back to it.
///
/// # Errors
/// [`Error::Conflict`] when there is nobody to approve.
pub fn addition(others: OtherStaff, may_approve: bool) -> Result<Addition> {
    match others {
        OtherStaff { approvers: 1.., .. } => Ok(Addition::Proposed),
        OtherStaff { entered: 1.., .. } => {
            let detail = "Nobody else has access who could approve: `mandate ops bootstrap` makes a second person.";
            Err(Error::conflict("nobody_can_approve", detail))
        }
        _ if may_approve => Ok(Addition::Alone),
        _ => Err(Error::conflict("approver_first", "Your first colleague must be one who can approve others: ops_admin or ops_security.")),
    }
}

/// True if the command line may make an ops person: the first, or one who brings a staff that fell
/// to a single approver back to two.
#[must_use]
pub const fn may_bootstrap(staff: OtherStaff, any: bool) -> bool {
    !any || (staff.approvers <= 1 && staff.entered >= 2)
}

/// True if an ops person counts as one of the two that an act takes: whoever makes a second person,
/// or takes over a recovered one, waits for 72 hours, in which the others see it.
#[must_use]
pub fn counts_as_one_of_two(admitted_at: Option<Instant>, recovered_at: Option<Instant>, now: Instant) -> bool {
    let settled = |at: Instant| at.plus(STAFF_DELAY) <= now;
    admitted_at.is_some_and(settled) && recovered_at.is_none_or(settled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Instant {
        Instant::from_millis(millis).unwrap()
    }

    #[test]
    fn the_staff_grows_by_two_persons_but_for_the_very_second() {
        for (approvers, entered, may_approve, expected) in [
            (0, 0, true, "alone"),
            (0, 0, false, "conflict: approver_first"),
            (1, 0, true, "proposed"),
            (1, 3, false, "proposed"),
            // Everybody else has left, or was ended.
            (0, 1, true, "conflict: nobody_can_approve"),
        ] {
            let found = match addition(OtherStaff { approvers, entered }, may_approve) {
                Ok(Addition::Alone) => "alone".to_owned(),
                Ok(Addition::Proposed) => "proposed".to_owned(),
                Err(error) => error.to_string(),
            };
            assert_eq!(found, expected, "{approvers} {entered} {may_approve}");
        }
        for (approvers, entered, any, may) in
            [(0, 0, false, true), (1, 1, true, false), (1, 2, true, true), (2, 2, true, false), (0, 4, true, true)]
        {
            assert_eq!(may_bootstrap(OtherStaff { approvers, entered }, any), may, "{approvers} {entered} {any}");
        }
        let hour = 3_600_000;
        for (admitted, recovered, now, counts) in [
            (Some(0), None, 72 * hour - 1, false),
            (Some(0), None, 72 * hour, true),
            (None, None, 72 * hour, false),
            (Some(0), Some(hour), 73 * hour - 1, false),
            (Some(0), Some(hour), 73 * hour, true),
        ] {
            assert_eq!(counts_as_one_of_two(admitted.map(at), recovered.map(at), at(now)), counts, "{admitted:?} {recovered:?} {now}");
        }
    }
}
