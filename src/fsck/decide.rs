//! What a log must be, entry by entry: its leaves hash to its roots, its records and kept subjects
//! match their commitments, what is erased has its entry. A passage over a log in index order, in
//! memory that does not grow with it but for what is erased. Pure.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use crate::base::{Digest, Instant, canonical, merkle_leaf};
use crate::evidence::{
    Checkpoint, EndedEpoch, Event, StoredEntry, TILE_WIDTH, Tile, commit_record, commit_subjects, origin, push_leaf, root_of_edge,
    tile_root,
};

/// Something that is not as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The log's epoch, by its origin.
    pub origin: String,
    /// The first index concerned; absent where no entry speaks of it.
    pub index: Option<u64>,
    /// What is wrong.
    pub what: String,
}

/// A size of a log's epoch, with its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// The epoch.
    pub epoch: u32,
    /// Number of entries.
    pub size: u64,
    /// The root of the tree of that size.
    pub root: Digest,
}

/// Hashes at the right edge of a tree: for each level of tiles, those of the tile that is not full.
pub type Partial = Vec<Vec<Digest>>;

/// The right edge of the tree behind these hashes.
#[must_use]
pub fn edge_of(partial: &Partial) -> Vec<Digest> {
    let mut edge = Vec::new();
    for hashes in partial.iter().rev() {
        let mut from = 0;
        for width in (0..8).rev().map(|bit| 1_usize << bit).filter(|width| hashes.len() & width != 0) {
            edge.extend(hashes.get(from..from + width).map(tile_root));
            from += width;
        }
    }
    edge
}

/// A full tile as it follows from the entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    /// Its epoch.
    pub epoch: u32,
    /// Which tile.
    pub tile: Tile,
    /// Its hashes.
    pub hashes: Vec<Digest>,
}

/// A passage over a log.
#[derive(Debug)]
pub struct Passage {
    name: String,
    at: Reached,
    edge: Vec<Digest>,
    last_at: Option<Instant>,
    partial: Partial,
    filled: Vec<Filled>,
    checkpoints: Vec<Checkpoint>,
    /// Entries whose subjects are gone, and those that an erasure names.
    gone: BTreeSet<(u32, u64)>,
    erased: BTreeSet<(u32, u64)>,
    /// True once the roots of this epoch are known to be others: every later one is too.
    astray: bool,
    /// The last entry of a checkpoint of this epoch that the entries contradict.
    contradicted: Option<u64>,
    differences: Vec<Difference>,
}

impl Passage {
    /// From the first entry of a log of this name, against checkpoints that were kept outside.
    #[must_use]
    pub fn new(name: &str, checkpoints: Vec<Checkpoint>) -> Self {
        let edge = Vec::new();
        let at = Reached { epoch: 1, size: 0, root: root_of_edge(&edge) };
        Self {
            name: name.to_owned(),
            at,
            edge,
            last_at: None,
            partial: Vec::new(),
            filled: Vec::new(),
            checkpoints,
            gone: BTreeSet::new(),
            erased: BTreeSet::new(),
            astray: false,
            contradicted: None,
            differences: Vec::new(),
        }
    }

    /// From a size that was verified before, with the hashes that the log has at its right edge now.
    #[must_use]
    pub fn after(mut self, verified: Reached, partial: Partial) -> Self {
        self.edge = edge_of(&partial);
        self.partial = partial;
        self.at = verified;
        if root_of_edge(&self.edge) != verified.root {
            self.astray = true;
            self.differs(verified.epoch, verified.size.checked_sub(1), "the entries up to here are others than those verified before");
        }
        self
    }

    fn differs(&mut self, epoch: u32, index: Option<u64>, what: impl Into<String>) {
        self.differences.push(Difference { origin: origin(&self.name, epoch), index, what: what.into() });
    }

    /// Where the passage stands.
    #[must_use]
    pub const fn reached(&self) -> Reached {
        self.at
    }

    /// The tiles that were filled since this was asked last; none once the tree is another: every later
    /// tile is too.
    pub fn take_filled(&mut self) -> Vec<Filled> {
        let filled = std::mem::take(&mut self.filled);
        if self.astray { Vec::new() } else { filled }
    }

