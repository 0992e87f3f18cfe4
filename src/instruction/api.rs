//! Handlers of instructions and recipients. Ops reads, prepares drafts and contests; signing,
//! withdrawing and confirming are the customer's alone.

mod draft;
mod read;
mod recipient;
mod sign;
mod stop;
mod view;

use crate::http::{Access, CustomerRole, OpsRole, Route, routes};

const READING: &[CustomerRole] = CustomerRole::ALL;
const WRITING: &[CustomerRole] = &[CustomerRole::CustomerAdmin];
const OPS_READING: &[OpsRole] = OpsRole::ALL;
const OPS_PREPARING: &[OpsRole] = &[OpsRole::OpsAdmin, OpsRole::OpsPrivacy];
const OPS_CONTESTING: &[OpsRole] = &[OpsRole::OpsPrivacy];

/// The routes of this feature.
#[must_use]
pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Access::institution(READING), routes!(read::list_instructions)),
        Route::new(Access::institution(READING), routes!(read::show_instruction)),
        Route::new(Access::institution(READING), routes!(read::show_instruction_history)),
        Route::new(Access::institution_session(WRITING), routes!(draft::draft_instruction)),
        Route::new(Access::institution_session(WRITING), routes!(draft::replace_instruction_draft)),
        Route::new(Access::institution_session(WRITING), routes!(draft::start_instruction_version)),
        Route::new(Access::institution_session(WRITING), routes!(sign::sign_instruction)),
        Route::new(Access::institution_session(WRITING), routes!(sign::confirm_instruction)),
        Route::new(Access::institution_session(WRITING), routes!(stop::revoke_instruction)),
        Route::new(Access::admin(OPS_READING), routes!(read::list_customer_instructions)),
        Route::new(Access::admin(OPS_READING), routes!(read::show_customer_instruction)),
        Route::new(Access::admin_session(OPS_PREPARING), routes!(draft::prepare_instruction_draft)),
        Route::new(Access::admin_session(OPS_CONTESTING), routes!(stop::contest_instruction)).while_unconfirmed(),
        Route::new(Access::institution(READING), routes!(recipient::list_recipients)),
        Route::new(Access::institution(READING), routes!(recipient::show_recipient)),
        Route::new(Access::institution(WRITING), routes!(recipient::create_recipient)),
    ]
}
