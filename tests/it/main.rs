//! Behaviour, through HTTP, on a real Postgres as the runtime roles: one file per behaviour.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::let_underscore_must_use,
    clippy::print_stdout,
    reason = "a test fails by panicking, reads its own settings, and cleans up as it can"
)]

mod accounts;
mod accounts_recovery;
mod bad_input;
mod conventions;
mod gate_reasons;
mod gate_redemption;
mod histories;
mod identity;
mod logins;
mod routes;
mod support;
mod tenancy;
