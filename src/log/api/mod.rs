//! Routes of the logs: for the customer's own persons and auditors, for ops, and the public keys.

mod entries;
mod keys;
mod proofs;
mod tiles;

use crate::http::{Access, CustomerRole, OpsRole, Route, routes as http};

const READERS: Access = Access::institution(CustomerRole::ALL);

/// All routes of this feature.
#[must_use]
pub fn routes() -> Vec<Route> {
    vec![
        Route::new(READERS, http!(entries::get_log)),
        Route::new(READERS, http!(entries::list_entries)),
        Route::new(READERS, http!(entries::get_entry)),
        Route::new(READERS, http!(proofs::get_checkpoint)),
        Route::new(READERS, http!(proofs::get_consistency_proof)),
        Route::new(READERS, http!(proofs::get_receipt)),
        Route::new(READERS, http!(tiles::get_tile)),
        Route::new(Access::admin(OpsRole::ALL), http!(entries::list_logs)),
        Route::new(Access::Public, http!(keys::get_log_keys)),
    ]
}
