//! Words that every feature shares: ids, time, entropy, text, scopes, faults, errors.
//! Pure: nothing here reads a database, a socket, or (outside `clock` and `entropy`) the
//! machine, so that every rule built on it can be tested with tables.

mod clock;
mod decode;
mod digest;
mod entropy;
mod error;
mod id;
mod json;
mod page;
mod scope;
mod text;

pub use clock::{Clock, FixedClock, Instant, SystemClock};
pub use decode::{Decode, Faults, MAX_INTEGER, Object, Pointer, decode_word, schema_of_words};
pub use digest::{Digest, merkle_leaf, merkle_node, sha256};
pub use entropy::{Entropy, SeededEntropy, SystemEntropy, fresh_id, random32, token_text};
pub use error::{Error, Fault, RefusedAnswer, Result};
pub use id::*;
pub use json::{canonical, from_value, parse_strict, to_value};
pub use page::{Order, Page, PageQuery};
pub use scope::*;
pub use text::*;
