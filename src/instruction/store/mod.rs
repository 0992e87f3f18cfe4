//! All SQL of instructions and recipients. Signed versions, withdrawals, contests and confirmations
//! are only ever added; what signs or confirms demands a [`crate::identity::Signatory`].

mod act;
mod draft;
mod read;
mod recipient;
mod sign;

pub(super) use act::confirm;
pub use act::{contest, revoke};
pub use draft::draft;
pub(super) use draft::{replace, start};
pub(super) use read::{demand_customer, find, list};
pub use recipient::add_recipient;
pub(super) use recipient::{RecipientRow, find as find_recipient, list as list_recipients};
pub use sign::sign;
