//! When what the engine knows is worth keeping.
//!
//! A store may be a flash memory: a frequency is written when it is another one or much better known
//! than what was written, and nothing more often than once an hour.

use super::{KnownFrequency, State, UNKNOWN_FREQUENCY};
use crate::units::{FreqOffset, Instant, Span, WallTime};

/// Between two writes.
const INTERVAL: Span = Span::from_secs(3_600);
/// A frequency that is known worse than this, as a ratio, is not worth keeping.
const WORTH_KEEPING: f64 = 1e-5;
/// A frequency that is known better than this is not written for being known better still: at the next
/// start it is doubted by more.
const WELL_KNOWN: f64 = 1e-6;
/// The least change of a frequency that is written.
const LEAST_CHANGE: FreqOffset = FreqOffset::from_scaled_ppm(6_554); // 0.1 ppm
/// A change is one if it is greater than so many standard deviations.
const SIGNIFICANT: f64 = 3.0;

/// What has been written, and when.
#[derive(Debug)]
pub(crate) struct Keep {
    written: State,
    at: Option<Instant>,
}

impl Keep {
    /// At the start there is this, if anything.
    pub fn new(stored: KnownFrequency) -> Self {
        let frequency = Some(stored).filter(|stored| stored.deviation < UNKNOWN_FREQUENCY);
        Self { written: State { frequency, floor: None }, at: None }
    }

    /// The clock is right, no earlier than `floor`, and its frequency is known so well. What is to be
    /// kept of that, now that it ends.
    pub fn last(&self, floor: WallTime, known: KnownFrequency) -> State {
        let frequency = match self.written.frequency {
            Some(written) if !is_news(&known, &written) => Some(written),
            written => Some(known).filter(|known| known.deviation <= WORTH_KEEPING).or(written),
        };
        State { frequency, floor: Some(floor) }
    }

    /// As [`last`](Self::last), if it is time to write it.
    pub fn update(
        &mut self,
        now: Instant,
        floor: WallTime,
        known: KnownFrequency,
    ) -> Option<State> {
        let state = self.last(floor, known);
        let is_first = state.frequency.is_some() && self.written.frequency.is_none();
        if !is_first && self.at.is_some_and(|at| now - at < INTERVAL) {
            return None;
        }
        self.at = Some(now);
        self.written = state;
        Some(state)
    }
}

/// Whether a frequency is to be written in place of another.
fn is_news(known: &KnownFrequency, written: &KnownFrequency) -> bool {
    let change = (known.frequency - written.frequency).abs();
    let significant = FreqOffset::from_ratio(SIGNIFICANT * known.deviation);
    let is_better = written.deviation > WELL_KNOWN && known.deviation < 0.5 * written.deviation;
    is_better || change > LEAST_CHANGE.max(significant)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: WallTime = WallTime::from_unix(1_900_000_000, 0);

    fn known(ppm: f64, deviation: f64) -> KnownFrequency {
        KnownFrequency { frequency: FreqOffset::from_ppm_f64(ppm), deviation }
    }

    fn at(secs: i64) -> Instant {
        Instant::default() + Span::from_secs(secs)
    }

    fn keep() -> Keep {
        Keep::new(KnownFrequency::about(FreqOffset::ZERO))
    }

    #[test]
    fn the_floor_is_kept_each_hour_and_a_frequency_once_it_is_known() {
        let mut keep = keep();
        let mut writes = std::vec::Vec::new();
        for secs in (0..8_000).step_by(10) {
            let known = known(80.0, 1e-3 / f64::from(secs + 1));
            let floor = FLOOR + Span::from_secs(secs.into());
            if let Some(state) = keep.update(at(secs.into()), floor, known) {
                assert_eq!(state.floor, Some(floor));
                writes.push((secs, state.frequency.map(|known| known.deviation)));
            }
        }
        let deviation = |secs: i32| 1e-3 / f64::from(secs + 1);
        let expected = [
            (0, None),
            (100, Some(deviation(100))),
            (3_700, Some(deviation(3_700))),
            (7_300, Some(deviation(3_700))),
        ];
        assert_eq!(writes, expected);
    }

    #[test]
    fn only_what_is_news_is_written() {
        for (now, is) in [
            (known(10.05, 1e-9), false),
            (known(10.11, 1e-9), true),
            (known(9.89, 1e-9), true),
            (known(10.5, 2e-7), false),
            (known(10.7, 2e-7), true),
            (known(29.0, 9e-6), false),
        ] {
            assert_eq!(is_news(&now, &known(10.0, 1e-7)), is, "{now:?}");
        }
        assert!(is_news(&known(10.0, 4e-6), &known(10.0, 9e-6)));
        assert!(!is_news(&known(10.0, 5e-6), &known(10.0, 9e-6)));
    }

    #[test]
    fn what_was_known_stays_until_it_is_known_better() {
        let stored = known(10.0, 1e-6);
        let keep = Keep::new(stored);
        assert_eq!(keep.last(FLOOR, known(60.0, 9e-5)).frequency, Some(stored));
        let doubtful = known(60.0, 1.1e-5);
        assert_eq!(keep.last(FLOOR, doubtful).frequency, Some(stored), "not worth keeping");
        assert_eq!(self::keep().last(FLOOR, doubtful).frequency, None);
    }
}
