//! The judgement of an NTP system: what a packet is, which peers are right, what the time is and
//! what to do to the clock. `no_std`, without allocation, `unsafe`, a clock of its own or I/O.
//!
//! ```text
//!             bytes, time, replies to commands
//!                        │ Input
//!                        ▼
//!   wire ──► peer (query · validity · trust · poll) ──► estimate ──► select ──► discipline ──► Output::Clock
//!    ▲         one association each                     what the     who is      what to do    Output::Transmit
//!    │                                                  time is      right       about it      Output::Resolve
//!  server ◄── system (stratum, root delay, dispersion, leap) ◄──────────┘                      Output::Event
//! ```
//!
//! # The way of the data
//!
//! An [`Engine`] takes an [`Input`](io::Input) with both clocks' readings ([`units::Now`]) and
//! queues [`Output`](io::Output)s; it says when it wants to be called again. A shell does what the
//! outputs say: the hosted daemon and the firmware do so with [`run::Node`] over the traits of
//! [`hal`].
//!
//! - [`wire`]: packets, as they are in RFC 5905 §7, RFC 7822.
//! - `peer`: one association. What comes back must answer a query of ours before anything else of
//!   it is looked at.
//! - `estimate`: what one source says of the clock, in *free-running time*: the local clock
//!   without what was done to it, so that control never disturbs an estimate. Derived in
//!   `core/ALGORITHM.md`, to which `ALGORITHM §` refers.
//! - `select`: the majority among the sources, and what it says together.
//! - `discipline`: step, slew, frequency, when to do nothing without the operator's word, and the
//!   books of what the clock really did, and of what others did to it.
//! - [`holdover`]: what is known of the time without sources: at boot from what was kept of a former
//!   life and from a real-time clock, later by what is known of the frequency.
//! - [`timex`]: `ntp_adjtime`: its types, and the kernel's clock in software for hosts without one
//!   that can be disciplined.
//! - [`server`], [`system`]: what others are told.
//! - [`event`]: the one table of log messages, the bound of their rate, and the log in memory.
//! - [`config`]: what an operator may choose, and the numbers that are policy.
//!
//! # Rules
//!
//! The sign of an offset is stated in [`units`] and nowhere else. Integers for instants and
//! differences; floating point only within estimates, on centred values, through `libm`. Work per
//! call, outputs per call and memory are bounded by the const generic number of peers. Nothing
//! that comes from the network can panic: parsing is the only way to a packet.
//!
//! # Dependencies
//!
//! - `bitflags`: the modes and status bits of `ntp_adjtime`.
//! - `heapless`: queues and tables of fixed capacity.
//! - `nb`: the hardware traits' way to say "not yet".
//! - `chacha20`: unpredictable query stamps and poll jitter from a seed.
//! - `md-5`: reference ids of IPv6 addresses (RFC 5905 §7.3).
//! - `libm`: the same floating-point results on every target.
//! - `defmt` (optional): events on a firmware's log.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod clock;
pub mod config;
mod discipline;
mod engine;
mod estimate;
pub mod event;
pub mod hal;
pub mod holdover;
pub mod io;
mod maths;
mod peer;
pub mod run;
mod select;
pub mod server;
pub mod system;
pub mod timex;
pub mod units;
pub mod wire;

pub use engine::{Engine, Outputs, PeerSnapshot, Snapshot, TooManyPeers};
pub use estimate::{ALL_KINDS, Estimate, Estimator, Verdict};
pub use peer::{Counters, Exchange, PeerId, Query, Reject, Remote, authentic, usable};
pub use select::Standing;
