//! From a reading of the counter to the time.

use super::SINGLESHOT_RATE;
use super::slew::Slew;
use crate::units::{FreqOffset, Instant, Span, WallTime};

/// The largest frequency of a [`SoftwareClock`], either way: 10 %, what the kernel's `tick` allows
/// (900,000/HZ to 1,100,000/HZ, `adjtimex(2)`).
pub const MAX_FREQUENCY: FreqOffset = FreqOffset::from_ppm(100_000);

/// A clock over a monotonic counter that can be stepped, slewed and set to a frequency.
///
/// It is exact: the time depends on what was changed when, not on how often it is read or changed,
/// and is rounded down to the nanosecond only when it is read. Between steps it never goes back.
///
/// Changes come in order: one that is dated before the last is made together with the last. A
/// segment between two changes may be 292 years long.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SoftwareClock {
    /// When the last change was made.
    anchor: Instant,
    /// The time at the anchor, rounded down.
    time: WallTime,
    /// What was rounded off, in the unit of [`FreqOffset::gain`].
    rest: u64,
    frequency: FreqOffset,
    slew: Slew,
}

impl SoftwareClock {
    /// A clock that shows `time` at `at` and runs at the counter's rate.
    #[must_use]
    pub const fn new(at: Instant, time: WallTime) -> Self {
        Self { anchor: at, time, rest: 0, frequency: FreqOffset::ZERO, slew: Slew::none(at) }
    }

    /// The time at `at`. Before the last change (where a receive stamp may lie) it is read as if
    /// the steps had been made and the frequency set already then, so that it compares with what
    /// is read after the change; of a slew counts only what had run by then.
    #[must_use]
    pub fn read(&self, at: Instant) -> WallTime {
        self.read_exactly(at).0
    }

    /// Advances the clock by `by` at once, backwards if negative. A slew goes on.
    pub fn step(&mut self, at: Instant, by: Span) {
        self.move_anchor(at);
        self.time += by;
    }

    /// Sets the frequency relative to the counter's from `at` on, clamped to ±[`MAX_FREQUENCY`];
    /// returns what was set.
    pub fn set_frequency(&mut self, at: Instant, frequency: FreqOffset) -> FreqOffset {
        self.move_anchor(at);
        self.frequency = frequency.clamp(-MAX_FREQUENCY, MAX_FREQUENCY);
        self.frequency
    }

    /// The frequency that was set, without the slew.
    #[must_use]
    pub const fn frequency(&self) -> FreqOffset {
        self.frequency
    }

    /// Corrects the clock by `by` gradually, at [`SINGLESHOT_RATE`] of the counter on top of the
    /// frequency until it is done (`ADJ_OFFSET_SINGLESHOT`). It takes the place of a slew in
    /// progress, of which what has been done stays done; returns the remainder of that one, as
    /// [`slew_remaining`](Self::slew_remaining) does. Beyond ±53 days, which take 292 years, `by`
    /// saturates.
    pub fn slew(&mut self, at: Instant, by: Span) -> Span {
        self.move_anchor(at);
        let (slew, remained) = self.slew.replace(self.anchor, by);
        self.slew = slew;
        remained
    }

    /// How much of the slew is still to come at `at`, rounded towards zero (`ADJ_OFFSET_SS_READ`).
    #[must_use]
    pub fn slew_remaining(&self, at: Instant) -> Span {
        self.slew.remaining(at)
    }

    /// The time and the rest. The slew's gain goes through the rest too: were it rounded by itself,
    /// a backward slew could take back a nanosecond that the frequency does not gain just then.
    fn read_exactly(&self, at: Instant) -> (WallTime, u64) {
        let elapsed = at - self.anchor;
        let slewing = self.slew.ran(at) - self.slew.ran(self.anchor);
        let (gained, rest) = self.frequency.gain(elapsed, self.rest);
        let (slewed, rest) = SINGLESHOT_RATE.gain(slewing, rest);
        (self.time + elapsed + (gained + slewed), rest)
    }

