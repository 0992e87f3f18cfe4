//! Packs and their verifier, without a database: what verifies, and that nothing that was changed
//! does. The files say how longer runs are begun.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking, reads its own settings, tells what it measured, and counts small numbers"
)]

mod contents;
mod golden;
mod measured;
mod mutation;
mod mutations;
mod refused;
mod verified;
mod world;
