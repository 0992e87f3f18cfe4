//! The logs by their C2SP `tlog-tiles` paths, so that verifiers of others read them: the customer's
//! own log and the registry. A log's prefix ends like its origin: `…/tlog/{log}/{epoch}/`.

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use super::proofs::tree_of;
use crate::app::App;
use crate::base::{Error, Result};
use crate::db::{LogId, ReadTx, Role};
use crate::evidence::{TILE_WIDTH, Tile, TilePath, Tree, bundle, leaves, size_of_epoch, tile_hashes};
use crate::http::PathId;
use crate::identity::InstitutionCaller;

/// What does not change may be kept; what does must be asked for again. Both are the customer's.
const KEPT: &str = "private, max-age=31536000, immutable";
const ASKED: &str = "private, no-cache";

/// Gives a checkpoint, a tile or a bundle of entries of the customer's log or of the registry.
#[utoipa::path(get, path = "/api/v1/evidence/tlog/{log}/{epoch}/{*path}",
    params(("log" = String, Path, description = "The customer's id, or `registry`."),
        ("epoch" = u32, Path, description = "The epoch."),
        ("path" = String, Path, description = "`checkpoint`, `tile/LEVEL/INDEX[.p/WIDTH]` or `tile/entries/INDEX[.p/WIDTH]`, as C2SP `tlog-tiles` has it.")),
    responses((status = 200, description = "The checkpoint as a signed note, or the bytes of the tile or bundle."),
        (status = 404, description = "The log does not reach so far, or is not the customer's.")))]
pub(super) async fn get_tile(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId((log, epoch, path)): PathId<(String, u32, String)>,
) -> Result<Response> {
    let log = match log {
        registry if registry == "registry" => LogId::REGISTRY,
        own if own == caller.customer().to_string() => caller.log(),
        _ => return Err(Error::NotFound),
    };
    let path: TilePath = path.parse().map_err(|_| Error::NotFound)?;
    let mut read = app.db.read(Role::App, "get_tile", log).await?;
    if path == TilePath::Checkpoint {
        let signed = tree_of(&app, &mut read, log, epoch).await?;
        return Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, ASKED)], signed.note.to_string()).into_response());
    }
    let size = size_of_epoch(read.conn(), log, epoch).await?;
    let bytes = bytes(&mut read, Tree { log, epoch, size }, path).await?;
    Ok(([(CONTENT_TYPE, "application/octet-stream"), (CACHE_CONTROL, KEPT)], bytes).into_response())
}

async fn bytes(read: &mut ReadTx, tree: Tree, path: TilePath) -> Result<Vec<u8>> {
    match path {
        TilePath::Checkpoint => Err(Error::NotFound),
        TilePath::Hashes(tile, width) => {
            let hashes = tile_hashes(read.conn(), tree, tile, width).await?.ok_or(Error::NotFound)?;
            Ok(hashes.iter().flat_map(|hash| hash.0).collect())
        }
        TilePath::Entries(index, width) => {
            if (Tile { level: 0, index }).width(tree.size) < width {
                return Err(Error::NotFound);
            }
            let found = leaves(read.conn(), tree.log, tree.epoch, index * TILE_WIDTH, width).await?;
            bundle(found.iter().map(Vec::as_slice)).ok_or_else(|| Error::internal("a leaf is longer than a bundle holds"))
        }
    }
}