    /// How many full tiles each level must have by now.
    #[must_use]
    pub fn tiles(&self) -> Vec<u64> {
        (1..=8_u32).map(|level| self.at.size.checked_shr(8 * level).unwrap_or(0)).collect()
    }

    /// Takes the next entry.
    pub fn entry(&mut self, entry: &StoredEntry) {
        if entry.epoch != self.at.epoch {
            self.end_epoch(entry.epoch, opening(entry).as_deref());
        }
        let (epoch, index) = (entry.epoch, entry.index);
        if index != self.at.size {
            let missing = self.at.size;
            self.astray(epoch, missing, format!("after {missing} entries comes the index {index}: what is between is missing"));
            self.at.size = index;
        }
        if let Some(what) = fault(entry) {
            self.differs(epoch, Some(index), what);
        }
        if self.last_at.is_some_and(|last| entry.at < last) {
            self.differs(epoch, Some(index), "its time is before that of the entry before it");
        }
        self.last_at = Some(entry.at);
        self.subjects(entry);
        let leaf = merkle_leaf(&entry.leaf);
        push_leaf(&mut self.edge, self.at.size, leaf);
        self.at.size += 1;
        self.at.root = root_of_edge(&self.edge);
        self.tile(0, leaf);
        if entry.root != self.at.root {
            self.astray(epoch, index, "the root of the tree up to here is not the one recorded");
        }
        let reached = self.at;
        if self.checkpoints.iter().any(|kept| self.is_of(kept, &reached) && kept.root != reached.root) {
            self.contradicted = Some(index);
        }
    }

    /// Says that a checkpoint has another root, unless it counts entries that a restore is known to have lost.
    fn contradicted(&mut self, told: Option<&EndedEpoch>) {
        let contradicted = self.contradicted.take().filter(|index| !told.is_some_and(|told| told.is_missing(*index)));
        if let Some(index) = contradicted {
            self.differs(self.at.epoch, Some(index), "the checkpoint kept outside has another root at this size");
        }
    }

    fn is_of(&self, kept: &Checkpoint, reached: &Reached) -> bool {
        kept.size == reached.size && kept.origin == origin(&self.name, reached.epoch)
    }

    fn astray(&mut self, epoch: u32, index: u64, what: impl Into<String>) {
        if !self.astray {
            self.astray = true;
            self.differs(epoch, Some(index), what);
        }
    }

    fn tile(&mut self, level: u8, hash: Digest) {
        let place = usize::from(level);
        if self.partial.len() <= place {
            self.partial.resize(place + 1, Vec::new());
        }
        self.partial[place].push(hash);
        if self.partial[place].len() as u64 == TILE_WIDTH {
            let hashes = std::mem::take(&mut self.partial[place]);
            let root = tile_root(&hashes);
            let index = (self.at.size >> (8 * (u32::from(level) + 1))).saturating_sub(1);
            self.filled.push(Filled { epoch: self.at.epoch, tile: Tile { level, index }, hashes });
            self.tile(level + 1, root);
        }
    }

    fn subjects(&mut self, entry: &StoredEntry) {
        if entry.record.get("subjects").is_some() && entry.subjects.is_none() {
            self.gone.insert((entry.epoch, entry.index));
        }
        if entry.word == "subjects.erased"
            && let Ok(Event::SubjectsErased { entries, .. }) = entry.event()
        {
            self.erased.extend(entries);
        }
    }

    /// Ends an epoch: the next begins with an entry that says how.
    fn end_epoch(&mut self, next: u32, opening: Option<&[EndedEpoch]>) {
        let at = self.at;
        let told = opening.and_then(|ended| ended.iter().find(|ended| ended.epoch == at.epoch));
        match told {
            None => self.differs(next, Some(0), "the epoch does not begin with an opening that says how the one before it ended"),
            Some(told) if (told.size, told.root) != (at.size, at.root) || !told.is_consistent() => {
                self.differs(next, Some(0), "its opening says otherwise how the epoch before it ended");
            }
            Some(_) => {}
        }
        self.contradicted(told);
        self.short(&at, told.and_then(|told| told.known).map_or(0, |known| known.size));
        self.edge.clear();
        self.partial.clear();
        self.astray = false;
        self.at = Reached { epoch: next, size: 0, root: root_of_edge(&self.edge) };
    }

