//! What each truechimer says of the level, and how far it is from it for good.
//!
//! The asymmetry of a path is a constant error that nothing shows; only its scale is known, a few
//! per cent of the path's length, seldom far more. That weighs the *level*. What the peers say of
//! its *changes* is far better: each is corrected by its bias against the others, learned over many
//! samples, so that peers that come, go or speak at other times do not make the average jump. The
//! biases are drawn slowly to where their weighted mean is zero.

use super::Candidate;
use crate::maths::{exp, sqrt};
use crate::units::Span;

/// A bias is usually this share of the reach: one standard deviation.
const USUAL_BIAS: f64 = 0.05;
/// A bad path's, as a share of the reach.
const GREAT_BIAS: f64 = 0.4;
/// Good paths for each bad one: 95 %.
const ODDS: f64 = 19.0;
/// Rounds in which the weights of the mixture settle.
const ROUNDS: usize = 8;
/// Among fewer there is no telling which one is bad.
const OUTLIERS_FROM: usize = 3;
/// What a bias varies by, as a share of the reach.
const BIAS_WALK: f64 = 0.003;
/// No reach or deviation is smaller, in seconds.
const FLOOR: f64 = 1e-9;

/// Samples over which a bias is averaged.
const MEMORY: u8 = 100;
/// What the biases' mean is drawn to zero by at each sample,
const LEAK: f64 = 0.05;
/// and while nobody is known for so many samples:
const NEW: u8 = 30;
const FIRST_LEAK: f64 = 0.3;

/// How far a peer is from the others for good.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bias {
    /// In seconds.
    pub offset: f64,
    /// Doubt on top of what its reach explains: a standard deviation in seconds.
    doubt: f64,
    /// How many samples show that, up to `MEMORY`.
    samples: u8,
}

impl Bias {
    /// That of a peer that has moved by `doubt` seconds and stays there.
    pub const fn doubtful(doubt: f64) -> Self {
        Self { offset: 0.0, doubt, samples: 0 }
    }

    #[cfg(test)]
    pub const fn known() -> Self {
        Self { offset: 0.0, doubt: 0.0, samples: MEMORY }
    }

    /// How many samples have shown it.
    pub const fn samples(&self) -> u8 {
        self.samples
    }

    /// The peer is `difference` from the output, by a new sample of its own or not.
    pub fn learn(&mut self, difference: f64, is_own: bool) {
        if self.samples == 0 {
            self.samples = 1;
            self.offset = difference;
        } else if is_own {
            self.samples = (self.samples + 1).min(MEMORY);
            self.offset += (difference - self.offset) / (f64::from(self.samples) + 1.0);
        }
    }

    /// The output's level rises.
    pub fn lower(&mut self, by: f64) {
        if self.samples > 0 {
            self.offset -= by;
        }
    }
}

/// A truechimer in the average. Seconds, relative to a point near all of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Term {
    pub index: usize,
    pub offset: f64,
    /// Standard deviation of that by noise.
    pub deviation: f64,
    /// What its bias is a share of.
    pub reach: f64,
    pub bias: Bias,
    /// In the level, per square second.
    pub weight: f64,
}

impl Term {
    pub fn new(candidate: &Candidate, point: Span, bias: Bias) -> Self {
        let mut term = Self {
            index: candidate.index,
            offset: (candidate.offset - point).as_secs_f64(),
            deviation: candidate.offset_deviation.max(FLOOR),
            reach: candidate.reach.max(FLOOR),
            bias,
            weight: 0.0,
        };
        term.weight = 1.0 / term.variance(USUAL_BIAS);
        term
    }

    /// What it says of the level's changes, per square second.
    pub fn information(&self) -> f64 {
        let (deviation, walk) = (self.deviation, BIAS_WALK * self.reach);
        1.0 / (deviation * deviation + walk * walk)
    }

    fn variance(&self, bias: f64) -> f64 {
        let bias = bias * self.reach;
        self.deviation * self.deviation + bias * bias + self.bias.doubt * self.bias.doubt
    }

    /// The weight of one that is `distance` from the mean.
    fn weight_at(&self, distance: f64) -> f64 {
        let [usual, great] = [USUAL_BIAS, GREAT_BIAS].map(|bias| 1.0 / self.variance(bias));
        let nats = -0.5 * distance * distance * (usual - great);
        let bad = 1.0 / (1.0 + ODDS * sqrt(usual / great) * exp(nats));
        (1.0 - bad) * usual + bad * great
    }
}

/// The sum of a part of each term by its weight, over the sum of the weights.
#[cfg_attr(target_pointer_width = "32", inline(never))]
pub fn mean(terms: &[Term], part: &dyn Fn(&Term) -> f64) -> f64 {
    let weights: f64 = terms.iter().map(|term| term.weight).sum();
    terms.iter().map(|term| term.weight * part(term)).sum::<f64>() / weights
}

