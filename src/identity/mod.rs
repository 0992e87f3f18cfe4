//! Who acts: persons and memberships, authority to instruct, sessions, API keys, ops persons, and
//! the path of a customer's first signatory. Nobody signs without authority, step-up and a session
//! of that customer; no ops role signs, accepts or approves for a customer at all.

mod api;
mod authentication;
mod bootstrap;
mod caller;
mod decide;
mod model;
mod notice;
mod password;
mod staff;
mod store;
mod token;

pub use api::routes;
pub use authentication::authenticate;
pub use bootstrap::bootstrap_ops;
pub use caller::{Caller, InstitutionCaller, InstitutionCredential, OpsCaller, OpsCredential, PlatformCaller};
pub use model::{Authority, AuthorityKind, Needs, Secret};
pub use password::{PasswordHasher, PasswordParams};
pub use store::{STEP_UP_MILLIS, Signatory, anyone_with_authority, held, ops_stepped_up, signatory, two_persons};

use crate::delivery::Effects;

/// Purpose of the notice to an agreement's contact about the first signatory.
const NOTICE_PURPOSE: &str = "first_signatory_notice";

/// What deliveries of this feature's messages set in motion.
pub const EFFECTS: Effects = &[(NOTICE_PURPOSE, api::first_signatory_notified)];
