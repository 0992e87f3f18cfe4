//! The world a newcomer starts with: an invented set of customers, agreements and persons, loaded
//! through the routes themselves with a clock of its own, in the order of its dates. No second way
//! to sign or accept exists for it.

mod access;
mod call;
mod load;
mod mailbox;
mod start;
mod tour;
mod world;

pub use access::{Access, Login, PlatformKey};
pub use load::load;
pub use start::{Place, start};
pub use tour::tour;
