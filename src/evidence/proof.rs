//! Inclusion and consistency proofs of RFC 6962 §2.1: which complete subtrees a proof is made of,
//! and whether a proof holds (RFC 9162 §2.1.3.2, §2.1.4.2). A proof asks for each subtree by its
//! name, so that it can be made from leaves, tiles or anything else. Pure.

use super::head::{push, root};
use crate::base::{Digest, merkle_node, sha256};

/// A complete subtree: the 2^`level` leaves from `index` · 2^`level` on. Level 0 is a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// Its height.
    pub level: u8,
    /// Its place among those of its height, from the left.
    pub index: u64,
}

/// A hash of a proof: that of the complete subtrees beside each other, largest first.
type Part = Vec<Node>;

/// The largest power of two below `n` (at least 2).
const fn split(n: u64) -> u64 {
    1 << (63 - (n - 1).leading_zeros())
}

/// The complete subtrees of the leaves `from..to`, whose first begins where one of its size may.
fn cover(mut from: u64, to: u64) -> Part {
    let mut part = Vec::new();
    while from < to {
        let level = 63 - (to - from).leading_zeros();
        part.push(Node { level: u8::try_from(level).unwrap_or(u8::MAX), index: from >> level });
        from += 1 << level;
    }
    part
}

/// The complete subtrees that the root of a tree of this size is made of, largest first.
#[must_use]
pub fn root_nodes(size: u64) -> Vec<Node> {
    cover(0, size)
}

/// What an inclusion proof is made of, from the leaf upwards; `None`: there is no such leaf.
fn inclusion_parts(index: u64, size: u64) -> Option<Vec<Part>> {
    if index >= size {
        return None;
    }
    let (mut from, mut to, mut parts) = (0, size, Vec::new());
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            parts.push(cover(middle, to));
            to = middle;
        } else {
            parts.push(cover(from, middle));
            from = middle;
        }
    }
    parts.reverse();
    Some(parts)
}

/// What a consistency proof is made of; `None`: the old tree is larger.
fn consistency_parts(old: u64, new: u64) -> Option<Vec<Part>> {
    if old > new {
        return None;
    }
    if old == 0 || old == new {
        return Some(Vec::new());
    }
    let (mut from, mut to, mut parts) = (0, new, Vec::new());
    // SUBPROOF of RFC 6962 §2.1.2: down to the subtree that ends where the old tree ends.
    while old < to {
        let middle = from + split(to - from);
        if old <= middle {
            parts.push(cover(middle, to));
            to = middle;
        } else {
            parts.push(cover(from, middle));
            from = middle;
        }
    }
    if from > 0 {
        parts.push(cover(from, to));
    }
    parts.reverse();
    Some(parts)
}

/// The hash of one part; `None`: a subtree of it is not to be had.
fn hash(part: &[Node], mut get: impl FnMut(Node) -> Option<Digest>) -> Option<Digest> {
    let mut nodes = part.iter().rev();
    let last = get(*nodes.next()?)?;
    nodes.try_fold(last, |right, node| Some(merkle_node(&get(*node)?, &right)))
}

fn hashes(parts: &[Part], mut get: impl FnMut(Node) -> Option<Digest>) -> Option<Vec<Digest>> {
    parts.iter().map(|part| hash(part, &mut get)).collect()
}

/// The subtrees that an inclusion proof needs; none when there is no such leaf.
#[must_use]
pub fn inclusion_nodes(index: u64, size: u64) -> Vec<Node> {
    inclusion_parts(index, size).unwrap_or_default().concat()
}

/// The subtrees that a consistency proof needs; none when the old tree is the larger one.
#[must_use]
pub fn consistency_nodes(old: u64, new: u64) -> Vec<Node> {
    consistency_parts(old, new).unwrap_or_default().concat()
}

/// The inclusion proof of a leaf in the tree of a size (RFC 6962 §2.1.1). `None`: no such leaf, or
/// a subtree is not to be had.
#[must_use]
pub fn inclusion(index: u64, size: u64, get: impl FnMut(Node) -> Option<Digest>) -> Option<Vec<Digest>> {
    hashes(&inclusion_parts(index, size)?, get)
}

