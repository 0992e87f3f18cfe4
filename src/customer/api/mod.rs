//! Routes of customers, units and suspensions.

mod ops;
mod own;
mod release;

use crate::http::{Access, CustomerRole, OpsRole, Route, routes as http};

const READERS: Access = Access::institution(CustomerRole::ALL);
const OPS_READERS: Access = Access::admin(OpsRole::ALL);
const MEMBERS: &[CustomerRole] = &[CustomerRole::CustomerAdmin];
const REGISTERING: &[OpsRole] = &[OpsRole::OpsAdmin];
const SECURITY: &[OpsRole] = &[OpsRole::OpsSecurity];
const RELEASING: &[OpsRole] = &[OpsRole::OpsSecurity, OpsRole::OpsAdmin, OpsRole::OpsPrivacy];

/// All routes of this feature.
#[must_use]
pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Access::admin_session(REGISTERING), http!(ops::register_customer)),
        Route::new(OPS_READERS, http!(ops::list_customers)),
        Route::new(OPS_READERS, http!(ops::get_customer)),
        Route::new(Access::admin_session(REGISTERING), http!(ops::add_customer_units)),
        Route::new(OPS_READERS, http!(ops::list_customer_units)),
        Route::new(Access::admin_session(SECURITY), http!(ops::suspend_customer)).while_unconfirmed(),
        Route::new(OPS_READERS, http!(ops::list_customer_suspensions)),
        Route::new(Access::admin_session(RELEASING), http!(release::release_customer)),
        Route::new(READERS, http!(own::list_units)),
        Route::new(Access::institution_session(MEMBERS), http!(own::suspend_exports)),
        Route::new(READERS, http!(own::list_suspensions)),
        Route::new(READERS, http!(own::get_suspension)),
        Route::new(Access::institution_session(MEMBERS), http!(release::release_suspension)),
    ]
}
