//! What the time is, as one source tells it.
//!
//! Everything here lives in *free-running time*: the local clock without what was done to it
//! (`discipline::FreeRun`). Control never enters an estimate, so a slew or a change of frequency
//! invalidates nothing.
//!
//! - `sample`: from an exchange's integers to small differences;
//! - `noise`: how measurements err, and what one says under each hypothesis on that;
//! - `filter`: what one hypothesis believes of offset, base delay and frequency;
//! - `ladder`: the hypotheses on the clock's wander;
//! - `line`: what the first samples say, before a filter's normal distribution fits them;
//! - `bank`: a filter for each hypothesis, weighted by how well it predicts;
//! - `guard`: what no noise explains, that is steps and changes of the route.
//!
//! On a Cortex-M33 with single-precision floats, built for size, a sample costs 20 filters 117,000
//! instructions and 8 filters 47,000, without floats eight times that; 24 KiB of flash, 5.5 or 3.5 KiB of
//! stack, 1,336 or 792 octets for each source (`cargo bench -p truechimer-tests --bench footprint`).
//!
//! Source: `ALGORITHM` §1 to §7.

mod bank;
mod filter;
mod guard;
mod ladder;
mod line;
mod noise;
mod sample;
#[cfg(test)]
mod tests;

use heapless::Vec;

use self::bank::Bank;
use self::sample::Sample;
use crate::config::MAX_FREQUENCY;
use crate::holdover::{KnownFrequency, UNKNOWN_FREQUENCY};
use crate::maths::sqrt;
use crate::peer::Exchange;
use crate::units::{FreqOffset, Span, WallTime};

pub use guard::Verdict;

/// Samples that show roughly what noise there is: as many as a peer needs to be trusted.
const START: usize = 4;
/// Kinds of noise that are reckoned with unless the size of two is all there is room for.
pub const ALL_KINDS: usize = noise::Noise::ALL.len();

/// What is believed of the offset between a source's time and free-running time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The free-running time that it was made for.
    pub time: WallTime,
    /// The source's time minus free-running time, at `time`.
    pub offset: Span,
    /// How fast that grows.
    pub frequency: FreqOffset,
    /// Standard deviation of the offset at `time`, in seconds.
    pub offset_deviation: f64,
    /// Standard deviation of the frequency, as a plain ratio.
    pub frequency_deviation: f64,
    /// The round trip without any queueing.
    pub delay: Span,
    /// Random walk of the frequency, per root second.
    pub wander: f64,
    /// Covariance of offset and frequency, in seconds.
    covariance: f64,
}

impl Estimate {
    /// One of which nothing matters but how well it is known.
    #[cfg(test)]
    pub(crate) fn known_to(offset_deviation: f64, frequency_deviation: f64) -> Self {
        Self {
            time: WallTime::UNIX_EPOCH,
            offset: Span::ZERO,
            frequency: FreqOffset::ZERO,
            offset_deviation,
            frequency_deviation,
            delay: Span::ZERO,
            covariance: 0.0,
            wander: 0.0,
        }
    }

    /// The offset at another free-running time.
    #[must_use]
    pub fn offset_at(&self, time: WallTime) -> Span {
        self.offset + self.frequency.gain(time - self.time, 0).0
    }

    /// The standard deviation of [`offset_at`](Self::offset_at), in seconds.
    #[must_use]
    pub fn deviation_at(&self, time: WallTime) -> f64 {
        let ahead = (time - self.time).as_secs_f64();
        let drift = self.frequency_deviation * ahead;
        let walk = self.wander * self.wander * libm::fabs(ahead * ahead * ahead) / 3.0;
        let variance = self.offset_deviation * self.offset_deviation
            + 2.0 * ahead * self.covariance
            + drift * drift
            + walk;
        sqrt(variance.max(0.0))
    }
}

