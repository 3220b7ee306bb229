//! How measurements err, by hypothesis, and what an innovation says under each.
//!
//! Queueing only ever adds: a direction's error is one-sided, so a prompt packet pins the clock
//! from one side far more tightly than a mean of many does. Source: `ALGORITHM` §4 and §5.
//! Times are in microseconds, variances in their squares.

use libm::{expf, logf};

use crate::maths::sqrtf;

/// Variance of reading a clock twice, (30 ns)²: no measurement is better.
const READING_VARIANCE: f32 = 9e-4;
/// The least scale of jitter, 10 ns: below it only resolution is left.
const LEAST_JITTER: f32 = 0.01;
/// The share of outliers that is reckoned with at least; without any, a burst is believed.
const FEWEST_OUTLIERS: f32 = 0.005;
/// The share of outliers that is reckoned with at most.
const MOST_OUTLIERS: f32 = 0.5;
/// The share of outliers before any has been seen.
const USUAL_OUTLIERS: f32 = 0.02;
/// Mean delays of outliers, in jitters; both kinds are as frequent. Two decades apart, because
/// their logarithm is what has to be about right.
const OUTLIER_SCALES: [f32; 2] = [20.0, 1e3];
/// Below this many deviations (for delays: and jitters) no outlier is worth its evaluation.
const OUTLIERS_FROM: f32 = 3.0;

/// 1/√(2π), the height of the standard normal density.
const NORMAL_PEAK: f32 = 0.398_942_3;
/// √(2/π).
const SQRT_2_OVER_PI: f32 = 0.797_884_6;
/// From here down the hazard's asymptotic series is closer than what cancellation leaves.
const SERIES_BELOW: f32 = -12.0;

/// What disturbs the measurements of one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noise {
    /// Symmetric, as from coarse or late time stamps.
    Stamps,
    /// Queueing that differs between the directions.
    Asymmetric,
    /// Ordinary queueing, alike in both directions.
    Queueing,
    /// Queueing and stamps, or delays that are distributed like a gamma variable.
    Mixed,
    /// Queueing that delays both directions of an exchange together.
    Common,
}

/// What has been learnt of one direction's noise.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// Mean excess delay; for [`Noise::Stamps`] the standard deviation.
    pub jitter: f32,
    /// The share of outliers.
    pub outliers: f32,
}

/// What an innovation says.
#[derive(Debug, Clone, Copy)]
pub struct Explanation {
    /// Logarithm of the density that was predicted for it.
    pub evidence: f32,
    /// The part of it that the state is to blame for, in units of the innovation's variance.
    pub step: f32,
    /// By how much that is now better known: what certainty of the innovation's cause would take
    /// away is one over its variance, ignorance leaves zero.
    pub shrink: f32,
    /// The probability that it is no outlier.
    pub inlier: f32,
    /// What it is then worth for the jitter: the delay, or the square of the deviation.
    excess: f32,
}

impl Noise {
    /// All, the most useful first: the first two do without the others but for up to 12 % under
    /// gamma-distributed delays.
    pub const ALL: [Self; 5] =
        [Self::Stamps, Self::Asymmetric, Self::Queueing, Self::Mixed, Self::Common];

    /// Logarithm of its probability beforehand, relative to ordinary queueing.
    pub const fn prior(self) -> f32 {
        match self {
            Self::Queueing => 0.0,
            _ => -1.0,
        }
    }

    /// Whether what is seen is never below a base delay that stays where it is.
    pub const fn is_one_sided(self) -> bool {
        matches!(self, Self::Queueing | Self::Asymmetric)
    }

    /// Random steps of the base delay at each sample, in jitters.
    pub const fn base_steps(self) -> f32 {
        match self {
            Self::Common => 1.0,
            _ => 0.0,
        }
    }

    /// The variance of the symmetric part of the noise. For queueing it is a hundredth of the
    /// jitter; five hundredths cost 30 to 60 % on quiet clocks.
    pub fn symmetric_variance(self, jitter: f32) -> f32 {
        let share = match self {
            Self::Stamps => 1.0,
            Self::Mixed => 0.4,
            _ => 0.01,
        };
        share * share * jitter * jitter
    }

