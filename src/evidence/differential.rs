//! Random trees against a second implementation (crate `ct-merkle`): roots, inclusion and
//! consistency proofs, made from leaves and from tiles, checked by each for the other; and bad
//! proofs, refused by both. A short run by default; `MANDATE_TREES=100000` is the full one.

use std::collections::BTreeSet;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use sha2::Sha256;

use super::proof::*;
use super::tile::{Tile, Tiles, tile_root};
use crate::base::{Digest, Entropy as _, SeededEntropy, merkle_leaf, sha256};

type Other = MemoryBackedTree<Sha256, Vec<u8>>;

/// Numbers from a seed: the test can be played again.
struct Dice(SeededEntropy);

impl Dice {
    fn below(&self, bound: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_be_bytes(bytes) % bound
    }
    /// A size: as often small as large, up to three tiles and a bit.
    fn size(&self) -> u64 {
        1 + self.below([2, 9, 70, 300, 1000][usize::try_from(self.below(5)).unwrap()])
    }
}

fn bytes(path: &[Digest]) -> Vec<u8> {
    path.iter().flat_map(|hash| hash.0).collect()
}

fn root_hash(size: u64, root: Digest) -> RootHash<Sha256> {
    RootHash::new(root.0.into(), size)
}

/// Only the tiles that these subtrees stand in, as a log of this size stores them.
fn tiles(leaves: &[Digest], nodes: &[Node]) -> Tiles {
    let size = leaves.len() as u64;
    let mut tiles = Tiles::default();
    for tile in nodes.iter().map(|node| Tile::of(*node)).collect::<BTreeSet<_>>() {
        let from = tile.index * 256;
        let below = of_leaves(leaves);
        let hashes = (from..from + tile.width(size)).map(|index| below(Node { level: tile.level * 8, index }).unwrap());
        tiles.insert(tile, hashes.collect());
    }
    tiles
}

fn flipped(path: &[Digest], dice: &Dice) -> Option<Vec<Digest>> {
    let mut path = path.to_vec();
    let at = usize::try_from(dice.below(path.len().max(1) as u64)).unwrap();
    path.get_mut(at)?.0[usize::try_from(dice.below(32)).unwrap()] ^= 1 << dice.below(8);
    Some(path)
}

fn both_agree_on_inclusion(tree: &Other, leaves: &[Digest], index: u64, dice: &Dice) {
    let (size, at) = (leaves.len() as u64, usize::try_from(index).unwrap());
    let root = root_of(size, of_leaves(leaves)).unwrap();
    let path = inclusion(index, size, of_leaves(leaves)).unwrap();
    let theirs = tree.prove_inclusion(at);
    assert_eq!(bytes(&path), theirs.as_bytes(), "the inclusion proof of {index} in {size}");
    let nodes = inclusion_nodes(index, size);
    let stored = tiles(leaves, &nodes);
    assert_eq!(inclusion(index, size, |node| stored.node(node)), Some(path.clone()), "from tiles: {index} in {size}");
    assert!(verify_inclusion(leaves[at], index, size, root, &path));
    // Negative controls: no other leaf, place, size or path fits, and both say so.
    let leaf = tree.get(at).unwrap();
    assert!(!verify_inclusion(sha256(&[b"another"]), index, size, root, &path));
    let elsewhere = dice.below(size + 2);
    assert_eq!(
        verify_inclusion(leaves[at], elsewhere, size, root, &path),
        root_hash(size, root).verify_inclusion(leaf, elsewhere, &theirs).is_ok(),
        "{elsewhere} for {index} in {size}"
    );
    if let Some(bad) = flipped(&path, dice) {
        assert!(!verify_inclusion(leaves[at], index, size, root, &bad));
        assert!(!verify_inclusion(leaves[at], index, size, root, &path[1..]));
        let theirs = InclusionProof::<Sha256>::try_from_bytes(bytes(&bad)).unwrap();
        assert!(root_hash(size, root).verify_inclusion(leaf, index, &theirs).is_err());
    }
    let longer = [&path[..], &[root]].concat();
    assert!(!verify_inclusion(leaves[at], index, size, root, &longer));
}

