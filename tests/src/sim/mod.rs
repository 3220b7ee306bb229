//! A world in which days pass in seconds: the real engine with the real software clock on a host
//! whose oscillator, network and servers err as they are told to.
//!
//! - [`World`]: what there is, from TOML or built in Rust; [`World::run`] makes a [`Report`] of it.
//! - [`oscillator`], [`link`], [`server`]: what it consists of, and how that errs.
//! - [`simulation`]: the events in their order; [`host`]: the engine's surroundings.
//! - [`limits`]: what must come of a world; [`csv`] and [`plot`]: what came, to look at.
//!
//! Nothing depends on when or where it runs: a world and a seed make the same bits everywhere.
//! Unlike in the core, times are doubles of seconds here, and rates plain ratios, but for
//! the events' own times, which are whole nanoseconds.

pub mod csv;
pub mod host;
pub mod limits;
pub mod link;
mod number;
pub mod oscillator;
pub mod plot;
pub mod random;
pub mod report;
pub mod server;
pub mod simulation;
pub mod world;

use truechimer_core::units::WallTime;

pub use limits::Limits;
pub use link::{Congestion, Link, Queueing, Reordering, Route};
pub use oscillator::{Oscillator, Temperature};
pub use random::{Random, Stream};
pub use report::{Reading, Report};
pub use server::{Fault, Misdeed, Server};
pub use world::{Event, Happening, Network, Sleep, World};

/// True time, in nanoseconds since the beginning of the world.
pub type Time = i64;

/// The date of that: 2030-03-17.
pub const EPOCH: WallTime = WallTime::from_unix(1_900_000_000, 0);

/// Nanoseconds in a second.
const NANOS: i64 = 1_000_000_000;

/// A time in seconds.
fn seconds(time: Time) -> f64 {
    time as f64 / NANOS as f64
}

/// Seconds as a time, rounded to the nanosecond.
fn nanos(secs: f64) -> Time {
    libm::round(secs * NANOS as f64) as Time
}

#[cfg(test)]
mod tests;
