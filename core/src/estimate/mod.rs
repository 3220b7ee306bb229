//! What the time is, as one source tells it.
//!
//! Everything here lives in *free-running time*: the local clock without what was done to it
//! (`discipline::FreeRun`). Control never enters an estimate, so a slew or a change of frequency
//! invalidates nothing.
//!
//! The estimate is a line through the last eight samples, weighted by how little each was delayed
//! beyond the least delay seen: queueing only ever adds, so a prompt sample pins the clock more
//! tightly than a late one (RFC 5905 §10's minimum-delay filter, made continuous).

use heapless::Deque;

use crate::units::{FreqOffset, Span, WallTime};

/// Samples that the line is drawn through (RFC 5905 §10, NSTAGE).
const WINDOW: usize = 8;
/// Nothing is known of a clock's frequency at first but that it is within about this of nominal:
/// 100 ppm, the tolerance of a cheap crystal, as one standard deviation.
const FREQUENCY_PRIOR: f64 = 1e-4;
/// Random walk of frequency, per root second: an uncompensated crystal in a room.
const WANDER: f64 = 1e-8;
/// No stamp is better than this many seconds.
const STAMP_NOISE: f64 = 2e-7;
/// A sample further from the line than this many standard deviations, after its delay has been
/// allowed for, restarts the window: the clock or the path changed.
const JUMP_DEVIATIONS: f64 = 8.0;

/// One exchange in free-running time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// The middle of the exchange.
    pub time: WallTime,
    /// The server's time minus free-running time.
    pub offset: Span,
    /// The round trip's delay.
    pub delay: Span,
}

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
    /// The least round trip that it rests on.
    pub delay: Span,
}

impl Estimate {
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
        libm::sqrt(self.offset_deviation * self.offset_deviation + drift * drift + wander(ahead))
    }
}

/// The variance that a random walk of frequency adds to a phase in `secs`.
fn wander(secs: f64) -> f64 {
    let secs = libm::fabs(secs);
    WANDER * WANDER * secs * secs * secs / 3.0
}

/// The last samples of one source.
#[derive(Debug, Clone)]
pub struct Estimator {
    samples: Deque<Sample, WINDOW>,
    /// What the frequency is taken to be until samples say otherwise.
    prior: FreqOffset,
}

impl Estimator {
    /// One that has seen nothing, for a clock whose frequency is about `prior`.
    #[must_use]
    pub const fn new(prior: FreqOffset) -> Self {
        Self { samples: Deque::new(), prior }
    }

    /// Takes a sample in. False if it lies so far from the expected place that all before it was
    /// forgotten, but for the frequency.
    pub fn update(&mut self, sample: Sample) -> bool {
        let steady = self.expects(&sample);
        if !steady {
            self.prior = self.frequency();
            self.samples.clear();
        }
        if self.samples.is_full() {
            self.samples.pop_front();
        }
        // There is room: a place has just been made.
        let _ = self.samples.push_back(sample);
        steady
    }

    /// The best guess at the frequency, sample or not.
    #[must_use]
    pub fn frequency(&self) -> FreqOffset {
        self.estimate().map_or(self.prior, |estimate| estimate.frequency)
    }

    fn expects(&self, sample: &Sample) -> bool {
        let Some(estimate) = self.estimate() else { return true };
        let surprise = (sample.offset - estimate.offset_at(sample.time)).abs();
        // A delay in one direction alone moves the offset by half of it.
        let explained = (sample.delay - estimate.delay).abs().half();
        let deviation = estimate.deviation_at(sample.time);
        (surprise - explained).as_secs_f64() <= JUMP_DEVIATIONS * deviation
    }

