//! Packs and their verifier, without a database: what verifies, and that nothing that was changed
//! does. The files say how longer runs are begun.

#![allow(clippy::cast_possible_truncation, reason = "small numbers of a test")]

mod contents;
mod golden;
mod measured;
mod mutation;
mod mutations;
mod refused;
mod verified;
mod world;
