//! truechimer on a network appliance: the core bound to smoltcp, a hardware counter and a
//! real-time clock. `no_std`, without allocation or `unsafe`; boards bring the drivers.
//!
//! ```text
//!   frames ──► net::Stack ──► core::run::Node ──► events
//!  (smoltcp's   sockets,          Engine             │ App::poll
//!   Device)     stamps              │ step, adjust   ▼
//!                                   ▼             the log (defmt)
//!   counter ──► counter ──► clock::SystemClock ◄──► rtc (hal::Rtc)
//! (embedded-    unfolds         timex            at boot, and set
//!  time Clock)  its wraps         │              while synced
//!                                 ▼
//!                       now() from anywhere
//! ```
//!
//! A main loop loads what was stored ([`store`]), starts the clock from that and the real-time clock
//! ([`rtc::start`]), makes a [`net::Stack`], an engine ([`rtc::Start::engine`])
//! and an [`App`] that borrows both, adds peers, and then calls [`App::poll`] until it would block, sleeping
//! until [`App::poll_at`] or the device's interrupt. `boards/common` has such a loop.
//! What a board brings: a device ([`net::Driver`]), a counter (`embedded_time::Clock`), a
//! real-time clock ([`rtc::SecondCounter`], or `hal::Rtc` itself) and entropy.
//!
//! # What it decides
//!
//! Which servers are asked ([`App::add_peer`], [`App::add_fallback`], those that DHCP names), which
//! port a query leaves from and when it left, when a datagram came, how often the counter
//! has wrapped, what a reading of the real-time clock is worth at boot and when it is set, and
//! when the loop has to come back.
//!
//! # What it never does
//!
//! It judges neither packets nor time (that is the core's), waits or blocks, reads a register, or
//! panics on what comes from the network.
//!
//! # Dependencies
//!
//! - `smoltcp`: Ethernet or plain IP, ARP and neighbour discovery, UDP, DHCP, DNS, addresses by
//!   router advertisements.
//! - `embedded-time`: its `Clock` is what the free-running counter is behind.
//! - `crc`, `embedded-storage`: the record's check sum, and the flash memory that it is in.
//! - `rtcc`: drivers of real-time clocks on the market.
//! - `critical-section`: the clock can be read from an interrupt.
//! - `nb`: "not yet" without blocking.
//! - `heapless`: events that wait to be taken.
//! - `chacha20`: unpredictable ports for queries.
//! - `defmt` (optional): events on the log.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod app;
pub mod clock;
mod counter;
#[cfg(feature = "defmt")]
mod log;
pub mod net;
pub mod rtc;
mod servers;
pub mod store;

pub use app::{App, Error};

/// The engine of an [`App`]: without what only a daemon's operator asks for. Of its configuration
/// `orphan_stratum`, `constrained`, `discipline`, `leap` (leap seconds are the clock's) and a peer's
/// `pool` have no effect.
pub type Engine<const PEERS: usize, const KINDS: usize = { truechimer_core::ALL_KINDS }> =
    truechimer_core::Engine<PEERS, KINDS, false>;
