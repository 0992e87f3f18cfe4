//! The alarm of a stolen key or account: one platform key, or one reference behind requests, that
//! asks the gate for more customers or records in an hour than is normal. Refusals and dry runs
//! count as well, because a thief probes. Counting is in memory and off the gate's path; an alarm
//! is an entry of the processor's log and a message to every `ops_security` person. It stops
//! nothing by itself and tells no customer: each sees its own decisions, and telling of a breach is
//! a duty of its own that begins with a person's judgement (GDPR Art. 33(2)).

mod activity;
mod api;
mod decide;
mod model;
mod store;
mod watch;

pub use activity::Activity;
pub use api::routes;
pub use model::{Level, Requester, SubjectKind, Touch};
pub use watch::{run, watch_once};
