//! Packs and their verifier, without a database: what verifies, and that nothing that was changed
//! does. Longer runs are in `tests/pack/README.md`'s commands.

#![allow(clippy::cast_possible_truncation, reason = "small numbers of a test")]

mod contents;
mod golden;
mod measured;
mod mutation;
mod mutations;
mod refused;
mod verified;
mod world;
