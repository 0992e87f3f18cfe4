//! The life of a permit key: published ahead, active, retired, withdrawn. What may happen next, and
//! why not. A key is in the key set before it signs and until its last permit has expired, so that
//! whoever checks a permit has its key; a withdrawn one is out at once. Pure.

use serde_json::Value;

use crate::base::{Error, Instant, Result};
use crate::evidence::PermitKeyState;
use crate::export::decide::ANSWER_LIFE_MILLIS;

/// How long a copy of the key set may be used, in seconds: `max-age` of `/.well-known/jwks.json`,
/// the least time a key is published before it signs, and the longest a withdrawal takes to reach
/// everybody.
pub const KEY_SET_MAX_AGE: i64 = 60;

/// A permit key as the database holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermitKey {
    /// Its id: RFC 7638 thumbprint.
    pub kid: String,
    /// The public half: JWK (RFC 7517).
    pub public_key: Value,
    /// Since when it is in the key set.
    pub published_at: Instant,
    /// Since when it signs.
    pub activated_at: Option<Instant>,
    /// Since when another signs.
    pub retired_at: Option<Instant>,
    /// Since when it counts for nothing.
    pub withdrawn_at: Option<Instant>,
}

impl PermitKey {
    /// Where it stands in its life.
    #[must_use]
    pub const fn state(&self) -> PermitKeyState {
        match (self.withdrawn_at, self.retired_at, self.activated_at) {
            (Some(_), _, _) => PermitKeyState::Withdrawn,
            (_, Some(_), _) => PermitKeyState::Retired,
            (_, _, Some(_)) => PermitKeyState::Active,
            _ => PermitKeyState::Published,
        }
    }
    /// For a retired key: the instant at which the last permit that it can have signed has expired.
    #[must_use]
    pub fn needed_until(&self) -> Option<Instant> {
        self.retired_at.map(last_permit_ends)
    }
    /// True if the key set holds it.
    #[must_use]
    pub fn is_in_set(&self, now: Instant) -> bool {
        match self.state() {
            PermitKeyState::Withdrawn => false,
            PermitKeyState::Retired => self.needed_until().is_some_and(|until| now < until),
            PermitKeyState::Published | PermitKeyState::Active => true,
        }
    }
}

/// When no permit signed up to `retired_at` can be redeemed any more.
pub(super) fn last_permit_ends(retired_at: Instant) -> Instant {
    retired_at.plus(chrono::Duration::milliseconds(ANSWER_LIFE_MILLIS))
}

/// The key that signs.
#[must_use]
pub fn active(keys: &[PermitKey]) -> Option<&PermitKey> {
    keys.iter().find(|key| key.state() == PermitKeyState::Active)
}

fn named<'k>(keys: &'k [PermitKey], kid: &str) -> Result<&'k PermitKey> {
    let unknown = || Error::conflict("permit_key_unknown", "No key of this id is published: `mandate keys list` shows them.");
    keys.iter().find(|key| key.kid == kid).ok_or_else(unknown)
}

/// Says whether a key may begin to sign. Where another signs, it must have been in the key set for
/// as long as a copy of the set may be used; where none does, waiting would help nobody.
///
/// # Errors
/// [`Error::Conflict`] with what stands in the way.
pub fn may_activate(keys: &[PermitKey], kid: &str, now: Instant) -> Result<()> {
    let key = named(keys, kid)?;
    match key.state() {
        PermitKeyState::Published => {}
        PermitKeyState::Active => return Err(Error::conflict("permit_key_active", "This key signs already.")),
        PermitKeyState::Retired | PermitKeyState::Withdrawn => {
            return Err(Error::conflict("permit_key_over", "This key has had its time and never signs again: publish another."));
        }
    }
    let known_since = key.published_at.plus(chrono::Duration::seconds(KEY_SET_MAX_AGE));
    if active(keys).is_some() && now < known_since {
        let detail = "This key was published less than 60 s ago: copies of the key set without it are still in use. Try again then.";
        return Err(Error::conflict("permit_key_too_new", detail));
    }
    Ok(())
}

