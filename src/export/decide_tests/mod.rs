//! Tests of the gate's decision without a database: tables of every reason and rule, and properties
//! over small random worlds. Each property names the break of the rule with which it was seen to fail.
#![allow(clippy::cast_possible_truncation, clippy::type_complexity, reason = "small numbers and small tables of a test")]

mod cases;
mod chunks;
mod closing;
mod permits;
mod properties;
mod restrictions;
mod table;
mod volume;
mod world;
