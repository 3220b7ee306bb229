//! The frequency of the clock, and how well it is known.

use crate::maths::hypot;
use crate::units::FreqOffset;

/// The standard deviation of a frequency before anything is known, as a ratio: a cheap crystal's
/// 100 ppm.
pub const UNKNOWN_FREQUENCY: f64 = 1e-4;
/// What a crystal's frequency may be off by after a start, beside what was known of it: it has
/// cooled down and warms up, ppm.
const START_DOUBT: f64 = 1e-6;

/// A frequency that was learnt from sources.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct KnownFrequency {
    /// At which the clock is right.
    pub frequency: FreqOffset,
    /// The standard deviation of that, as a plain ratio.
    pub deviation: f64,
}

impl KnownFrequency {
    /// One of which nothing more is known.
    #[must_use]
    pub const fn about(frequency: FreqOffset) -> Self {
        Self { frequency, deviation: UNKNOWN_FREQUENCY }
    }

    /// What is left of it at a later start: never better known than to 1 ppm, nor worse than if
    /// nothing were known.
    #[must_use]
    pub fn at_start(self) -> Self {
        let deviation = hypot(self.deviation, START_DOUBT).min(UNKNOWN_FREQUENCY);
        Self { deviation, ..self }
    }
}
