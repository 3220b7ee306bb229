//! A filter for each hypothesis on the clock's wander and the path's noise, weighted by how well
//! it predicts: so nothing has to be tuned. Source: `ALGORITHM` §6.

use libm::{expf, logf};

use super::filter::{BACK, FORTH, Filter};
use super::guard::{Guard, Verdict};
use super::ladder::{ALARM, Ladder, WANDERS};
use super::line::Line;
use super::noise::{Noise, Scale};
use super::sample::{Delays, Reference, Sample, from_micros, micros};
use super::{Estimate, START};
use crate::holdover::KnownFrequency;
use crate::maths::{hypot, sqrt, sqrtf};
use crate::units::FreqOffset;

/// The probability of a wander to become its neighbour, per sample.
const MIXING: f32 = 1e-4;
/// Keeps a filter without neighbours of weight as it is.
const TINY: f32 = 1e-30;
/// Weights forget: what is left of them after a sample, the rest being the prior.
const MEMORY: f32 = 0.995;
/// The most a single sample may cost a hypothesis, in nats. Without it bursts in both directions
/// make high wanders win; half of it makes steps of frequency slow.
const CLIP: f32 = 10.0;
/// An outlier's evidence counts by the probability that it is none, but at least so.
const LEAST_EVIDENCE: f32 = 0.1;
/// As long as the clock could have run straight, the alarm is by so many nats less likely beforehand:
/// it is for the steps of a frequency that was known, and normal distributions take chance for one.
/// Evidence may outweigh that, or a line outlives a clock that wanders by 1e-7 /√s for two hours.
const TOO_EARLY: f32 = 6.0;
/// Log weights are cut off here ...
const FLOOR: f32 = -30.0;
/// ... and a filter this far below its kind's best is restarted from that one.
const DEAD: f32 = 15.0;
/// The estimate leaves out filters below this log weight: their states mean nothing.
const AUDIBLE: f32 = -20.0;
/// Samples that the noise is averaged over.
const NOISE_MEMORY: f32 = 200.0;
/// So many samples are a beginning.
const YOUNG: f32 = 50.0;

/// The first jitter over what the first round trips differ by on average: these few tell it to a
/// half, and a filter that began too sure is worse off than one that began too doubtful.
const FIRST_JITTER: f64 = 1.5;
/// The least jitter to start with, µs.
const LEAST_JITTER: f32 = 0.05;
/// The standard deviation of a base delay after a change, in jitters.
const BASE_DOUBT: f32 = 2.0;
/// The base delay is below the least of the first round trips by this share of the jitter, each
/// way.
const BASE_BELOW: f32 = 0.4;
/// The least standard deviation of an offset that is owned up to, in seconds.
const LEAST_OFFSET_DEVIATION: f64 = 1e-9;
/// The least standard deviation of a frequency that is owned up to.
const LEAST_FREQUENCY_DEVIATION: f64 = 1e-13;

/// The filters that share a kind of noise, and what has been learnt of it.
#[derive(Debug, Clone)]
pub struct Kind {
    pub noise: Noise,
    pub scales: [Scale; 2],
    pub filters: [Filter; WANDERS],
}

impl Kind {
    /// The standard deviation of the base delay after it has changed.
    pub fn base_doubt(&self) -> f32 {
        BASE_DOUBT * sqrtf(self.scales[FORTH].jitter * self.scales[BACK].jitter)
    }
}

/// Where a filter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Of its kind of noise among the kinds.
    pub kind: usize,
    /// Of its wander on the ladder.
    pub wander: usize,
}

/// The filters for the first `KINDS` of [`Noise::ALL`].
#[derive(Debug, Clone)]
pub struct Bank<const KINDS: usize> {
    pub(super) kinds: [Kind; KINDS],
    pub(super) ladder: Ladder,
    pub(super) guard: Guard,
    reference: Reference,
    /// As long as some filter's clock could have run straight since the first sample.
    line: Option<Line>,
    /// Samples that the noise has been averaged over.
    averaged: f32,
    /// Which direction comes first; they take turns.
    back_first: bool,
}

