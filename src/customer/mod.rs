//! Customers (institutions, data controllers, tenants), their units, and the stops of all their
//! exports. Any person with authority can stop everything at once; who stopped it decides who may
//! let it go on (P2): a release of the customer's own never lifts one made by ops, nor the reverse.

mod api;
mod attempt;
mod notice;
mod store;
mod view;

pub use api::routes;
pub use attempt::{Attempts, may_attempt, refused};
pub use notice::tell_customer;
pub use store::{Registered, directory};
pub use view::{CustomerView, SuspensionView, UnitView};
