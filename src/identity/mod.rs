//! Who acts: persons and memberships, authority to instruct, sessions, API keys, ops persons, and
//! the path of a customer's first signatory, and of a lost account. Nobody signs without authority,
//! step-up (password and second factor) and a session of that customer; no ops role signs, accepts
//! or approves for a customer at all, or sees or sets a person's password or factor.

mod account_change;
mod api;
mod authentication;
mod bootstrap;
mod caller;
mod decide;
mod model;
mod notice;
mod password;
mod recovery_code;
mod secrets_key;
mod slowdown;
mod staff;
mod store;
mod token;
mod totp;

pub use api::routes;
pub use authentication::authenticate;
pub use bootstrap::bootstrap_ops;
pub use caller::{Caller, InstitutionCaller, InstitutionCredential, OpsCaller, OpsCredential, PlatformCaller};
pub use decide::membership_acts;
pub use model::{Authority, AuthorityKind, Needs, Secret, covers};
pub use password::{PasswordHasher, PasswordParams};
pub use secrets_key::SecretsKey;
pub use store::{
    Sealing, Signatory, anyone_with_authority, held, last_step_of, ops_stepped_up, reseal_secrets, sealed_secrets, signatory, two_persons,
};
pub use totp::{TotpSecret, step_at};

use crate::delivery::Effects;

/// Purpose of the notice to an agreement's contact about the first signatory.
const NOTICE_PURPOSE: &str = "first_signatory_notice";

/// Purpose of the notice to an agreement's contact about the recovery of an account.
const RECOVERY_PURPOSE: &str = "account_recovery_notice";

/// Purpose of the notice to an ops person about the recovery of the account.
const OPS_RECOVERY_PURPOSE: &str = "ops_recovery_notice";

/// What deliveries of this feature's messages set in motion.
pub const EFFECTS: Effects = &[
    (NOTICE_PURPOSE, api::first_signatory_notified),
    (RECOVERY_PURPOSE, api::recovery_notified),
    (OPS_RECOVERY_PURPOSE, api::ops_recovery_notified),
];
