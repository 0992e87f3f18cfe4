//! The gate's routes: what platforms ask, what customers read of it, and the public key set.

mod answer;
mod ask;
mod chunk;
mod completions;
mod decision_report;
mod exports;
mod keys;
mod read;
mod redemption;
mod report;
mod shadow;

pub use decision_report::WORK;

use crate::http::{Access, CustomerRole, OpsRole, Route, routes as http};

/// All routes of this feature.
#[must_use]
pub fn routes() -> Vec<Route> {
    const READERS: Access = Access::institution(CustomerRole::ALL);
    vec![
        Route::new(Access::Gate, http!(ask::ask_export)),
        Route::new(Access::Gate, http!(redemption::redeem_permit)),
        Route::new(Access::Gate, http!(chunk::authorise_chunk)),
        Route::new(Access::Gate, http!(report::complete_export)),
        Route::new(Access::Gate, http!(report::abort_export)),
        Route::new(Access::Gate, http!(completions::complete_exports)),
        Route::new(READERS, http!(exports::list_exports)),
        Route::new(READERS, http!(exports::get_export)),
        Route::new(READERS, http!(exports::list_chunks)),
        Route::new(READERS, http!(read::list_decisions)),
        Route::new(READERS, http!(read::get_decision)),
        Route::new(READERS, http!(decision_report::create_decision_report)),
        Route::new(Access::admin(OpsRole::ALL), http!(read::list_customer_decisions)),
        Route::new(Access::admin(OpsRole::ALL), http!(shadow::get_shadow_report)),
        Route::new(Access::admin(OpsRole::ALL), http!(shadow::list_shadow_report_customers)),
        Route::new(Access::Public, http!(keys::get_permit_keys)),
    ]
}