/// The consistency proof between two sizes (RFC 6962 §2.1.2); empty between equal sizes and from
/// the empty tree. `None`: the old tree is larger, or a subtree is not to be had.
#[must_use]
pub fn consistency(old: u64, new: u64, get: impl FnMut(Node) -> Option<Digest>) -> Option<Vec<Digest>> {
    hashes(&consistency_parts(old, new)?, get)
}

/// The root of the tree of a size. `None`: a subtree is not to be had.
#[must_use]
pub fn root_of(size: u64, get: impl FnMut(Node) -> Option<Digest>) -> Option<Digest> {
    if size == 0 { Some(sha256(&[])) } else { hash(&root_nodes(size), get) }
}

/// The complete subtrees of leaves that are all at hand.
pub fn of_leaves(leaves: &[Digest]) -> impl Fn(Node) -> Option<Digest> + '_ {
    |node| {
        let width = 1_usize.checked_shl(u32::from(node.level))?;
        let from = usize::try_from(node.index).ok()?.checked_mul(width)?;
        Some(complete(leaves.get(from..from.checked_add(width)?)?))
    }
}

/// The root of a complete subtree: hashes of one height, as many as a power of two.
pub(super) fn complete(hashes: &[Digest]) -> Digest {
    let mut edge = Vec::new();
    for (size, hash) in hashes.iter().enumerate() {
        push(&mut edge, size as u64, *hash);
    }
    root(&edge)
}

/// The root that an inclusion proof leads to (RFC 9162 §2.1.3.2). `None`: it cannot be a proof for
/// this place in a tree of this size.
#[must_use]
pub fn root_from_inclusion(leaf: Digest, index: u64, size: u64, path: &[Digest]) -> Option<Digest> {
    if index >= size {
        return None;
    }
    let (mut place, mut last, mut hash) = (index, size - 1, leaf);
    for beside in path {
        if last == 0 {
            return None;
        }
        if place & 1 == 1 || place == last {
            hash = merkle_node(beside, &hash);
            while place & 1 == 0 && place != 0 {
                (place, last) = (place >> 1, last >> 1);
            }
        } else {
            hash = merkle_node(&hash, beside);
        }
        (place, last) = (place >> 1, last >> 1);
    }
    (last == 0).then_some(hash)
}

/// True if the leaf stands at this place in the tree of this size and root.
#[must_use]
pub fn verify_inclusion(leaf: Digest, index: u64, size: u64, root: Digest, path: &[Digest]) -> bool {
    root_from_inclusion(leaf, index, size, path) == Some(root)
}

/// True if the old tree is a prefix of the new one (RFC 9162 §2.1.4.2).
#[must_use]
pub fn verify_consistency(old: (u64, Digest), new: (u64, Digest), path: &[Digest]) -> bool {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size > new_size {
        return false;
    }
    if old_size == new_size {
        return path.is_empty() && old_root == new_root && (old_size > 0 || old_root == sha256(&[]));
    }
    if old_size == 0 {
        return path.is_empty() && old_root == sha256(&[]);
    }
    // A complete old tree is its own first hash, and stands in no proof.
    let (first, rest) = match path {
        path if old_size.is_power_of_two() => (&old_root, path),
        [first, rest @ ..] => (first, rest),
        [] => return false,
    };
    let (mut place, mut last) = (old_size - 1, new_size - 1);
    while place & 1 == 1 {
        (place, last) = (place >> 1, last >> 1);
    }
    let (mut seen, mut grown) = (*first, *first);
    for beside in rest {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            seen = merkle_node(beside, &seen);
            grown = merkle_node(beside, &grown);
            while place & 1 == 0 && place != 0 {
                (place, last) = (place >> 1, last >> 1);
            }
        } else {
            grown = merkle_node(&grown, beside);
        }
        (place, last) = (place >> 1, last >> 1);
    }
    last == 0 && seen == old_root && grown == new_root
}
