//! A beginning of time, and randomness.

use crate::units::{Span, WallTime};

pub const START_OF_TIME: WallTime = WallTime::from_unix(1_800_000_000, 0);

/// Seconds of a world as a time, exact to the nanosecond.
pub fn at(secs: f64) -> WallTime {
    START_OF_TIME + Span::from_secs_f64(secs)
}

/// xorshift64*.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        let mut rng = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..20 {
            rng.uniform();
        }
        rng
    }

    /// Between 0 and 1, exclusive.
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        (bits as f64 + 0.5) / (1u64 << 53) as f64
    }

    pub fn exponential(&mut self) -> f64 {
        -libm::log(self.uniform())
    }
}
