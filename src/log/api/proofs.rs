//! Signed checkpoints, consistency proofs, and signed receipts in exchange for those of the gate:
//! everything by which a reader holds the log to what it said before.

use axum::extract::State;

use crate::app::App;
use crate::base::{Digest, Error, Result};
use crate::db::{LogId, ReadTx, Role};
use crate::evidence::{
    LogProof, Note, Receipt, Tree, consistency_proof, inclusion_proof, log_by_id, origin, place, size_of_epoch, size_with_supplied,
    supplied_consistency, supplied_inclusion, supplied_place,
};
use crate::http::{Json, Query};
use crate::identity::InstitutionCaller;

/// A tree and its signed checkpoint.
pub(super) struct SignedTree {
    pub tree: Tree,
    pub origin: String,
    pub root: Digest,
    pub note: Note,
}

impl SignedTree {
    /// The text of a proof in this tree.
    pub(super) fn proof(&self, index: u64, path: Vec<Digest>) -> String {
        LogProof { index, path, checkpoint: self.note.clone() }.to_string()
    }
}

/// An epoch of a log as it is committed, signed. The root is the one that its last entry holds.
pub(super) async fn tree_of(app: &App, read: &mut ReadTx, log: LogId, epoch: u32) -> Result<SignedTree> {
    let view = log_by_id(read.conn(), log).await?;
    let size = size_of_epoch(read.conn(), log, epoch).await?;
    let last = size.checked_sub(1).ok_or(Error::NotFound)?;
    let (_, root) = place(read.conn(), log, epoch, last).await?;
    if view.epoch == epoch && view.size == size && view.root != root {
        tracing::error!(origin = view.origin, size, "ALARM: the head of a log is not the root of its entries");
        metrics::counter!("log_contradictions_total").increment(1);
        return Err(Error::internal("the head of a log is not the root of its entries"));
    }
    let origin = origin(view.name(), epoch);
    let note = signed(app, read, &origin, size, root).await?;
    Ok(SignedTree { tree: Tree { log, epoch, size }, origin, root, note })
}

async fn signed(app: &App, read: &mut ReadTx, origin: &str, size: u64, root: Digest) -> Result<Note> {
    let keys = super::super::store::log_keys(read.conn()).await?;
    let key = super::super::decide::active(&keys).and_then(|key| app.notary.key(&key.kid));
    let key = key.ok_or(Error::Unavailable { retry_after: 5, cause: "the key of the logs is not here" })?;
    let checkpoint = crate::evidence::Checkpoint { origin: origin.to_owned(), size, root };
    checkpoint.sign(&key).ok_or_else(|| Error::internal("a checkpoint that cannot be signed"))
}

/// Leaf hash and root of an entry, of the log or of those that were supplied after a restore.
async fn placed(read: &mut ReadTx, log: LogId, epoch: u32, index: u64) -> Result<(Digest, Digest)> {
    match place(read.conn(), log, epoch, index).await {
        Err(Error::NotFound) => supplied_place(read.conn(), log, epoch, index).await,
        placed => placed,
    }
}

/// How many entries of an epoch are in the log, whatever else was supplied.
async fn here(read: &mut ReadTx, log: LogId, epoch: u32) -> Result<u64> {
    match size_of_epoch(read.conn(), log, epoch).await {
        Err(Error::NotFound) => Ok(0),
        size => size,
    }
}

/// A signed checkpoint of a log.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct CheckpointView {
    /// Name of the log and epoch.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree of that size (RFC 6962).
    pub root: Digest,
    /// The same as a signed note (C2SP `tlog-checkpoint`): keep it.
    pub note: String,
}

/// Shows the signed checkpoint of the customer's log.
#[utoipa::path(get, path = "/api/v1/evidence/checkpoint", responses((status = 200, body = CheckpointView, description = "The checkpoint.")))]
pub(super) async fn get_checkpoint(State(app): State<App>, caller: InstitutionCaller) -> Result<Json<CheckpointView>> {
    let mut read = app.db.read(Role::App, "get_checkpoint", caller.log()).await?;
    let epoch = log_by_id(read.conn(), caller.log()).await?.epoch;
    let SignedTree { tree, origin, root, note } = tree_of(&app, &mut read, caller.log(), epoch).await?;
    Ok(Json(CheckpointView { origin, size: tree.size, root, note: note.to_string() }))
}

/// That a log at one size is the beginning of the same log at a later one.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct ConsistencyProofView {
    /// Name of the log and epoch.
    pub origin: String,
    /// The earlier size.
    pub from_size: u64,
    /// The root at that size.
    pub from_root: Digest,
    /// The later size.
    pub to_size: u64,
    /// The root at that size.
    pub to_root: Digest,
    /// The consistency proof (RFC 6962 section 2.1.2).
    pub path: Vec<Digest>,
}

