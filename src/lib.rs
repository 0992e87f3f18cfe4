//! Mandate: no mandate, no data.

pub mod agreement;
pub mod app;
pub mod base;
pub mod customer;
pub mod db;
pub mod delivery;
pub mod document;
pub mod evidence;
pub mod export;
pub mod http;
pub mod identity;
pub mod instruction;
pub mod registry;
