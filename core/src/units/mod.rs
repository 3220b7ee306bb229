//! Time and rate, in types that cannot be confused.
//!
//! [`Instant`] and [`WallTime`] never convert into one another: an instant schedules, a wall time
//! measures. [`Span`] is the signed difference of either. The timestamps of the wire unfold into a
//! `WallTime` only around a pivot (RFC 5905 §6).
//!
//! The sign is stated once, here: **a positive offset means that the local clock is behind**;
//! stepping or slewing by a positive span advances it, a positive frequency makes it run faster.
//!
//! On 32 bits a saturating sum of 64 takes more code than a call: there the common ones are not inlined.

mod divide;
mod freq;
mod ntp;
mod span;
mod time;

pub(crate) use divide::{div_floor, div_floor_wide};
pub use freq::FreqOffset;
pub use ntp::{NtpShort, NtpTimestamp};
pub use span::Span;
pub use time::{Instant, Now, WallTime};

/// Nanoseconds in a second.
pub(crate) const NANOS_PER_SEC: i64 = 1_000_000_000;
