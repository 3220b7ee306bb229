//! Which wanders of the frequency are reckoned with.
//!
//! Three neighbours slide along a ladder to where the weight is. A fourth stands above them as an
//! alarm: without it, steps of frequency take two to three times as long. Source: `ALGORITHM` §6.

/// Wanders for each kind of noise: three that slide, and the alarm.
pub const WANDERS: usize = 4;
/// The place of the alarm.
pub const ALARM: usize = WANDERS - 1;
/// Random walks of frequency, half a decade apart, in µs/s per √s: 3e-11 to 3e-7 /√s, from an
/// oven to a crystal in the sun. The last one is the alarm's.
const RUNGS: [f32; 9] =
    [3e-5, 9.486_833e-5, 3e-4, 9.486_833e-4, 3e-3, 9.486_833e-3, 3e-2, 9.486_833e-2, 3e-1];
/// Where the lowest of the sliding three starts: 3e-10 /√s.
const FIRST: u8 = 2;
/// Where it is at most, so that the highest is 1e-7 /√s.
const LAST: u8 = (RUNGS.len() - 1 - ALARM) as u8;
/// The most likely wander, 10^-9.5 /√s, as a place on the ladder.
const LIKELY: f32 = 2.045_757;
/// What a wander is less likely by, in nats per square of a rung: 0.3 per decade squared.
const CURVATURE: f32 = 0.075;
/// The share of the weight at which the three slide.
const MAJORITY: f32 = 0.5;
/// And the alarm's, at which they take its state and forget their own: after a long gap a few late
/// packets give it a half.
const ALARM_MAJORITY: f32 = 0.97;
/// What a filter loses in weight, in nats, when it is copied to another wander.
const COPY_COST: f32 = 1.0;

/// Where the sliding wanders are.
#[derive(Debug, Clone, Copy)]
pub struct Ladder {
    lowest: u8,
}

/// Where the filter of a sliding wander comes from, and what its log weight loses.
pub type Origin = (usize, f32);

impl Ladder {
    pub const fn new() -> Self {
        Self { lowest: FIRST }
    }

    fn rung(self, place: usize) -> usize {
        let last = RUNGS.len() - 1;
        if place == ALARM { last } else { last.min(usize::from(self.lowest) + place) }
    }

    /// The wander at a place, µs/s per √s.
    pub fn wander(self, place: usize) -> f32 {
        RUNGS[self.rung(place)]
    }

    /// Logarithm of its probability beforehand.
    pub fn prior(self, place: usize) -> f32 {
        let from_likely = self.rung(place) as f32 - LIKELY;
        -CURVATURE * from_likely * from_likely
    }

    /// Moves to where the weight is, and says what the filters of the sliding wanders become. What
    /// is given up is a filter at the other end; what is new begins as a copy of its neighbour, or
    /// of the alarm.
    pub fn slide(&mut self, weights: &[f32; WANDERS]) -> Option<[Origin; ALARM]> {
        let total = weights.iter().sum::<f32>();
        let majority = MAJORITY * total;
        let (lowest, origins) = if weights[ALARM] > ALARM_MAJORITY * total {
            (LAST, [(ALARM, COPY_COST); ALARM])
        } else if weights[ALARM - 1] > majority {
            (LAST.min(self.lowest + 1), [(1, 0.0), (2, 0.0), (2, COPY_COST)])
        } else if weights[0] > majority {
            (self.lowest.saturating_sub(1), [(0, COPY_COST), (0, 0.0), (1, 0.0)])
        } else {
            return None;
        };
        (core::mem::replace(&mut self.lowest, lowest) != lowest).then_some(origins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rungs_are_half_decades() {
        for (place, rung) in RUNGS.into_iter().enumerate() {
            let expected = 3e-5 * libm::pow(10.0, place as f64 / 2.0);
            assert!((f64::from(rung) / expected - 1.0).abs() < 1e-6);
        }
        let ladder = Ladder { lowest: LAST };
        assert!((ladder.wander(ALARM - 1) - 0.1).abs() < 0.01, "1e-7 /√s at most");
        for place in 0..WANDERS {
            let decades = libm::log10(f64::from(ladder.wander(place)) * 1e-6) + 9.5;
            let expected = -0.3 * decades * decades;
            assert!((f64::from(ladder.prior(place)) - expected).abs() < 1e-5, "at {place}");
        }
    }

    #[test]
    fn slides_to_the_weight_and_stops_at_the_ends() {
        let mut ladder = Ladder::new();
        let start = ladder.wander(0);
        assert_eq!(ladder.slide(&[0.3, 0.4, 0.3, 0.0]), None);
        assert_eq!(ladder.slide(&[0.1, 0.2, 0.7, 0.0]), Some([(1, 0.0), (2, 0.0), (2, 1.0)]));
        assert_eq!(ladder.slide(&[0.7, 0.2, 0.1, 0.0]), Some([(0, 1.0), (0, 0.0), (1, 0.0)]));
        assert_eq!(ladder.wander(0), start);
        let down = (0..9).filter(|_| ladder.slide(&[0.7, 0.2, 0.1, 0.0]).is_some()).count();
        assert_eq!((down, ladder.wander(0)), (2, RUNGS[0]));
        assert_eq!(ladder.slide(&[0.1, 0.1, 0.1, 0.7]), None);
        assert_eq!(ladder.slide(&[0.01, 0.005, 0.005, 0.98]), Some([(3, 1.0); 3]));
        assert_eq!(ladder.wander(2), RUNGS[7]);
        assert_eq!(ladder.slide(&[0.01, 0.005, 0.005, 0.98]), None);
        assert_eq!(ladder.slide(&[0.1, 0.1, 0.7, 0.1]), None);
    }
}
