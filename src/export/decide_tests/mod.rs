//! Tests of the gate's decision without a database: tables of every reason and rule, and properties
//! over small random worlds. Each property names the break of the rule with which it was seen to fail.

mod cases;
mod permits;
mod properties;
mod restrictions;
mod table;
mod volume;
mod world;