/// Gives each term its weight in the level. Returns the level and its standard deviation by noise.
pub fn weigh(terms: &mut [Term]) -> (f64, f64) {
    if terms.len() >= OUTLIERS_FROM {
        let mut level = median(terms);
        for _ in 0..ROUNDS {
            for term in &mut *terms {
                term.weight = term.weight_at(term.offset - level);
            }
            level = mean(terms, &|term: &Term| term.offset);
        }
    }
    let variance = mean(terms, &|term: &Term| term.weight * term.deviation * term.deviation);
    let weights: f64 = terms.iter().map(|term| term.weight).sum();
    (mean(terms, &|term: &Term| term.offset), sqrt(variance / weights))
}

/// The offset below which half of the deviations' inverses lie.
fn median(terms: &mut [Term]) -> f64 {
    // The library's sort has a path to a panic.
    for end in 1..terms.len() {
        for place in (1..=end).rev() {
            let Some([.., one, other]) = terms.get_mut(..=place) else { break };
            if one.offset <= other.offset {
                break;
            }
            core::mem::swap(one, other);
        }
    }
    let share = |term: &Term| sqrt(term.weight);
    let mut left = terms.iter().map(share).sum::<f64>() / 2.0;
    let middle = terms.iter().find(|term| {
        left -= share(term);
        left <= 0.0
    });
    middle.or(terms.last()).map_or(0.0, |term| term.offset)
}

/// The average of the terms whose bias is known, without it, and its standard deviation by noise;
/// `None` if there is none.
pub fn average(terms: &[Term]) -> Option<(f64, f64)> {
    let (mut weights, mut sum, mut variance) = (0.0, 0.0, 0.0);
    for term in terms.iter().filter(|term| term.bias.samples > 0) {
        let weight = term.information();
        weights += weight;
        sum += weight * (term.offset - term.bias.offset);
        variance += weight * weight * term.deviation * term.deviation;
    }
    (weights > 0.0).then(|| (sum / weights, sqrt(variance) / weights))
}

/// By how much all biases are to be lowered to draw their mean to zero.
pub fn anchor(terms: &[Term]) -> f64 {
    let known = terms.iter().map(|term| term.bias.samples).max().unwrap_or(0);
    let leak = if known < NEW { FIRST_LEAK } else { LEAK };
    leak * mean(terms, &|term: &Term| term.bias.offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn term(index: usize, millis: f64, reach: f64) -> Term {
        Term {
            index,
            offset: millis * 1e-3,
            deviation: 1e-5,
            reach: reach * 1e-3,
            bias: Bias::default(),
            weight: 1.0 / (1e-10 + 0.05 * 0.05 * reach * reach * 1e-6),
        }
    }

    #[test]
    fn near_sources_weigh_by_the_square_of_their_reach() {
        let mut two = [term(0, 0.0, 5.0), term(1, 1.0, 10.0)];
        let (level, deviation) = weigh(&mut two);
        // Variances (0.01² + 0.25²) and (0.01² + 0.5²) ms².
        let expected = 0.0626 / (0.0626 + 0.2501);
        assert!((level * 1e3 - expected).abs() < 1e-9, "{level}");
        let noise = 1e-5 * libm::hypot(0.0626, 0.2501) / (0.0626 + 0.2501);
        assert!((deviation - noise).abs() < 1e-12, "{deviation}");
    }

    /// The near one is 20 standard deviations of a usual path off.
    #[test]
    fn a_bad_path_hardly_weighs() {
        let mut three = [term(0, 5.0, 5.0), term(1, 0.1, 10.0), term(2, -0.1, 10.0)];
        let (level, _) = weigh(&mut three);
        assert!((0.0..2e-4).contains(&level), "{level}");
        // Half of a bad path's weight or more, but not a usual one's.
        let weight = |index| three.iter().find(|term| term.index == index).unwrap().weight;
        assert!((0.9..1.1).contains(&(weight(0) * 4e-6)), "{}", weight(0));
        assert!(weight(1) > 0.9 / 0.2501e-6);
    }

    /// Learned biases change what a jump of the membership does: nothing.
    #[test]
    fn biases_are_learned_and_their_mean_vanishes() {
        let mut biases = [Bias::default(); 3];
        let offsets = [0.3, -0.1, 0.0];
        let mut output = 0.0;
        for round in 0..600 {
            let mut terms: Vec<Term> = (0..3)
                .map(|index| Term { bias: biases[index], ..term(index, offsets[index], 10.0) })
                .collect();
            let level = weigh(&mut terms);
            output = average(&terms).unwrap_or(level).0;
            for term in &mut terms {
                term.bias.learn(term.offset - output, term.index == round % 3);
            }
            let anchor = anchor(&terms);
            for term in terms {
                biases[term.index] = term.bias;
                biases[term.index].lower(anchor);
            }
        }
        let mut terms: Vec<Term> = (0..3)
            .map(|index| Term { bias: biases[index], ..term(index, offsets[index], 10.0) })
            .collect();
        let (level, _) = weigh(&mut terms);
        assert!((output - level).abs() < 1e-6, "{output} and {level}");
        terms.retain(|term| term.index != 0);
        assert!((average(&terms).unwrap().0 - output).abs() < 1e-6, "without the first");
        assert!((weigh(&mut terms).0 - output).abs() > 5e-5, "which weighs");
    }
}
