//! The hosted crate.

pub mod config;
