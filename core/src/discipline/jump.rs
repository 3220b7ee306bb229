//! Whether somebody else moved the clock: it is compared with the counter.
//!
//! What the two part by, beyond what the clock was told, is a jump. Either another program set the
//! clock, and time went on as it did; or time went on unseen by the counter, as while Linux sleeps,
//! and the clock was put forward by as much. The counter cannot tell which: the first source that
//! answers does.

use super::FreeRun;
use crate::config::Counter;
use crate::units::{Instant, Now, Span, WallTime};

/// A jump is no less than this: both clocks are not read at the very same moment.
const LEAST: Span = Span::from_millis(1);
/// Time never passes unseen by less than this: nobody sleeps as shortly, and a leap second is one.
const LEAST_GAP: Span = Span::from_millis(500);
/// Sources are asked out of turn because of a jump once in this time, however often the clock jumps.
const CALM: Span = Span::from_secs(64);

/// Compares the clock with the counter.
#[derive(Debug)]
pub struct Watch {
    counter: Counter,
    seen: Now,
    /// When sources were last to be asked out of turn.
    hurried: Option<Instant>,
}

impl Watch {
    pub const fn new(counter: Counter, now: Now) -> Self {
        Self { counter, seen: now, hurried: None }
    }

    /// What the clock showed when it was last looked at.
    pub const fn last(&self) -> WallTime {
        self.seen.wall
    }

    /// From now on it is looked at.
    pub const fn look(&mut self, now: Now) {
        self.seen = now;
    }

    /// By how much a clock that runs as `run` has it was moved since it was last looked at, about.
    pub fn moved<const LOOP: bool>(&self, now: Now, run: &FreeRun<LOOP>) -> Span {
        let elapsed = now.mono - self.seen.mono;
        let gain = match self.counter {
            Counter::Raw => run.gain(self.seen.wall, elapsed),
            Counter::Slewed => Span::ZERO,
        };
        (now.wall - self.seen.wall) - (elapsed + gain)
    }

    /// Whether the sources may be asked out of turn.
    pub fn may_hurry(&mut self, now: Instant) -> bool {
        let may = self.hurried.is_none_or(|last| now - last >= CALM);
        if may {
            self.hurried = Some(now);
        }
        may
    }
}

/// What is more than both clocks differ by for not being read at the very same moment.
pub fn beyond_doubt(moved: Span) -> Option<Span> {
    Some(moved).filter(|moved| moved.abs() >= LEAST)
}

/// Jumps since the last correction.
#[derive(Debug, Clone, Copy, Default)]
pub struct Jump {
    /// How far they went together.
    pub by: Span,
    /// A source has said what they were.
    explained: bool,
    /// The sources have agreed on what the clock is worth since.
    pub confirmed: bool,
}

impl Jump {
    /// One more.
    pub fn and(self, by: Span) -> Self {
        Self { by: self.by + by, explained: false, confirmed: false }
    }

    /// A source says that the clock is behind by `surprise` more than a step of it would explain.
    /// Whether time itself jumped with the clock; asked once.
    pub fn was_time(&mut self, surprise: Span) -> bool {
        let asked = core::mem::replace(&mut self.explained, true);
        !asked && self.by.abs() >= LEAST_GAP && (surprise - self.by).abs() < surprise.abs()
    }

    /// What of an offset the jump does not account for, whichever it was.
    pub fn unexplained(self, offset: Span) -> Span {
        offset.abs().min((offset + self.by).abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::FreqOffset;

    fn now(mono_secs: i64, wall_nanos: i64) -> Now {
        let span = Span::from_secs(mono_secs);
        let wall = WallTime::from_unix(1_800_000_000, 0) + span + Span::from_nanos(wall_nanos);
        Now { mono: Instant::default() + span, wall }
    }

    fn look(watch: &mut Watch, now: Now, run: &FreeRun<true>) -> Option<Span> {
        let moved = watch.moved(now, run);
        watch.look(now);
        beyond_doubt(moved)
    }

    /// A clock of this rate, ppm.
    fn run(rate: i32) -> FreeRun<true> {
        FreeRun::new(now(0, 0).wall, FreqOffset::from_ppm(rate))
    }

    #[test]
    fn a_raw_counter_is_left_behind_by_the_rate() {
        let mut watch = Watch::new(Counter::Raw, now(0, 0));
        let run = run(500);
        assert_eq!(look(&mut watch, now(100, 50_000_000), &run), None);
        assert_eq!(watch.moved(now(200, 50_000_000), &run), Span::from_millis(-50));
        assert_eq!(look(&mut watch, now(200, 101_000_000), &run), Some(Span::from_millis(1)));
        assert_eq!(look(&mut watch, now(200, 101_000_000), &run), None);
    }

    #[test]
    fn a_slewed_counter_keeps_up() {
        let mut watch = Watch::new(Counter::Slewed, now(0, 0));
        let run = run(500);
        assert_eq!(look(&mut watch, now(100_000, 999_999), &run), None);
        let hour = Span::from_secs(-3_600);
        let moved = watch.moved(now(100_001, hour.as_nanos()), &run);
        assert!((moved - hour).abs() < Span::from_millis(1), "{moved}");
    }

    #[test]
    fn the_nearer_explanation_is_believed_once() {
        let hour = Span::from_secs(3_600);
        let small = Span::from_millis(3);
        for by in [hour, -hour] {
            let jump = Jump::default().and(by);
            assert!(!jump.clone().was_time(small));
            assert!(jump.clone().was_time(by + small));
            let mut asked = jump;
            assert!(!asked.was_time(small) && !asked.was_time(by));
            assert_eq!(jump.unexplained(small - by), small);
            assert_eq!(jump.unexplained(small), small);
            assert_eq!(jump.unexplained(by), hour);
        }
        let short = Span::from_millis(50);
        assert!(!Jump::default().and(short).was_time(short), "nobody sleeps as shortly");
    }

    #[test]
    fn sources_are_not_hurried_all_the_time() {
        let mut watch = Watch::new(Counter::Raw, now(0, 0));
        let hurried = (0..640).filter(|&secs| watch.may_hurry(now(secs, 0).mono)).count();
        assert_eq!(hurried, 10);
    }
}
