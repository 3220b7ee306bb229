//! The kernel's clock, in software over any free-running counter.
//!
//! Decides what time a reading of the counter is, from a frequency, steps and a single-shot slew.
//! It never reads the counter (each call is given its [`Instant`](crate::units::Instant)) and does
//! not judge what the clock should be told: that is the discipline's.
//!
//! Source: `adjtimex(2)` and `adjtime(3)` of Linux, `ntp_adjtime(2)` of FreeBSD. The rest of that
//! interface (PLL and FLL, tick, leap seconds, TAI, PPS) grows here.

mod clock;
mod error;
mod field;
mod integrator;
mod leap;
mod modes;
mod ntp;
mod parse;
mod pll;
mod pps;
mod report;
mod request;
mod scale;
mod slew;
mod state;
mod status;

pub use clock::{MAX_FREQUENCY, SoftwareClock};
pub use error::{Error, Value};
pub use field::{Field, UnknownField};
pub use modes::Modes;
pub use parse::ParseError;
pub use report::{NtpTime, Pps, Reply, Timex};
pub use request::{Constant, Request, Resolution, Settings};
pub use state::ClockState;
pub use status::Status;
