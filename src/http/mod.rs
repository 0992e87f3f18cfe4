//! What is HTTP and not a feature: the route table and its router, the guard before every handler,
//! the envelope around every request, problems, bodies, queries, documentation. It protects one
//! rule: a route that is not in the table does not exist, and no route is open by omission. It
//! knows no feature; what it must ask of the program stands in [`Host`].

mod access;
mod body;
mod catalogue;
mod conditional;
mod conventions;
pub mod docs;
mod guard;
mod health;
mod host;
mod idempotency;
mod kind;
mod layers;
mod limits;
mod listing;
mod naming;
mod openapi;
mod parts;
mod places;
mod problem;
mod query;
mod route;
mod seal;
mod serving;
#[cfg(test)]
mod testing;
mod upload;

pub use access::{Access, Credential, CustomerRole, Identified, IdentifiedRole, OpsRole, Principal, Surface, Unconfirmed, caller};
pub use body::{Created, JSON_LIMIT, Json};
pub use catalogue::{PROBLEMS, Problem};
pub use conditional::{ETag, IDEMPOTENCY_KEY, IdempotencyKey, IfMatch};
pub use health::health;
pub use host::{Attempt, ClientAddress, DEADLINE, Host};
pub use kind::Idempotency;
pub use limits::{Limits, Rates};
pub use listing::Columns;
pub use naming::{REQUEST_ID, RequestId};
pub use openapi::openapi;
pub use parts::parts;
pub use places::Places;
pub use problem::ProblemBody;
pub use query::{PathId, Query};
pub use route::{Route, checked, router, router_without_envelope, routes};
pub use serving::{Bounds, serve};
pub use upload::Upload;
