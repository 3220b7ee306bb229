//! The local clock as it would run if nobody had touched it.

use crate::units::{FreqOffset, Span, WallTime};

/// Free-running time, reconstructed from the local clock and from what was really done to it.
///
/// Between two changes the local clock runs at 1 + c times the free-running one, c as the clock
/// **returned** it, not as it was asked. A step moves only the local clock.
#[derive(Debug, Clone, Copy)]
pub struct FreeRun {
    local: WallTime,
    free: WallTime,
    /// 2^-64 ns that belong to `free`.
    carry: u64,
    rate: FreqOffset,
    /// The rate of free-running time seen from the local clock: −c / (1 + c).
    inverse: FreqOffset,
}

impl FreeRun {
    /// Free-running time begins as the local clock's, which runs at `rate`.
    pub fn new(local: WallTime, rate: FreqOffset) -> Self {
        Self { local, free: local, carry: 0, rate, inverse: inverse(rate) }
    }

    /// Free-running time when the local clock shows `local`.
    pub fn at(&self, local: WallTime) -> WallTime {
        self.split(local).0
    }

    /// From `local` on the clock runs at `rate`.
    pub fn change_rate(&mut self, local: WallTime, rate: FreqOffset) {
        (self.free, self.carry) = self.split(local);
        self.local = local;
        self.rate = rate;
        self.inverse = inverse(rate);
    }

    /// The clock was stepped by `by`.
    pub fn step(&mut self, by: Span) {
        self.local += by;
    }

    fn split(&self, local: WallTime) -> (WallTime, u64) {
        let elapsed = local - self.local;
        let (gain, carry) = self.inverse.gain(elapsed, self.carry);
        (self.free + elapsed + gain, carry)
    }
}

fn inverse(rate: FreqOffset) -> FreqOffset {
    let ratio = rate.as_ratio();
    FreqOffset::from_ratio(-ratio / (1.0 + ratio))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undoes_frequency_and_steps() {
        let start = WallTime::from_unix(1_800_000_000, 0);
        let mut free = FreeRun::new(start, FreqOffset::ZERO);
        let mut local = start + Span::from_secs(1_000);
        free.change_rate(local, FreqOffset::from_ppm(100));
        // 1000 s of free-running time later.
        local += Span::from_secs(1_000) + Span::from_millis(100);
        assert!((free.at(local) - (start + Span::from_secs(2_000))).abs() <= Span::from_nanos(1));
        free.step(Span::from_secs(-5));
        local += Span::from_secs(-5);
        assert!((free.at(local) - (start + Span::from_secs(2_000))).abs() <= Span::from_nanos(1));
    }

    #[test]
    fn a_thousand_changes_lose_nothing() {
        let start = WallTime::from_unix(1_800_000_000, 0);
        let rate = FreqOffset::from_ppm_f64(12.345);
        let mut often = FreeRun::new(start, rate);
        let once = often;
        let mut local = start;
        for n in 0..1_000 {
            local += Span::from_nanos(1_234_567_891 + n);
            often.change_rate(local, rate);
        }
        assert!((often.at(local) - once.at(local)).abs() <= Span::from_nanos(1));
    }
}
