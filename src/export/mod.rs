//! The gate: no mandate, no data. A platform asks before personal data leaves; the answer is decided
//! from the customer's written instructions (GDPR Art. 28(3)(a)), recorded whatever it is, and
//! carried by a permit that serves once. Promises P1, P2, P3, P7 and P10.

mod advice;
mod api;
mod candidate;
mod decide;
#[cfg(test)]
mod decide_tests;
mod gate;
mod permit;
mod replay;
mod restriction;
mod store;

pub use advice::advice;
pub use api::{WORKS, routes};
pub use decide::*;
pub use permit::{PERMIT_TYPE, PermitClaims, PermitSigner, selectors_hash};
pub use replay::{Difference, replay};
pub use store::{Selection, facts, publish_key};
