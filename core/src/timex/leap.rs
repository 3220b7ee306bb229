//! Leap seconds: the states through which one goes.

use super::{ClockState, Status};

const SECONDS_PER_DAY: i64 = 86_400;

/// Where the clock stands between leap seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Leap {
    /// Any but [`ClockState::Error`].
    state: ClockState,
    /// The second, as the clock would count without it, at which the leap is made.
    next: Option<i64>,
}

impl Leap {
    pub(super) const NONE: Self = Self { state: ClockState::Ok, next: None };

    pub(super) const fn state(&self) -> ClockState {
        self.state
    }

    /// The clock was set: no leap is made that was in sight. The state stays, as it does in the
    /// kernel, until the status bits are cleared.
    pub(super) const fn forget(&mut self) {
        self.next = None;
    }

    /// What it has forgotten so is in sight again if the status bits still say so.
    pub(super) fn recall(&mut self) {
        if matches!(self.state, ClockState::Insert | ClockState::Delete) && self.next.is_none() {
            *self = Self::NONE;
        }
    }

    /// The second `secs` begins; by how many the clock leaps.
    pub(super) fn second(&mut self, status: Status, secs: i64) -> i64 {
        match self.state {
            ClockState::Ok if status.contains(Status::INS) => {
                self.state = ClockState::Insert;
                self.next = Some(next_midnight(secs));
            }
            ClockState::Ok if status.contains(Status::DEL) => {
                self.state = ClockState::Delete;
                self.next = Some(next_midnight(secs.saturating_add(1)).saturating_sub(1));
            }
            ClockState::Insert if !status.contains(Status::INS) => *self = Self::NONE,
            ClockState::Insert if self.next == Some(secs) => {
                self.state = ClockState::InProgress;
                return -1;
            }
            ClockState::Delete if !status.contains(Status::DEL) => *self = Self::NONE,
            ClockState::Delete if self.next == Some(secs) => {
                *self = Self { state: ClockState::Wait, next: None };
                return 1;
            }
            ClockState::InProgress => *self = Self { state: ClockState::Wait, next: None },
            ClockState::Wait if !status.intersects(Status::INS.union(Status::DEL)) => {
                self.state = ClockState::Ok;
            }
            _ => {}
        }
        0
    }

    /// In how many of the seconds after `secs` at least nothing changes.
    pub(super) fn steady(&self, status: Status, secs: i64) -> u64 {
        let wants = status.intersects(Status::INS.union(Status::DEL));
        let changes = match self.state {
            ClockState::Ok => wants,
            ClockState::Insert => !status.contains(Status::INS),
            ClockState::Delete => !status.contains(Status::DEL),
            ClockState::Wait => !wants,
            ClockState::InProgress | ClockState::Error => true,
        };
        match self.next {
            _ if changes => 0,
            Some(next) if next > secs => next.abs_diff(secs) - 1,
            _ => u64::MAX,
        }
    }
}

/// The first midnight after `secs`.
const fn next_midnight(secs: i64) -> i64 {
    secs.saturating_add(SECONDS_PER_DAY - secs.rem_euclid(SECONDS_PER_DAY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ClockState::{Delete, InProgress, Insert, Ok, Wait};

    const MIDNIGHT: i64 = 20_000 * SECONDS_PER_DAY;

    /// The states in the seconds from `from` on, as the clock counts them, and how it leaps.
    fn states(status: Status, from: i64, count: usize) -> std::vec::Vec<(i64, ClockState)> {
        let (mut leap, mut secs) = (Leap::NONE, from - 1);
        let second = |_| {
            secs += 1;
            secs += leap.second(status, secs);
            (secs, leap.state())
        };
        (0..count).map(second).collect()
    }

    #[test]
    fn inserted_second_is_the_last_once_more() {
        let expected = [
            (MIDNIGHT - 2, Insert),
            (MIDNIGHT - 1, Insert),
            (MIDNIGHT - 1, InProgress),
            (MIDNIGHT, Wait),
            (MIDNIGHT + 1, Wait),
        ];
        assert_eq!(states(Status::INS, MIDNIGHT - 2, 5), expected);
    }

    #[test]
    fn deleted_second_is_skipped() {
        let expected = [
            (MIDNIGHT - 3, Delete),
            (MIDNIGHT - 2, Delete),
            (MIDNIGHT, Wait),
            (MIDNIGHT + 1, Wait),
        ];
        assert_eq!(states(Status::DEL, MIDNIGHT - 3, 4), expected);
        // Told in the second before it would be deleted, it is the next day's.
        assert_eq!(states(Status::DEL, MIDNIGHT - 1, 2)[1], (MIDNIGHT, Delete));
        assert_eq!(states(Status::INS | Status::DEL, MIDNIGHT - 2, 1)[0].1, Insert);
    }

    #[test]
    fn cleared_bits_lead_back() {
        for (bit, state) in [(Status::INS, Insert), (Status::DEL, Delete)] {
            let mut leap = Leap::NONE;
            leap.second(bit, MIDNIGHT - 9);
            assert_eq!(leap.state(), state);
            leap.second(Status::empty(), MIDNIGHT - 8);
            assert_eq!(leap, Leap::NONE);
        }
        let mut leap = Leap { state: Wait, next: None };
        leap.second(Status::INS, MIDNIGHT);
        assert_eq!(leap.state(), Wait);
        leap.second(Status::PLL, MIDNIGHT);
        assert_eq!(leap.state(), Ok);
    }

    #[test]
    fn forgotten_leap_is_not_made() {
        let mut leap = Leap::NONE;
        leap.second(Status::INS, MIDNIGHT - 9);
        leap.forget();
        assert_eq!((leap.second(Status::INS, MIDNIGHT), leap.state()), (0, Insert));
        leap.recall();
        assert_eq!((leap.second(Status::INS, MIDNIGHT - 9), leap.state()), (0, Insert));
        // In the last second too.
        leap.recall();
        assert_eq!((leap.second(Status::INS, MIDNIGHT), leap.state()), (-1, InProgress));
    }
}
