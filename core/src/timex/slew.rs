//! The single-shot slew (`adjtime(3)`, `ADJ_OFFSET_SINGLESHOT` of `adjtimex(2)`).

use super::scale::{HZ, SCALE_SHIFT};

/// The most that is slewed in a second, us (`MAX_TICKADJ`).
const MAX_IN_A_SECOND: i64 = 500;

/// What is still to be slewed, us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct SingleShot(pub(super) i64);

impl SingleShot {
    /// What is added to each tick of the next second.
    pub(super) fn per_tick(self) -> i64 {
        (self.next_second() * 1_000 / HZ) << SCALE_SHIFT
    }

    /// For how many seconds at least [`per_tick`](Self::per_tick) stays what it is.
    pub(super) const fn steady(self) -> u64 {
        match self.0.unsigned_abs() {
            0 => u64::MAX,
            left => (left - 1) / MAX_IN_A_SECOND as u64,
        }
    }

    /// `seconds` pass, all with the same [`per_tick`](Self::per_tick).
    pub(super) fn pass(&mut self, seconds: u64) {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        self.0 -= self.next_second().saturating_mul(seconds);
    }

    fn next_second(self) -> i64 {
        self.0.clamp(-MAX_IN_A_SECOND, MAX_IN_A_SECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(per_tick: i64) -> i64 {
        (per_tick * HZ) >> SCALE_SHIFT
    }

    #[test]
    fn half_a_millisecond_a_second() {
        let mut slew = SingleShot(-1_234);
        for (per_second, left) in [(-500_000, -734), (-500_000, -234), (-234_000, 0), (0, 0)] {
            assert_eq!(nanos(slew.per_tick()), per_second);
            slew.pass(1);
            assert_eq!(slew, SingleShot(left));
        }
    }

    #[test]
    fn many_seconds_at_once() {
        for (left, steady) in [(0, u64::MAX), (1, 0), (500, 0), (501, 1), (-1_000, 1), (1_001, 2)] {
            assert_eq!(SingleShot(left).steady(), steady, "{left} us");
        }
        let mut slew = SingleShot(i64::MIN);
        let steady = slew.steady();
        slew.pass(steady);
        assert_eq!(slew, SingleShot(-308));
    }
}
