//! One hypothesis' belief: a Kalman filter over the delays of the two directions and the
//! frequency, for noise that is one-sided.
//!
//! In single precision that holds only because the state is a small difference from a reference
//! (`sample`), and because what is measured, not offset and base delay, are its coordinates:
//! nothing large cancels. Source: `ALGORITHM` §2 to §4 and §6.

use super::noise::{Explanation, Noise, Scale};
use super::sample::Delays;
use crate::maths::sqrtf;

/// From us to the server: the delay seen is the base delay plus the offset.
pub const FORTH: usize = 0;
/// From the server to us: the delay seen is the base delay minus the offset.
pub const BACK: usize = 1;
/// The third coordinate.
const FREQUENCY: usize = 2;

/// White noise of the phase, (0.1 ns)²/s in µs²/s: keeps the prediction from certainty.
const PHASE_NOISE: f32 = 1e-8;
/// Random walk of the base delay, in squares of the jitter per second.
const BASE_WANDER: f32 = 1e-8;
/// The least variances: (1 ns)² and (1e-13)², in µs² and (µs/s)².
const LEAST: [f32; 3] = [1e-6, 1e-6, 1e-14];
/// One update leaves at least this share of a variance: the state itself is rounded to some 1e-7
/// of what it moved by. Less is the difference of two equal numbers, not knowledge.
const ROUNDING: f32 = 1e-12;
/// What correlations are brought back to if rounding lifts them beyond one.
const CORRELATION: f32 = 0.999;
/// The standard deviation of the frequency that is never exceeded: ten per cent, in µs/s.
pub const FREQUENCY_LIMIT: f32 = 1e5;

/// A belief about the clock, in µs and µs/s.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// Base delay plus offset, base delay minus offset, growth of the offset; each relative to
    /// the reference.
    pub state: [f32; 3],
    pub variance: [f32; 3],
    /// Covariances, in the order of [`products`].
    pub cross: [f32; 3],
    /// Logarithm of the hypothesis' weight, the best one's being zero.
    pub log_weight: f32,
}

impl Filter {
    /// Lets `gap` seconds pass, in which the frequency walks by `wander` (µs/s per √s).
    pub fn predict(&mut self, gap: f32, wander: f32, noise: Noise, scales: &[Scale; 2]) {
        let [forth, back, frequency] = self.variance;
        let [_, forth_frequency, back_frequency] = self.cross;
        let walk = wander * wander * gap;
        let phase = walk * gap * gap / 3.0 + PHASE_NOISE * gap;
        let jitter = scales[FORTH].jitter * scales[BACK].jitter;
        let steps = noise.base_steps();
        let base = jitter * (BASE_WANDER * gap + steps * steps);
        let drift = gap * frequency;
        self.state[FORTH] += gap * self.state[FREQUENCY];
        self.state[BACK] -= gap * self.state[FREQUENCY];
        self.variance = [
            forth + gap * (2.0 * forth_frequency + drift) + phase + base,
            back - gap * (2.0 * back_frequency - drift) + phase + base,
            frequency + walk,
        ];
        self.cross[0] += gap * (back_frequency - forth_frequency - drift) - phase + base;
        self.cross[1] += drift + 0.5 * walk * gap;
        self.cross[2] -= drift + 0.5 * walk * gap;
    }

    /// How much longer one direction took than predicted.
    pub fn innovation(&self, delays: &Delays, direction: usize) -> f32 {
        let direction = direction.min(BACK);
        delays.seen[direction] - self.state[direction] + delays.half * self.state[FREQUENCY]
    }

    /// Takes one direction in.
    pub fn update(
        &mut self,
        delays: &Delays,
        direction: usize,
        noise: Noise,
        scale: Scale,
    ) -> Explanation {
        let direction = direction.min(BACK);
        // The delay is that of the exchange's middle, less what the clock gains on the way.
        let gain = self.covariances(direction, delays.half);
        let predicted = (gain[direction] - delays.half * gain[FREQUENCY]).max(0.0);
        let innovation = self.innovation(delays, direction);
        let explanation = noise.explain(innovation, predicted, scale);
        let Explanation { step, shrink, .. } = explanation;
        let least = self.variance.map(|before| ROUNDING * before);
        for place in 0..3 {
            self.state[place] += gain[place] * step;
            self.variance[place] -= gain[place] * gain[place] * shrink;
            self.variance[place] = self.variance[place].max(least[place]);
        }
        for (cross, product) in self.cross.iter_mut().zip(products(gain)) {
            *cross -= product * shrink;
        }
        self.bound();
        explanation
    }

