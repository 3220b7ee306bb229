//! A straight line below the first samples: what they say of a clock that hardly wanders.
//!
//! A filter keeps a normal distribution, which the first samples of a noisy path are far from:
//! they say no more than that the delays lie above a line. For exponential delays and a constant
//! frequency all that is known of the line follows from the lower convex hulls of the delays seen,
//! and is worked out exactly, but for one integral. Source: `ALGORITHM` §7.

use heapless::Vec;

use super::filter::{BACK, FORTH, Filter};
use super::sample::{Reference, Sample, micros};
use crate::holdover::UNKNOWN_FREQUENCY;
use crate::maths::{exp, log};
use crate::units::{Span, WallTime};

/// Corners of a hull. Of n delays about 2 ln n are corners.
const CORNERS: usize = 12;
/// The frequency is looked for that far from what it was taken to be, in µs/s.
const REACH: f64 = 1e3;
/// The probability that counts as none, in nats.
const NEGLIGIBLE: f64 = 14.0;
/// Steps of the search for the most probable frequency, and of those for what is negligible.
const STEPS: u32 = 40;
/// Points of the integral.
const POINTS: u32 = 48;
/// Samples that tell how far delays are above a line.
const ENOUGH: f64 = 5.0;
/// By so many nats must samples speak against what was known of the frequency to outweigh it.
const DISBELIEF: f64 = 16.0;
/// The golden section.
const GOLDEN: f64 = 0.618_033_988_749_894_9;
/// The least mean delay, 10 ns in µs.
const LEAST_JITTER: f64 = 0.01;
/// Variance of reading a clock twice, (30 ns)² in µs².
const READING_VARIANCE: f64 = 9e-4;
/// What a random walk of the frequency puts between a straight line over the time T and its end,
/// for a walk of one: variance of the frequency over T, of the offset over T³, covariance over T².
const WALK: [f32; 3] = [0.37, 0.033, 0.08];

/// A delay seen: when, in seconds since the first sample, and how long, in µs.
type Point = [f32; 2];

/// The lower convex hull of one direction's delays, and their sums.
#[derive(Debug, Clone, Default)]
struct Hull {
    corners: Vec<Point, CORNERS>,
    times: f64,
    delays: f64,
}

impl Hull {
    /// False if there is no room, or time goes back.
    fn add(&mut self, time: f64, delay: f64) -> bool {
        self.times += time;
        self.delays += delay;
        let point = [time as f32, delay as f32];
        while let [.., before, last] = self.corners[..] {
            let rise = |from: Point, to: Point| (to[1] - from[1], to[0] - from[0]);
            let ((up, along), (its_up, its_along)) = (rise(before, last), rise(before, point));
            if up * its_along < its_up * along {
                break;
            }
            self.corners.pop();
        }
        let onwards = self.corners.last().is_none_or(|last| last[0] < point[0]);
        onwards && self.corners.push(point).is_ok()
    }

    /// The greatest base delay at `now`, if it changes by `slope` per second, that is below all.
    fn below(&self, now: f64, slope: f64) -> f64 {
        let at_now = |[time, delay]: &Point| f64::from(*delay) + slope * (now - f64::from(*time));
        self.corners.iter().map(at_now).fold(f64::MAX, f64::min)
    }
}

/// What is known while nothing but a straight line has been seen.
#[derive(Debug, Clone)]
pub struct Line {
    first: WallTime,
    /// What the frequency was taken to be, µs/s, and the standard deviation of that.
    frequency: [f64; 2],
    count: f64,
    now: f64,
    hulls: [Hull; 2],
}

/// A frequency, relative to what it was taken to be, and what it makes of the rest.
struct Slope {
    frequency: f64,
    /// Of the delays at the end, the greatest that are possible.
    below: [f64; 2],
    /// The mean of what is above.
    jitter: f64,
    /// Logarithm of its probability, negative.
    energy: f64,
}

impl Line {
    /// Of a clock whose frequency is about `frequency` µs/s, give or take `deviation`.
    pub fn new(first: &Sample, frequency: f64, deviation: f64) -> Self {
        let frequency = [frequency, deviation];
        Self { first: first.time, frequency, count: 0.0, now: 0.0, hulls: Default::default() }
    }

    /// One more sample, seen as an offset from `offset`. False if it cannot be taken in.
    pub fn add(&mut self, sample: &Sample, offset: Span) -> bool {
        self.now = (sample.time - self.first).as_secs_f64();
        self.count += 1.0;
        let half = sample.half.as_secs_f64();
        let gained = self.frequency[0] * self.now;
        let owed = self.frequency[0] * half;
        let [forth, back] = &mut self.hulls;
        forth.add(self.now - half, micros(sample.forth - offset) - gained + owed)
            && back.add(self.now + half, micros(sample.back + offset) + gained + owed)
    }

    /// Whether there are enough samples to tell how far the delays are above it.
    pub fn is_telling(&self) -> bool {
        self.count >= ENOUGH
    }

