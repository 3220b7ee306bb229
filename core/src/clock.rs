//! What is asked of a clock and what it answers.
//!
//! A command and its reply are apart because on a privilege-separated host the clock is in another
//! process. [`hal::AdjustableClock`](crate::hal::AdjustableClock) is the interface that carries
//! them out.

use core::fmt;

pub use crate::discipline::{LeapList, LeapPlan, LeapSource};
use crate::units::{FreqOffset, Span, WallTime};

/// What is to be done to the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ClockCommand {
    /// Advance the clock at once.
    Step(Span),
    /// Run at `frequency` plus `slew` from now on. A host that loses its engine keeps `frequency`
    /// and drops the slew.
    Adjust {
        /// The rate at which the clock is right.
        frequency: FreqOffset,
        /// What is added for a while to take an offset away.
        slew: FreqOffset,
    },
    /// Let the clock's own loop take an offset away, and learn its frequency from it, until it is
    /// told otherwise.
    Lock {
        /// Where the loop's frequency is to begin; `None` to leave it as it has become.
        frequency: Option<FreqOffset>,
        /// By how much the clock is behind, ±0.5 s.
        offset: Span,
        /// How often it is told, log2 s, which makes the loop's
        /// [time constant](crate::timex::Settings::lock).
        poll: i8,
    },
    /// Tell the clock how good it is, for those who ask the kernel.
    Status(ClockStatus),
    /// Tell the clock of a leap second at the end of this day, or of none; and of TAI.
    Leap(LeapPlan),
}

/// How good the clock is, as the kernel tells others (`status`, `maxerror`, `esterror`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ClockStatus {
    /// Clear in the kernel as STA_UNSYNC.
    pub synced: bool,
    /// No error is greater.
    pub max_error: Span,
    /// The error is hardly greater.
    pub estimated_error: Span,
}

/// What the clock did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ClockReply {
    /// It was stepped by `by`, and then showed `now`.
    Stepped {
        /// By how much it really was.
        by: Span,
        /// The new time.
        now: WallTime,
    },
    /// Since it showed `at` it runs at `rate`, slew included.
    Adjusted {
        /// When the change took effect, by the clock itself.
        at: WallTime,
        /// The rate that it accepted.
        rate: FreqOffset,
    },
    /// Since it showed `at` its loop takes `offset` away.
    Locked {
        /// When the loop was told, by the clock itself.
        at: WallTime,
        /// As it was told.
        offset: Span,
        /// As it was told.
        poll: i8,
        /// The frequency of the loop now.
        frequency: FreqOffset,
    },
    /// The status, or the leap second, was taken.
    StatusSet,
    /// Nothing was done.
    Failed {
        /// What was asked.
        command: ClockCommand,
        /// Why it was not done.
        error: ClockError,
    },
}

/// Why a clock did not do as it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ClockError {
    /// The caller may not change this clock.
    NotPermitted,
    /// The clock cannot do this at all.
    Unsupported,
    /// The clock refused; the system's error number.
    Os(i32),
    /// It has not answered in time.
    NoReply,
}

impl fmt::Display for ClockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPermitted => f.write_str("not permitted"),
            Self::Unsupported => f.write_str("not supported by this clock"),
            Self::Os(number) => write!(f, "system error {number}"),
            Self::NoReply => f.write_str("no reply"),
        }
    }
}

impl core::error::Error for ClockError {}
