//! Reading the system's clocks.

use nix::sys::time::{TimeSpec, TimeValLike};
use nix::time::{ClockId, clock_gettime};
use truechimer_core::units::{Instant, Span, WallTime};

/// Attempts at reading two clocks together without being interrupted.
const ATTEMPTS: usize = 3;
/// Two readings of the monotonic clock this close enclose the other's well enough.
const CLOSE_ENOUGH: Span = Span::from_micros(1);
/// Readings by which the precision is measured.
const PRECISION_READINGS: usize = 64;

/// `CLOCK_MONOTONIC`.
pub(crate) fn monotonic() -> Instant {
    let time = read(ClockId::CLOCK_MONOTONIC);
    Instant::default() + Span::from_nanos(time.num_nanoseconds())
}

/// `CLOCK_REALTIME`.
#[must_use]
pub fn realtime() -> WallTime {
    wall(read(ClockId::CLOCK_REALTIME))
}

/// Both at the same moment, as nearly as can be.
pub(crate) fn both() -> (Instant, WallTime) {
    let attempts = (0..ATTEMPTS).map(|_| {
        let before = monotonic();
        let real = realtime();
        let spread = monotonic() - before;
        (spread, before + spread.half(), real)
    });
    let mut best: Option<(Span, Instant, WallTime)> = None;
    for attempt in attempts {
        if best.is_none_or(|best| attempt.0 < best.0) {
            best = Some(attempt);
        }
        if attempt.0 <= CLOSE_ENOUGH {
            break;
        }
    }
    best.map_or_else(|| (monotonic(), realtime()), |(_, mono, real)| (mono, real))
}

/// A time of the system as a time of ours.
pub(crate) fn wall(time: TimeSpec) -> WallTime {
    WallTime::UNIX_EPOCH + Span::from_nanos(time.num_nanoseconds())
}

/// How finely the clock is read: the least difference of two readings that is not zero, as a power
/// of two seconds, between -30 and -6 (RFC 5905 §11.1).
#[must_use]
pub fn precision() -> i8 {
    let readings: Vec<_> = (0..PRECISION_READINGS).map(|_| monotonic()).collect();
    let steps = readings.windows(2).map(|pair| pair[1] - pair[0]);
    let least = steps.filter(|step| *step > Span::ZERO).min().unwrap_or(Span::from_micros(1));
    (-30..=-6).find(|&exponent| Span::from_log2_secs(exponent) >= least).unwrap_or(-6)
}

fn read(clock: ClockId) -> TimeSpec {
    // Both clocks exist on every system that this is built for.
    clock_gettime(clock).unwrap_or_else(|_| TimeSpec::new(0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_together() {
        let (early, _) = both();
        let (late, real) = both();
        assert!(late >= early);
        assert!((realtime() - real).abs() < Span::from_secs(10));
    }

    #[test]
    fn precision_is_finer_than_a_tick() {
        assert!((-30..=-7).contains(&precision()));
    }
}