impl<const KINDS: usize> Bank<KINDS> {
    /// What the first samples say of a clock whose frequency is about `prior`.
    pub fn new(samples: &[Sample; START], prior: KnownFrequency) -> Self {
        const { assert!(KINDS > 0 && KINDS <= Noise::ALL.len()) };
        let KnownFrequency { frequency, deviation: doubt } = prior;
        let [first, ..] = samples;
        let round_trips = samples.map(|sample| micros(sample.forth + sample.back));
        let least = round_trips.iter().copied().fold(f64::MAX, f64::min);
        let mean = round_trips.iter().sum::<f64>() / START as f64;
        let jitter = (FIRST_JITTER * (mean - least)).max(LEAST_JITTER.into()) as f32;
        let base = 0.5 * least - f64::from(BASE_BELOW * jitter);
        let deviation = (0.5 * (round_trips[0] - least)) as f32 + 2.0 * jitter;
        let reference = Reference {
            time: first.time,
            offset: first.offset(),
            state: [base, base, frequency.as_ppm()],
        };
        let mut start = Filter::default();
        // The delay was measured by a clock of which the frequency is hardly known.
        let unmeasured = (0.5 * least * doubt) as f32;
        start.loosen(deviation, hypot(jitter.into(), unmeasured.into()) as f32, doubt as f32 * 1e6);
        let kinds = core::array::from_fn(|kind| {
            let noise = Noise::ALL[kind];
            let mut filter = start;
            if noise == Noise::Stamps {
                filter.lengthen((0.5 * mean - base) as f32);
            }
            Kind { noise, scales: [Scale::new(jitter); 2], filters: [filter; WANDERS] }
        });
        let mut bank = Self {
            kinds,
            ladder: Ladder::new(),
            guard: Guard::new(),
            reference,
            line: Some(Line::new(first, frequency.as_ppm(), doubt * 1e6)),
            averaged: START as f32,
            back_first: false,
        };
        let priors = bank.priors();
        for kind in &mut bank.kinds {
            for (filter, prior) in kind.filters.iter_mut().zip(priors) {
                filter.log_weight = kind.noise.prior() + prior;
            }
        }
        bank.normalize();
        for sample in samples {
            bank.update(sample);
        }
        bank
    }

    /// Logarithms of the wanders' probabilities beforehand.
    fn priors(&self) -> [f32; WANDERS] {
        let mut priors = core::array::from_fn(|wander| self.ladder.prior(wander));
        if self.line.is_some() {
            priors[ALARM] -= TOO_EARLY;
        }
        priors
    }

    /// Whether it has hardly begun.
    pub fn is_young(&self) -> bool {
        self.averaged < YOUNG
    }

    /// Takes a sample in, if it fits. `None` if nothing that is known helps to understand it or
    /// those that follow.
    pub fn update(&mut self, sample: &Sample) -> Option<Verdict> {
        let Some((reference, delays)) = self.reference.follow(sample) else {
            return (!self.guard.violated()).then_some(Verdict::Violated);
        };
        let verdict = self.judge(&delays);
        if verdict != Verdict::Violated {
            self.reference = reference;
            self.mix();
            self.learn(&delays);
            self.respawn();
            self.slide();
            self.normalize();
            self.straighten(sample, verdict);
            self.recentre();
        }
        self.best().2.is_sound().then_some(verdict)
    }

    /// Hypotheses turn into their neighbours now and then: each filter becomes the mixture of
    /// itself and of what may have become it.
    fn mix(&mut self) {
        for kind in &mut self.kinds {
            let before = kind.filters;
            let weights = before.map(|filter| expf(filter.log_weight));
            for (place, filter) in kind.filters.iter_mut().enumerate() {
                let mut shares = [0.0; WANDERS];
                for (other, share) in shares.iter_mut().enumerate() {
                    *share = match other.abs_diff(place) {
                        0 => (1.0 - 2.0 * MIXING) * weights[place] + TINY,
                        1 => MIXING * weights[other],
                        _ => 0.0,
                    };
                }
                let total = shares.iter().sum::<f32>();
                let parts: [_; WANDERS] =
                    core::array::from_fn(|other| (&before[other], shares[other] / total));
                *filter = Filter { log_weight: logf(total), ..Filter::merge(&parts) };
            }
        }
    }

