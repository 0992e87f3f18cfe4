//! Agreements (data processing agreements, GDPR Art. 28(3)): prepared and offered by ops, in force
//! when a person of the customer with `agreement` authority accepts the document's hash. At most
//! one is in force per customer and platform; when none is, only wind-down is possible (P10).
//! Deadlines are not computed here.

mod api;
mod decide;
mod model;
mod parameters;
mod store;

pub use api::routes;
pub use decide::in_force_window;
pub use model::{Agreement, AgreementState, NewAgreement, WindDown};
pub use parameters::{AgreementTime, AtEnd, AtEndChoice, Authorisation, Objection, ObjectionStart, Parameters, Period, PeriodUnit, Roll};
pub use store::{accept, offer, prepare, terminate};
