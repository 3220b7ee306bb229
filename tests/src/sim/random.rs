//! Reproducible randomness: the same bits on every machine, from `libm` and ChaCha8.

use std::f64::consts::TAU;

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

/// What a sequence of random numbers is for. Each has its own, so that a change of one part of a
/// world leaves what is drawn for the others in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// The engine's own seed.
    Engine,
    /// The oscillator.
    Oscillator,
    /// The way to a server.
    Up(usize),
    /// The way back from it.
    Down(usize),
    /// What a world is made of, for who draws that.
    World,
}

impl Stream {
    const fn number(self) -> u64 {
        match self {
            Self::Engine => 0,
            Self::Oscillator => 1,
            Self::Up(server) => 2 + 2 * server as u64,
            Self::Down(server) => 3 + 2 * server as u64,
            Self::World => u64::MAX,
        }
    }
}

/// A sequence of random numbers.
#[derive(Debug)]
pub struct Random {
    rng: ChaCha8Rng,
    /// Box and Muller's method makes two at a time.
    normal: Option<f64>,
}

impl Random {
    /// The sequence for `stream` in the world of `seed`.
    #[must_use]
    pub fn new(seed: u64, stream: Stream) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream.number());
        Self { rng, normal: None }
    }

    /// 32 octets.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        seed
    }

    /// Uniform between 0 and 1, neither of them.
    pub fn uniform(&mut self) -> f64 {
        ((self.rng.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Whether something of this probability happens.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// Of mean 1.
    pub fn exponential(&mut self) -> f64 {
        -libm::log(self.uniform())
    }

    /// Of mean 0 and variance 1.
    pub fn normal(&mut self) -> f64 {
        if let Some(normal) = self.normal.take() {
            return normal;
        }
        let radius = libm::sqrt(2.0 * self.exponential());
        let (sin, cos) = libm::sincos(TAU * self.uniform());
        self.normal = Some(radius * sin);
        radius * cos
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: usize = 200_000;

    /// Mean, variance and third central moment.
    fn moments(mut draw: impl FnMut() -> f64) -> [f64; 3] {
        let values: Vec<f64> = (0..DRAWS).map(|_| draw()).collect();
        let mean = values.iter().sum::<f64>() / DRAWS as f64;
        let central = |power| {
            values.iter().map(|value| (value - mean).powi(power)).sum::<f64>() / DRAWS as f64
        };
        [mean, central(2), central(3)]
    }

    fn assert_near(found: [f64; 3], expected: [f64; 3], within: [f64; 3]) {
        for ((found, expected), within) in found.into_iter().zip(expected).zip(within) {
            assert!((found - expected).abs() < within, "{found} is not {expected}");
        }
    }

    #[test]
    fn moments_are_as_stated() {
        let mut random = Random::new(1, Stream::Engine);
        // Each within about five standard deviations of the moment's own error.
        assert_near(moments(|| random.uniform()), [0.5, 1.0 / 12.0, 0.0], [0.004, 0.001, 0.000_5]);
        assert_near(moments(|| random.exponential()), [1.0, 1.0, 2.0], [0.012, 0.035, 0.25]);
        assert_near(moments(|| random.normal()), [0.0, 1.0, 0.0], [0.012, 0.016, 0.045]);
    }

    #[test]
    fn streams_and_seeds_differ() {
        let first = |seed, stream| Random::new(seed, stream).seed();
        let streams =
            [Stream::Engine, Stream::Oscillator, Stream::Up(0), Stream::Down(0), Stream::Up(1)];
        for (place, one) in streams.into_iter().enumerate() {
            assert_eq!(first(7, one), first(7, one));
            assert_ne!(first(7, one), first(8, one));
            assert!(streams.into_iter().skip(place + 1).all(|two| first(7, one) != first(7, two)));
        }
    }
}
