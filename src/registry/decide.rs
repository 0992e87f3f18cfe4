//! When a suspension that ops made may end: a person of `ops_security` proposes the release, a
//! second ops person carries it out. One person alone, with whatever role, lifts nothing. Pure.

use crate::base::{Error, Instant, OpsPersonId, ReleaseId, Result};

/// A release that one person proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proposal {
    /// Its id.
    pub release: ReleaseId,
    /// Who proposed it.
    pub by: OpsPersonId,
    /// When: after the last restore, or it is none.
    pub at: Instant,
}

/// What a call for release does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseStep {
    /// Proposes it; everything stays stopped.
    Propose,
    /// Carries out this proposal.
    Carry(Proposal),
}

/// What the call of an ops person does to a suspension that ops made.
///
/// # Errors
/// [`Error::Conflict`] when it was released before or the same person calls twice;
/// [`Error::Forbidden`] when somebody outside `ops_security` would propose.
pub fn decide_release(proposed: Option<Proposal>, released: bool, by: OpsPersonId, is_security: bool) -> Result<ReleaseStep> {
    match proposed {
        _ if released => Err(Error::conflict("already_released", "The suspension was released before.")),
        None if is_security => Ok(ReleaseStep::Propose),
        None => Err(Error::Forbidden("a release is proposed by ops_security")),
        Some(proposal) if proposal.by == by => {
            Err(Error::conflict("second_person_required", "Another ops person must carry out the release that you proposed."))
        }
        Some(proposal) => Ok(ReleaseStep::Carry(proposal)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn it_takes_ops_security_and_a_second_person_to_release() {
        let (first, second) = (OpsPersonId::from(Uuid::from_u128(1)), OpsPersonId::from(Uuid::from_u128(2)));
        let release = ReleaseId::from(Uuid::from_u128(3));
        let proposal = Some(Proposal { release, by: first, at: Instant::from_millis(0).unwrap() });
        for (proposed, released, by, is_security, expected) in [
            (None, false, first, true, "propose"),
            (None, false, first, false, "forbidden: a release is proposed by ops_security"),
            (proposal, false, first, true, "conflict: second_person_required"),
            (proposal, false, first, false, "conflict: second_person_required"),
            (proposal, false, second, true, "carry"),
            (proposal, false, second, false, "carry"),
            (proposal, true, second, true, "conflict: already_released"),
            (None, true, second, true, "conflict: already_released"),
        ] {
            let found = match decide_release(proposed, released, by, is_security) {
                Ok(ReleaseStep::Propose) => "propose".to_owned(),
                Ok(ReleaseStep::Carry(carried)) => {
                    assert_eq!(Some(carried), proposal);
                    "carry".to_owned()
                }
                Err(error) => error.to_string(),
            };
            assert_eq!(found, expected, "{proposed:?} {released} {by} {is_security}");
        }
    }
}
