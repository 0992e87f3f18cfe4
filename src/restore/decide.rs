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

/// As many restores may lie between a backup and now; files with names of later epochs are nobody's.
const MOST_EPOCHS: u32 = 1_000;

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
    // A file that says nothing may be that of an epoch, and not of one that nobody can have reached.
    let reached = |epoch: u32| epoch <= held.epoch.saturating_add(MOST_EPOCHS);
    let last = outside.and_then(|epochs| epochs.keys().copied().rfind(|epoch| reached(*epoch))).unwrap_or(0).max(held.epoch);
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

/// The logs of which nothing outside says how far they had come, though this is no first start: the
/// registry, the processor's and customers'. A platform's may lack it for ten seconds.
#[must_use]
pub fn without_checkpoint(held: &BTreeMap<String, Held>, outside: &Kept) -> Vec<String> {
    let is_customers = |name: &str| name.starts_with("cus_");
    if !held.iter().any(|(name, held)| is_customers(name) && (held.size, held.epoch) > (0, 0)) {
        return Vec::new();
    }
    let is_known = |name: &str, held: &Held| outside.get(name).and_then(|epochs| epochs.get(&held.epoch)).is_some_and(Option::is_some);
    let counted = held.iter().filter(|(name, held)| !name.starts_with("platform/") && held.size > u64::from(held.epoch > 1));
    counted.filter(|(name, held)| !is_known(name, held)).map(|(name, _)| name.clone()).collect()
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
        let (ended, next) = endings(1, 7, outside([kept(1, 7, true), (u32::MAX, None)]));
        assert_eq!((ended.len(), next), (1, 2), "a name that is nobody's");
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
        let both = |of_registry: (u32, Option<Known>), size: Option<(u32, Option<Known>)>| {
            let of_customer = size.into_iter().collect::<BTreeMap<_, _>>();
            outside([of_registry]).into_iter().chain([("cus_x".to_owned(), of_customer)]).collect::<Kept>()
        };
        let without = |held, outside: Kept| without_checkpoint(&with(held), &outside).join(" ");
        assert_eq!(without(held(1, 5), Kept::new()), "cus_x registry");
        assert_eq!(without(held(1, 5), both((1, None), Some(kept(1, 3, true)))), "registry");
        assert_eq!(without(held(2, 5), both(kept(1, 5, true), Some(kept(1, 3, true)))), "registry");
        assert_eq!(without(held(1, 5), both(kept(1, 5, true), None)), "cus_x", "one file was taken away");
        assert_eq!(without(held(1, 5), both(kept(1, 5, true), Some((1, None)))), "cus_x");
        assert_eq!(without(held(1, 5), both(kept(1, 5, true), Some(kept(1, 3, true)))), "");
        assert_eq!(without(held(2, 1), both(kept(1, 5, true), Some(kept(1, 3, true)))), "", "declared just now");
        assert!(without_checkpoint(&held(1, 5), &Kept::new()).is_empty(), "a first start that was broken off");
    }
}