    /// Lets each filter predict and take in an exchange, weighs it by how well it did, and learns
    /// the noise.
    fn learn(&mut self, delays: &Delays) {
        let (best, ..) = self.best();
        self.averaged = (self.averaged + 1.0).min(NOISE_MEMORY);
        self.back_first = !self.back_first;
        let mut evidence = [[0.0; WANDERS]; KINDS];
        let mut learnt = self.kinds.each_ref().map(|kind| [kind.scales; WANDERS]);
        let mut trusted = LEAST_EVIDENCE;
        let results = evidence.iter_mut().zip(&mut learnt);
        for (kind, (one, (evidence, learnt))) in self.kinds.iter_mut().zip(results).enumerate() {
            let Kind { noise, scales, filters } = one;
            let results = evidence.iter_mut().zip(learnt);
            for (wander, (filter, (evidence, learnt))) in
                filters.iter_mut().zip(results).enumerate()
            {
                filter.predict(delays.gap, self.ladder.wander(wander), *noise, scales);
                let mut see =
                    |direction| filter.update(delays, direction, *noise, scales[direction]);
                let seen = if self.back_first {
                    let back = see(BACK);
                    [see(FORTH), back]
                } else {
                    [see(FORTH), see(BACK)]
                };
                *evidence = seen[FORTH].evidence + seen[BACK].evidence;
                if filter.is_sound() {
                    *learnt = noise.learn(*scales, &seen, 1.0 / self.averaged);
                }
                if (Place { kind, wander }) == best {
                    trusted = seen[FORTH].inlier.max(seen[BACK].inlier).max(LEAST_EVIDENCE);
                }
            }
        }
        self.weigh(&evidence, trusted);
        for (kind, learnt) in self.kinds.iter_mut().zip(learnt) {
            let weights = kind.filters.map(|filter| expf(filter.log_weight));
            kind.scales = Scale::average(&learnt, &weights);
        }
    }

    /// Changes the weights by what a sample said, of which `trusted` is to be believed.
    fn weigh(&mut self, evidence: &[[f32; WANDERS]; KINDS], trusted: f32) {
        let greatest = evidence.iter().flatten().copied().fold(f32::MIN, f32::max);
        let priors = self.priors();
        for (kind, evidence) in self.kinds.iter_mut().zip(evidence) {
            let filters = kind.filters.iter_mut().zip(priors);
            for ((filter, prior), evidence) in filters.zip(evidence) {
                // What is no number is as unlikely as can be.
                let told = (evidence - greatest).max(-CLIP);
                let prior = kind.noise.prior() + prior;
                let weight = &mut filter.log_weight;
                *weight = MEMORY * *weight + (1.0 - MEMORY) * prior + trusted * told;
            }
        }
    }

    /// Restarts what is hopeless from the best of its kind, and a kind that has nothing sound
    /// from the best of all. Hopeless filters diverge otherwise, and across kinds they would
    /// bring their noise's state with them.
    fn respawn(&mut self) {
        let best_of_all = *self.best().2;
        for kind in &mut self.kinds {
            let sound = kind.filters.iter().filter(|filter| filter.is_sound());
            let heir = sound
                .max_by(|one, other| one.log_weight.total_cmp(&other.log_weight))
                .copied()
                .unwrap_or(Filter { log_weight: FLOOR, ..best_of_all });
            for filter in &mut kind.filters {
                if filter.log_weight < heir.log_weight - DEAD || !filter.is_sound() {
                    *filter = Filter { log_weight: filter.log_weight, ..heir };
                }
            }
        }
    }

    /// Moves the wanders to where the weight is.
    fn slide(&mut self) {
        let mut weights = [0.0; WANDERS];
        for kind in &self.kinds {
            for (sum, filter) in weights.iter_mut().zip(&kind.filters) {
                *sum += expf(filter.log_weight);
            }
        }
        let Some(origins) = self.ladder.slide(&weights) else { return };
        for kind in &mut self.kinds {
            let before = kind.filters;
            for (filter, (origin, cost)) in kind.filters.iter_mut().zip(origins) {
                let Some(origin) = before.get(origin) else { continue };
                *filter = Filter { log_weight: origin.log_weight - cost, ..*origin };
            }
        }
    }

    /// Makes weights relative to the best one.
    fn normalize(&mut self) {
        let greatest = self.best().2.log_weight;
        for filter in self.kinds.iter_mut().flat_map(|kind| &mut kind.filters) {
            filter.log_weight = (filter.log_weight - greatest).max(FLOOR);
        }
    }

