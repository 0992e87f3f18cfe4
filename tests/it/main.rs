//! Behaviour, through HTTP, on a real Postgres as the runtime roles: one file per behaviour.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::let_underscore_must_use,
    clippy::print_stdout,
    reason = "a test fails by panicking, reads its own settings, and cleans up as it can"
)]

mod bad_input;
mod conventions;
mod conventions_walk;
mod foreign_ids;
mod gate_reasons;
mod gate_redemption;
mod histories;
mod idempotency;
mod idempotency_storm;
mod identity;
mod operations;
mod routes;
mod support;
mod tenancy;
