//! The crystal behind the client's counter.

use std::f64::consts::TAU;

use serde::Deserialize;
use truechimer_core::units::{Instant, Span};

use super::number::{not_negative, positive};
use super::random::Random;
use super::{NANOS, Time};

/// How the counter errs. Rates are plain ratios: 1e-6 is 1 ppm, and a positive one is too fast.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Oscillator {
    /// The frequency at the start.
    pub frequency: f64,
    /// Random walk of the frequency, per root second: a normal step each second.
    #[serde(deserialize_with = "not_negative")]
    pub wander: f64,
    /// White noise of the frequency: the phase walks by this many seconds per root second.
    #[serde(deserialize_with = "not_negative")]
    pub white: f64,
    /// What a room's warmth does to it.
    pub temperature: Option<Temperature>,
}

/// A sine on the frequency.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Temperature {
    /// Greatest deviation.
    pub amplitude: f64,
    /// Seconds.
    #[serde(deserialize_with = "positive")]
    pub period: f64,
}

/// What a running counter shows at the start: the host was booted a while ago.
const BOOTED: f64 = 1e12;

/// A counter that runs by an [`Oscillator`], whose rate is the same for one second at a time.
#[derive(Debug)]
pub struct Counter {
    oscillator: Oscillator,
    random: Random,
    /// The present second's start.
    since: Time,
    /// By how much it was ahead of true time then, in nanoseconds. A double counts them to 1/4000
    /// for an hour's error and to 1/60 for a day's.
    ahead: f64,
    /// The rate during this second.
    rate: f64,
    /// It never goes back, only waits.
    floor: Instant,
}

impl Counter {
    /// One that starts at true time zero.
    #[must_use]
    pub fn new(oscillator: Oscillator, random: Random) -> Self {
        let mut counter = Self {
            oscillator,
            random,
            since: 0,
            ahead: BOOTED,
            rate: 0.0,
            floor: Instant::default(),
        };
        counter.draw();
        counter
    }

    /// The rate during this second.
    #[must_use]
    pub const fn rate(&self) -> f64 {
        self.rate
    }

    /// What it shows at `time`, in the present second.
    #[must_use]
    pub fn read(&self, time: Time) -> Instant {
        let elapsed = time - self.since;
        let ahead = libm::round(self.ahead + self.rate * elapsed as f64) as i64;
        Instant::from_nanos((time + ahead).max(0).cast_unsigned()).max(self.floor)
    }

    /// When it will show `reading`, if the present second's rate stays; `now` if it does already.
    #[must_use]
    pub fn when(&self, now: Time, reading: Instant) -> Time {
        if self.read(now) >= reading {
            return now;
        }
        let left = reading.as_nanos() as i64 - self.since - self.ahead as i64;
        let mut time = self.since + (left as f64 / (1.0 + self.rate)) as i64;
        while self.read(time) < reading {
            time += 1;
        }
        time
    }

    /// The next second begins.
    pub fn tick(&mut self) {
        self.ahead += self.rate * NANOS as f64;
        self.since += NANOS;
        self.draw();
    }

    fn draw(&mut self) {
        let Oscillator { frequency, wander, white, ref temperature } = self.oscillator;
        self.oscillator.frequency = frequency + wander * self.random.normal();
        self.rate = self.oscillator.frequency + white * self.random.normal();
        if let Some(Temperature { amplitude, period }) = *temperature {
            let secs = self.since as f64 / NANOS as f64 + 0.5;
            self.rate += amplitude * libm::sin(TAU * secs / period);
        }
    }

    /// Its frequency jumps.
    pub fn step_frequency(&mut self, by: f64) {
        // From the next second on: each has one rate.
        self.oscillator.frequency += by;
    }

    /// It stood still while `slept` passed.
    pub fn rewind(&mut self, slept: Span) {
        self.ahead -= slept.as_nanos() as f64;
    }