    /// Gives the filters whose clock could have run straight what a straight line tells: exactly
    /// what they only know as well as normal distributions can.
    fn straighten(&mut self, sample: &Sample, verdict: Verdict) {
        let Some(line) = &mut self.line else { return };
        let mut straight = verdict == Verdict::Taken && line.add(sample, self.reference.offset);
        if straight && line.is_telling() {
            straight = false;
            let end = line.filter(&self.reference);
            for kind in self.kinds.iter_mut().filter(|kind| kind.noise.is_one_sided()) {
                for (place, filter) in kind.filters.iter_mut().enumerate() {
                    if let Some(bent) = line.bend(&end, self.ladder.wander(place)) {
                        *filter = Filter { log_weight: filter.log_weight, ..bent };
                        straight = true;
                    }
                }
            }
        }
        if !straight {
            self.line = None;
        }
    }

    /// Moves the reference to the best filter, so that all stay small.
    fn recentre(&mut self) {
        let by = self.best().2.state;
        for (sum, by) in self.reference.state.iter_mut().zip(by) {
            *sum += f64::from(by);
        }
        for filter in self.kinds.iter_mut().flat_map(|kind| &mut kind.filters) {
            for (value, by) in filter.state.iter_mut().zip(by) {
                *value -= by;
            }
        }
    }

    /// The mean of all hypotheses by their weights; the deviations include their disagreement.
    pub fn estimate(&self) -> Estimate {
        let audible = || {
            let audible = self.filters().filter(|(.., filter)| filter.log_weight >= AUDIBLE);
            audible.map(|(place, _, filter)| {
                let [forth, back, frequency] = filter.state.map(f64::from);
                let weight = f64::from(expf(filter.log_weight));
                let wander = f64::from(self.ladder.wander(place.wander));
                (weight, filter, 0.5 * (forth - back), frequency, wander)
            })
        };
        let (mut total, mut offset, mut frequency) = (0.0, 0.0, 0.0);
        for (weight, _, its_offset, its_frequency, _) in audible() {
            total += weight;
            offset += weight * its_offset;
            frequency += weight * its_frequency;
        }
        offset /= total;
        frequency /= total;

        let (mut offset_variance, mut frequency_variance) = (0.0, 0.0);
        let (mut covariance, mut wander) = (0.0, 0.0);
        for (weight, filter, its_offset, its_frequency, its_wander) in audible() {
            let weight = weight / total;
            let [forth, back, variance] = filter.variance.map(f64::from);
            let [forth_back, forth_frequency, back_frequency] = filter.cross.map(f64::from);
            let (off, fast) = (its_offset - offset, its_frequency - frequency);
            offset_variance += weight * (0.25 * (forth + back - 2.0 * forth_back) + off * off);
            frequency_variance += weight * (variance + fast * fast);
            covariance += weight * (0.5 * (forth_frequency - back_frequency) + off * fast);
            wander += weight * its_wander * its_wander;
        }
        let [forth, back, rate] = self.reference.state;
        let [best_forth, best_back, _] = self.best().2.state.map(f64::from);
        let base = 0.5 * (forth + back + best_forth + best_back);
        Estimate {
            time: self.reference.time,
            offset: self.reference.offset + from_micros(0.5 * (forth - back) + offset),
            frequency: FreqOffset::from_ppm_f64(rate + frequency),
            offset_deviation: deviation(offset_variance, LEAST_OFFSET_DEVIATION),
            frequency_deviation: deviation(frequency_variance, LEAST_FREQUENCY_DEVIATION),
            delay: from_micros(2.0 * base.max(0.0)),
            covariance: covariance * 1e-12,
            wander: sqrt(wander) * 1e-6,
        }
    }

    /// All filters, each with its place and its kind.
    pub(super) fn filters(&self) -> impl Iterator<Item = (Place, &Kind, &Filter)> {
        self.kinds.iter().enumerate().flat_map(|(kind, one)| {
            let filters = one.filters.iter().enumerate();
            filters.map(move |(wander, filter)| (Place { kind, wander }, one, filter))
        })
    }

    /// The most probable filter.
    pub(super) fn best(&self) -> (Place, &Kind, &Filter) {
        let kind = &self.kinds[0];
        let first = (Place { kind: 0, wander: 0 }, kind, &kind.filters[0]);
        self.filters()
            .max_by(|(.., one), (.., other)| one.log_weight.total_cmp(&other.log_weight))
            .unwrap_or(first)
    }
}

/// The root of a variance in µs² or (µs/s)², in s or as a ratio.
fn deviation(variance: f64, least: f64) -> f64 {
    (sqrt(variance.max(0.0)) * 1e-6).max(least)
}
