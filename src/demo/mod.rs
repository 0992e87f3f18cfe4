//! The world a newcomer starts with: an invented set of customers, agreements and persons, loaded
//! through the routes themselves with a clock of its own, in the order of its dates. No second way
//! to sign or accept exists for it.

mod access;
mod call;
mod load;
mod mailbox;
mod persons;
mod tour;
mod welcome;
mod world;

pub use access::{Access, Login, PlatformKey};
pub use load::load;
pub use mailbox::{invitation, mailed, secret_of};
pub use tour::tour;
pub use welcome::{Place, start};
