//! The only `unsafe` code of the crate: calls that neither the standard library nor nix wraps.

#![allow(unsafe_code, reason = "this is where it is confined to")]

#[cfg_attr(not(target_os = "linux"), path = "single.rs")]
pub mod batch;
#[cfg(target_os = "linux")]
pub mod bpf;
#[cfg(target_os = "linux")]
mod capabilities;
mod descriptors;
pub(crate) mod fault;
#[cfg(target_os = "openbsd")]
pub(crate) mod openbsd;
#[cfg(target_os = "linux")]
pub(crate) mod phc;
mod priority;
mod signal;
pub mod timex;

#[cfg(target_os = "linux")]
pub(crate) use capabilities::drop_capabilities;
pub(crate) use descriptors::receive_with_descriptors;
pub use priority::set_normal_priority;
pub use signal::{
    catch_reload, catch_termination, has_request, ignore_termination, ring_on_signals,
    take_reload_request, termination_requested,
};
