//! The only `unsafe` code of the crate: calls that neither the standard library nor nix wraps.

#![allow(unsafe_code, reason = "this is where it is confined to")]

mod adjtime;
mod signal;

pub use adjtime::{KernelStatus, RateLimits, adjust, read_rate, reset, set_status, step};
pub use signal::{catch_termination, termination_requested};
