//! After a restore of the database: it is declared, or seen by what was kept outside; every log opens
//! another epoch before anything else is recorded; what was permitted before is void; and a customer
//! whose log lost entries confirms its state before anything leaves, or before that has the
//! missing entries supplied. Otherwise a backup would bring back to life what was withdrawn after it was made.

mod api;
mod decide;
mod narrowing;
mod notice;
mod processor;
mod run;
mod store;
mod supply;

pub use api::routes;
pub use decide::{Database, Held, endings, seen};
pub use narrowing::{Narrowing, Said};
pub use processor::{ApiKey, PermitKey, PlatformStop, ProcessorState, Staff, confirm_processor, end_staff, processor_state};
pub use run::{OpenedEpoch, Taken, opened_epochs, take_in};
pub use supply::{Missing, missing, supply};
