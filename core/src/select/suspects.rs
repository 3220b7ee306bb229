//! Who is not listened to although its interval overlaps: peers that jump and peers that run away.
//!
//! Jumps are seen against the last consensus, wrong frequencies against the other peers. Both take
//! a peer's own samples to begin and to end. If most peers seem to jump it was the local clock.

use super::Candidate;
use super::weights::Bias;
use crate::maths::hypot;
use crate::units::{Span, WallTime};

/// A frequency is wrong if it is this many standard deviations from the median ...
const FREQUENCY_LIMIT: f64 = 6.0;
/// ... in so many samples in a row,
const FREQUENCY_PROOF: u8 = 32;
/// and right again within so many of them.
const FREQUENCY_PARDON: f64 = 4.0;
/// Frequencies that differ by less are the same, as a ratio.
const FREQUENCY_FLOOR: f64 = 1e-9;
/// How many peers it takes to have a median that one alone cannot move.
const ELECTORATE: usize = 3;

/// Samples after which a peer's bias is known well enough to call a departure from it a jump.
const ACQUAINTED: u8 = 16;
/// It jumped if it departs by this many standard deviations ...
const SHIFT_LIMIT: f64 = 6.0;
/// ... and this share of its reach, which routes may add to or take away,
const SHIFT_SHARE: f64 = 0.05;
/// and what the local frequency may have changed by since its last sample, as a ratio. DEVIATION
/// from `ALGORITHM` §9: not 1e-5, which between polls of 1024 s lets jumps of 10 ms pass. A greater
/// change shows in most peers, and so is the local clock's;
const SHIFT_RATE: f64 = 1e-6;
/// for so long at most.
const SHIFT_SPAN: Span = Span::from_secs(2_048);
/// Jumps seen in a row after which it is how the peer is now.
const SHIFT_ACCEPTED: u8 = 200;

/// Good samples that clear a peer of either suspicion.
const PROBATION: u8 = 8;
/// After most peers seemed to jump, none is tested for as long: the longest of the usual polls
/// twice.
pub const AMNESTY: Span = Span::from_secs(2_048);

/// What is held against a peer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Suspicion {
    /// Samples in a row with a wrong frequency.
    frequency_strikes: u8,
    /// Good samples until its frequency is trusted again.
    frequency_probation: u8,
    /// Samples that were no good since it was suspected.
    shifts: u8,
    /// Good samples until it is trusted not to jump.
    shift_probation: u8,
    /// The free-running time of its last sample.
    sampled: Option<WallTime>,
}

impl Suspicion {
    /// Whether it is not listened to.
    pub const fn is_held(&self) -> bool {
        self.frequency_probation > 0 || self.is_shifted()
    }

    /// Whether that is for a jump.
    pub const fn is_shifted(&self) -> bool {
        self.shift_probation > 0
    }

    /// It was the local clock that jumped.
    pub fn pardon(&mut self) {
        self.shift_probation = 0;
        self.shifts = 0;
    }

    /// A sample whose frequency is `deviations` from the others'.
    pub fn frequency(&mut self, deviations: f64) {
        if deviations > FREQUENCY_LIMIT {
            self.frequency_strikes = self.frequency_strikes.saturating_add(1);
            if self.frequency_strikes >= FREQUENCY_PROOF {
                self.frequency_probation = PROBATION;
            }
        } else {
            self.frequency_strikes = 0;
            if deviations < FREQUENCY_PARDON {
                self.frequency_probation = self.frequency_probation.saturating_sub(1);
            }
        }
    }

    /// A sample of `candidate`, `departure` seconds from where it was expected with a standard
    /// deviation of `expected`. If that is how it is now its bias is to be learned anew.
    pub fn shift(
        &mut self,
        candidate: &Candidate,
        departure: f64,
        expected: f64,
        time: WallTime,
        bias: &mut Bias,
    ) {
        let least = candidate.interval.min(SHIFT_SPAN);
        let elapsed = self.sampled.replace(time).map_or(least, |sampled| time - sampled);
        if bias.samples() < ACQUAINTED {
            return;
        }
        let elapsed = elapsed.clamp(least, SHIFT_SPAN).as_secs_f64();
        let limit = SHIFT_LIMIT * hypot(candidate.offset_deviation, expected)
            + SHIFT_SHARE * candidate.reach
            + SHIFT_RATE * elapsed;
        if departure <= limit {
            self.shift_probation = self.shift_probation.saturating_sub(1);
            return;
        }
        if !self.is_shifted() {
            self.shifts = 0;
        }
        self.shift_probation = PROBATION;
        self.shifts = self.shifts.saturating_add(1);
        if self.shifts >= SHIFT_ACCEPTED {
            self.pardon();
            *bias = Bias::doubtful(departure);
        }
    }
}

