//! What may become of an agreement, and why not; when it is in force. Nothing before its acceptance
//! is legalised by it. Pure: facts and `now` in, a verdict out.

use chrono::{Duration, NaiveDate, NaiveTime, TimeZone, Utc};

use super::model::{Agreement, AgreementState, WindDown};
use super::parameters::Parameters;
use crate::base::{Digest, Error, Instant, Result};

/// The first instant of a civil day in a zone; where the clocks skip midnight, the first after it.
fn day_start(day: NaiveDate, zone: chrono_tz::Tz) -> Option<Instant> {
    let midnight = day.and_time(NaiveTime::MIN);
    // A zone can skip a whole day (Pacific/Apia, 2011-12-30), so the search goes on into the next.
    (0..=26 * 60).find_map(|minutes| {
        let local = midnight.checked_add_signed(Duration::minutes(minutes))?;
        zone.from_local_datetime(&local).earliest().map(|at| Instant::new(at.with_timezone(&Utc)))
    })
}

/// When an agreement accepted at `accepted_at` is in force: from the later of the start of its first
/// day and its acceptance, to the end of its last day. `None` when nothing of it is left.
#[must_use]
pub fn in_force_window(parameters: &Parameters, accepted_at: Instant) -> Option<(Instant, Option<Instant>)> {
    let zone = parameters.time.zone;
    let from = day_start(parameters.valid_from_on, zone)?.max(accepted_at);
    let until = match parameters.valid_to_on {
        None => None,
        Some(last) => Some(day_start(last.succ_opt()?, zone)?),
    };
    until.is_none_or(|until| from < until).then_some((from, until))
}

impl Agreement {
    /// Where it stands at `now`.
    #[must_use]
    pub fn state(&self, now: Instant) -> AgreementState {
        let Some(from) = self.in_force_from else {
            return if self.offered_at.is_some() { AgreementState::Offered } else { AgreementState::Draft };
        };
        if self.in_force_until.is_some_and(|until| until <= now) {
            return if self.terminated_at.is_some() { AgreementState::Terminated } else { AgreementState::Expired };
        }
        if now < from { AgreementState::Accepted } else { AgreementState::InForce }
    }

    /// The time it takes, or would take if it were accepted at `now`.
    fn window(&self, now: Instant) -> Option<(Instant, Option<Instant>)> {
        match self.in_force_from {
            Some(from) => self.in_force_until.is_none_or(|until| from < until).then_some((from, self.in_force_until)),
            None => in_force_window(&self.parameters, now),
        }
    }
}

const fn exists() -> Error {
    Error::conflict(
        "agreement-exists",
        "An agreement for this platform is offered or in force in the same time; end it first, or choose other days.",
    )
}

/// Whether an agreement with these parameters has time left, and room beside the others of its
/// customer and platform that are offered or accepted.
///
/// # Errors
/// [`Error::Invalid`] when its last day is over, [`Error::Conflict`] when it overlaps another.
pub fn may_stand(parameters: &Parameters, others: &[Agreement], now: Instant) -> Result<()> {
    let Some((from, until)) = in_force_window(parameters, now) else {
        return Err(Error::invalid("parameters/valid_to_on", "past", "must not be over"));
    };
    let overlaps = |(other_from, other_until): (Instant, Option<Instant>)| {
        other_until.is_none_or(|end| from < end) && until.is_none_or(|end| other_from < end)
    };
    let open = others.iter().filter(|other| other.offered_at.is_some());
    if open.filter_map(|other| other.window(now)).any(overlaps) { Err(exists()) } else { Ok(()) }
}

/// Whether it may be offered.
///
/// # Errors
/// [`Error::Conflict`] when it was offered before, or as [`may_stand`].
pub fn may_offer(agreement: &Agreement, others: &[Agreement], now: Instant) -> Result<()> {
    if agreement.state(now) != AgreementState::Draft {
        return Err(Error::conflict("agreement-not-draft", "Only an agreement that was not offered before can be offered."));
    }
    may_stand(&agreement.parameters, others, now)
}

/// Whether it may be accepted by naming this hash; when it is in force then.
///
/// # Errors
/// [`Error::Conflict`] when it is not offered or its last day is over, [`Error::Invalid`] when the
/// hash is not the document's.
pub fn may_accept(agreement: &Agreement, document_sha256: Digest, now: Instant) -> Result<(Instant, Option<Instant>)> {
    if agreement.state(now) != AgreementState::Offered {
        return Err(Error::conflict("agreement-not-offered", "Only an offered agreement can be accepted, once."));
    }
    if agreement.document_sha256 != document_sha256 {
        return Err(Error::invalid("document_sha256", "document_mismatch", "must be the hash of the agreement's document"));
    }
    in_force_window(&agreement.parameters, now)
        .ok_or(Error::conflict("window-over", "The agreement's last day is over; ask for a new one."))
}

