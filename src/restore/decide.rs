//! Whether the database was restored, and what each log lost: heads as they are, against the
//! checkpoints that were kept outside. One size with two roots is no restore: that is found by
//! checking the logs. Pure.

use std::collections::BTreeMap;

use crate::base::{Digest, Error, Result, sha256};
use crate::evidence::{EndedEpoch, KeptCheckpoint, KnownCheckpoint, LostLog, RestoreGround, origin};

/// The checkpoints outside: by the name of the log and the epoch.
pub type Kept = BTreeMap<String, BTreeMap<u32, KeptCheckpoint>>;

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
///
/// # Errors
/// When a kept file holds no checkpoint.
pub fn seen(held: &BTreeMap<String, Held>, outside: &Kept, database: &Database) -> Result<Option<RestoreGround>> {
    let mut found = None;
    for (name, epochs) in outside {
        let Some(held) = held.get(name) else { return Ok(Some(RestoreGround::Shorter)) };
        for (epoch, kept) in epochs.range(held.epoch..) {
            if *epoch > held.epoch || kept.read()?.size > held.size {
                return Ok(Some(RestoreGround::Shorter));
            }
            if !kept.is_of(&database.system_identifier, database.timeline) {
                found = Some(RestoreGround::OtherDatabase);
            }
        }
    }
    Ok(found)
}

/// How the epochs of a log ended, from its present one on, and which it opens next: one that nobody
/// has ever seen.
///
/// # Errors
/// When a kept file holds no checkpoint.
pub fn endings(held: &Held, outside: Option<&BTreeMap<u32, KeptCheckpoint>>) -> Result<(Vec<EndedEpoch>, u32)> {
    let last = outside.and_then(|epochs| epochs.keys().next_back().copied()).unwrap_or(0).max(held.epoch);
    let next = last.checked_add(1).ok_or_else(|| Error::internal("an epoch that has no next one"))?;
    let known = |epoch: u32| -> Result<Option<KnownCheckpoint>> {
        let kept = outside.and_then(|epochs| epochs.get(&epoch)).map(KeptCheckpoint::read).transpose()?;
        Ok(kept.map(|kept| KnownCheckpoint { size: kept.size, root: kept.root }))
    };
    let ended = (held.epoch..next).map(|epoch| {
        let (size, root) = if epoch == held.epoch { (held.size, held.root) } else { (0, sha256(&[])) };
        Ok(EndedEpoch::new(epoch, size, root, known(epoch)?))
    });
    Ok((ended.collect::<Result<_>>()?, next))
}

/// True if entries are missing.
#[must_use]
pub fn is_shorter(ended: &[EndedEpoch]) -> bool {
    ended.iter().any(|ended| ended.missing.is_some())
}

/// The logs of which the database holds nothing, by their last epoch.
///
/// # Errors
/// When a kept file holds no checkpoint.
pub fn lost(held: &BTreeMap<String, Held>, outside: &Kept) -> Result<Vec<LostLog>> {
    let gone = outside.iter().filter(|(name, _)| !held.contains_key(*name));
    gone.flat_map(|(name, epochs)| epochs.iter().map(move |(epoch, kept)| (origin(name, epoch), kept)))
        .map(|(origin, kept)| {
            let kept = kept.read()?;
            Ok(LostLog { origin, known: KnownCheckpoint { size: kept.size, root: kept.root } })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Checkpoint, LogSigningKey};

    fn here() -> Database {
        Database { system_identifier: "7".to_owned(), timeline: 1 }
    }
    fn root(size: u64) -> Digest {
        sha256(&[&size.to_be_bytes()])
    }
    fn kept(epoch: u32, size: u64, timeline: u32) -> (u32, KeptCheckpoint) {
        let key = LogSigningKey::from_pem(LogSigningKey::generate_pem().unwrap().as_bytes()).unwrap();
        let checkpoint = Checkpoint { origin: format!("mandate/registry/{epoch}"), size, root: root(size) };
        let checkpoint = checkpoint.sign(&key).unwrap().to_string();
        (epoch, KeptCheckpoint { checkpoint, system_identifier: "7".to_owned(), timeline })
    }
    fn outside(epochs: impl IntoIterator<Item = (u32, KeptCheckpoint)>) -> Kept {
        Kept::from([("registry".to_owned(), epochs.into_iter().collect())])
    }
    fn held(epoch: u32, size: u64) -> BTreeMap<String, Held> {
        BTreeMap::from([("registry".to_owned(), Held { epoch, size, root: root(size) })])
    }

    #[test]
    fn a_restore_is_seen_by_a_shorter_log_another_database_or_an_epoch_that_is_not_here() {
        let seen = |held, outside: Kept| seen(&held, &outside, &here()).unwrap();
        assert_eq!(seen(held(1, 5), Kept::new()), None, "nothing kept: a first start");
        assert_eq!(seen(held(1, 5), outside([kept(1, 5, 1)])), None);
        assert_eq!(seen(held(1, 9), outside([kept(1, 5, 1)])), None);
        assert_eq!(seen(held(2, 1), outside([kept(1, 5, 1)])), None, "how the first epoch ended is recorded");
        assert_eq!(seen(held(2, 1), outside([kept(1, 5, 9), kept(2, 1, 1)])), None);
        assert_eq!(seen(held(1, 4), outside([kept(1, 5, 1)])), Some(RestoreGround::Shorter));
        assert_eq!(seen(held(1, 9), outside([kept(1, 5, 2)])), Some(RestoreGround::OtherDatabase));
        assert_eq!(seen(held(1, 9), outside([kept(1, 5, 1), kept(2, 1, 1)])), Some(RestoreGround::Shorter));
        assert_eq!(seen(BTreeMap::new(), outside([kept(1, 5, 1)])), Some(RestoreGround::Shorter));
    }

    #[test]
    fn the_missing_entries_are_those_between_what_is_here_and_what_was_known() {
        let endings = |epoch, size, outside: Kept| endings(&held(epoch, size)["registry"], outside.get("registry")).unwrap();
        let missing = |ended: &[EndedEpoch]| ended.iter().map(|ended| (ended.epoch, ended.missing)).collect::<Vec<_>>();
        let (ended, next) = endings(1, 4, outside([kept(1, 7, 1)]));
        assert_eq!((missing(&ended), next), (vec![(1, Some((4, 6)))], 2));
        assert!(is_shorter(&ended) && ended.iter().all(EndedEpoch::is_consistent));
        let (ended, next) = endings(1, 7, outside([kept(1, 7, 1)]));
        assert_eq!((missing(&ended), next, is_shorter(&ended)), (vec![(1, None)], 2, false));
        let (ended, next) = endings(1, 7, Kept::new());
        assert_eq!((missing(&ended), next), (vec![(1, None)], 2));
        // Restored to before an epoch that was opened once: it is not opened again.
        let (ended, next) = endings(1, 4, outside([kept(1, 7, 1), kept(2, 3, 1)]));
        assert_eq!((missing(&ended), next), (vec![(1, Some((4, 6))), (2, Some((0, 2)))], 3));
        assert_eq!(lost(&BTreeMap::new(), &outside([kept(1, 7, 1)])).unwrap()[0].origin, "mandate/registry/1");
        assert_eq!(lost(&held(1, 4), &outside([kept(1, 7, 1)])).unwrap(), []);
    }
}
