//! All SQL of who acts.

mod authority;

pub use authority::{STEP_UP_MILLIS, Signatory, anyone_with_authority, held, signatory};