/// The instant at which a termination ends it: never in the past, never later than it ends anyway.
///
/// # Errors
/// [`Error::Conflict`] when it was not accepted or has ended.
pub fn may_terminate(agreement: &Agreement, effective_at: Option<Instant>, now: Instant) -> Result<Instant> {
    if !matches!(agreement.state(now), AgreementState::Accepted | AgreementState::InForce) {
        return Err(Error::conflict("agreement-not-in-force", "Only an accepted agreement that has not ended can be terminated."));
    }
    let asked = effective_at.map_or(now, |at| at.max(now));
    Ok(agreement.in_force_until.map_or(asked, |until| until.min(asked)))
}

/// What is still possible for the platform of an agreement that has ended, when `covered` says
/// whether another one is in force (P10). `None`: all that the agreements and instructions allow.
#[must_use]
pub fn wind_down(state: AgreementState, covered: bool) -> Option<&'static [WindDown]> {
    let ended = matches!(state, AgreementState::Expired | AgreementState::Terminated);
    (ended && !covered).then_some(WindDown::ALL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        text.parse().unwrap()
    }

    fn parameters(zone: &str, from: &str, to: Option<&str>) -> Parameters {
        let period = serde_json::json!({"n": 1, "unit": "months"});
        serde_json::from_value(serde_json::json!({
            "processor_entity": "as", "family": "other", "authorisation": "general", "notice": period,
            "objection": {"n": 30, "unit": "calendar_days", "starts": "delivery"}, "breach_notice_hours": 24, "deletion": period,
            "backup_overwrite": period, "end_of_contract_export_window": period,
            "time": {"zone": zone, "holidays": "NO", "roll": "none", "min_two_working_days": true}, "residency": "eea_only",
            "subject_categories": ["pupil"], "data_categories": ["identity"], "purposes": ["support"], "valid_from_on": from,
            "valid_to_on": to, "record_retention": period, "whole_customer_cooling_off": period, "hold_release": period,
            "at_end": {"default": "delete"}, "contact": "a@b.no",
        }))
        .unwrap()
    }

    fn agreement(parameters: Parameters) -> Agreement {
        Agreement {
            id: "agr_0190a0b0c0d0700080000123456789ab".parse().unwrap(),
            version: 1,
            platform: "itslearning".parse().unwrap(),
            external_id: "site-1".parse().unwrap(),
            parameters,
            document: "doc_0190a0b0c0d0700080000123456789ab".parse().unwrap(),
            document_sha256: crate::base::sha256(&[b"x"]),
            prepared_at: at("2026-01-01T00:00:00Z"),
            offered_at: None,
            accepted_at: None,
            accepted_by: None,
            in_force_from: None,
            in_force_until: None,
            terminated_at: None,
        }
    }

    fn accepted(parameters: Parameters, when: &str) -> Agreement {
        let (from, until) = in_force_window(&parameters, at(when)).unwrap();
        let (offered_at, accepted_at) = (Some(at(when)), Some(at(when)));
        Agreement { offered_at, accepted_at, in_force_from: Some(from), in_force_until: until, ..agreement(parameters) }
    }

    #[test]
    fn the_window_runs_from_the_later_of_first_day_and_acceptance_to_the_end_of_the_last_day() {
        for (zone, from, to, accepted_at, expected) in [
            ("Europe/Oslo", "2026-08-01", None, "2026-01-01T00:00:00Z", Some(("2026-07-31T22:00:00Z", None))),
            ("Europe/Oslo", "2026-08-01", None, "2026-09-01T08:00:00Z", Some(("2026-09-01T08:00:00Z", None))),
            // Summer time ends in between.
            (
                "Europe/Oslo",
                "2026-08-01",
                Some("2026-10-31"),
                "2026-01-01T00:00:00Z",
                Some(("2026-07-31T22:00:00Z", Some("2026-10-31T23:00:00Z"))),
            ),
            (
                "Europe/Oslo",
                "2026-08-01",
                Some("2026-08-01"),
                "2026-01-01T00:00:00Z",
                Some(("2026-07-31T22:00:00Z", Some("2026-08-01T22:00:00Z"))),
            ),
            ("Europe/Oslo", "2026-08-01", Some("2026-10-31"), "2026-10-31T23:00:00Z", None),
            // Clocks that jump at midnight: the day begins at 01:00.
            ("Africa/Cairo", "2026-04-24", None, "2026-01-01T00:00:00Z", Some(("2026-04-23T22:00:00Z", None))),
            ("America/Santiago", "2026-09-06", None, "2026-01-01T00:00:00Z", Some(("2026-09-06T04:00:00Z", None))),
            // A day that the zone never had.
            ("Pacific/Apia", "2011-12-30", None, "2011-01-01T00:00:00Z", Some(("2011-12-30T10:00:00Z", None))),
        ] {
            let window = in_force_window(&parameters(zone, from, to), at(accepted_at));
            let expected = expected.map(|(from, until)| (at(from), until.map(at)));
            assert_eq!(window, expected, "{zone} {from} {to:?} {accepted_at}");
        }
    }

    #[test]
    fn the_state_follows_from_what_was_done_and_the_time() {
        let draft = agreement(parameters("Europe/Oslo", "2026-08-01", Some("2026-10-31")));
        let offered = Agreement { offered_at: Some(at("2026-02-01T00:00:00Z")), ..draft.clone() };
        let accepted = accepted(draft.parameters.clone(), "2026-03-01T00:00:00Z");
        let (terminated_at, end) = (Some(at("2026-09-01T00:00:00Z")), Some(at("2026-09-15T00:00:00Z")));
        let terminated = Agreement { terminated_at, in_force_until: end, ..accepted.clone() };
        for (agreement, now, state) in [
            (&draft, "2026-09-01T00:00:00Z", "draft"),
            (&offered, "2027-09-01T00:00:00Z", "offered"),
            (&accepted, "2026-07-31T21:59:59.999Z", "accepted"),
            (&accepted, "2026-07-31T22:00:00Z", "in_force"),
            (&accepted, "2026-10-31T22:59:59.999Z", "in_force"),
            (&accepted, "2026-10-31T23:00:00Z", "expired"),
            (&terminated, "2026-09-14T23:59:59.999Z", "in_force"),
            (&terminated, "2026-09-15T00:00:00Z", "terminated"),
        ] {
            assert_eq!(agreement.state(at(now)).word(), state, "{now}");
        }
        assert_eq!(wind_down(AgreementState::Expired, false), Some(WindDown::ALL));
        assert_eq!(wind_down(AgreementState::Expired, true), None);
        assert_eq!(wind_down(AgreementState::InForce, true), None);
    }

    #[test]
    fn two_agreements_for_one_platform_never_overlap() {
        let now = at("2026-09-01T00:00:00Z");
        let first = accepted(parameters("Europe/Oslo", "2026-08-01", Some("2026-10-31")), "2026-08-15T00:00:00Z");
        let unoffered = agreement(parameters("Europe/Oslo", "2026-08-01", None));
        let ended = Agreement { terminated_at: Some(now), in_force_until: Some(now), ..first.clone() };
        for (others, from, to, fits) in [
            (vec![], "2026-08-01", None, true),
            (vec![unoffered.clone()], "2026-08-01", None, true),
            (vec![first.clone()], "2026-08-01", None, false),
            (vec![first.clone()], "2026-10-31", None, false),
            (vec![first], "2026-11-01", None, true),
            // What ended before now leaves the time from now on.
            (vec![ended], "2026-08-01", None, true),
            (vec![Agreement { offered_at: Some(now), ..unoffered }], "2026-12-01", Some("2026-12-31"), false),
        ] {
            assert_eq!(may_stand(&parameters("Europe/Oslo", from, to), &others, now).is_ok(), fits, "{from} {to:?}");
        }
        assert!(matches!(may_stand(&parameters("Europe/Oslo", "2026-01-01", Some("2026-08-01")), &[], now), Err(Error::Invalid(_))));
    }

    #[test]
    fn acceptance_names_the_offered_document_and_happens_once() {
        let now = at("2026-09-01T00:00:00Z");
        let hash = crate::base::sha256(&[b"x"]);
        let draft = agreement(parameters("Europe/Oslo", "2026-08-01", None));
        let offered = Agreement { offered_at: Some(now), ..draft.clone() };
        assert_eq!(may_accept(&offered, hash, now).unwrap(), (now, None));
        assert!(matches!(may_accept(&offered, crate::base::sha256(&[b"y"]), now), Err(Error::Invalid(_))));
        assert!(matches!(may_accept(&draft, hash, now), Err(Error::Conflict { code: "agreement-not-offered", .. })));
        let accepted = accepted(draft.parameters, "2026-08-15T00:00:00Z");
        assert!(may_accept(&accepted, hash, now).is_err());
    }

    #[test]
    fn a_termination_is_never_in_the_past_and_never_prolongs() {
        let now = at("2026-09-01T00:00:00Z");
        let open = accepted(parameters("Europe/Oslo", "2026-08-01", Some("2026-10-31")), "2026-08-15T00:00:00Z");
        for (asked, ends) in [
            (None, "2026-09-01T00:00:00Z"),
            (Some("2026-01-01T00:00:00Z"), "2026-09-01T00:00:00Z"),
            (Some("2026-10-01T00:00:00Z"), "2026-10-01T00:00:00Z"),
            (Some("2027-01-01T00:00:00Z"), "2026-10-31T23:00:00Z"),
        ] {
            assert_eq!(may_terminate(&open, asked.map(at), now).unwrap(), at(ends), "{asked:?}");
        }
        assert!(may_terminate(&open, None, at("2026-11-01T00:00:00Z")).is_err());
    }
}