    /// The line's value at the newest sample; `None` before the first.
    #[must_use]
    pub fn estimate(&self) -> Option<Estimate> {
        let newest = self.samples.back()?;
        let least = self.samples.iter().map(|sample| sample.delay).min()?;
        let count = self.samples.len() as f64;
        let excess = |sample: &Sample| (sample.delay - least).as_secs_f64();
        let mean_excess = self.samples.iter().map(excess).sum::<f64>() / count;
        // With one sample its delay says nothing of the usual excess: any share of it may be.
        let unknown = least.as_secs_f64().max(0.0) / (2.0 * count * count);
        let floor = STAMP_NOISE + mean_excess / 2.0 + unknown;

        // Weighted least squares on values centred on the newest sample and less what the prior
        // frequency explains; the prior is one more row.
        let (mut s, mut sx, mut sy, mut sxx, mut sxy) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for sample in &self.samples {
            let x = (sample.time - newest.time).as_secs_f64();
            let y = (sample.offset - newest.offset).as_secs_f64() - self.prior.as_ratio() * x;
            let deviation = floor + excess(sample) / 2.0;
            let weight = 1.0 / (deviation * deviation + wander(x));
            s += weight;
            sx += weight * x;
            sy += weight * y;
            sxx += weight * x * x;
            sxy += weight * x * y;
        }
        sxx += 1.0 / (FREQUENCY_PRIOR * FREQUENCY_PRIOR);
        let determinant = s * sxx - sx * sx;
        Some(Estimate {
            time: newest.time,
            offset: newest.offset + Span::from_secs_f64((sxx * sy - sx * sxy) / determinant),
            frequency: self.prior + FreqOffset::from_ratio((s * sxy - sx * sy) / determinant),
            offset_deviation: libm::sqrt(sxx / determinant),
            frequency_deviation: libm::sqrt(s / determinant),
            delay: least,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(secs: f64, offset: f64, delay: f64) -> Sample {
        Sample {
            time: WallTime::from_unix(1_800_000_000, 0) + Span::from_secs_f64(secs),
            offset: Span::from_secs_f64(offset),
            delay: Span::from_secs_f64(delay),
        }
    }

    #[test]
    fn finds_offset_and_frequency() {
        let mut estimator = Estimator::new(FreqOffset::ZERO);
        assert_eq!(estimator.estimate(), None);
        for n in 0..20 {
            let x = f64::from(n) * 16.0;
            assert!(estimator.update(sample(x, 0.25 + 80e-6 * x, 1e-3)), "sample {n}");
        }
        let estimate = estimator.estimate().unwrap();
        assert!((estimate.frequency.as_ppm() - 80.0).abs() < 0.1);
        assert!((estimate.offset.as_secs_f64() - (0.25 + 80e-6 * 304.0)).abs() < 1e-6);
        let later = estimate.time + Span::from_secs(100);
        let expected = 0.25 + 80e-6 * 404.0;
        assert!((estimate.offset_at(later).as_secs_f64() - expected).abs() < 1e-5);
        assert!(estimate.deviation_at(later) > estimate.offset_deviation);
    }

    #[test]
    fn late_samples_hardly_count() {
        let mut estimator = Estimator::new(FreqOffset::ZERO);
        for n in 0..8 {
            let late = if n % 2 == 1 { 0.02 } else { 0.0 };
            assert!(estimator.update(sample(f64::from(n) * 4.0, late / 2.0, 1e-3 + late)));
        }
        let estimate = estimator.estimate().unwrap();
        assert!(estimate.offset.abs() < Span::from_millis(3), "{}", estimate.offset);
    }

    #[test]
    fn a_jump_starts_anew_but_keeps_the_frequency() {
        let mut estimator = Estimator::new(FreqOffset::ZERO);
        for n in 0..20 {
            let x = f64::from(n) * 16.0;
            estimator.update(sample(x, -80e-6 * x, 1e-3));
        }
        assert!(!estimator.update(sample(330.0, 0.5, 1e-3)));
        let estimate = estimator.estimate().unwrap();
        assert_eq!(estimate.offset, Span::from_millis(500));
        assert!((estimate.frequency.as_ppm() + 80.0).abs() < 0.1, "{}", estimate.frequency);
    }

    #[test]
    fn the_known_frequency_outweighs_few_samples() {
        let mut estimator = Estimator::new(FreqOffset::from_ppm(-80));
        for (x, delay) in [(0.0, 0.020), (2.0, 0.021), (4.0, 0.023), (6.0, 0.0205)] {
            estimator.update(sample(x, -80e-6 * x + (delay - 0.02) / 2.0, delay));
        }
        let estimate = estimator.estimate().unwrap();
        assert!((estimate.frequency.as_ppm() + 80.0).abs() < 20.0, "{}", estimate.frequency);
    }
}