    /// What `innovation` says if the state predicts it with variance `predicted`.
    pub fn explain(self, innovation: f32, predicted: f32, scale: Scale) -> Explanation {
        let symmetric = self.symmetric_variance(scale.jitter) + READING_VARIANCE;
        let variance = predicted + symmetric;
        let deviation = sqrtf(variance);
        let delayed = |share, jitter| delayed(innovation, variance, deviation, share, jitter);
        let share = 1.0 - scale.outliers;
        let (usual, late, excess) = if self == Self::Stamps {
            let residual = innovation * symmetric / variance;
            let excess = residual * residual + predicted * symmetric / variance;
            (gaussian(innovation, deviation, share), deviation, excess)
        } else {
            let usual = delayed(share, scale.jitter);
            (usual, deviation + scale.jitter, usual.delay)
        };
        let told = |evidence, cause: Component, inlier| Explanation {
            evidence,
            step: cause.shift / variance,
            shrink: (1.0 - cause.variance / variance) / variance,
            inlier,
            excess,
        };
        if innovation < OUTLIERS_FROM * late {
            return told(usual.evidence, usual, 1.0);
        }

        let share = scale.outliers / OUTLIER_SCALES.len() as f32;
        let [near, far] = OUTLIER_SCALES.map(|factor| delayed(share, factor * scale.jitter));
        let components = [usual, near, far];
        let greatest = usual.evidence.max(near.evidence).max(far.evidence);
        let weights = components.map(|one| expf(one.evidence - greatest));
        let total = weights.iter().sum::<f32>();
        let mean = |values: [f32; 3]| {
            weights.iter().zip(values).map(|(weight, value)| weight * value).sum::<f32>() / total
        };
        let shift = mean(components.map(|one| one.shift));
        let spread = |one: Component| one.variance + (one.shift - shift) * (one.shift - shift);
        let evidence = greatest + logf(total);
        let cause = Component { shift, variance: mean(components.map(spread)), ..usual };
        told(evidence, cause, weights[0] / total)
    }

    /// What `scales` are with one more exchange, whose directions were `seen` so, at the weight
    /// `gain`.
    pub fn learn(self, scales: [Scale; 2], seen: &[Explanation; 2], gain: f32) -> [Scale; 2] {
        let [forth, back] = seen;
        let [mut one, mut other] = scales;
        one.outliers += gain * (1.0 - forth.inlier - one.outliers);
        other.outliers += gain * (1.0 - back.inlier - other.outliers);
        if self == Self::Asymmetric {
            one.jitter += gain * forth.inlier * (forth.excess - one.jitter);
            other.jitter += gain * back.inlier * (back.excess - other.jitter);
            return [one.bounded(), other.bounded()];
        }
        let inliers = forth.inlier + back.inlier;
        // With hardly any inlier there is hardly anything to learn.
        let excess = (forth.inlier * forth.excess + back.inlier * back.excess) / inliers.max(1e-9);
        let gain = gain * 0.5 * inliers;
        let jitter = if self == Self::Stamps {
            let square = one.jitter * one.jitter;
            sqrtf(square + gain * (excess - square))
        } else {
            one.jitter + gain * (excess - one.jitter)
        };
        let outliers = 0.5 * (one.outliers + other.outliers);
        [Scale { jitter, outliers }.bounded(); 2]
    }
}

impl Scale {
    /// That of a path of which only the jitter is roughly known.
    pub fn new(jitter: f32) -> Self {
        Self { jitter, outliers: USUAL_OUTLIERS }.bounded()
    }

    /// The weighted mean of what several filters have learnt.
    pub fn average(learnt: &[[Self; 2]], weights: &[f32]) -> [Self; 2] {
        let total = weights.iter().sum::<f32>();
        let mean = |value: fn(&[Self; 2]) -> f32| {
            let values = learnt.iter().map(value);
            values.zip(weights).map(|(value, weight)| value * weight).sum::<f32>() / total
        };
        let forth =
            Self { jitter: mean(|[one, _]| one.jitter), outliers: mean(|[one, _]| one.outliers) };
        let back =
            Self { jitter: mean(|[_, one]| one.jitter), outliers: mean(|[_, one]| one.outliers) };
        [forth.bounded(), back.bounded()]
    }

