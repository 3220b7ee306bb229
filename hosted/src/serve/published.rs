//! What the engine's thread tells the workers, as the words of a seqlock: what the clock says of
//! itself, and how to read it.

use truechimer_core::system::{Reference, SystemState};
use truechimer_core::units::{FreqOffset, Instant, Now, Span, WallTime};
use truechimer_core::wire::{LeapIndicator, ReferenceId};

use crate::clock::{monotonic, realtime};

pub(super) const WORDS: usize = 14;

/// What the workers serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// What the clock says of itself.
    pub system: SystemState,
    /// How the clock is read.
    pub clock: ServedClock,
    /// How often the clock was stepped.
    pub steps: u32,
}

/// A clock that other threads can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServedClock {
    /// `CLOCK_REALTIME`.
    Kernel,
    /// One of our own.
    Software(Line),
}

/// A software clock that runs on as it does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// When `CLOCK_MONOTONIC` showed this...
    pub mono: Instant,
    /// ...the counter and the clock showed these.
    pub at: Now,
    /// What the counter gains on `CLOCK_MONOTONIC` in a [`Self::LENGTH`].
    pub counter_gain: Span,
    /// What the clock gains on it.
    pub wall_gain: Span,
}

impl Line {
    /// 2^34 ns, 17 s: a gain in nanoseconds is precise to 6·10^-11.
    pub const LENGTH: Span = Span::from_nanos(1 << 34);

    fn read(&self, mono: Instant) -> Now {
        let passed = mono - self.mono;
        let gained = |gain: Span| {
            let product = i128::from(passed.as_nanos()) * i128::from(gain.as_nanos());
            Span::from_nanos((product >> 34) as i64)
        };
        Now {
            mono: self.at.mono + passed + gained(self.counter_gain),
            wall: self.at.wall + passed + gained(self.wall_gain),
        }
    }
}

impl ServedClock {
    /// What it shows when `CLOCK_MONOTONIC` and `CLOCK_REALTIME` show this.
    pub(super) fn at(&self, mono: Instant, real: WallTime) -> Now {
        match self {
            Self::Kernel => Now { mono, wall: real },
            Self::Software(line) => line.read(mono),
        }
    }

    /// The clock alone, as fast as can be.
    pub(super) fn wall(&self) -> WallTime {
        match self {
            Self::Kernel => realtime(),
            Self::Software(line) => line.read(monotonic()).wall,
        }
    }
}

impl Published {
    pub(super) fn to_words(self) -> [u64; WORDS] {
        let Self { system, clock, steps } = self;
        let span = |span: Span| span.as_nanos().cast_unsigned();
        let nanos = |time: WallTime| u64::from(time.subsec_nanos());
        let secs = |time: WallTime| time.unix_secs().cast_unsigned();
        let [a, b, c, d] = system.reference.id().to_bytes();
        let (leap, precision) = (system.leap as u8, system.precision.cast_unsigned());
        let drift = system.drift.as_scaled_ppm();
        // Rounded up, for it bounds an error.
        let drift = drift + i64::from(FreqOffset::from_scaled_ppm(drift) < system.drift);
        let (kind, line) = match clock {
            ServedClock::Kernel => (0, [0; 6]),
            ServedClock::Software(line) => (
                1 << 32,
                [
                    line.mono.as_nanos(),
                    line.at.mono.as_nanos(),
                    secs(line.at.wall),
                    nanos(line.at.wall),
                    span(line.counter_gain),
                    span(line.wall_gain),
                ],
            ),
        };
        let [l0, l1, l2, l3, l4, l5] = line;
        [
            u64::from_be_bytes([leap, system.stratum, precision, 0, a, b, c, d]),
            span(system.root_delay),
            span(system.root_dispersion),
            drift.cast_unsigned(),
            secs(system.reference_time),
            nanos(system.reference_time),
            system.updated.as_nanos(),
            kind | u64::from(steps),
            l0,
            l1,
            l2,
            l3,
            l4,
            l5,
        ]
    }

    pub(super) fn from_words(words: [u64; WORDS]) -> Self {
        let [w0, delay, dispersion, drift, secs, nanos, updated, kind, l0, l1, l2, l3, l4, l5] =
            words;
        let span = |word: u64| Span::from_nanos(word.cast_signed());
        let wall = |secs: u64, nanos: u64| WallTime::from_unix(secs.cast_signed(), nanos as u32);
        let [leap, stratum, precision, _, a, b, c, d] = w0.to_be_bytes();
        let system = SystemState {
            leap: match leap {
                0 => LeapIndicator::NoWarning,
                1 => LeapIndicator::AddSecond,
                2 => LeapIndicator::DeleteSecond,
                _ => LeapIndicator::Alarm,
            },
            stratum,
            precision: precision.cast_signed(),
            root_delay: span(delay),
            root_dispersion: span(dispersion),
            drift: FreqOffset::from_scaled_ppm(drift.cast_signed()),
            reference: Reference::Id(ReferenceId::from_bytes([a, b, c, d])),
            reference_time: wall(secs, nanos),
            updated: Instant::from_nanos(updated),
        };
        let clock = match kind >> 32 {
            0 => ServedClock::Kernel,
            _ => ServedClock::Software(Line {
                mono: Instant::from_nanos(l0),
                at: Now { mono: Instant::from_nanos(l1), wall: wall(l2, l3) },
                counter_gain: span(l4),
                wall_gain: span(l5),
            }),
        };
        Self { system, clock, steps: kind as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(leap: LeapIndicator, clock: ServedClock) -> Published {
        let system = SystemState {
            leap,
            stratum: 3,
            precision: -23,
            root_delay: Span::from_nanos(-1),
            root_dispersion: Span::from_millis(5),
            drift: FreqOffset::from_scaled_ppm(12_345_678),
            reference: Reference::Id(ReferenceId::from_bytes([1, 2, 3, 4])),
            reference_time: WallTime::from_unix(-5, 999_999_999),
            updated: Instant::from_nanos(u64::MAX),
        };
        Published { system, clock, steps: u32::MAX }
    }

    const LINE: Line = Line {
        mono: Instant::from_nanos(1_000),
        at: Now { mono: Instant::from_nanos(5_000), wall: WallTime::from_unix(1_800_000_000, 7) },
        counter_gain: Span::from_nanos(-(1 << 34) / 1_000_000),
        wall_gain: Span::from_nanos((1 << 34) / 10_000),
    };

    #[test]
    fn comes_back_from_words() {
        for leap in [
            LeapIndicator::NoWarning,
            LeapIndicator::AddSecond,
            LeapIndicator::DeleteSecond,
            LeapIndicator::Alarm,
        ] {
            for clock in [ServedClock::Kernel, ServedClock::Software(LINE)] {
                let published = published(leap, clock);
                assert_eq!(Published::from_words(published.to_words()), published);
            }
        }
    }

    #[test]
    fn a_line_is_a_clock_at_its_rate() {
        assert_eq!(LINE.read(LINE.mono), LINE.at);
        let now = LINE.read(LINE.mono + Span::from_secs(1_000));
        let (counter, wall) = (now.mono - LINE.at.mono, now.wall - LINE.at.wall);
        // 1 ppm slow and 100 ppm fast.
        assert!((counter - Span::from_micros(999_999_000)).abs() < Span::from_nanos(100));
        assert!((wall - Span::from_micros(1_000_100_000)).abs() < Span::from_nanos(100));
        let before = LINE.read(LINE.mono + Span::from_nanos(-500));
        assert!((before.wall - LINE.at.wall + Span::from_nanos(500)).abs() <= Span::from_nanos(1));
    }
}