/// Shows the proof that the customer's log at one size is the beginning of it at a later one.
#[utoipa::path(get, path = "/api/v1/evidence/consistency-proof",
    params(("from_size" = u64, Query, description = "The earlier size, such as that of a checkpoint that was kept; at least 1."),
        ("to_size" = Option<u64>, Query, description = "The later size; without it the present one."),
        ("epoch" = Option<u32>, Query, description = "The epoch; without it the present one.")),
    responses((status = 200, body = ConsistencyProofView, description = "Both roots and the proof."),
        (status = 404, description = "The log has no such sizes.")))]
pub(super) async fn get_consistency_proof(
    State(app): State<App>,
    caller: InstitutionCaller,
    mut query: Query,
) -> Result<Json<ConsistencyProofView>> {
    let (from, to, epoch) = (query.required("from_size"), query.optional("to_size"), query.optional("epoch"));
    query.finish()?;
    let from_size: u64 = from.unwrap_or_default();
    let mut read = app.db.read(Role::App, "get_consistency_proof", caller.log()).await?;
    let view = log_by_id(read.conn(), caller.log()).await?;
    let epoch = epoch.unwrap_or(view.epoch);
    let size = here(&mut read, caller.log(), epoch).await?;
    let to_size = match to {
        Some(size) => size,
        None => size_with_supplied(read.conn(), caller.log(), epoch).await?.unwrap_or(size),
    };
    if to_size == 0 {
        return Err(Error::NotFound);
    }
    let tree = Tree { log: caller.log(), epoch, size };
    let path = if to_size > size {
        supplied_consistency(read.conn(), caller.log(), epoch, from_size, to_size).await?
    } else {
        consistency_proof(read.conn(), tree, from_size, to_size).await?
    };
    let (_, from_root) = placed(&mut read, caller.log(), epoch, from_size.checked_sub(1).ok_or(Error::NotFound)?).await?;
    let (_, to_root) = placed(&mut read, caller.log(), epoch, to_size - 1).await?;
    Ok(Json(ConsistencyProofView { origin: origin(view.name(), epoch), from_size, from_root, to_size, to_root, path }))
}

/// Exchanges an unsigned receipt for a signed one: the receipts of the gate are unsigned.
///
/// The receipt must be of the customer's log, and say what the log says. One that does not fit is a
/// conflict: keep it, and show it to somebody who can find out which of the two is wrong.
#[utoipa::path(get, path = "/api/v1/evidence/receipt",
    params(("origin" = String, Query, description = "As in the receipt."), ("index" = u64, Query, description = "As in the receipt."),
        ("leaf_hash" = Digest, Query, description = "As in the receipt."), ("size" = u64, Query, description = "As in the receipt."),
        ("root" = Digest, Query, description = "As in the receipt.")),
    responses((status = 200, body = Receipt, description = "The same receipt, with its proof."),
        (status = 404, description = "The log has no such entry, or is not the customer's."),
        (status = 409, description = "The log says something else.")))]
pub(super) async fn get_receipt(State(app): State<App>, caller: InstitutionCaller, mut query: Query) -> Result<Json<Receipt>> {
    let given = (query.required::<String>("origin"), query.required("index"), query.required("leaf_hash"));
    let (size, root) = (query.required("size"), query.required("root"));
    query.finish()?;
    let (Some(origin), Some(index), Some(leaf_hash), Some(size), Some(root)) = (given.0, given.1, given.2, size, root) else {
        return Err(Error::internal("a parameter that was read is absent"));
    };
    let mut receipt = Receipt { origin, index, leaf_hash, size, root, proof: None };
    let mut read = app.db.read(Role::App, "get_receipt", caller.log()).await?;
    let view = log_by_id(read.conn(), caller.log()).await?;
    let epoch = receipt.origin.rsplit_once('/').and_then(|(_, epoch)| epoch.parse().ok()).ok_or(Error::NotFound)?;
    if receipt.origin != crate::evidence::origin(view.name(), epoch) || receipt.index.checked_add(1) != Some(receipt.size) {
        return Err(Error::NotFound);
    }
    if placed(&mut read, caller.log(), epoch, receipt.index).await? != (receipt.leaf_hash, receipt.root) {
        return Err(Error::conflict(
            "receipt-contradicted",
            "The log holds another entry at this index. Keep the receipt: one of the two is wrong, and somebody must find out which.",
        ));
    }
    let path = if receipt.size > here(&mut read, caller.log(), epoch).await? {
        supplied_inclusion(read.conn(), caller.log(), epoch, receipt.index, receipt.size).await?
    } else {
        inclusion_proof(read.conn(), Tree { log: caller.log(), epoch, size: receipt.size }, receipt.index).await?
    };
    let checkpoint = signed(&app, &mut read, &receipt.origin, receipt.size, receipt.root).await?;
    receipt.proof = Some(LogProof { index: receipt.index, path, checkpoint }.to_string());
    Ok(Json(receipt))
}
