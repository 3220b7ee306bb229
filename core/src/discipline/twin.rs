//! A clock that corrects offsets with a loop of its own, in software beside it.
//!
//! Its rate is another one each second, and nothing tells how far it got. But what it does follows
//! from what it was told and when, to the nanosecond: the software clock, told the same, does the
//! same (`tests/kernel`). So the twin runs on free-running time, and says by its readings what the
//! local clock shows then. The alternative, a counter that nobody disciplines beside each stamp, is
//! Linux' alone, and reading it costs what the stamps of the kernel are for.

use crate::timex::SoftwareClock;
use crate::units::{FreqOffset, Instant, Span, WallTime};

/// When free-running time begins, by the twin's counter: nothing is before it.
const ORIGIN: Instant = Instant::from_nanos(1 << 62);
/// What began longer ago than this is not looked for.
const REMEMBERED: Span = Span::from_secs(2);
/// Readings that find out when the twin shows a time: each leaves the rate's share of the error, 1/8
/// with the fastest loop and half a second, 1/1000 once it has settled.
const ATTEMPTS: usize = 12;
/// Kernels tell their frequency in units of their own, and lose two of ours at most.
const ROUNDING: FreqOffset = FreqOffset::from_scaled_ppm(2);

/// The local clock, over free-running time.
#[derive(Debug, Clone, Copy)]
pub struct Twin {
    clock: SoftwareClock,
    /// Free-running time at [`ORIGIN`].
    origin: WallTime,
}

impl Twin {
    /// The local clock shows `local` when free-running time is `free`.
    pub const fn new(local: WallTime, free: WallTime) -> Self {
        Self { clock: SoftwareClock::new(ORIGIN, local), origin: free }
    }

    /// Its loop was given an offset when the clock showed `local`, and has this frequency since.
    pub fn lock(&mut self, local: WallTime, offset: Span, poll: i8, frequency: FreqOffset) {
        let at = self.when(local);
        let expected = self.clock.lock(at, None, offset, poll);
        if (frequency - expected).abs() > ROUNDING {
            // It began elsewhere, or somebody else set it.
            self.clock.lock(at, Some(frequency), offset, poll);
        }
    }

    /// Free-running time when the local clock shows `local`.
    pub fn free(&self, local: WallTime) -> WallTime {
        self.origin + (self.when(local) - ORIGIN)
    }

    /// What the local clock gains while free-running time advances by `elapsed` from when it showed
    /// `local`.
    pub fn gain(&self, local: WallTime, elapsed: Span) -> Span {
        let from = self.when(local);
        self.clock.read(from + elapsed) - self.clock.read(from) - elapsed
    }

    /// The rate when the local clock shows `local`, offsets included.
    pub fn rate(mut self, local: WallTime) -> FreqOffset {
        self.clock.advance(self.when(local));
        self.clock.rate()
    }

    /// The rate without them.
    pub fn frequency(&self) -> FreqOffset {
        self.clock.frequency()
    }

    /// The clock, which showed `local`, was stepped by `by`: it has given up its offset.
    pub fn step(&mut self, local: WallTime, by: Span) {
        self.clock.step(self.when(local), by);
    }

    /// Free-running time was moved by `by`, and the clock was not.
    pub fn leap(&mut self, by: Span) {
        self.origin += by;
    }

    /// Goes through the seconds until `local` but for the last ones, so that it is not done for
    /// each reading.
    pub fn advance(&mut self, local: WallTime) {
        self.clock.advance(self.when(local + -REMEMBERED));
    }

    fn when(&self, local: WallTime) -> Instant {
        let mut clock = self.clock;
        let (anchor, time) = clock.anchor();
        let mut at = anchor + (local - time);
        // At no rate is that more than an eighth off: what is certainly over is gone through once.
        clock.advance(at + -(at - anchor).half().half());
        for _ in 0..ATTEMPTS {
            match local - clock.read(at) {
                Span::ZERO => break,
                error => at = at + error,
            }
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: WallTime = WallTime::from_unix(1_800_000_000, 250_000_000);

    fn told() -> impl Strategy<Value = (i64, i8, i64)> {
        (-500_000_000i64..=500_000_000, 0i8..=12, 0i64..1_500)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        // A clock whose counter is free-running time does what the twin does.
        #[test]
        fn knows_what_the_loop_does(
            frequency in -400.0..400.0f64,
            told in proptest::collection::vec(told(), 1..10),
        ) {
            let mut at = Instant::default();
            let mut clock = SoftwareClock::new(at, START);
            let mut twin = Twin::new(START, START);
            let mut first = Some(FreqOffset::from_ppm_f64(frequency));
            for (offset, poll, pause) in told {
                let local = clock.read(at);
                let offset = Span::from_nanos(offset);
                let frequency = clock.lock(at, first.take(), offset, poll);
                twin.lock(local, offset, poll, frequency);
                for part in [pause / 3, pause - pause / 3] {
                    at = at + Span::from_secs(part) + Span::from_nanos(123_456_789);
                    let local = clock.read(at);
                    twin.advance(local);
                    let apart = twin.free(local) - (START + (at - Instant::default()));
                    prop_assert!(apart.abs() <= Span::from_nanos(20), "{apart:.9}");
                }
                let ahead = Span::from_secs(2);
                let gained = clock.read(at + ahead) - clock.read(at) - ahead;
                let apart = twin.gain(clock.read(at), ahead) - gained;
                prop_assert!(apart.abs() <= Span::from_nanos(2), "{apart:.9}");
            }
        }
    }
}