    /// Covariances of the coordinates with what is seen of `direction`.
    fn covariances(&self, direction: usize, half: f32) -> [f32; 3] {
        let [forth_back, forth_frequency, back_frequency] = self.cross;
        let with_direction = match direction {
            FORTH => [self.variance[FORTH], forth_back, forth_frequency],
            _ => [forth_back, self.variance[BACK], back_frequency],
        };
        let with_frequency = [forth_frequency, back_frequency, self.variance[FREQUENCY]];
        core::array::from_fn(|place| with_direction[place] - half * with_frequency[place])
    }

    /// Keeps variances positive and correlations below one, whatever was rounded.
    fn bound(&mut self) {
        for (variance, least) in self.variance.iter_mut().zip(LEAST) {
            *variance = variance.max(least);
        }
        let deviation = self.variance.map(sqrtf);
        for (cross, greatest) in self.cross.iter_mut().zip(products(deviation)) {
            if cross.abs() > greatest {
                *cross = cross.signum() * CORRELATION * greatest;
            }
        }
    }

    /// Less is known: the offset may have moved by `offset`, the base delay by `base` and the
    /// frequency by `frequency`, each a standard deviation.
    pub fn loosen(&mut self, offset: f32, base: f32, frequency: f32) {
        let (offset, base) = (offset * offset, base * base);
        self.variance[FORTH] += offset + base;
        self.variance[BACK] += offset + base;
        self.cross[0] += base - offset;
        let limit = FREQUENCY_LIMIT * FREQUENCY_LIMIT;
        self.variance[FREQUENCY] = (self.variance[FREQUENCY] + frequency * frequency).min(limit);
    }

    /// The base delay has become longer by `by`.
    pub fn lengthen(&mut self, by: f32) {
        self.state[FORTH] += by;
        self.state[BACK] += by;
    }

    /// One filter with the mean and the variance of several, whose shares add up to one.
    pub fn merge(parts: &[(&Self, f32)]) -> Self {
        let mut merged = Self::default();
        for (filter, share) in parts {
            for (sum, value) in merged.state.iter_mut().zip(filter.state) {
                *sum += share * value;
            }
        }
        for (filter, share) in parts {
            let from_mean: [f32; 3] =
                core::array::from_fn(|place| filter.state[place] - merged.state[place]);
            let cross = products(from_mean);
            for place in 0..3 {
                let spread = from_mean[place] * from_mean[place];
                merged.variance[place] += share * (filter.variance[place] + spread);
                merged.cross[place] += share * (filter.cross[place] + cross[place]);
            }
        }
        merged
    }

    /// Whether it can be reckoned with: it has not diverged.
    pub fn is_sound(&self) -> bool {
        let bounded = |values: &[f32], limit: f32| values.iter().all(|value| value.abs() < limit);
        bounded(&self.state, 1e10) && bounded(&self.variance, 1e30) && bounded(&self.cross, 1e30)
    }
}

