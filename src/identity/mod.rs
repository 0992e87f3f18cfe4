//! Who acts: persons and memberships, authority to instruct, sessions, API keys, ops persons, and
//! the path of a customer's first signatory.

mod caller;
mod model;
mod store;

pub use caller::{Caller, InstitutionCaller, InstitutionCredential, OpsCaller, OpsCredential, PlatformCaller};
pub use model::{Authority, AuthorityKind, Needs};
pub use store::{STEP_UP_MILLIS, Signatory, anyone_with_authority, held, signatory};

use crate::app::App;
use crate::base::{Error, Result};
use crate::http::{ClientAddress, Surface};

/// Finds out whose token this is.
///
/// # Errors
/// [`Error::Unauthenticated`].
pub async fn authenticate(_app: &App, _token: &str, _surface: Surface, _client: ClientAddress) -> Result<Caller> {
    Err(Error::Unauthenticated)
}
