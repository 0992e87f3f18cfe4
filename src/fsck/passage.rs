//! One log from the database: its entries in steps, in one snapshot, so that a log that goes on
//! growing is compared with its own head and its own effects. Each step is let go before the next.

use std::collections::BTreeSet;

use super::decide::{Difference, Filled, Partial, Passage, Reached};
use super::effects::{Named, compare};
use super::rows::Rows;
use crate::base::{CustomerId, Digest, Error, Result};
use crate::db::{Db, LogId, ReadTx};
use crate::evidence::{
    Applied, Checkpoint, Facts, LogView, Note, Outside, StoredEntry, TILE_WIDTH, Tile, Tree, apply, entries, head_by_id, log_by_id, origin,
    stored_tile, stored_tiles, tile_hashes,
};
use crate::export::{Selection, facts};

/// Entries that are read at a time: one may name thousands of subjects.
const STEP: i64 = 100;

/// What became of checking one log.
#[derive(Debug)]
pub(super) struct Checked {
    /// What is wrong, in index order.
    pub differences: Vec<Difference>,
    /// What could not be checked.
    pub undecided: Vec<Difference>,
    /// How many entries were read.
    pub entries: u64,
    /// How far the log reaches.
    pub reached: Reached,
}

/// The rows of a log as its entries state them, and a customer's facts as they rebuild them.
struct Rebuilt {
    rows: Rows,
    facts: Option<(Facts, Named)>,
}

impl Rebuilt {
    fn of(log: &LogView) -> Self {
        Self { rows: Rows::of(log.name()), facts: (log.kind == "customer").then(Default::default) }
    }

    fn take(&mut self, entry: &StoredEntry) -> Result<()> {
        let (event, subjects) = (entry.event()?, entry.selectors()?);
        self.rows.take(entry, &event);
        if let Some((facts, named)) = &mut self.facts {
            named.take((entry.epoch, entry.index), &event);
            apply(facts, Applied { epoch: entry.epoch, index: entry.index, event: &event, subjects: subjects.as_deref() });
        }
        Ok(())
    }
}

/// Checks a log from its first entry with its effects, or without them from a size that was verified.
pub(super) async fn check_log(db: &Db, log: &LogView, verified: Option<Reached>, outside: &Outside, keys: &[[u8; 32]]) -> Result<Checked> {
    let id = LogId(log.id());
    let mut differences = Vec::new();
    // Read before the snapshot: what was kept by then was committed by then.
    let checkpoints = checkpoints(log, outside, keys, &mut differences)?;
    let mut read = db.read_to_check("fsck", id).await?;
    let mut passage = Passage::new(log.name(), checkpoints);
    let is_whole = verified.is_none();
    if is_whole && let Some((epoch, index)) = super::store::misplaced(read.conn(), id).await? {
        let what = format!("an entry stands at the index {index} of epoch {epoch}, which is no place");
        let index = u64::try_from(index).unwrap_or(0);
        differences.push(Difference { origin: log.origin.clone(), index: Some(index), what });
        return Ok(Checked { differences, undecided: Vec::new(), entries: 0, reached: passage.reached() });
    }
    if let Some(verified) = verified {
        let partial = partial(&mut read, id, verified).await?;
        passage = passage.after(verified, partial);
    }
    let mut rebuilt = is_whole.then(|| Rebuilt::of(log));
    let (mut undecided, mut count) = (Vec::new(), 0);
    let mut next = verified.map_or((0, 0), |verified| (verified.epoch, verified.size));
    loop {
        let step = entries(read.conn(), id, next, STEP, None).await?;
        for entry in &step {
            passage.entry(entry);
            if let Some(Err(error)) = rebuilt.as_mut().map(|rebuilt| rebuilt.take(entry)) {
                let what = format!("the record of type {} cannot be read: {error}", entry.word);
                undecided.push(Difference { origin: origin(log.name(), entry.epoch), index: Some(entry.index), what });
                rebuilt = None;
            }
        }
        for filled in passage.take_filled() {
            differences.extend(tile(&mut read, id, log.name(), &filled).await?);
        }
        count += step.len() as u64;
        match step.last() {
            Some(last) if i64::try_from(step.len()) == Ok(STEP) => next = (last.epoch, last.index + 1),
            _ => break,
        }
    }
    let reached = passage.reached();
    if is_whole {
        differences.extend(strange_tiles(&mut read, id, log.name(), reached.epoch, &passage.tiles()).await?);
    }
    let (head, view) = (head_by_id(read.conn(), id).await?, log_by_id(read.conn(), id).await?);
    differences.extend(passage.end(view.epoch, head.size, &head.edge, view.last_entry_at, is_whole));
    if let Some(rebuilt) = rebuilt {
        differences.extend(effects(&mut read, log, rebuilt).await?);
    }
    differences.sort_by(|a, b| (&a.origin, a.index.is_none(), a.index).cmp(&(&b.origin, b.index.is_none(), b.index)));
    Ok(Checked { differences, undecided, entries: count, reached })
}

