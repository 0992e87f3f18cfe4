//! Handlers of agreements: ops prepares and offers, the customer's person accepts and ends. No ops
//! route accepts or ends one.

mod admin;
mod institution;
mod view;

use crate::http::{Access, CustomerRole, OpsRole, Route, routes};

const READING: &[CustomerRole] = CustomerRole::ALL;
const SIGNING: &[CustomerRole] = &[CustomerRole::CustomerAdmin];
const OPS_READING: &[OpsRole] = OpsRole::ALL;
const OPS_PREPARING: &[OpsRole] = &[OpsRole::OpsAdmin, OpsRole::OpsPrivacy];

/// The routes of this feature.
#[must_use]
pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Access::institution(READING), routes!(institution::list_agreements)),
        Route::new(Access::institution(READING), routes!(institution::show_agreement)),
        Route::new(Access::institution_session(SIGNING), routes!(institution::accept_agreement)),
        Route::new(Access::institution_session(SIGNING), routes!(institution::terminate_agreement)),
        Route::new(Access::admin(OPS_READING), routes!(admin::list_customer_agreements)),
        Route::new(Access::admin(OPS_READING), routes!(admin::show_customer_agreement)),
        Route::new(Access::admin_session(OPS_PREPARING), routes!(admin::prepare_agreement)),
        Route::new(Access::admin_session(OPS_PREPARING), routes!(admin::offer_agreement)),
    ]
}
