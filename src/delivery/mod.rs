//! Delivery: what is sent, in the transaction of the act it tells of, and the worker that sends it
//! afterwards. No network call is made while a transaction is open, and no message is dropped. What
//! a proven delivery sets in motion is told by the program (`Effects`), so that delivery knows no
//! other feature.

mod message;
mod schedule;
mod transport;
mod worker;

pub use message::{DAILY_CHECKPOINT, NewMessage, enqueue, enqueue_without_act};
pub use transport::FileTransport;
pub use worker::{Delivered, Effect, Effects, deliver_due, run};
