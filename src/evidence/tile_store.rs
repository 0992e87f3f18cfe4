//! All SQL of tiles: writing those that an entry fills, and reading the few that a proof needs. A
//! full tile is a row; the one at the right edge is read from the leaves or tiles below it.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnection;

use super::proof::{Node, consistency, consistency_nodes, inclusion, inclusion_nodes};
use super::tile::{TILE_WIDTH, Tile, Tiles, tile_root};
use crate::base::{Digest, Error, Result};
use crate::db::LogId;

/// An epoch of a log and its size: what a proof is made in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tree {
    /// The log.
    pub log: LogId,
    /// The epoch.
    pub epoch: u32,
    /// Number of entries.
    pub size: u64,
}

fn digests(bytes: &[u8]) -> Result<Vec<Digest>> {
    let whole = bytes.chunks(32).map(Digest::from_slice).collect::<Option<Vec<_>>>();
    whole.ok_or_else(|| Error::internal("a tile that is not made of digests"))
}

fn signed(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(Error::internal)
}

/// Writes the tiles that the entry before `size` has filled, in its transaction.
pub(super) async fn fill(conn: &mut PgConnection, log: LogId, epoch: i32, size: u64) -> Result<()> {
    for tile in Tile::filled_by(size) {
        let tree = Tree { log, epoch: u32::try_from(epoch).map_err(Error::internal)?, size };
        let hashes = below(conn, tree, tile, TILE_WIDTH).await?;
        let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
        sqlx::query!(
            "INSERT INTO log_tile (customer_id, epoch, level, index, root, hashes) VALUES ($1, $2, $3, $4, $5, $6)",
            log.0,
            epoch,
            i16::from(tile.level),
            signed(tile.index)?,
            tile_root(&hashes) as Digest,
            bytes
        )
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

/// The first hashes of a tile, from what is below it.
async fn below(conn: &mut PgConnection, tree: Tree, tile: Tile, width: u64) -> Result<Vec<Digest>> {
    let from = signed(tile.index * TILE_WIDTH)?;
    let (epoch, until) = (i32::try_from(tree.epoch).map_err(Error::internal)?, from + signed(width)?);
    let found = match tile.level.checked_sub(1) {
        None => {
            let leaves = sqlx::query_scalar!(
                r#"SELECT leaf_hash AS "hash: Digest" FROM log_entry
                   WHERE customer_id = $1 AND epoch = $2 AND index >= $3 AND index < $4 ORDER BY index"#,
                tree.log.0,
                epoch,
                from,
                until
            );
            leaves.fetch_all(conn).await?
        }
        Some(level) => {
            let roots = sqlx::query_scalar!(
                r#"SELECT root AS "hash: Digest" FROM log_tile
                   WHERE customer_id = $1 AND epoch = $2 AND level = $3 AND index >= $4 AND index < $5 ORDER BY index"#,
                tree.log.0,
                epoch,
                i16::from(level),
                from,
                until
            );
            roots.fetch_all(conn).await?
        }
    };
    if found.len() as u64 == width { Ok(found) } else { Err(Error::internal("hashes of a tile are missing")) }
}

/// The first `width` hashes of a tile; `None`: the log does not reach so far.
///
/// # Errors
/// When the database does not answer, or hashes are missing.
pub async fn tile_hashes(conn: &mut PgConnection, tree: Tree, tile: Tile, width: u64) -> Result<Option<Vec<Digest>>> {
    if width == 0 || tile.width(tree.size) < width {
        return Ok(None);
    }
    below(conn, tree, tile, width).await.map(Some)
}

/// A full tile as it is stored: its root and its hashes; `None`: it is not.
///
/// # Errors
/// When the database does not answer.
pub async fn stored_tile(conn: &mut PgConnection, log: LogId, epoch: u32, tile: Tile) -> Result<Option<(Digest, Vec<Digest>)>> {
    let row = sqlx::query!(
        r#"SELECT root AS "root: Digest", hashes FROM log_tile WHERE customer_id = $1 AND epoch = $2 AND level = $3 AND index = $4"#,
        log.0,
        i32::try_from(epoch).map_err(Error::internal)?,
        i16::from(tile.level),
        signed(tile.index)?
    );
    row.fetch_optional(conn).await?.map(|row| Ok((row.root, digests(&row.hashes)?))).transpose()
}

/// How many tiles are stored on each level of an epoch that has any.
///
/// # Errors
/// When the database does not answer.
pub async fn stored_tiles(conn: &mut PgConnection, log: LogId, epoch: u32) -> Result<Vec<(u8, u64)>> {
    let rows = sqlx::query!(
        r#"SELECT level, count(*) AS "count!" FROM log_tile WHERE customer_id = $1 AND epoch = $2 GROUP BY level ORDER BY level"#,
        log.0,
        i32::try_from(epoch).map_err(Error::internal)?
    );
    let rows = rows.fetch_all(conn).await?.into_iter();
    rows.map(|row| Ok((u8::try_from(row.level).map_err(Error::internal)?, u64::try_from(row.count).map_err(Error::internal)?))).collect()
}

/// The tiles in which these subtrees are found.
async fn tiles_of(conn: &mut PgConnection, tree: Tree, nodes: &[Node]) -> Result<Tiles> {
    let wanted: BTreeSet<Tile> = nodes.iter().map(|node| Tile::of(*node)).collect();
    let (full, partial): (Vec<Tile>, Vec<Tile>) = wanted.into_iter().partition(|tile| tile.width(tree.size) == TILE_WIDTH);
    let mut tiles = Tiles::default();
    if !full.is_empty() {
        let levels: Vec<i16> = full.iter().map(|tile| i16::from(tile.level)).collect();
        let indexes = full.iter().map(|tile| signed(tile.index)).collect::<Result<Vec<_>>>()?;
        let rows = sqlx::query!(
            "SELECT t.level, t.index, t.hashes FROM unnest($3::smallint[], $4::bigint[]) w (level, index)
             JOIN log_tile t ON t.customer_id = $1 AND t.epoch = $2 AND t.level = w.level AND t.index = w.index",
            tree.log.0,
            i32::try_from(tree.epoch).map_err(Error::internal)?,
            &levels,
            &indexes
        )
        .fetch_all(&mut *conn)
        .await?;
        if rows.len() != full.len() {
            return Err(Error::internal("a full tile is missing"));
        }
        for row in rows {
            let (level, index) = (u8::try_from(row.level).map_err(Error::internal)?, u64::try_from(row.index).map_err(Error::internal)?);
            tiles.insert(Tile { level, index }, digests(&row.hashes)?);
        }
    }
    for tile in partial {
        let hashes = below(conn, tree, tile, tile.width(tree.size)).await?;
        tiles.insert(tile, hashes);
    }
    Ok(tiles)
}

/// The inclusion proof of an entry in the tree.
///
/// # Errors
/// [`Error::NotFound`] when the tree has no such entry.
pub async fn inclusion_proof(conn: &mut PgConnection, tree: Tree, index: u64) -> Result<Vec<Digest>> {
    if index >= tree.size {
        return Err(Error::NotFound);
    }
    let tiles = tiles_of(conn, tree, &inclusion_nodes(index, tree.size)).await?;
    inclusion(index, tree.size, |node| tiles.node(node)).ok_or_else(|| Error::internal("an inclusion proof lacks a subtree"))
}

/// The consistency proof between two sizes of a log that is at least as large as the tree.
///
/// # Errors
/// [`Error::NotFound`] when `old` is larger than `new`, or `new` than the tree.
pub async fn consistency_proof(conn: &mut PgConnection, tree: Tree, old: u64, new: u64) -> Result<Vec<Digest>> {
    if old > new || new > tree.size {
        return Err(Error::NotFound);
    }
    let tiles = tiles_of(conn, tree, &consistency_nodes(old, new)).await?;
    consistency(old, new, |node| tiles.node(node)).ok_or_else(|| Error::internal("a consistency proof lacks a subtree"))
}