    fn move_anchor(&mut self, at: Instant) {
        let at = at.max(self.anchor);
        (self.time, self.rest) = self.read_exactly(at);
        self.anchor = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const START: Instant = Instant::from_nanos(7_000_000_123);
    const TIME: WallTime = WallTime::from_unix(1_790_000_000, 999_999_999);

    fn after(nanos: i64) -> Instant {
        START + Span::from_nanos(nanos)
    }

    fn after_secs(secs: i64) -> Instant {
        START + Span::from_secs(secs)
    }

    /// How far the clock is ahead of a clock that was never touched.
    fn ahead(clock: &SoftwareClock, at: Instant) -> Span {
        clock.read(at) - (TIME + (at - START))
    }

    #[test]
    fn frequency_gains_from_when_it_is_set() {
        let mut clock = SoftwareClock::new(START, TIME);
        assert_eq!(clock.read(START), TIME);
        assert_eq!(clock.set_frequency(after_secs(60), FreqOffset::from_ppm(80)).as_ppm(), 80.0);
        assert_eq!(ahead(&clock, after_secs(60)), Span::ZERO);
        assert_eq!(ahead(&clock, after_secs(3_660)), Span::from_millis(288));
        clock.set_frequency(after_secs(3_660), FreqOffset::from_ppm(-20));
        assert_eq!(ahead(&clock, after_secs(7_260)), Span::from_millis(216));
        assert_eq!(clock.frequency(), FreqOffset::from_ppm(-20));
    }

    #[test]
    fn frequency_is_clamped() {
        let mut clock = SoftwareClock::new(START, TIME);
        for (asked, got) in [(100_001, 100_000), (-100_001, -100_000), (100_000, 100_000)] {
            let set = clock.set_frequency(START, FreqOffset::from_ppm(asked));
            assert_eq!(set, FreqOffset::from_ppm(got));
            assert_eq!(clock.frequency(), set);
        }
        assert_eq!(ahead(&clock, after_secs(10)), Span::from_secs(1));
    }

    #[test]
    fn slew_of_a_second_takes_2000() {
        for sign in [1, -1] {
            let mut clock = SoftwareClock::new(START, TIME);
            assert_eq!(clock.slew(START, Span::from_secs(sign)), Span::ZERO);
            for (at, slewed) in [(0, 0), (1, 500), (1_000, 500_000), (1_999, 999_500)] {
                let slewed = Span::from_micros(sign * slewed);
                assert_eq!(ahead(&clock, after_secs(at)), slewed);
                assert_eq!(clock.slew_remaining(after_secs(at)), Span::from_secs(sign) - slewed);
            }
            for at in [2_000, 2_001, 1_000_000] {
                assert_eq!(ahead(&clock, after_secs(at)), Span::from_secs(sign));
                assert_eq!(clock.slew_remaining(after_secs(at)), Span::ZERO);
            }
        }
    }

    #[test]
    fn slew_ends_on_the_nanosecond() {
        let mut clock = SoftwareClock::new(START, TIME);
        clock.slew(START, Span::from_nanos(3));
        for (at, slewed) in [(1_999, 0), (2_000, 1), (5_999, 2), (6_000, 3), (60_000, 3)] {
            assert_eq!(ahead(&clock, after(at)), Span::from_nanos(slewed), "after {at} ns");
        }
        // A change in mid-nanosecond does not move the end.
        clock.step(after(777), Span::ZERO);
        assert_eq!(ahead(&clock, after(5_999)), Span::from_nanos(2));
        assert_eq!(ahead(&clock, after(6_000)), Span::from_nanos(3));
    }

    #[test]
    fn slew_replaces_the_one_in_progress() {
        let mut clock = SoftwareClock::new(START, TIME);
        clock.slew(START, Span::from_secs(1));
        let remained = clock.slew(after_secs(500), Span::from_millis(-100));
        assert_eq!(remained, Span::from_millis(750));
        assert_eq!(clock.slew_remaining(after_secs(600)), Span::from_millis(-50));
        assert_eq!(ahead(&clock, after_secs(600)), Span::from_millis(200));
        assert_eq!(ahead(&clock, after_secs(700)), Span::from_millis(150));
        assert_eq!(ahead(&clock, after_secs(9_000)), Span::from_millis(150));
        // Nothing in place of one stops it.
        clock.slew(after_secs(9_000), Span::from_secs(1));
        assert_eq!(clock.slew(after_secs(9_002), Span::ZERO), Span::from_millis(999));
        assert_eq!(clock.slew_remaining(after_secs(9_002)), Span::ZERO);
        assert_eq!(ahead(&clock, after_secs(99_000)), Span::from_millis(151));
    }

    #[test]
    fn slowest_clock_never_goes_back() {
        let mut clock = SoftwareClock::new(START, TIME);
        clock.set_frequency(START, -MAX_FREQUENCY);
        clock.slew(START, Span::from_nanos(-5));
        for nanos in 0..12_000 {
            assert!(clock.read(after(nanos + 1)) >= clock.read(after(nanos)), "after {nanos} ns");
        }
        assert_eq!(ahead(&clock, after(12_000)), Span::from_nanos(-1_205));
    }

    #[test]
    fn step_leaves_slew_and_frequency() {
        let mut clock = SoftwareClock::new(START, TIME);
        clock.set_frequency(START, FreqOffset::from_ppm(-40));
        clock.slew(START, Span::from_millis(500));
        clock.step(after_secs(100), Span::from_secs(-3_600));
        assert_eq!(clock.frequency(), FreqOffset::from_ppm(-40));
        assert_eq!(clock.slew_remaining(after_secs(100)), Span::from_millis(450));
        let expected = Span::from_secs(-3_600) + Span::from_millis(-4 + 50);
        assert_eq!(ahead(&clock, after_secs(100)), expected);
        let expected = Span::from_secs(-3_600) + Span::from_millis(-40 + 500);
        assert_eq!(ahead(&clock, after_secs(1_000)), expected);
    }

    #[test]
    fn reads_before_the_last_change() {
        let mut clock = SoftwareClock::new(START, TIME);
        clock.slew(after_secs(8), Span::from_secs(1));
        clock.set_frequency(after_secs(10), FreqOffset::from_ppm(100));
        clock.step(after_secs(10), Span::from_secs(5));
        assert_eq!(ahead(&clock, after_secs(10)), Span::from_micros(5_001_000));
        assert_eq!(ahead(&clock, after_secs(9)), Span::from_micros(5_000_400));
        assert_eq!(ahead(&clock, after_secs(7)), Span::from_micros(4_999_700));
        assert_eq!(clock.slew_remaining(after_secs(7)), Span::from_secs(1));
    }

    #[test]
    fn change_before_the_last_joins_the_last() {
        let mut clock = SoftwareClock::new(START, TIME);
        clock.step(after_secs(10), Span::ZERO);
        clock.set_frequency(after_secs(9), FreqOffset::from_ppm(-100));
        clock.slew(after_secs(8), Span::from_secs(1));
        assert_eq!(ahead(&clock, after_secs(10)), Span::ZERO);
        assert_eq!(ahead(&clock, after_secs(11)), Span::from_micros(400));
    }

    #[test]
    fn a_year_of_changes_is_one_segment() {
        let frequency = FreqOffset::from_ppm_f64(-12.345_678_9);
        let mut often = SoftwareClock::new(START, TIME);
        often.set_frequency(START, frequency);
        let once = often;
        let mut at = START;
        for _ in 0..1_000_000 {
            at = at + Span::from_nanos(31_536_000_001);
            often.set_frequency(at, frequency);
        }
        assert_eq!(often.read(at), once.read(at));
    }

    #[test]
    fn extremes_do_not_panic() {
        let (first, last) = (Instant::from_nanos(0), Instant::from_nanos(u64::MAX));
        for by in [Span::MIN, Span::MAX] {
            let mut clock = SoftwareClock::new(last, WallTime::from_unix(i64::MAX, 999_999_999));
            clock.slew(first, by);
            clock.step(first, by);
            clock.set_frequency(last, MAX_FREQUENCY);
            assert_eq!(clock.slew(last, by).is_negative(), by.is_negative());
            let _ = (clock.read(first), clock.slew_remaining(first));
        }
    }

    /// Any frequency in range, in 2^-32 ppm (an `f64` of ppm holds it exactly).
    fn frequencies() -> impl Strategy<Value = i64> {
        -100_000i64 << 32..=100_000 << 32
    }

    fn frequency(units: i64) -> FreqOffset {
        FreqOffset::from_ppm_f64(units as f64 / 4_294_967_296.0)
    }

    const DAY: i64 = 86_400_000_000_000;

    proptest! {
        // The exact time is a sum of integers over 10^6 * 2^32.
        #[test]
        fn time_is_the_exact_sum(
            segments in vec((0..=DAY, frequencies(), 0..=DAY), 1..=180),
        ) {
            let mut clock = SoftwareClock::new(START, TIME);
            let (mut at, mut current, mut sum) = (START, 0, 0i128);
            for (until_change, next, then) in segments {
                sum += i128::from(until_change) * i128::from(current);
                sum += i128::from(then) * i128::from(next);
                at = at + Span::from_nanos(until_change);
                clock.set_frequency(at, frequency(next));
                current = next;
                at = at + Span::from_nanos(then);
                let gain = sum.div_euclid(1_000_000 << 32) as i64;
                prop_assert_eq!(ahead(&clock, at), Span::from_nanos(gain));
            }
        }

        #[test]
        fn never_goes_back(
            changes in vec((frequencies(), -5_000_000i64..=5_000_000), 1..10),
            advances in vec(prop_oneof![0i64..20, 0i64..10_000, 0i64..DAY], 100),
        ) {
            let mut clock = SoftwareClock::new(START, TIME);
            let (mut at, mut last) = (START, TIME);
            for (units, slew) in changes {
                clock.set_frequency(at, frequency(units));
                clock.slew(at, Span::from_nanos(slew));
                prop_assert!(clock.read(at) >= last);
                for &advance in &advances {
                    at = at + Span::from_nanos(advance);
                    let time = clock.read(at);
                    prop_assert!(time >= last, "{time:.9} after {last:.9}");
                    last = time;
                }
            }
        }

        // All that was asked is either slewed or returned, whatever the frequency does meanwhile.
        #[test]
        fn slews_are_conserved(
            slews in vec((-1_000_000i64..1_000_000, 0i64..2_500_000_000, frequencies()), 1..50),
        ) {
            let mut clock = SoftwareClock::new(START, TIME);
            let mut twin = clock;
            let (mut at, mut asked) = (START, Span::ZERO);
            for (by, pause, units) in slews {
                asked -= clock.slew(at, Span::from_nanos(by));
                asked += Span::from_nanos(by);
                let middle = at + Span::from_nanos(pause / 3);
                for clock in [&mut clock, &mut twin] {
                    clock.set_frequency(middle, frequency(units));
                }
                at = at + Span::from_nanos(pause);
                let slewed = clock.read(at) - twin.read(at);
                let error = asked - clock.slew_remaining(at) - slewed;
                prop_assert!(error.abs() <= Span::from_nanos(1));
            }
            at = at + Span::from_millis(2_001);
            prop_assert_eq!(clock.slew_remaining(at), Span::ZERO);
            prop_assert_eq!(clock.read(at) - twin.read(at), asked);
        }
    }
}