/// The checkpoints of every epoch that were kept outside, as far as a key of the logs has signed them.
fn checkpoints(log: &LogView, outside: &Outside, keys: &[[u8; 32]], differences: &mut Vec<Difference>) -> Result<Vec<Checkpoint>> {
    let mut found = Vec::new();
    for epoch in 1..=log.epoch {
        let origin = origin(log.name(), epoch);
        let Some(kept) = outside.latest(&origin)? else { continue };
        let note = kept.checkpoint.parse::<Note>().map_err(Error::internal)?;
        match Checkpoint::verified(&note, keys) {
            Ok(checkpoint) if checkpoint.origin == origin => found.push(checkpoint),
            _ => differences.push(Difference {
                origin,
                index: None,
                what: "the checkpoint kept outside is not this log's, signed by its key".to_owned(),
            }),
        }
    }
    Ok(found)
}

/// The hashes at the right edge of a size that was verified before.
async fn partial(read: &mut ReadTx, log: LogId, verified: Reached) -> Result<Partial> {
    let tree = Tree { log, epoch: verified.epoch, size: verified.size };
    let mut partial = Vec::new();
    for level in 0..8_u8 {
        let at_level = verified.size >> (8 * u32::from(level));
        let (index, width) = (at_level / TILE_WIDTH, at_level % TILE_WIDTH);
        let hashes = tile_hashes(read.conn(), tree, Tile { level, index }, width).await?;
        partial.push(hashes.unwrap_or_default());
    }
    Ok(partial)
}

async fn tile(read: &mut ReadTx, log: LogId, name: &str, filled: &Filled) -> Result<Option<Difference>> {
    let Tile { level, index } = filled.tile;
    let what = match stored_tile(read.conn(), log, filled.epoch, filled.tile).await? {
        None => "is missing",
        Some((root, hashes)) if hashes != filled.hashes || root != crate::evidence::tile_root(&filled.hashes) => {
            "is not that of the entries"
        }
        Some(_) => return Ok(None),
    };
    let first = index << (8 * (u32::from(level) + 1));
    Ok(Some(Difference {
        origin: origin(name, filled.epoch),
        index: Some(first),
        what: format!("the tile {index} of level {level} {what}"),
    }))
}

/// Tiles that no entries filled.
async fn strange_tiles(read: &mut ReadTx, log: LogId, name: &str, epoch: u32, due: &[u64]) -> Result<Vec<Difference>> {
    let stored = stored_tiles(read.conn(), log, epoch).await?.into_iter();
    let more = stored.filter(|(level, count)| due.get(usize::from(*level)).is_none_or(|due| count > due));
    let told = more.map(|(level, count)| format!("level {level} has {count} tiles, more than the entries fill"));
    Ok(told.map(|what| Difference { origin: origin(name, epoch), index: None, what }).collect())
}

async fn effects(read: &mut ReadTx, log: &LogView, rebuilt: Rebuilt) -> Result<Vec<Difference>> {
    let Rebuilt { facts: rebuilt, mut rows } = rebuilt;
    super::store::effects(read.conn(), LogId(log.id()), &log.kind, &mut rows).await?;
    let mut unequal = rows.end();
    if let Some((rebuilt, named)) = rebuilt {
        // What a row says otherwise is not told a second time as a fact.
        let told: BTreeSet<_> = unequal.iter().map(|unequal| unequal.at).collect();
        let now = read.now();
        match facts(read.conn(), CustomerId::from(log.id()), &Selection::everything(), now).await {
            Ok(stored) => unequal.extend(compare(&rebuilt, &stored, &named).into_iter().filter(|unequal| !told.contains(&unequal.at))),
            // A value that no decision could read is found in its row.
            Err(_) if !unequal.is_empty() => {}
            Err(error) => return Err(error),
        }
    }
    let told = unequal.into_iter().map(|unequal| Difference {
        origin: origin(log.name(), unequal.at.map_or(log.epoch, |(epoch, _)| epoch)),
        index: unequal.at.map(|(_, index)| index),
        what: unequal.what,
    });
    Ok(told.collect())
}

/// The size that was verified last of a log's present epoch.
pub(super) fn verified(log: &LogView, outside: &Outside) -> Option<Reached> {
    let (size, root): (u64, Digest) = outside.verified(&log.origin)?;
    Some(Reached { epoch: log.epoch, size, root })
}
