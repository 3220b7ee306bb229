//! The local clock as it would run if nobody had touched it.

use super::twin::Twin;
use crate::units::{FreqOffset, Span, WallTime};

/// Free-running time, reconstructed from the local clock and from what was really done to it.
///
/// Between two changes the local clock runs at 1 + c times the free-running one, c as the clock
/// **returned** it, not as it was asked; or, with `LOOP`, as its loop has it. A step moves only the local
/// clock.
#[derive(Debug, Clone, Copy)]
pub struct FreeRun<const LOOP: bool> {
    present: Segment,
    /// In place of the present segment, which is where it begins, while the clock's loop is closed.
    twin: Option<Twin>,
    /// For exchanges that began before the last change.
    previous: Segment,
}

/// The time between two changes of the rate.
#[derive(Debug, Clone, Copy)]
struct Segment {
    local: WallTime,
    free: WallTime,
    /// What of `free` is less than a nanosecond, as [`FreqOffset::gain`] counts it.
    carry: u64,
    rate: FreqOffset,
    /// The rate of free-running time seen from the local clock: −c / (1 + c).
    inverse: FreqOffset,
}

impl Segment {
    fn new(local: WallTime, free: WallTime, carry: u64, rate: FreqOffset) -> Self {
        let ratio = rate.as_ratio();
        let inverse = FreqOffset::from_ratio(-ratio / (1.0 + ratio));
        Self { local, free, carry, rate, inverse }
    }

    fn at(&self, local: WallTime) -> (WallTime, u64) {
        let elapsed = local - self.local;
        let (gain, carry) = self.inverse.gain(elapsed, self.carry);
        (self.free + elapsed + gain, carry)
    }
}

impl<const LOOP: bool> FreeRun<LOOP> {
    /// Free-running time begins as the local clock's, which runs at `rate`.
    pub fn new(local: WallTime, rate: FreqOffset) -> Self {
        let segment = Segment::new(local, local, 0, rate);
        Self { present: segment, twin: None, previous: segment }
    }

    /// Free-running time when the local clock shows `local`: now, or not long ago.
    pub fn at(&self, local: WallTime) -> WallTime {
        if local < self.present.local {
            return self.previous.at(local).0;
        }
        match self.twin() {
            Some(twin) => twin.free(local),
            None => self.present.at(local).0,
        }
    }

    /// `None` for ever unless `LOOP`.
    fn twin(&self) -> Option<&Twin> {
        self.twin.as_ref().filter(|_| LOOP)
    }

    /// The rate that the local clock runs at, but for what its own loop adds to correct an offset.
    pub fn rate(&self) -> FreqOffset {
        self.twin().map_or(self.present.rate, Twin::frequency)
    }

    /// Whether the clock's own loop is closed.
    pub const fn is_locked(&self) -> bool {
        LOOP && self.twin.is_some()
    }

    /// What the local clock gains while free-running time advances by `elapsed` from when it showed
    /// `local`.
    pub fn gain(&self, local: WallTime, elapsed: Span) -> Span {
        match self.twin() {
            Some(twin) => twin.gain(local, elapsed),
            None => self.present.rate.gain(elapsed, 0).0,
        }
    }

    /// From `local` on the clock runs at `rate`.
    pub fn change_rate(&mut self, local: WallTime, rate: FreqOffset) {
        let (free, carry) = self.end(local);
        self.twin = None;
        self.present = Segment::new(local, free, carry, rate);
    }

    /// From `local` on the clock takes `offset` away by its loop, which has this frequency.
    pub fn lock(&mut self, local: WallTime, offset: Span, poll: i8, frequency: FreqOffset) {
        let (free, carry) = self.end(local);
        let twin = self.twin.get_or_insert(Twin::new(local, free));
        twin.lock(local, offset, poll, frequency);
        self.present = Segment::new(local, free, carry, frequency);
    }

    /// What there was ends at `local`.
    fn end(&mut self, local: WallTime) -> (WallTime, u64) {
        match self.twin() {
            Some(twin) => {
                let free = twin.free(local);
                self.previous = Segment::new(local, free, 0, twin.rate(local));
                (free, 0)
            }
            None => {
                self.previous = self.present;
                self.present.at(local)
            }
        }
    }

    /// The clock, which showed `local`, was stepped by `by`.
    pub fn step(&mut self, local: WallTime, by: Span) {
        if let Some(twin) = self.twin.as_mut().filter(|_| LOOP) {
            twin.step(local, by);
        }
        self.present.local += by;
        self.previous.local += by;
    }

    /// Time itself was moved by `by`, and the clock was not.
    pub fn leap(&mut self, by: Span) {
        if let Some(twin) = self.twin.as_mut().filter(|_| LOOP) {
            twin.leap(by);
        }
        self.present.free += by;
        self.previous.free += by;
    }

    /// The local clock shows `local`: what there is to do for each second that has passed is done.
    pub fn advance(&mut self, local: WallTime) {
        if let Some(twin) = self.twin.as_mut().filter(|_| LOOP) {
            twin.advance(local);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undoes_frequency_and_steps() {
        let start = WallTime::from_unix(1_800_000_000, 0);
        let mut free = FreeRun::<true>::new(start, FreqOffset::ZERO);
        let mut local = start + Span::from_secs(1_000);
        free.change_rate(local, FreqOffset::from_ppm(100));
        // 1000 s of free-running time later.
        local += Span::from_secs(1_000) + Span::from_millis(100);
        assert!((free.at(local) - (start + Span::from_secs(2_000))).abs() <= Span::from_nanos(1));
        // What began before the change is seen at the old rate.
        assert_eq!(free.at(start + Span::from_secs(999)), start + Span::from_secs(999));
        free.step(local, Span::from_secs(-5));
        local += Span::from_secs(-5);
        assert!((free.at(local) - (start + Span::from_secs(2_000))).abs() <= Span::from_nanos(1));
        assert_eq!(free.at(start + Span::from_secs(994)), start + Span::from_secs(999));
    }

    #[test]
    fn a_thousand_changes_lose_nothing() {
        let start = WallTime::from_unix(1_800_000_000, 0);
        let rate = FreqOffset::from_ppm_f64(12.345);
        let mut often = FreeRun::<true>::new(start, rate);
        let once = often;
        let mut local = start;
        for n in 0..1_000 {
            local += Span::from_nanos(1_234_567_891 + n);
            often.change_rate(local, rate);
        }
        assert!((often.at(local) - once.at(local)).abs() <= Span::from_nanos(1));
    }
}
