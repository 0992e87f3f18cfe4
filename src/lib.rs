//! Mandate: no mandate, no data.

pub mod app;
pub mod base;
pub mod cli;
pub mod config;
pub mod db;
pub mod demo;
pub mod evidence;
pub mod export;
pub mod http;
pub mod identity;
