//! Tiles of a log (C2SP `tlog-tiles`): 256 hashes of one height beside each other, their names as
//! paths, and how a subtree is found in them. A tile that is full never changes, and is stored; one
//! that is not is read from the tiles or leaves below it. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::proof::{Node, complete};
use crate::base::Digest;

/// Hashes in a full tile.
pub const TILE_WIDTH: u64 = 256;
/// Levels of the tree in one tile.
const HEIGHT: u8 = 8;
/// The highest level of tiles that a path may name (C2SP `tlog-tiles`).
const TOP: u8 = 63;

/// A tile: the `index`th of its level. Its hashes are the roots of the tiles below, or of leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// Its level; on level 0 the hashes are those of leaves.
    pub level: u8,
    /// Its place in its level, from the left.
    pub index: u64,
}

impl Tile {
    /// The tile in which a subtree is found.
    #[must_use]
    pub const fn of(node: Node) -> Self {
        Self { level: node.level / HEIGHT, index: (node.index << (node.level % HEIGHT)) / TILE_WIDTH }
    }
    /// How many hashes it has in a log of this size, 0 to 256.
    #[must_use]
    pub fn width(self, size: u64) -> u64 {
        let at_level = size.checked_shr(u32::from(self.level) * u32::from(HEIGHT)).unwrap_or(0);
        at_level.saturating_sub(self.index.saturating_mul(TILE_WIDTH)).min(TILE_WIDTH)
    }
    /// The tiles that the leaf before `size` has filled, lowest first.
    pub fn filled_by(size: u64) -> impl Iterator<Item = Self> {
        (0..HEIGHT).map_while(move |level| {
            let shift = u32::from(HEIGHT) * u32::from(level + 1);
            let count = size.checked_shr(shift).filter(|count| *count > 0)?;
            (count << shift == size).then_some(Self { level, index: count - 1 })
        })
    }
}

/// Hashes of tiles that are at hand, in which subtrees are found.
#[derive(Debug, Clone, Default)]
pub struct Tiles(BTreeMap<Tile, Vec<Digest>>);

impl Tiles {
    /// Adds a tile, full or not.
    pub fn insert(&mut self, tile: Tile, hashes: Vec<Digest>) {
        self.0.insert(tile, hashes);
    }
    /// The hash of a subtree; `None`: its tile is not at hand, or does not reach as far.
    #[must_use]
    pub fn node(&self, node: Node) -> Option<Digest> {
        let hashes = self.0.get(&Tile::of(node))?;
        let inner = node.level % HEIGHT;
        let from = usize::try_from((node.index << inner) % TILE_WIDTH).ok()?;
        Some(complete(hashes.get(from..from + (1 << inner))?))
    }
}

/// The root of a full tile.
#[must_use]
pub fn tile_root(hashes: &[Digest]) -> Digest {
    complete(hashes)
}

/// What a path of a log names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TilePath {
    /// The latest checkpoint.
    Checkpoint,
    /// Hashes: of the tile, the first so many.
    Hashes(Tile, u64),
    /// Leaf data: of the bundle beside that tile of level 0, the first so many.
    Entries(u64, u64),
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, width) = match *self {
            Self::Checkpoint => return f.write_str("checkpoint"),
            Self::Hashes(tile, width) => {
                write!(f, "tile/{}/", tile.level)?;
                (tile.index, width)
            }
            Self::Entries(index, width) => {
                f.write_str("tile/entries/")?;
                (index, width)
            }
        };
        f.write_str(&grouped(index))?;
        if width < TILE_WIDTH { write!(f, ".p/{width}") } else { Ok(()) }
    }
}

/// A number in groups of three digits, all but the last marked: `x001/x234/067`.
fn grouped(index: u64) -> String {
    let mut text = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        text = format!("x{:03}/{text}", rest % 1000);
        rest /= 1000;
    }
    text
}

/// Says that a text is no path of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a path of a log")]
pub struct NotATilePath;

fn number<T: FromStr + fmt::Display>(text: &str) -> Result<T, NotATilePath> {
    let number: T = text.parse().map_err(|_| NotATilePath)?;
    // One number has one path: no sign, no leading zero.
    if number.to_string() == text { Ok(number) } else { Err(NotATilePath) }
}

fn index_of(text: &str) -> Result<u64, NotATilePath> {
    let mut index: u64 = 0;
    for group in text.split('/') {
        let digits = group.strip_prefix('x').unwrap_or(group);
        if digits.len() != 3 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(NotATilePath);
        }
        let value: u64 = digits.parse().map_err(|_| NotATilePath)?;
        index = index.checked_mul(1000).and_then(|index| index.checked_add(value)).ok_or(NotATilePath)?;
    }
    if grouped(index) == text { Ok(index) } else { Err(NotATilePath) }
}

impl FromStr for TilePath {
    type Err = NotATilePath;
    fn from_str(text: &str) -> Result<Self, NotATilePath> {
        if text == "checkpoint" {
            return Ok(Self::Checkpoint);
        }
        let (kind, rest) = text.strip_prefix("tile/").and_then(|rest| rest.split_once('/')).ok_or(NotATilePath)?;
        let (index, width) = match rest.split_once(".p/") {
            None => (index_of(rest)?, TILE_WIDTH),
            Some((index, width)) => {
                let width = number(width)?;
                if width == 0 || width >= TILE_WIDTH {
                    return Err(NotATilePath);
                }
                (index_of(index)?, width)
            }
        };
        if kind == "entries" {
            return Ok(Self::Entries(index, width));
        }
        let level = number(kind)?;
        if level > TOP { Err(NotATilePath) } else { Ok(Self::Hashes(Tile { level, index }, width)) }
    }
}

/// A bundle of leaf data: each with its length before it, two bytes big-endian (C2SP `tlog-tiles`).
/// `None`: a leaf is longer than that holds.
#[must_use]
pub fn bundle<'l>(leaves: impl IntoIterator<Item = &'l [u8]>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for leaf in leaves {
        bytes.extend(u16::try_from(leaf.len()).ok()?.to_be_bytes());
        bytes.extend(leaf);
    }
    Some(bytes)
}
