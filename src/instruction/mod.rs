//! Written instructions (GDPR Art. 28(3)(a), promise P2): drafts that change, versions that a person
//! with authority signs and that never change again, and what happened to them. A recipient is
//! named by value; its address book lives here. Whether an instruction covers an export is asked
//! at the gate, not here.

mod api;
mod check;
mod decide;
mod history;
mod model;
mod render;
mod store;
mod term;

pub use api::routes;
pub use history::{Happening, HistoryLine};
pub use model::{Contest, Draft, Instruction, InstructionState, NewInstruction, RecipientChoice, Version, Wording};
pub use store::{add_recipient, contest, draft, revoke, sign};
pub use term::{RESTRICTION_TERM, purpose_term, recipient_term, terms};