fn both_agree_on_consistency(tree: &Other, leaves: &[Digest], old: u64, dice: &Dice) {
    let size = leaves.len() as u64;
    let (old_root, root) = (root_of(old, of_leaves(leaves)).unwrap(), root_of(size, of_leaves(leaves)).unwrap());
    let path = consistency(old, size, of_leaves(leaves)).unwrap();
    let stored = tiles(leaves, &consistency_nodes(old, size));
    assert_eq!(consistency(old, size, |node| stored.node(node)), Some(path.clone()), "from tiles: {old} to {size}");
    assert!(verify_consistency((old, old_root), (size, root), &path), "{old} to {size}");
    assert!(!verify_consistency((old, sha256(&[b"another"])), (size, root), &path), "{old} to {size}");
    assert!(old == 0 || !verify_consistency((old, old_root), (size, sha256(&[b"another"])), &path), "{old} to {size}");
    if old == 0 {
        return;
    }
    let theirs = tree.prove_consistency(usize::try_from(size - old).unwrap());
    if old < size {
        assert_eq!(bytes(&path), theirs.as_bytes(), "the consistency proof {old} to {size}");
    }
    let verdict = |path: &[Digest], old| {
        let proof = ConsistencyProof::try_from_bytes(bytes(path)).unwrap();
        root_hash(size, root).verify_consistency(&root_hash(old, old_root), &proof).is_ok()
    };
    assert!(verdict(&path, old), "{old} to {size}");
    let elsewhere = 1 + dice.below(size);
    assert_eq!(
        verify_consistency((elsewhere, old_root), (size, root), &path),
        verdict(&path, elsewhere),
        "{elsewhere} for {old} to {size}"
    );
    if let Some(bad) = flipped(&path, dice) {
        assert!(!verify_consistency((old, old_root), (size, root), &bad) && !verdict(&bad, old), "{old} to {size}");
        assert!(!verify_consistency((old, old_root), (size, root), &path[1..]), "{old} to {size}");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long a test runs is no setting of the service")]
fn random_trees_have_the_proofs_of_a_second_implementation() {
    let trees: u64 = std::env::var("MANDATE_TREES").map_or(2_000, |text| text.parse().unwrap());
    for seed in 0..trees {
        let dice = Dice(SeededEntropy::new(seed));
        let size = dice.size();
        let mut tree = Other::new();
        let mut leaves = Vec::new();
        for leaf in 0..size {
            let data = [seed.to_be_bytes(), leaf.to_be_bytes()].concat();
            leaves.push(merkle_leaf(&data));
            tree.push(data);
        }
        assert_eq!(root_of(size, of_leaves(&leaves)).unwrap().0[..], tree.root().as_bytes()[..], "the root of {size}");
        for index in [0, size - 1, dice.below(size)] {
            both_agree_on_inclusion(&tree, &leaves, index, &dice);
        }
        for old in [0, size, dice.below(size + 1)] {
            both_agree_on_consistency(&tree, &leaves, old, &dice);
        }
    }
    println!("{trees} random trees, no difference");
}

#[test]
fn proofs_of_impossible_places_do_not_exist() {
    let leaves = [merkle_leaf(b"a"), merkle_leaf(b"b")];
    assert_eq!(inclusion(2, 2, of_leaves(&leaves)), None);
    assert_eq!(consistency(3, 2, of_leaves(&leaves)), None);
    assert_eq!(inclusion(0, 3, of_leaves(&leaves)), None, "a leaf is missing");
    assert_eq!(root_of(0, |_| None), Some(sha256(&[])));
    let [one, two] = [root_of(1, of_leaves(&leaves)).unwrap(), root_of(2, of_leaves(&leaves)).unwrap()];
    assert!(!verify_consistency((2, two), (1, one), &[]));
    assert!(!verify_consistency((0, one), (2, two), &[]), "the empty tree has one root");
    assert!(!verify_inclusion(leaves[0], 0, 0, two, &[]));
    assert!(!verify_inclusion(leaves[0], u64::MAX, u64::MAX, two, &[]));
}

#[test]
fn every_tile_is_filled_once_and_holds_the_roots_below() {
    let leaves: Vec<Digest> = (0..256 * 256_u32).map(|leaf| sha256(&[&leaf.to_be_bytes()])).collect();
    let mut filled = Vec::new();
    for size in 1..=leaves.len() as u64 {
        filled.extend(Tile::filled_by(size));
    }
    let expected: Vec<Tile> = (0..256).map(|index| Tile { level: 0, index }).chain([Tile { level: 1, index: 0 }]).collect();
    assert_eq!(filled, expected);
    assert_eq!(Tile::filled_by(256 * 256 * 256).count(), 3);
    assert_eq!(Tile::filled_by(0).count(), 0);
    let roots: Vec<Digest> = leaves.chunks(256).map(tile_root).collect();
    assert_eq!(tile_root(&roots), root_of(leaves.len() as u64, of_leaves(&leaves)).unwrap());
}
