//! Whether the database was restored, and what each log lost: heads as they are, against the
//! checkpoints that were kept outside. A log that does not continue its checkpoint is no restore by
//! itself: that is found by checking the logs, and is a loss once a restore is known otherwise. Pure.

use std::collections::BTreeMap;

use crate::base::{Digest, Error, Result, sha256};
use crate::evidence::{EndedEpoch, KnownCheckpoint, LostLog, RestoreGround, origin};

/// A checkpoint that was kept outside, signed by a key of the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// What it says.
    pub checkpoint: KnownCheckpoint,
    /// True if it is of this database, on this timeline.
    pub is_of_this: bool,
}

/// The checkpoints outside: by the name of the log and the epoch. `None`: what is there says nothing.
pub type Kept = BTreeMap<String, BTreeMap<u32, Option<Known>>>;

/// Which database this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// Postgres's system identifier.
    pub system_identifier: String,
    /// Postgres's timeline.
    pub timeline: u32,
}

/// The head of a log, as the database holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Its epoch.
    pub epoch: u32,
    /// Number of entries in it.
    pub size: u64,
    /// Root of the tree of that size.
    pub root: Digest,
}

/// Says how a restore is seen, if it is. Epochs that have ended say nothing more: how they ended is
/// recorded. Nothing kept outside is a first start.
#[must_use]
pub fn seen(held: &BTreeMap<String, Held>, outside: &Kept) -> Option<RestoreGround> {
    let mut found = None;
    for (name, epochs) in outside {
        let held = held.get(name);
        let present = held.map_or(0, |held| held.epoch);
        for (epoch, known) in epochs.range(present..).filter_map(|(epoch, known)| Some((*epoch, (*known)?))) {
            if held.is_none_or(|held| epoch > held.epoch || known.checkpoint.size > held.size) {
                return Some(RestoreGround::Shorter);
            }
            if !known.is_of_this {
                found = Some(RestoreGround::OtherDatabase);
            }
        }
    }
    found
}

/// How the epochs of a log ended, from its present one on, and which it opens next: one that nobody
/// has ever seen. `fork`: the log does not continue its checkpoint; up to how many entries it is known to.
///
/// # Errors
/// When the epochs are used up.
pub fn endings(held: &Held, outside: Option<&BTreeMap<u32, Option<Known>>>, fork: Option<u64>) -> Result<(Vec<EndedEpoch>, u32)> {
    let last = outside.and_then(|epochs| epochs.keys().next_back().copied()).unwrap_or(0).max(held.epoch);
    let next = last.checked_add(1).ok_or_else(|| Error::internal("an epoch that has no next one"))?;
    let known = |epoch: u32| outside.and_then(|epochs| epochs.get(&epoch).copied().flatten()).map(|known| known.checkpoint);
    let ended = (held.epoch..next).map(|epoch| match epoch == held.epoch {
        true => EndedEpoch::new(epoch, held.size, held.root, known(epoch), fork),
        false => EndedEpoch::new(epoch, 0, sha256(&[]), known(epoch), None),
    });
    Ok((ended.collect(), next))
}

/// True if entries of one of them are missing, or it is not known whether.
#[must_use]
pub fn has_lost(ended: &[EndedEpoch]) -> bool {
    ended.iter().any(EndedEpoch::has_lost)
}

/// True if this is no first start, and still nothing outside says how far the registry had come.
#[must_use]
pub fn is_without_checkpoints(held: &BTreeMap<String, Held>, outside: &Kept) -> bool {
    let is_registrys = |held: &Held| outside.get("registry").is_some_and(|epochs| epochs.get(&held.epoch).is_some_and(Option::is_some));
    let has_customers = held.iter().any(|(name, held)| name.starts_with("cus_") && (held.size, held.epoch) > (0, 0));
    let registry = held.get("registry").filter(|held| held.size > u64::from(held.epoch > 1));
    has_customers && registry.is_some_and(|held| !is_registrys(held))
}

