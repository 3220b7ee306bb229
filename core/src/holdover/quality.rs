//! How good a time is, for whoever asks when the engine does not run: an interrupt, another thread.

use crate::units::{FreqOffset, Instant, Span};

/// Where the clock's time comes from, the worst first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum TimeStatus {
    /// Nowhere, or from somebody else who moved the clock.
    #[default]
    Unknown,
    /// It is no earlier than this; how much later nobody knows.
    Floor,
    /// From the real-time clock.
    Rtc,
    /// From sources that have agreed, and the clock is still on its way there or they doubt it.
    Unsynced,
    /// From sources of which none answers any more.
    Holdover,
    /// From sources that answer.
    Synced,
}

impl TimeStatus {
    /// In a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Floor => "floor",
            Self::Rtc => "rtc",
            Self::Unsynced => "unsynced",
            Self::Holdover => "holdover",
            Self::Synced => "synced",
        }
    }
}

/// How good the clock's time was at one moment, and how that gets worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Quality {
    /// Where the time comes from.
    pub status: TimeStatus,
    /// When `bound` was true.
    pub at: Instant,
    /// No error was greater then; `None` if there is no telling.
    pub bound: Option<Span>,
    /// How fast that grows.
    pub drift: FreqOffset,
}

impl Quality {
    /// Of a clock of which nothing is known.
    pub const UNKNOWN: Self = Self {
        status: TimeStatus::Unknown,
        at: Instant::from_nanos(0),
        bound: None,
        drift: FreqOffset::ZERO,
    };

    /// No error is greater at `now`, if the clock was not touched since.
    #[must_use]
    pub fn bound_at(&self, now: Instant) -> Option<Span> {
        self.bound.map(|bound| bound + self.drift.gain((now - self.at).max(Span::ZERO), 0).0)
    }
}
