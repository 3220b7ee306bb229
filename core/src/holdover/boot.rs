//! The ladder that is climbed at boot.

use super::{Quality, Record, RtcReading, TimeStatus};
use crate::config::{NOT_BEFORE, drift_bound};
use crate::units::{Instant, Span, WallTime};

/// What the time is before any source has said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Boot {
    /// Where the clock is to start from.
    pub time: WallTime,
    /// No further is that from the truth; `None` if there is no telling.
    pub bound: Option<Span>,
    /// [`TimeStatus::Rtc`] or [`TimeStatus::Floor`].
    pub status: TimeStatus,
}

/// What the time is by what was stored and by the real-time clock.
///
/// One that shows less than the floor has lost its power or was never set: the floor is nearer. It is
/// no earlier than [`NOT_BEFORE`] in any case.
#[must_use]
pub fn boot(record: &Record, rtc: Option<&RtcReading>) -> Boot {
    let floor = record.state.floor.unwrap_or(NOT_BEFORE).max(NOT_BEFORE);
    let by_rtc = rtc.and_then(|reading| match &record.rtc {
        Some(known) => known.time_of(reading).map(|(time, error)| (time, Some(error))),
        None => Some((reading.time, None)),
    });
    match by_rtc {
        Some((time, bound)) if time + bound.unwrap_or_default() >= floor => {
            Boot { time: time.max(floor), bound, status: TimeStatus::Rtc }
        }
        _ => Boot { time: floor, bound: None, status: TimeStatus::Floor },
    }
}

impl Boot {
    /// How good a clock is that was started from it at `now`, and whose frequency is known with this
    /// standard deviation, a plain ratio.
    #[must_use]
    pub fn quality(&self, now: Instant, frequency_deviation: f64) -> Quality {
        let drift = drift_bound(frequency_deviation);
        Quality { status: self.status, at: now, bound: self.bound, drift }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::holdover::{Compared, RtcSpec, State};
    use crate::units::FreqOffset;

    const THEN: WallTime = WallTime::from_unix(1_900_000_000, 0);
    const DAY: Span = Span::from_secs(86_400);

    fn record(rtc: bool) -> Record {
        let rtc = rtc.then_some(Compared {
            at: THEN,
            ahead: Span::from_millis(-300),
            error: Span::from_millis(10),
            rate: FreqOffset::from_ppm(-30),
            rate_error: FreqOffset::from_ppm(1),
        });
        Record { state: State { frequency: None, floor: Some(THEN) }, rtc }
    }

    fn reading(time: WallTime) -> Option<RtcReading> {
        Some(RtcReading { time, spec: RtcSpec::default() })
    }

    #[test]
    fn nothing_is_known_but_when_this_was_written() {
        let boot = boot(&Record::default(), None);
        assert_eq!(boot, Boot { time: NOT_BEFORE, bound: None, status: TimeStatus::Floor });
    }

    #[test]
    fn the_floor_is_nearer_than_a_clock_without_power() {
        for lost in [WallTime::UNIX_EPOCH, NOT_BEFORE, THEN + -DAY] {
            for rtc in [false, true] {
                let boot = boot(&record(rtc), reading(lost).as_ref());
                assert_eq!(boot, Boot { time: THEN, bound: None, status: TimeStatus::Floor });
            }
        }
    }

    #[test]
    fn a_clock_that_was_compared_is_corrected_and_bounded() {
        // 30 ppm slow for ten days: 25.92 s.
        let shown = THEN + DAY.times(10) + Span::from_millis(-300 - 25_920);
        let Boot { time, bound, status } = boot(&record(true), reading(shown).as_ref());
        // Half a second for what it may have counted beyond what it shows.
        let error = time - (THEN + DAY.times(10)) - Span::from_millis(500);
        assert!(error.abs() < Span::from_millis(1), "{error}");
        let expected = Span::from_millis(510) + FreqOffset::from_ppm(21).gain(DAY.times(10), 0).0;
        assert!((bound.unwrap() - expected).abs() < Span::from_millis(1), "{bound:?}");
        assert_eq!(status, TimeStatus::Rtc);
    }

    #[test]
    fn a_clock_of_which_nothing_is_known_is_believed_without_a_bound() {
        let later = WallTime::from_unix(2_100_000_000, 0);
        let boot = boot(&record(false), reading(later).as_ref());
        assert_eq!(boot, Boot { time: later, bound: None, status: TimeStatus::Rtc });
    }

    #[test]
    fn the_bound_grows_by_what_is_not_known_of_the_frequency() {
        let boot = Boot { time: THEN, bound: Some(DAY), status: TimeStatus::Rtc };
        let quality = boot.quality(Instant::default(), 1e-5);
        let later = Instant::default() + Span::from_secs(1_000);
        // 15 ppm + 3 · 10 ppm.
        assert_eq!(quality.bound_at(later), Some(DAY + Span::from_millis(45)));
    }
}
