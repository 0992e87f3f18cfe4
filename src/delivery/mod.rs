//! What is sent: a message is a row in the transaction of the act it tells of, with a job envelope
//! for a worker. Sending itself is not done here.

mod store;

pub use store::{NewMessage, enqueue};