    /// It jumps by `by` nanoseconds; backwards it stands still for as long.
    pub fn step_phase(&mut self, time: Time, by: i64) {
        self.floor = self.read(time);
        self.ahead += by as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::random::Stream;

    fn counter(seed: u64, oscillator: Oscillator) -> Counter {
        Counter::new(oscillator, Random::new(seed, Stream::Oscillator))
    }

    /// Seconds ahead of true time after `secs`, less what was ahead at the start.
    fn ahead(counter: &mut Counter, secs: i64) -> f64 {
        for _ in 0..secs {
            counter.tick();
        }
        (counter.ahead - BOOTED) / NANOS as f64
    }

    fn variance(draws: u64, mut draw: impl FnMut(u64) -> f64) -> f64 {
        (0..draws).map(|seed| draw(seed).powi(2)).sum::<f64>() / draws as f64
    }

    #[test]
    fn a_constant_error_adds_up() {
        let mut counter = counter(1, Oscillator { frequency: 2e-5, ..Oscillator::default() });
        let start = counter.read(0);
        assert!((ahead(&mut counter, 1_000) - 0.02).abs() < 1e-12);
        let later = counter.read(1_000 * NANOS + NANOS / 2);
        assert_eq!((later - start).as_nanos(), 1_000_500_000_000 + 20_010_000);
    }

    #[test]
    fn a_reading_is_found_again() {
        for frequency in [-0.05, -3e-5, 0.0, 1.7e-5, 0.05] {
            let mut counter = counter(1, Oscillator { frequency, ..Oscillator::default() });
            ahead(&mut counter, 12_345);
            for time in [12_345 * NANOS, 12_345 * NANOS + 987_654_321] {
                let found = counter.when(0, counter.read(time));
                assert!(counter.read(found) >= counter.read(time));
                assert!((found - time).abs() <= 1, "{found} is not {time}");
            }
        }
    }

    /// The phase of a random walk of frequency grows with W² t³ / 3, here for steps that each
    /// last a whole second: with W² n(n+1)(2n+1) / 6.
    #[test]
    fn wander_grows_as_stated() {
        let wander = 1e-8;
        let found = variance(2_000, |seed| {
            ahead(&mut counter(seed, Oscillator { wander, ..Oscillator::default() }), 100)
        });
        let expected = wander * wander * 100.0 * 101.0 * 201.0 / 6.0;
        assert!((found / expected - 1.0).abs() < 0.12, "{found:e} is not {expected:e}");
    }

    #[test]
    fn white_noise_walks_the_phase() {
        let white = 1e-7;
        let found = variance(2_000, |seed| {
            ahead(&mut counter(seed, Oscillator { white, ..Oscillator::default() }), 100)
        });
        let expected = white * white * 100.0;
        assert!((found / expected - 1.0).abs() < 0.12, "{found:e} is not {expected:e}");
    }

    #[test]
    fn warmth_comes_and_goes() {
        let temperature = Some(Temperature { amplitude: 1e-6, period: 4_000.0 });
        let mut counter = counter(1, Oscillator { temperature, ..Oscillator::default() });
        // The integral of a sine over half its period is period / π.
        assert!((ahead(&mut counter, 2_000) / (1e-6 * 4_000.0 / (TAU / 2.0)) - 1.0).abs() < 1e-5);
        assert!(ahead(&mut counter, 2_000).abs() < 1e-12);
    }

    #[test]
    fn steps_of_both_kinds() {
        let mut counter = counter(1, Oscillator::default());
        let time = NANOS / 2;
        let before = counter.read(time);
        counter.step_phase(time, 3_000_000);
        assert_eq!((counter.read(time) - before).as_nanos(), 3_000_000);
        counter.step_phase(time, -3_000_000);
        assert_eq!((counter.read(time) - before).as_nanos(), 3_000_000, "it stands still");
        assert_eq!((counter.read(time + 2_000_000) - before).as_nanos(), 3_000_000);
        assert_eq!((counter.read(time + 4_000_000) - before).as_nanos(), 4_000_000);
        counter.step_frequency(1e-6);
        assert!((ahead(&mut counter, 11) - 1e-5).abs() < 1e-12);
    }
}
