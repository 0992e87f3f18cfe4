//! The gate: no mandate, no data. A platform asks before personal data leaves; the answer is decided
//! from the customer's written instructions (GDPR Art. 28(3)(a)), recorded whatever it is, and
//! carried by a permit that serves once. Promises P1, P2, P3, P7 and P10.

mod advice;
mod api;
mod candidate;
mod chunk;
mod closing;
mod decide;
#[cfg(test)]
mod decide_tests;
mod gate;
mod keys;
mod permit;
mod replay;
mod restriction;
mod store;
mod touch;
mod verify;

pub use advice::advice;
pub use api::{WORK, routes};
pub use chunk::{Chunk, decide_chunk, stops};
pub use closing::{Completion, SILENT_HOURS, may_abort, may_complete, may_sweep, reconcile, reconcile_late, silent_since};
pub use decide::*;
pub use gate::{run_sweep, sweep};
pub use keys::*;
pub use permit::{PERMIT_TYPE, PermitClaims, selectors_hash};
pub use replay::{Difference, FirstAnswer, Replayed, decision_of, differs, replay};
pub use store::{Selection, facts};
pub use verify::{PERMIT_SECONDS, PermitFault, PermitKeySet, SignedPermit, verify_permit};