/// Says whether a key may be withdrawn, and which published one then signs in its place: in an
/// emergency any key, else only one that no permit needs.
///
/// # Errors
/// [`Error::Conflict`] with what stands in the way.
pub fn may_withdraw<'k>(keys: &'k [PermitKey], kid: &str, emergency: bool, now: Instant) -> Result<Option<&'k PermitKey>> {
    let key = named(keys, kid)?;
    let needed = match key.state() {
        PermitKeyState::Withdrawn => return Err(Error::conflict("permit_key_withdrawn", "This key was withdrawn before.")),
        PermitKeyState::Published => false,
        PermitKeyState::Active => true,
        PermitKeyState::Retired => key.is_in_set(now),
    };
    if needed && !emergency {
        let detail = "Permits that can still be redeemed need this key: let another sign and wait until it is out of the key set. \
                      If the key may be in other hands, --emergency withdraws it at once and refuses its permits.";
        return Err(Error::conflict("permit_key_needed", detail));
    }
    let next = keys.iter().filter(|other| other.state() == PermitKeyState::Published).min_by_key(|other| (other.published_at, &other.kid));
    Ok(next.filter(|_| key.state() == PermitKeyState::Active))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Instant {
        Instant::from_millis(1_795_000_000_000 + seconds * 1000).unwrap()
    }
    fn key(kid: &str, instants: [Option<i64>; 4]) -> PermitKey {
        let [published, activated, retired, withdrawn] = instants.map(|second| second.map(at));
        PermitKey {
            kid: kid.to_owned(),
            public_key: Value::Null,
            published_at: published.unwrap(),
            activated_at: activated,
            retired_at: retired,
            withdrawn_at: withdrawn,
        }
    }
    fn code<T: std::fmt::Debug>(result: Result<T>) -> &'static str {
        match result.unwrap_err() {
            Error::Conflict { code, .. } => code,
            other => panic!("{other:?}"),
        }
    }
    fn world() -> Vec<PermitKey> {
        vec![
            key("withdrawn", [Some(0), Some(0), None, Some(5)]),
            key("retired", [Some(0), Some(5), Some(100), None]),
            key("active", [Some(10), Some(100), None, None]),
            key("next", [Some(110), None, None, None]),
            key("later", [Some(120), None, None, None]),
        ]
    }

    #[test]
    fn a_key_signs_only_after_every_copy_of_the_set_knows_it() {
        let keys = world();
        assert_eq!(code(may_activate(&keys, "next", at(169))), "permit_key_too_new");
        may_activate(&keys, "next", at(170)).unwrap();
        // Negative control: where nothing signs there is nothing to wait for.
        may_activate(&keys[3..], "next", at(110)).unwrap();
        assert_eq!(code(may_activate(&keys, "active", at(999))), "permit_key_active");
        assert_eq!(code(may_activate(&keys, "retired", at(999))), "permit_key_over");
        assert_eq!(code(may_activate(&keys, "withdrawn", at(999))), "permit_key_over");
        assert_eq!(code(may_activate(&keys, "other", at(999))), "permit_key_unknown");
    }

    #[test]
    fn a_retired_key_stays_in_the_set_until_its_last_permit_has_expired() {
        let keys = world();
        assert!(keys[1].is_in_set(at(399)) && !keys[1].is_in_set(at(400)));
        assert_eq!(keys.iter().map(|k| k.is_in_set(at(150))).collect::<Vec<_>>(), [false, true, true, true, true]);
    }

    #[test]
    fn a_key_that_permits_need_is_withdrawn_only_in_an_emergency() {
        let keys = world();
        let now = at(150);
        assert_eq!(code(may_withdraw(&keys, "active", false, now)), "permit_key_needed");
        assert_eq!(code(may_withdraw(&keys, "retired", false, now)), "permit_key_needed");
        assert_eq!(may_withdraw(&keys, "retired", false, at(400)).unwrap(), None);
        assert_eq!(may_withdraw(&keys, "retired", true, now).unwrap(), None);
        assert_eq!(may_withdraw(&keys, "later", false, now).unwrap(), None);
        assert_eq!(may_withdraw(&keys, "active", true, now).unwrap().unwrap().kid, "next");
        assert_eq!(may_withdraw(&keys[..3], "active", true, now).unwrap(), None, "none is left to sign");
        assert_eq!(code(may_withdraw(&keys, "withdrawn", true, now)), "permit_key_withdrawn");
    }
}