    fn slope(&self, frequency: f64) -> Slope {
        let [forth, back] = &self.hulls;
        let below = [forth.below(self.now, frequency), back.below(self.now, -frequency)];
        let times = self.count * self.now;
        let above =
            forth.delays + back.delays + frequency * ((times - forth.times) - (times - back.times))
                - self.count * (below[FORTH] + below[BACK]);
        let freedom = 2.0 * self.count - 3.0;
        let jitter = above.max(0.0) / freedom + LEAST_JITTER;
        let surprise = frequency / self.frequency[1];
        let energy = freedom * log(jitter) + 0.5 * surprise * surprise;
        Slope { frequency, below, jitter, energy }
    }

    /// The most probable frequency.
    fn likeliest(&self) -> Slope {
        let (mut low, mut high) = (-REACH, REACH);
        for _ in 0..STEPS {
            let inner = GOLDEN * (high - low);
            let (left, right) = (high - inner, low + inner);
            if self.slope(left).energy < self.slope(right).energy {
                high = right;
            } else {
                low = left;
            }
        }
        self.slope(0.5 * (low + high))
    }

    /// What was known of the frequency may be of another oscillator: forgets it if all samples together
    /// speak against it. The most probable frequency then.
    fn doubt(&mut self) -> Slope {
        let unknown = UNKNOWN_FREQUENCY * 1e6;
        let likeliest = self.likeliest();
        if self.frequency[1] < unknown {
            let known = core::mem::replace(&mut self.frequency[1], unknown);
            let free = self.likeliest();
            if free.energy + DISBELIEF < likeliest.energy {
                return free;
            }
            self.frequency[1] = known;
        }
        likeliest
    }

    /// What is known of the end of the line, relative to `reference`.
    pub fn filter(&mut self, reference: &Reference) -> Filter {
        let best = self.doubt();
        let edge = |mut outside: f64| {
            let mut inside = best.frequency;
            for _ in 0..STEPS {
                let middle = 0.5 * (inside + outside);
                if self.slope(middle).energy < best.energy + NEGLIGIBLE {
                    inside = middle;
                } else {
                    outside = middle;
                }
            }
            outside
        };
        let (low, high) = (edge(-REACH), edge(REACH));
        let (mut total, mut mean, mut squares, mut own) = (0.0, [0.0; 3], [[0.0; 3]; 3], 0.0);
        for point in 0..POINTS {
            let share = (f64::from(point) + 0.5) / f64::from(POINTS);
            let slope = self.slope(low + share * (high - low));
            let weight = exp(best.energy - slope.energy);
            let excess = slope.jitter / self.count;
            let [forth, back] = slope.below.map(|below| below - excess);
            // From the likeliest, so that little cancels.
            let from = [
                forth - best.below[FORTH],
                back - best.below[BACK],
                slope.frequency - best.frequency,
            ];
            total += weight;
            own += weight * excess * excess;
            for (one, value) in from.into_iter().enumerate() {
                mean[one] += weight * value;
                for (square, other) in squares[one].iter_mut().zip(from) {
                    *square += weight * value * other;
                }
            }
        }
        let mean = mean.map(|sum| sum / total);
        let covariance = |one: usize, other: usize| {
            (squares[one][other] / total - mean[one] * mean[other]) as f32
        };
        let own = (own / total + READING_VARIANCE) as f32;
        let gained = self.frequency[0] * self.now;
        let [forth, back, frequency] = [
            best.below[FORTH] + mean[FORTH] + gained,
            best.below[BACK] + mean[BACK] - gained,
            best.frequency + mean[2] + self.frequency[0],
        ];
        let state = [
            forth - reference.state[FORTH],
            back - reference.state[BACK],
            frequency - reference.state[2],
        ];
        Filter {
            state: state.map(|value| value as f32),
            variance: [covariance(0, 0) + own, covariance(1, 1) + own, covariance(2, 2)],
            cross: [covariance(0, 1), covariance(0, 2), covariance(1, 2)],
            log_weight: 0.0,
        }
    }

