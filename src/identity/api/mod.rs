//! Routes of who acts, on both surfaces.

mod email;
mod first_signatory;
mod invitation;
mod key;
mod login;
mod me;
mod ops_people;
mod ops_recovery;
mod own_recovery;
mod password;
mod people;
mod proof;
mod recovery;
mod recovery_codes;
mod second_factor;
mod session;
mod view;

pub(super) use first_signatory::first_signatory_notified;
pub(super) use ops_recovery::ops_recovery_notified;
pub(super) use recovery::recovery_notified;

use crate::http::{Access, CustomerRole, OpsRole, Route, routes as http};

const ADMINS: &[CustomerRole] = &[CustomerRole::CustomerAdmin];
const READERS: Access = Access::institution(CustomerRole::ALL);
const PERSONS: Access = Access::institution_session(CustomerRole::ALL);
const ACTING: Access = Access::institution_session(ADMINS);
const OPS_READERS: Access = Access::admin(OpsRole::ALL);
const OPS_PERSONS: Access = Access::admin_session(OpsRole::ALL);
const OPS_ADMIN: Access = Access::admin_session(&[OpsRole::OpsAdmin]);
const STOPPING_KEYS: Access = Access::admin_session(&[OpsRole::OpsAdmin, OpsRole::OpsSecurity]);
const APPROVING_KEYS: Access = STOPPING_KEYS;
const APPROVING_STAFF: Access = STOPPING_KEYS;
const NAMING: Access = Access::admin_session(&[OpsRole::OpsAdmin, OpsRole::OpsPrivacy]);
const WITHDRAWING: Access = Access::admin_session(&[OpsRole::OpsAdmin, OpsRole::OpsPrivacy, OpsRole::OpsSecurity]);

/// All routes of this feature.
#[must_use]
pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Access::Public, http!(login::log_in)),
        Route::new(PERSONS, http!(session::list_sessions)).while_unconfirmed().before_enrolment(),
        Route::new(PERSONS, http!(session::revoke_session)).while_unconfirmed().before_enrolment(),
        Route::new(PERSONS, http!(session::step_up)).while_unconfirmed(),
        Route::new(Access::Public, http!(login::log_in_ops)),
        Route::new(OPS_PERSONS, http!(session::list_ops_sessions)).while_unconfirmed().before_enrolment(),
        Route::new(OPS_PERSONS, http!(session::revoke_ops_session)).while_unconfirmed().before_enrolment(),
        Route::new(OPS_PERSONS, http!(session::step_up_ops)).while_unconfirmed(),
        Route::new(PERSONS, http!(second_factor::begin_second_factor)).while_unconfirmed().before_enrolment(),
        Route::new(PERSONS, http!(second_factor::confirm_second_factor)).while_unconfirmed().before_enrolment(),
        Route::new(OPS_PERSONS, http!(second_factor::begin_ops_second_factor)).while_unconfirmed().before_enrolment(),
        Route::new(OPS_PERSONS, http!(second_factor::confirm_ops_second_factor)).while_unconfirmed().before_enrolment(),
        Route::new(PERSONS, http!(password::change_password)).while_unconfirmed(),
        Route::new(OPS_PERSONS, http!(password::change_ops_password)).while_unconfirmed(),
        Route::new(PERSONS, http!(email::begin_email_change)),
        Route::new(PERSONS, http!(email::confirm_email)),
        Route::new(OPS_PERSONS, http!(email::begin_ops_email_change)),
        Route::new(OPS_PERSONS, http!(email::confirm_ops_email)),
        Route::new(PERSONS, http!(recovery_codes::renew_recovery_codes)).while_unconfirmed(),
        Route::new(OPS_PERSONS, http!(recovery_codes::renew_ops_recovery_codes)).while_unconfirmed(),
        Route::new(READERS, http!(me::get_me)).while_unconfirmed().before_enrolment(),
        Route::new(OPS_READERS, http!(me::get_ops_me)).before_enrolment(),
        Route::new(Access::Public, http!(invitation::accept_invitation)),
        Route::new(Access::Public, http!(invitation::accept_ops_invitation)),
        Route::new(ACTING, http!(key::create_api_key)),
        Route::new(READERS, http!(key::list_api_keys)),
        Route::new(READERS, http!(key::get_api_key)),
        Route::new(ACTING, http!(key::revoke_api_key)),
        Route::new(OPS_ADMIN, http!(key::create_platform_key)),
        Route::new(APPROVING_KEYS, http!(key::approve_platform_key)),
        Route::new(OPS_READERS, http!(key::list_platform_keys)),
        Route::new(STOPPING_KEYS, http!(key::revoke_platform_key)).while_unconfirmed(),
        Route::new(OPS_ADMIN, http!(key::create_ops_key)),
        Route::new(OPS_READERS, http!(key::list_ops_keys)),
        Route::new(STOPPING_KEYS, http!(key::revoke_ops_key)).while_unconfirmed(),
        Route::new(READERS, http!(people::list_people)),
        Route::new(READERS, http!(people::get_member)),
        Route::new(ACTING, http!(people::invite_person)),
        Route::new(ACTING, http!(people::end_membership)),
        Route::new(ACTING, http!(people::grant_authority)),
        Route::new(ACTING, http!(people::end_authority)),
        Route::new(ACTING, http!(people::confirm_authority)),
        Route::new(OPS_READERS, http!(ops_people::list_ops_people)),
        Route::new(OPS_ADMIN, http!(ops_people::add_ops_person)),
        Route::new(APPROVING_STAFF, http!(ops_people::approve_ops_person)),
        Route::new(OPS_ADMIN, http!(ops_people::end_ops_person)),
        Route::new(NAMING, http!(first_signatory::propose_first_signatory)),
        Route::new(NAMING, http!(first_signatory::approve_first_signatory)),
        Route::new(WITHDRAWING, http!(first_signatory::withdraw_first_signatory)).while_unconfirmed(),
        Route::new(OPS_READERS, http!(first_signatory::list_first_signatories)),
        Route::new(OPS_READERS, http!(first_signatory::get_first_signatory)),
        Route::new(NAMING, http!(recovery::propose_account_recovery)),
        Route::new(NAMING, http!(recovery::approve_account_recovery)),
        Route::new(WITHDRAWING, http!(recovery::withdraw_account_recovery)).while_unconfirmed(),
        Route::new(OPS_READERS, http!(recovery::list_account_recoveries)),
        Route::new(OPS_READERS, http!(recovery::get_account_recovery)),
        Route::new(Access::Public, http!(recovery::accept_account_recovery)),
        Route::new(READERS, http!(own_recovery::list_own_account_recoveries)).while_unconfirmed(),
        Route::new(READERS, http!(own_recovery::get_own_account_recovery)).while_unconfirmed(),
        Route::new(PERSONS, http!(own_recovery::stop_account_recovery)).while_unconfirmed(),
        Route::new(WITHDRAWING, http!(ops_recovery::propose_ops_recovery)),
        Route::new(APPROVING_STAFF, http!(ops_recovery::approve_ops_recovery)),
        Route::new(WITHDRAWING, http!(ops_recovery::withdraw_ops_recovery)).while_unconfirmed(),
        Route::new(OPS_READERS, http!(ops_recovery::list_ops_recoveries)),
        Route::new(OPS_READERS, http!(ops_recovery::get_ops_recovery)),
        Route::new(Access::Public, http!(ops_recovery::accept_ops_recovery)),
    ]
}