    /// What a checkpoint promises beyond the end of its epoch, and beyond what a restore is known to have lost.
    fn short(&mut self, end: &Reached, known: u64) {
        let origin = origin(&self.name, end.epoch);
        let longest =
            self.checkpoints.iter().filter(|kept| kept.origin == origin && kept.size > end.size.max(known)).map(|kept| kept.size).max();
        if let Some(size) = longest {
            self.differs(end.epoch, Some(end.size), format!("the log ends here, and its checkpoint kept outside has {size} entries"));
        }
    }

    /// Ends the passage at the log's head. `is_whole`: it began at the first entry, so that every entry
    /// an erasure names was seen.
    #[must_use]
    pub fn end(mut self, epoch: u32, size: u64, edge: &[Digest], last_at: Option<Instant>, is_whole: bool) -> Vec<Difference> {
        if epoch != self.at.epoch {
            self.end_epoch(epoch, None);
        }
        let reached = self.at;
        self.contradicted(None);
        self.short(&reached, 0);
        if size != reached.size {
            let index = size.min(reached.size);
            self.differs(epoch, Some(index), format!("the head says {size} entries, and there are {}", reached.size));
        } else if edge != self.edge {
            self.differs(epoch, size.checked_sub(1), "the head's edge is not that of the entries");
        }
        if size > 0 && last_at.is_some() && self.last_at.is_some() && last_at != self.last_at {
            self.differs(epoch, size.checked_sub(1), "the head's time is not that of the last entry");
        }
        let without: Vec<_> = self.gone.difference(&self.erased).copied().collect();
        for (epoch, index) in without {
            self.differs(epoch, Some(index), "its subjects are gone, and no entry says that they were erased");
        }
        let kept: Vec<_> = self.erased.difference(&self.gone).copied().filter(|_| is_whole).collect();
        for (epoch, index) in kept {
            self.differs(epoch, Some(index), "an entry says that its subjects were erased, and they are not gone");
        }
        self.differences
    }
}

/// How the epochs before ended, as the first entry of the next one says.
fn opening(entry: &StoredEntry) -> Option<Vec<EndedEpoch>> {
    match entry.event() {
        Ok(Event::EpochOpened { ended, .. }) if entry.index == 0 => Some(ended),
        _ => None,
    }
}

/// What is wrong with an entry by itself.
fn fault(entry: &StoredEntry) -> Option<&'static str> {
    if merkle_leaf(&entry.leaf) != entry.leaf_hash {
        return Some("the leaf hash is not that of the leaf");
    }
    let Ok(leaf) = serde_json::from_slice::<Value>(&entry.leaf) else { return Some("the leaf is not JSON") };
    if canonical(&leaf) != entry.leaf {
        return Some("the leaf is not canonical");
    }
    let says = |member: &str, text: &str| leaf.get(member).and_then(Value::as_str) == Some(text);
    if !says("type", &entry.word) || !says("at", &entry.at.to_string()) {
        return Some("its type or time is not the one in the leaf");
    }
    if !says("commitment", &commit_record(&entry.nonce.0, &entry.record).to_string()) {
        return Some("the record does not match its commitment");
    }
    let committed = entry.record.pointer("/subjects/commitment").and_then(Value::as_str);
    match (&entry.subjects, committed) {
        (Some((list, nonce)), Some(commitment)) if commit_subjects(&nonce.0, list).to_string() != commitment => {
            Some("the subjects do not match their commitment")
        }
        (Some(_), None) => Some("it has subjects, and the record commits to none"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn the_edge_of_a_tree_is_found_in_its_tiles_that_are_not_full(size in 0_u64..1_500) {
            let mut passage = Passage::new("registry", Vec::new());
            let mut edge = Vec::new();
            for index in 0..size {
                let leaf = merkle_leaf(&index.to_be_bytes());
                push_leaf(&mut edge, index, leaf);
                passage.at.size += 1;
                passage.tile(0, leaf);
            }
            prop_assert_eq!(passage.filled.len() as u64, size / 256);
            prop_assert_eq!(passage.tiles()[0], size / 256);
            let in_order = passage.filled.iter().enumerate().all(|(index, filled)| filled.tile == Tile { level: 0, index: index as u64 });
            prop_assert!(in_order);
            prop_assert_eq!(edge_of(&passage.partial), edge);
        }
    }
}