    /// `end` of the line for a clock that wanders after all, by `wander` µs/s per √s; `None` if
    /// that makes the frequency more uncertain than the delays do.
    pub fn bend(&self, end: &Filter, wander: f32) -> Option<Filter> {
        let time = self.now as f32;
        let walk = wander * wander * time;
        let rate = WALK[0] * walk;
        let offset = WALK[1] * walk * time * time;
        let both = WALK[2] * walk * time;
        let [forth, back, frequency] = end.variance;
        let [forth_back, forth_frequency, back_frequency] = end.cross;
        (rate < frequency).then_some(Filter {
            variance: [forth + offset, back + offset, frequency + rate],
            cross: [forth_back - offset, forth_frequency + both, back_frequency - both],
            ..*end
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::tests::world::{Rng, at};

    /// A sample `time` seconds after the start, the source being ahead by `gain` per second, and
    /// delayed by `delays` seconds.
    fn sample(time: f64, gain: f64, delays: [f64; 2]) -> Sample {
        let offset = gain * time;
        let [forth, back] =
            [delays[FORTH] + offset, delays[BACK] - offset].map(Span::from_secs_f64);
        Sample {
            time: at(time),
            forth,
            back,
            half: Span::from_secs_f64(0.5 * (delays[0] + delays[1])),
        }
    }

    fn reference(time: f64) -> Reference {
        Reference { time: at(time), offset: Span::ZERO, state: [0.0; 3] }
    }

    /// Times from 2 s apart to 64 s, half an hour in all.
    fn times() -> std::vec::Vec<f64> {
        let mut gap = 2.0;
        let next = |time: &f64| {
            gap = f64::min(1.2 * gap, 64.0);
            Some(time + gap)
        };
        std::iter::successors(Some(0.0), next).take_while(|time| *time < 1_800.0).collect()
    }

    #[test]
    fn noisy_delays_tell_the_frequency_as_well_as_they_can() {
        const SEEDS: u64 = 100;
        let (mut sum, mut delays, mut normalized) = (0.0, 0.0, [0.0; 3]);
        for seed in 1..=SEEDS {
            let mut rng = Rng::new(seed);
            let gain = 1e-6;
            let mut line = None;
            for time in times() {
                let delays = [(); 2].map(|()| 1e-3 + 1e-2 * rng.exponential());
                let sample = sample(time, gain, delays);
                let line = line.get_or_insert_with(|| Line::new(&sample, 0.0, 100.0));
                assert!(line.add(&sample, Span::ZERO));
            }
            let end = *times().last().unwrap();
            let Filter { state, variance, .. } = line.unwrap().filter(&reference(end));
            let truth = [1e3 + end, 1e3 - end, 1.0];
            sum += f64::from(state[2] - 1.0).abs();
            delays += (f64::from(state[FORTH]) - truth[FORTH]).abs();
            for place in 0..3 {
                let error = f64::from(state[place]) - truth[place];
                normalized[place] += error * error / f64::from(variance[place]);
            }
        }
        // A numerical integration of the exact likelihood, for delays of a known mean, gives 0.30.
        let mean = sum / SEEDS as f64;
        assert!(mean < 0.36, "{mean} ppm");
        // 0.2 ms by the frequency, and as much by the least of 45 delays of 10 ms on average.
        let mean = delays / SEEDS as f64;
        assert!(mean < 500.0, "{mean} us");
        for one in normalized.map(|sum| sum / SEEDS as f64) {
            assert!((0.6..1.6).contains(&one), "{normalized:?}");
        }
    }

    #[test]
    fn an_outlier_does_not_move_it() {
        let line = |late: f64| {
            let mut rng = Rng::new(1);
            let mut line = Line::new(&sample(0.0, 0.0, [1e-3; 2]), 0.0, 100.0);
            for (place, time) in times().into_iter().enumerate() {
                let mut delays = [(); 2].map(|()| 1e-3 + 1e-4 * rng.exponential());
                if place == 20 {
                    delays[FORTH] += late;
                }
                assert!(line.add(&sample(time, 0.0, delays), Span::ZERO));
            }
            line.filter(&reference(1_800.0))
        };
        let (without, with) = (line(0.0), line(0.05));
        let moved = (with.state[2] - without.state[2]).abs();
        assert!(moved < libm::sqrtf(with.variance[2]), "{moved} ppm");
    }

    #[test]
    fn what_it_has_no_room_for_ends_it() {
        let first = sample(0.0, 0.0, [1e-3; 2]);
        let mut line = Line::new(&first, 0.0, 100.0);
        // On a parabola each delay is a corner.
        let mut add =
            |time: f64| line.add(&sample(time, 0.0, [1e-3 + 1e-6 * time * time, 1e-3]), Span::ZERO);
        let taken = (0..20).take_while(|n| add(f64::from(*n) * 16.0)).count();
        assert_eq!(taken, CORNERS);
        let mut line = Line::new(&first, 0.0, 100.0);
        assert!(line.add(&sample(16.0, 0.0, [1e-3; 2]), Span::ZERO));
        assert!(!line.add(&sample(8.0, 0.0, [1e-3; 2]), Span::ZERO));
    }

    #[test]
    fn a_clock_that_wanders_soon_leaves_it() {
        let mut line = Line::new(&sample(0.0, 0.0, [1e-3; 2]), 0.0, 100.0);
        line.now = 1_000.0;
        let end = Filter { variance: [1e4, 1e4, 1e-2], ..Filter::default() };
        assert!(line.bend(&end, 1e-2).is_none(), "0.37 (ppm)²/ks of walk");
        let bent = line.bend(&end, 1e-3).unwrap();
        assert!((bent.variance[2] - 1.037e-2).abs() < 1e-5 && bent.cross[1] > 0.0);
    }
}
