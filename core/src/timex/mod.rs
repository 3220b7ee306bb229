//! The kernel's clock, in software over any free-running counter, and what it shares with the
//! kernel's own: the fields, modes, status bits, states and errors of `ntp_adjtime`.
//!
//! Decides what time a reading of the counter is, from what was asked of [`ntp_adjtime`] before.
//! It does not judge what the clock should be told: that is the discipline's.
//!
//! Source: `adjtimex(2)` and `adjtime(3)` of Linux, `ntp_adjtime(2)` of FreeBSD; where these leave
//! something open, what Linux 6.12 at 250 Hz does, with `CONFIG_NTP_PPS`.
//!
//! ```text
//!   counter ──► integrator ──► time        exact: a rate, an anchor, what was rounded off
//!                  ▲    │ a new second
//!                  │    ▼
//!   Request ──►  ntp: leap · pll · slew · pps ──► Reply
//! ```
//!
//! [`ntp_adjtime`]: SoftwareClock::ntp_adjtime

mod clock;
mod counter;
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
pub use counter::{Counter, CountingClock};
pub use error::{Error, Value};
pub use field::{Field, UnknownField};
pub use modes::Modes;
pub use parse::ParseError;
pub use report::{NtpTime, Pps, Reply, Timex};
pub use request::{Constant, Request, Resolution, Settings};
pub use state::ClockState;
pub use status::Status;
