//! From a reading of the counter to the time, at a constant rate.

use super::scale::{SCALE_SHIFT, SECOND};
use crate::units::{Instant, NANOS_PER_SEC, Span, WallTime, div_floor, div_floor_wide};

/// A clock that runs at `rate`. It is exact: what is rounded off when the anchor moves is kept, so
/// the time depends on what the rate was when, not on how often that was asked.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Integrator {
    /// Since when the rate is what it is, or later.
    anchor: Instant,
    /// The time at the anchor, rounded down.
    time: WallTime,
    /// What was rounded off, in 1 / [`SECOND`] of a nanosecond.
    rest: u64,
    /// What it gains on the counter, in 2^-32 ns/s. Above -1 s/s.
    rate: i64,
}

impl Integrator {
    pub(super) const fn new(at: Instant, time: WallTime) -> Self {
        Self { anchor: at, time, rest: 0, rate: 0 }
    }

    pub(super) const fn anchor(&self) -> Instant {
        self.anchor
    }

    /// The time at the anchor.
    pub(super) const fn time(&self) -> WallTime {
        self.time
    }

    /// The time at `at`, as if the rate had always been what it is.
    pub(super) fn read(&self, at: Instant) -> WallTime {
        self.read_exactly(at).0
    }

    /// When the time is that of the anchor's second and `seconds` more, to the next nanosecond.
    pub(super) fn whole_second(&self, seconds: u64) -> Instant {
        let wanted =
            i128::from(seconds) * i128::from(NANOS_PER_SEC) - i128::from(self.time.subsec_nanos());
        let wanted = wanted.saturating_mul(SECOND.into()) - i128::from(self.rest);
        let rate = SECOND.saturating_add(self.rate).max(1).cast_unsigned();
        // Rounded up.
        let (nanos, _) = div_floor_wide(-wanted, rate);
        self.anchor + -Span::from_nanos(nanos)
    }

    pub(super) fn move_anchor(&mut self, at: Instant) {
        (self.time, self.rest) = self.read_exactly(at);
        self.anchor = at;
    }

    pub(super) fn step(&mut self, by: Span) {
        self.time += by;
    }

    pub(super) const fn rate(&self) -> i64 {
        self.rate
    }

    pub(super) const fn set_rate(&mut self, rate: i64) {
        self.rate = rate;
    }

    fn read_exactly(&self, at: Instant) -> (WallTime, u64) {
        let elapsed = at - self.anchor;
        // Neither factor is beyond 2^63, so the sum fits.
        let total = i128::from(elapsed.as_nanos()) * i128::from(self.rate) + i128::from(self.rest);
        // Almost always the whole 2^-32 fit 64 bits, whose division is much the faster.
        let (whole, fraction) = (total >> SCALE_SHIFT, total as u32);
        let (gained, rest) = match i64::try_from(whole) {
            Ok(whole) => div_floor::<{ NANOS_PER_SEC as u64 }>(whole),
            Err(_) => div_floor_wide(whole, NANOS_PER_SEC as u64),
        };
        let rest = rest << SCALE_SHIFT | u64::from(fraction);
        (self.time + elapsed + Span::from_nanos(gained), rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const START: Instant = Instant::from_nanos(1 << 62);
    const TIME: WallTime = WallTime::from_unix(1_790_000_000, 999_999_999);
    const YEAR: i64 = 31_557_600_000_000_000;

    fn rates() -> impl Strategy<Value = i64> {
        prop_oneof![-SECOND / 10 * 7..=SECOND / 10 * 7, -1_000_000i64..1_000_000]
    }

    proptest! {
        // The exact time is a sum of integers over SECOND.
        #[test]
        fn time_is_the_exact_sum(segments in vec((0..=YEAR / 50, rates()), 1..=100)) {
            let mut clock = Integrator::new(START, TIME);
            let (mut at, mut sum) = (START, 0i128);
            for (length, rate) in segments {
                clock.set_rate(rate);
                sum += i128::from(length) * i128::from(rate);
                at = at + Span::from_nanos(length);
                let gained = sum.div_euclid(i128::from(SECOND)) as i64;
                let expected = TIME + (at - START) + Span::from_nanos(gained);
                prop_assert_eq!(clock.read(at), expected);
                clock.move_anchor(at);
                prop_assert_eq!(i128::from(clock.rest), sum.rem_euclid(i128::from(SECOND)));
            }
        }

        #[test]
        fn whole_seconds_begin_where_they_are_found(
            rate in rates(),
            before in 0i64..YEAR,
            seconds in prop_oneof![1u64..5, 1u64..100_000_000],
        ) {
            let mut clock = Integrator::new(START, TIME);
            clock.set_rate(rate);
            clock.move_anchor(START + Span::from_nanos(before));
            let at = clock.whole_second(seconds);
            let second = clock.time().unix_secs() + seconds as i64;
            prop_assert!(clock.read(at).unix_secs() >= second);
            prop_assert!(clock.read(at + Span::from_nanos(-1)).unix_secs() < second);
        }
    }
}
