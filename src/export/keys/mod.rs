//! The keys of permits: private halves are files, public halves and states are in the database. A
//! key is published before it signs, stays published until its last permit has expired, and can be
//! withdrawn at once; every step is an entry.

mod decide;
mod rotation;
mod signer;
mod store;

pub use decide::{KEY_SET_MAX_AGE, PermitKey};
pub use rotation::{
    activate_permit_key, begin_with_first_key, list_permit_keys, missing_permit_key, publish_permit_key, withdraw_permit_key,
};
pub use signer::{PermitSigner, SigningKey};
pub use store::permit_keys;