    fn bounded(self) -> Self {
        Self {
            jitter: self.jitter.max(LEAST_JITTER),
            outliers: self.outliers.clamp(FEWEST_OUTLIERS, MOST_OUTLIERS),
        }
    }
}

/// One of the distributions that noise is mixed of, after an innovation.
#[derive(Clone, Copy)]
struct Component {
    /// Logarithm of the innovation's density, times the component's share of the mixture.
    evidence: f32,
    /// The state's part of the innovation.
    shift: f32,
    variance: f32,
    /// The rest.
    delay: f32,
}

/// The innovation is the state's error (and the symmetric noise) alone.
fn gaussian(innovation: f32, deviation: f32, share: f32) -> Component {
    let z = innovation / deviation;
    let evidence = -0.5 * z * z + logf(share * NORMAL_PEAK / deviation);
    Component { evidence, shift: innovation, variance: 0.0, delay: 0.0 }
}

/// The innovation is that, of `variance` and its root `deviation`, and a delay with the mean
/// `jitter`: the state's part is a normal variable that is at most the innovation.
fn delayed(innovation: f32, variance: f32, deviation: f32, share: f32, jitter: f32) -> Component {
    let rate = 1.0 / jitter;
    let z = innovation / deviation - rate * deviation;
    let below = truncated(z);
    // Either way it is the difference of two large numbers that is left out.
    let (shift, delay, evidence) = if z < 0.0 {
        let delay = deviation * below.slack;
        (innovation - delay, delay, -0.5 * innovation * innovation / variance)
    } else {
        let shift = deviation * (rate * deviation - below.hazard);
        (shift, innovation - shift, rate * (0.5 * rate * variance - innovation))
    };
    Component {
        evidence: evidence + logf(below.mass * share / jitter),
        shift,
        variance: variance * below.variance,
        delay,
    }
}

/// A standard normal variable that is known to be at most z.
struct Truncated {
    /// φ(z)/Φ(z), by which its mean is below zero.
    hazard: f32,
    /// By how much its mean is below z.
    slack: f32,
    variance: f32,
    /// Φ(z); for z < 0 without its factor exp(−z²/2), which would cancel.
    mass: f32,
}

fn truncated(z: f32) -> Truncated {
    if z < SERIES_BELOW {
        let i = 1.0 / (z * z);
        let series = i * (1.0 - 3.0 * i * (1.0 - 5.0 * i));
        let hazard = -z / (1.0 - series);
        return Truncated {
            hazard,
            slack: hazard * series,
            variance: i * (1.0 - i * (6.0 - 50.0 * i)),
            mass: NORMAL_PEAK / hazard,
        };
    }
    let tail = erfcx(z.abs() * core::f32::consts::FRAC_1_SQRT_2);
    let (hazard, mass) = if z < 0.0 {
        (SQRT_2_OVER_PI / tail, 0.5 * tail)
    } else {
        let density = expf(-0.5 * z * z);
        let mass = 1.0 - 0.5 * density * tail;
        (NORMAL_PEAK * density / mass, mass)
    };
    let slack = z + hazard;
    Truncated { hazard, slack, variance: 1.0 - hazard * slack, mass }
}

/// exp(x²)·erfc(x) for finite x ≥ 0, to 3e-8 relative before rounding: a Chebyshev fit of
/// (1 + 2x)·erfcx(x), which is between 1 and 1.28, over t = (x − 2)/(x + 2).
fn erfcx(x: f32) -> f32 {
    let t = (x - 2.0) / (x + 2.0);
    ERFCX.iter().rev().fold(0.0, |sum, coefficient| sum * t + coefficient) / (1.0 + 2.0 * x)
}

/// Coefficients of t⁰ to t¹¹.
const ERFCX: [f32; 12] = [
    1.276_978_4,
    -0.092_763_76,
    -0.166_031_09,
    0.164_049_46,
    -0.054_211_95,
    -0.008_018_963,
    0.008_689_16,
    0.001_217_410_6,
    -0.001_395_707,
    -0.000_357_920_45,
    0.000_160_803_58,
    6.336_946e-5,
];

