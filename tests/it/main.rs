//! Behaviour, through HTTP, on a real Postgres as the runtime roles: one file per behaviour.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod bad_input;
mod gate_reasons;
mod gate_redemption;
mod histories;
mod routes;
mod support;
