//! Entries of a pack for a log that lost them in a restore: the leaves from one index to another, each with
//! its record, and the roots on the way. Whether the pack verifies is asked before.

use std::io::{Read, Seek};

use serde_json::Value;

use super::archive::Archive;
use super::stream;
use crate::base::{CustomerId, Digest, merkle_leaf};
use crate::evidence::{SuppliedEntry, push_leaf, root_of_edge};
use crate::pack::format::*;

/// What a pack can supply.
#[derive(Debug, Clone)]
pub struct Supply {
    /// Whose log it is of.
    pub customer: CustomerId,
    /// Root of the tree before the first of these entries.
    pub before: Digest,
    /// The entries.
    pub entries: Vec<SuppliedEntry>,
}

/// Whose evidence a pack holds, by its manifest.
///
/// # Errors
/// When it is no pack, in words.
pub fn customer_of(reader: impl Read + Seek) -> Result<CustomerId, String> {
    let manifest = Archive::open(reader)?.small(MANIFEST)?.0;
    let manifest: Manifest = serde_json::from_slice(&manifest).map_err(|error| format!("its manifest cannot be read: {error}"))?;
    Ok(manifest.customer)
}

/// The entries from `from` to `until`, both included, of an epoch of the customer's log in a pack.
///
/// # Errors
/// When it is no pack or does not reach so far, in words.
pub fn supply<R: Read + Seek>(reader: R, epoch: u32, (from, until): (u64, u64)) -> Result<Supply, String> {
    let mut archive = Archive::open(reader)?;
    let manifest: Manifest =
        serde_json::from_slice(&archive.small(MANIFEST)?.0).map_err(|error| format!("its manifest cannot be read: {error}"))?;
    let file = archive.file(&log_file(PackLog::Customer, epoch))?;
    let (read, error) = stream::lines(
        file,
        |_| {},
        |lines| {
            let (mut edge, mut index, mut supplied) =
                (Vec::new(), 0, Supply { customer: manifest.customer, before: root_of_edge(&[]), entries: Vec::new() });
            while index <= until
                && let Some(line) = lines.next()
            {
                let entry: EntryLine<'_> = serde_json::from_slice(line).map_err(|_| format!("line {index} of the log is no entry"))?;
                let leaf_hash = merkle_leaf(entry.leaf.get().as_bytes());
                push_leaf(&mut edge, index, leaf_hash);
                let root = root_of_edge(&edge);
                if index + 1 == from {
                    supplied.before = root;
                }
                if index >= from {
                    supplied.entries.push(entry_of(index, &entry, leaf_hash, root)?);
                }
                index += 1;
            }
            if index > until { Ok(supplied) } else { Err(format!("it ends before entry {until}: {index} entries are in it")) }
        },
    );
    match error {
        Some(error) => Err(format!("the log in it cannot be read: {error}")),
        None => read,
    }
}

fn entry_of(index: u64, entry: &EntryLine<'_>, leaf_hash: Digest, root: Digest) -> Result<SuppliedEntry, String> {
    let unreadable = |_| format!("line {index} of the log is no entry");
    let leaf: Leaf<'_> = serde_json::from_str(entry.leaf.get()).map_err(unreadable)?;
    let record = entry.record.map(|record| serde_json::from_str::<Value>(record.get())).transpose().map_err(unreadable)?;
    Ok(SuppliedEntry {
        index,
        word: leaf.word.to_owned(),
        object: leaf.object.to_owned(),
        leaf: entry.leaf.get().as_bytes().to_vec(),
        leaf_hash,
        root,
        record: entry.nonce.zip(record),
    })
}