#[cfg(test)]
mod tests {
    use super::*;
    use core::f64::consts::{PI, SQRT_2};

    fn exact_erfcx(x: f64) -> f64 {
        libm::exp(x * x) * libm::erfc(x)
    }

    #[test]
    fn the_fit_of_erfcx() {
        for step in 0..9_000 {
            let x = f64::from(step) / 1_000.0;
            let t = (x - 2.0) / (x + 2.0);
            let fit = ERFCX.iter().rev().fold(0.0, |sum, c| sum * t + f64::from(*c));
            let exact = exact_erfcx(x);
            let error = fit / (1.0 + 2.0 * x) / exact - 1.0;
            assert!(error.abs() < 1e-7, "the fit is off by {error:e} at {x}");
            let error = f64::from(erfcx(x as f32)) / exact_erfcx(f64::from(x as f32)) - 1.0;
            assert!(error.abs() < 3e-7, "rounded it is off by {error:e} at {x}");
        }
    }

    #[test]
    fn truncated_moments_agree_with_double_precision() {
        for step in -2_000..2_000 {
            let z = f64::from(step) / 100.0;
            let mass = 0.5 * libm::erfc(-z / SQRT_2);
            let hazard = libm::exp(-0.5 * z * z) / (mass * libm::sqrt(2.0 * PI));
            let variance = 1.0 - hazard * (z + hazard);
            let expected = mass * if z < 0.0 { libm::exp(0.5 * z * z) } else { 1.0 };
            let got = truncated(z as f32);
            let close = |got: f32, exact: f64, error: f64| {
                (f64::from(got) - exact).abs() <= error * exact.abs() + 1e-30
            };
            assert!(close(got.hazard, hazard, 1e-4), "hazard {} at {z}", got.hazard);
            assert!(close(got.slack, z + hazard, 1e-4), "slack {} at {z}", got.slack);
            assert!(close(got.variance, variance, 2e-2), "variance {} at {z}", got.variance);
            assert!(close(got.mass, expected, 1e-5), "mass {} at {z}", got.mass);
        }
    }

    #[test]
    fn a_prompt_packet_moves_the_state_and_a_late_one_does_not() {
        let scale = Scale::new(100.0);
        let late = Noise::Queueing.explain(300.0, 1.0, scale);
        // One over the jitter: each microsecond of delay is as likely as the next.
        assert!((late.step - 0.01).abs() < 1e-4 && late.shrink.abs() < 1e-4, "{late:?}");
        let early = Noise::Queueing.explain(-300.0, 1e4, scale);
        assert!((early.step * 1e4 + 330.0).abs() < 15.0, "{early:?}");
        assert!(early.shrink * 1e4 > 0.9, "{early:?}");
        // Symmetric noise of the same size as the ignorance.
        let symmetric = Noise::Stamps.explain(150.0, 1e4, scale);
        assert!((symmetric.step * 2e4 - 150.0).abs() < 1e-3, "{symmetric:?}");
        assert!((symmetric.shrink * 2e4 - 1.0).abs() < 1e-6, "{symmetric:?}");
    }

    #[test]
    fn outliers_are_told_apart_and_counted() {
        let scale = Scale::new(10.0);
        let burst = Noise::Queueing.explain(5_000.0, 1.0, scale);
        assert!(burst.inlier < 1e-6 && burst.evidence > -20.0, "{burst:?}");
        let usual = Noise::Queueing.explain(10.0, 1.0, scale);
        let [forth, back] = Noise::Asymmetric.learn([scale; 2], &[burst, usual], 0.1);
        assert!((forth.jitter - 10.0).abs() < 1e-3 && forth.outliers > 0.1);
        assert!((back.jitter - 10.0).abs() < 0.1 && back.outliers < 0.02);
        let [forth, back] = Noise::Queueing.learn([scale; 2], &[burst, usual], 0.1);
        assert_eq!((forth.jitter, forth.outliers), (back.jitter, back.outliers));
    }
}
