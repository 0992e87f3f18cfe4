//! The right edge of a Merkle tree: enough to append a leaf and to compute the root, without the
//! rest of the tree (RFC 6962 §2.1). Pure.

use crate::base::{Digest, merkle_node, sha256};

/// Adds a leaf hash to the edge of a tree of `size` leaves.
pub fn push(edge: &mut Vec<Digest>, size: u64, leaf: Digest) {
    let mut node = leaf;
    // One complete subtree of the same height is joined for every trailing 1 bit of the size.
    for _ in 0..size.trailing_ones() {
        if let Some(left) = edge.pop() {
            node = merkle_node(&left, &node);
        }
    }
    edge.push(node);
}

/// The root of the tree with this edge; of the empty tree, the digest of nothing.
#[must_use]
pub fn root(edge: &[Digest]) -> Digest {
    let mut nodes = edge.iter().rev();
    match nodes.next() {
        None => sha256(&[]),
        Some(last) => nodes.fold(*last, |right, left| merkle_node(left, &right)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::merkle_leaf;
    use proptest::prelude::*;

    /// The definition of RFC 6962 §2.1, as it stands there.
    fn mth(leaves: &[Vec<u8>]) -> Digest {
        match leaves.len() {
            0 => sha256(&[]),
            1 => merkle_leaf(&leaves[0]),
            n => {
                let k = n.next_power_of_two() / 2;
                merkle_node(&mth(&leaves[..k]), &mth(&leaves[k..]))
            }
        }
    }

    proptest! {
        #[test]
        fn the_edge_gives_the_root_of_rfc_6962(leaves in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..8), 0..70)) {
            let mut edge = Vec::new();
            for (size, leaf) in leaves.iter().enumerate() {
                push(&mut edge, size as u64, merkle_leaf(leaf));
            }
            prop_assert_eq!(root(&edge), mth(&leaves));
        }
    }
}