/// The logs of which the database holds nothing, by their last epoch.
#[must_use]
pub fn lost(held: &BTreeMap<String, Held>, outside: &Kept) -> Vec<LostLog> {
    let gone = outside.iter().filter(|(name, _)| !held.contains_key(*name));
    gone.flat_map(|(name, epochs)| epochs.iter().map(move |(epoch, known)| (origin(name, epoch), known)))
        .filter_map(|(origin, known)| Some(LostLog { origin, known: (*known)?.checkpoint }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(size: u64) -> Digest {
        sha256(&[&size.to_be_bytes()])
    }
    fn kept(epoch: u32, size: u64, is_of_this: bool) -> (u32, Option<Known>) {
        (epoch, Some(Known { checkpoint: KnownCheckpoint { size, root: root(size) }, is_of_this }))
    }
    fn outside(epochs: impl IntoIterator<Item = (u32, Option<Known>)>) -> Kept {
        Kept::from([("registry".to_owned(), epochs.into_iter().collect())])
    }
    fn held(epoch: u32, size: u64) -> BTreeMap<String, Held> {
        BTreeMap::from([("registry".to_owned(), Held { epoch, size, root: root(size) })])
    }

    #[test]
    fn a_restore_is_seen_by_a_shorter_log_another_database_or_an_epoch_that_is_not_here() {
        let seen = |held, outside: Kept| seen(&held, &outside);
        assert_eq!(seen(held(1, 5), Kept::new()), None, "nothing kept: a first start");
        assert_eq!(seen(held(1, 5), outside([kept(1, 5, true)])), None);
        assert_eq!(seen(held(1, 9), outside([kept(1, 5, true)])), None);
        assert_eq!(seen(held(2, 1), outside([kept(1, 5, true)])), None, "how the first epoch ended is recorded");
        assert_eq!(seen(held(2, 1), outside([kept(1, 5, false), kept(2, 1, true)])), None);
        assert_eq!(seen(held(1, 4), outside([kept(1, 5, true)])), Some(RestoreGround::Shorter));
        assert_eq!(seen(held(1, 9), outside([kept(1, 5, false)])), Some(RestoreGround::OtherDatabase));
        assert_eq!(seen(held(1, 9), outside([kept(1, 5, true), kept(2, 1, true)])), Some(RestoreGround::Shorter));
        assert_eq!(seen(BTreeMap::new(), outside([kept(1, 5, true)])), Some(RestoreGround::Shorter));
        assert_eq!(seen(held(1, 4), outside([(1, None)])), None, "a file that says nothing shows no restore");
    }

    #[test]
    fn the_missing_entries_are_those_between_what_is_here_and_what_was_known() {
        let endings = |epoch, size, outside: Kept| endings(&held(epoch, size)["registry"], outside.get("registry"), None).unwrap();
        let missing = |ended: &[EndedEpoch]| ended.iter().map(|ended| (ended.epoch, ended.missing)).collect::<Vec<_>>();
        let (ended, next) = endings(1, 4, outside([kept(1, 7, true)]));
        assert_eq!((missing(&ended), next), (vec![(1, Some((4, 6)))], 2));
        assert!(has_lost(&ended) && ended.iter().all(EndedEpoch::is_consistent));
        let (ended, next) = endings(1, 7, outside([kept(1, 7, true)]));
        assert_eq!((missing(&ended), next, has_lost(&ended)), (vec![(1, None)], 2, false));
        // Nothing says how far it had come.
        for unknown in [Kept::new(), outside([(1, None)])] {
            let (ended, next) = endings(1, 7, unknown);
            assert_eq!((missing(&ended), next, has_lost(&ended)), (vec![(1, None)], 2, true));
        }
        assert!(!has_lost(&endings(1, 0, Kept::new()).0), "an empty log has lost nothing that is known");
        assert!(!has_lost(&endings(3, 1, Kept::new()).0), "an opening whose checkpoint is not yet kept");
        // Restored to before an epoch that was opened once: it is not opened again.
        let (ended, next) = endings(1, 4, outside([kept(1, 7, true), kept(2, 3, true)]));
        assert_eq!((missing(&ended), next), (vec![(1, Some((4, 6))), (2, Some((0, 2)))], 3));
        assert_eq!(lost(&BTreeMap::new(), &outside([kept(1, 7, true)]))[0].origin, "mandate/registry/1");
        assert_eq!(lost(&held(1, 4), &outside([kept(1, 7, true)])), []);
    }

    #[test]
    fn a_log_that_went_on_after_a_restore_has_lost_what_its_checkpoint_counts_beyond_the_fork() {
        let ending = |size, fork| endings(&held(1, size)["registry"], outside([kept(1, 7, true)]).get("registry"), fork).unwrap().0;
        for (size, fork, missing) in
            [(9, Some(4), Some((4, 6))), (7, Some(0), Some((0, 6))), (9, None, None), (5, None, Some((5, 6))), (5, Some(3), Some((3, 6)))]
        {
            let ended = ending(size, fork);
            assert_eq!((ended[0].missing, has_lost(&ended), ended[0].is_consistent()), (missing, missing.is_some(), true));
        }
        let tampered = EndedEpoch { missing: Some((4, 7)), ..ending(9, Some(4))[0].clone() };
        assert!(!tampered.is_consistent() && !EndedEpoch { missing: None, ..ending(5, None)[0].clone() }.is_consistent());
    }

    #[test]
    fn a_database_with_customers_does_not_begin_beside_an_empty_folder() {
        let customer = ("cus_x".to_owned(), Held { epoch: 1, size: 3, root: root(3) });
        let with = |held: BTreeMap<String, Held>| held.into_iter().chain([customer.clone()]).collect::<BTreeMap<_, _>>();
        assert!(is_without_checkpoints(&with(held(1, 5)), &Kept::new()));
        assert!(is_without_checkpoints(&with(held(1, 5)), &outside([(1, None)])));
        assert!(is_without_checkpoints(&with(held(2, 5)), &outside([kept(1, 5, true)])));
        assert!(!is_without_checkpoints(&with(held(1, 5)), &outside([kept(1, 5, true)])));
        assert!(!is_without_checkpoints(&with(held(2, 1)), &outside([kept(1, 5, true)])), "declared just now");
        assert!(!is_without_checkpoints(&held(1, 5), &Kept::new()), "a first start that was broken off");
    }
}
