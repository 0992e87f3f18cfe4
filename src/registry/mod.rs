//! Facts that hold for all customers: code lists, EU/EEA membership (promise P7), public holidays,
//! platforms and their suspensions. Written under the registry's lock alone, each with an entry in
//! the registry's log; read fresh, never cached. A purpose that is prohibited stays so (promise P3).

mod api;
mod check;
mod decide;
mod reference;
mod store;

pub use api::{PlatformSuspensionView, PlatformView, SuspensionState, routes};
pub use check::{known_categories, known_countries, known_platform, known_purposes, known_scope};
pub use decide::{Proposal, ReleaseStep, decide_release};
pub use reference::load_reference;
pub use store::{codes, platform_log, register_platform};
