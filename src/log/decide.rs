//! The life of a key of the logs: published, active, retired, withdrawn. Unlike a permit key it stays
//! published for ever, since what it signed must be verifiable for ever; and one always signs, since
//! nothing may be recorded that nobody signs. Pure.

use crate::base::{Error, Instant, Result};

/// A key of the logs as the database holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogKey {
    /// Its id: SHA-256 of the public half.
    pub kid: String,
    /// The public half: Ed25519, 32 bytes.
    pub public_key: Vec<u8>,
    /// Since when it is published.
    pub published_at: Instant,
    /// Since when it signs.
    pub activated_at: Option<Instant>,
    /// Since when another signs.
    pub retired_at: Option<Instant>,
    /// Since when only what was kept elsewhere before counts.
    pub withdrawn_at: Option<Instant>,
}

crate::words! {
    /// Where a key of the logs stands in its life.
    pub enum LogKeyState {
        /// Published ahead of its use.
        Published = "published",
        /// Signs.
        Active = "active",
        /// Signed before; what it signed keeps its worth.
        Retired = "retired",
        /// Lost, or in other hands: only what was kept elsewhere before counts.
        Withdrawn = "withdrawn",
    }
}

impl LogKey {
    /// Where it stands in its life.
    #[must_use]
    pub const fn state(&self) -> LogKeyState {
        match (self.withdrawn_at, self.retired_at, self.activated_at) {
            (Some(_), _, _) => LogKeyState::Withdrawn,
            (_, Some(_), _) => LogKeyState::Retired,
            (_, _, Some(_)) => LogKeyState::Active,
            _ => LogKeyState::Published,
        }
    }
}

/// The key that signs.
#[must_use]
pub fn active(keys: &[LogKey]) -> Option<&LogKey> {
    keys.iter().find(|key| key.state() == LogKeyState::Active)
}

fn named<'k>(keys: &'k [LogKey], kid: &str) -> Result<&'k LogKey> {
    let unknown = || Error::conflict("log_key_unknown", "No key of this id is published: `mandate log-keys list` shows them.");
    keys.iter().find(|key| key.kid == kid).ok_or_else(unknown)
}

/// Says whether a key may begin to sign. It was published in an act before, so that the key before
/// it has signed for its publication: who trusts the one has reason to trust the other.
///
/// # Errors
/// [`Error::Conflict`] with what stands in the way.
pub fn may_activate(keys: &[LogKey], kid: &str) -> Result<()> {
    match named(keys, kid)?.state() {
        LogKeyState::Published => Ok(()),
        LogKeyState::Active => Err(Error::conflict("log_key_active", "This key signs already.")),
        LogKeyState::Retired | LogKeyState::Withdrawn => {
            Err(Error::conflict("log_key_over", "This key has had its time and never signs again: publish another."))
        }
    }
}

/// Says whether a key may be withdrawn, and which published one then signs in its place.
///
/// # Errors
/// [`Error::Conflict`] with what stands in the way.
pub fn may_withdraw<'k>(keys: &'k [LogKey], kid: &str) -> Result<Option<&'k LogKey>> {
    let state = named(keys, kid)?.state();
    if state == LogKeyState::Withdrawn {
        return Err(Error::conflict("log_key_withdrawn", "This key was withdrawn before."));
    }
    if state != LogKeyState::Active {
        return Ok(None);
    }
    let published = keys.iter().filter(|other| other.state() == LogKeyState::Published);
    let next = published.min_by_key(|other| (other.published_at, &other.kid));
    let detail = "This key signs, and none is published to take its place: publish one first. Nothing may be recorded that nobody signs.";
    next.map(Some).ok_or_else(|| Error::conflict("log_key_needed", detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kid: &str, [published, activated, retired, withdrawn]: [Option<i64>; 4]) -> LogKey {
        let at = |second: i64| Instant::from_millis(1_795_000_000_000 + second * 1000).unwrap();
        LogKey {
            kid: kid.to_owned(),
            public_key: vec![0; 32],
            published_at: at(published.unwrap()),
            activated_at: activated.map(at),
            retired_at: retired.map(at),
            withdrawn_at: withdrawn.map(at),
        }
    }
    fn code<T: std::fmt::Debug>(result: Result<T>) -> &'static str {
        match result.unwrap_err() {
            Error::Conflict { code, .. } => code,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_key_goes_forward_only_and_one_always_signs() {
        let keys = [
            key("withdrawn", [Some(0), Some(0), None, Some(5)]),
            key("retired", [Some(0), Some(5), Some(9), None]),
            key("active", [Some(1), Some(9), None, None]),
            key("later", [Some(8), None, None, None]),
            key("next", [Some(7), None, None, None]),
        ];
        assert_eq!(active(&keys).unwrap().kid, "active");
        may_activate(&keys, "later").unwrap();
        for (kid, expected) in
            [("active", "log_key_active"), ("retired", "log_key_over"), ("withdrawn", "log_key_over"), ("x", "log_key_unknown")]
        {
            assert_eq!(code(may_activate(&keys, kid)), expected, "{kid}");
        }
        assert_eq!(may_withdraw(&keys, "active").unwrap().unwrap().kid, "next");
        assert_eq!(may_withdraw(&keys, "retired").unwrap(), None);
        assert_eq!(code(may_withdraw(&keys[..3], "active")), "log_key_needed");
        assert_eq!(code(may_withdraw(&keys, "withdrawn")), "log_key_withdrawn");
    }
}
