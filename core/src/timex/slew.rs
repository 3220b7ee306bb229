//! The single-shot slew (`adjtime(3)`, `ADJ_OFFSET_SINGLESHOT` of `adjtimex(2)`).

use crate::units::{FreqOffset, Instant, Span};

const SINGLESHOT_PPM: i32 = 500;
/// The rate of a single-shot slew, 500 us/s (`MAX_TICKADJ` of Linux' `kernel/time/ntp.c`).
pub const SINGLESHOT_RATE: FreqOffset = FreqOffset::from_ppm(SINGLESHOT_PPM);
/// Counter time that corrects one unit of time.
const DURATION_RATIO: i64 = 1_000_000 / SINGLESHOT_PPM as i64;

/// A slew from its beginning, measured in counter time, whose whole nanoseconds it uses up: in
/// corrected time it is at a fraction of a nanosecond almost always.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Slew {
    since: Instant,
    /// How long it lasts, with the sign of the correction.
    lasts: Span,
}

impl Slew {
    /// Nothing to slew.
    pub(super) const fn none(since: Instant) -> Self {
        Self { since, lasts: Span::ZERO }
    }

    /// A slew that starts at `at` in place of this one, and what was left of this one, in whole
    /// nanoseconds. The fraction of a nanosecond that this leaves unsaid is slewed with the new
    /// one, so that all that was asked is either corrected or returned.
    pub(super) fn replace(self, at: Instant, by: Span) -> (Self, Span) {
        let left = self.remaining(at);
        let unsaid = self.lasts - self.ran(at) - left.times(DURATION_RATIO);
        (Self { since: at, lasts: by.times(DURATION_RATIO) + unsaid }, left)
    }

    /// The counter time that it has run for at `at`, with the sign of the correction.
    pub(super) fn ran(self, at: Instant) -> Span {
        let ran = (at - self.since).max(Span::ZERO).min(self.lasts.abs());
        if self.lasts.is_negative() { -ran } else { ran }
    }

    /// The correction that is still to come at `at`, rounded towards zero.
    pub(super) fn remaining(self, at: Instant) -> Span {
        Span::from_nanos((self.lasts - self.ran(at)).as_nanos() / DURATION_RATIO)
    }
}