/// What pairs of coordinates make: both directions, and each of them with the frequency.
fn products([forth, back, frequency]: [f32; 3]) -> [f32; 3] {
    [forth * back, forth * frequency, back * frequency]
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIRS: [(usize, usize); 3] = [(FORTH, BACK), (FORTH, FREQUENCY), (BACK, FREQUENCY)];

    fn filter() -> Filter {
        Filter {
            state: [3.0, -5.0, 0.25],
            variance: [400.0, 900.0, 4.0],
            cross: [-300.0, 8.0, -12.0],
            log_weight: 0.0,
        }
    }

    /// The covariance of two coordinates.
    fn covariance(filter: &Filter, one: usize, other: usize) -> f32 {
        if one == other {
            return filter.variance[one];
        }
        let pair = (one.min(other), one.max(other));
        filter.cross[PAIRS.iter().position(|it| *it == pair).unwrap()]
    }

    #[test]
    fn prediction_is_the_transition_of_every_covariance() {
        let scales = [Scale::new(10.0); 2];
        let before = filter();
        let mut after = before;
        after.predict(16.0, 0.5, Noise::Common, &scales);
        assert_eq!(after.state, [7.0, -9.0, 0.25]);
        let transition = [[1.0, 0.0, 16.0], [0.0, 1.0, -16.0], [0.0, 0.0, 1.0]];
        let (walk, base) = (0.25f32 * 16.0, 100.0 * (1.0 + 16e-8));
        let phase = walk * 256.0 / 3.0 + 16e-8;
        let added = [
            [phase + base, base - phase, walk * 8.0],
            [base - phase, phase + base, -walk * 8.0],
            [walk * 8.0, -walk * 8.0, walk],
        ];
        for one in 0..3 {
            for other in 0..3 {
                let mut expected = added[one][other];
                for i in 0..3 {
                    for j in 0..3 {
                        expected +=
                            transition[one][i] * covariance(&before, i, j) * transition[other][j];
                    }
                }
                let got = covariance(&after, one, other);
                assert!((got - expected).abs() < 1e-3 * expected.abs(), "{one} {other}");
            }
        }
    }

    #[test]
    fn an_update_of_symmetric_noise_is_kalmans() {
        let scale = Scale::new(10.0);
        for direction in [FORTH, BACK] {
            let before = filter();
            let mut after = before;
            let delays = Delays { gap: 0.0, seen: [20.0, 12.0], half: 2.0 };
            let seen = [1.0, 1.0, -2.0];
            let row = |place: usize| {
                covariance(&before, place, direction) + seen[2] * covariance(&before, place, 2)
            };
            let variance = row(direction) + seen[2] * row(2) + 100.0 + 9e-4;
            let innovation = delays.seen[direction] - before.state[direction] + 2.0 * 0.25;
            after.update(&delays, direction, Noise::Stamps, scale);
            for one in 0..3 {
                let state = before.state[one] + row(one) * innovation / variance;
                assert!((after.state[one] - state).abs() < 1e-4, "{one}");
                for other in 0..3 {
                    let expected =
                        covariance(&before, one, other) - row(one) * row(other) / variance;
                    assert!((covariance(&after, one, other) - expected).abs() < 1e-2);
                }
            }
        }
    }

    #[test]
    fn variances_and_correlations_survive_rounding() {
        let mut filter = Filter { variance: [1e18, 1e18, 1e4], ..Filter::default() };
        filter.cross = [-1e18, 0.0, 0.0];
        let mut truth = [1e9, -1e9];
        for _ in 0..8 {
            let delays = Delays { gap: 0.0, seen: truth, half: 0.01 };
            for direction in [FORTH, BACK] {
                filter.update(&delays, direction, Noise::Queueing, Scale::new(1.0));
                assert!(filter.is_sound() && filter.variance.iter().all(|one| *one > 0.0));
            }
            // As the bank does, so that what remains is resolved.
            for (place, truth) in truth.iter_mut().enumerate() {
                *truth -= filter.state[place];
                filter.state[place] = 0.0;
            }
        }
        for (place, error) in truth.into_iter().enumerate() {
            let deviation = sqrtf(filter.variance[place]);
            assert!(error.abs() < 5.0 * deviation + 5.0, "{error} ± {deviation}");
        }
    }

    #[test]
    fn merging_adds_the_spread() {
        let low = Filter { state: [0.0, 0.0, -1.0], variance: [1.0; 3], ..Filter::default() };
        let high = Filter { state: [2.0, -2.0, 1.0], variance: [1.0; 3], ..Filter::default() };
        let merged = Filter::merge(&[(&low, 0.5), (&high, 0.5)]);
        assert_eq!(merged.state, [1.0, -1.0, 0.0]);
        assert_eq!(merged.variance, [2.0; 3]);
        assert_eq!(merged.cross, [-1.0, 1.0, -1.0]);
    }
}
