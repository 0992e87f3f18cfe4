//! Packs: a customer's evidence as one file that is verified without the service, its network or
//! its database. The verifier decides every decision again, so this feature stands above the gate;
//! nothing of the service knows it back.

mod format;
mod make;
mod verifier;
mod write;

pub use format::*;
pub use make::{WORK, routes};
pub use verifier::{Check, Finding, Options, Place, Report, Summary, Supply, Verdict, customer_of, supply, verify};
pub use write::{PackEntry, PackWriter};
