//! Mandate: no mandate, no data.

pub mod app;
pub mod base;
pub mod db;
pub mod evidence;
pub mod export;
pub mod http;
pub mod identity;
pub mod registry;