/// How many standard deviations a candidate's frequency is from the median of `candidates`. `None`
/// if there is no telling, for they are too few or half of them would be wrong.
pub fn frequency_departure(candidates: &[Candidate], one: &Candidate) -> Option<f64> {
    let count = candidates.len();
    if count < ELECTORATE {
        return None;
    }
    let ranked = |rank: usize| {
        candidates.iter().enumerate().find(|(place, one)| {
            let key = (one.frequency, *place);
            let lower = |(place, other): (usize, &Candidate)| (other.frequency, place) < key;
            candidates.iter().enumerate().filter(|&other| lower(other)).count() == rank
        })
    };
    let ((_, low), (_, high)) = (ranked((count - 1) / 2)?, ranked(count / 2)?);
    let between = (high.frequency - low.frequency).as_ratio() / 2.0;
    let median_deviation = low.frequency_deviation.max(high.frequency_deviation);
    let deviations = |one: &Candidate| {
        let distance = (one.frequency - low.frequency).as_ratio() - between;
        let deviation = hypot(one.frequency_deviation, median_deviation);
        libm::fabs(distance) / hypot(deviation, FREQUENCY_FLOOR)
    };
    let wrong = candidates.iter().filter(|one| deviations(one) > FREQUENCY_LIMIT).count();
    (2 * wrong < count).then(|| deviations(one))
}

#[cfg(test)]
mod tests {
    use super::super::tests::candidate;
    use super::*;
    use crate::units::FreqOffset;

    fn ppb(frequency: i64) -> Candidate {
        let frequency = FreqOffset::from_ratio(frequency as f64 * 1e-9);
        Candidate { frequency, frequency_deviation: 1e-8, ..candidate(0, 0, 10) }
    }

    #[test]
    fn the_median_shows_who_runs_away() {
        // 100 ppb are 7.05 of √(10² + 10² + 1²) ppb.
        let three = [ppb(0), ppb(100), ppb(0)];
        let departure = frequency_departure(&three, &three[1]).unwrap();
        assert!((departure - 7.0534).abs() < 1e-3, "{departure}");
        assert_eq!(frequency_departure(&three, &three[0]), Some(0.0));
        assert_eq!(frequency_departure(&three[..2], &three[1]), None, "two have no median");
        // Between 0 and 60 ppb: half of them are 5 sigma below, one is 18 above.
        let four = [ppb(0), ppb(-1), ppb(60), ppb(300)];
        assert!((frequency_departure(&four, &four[3]).unwrap() - 19.04).abs() < 0.01);
        let split = [ppb(0), ppb(0), ppb(400), ppb(400)];
        assert_eq!(frequency_departure(&split, &split[0]), None, "half of them would be wrong");
    }

    #[test]
    fn a_wrong_frequency_is_held_against_it_after_32_samples_for_8_good_ones() {
        let mut suspicion = Suspicion::default();
        for _ in 0..31 {
            suspicion.frequency(7.0);
        }
        assert!(!suspicion.is_held());
        suspicion.frequency(7.0);
        assert!(suspicion.is_held());
        for _ in 0..20 {
            suspicion.frequency(5.0);
        }
        for _ in 0..7 {
            suspicion.frequency(1.0);
        }
        assert!(suspicion.is_held());
        suspicion.frequency(1.0);
        assert!(!suspicion.is_held());
    }

    #[test]
    fn a_jump_is_held_against_it_until_it_ends_or_is_accepted() {
        let one = Candidate {
            offset_deviation: 3e-6,
            reach: 1e-2,
            interval: Span::from_secs(64),
            ..candidate(0, 0, 10)
        };
        let at = |secs| WallTime::UNIX_EPOCH + Span::from_secs(secs);
        // 6 √(3² + 4²) us + 5 % of 10 ms + 1 ppm of 64 s, and of 2048 s.
        let limit = |secs: f64| 6.0 * 5e-6 + 5e-4 + 1e-6 * secs;
        let mut bias = Bias::default();
        let mut suspicion = Suspicion::default();
        suspicion.shift(&one, 1.0, 4e-6, at(0), &mut bias);
        assert!(!suspicion.is_held(), "it is not known yet");
        bias = Bias::known();
        suspicion.shift(&one, limit(64.0) * 0.999, 4e-6, at(1), &mut bias);
        assert!(!suspicion.is_held());
        suspicion.shift(&one, limit(2_048.0) * 0.999, 4e-6, at(100_000), &mut bias);
        assert!(!suspicion.is_held());
        suspicion.shift(&one, limit(64.0) * 1.001, 4e-6, at(100_001), &mut bias);
        assert!(suspicion.is_held());
        for good in 1..=8 {
            assert!(suspicion.is_held(), "after {good}");
            suspicion.shift(&one, 0.0, 4e-6, at(100_002), &mut bias);
        }
        assert!(!suspicion.is_held());

        for _ in 0..199 {
            suspicion.shift(&one, 0.5, 4e-6, at(100_002), &mut bias);
        }
        assert!(suspicion.is_held());
        suspicion.shift(&one, 0.5, 4e-6, at(100_002), &mut bias);
        assert_eq!((suspicion.is_held(), bias), (false, Bias::doubtful(0.5)));
    }
}