/// What one source has shown so far. `KINDS` is how many kinds of noise are reckoned with, each
/// with four filters: all, or the first two where memory or time is short.
#[derive(Debug, Clone)]
pub struct Estimator<const KINDS: usize = ALL_KINDS> {
    /// What the frequency is taken to be until samples say otherwise.
    prior: KnownFrequency,
    stage: Stage<KINDS>,
}

// There is no heap to put the bank on.
#[expect(clippy::large_enum_variant)]
#[derive(Debug, Clone)]
enum Stage<const KINDS: usize> {
    /// The first samples, too few to know what noise there is.
    Start(Vec<Sample, START>),
    Running(Bank<KINDS>),
}

impl<const KINDS: usize> Estimator<KINDS> {
    /// One that has seen nothing, for a clock whose frequency is about `prior`.
    #[must_use]
    pub const fn new(prior: FreqOffset) -> Self {
        Self::known(KnownFrequency::about(prior))
    }

    /// As [`new`](Self::new), for a clock of which more is known.
    #[must_use]
    pub const fn known(prior: KnownFrequency) -> Self {
        Self { prior, stage: Stage::Start(Vec::new()) }
    }

    /// One that has seen nothing of another source, for the same clock.
    #[must_use]
    pub fn anew(&self) -> Self {
        match self.stage {
            Stage::Start(_) => Self::known(self.prior),
            Stage::Running(_) => Self::new(self.frequency()),
        }
    }

    /// Takes in an exchange, whose times of the local clock (T1 and T4) are free-running.
    pub fn update(&mut self, exchange: &Exchange) -> Verdict {
        let sample = Sample::new(exchange);
        match &mut self.stage {
            Stage::Start(samples) => {
                if samples.first().is_some_and(|first| !sample.is_near(first)) {
                    return self.restart(sample);
                }
                // There is room, for a full buffer becomes a bank.
                let _ = samples.push(sample);
                if samples.is_full() {
                    self.run();
                }
                Verdict::Taken
            }
            Stage::Running(bank) => {
                // Of a young estimate, what was known of the frequency is the first to be doubted.
                let doubtful = self.prior.deviation < UNKNOWN_FREQUENCY && bank.is_young();
                let verdict = bank.update(&sample);
                let kept = verdict.filter(|verdict| !(doubtful && *verdict == Verdict::Reset));
                kept.unwrap_or_else(|| self.restart(sample))
            }
        }
    }

    /// Judges from now on, by as many samples as that takes.
    // A call of its own, for its stack is then needed at no other time.
    #[inline(never)]
    fn run(&mut self) {
        let Stage::Start(samples) = &self.stage else { return };
        if let Ok(samples) = samples.as_slice().try_into() {
            self.stage = Stage::Running(Bank::new(samples, self.prior));
        }
    }

    /// Forgets all but the frequency, and begins anew with a sample.
    fn restart(&mut self, sample: Sample) -> Verdict {
        let frequency = self.frequency().clamp(-MAX_FREQUENCY, MAX_FREQUENCY);
        self.prior = KnownFrequency::about(frequency);
        self.stage = Stage::Start(Vec::from([sample]));
        Verdict::Reset
    }

    /// Whether it has seen enough to judge the next sample.
    #[must_use]
    pub const fn can_judge(&self) -> bool {
        matches!(self.stage, Stage::Running(_))
    }

    /// The best guess at the frequency, sample or not.
    #[must_use]
    pub fn frequency(&self) -> FreqOffset {
        self.estimate().map_or(self.prior.frequency, |estimate| estimate.frequency)
    }

    /// What is believed after the last sample; `None` before the first.
    #[must_use]
    pub fn estimate(&self) -> Option<Estimate> {
        match &self.stage {
            Stage::Start(samples) => samples.last().map(|sample| Estimate {
                time: sample.time,
                offset: sample.offset(),
                frequency: self.prior.frequency,
                offset_deviation: sample.delay().half().as_secs_f64(),
                frequency_deviation: self.prior.deviation,
                delay: sample.delay(),
                covariance: 0.0,
                wander: 0.0,
            }),
            Stage::Running(bank) => Some(bank.estimate()),
        }
    }
}
