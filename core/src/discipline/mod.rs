//! From what the time is to what is done to the clock: step, slew, frequency.
//!
//! The frequency is set to what the sources say of it, and what remains of the offset is taken
//! away by running faster or slower for a while. Both are one number for the clock, its rate, and
//! this keeps the books of what the clock really did. By default only the first correction may be a
//! step, and one after somebody else moved the clock.
//!
//! `ALGORITHM` §7's control. It never judges sources.

mod command;
mod free_run;
mod jump;
mod leap;
mod panic;
mod twin;

pub use free_run::FreeRun;
pub use leap::{LeapList, LeapPlan, LeapSource};

use self::command::Awaited;
use self::jump::{Jump, Watch};
use self::leap::Leaps;
use self::panic::Panic;
use crate::clock::{ClockCommand, ClockReply};
use crate::config::{Config, DisciplineMode, MAX_FREQUENCY};
use crate::io::Refusal;
use crate::maths::{log, sqrt};
use crate::peer::Exchange;
use crate::select::Consensus;
use crate::units::{FreqOffset, Instant, Now, Span, WallTime};

/// The share of the time in which the uncertain frequency spoils the offset, in which an offset
/// is slewed away.
const SLEW_SHARE: f64 = 0.4;
/// A slew takes at least this share of the poll interval,
const SHORTEST_SLEW: f64 = 0.1;
/// and at most this one, if the greatest rate allows: the estimate is as good as it gets when it is
/// made, and what is left for later is added to the error.
const LONGEST_SLEW: f64 = 0.25;
/// While the clock is new a slew takes no longer than this, in seconds.
const FIRST_SLEWS: f64 = 4.0;

/// The greatest offset that a kernel's loop takes (`MAXPHASE`).
const LOOP_RANGE: Span = Span::from_millis(500);

/// In which a kernel's loop finds a frequency, log2 of time constants: 4 * 2^constant s take an
/// offset away, and four times as long the frequency.
const LOOP_TIME: i8 = 4;
/// The greatest time constant, log2 s (`MAXTC`).
const LONGEST_LOOP: i8 = 10;
/// Its time constant is a quarter of the poll interval, so that an offset is taken away in one interval:
/// the interval itself is for offsets as measured, and an estimate is smooth already.
const LOOP_SHORTER: i8 = 2;
/// The loop begins when nothing is more than so many times as wrong as it would be with it.
const LOOP_MARGIN: f64 = 3.0;

/// The books of the clock, and what is to be done next; with `EXTRAS` also of a clock's own loop, and
/// of leap seconds that are slewed or in a list.
#[derive(Debug)]
pub struct Discipline<const EXTRAS: bool> {
    control: bool,
    mode: DisciplineMode,
    step_threshold: Span,
    max_slew: FreqOffset,
    free_run: FreeRun<EXTRAS>,
    /// What the clock is to run at when it is right.
    frequency: FreqOffset,
    /// When the slew in progress ends.
    slew_end: Instant,
    /// So many corrections have been made.
    corrections: u32,
    /// So many, the first ones, may be steps.
    step_limit: Option<u32>,
    panic: Panic,
    watch: Watch,
    pub leaps: Leaps<EXTRAS>,
    /// A leap second is being slewed away.
    leaping: bool,
    /// Somebody else moved the clock, and it has not been corrected since.
    jump: Option<Jump>,
    awaited: Option<Awaited>,
    /// A change of the rate was never answered: it may have been made or not.
    lost_reply: bool,
    target: Option<Target>,
}

/// What is steered to: what the sources agreed on at a free-running time.
#[derive(Debug)]
struct Target {
    offset: Span,
    frequency: FreqOffset,
    time: WallTime,
}

impl<const EXTRAS: bool> Discipline<EXTRAS> {
    /// A clock that runs as `config` says.
    pub fn new(config: &Config, now: Now) -> Self {
        Self {
            control: config.control,
            mode: config.discipline,
            step_threshold: config.step_threshold,
            max_slew: config.max_slew.abs(),
            free_run: FreeRun::new(now.wall, config.frequency),
            frequency: config.frequency,
            slew_end: Instant::NEVER,
            corrections: 0,
            step_limit: config.step_limit,
            panic: Panic::new(config.panic_threshold),
            watch: Watch::new(config.counter, now),
            leaps: Leaps::new(config.leap),
            leaping: false,
            jump: None,
            awaited: None,
            lost_reply: false,
            target: None,
        }
    }

    /// Follows another policy from now on; the clock is the same.
    pub fn configure(&mut self, config: &Config) {
        self.step_threshold = config.step_threshold;
        self.step_limit = config.step_limit;
        self.max_slew = config.max_slew.abs();
        self.panic.set_threshold(config.panic_threshold);
        self.leaps.set_mode(config.leap);
    }

    /// Free-running time when the local clock shows `local`.
    pub fn free_run(&self, local: WallTime) -> WallTime {
        self.free_run.at(local)
    }

    /// An exchange as it would have been if nobody had touched the local clock.
    pub fn free_running(&self, exchange: &Exchange) -> Exchange {
        Exchange {
            sent: self.free_run(exchange.sent),
            received: self.free_run(exchange.received),
            ..*exchange
        }
    }

    /// The frequency that the clock is kept at, without the slew.
    pub const fn frequency(&self) -> FreqOffset {
        self.frequency
    }

    /// What takes offsets away at the moment.
    pub const fn mode(&self) -> DisciplineMode {
        if self.free_run.is_locked() { DisciplineMode::Kernel } else { DisciplineMode::Native }
    }

    /// By how much the local clock is still behind what the sources say.
    pub fn offset(&self, local: WallTime) -> Option<Span> {
        let &Target { offset, frequency, time } = self.target.as_ref()?;
        let free = self.free_run.at(local);
        let ahead = frequency.gain(free - time, 0).0;
        Some(offset + ahead + (free - local))
    }

    /// Whether the clock is changed at all, not only watched.
    pub const fn is_controlling(&self) -> bool {
        self.control
    }

    /// Whether the next correction sets out anew: it is the first, or the first since a jump.
    pub const fn is_unsettled(&self) -> bool {
        self.is_untouched() || self.jump.is_some()
    }

    /// Whether no correction was made yet.
    pub const fn is_untouched(&self) -> bool {
        self.corrections == 0
    }

    /// Whether it is not known what the clock is worth: somebody else moved it, or it may or may
    /// not have taken a new rate.
    pub const fn is_doubtful(&self) -> bool {
        (EXTRAS && self.lost_reply) || matches!(self.jump, Some(Jump { confirmed: false, .. }))
    }

    /// As [`is_doubtful`](Self::is_doubtful), or it has been moved since it was last watched.
    pub fn is_doubtful_at(&self, now: Now) -> bool {
        let moved = || self.moved(now, Span::ZERO).0.is_some();
        self.is_doubtful() || (!self.is_stepping() && moved())
    }

    /// Whether the sources' claim is beyond what is believed without the operator's word.
    pub const fn is_held(&self) -> bool {
        self.panic.is_held()
    }

    /// Whether a step is with the clock.
    pub const fn is_stepping(&self) -> bool {
        matches!(self.awaited, Some(Awaited { command: ClockCommand::Step(_), .. }))
    }

    /// When the slew in progress is to be ended, or the reply to a command is overdue.
    pub fn deadline(&self) -> Instant {
        self.awaited.as_ref().map_or(self.slew_end, |awaited| awaited.until)
    }

    /// By how much somebody else has moved the clock since it was last looked at, which was told to
    /// step by `stepped`; and whether it made a leap second.
    fn moved(&self, now: Now, stepped: Span) -> (Option<Span>, bool) {
        let moved = self.watch.moved(now, &self.free_run) - stepped;
        let leapt = self.leaps.leapt(self.watch.last(), now.wall + -moved, moved);
        (jump::beyond_doubt(moved - leapt.unwrap_or_default()), leapt.is_some())
    }

    /// Looks whether somebody else has moved the clock, and books it as a step; says by how much.
    /// `reply` is the clock's, if there is one. And whether the clock made a leap second.
    pub fn watch(&mut self, now: Now, reply: Option<&ClockReply>) -> (Option<Span>, bool) {
        let stepped = match (self.is_stepping(), reply) {
            (true, Some(ClockReply::Stepped { by, .. })) => *by,
            (true, Some(ClockReply::Failed { command: ClockCommand::Step(_), .. })) => Span::ZERO,
            // It may have been carried out already, or not yet.
            (true, _) => return (None, false),
            (false, _) => Span::ZERO,
        };
        let (jump, leapt) = self.moved(now, stepped);
        // What it would show had it not been moved: no step is booked yet.
        let unmoved = now.wall + -(jump.unwrap_or_default() + stepped);
        self.free_run.advance(unmoved);
        self.watch.look(now);
        if let Some(by) = jump {
            self.free_run.step(unmoved, by);
            self.jump = Some(self.jump.unwrap_or_default().and(by));
        }
        (jump, leapt)
    }

    /// A leap second that the clock did not make: it is wrong by that now, and is slewed.
    pub fn make_leap(&mut self, now: Now, by: Span) -> Option<ClockCommand> {
        self.free_run.leap(by);
        self.leaping = true;
        let offset = self.offset(now.wall).filter(|_| self.control && self.awaited.is_none())?;
        let command = self.slew(now.mono, offset, self.frequency, FIRST_SLEWS);
        Some(self.order(now, command, true))
    }

    /// Whether the clock is off by a leap second that is being slewed away.
    pub const fn is_leaping(&self) -> bool {
        EXTRAS && self.leaping
    }

    /// Whether the sources may be asked out of turn, now that the clock was moved.
    pub fn may_hurry(&mut self, now: Instant) -> bool {
        self.watch.may_hurry(now)
    }

    /// After a jump, a source says that the clock is behind by `surprise` more than expected. If
    /// that means that time has passed which the counter did not see, books it so and says how
    /// much it was.
    pub fn explain_jump(&mut self, local: WallTime, surprise: Span) -> Option<Span> {
        let jump = self.jump.as_mut()?;
        if !jump.was_time(surprise) {
            return None;
        }
        let by = jump.by;
        // The local clock went with the time: what was booked was no step.
        self.free_run.step(local, -by);
        Some(by)
    }

    /// The sources agree anew on what free-running `time` is worth. `interval` is the poll interval;
    /// `settled` says that there were enough samples to take it slowly.
    pub fn steer(
        &mut self,
        now: Now,
        consensus: &Consensus,
        time: WallTime,
        interval: Span,
        settled: bool,
    ) -> Option<ClockCommand> {
        let &Consensus { offset, frequency, .. } = consensus;
        self.target = Some(Target { offset, frequency, time });
        let offset = self.offset(now.wall)?;
        if let Some(jump) = &mut self.jump {
            jump.confirmed = true;
        }
        if !self.control || self.awaited.is_some() {
            return None;
        }
        let claimed = self.jump.unwrap_or_default().unexplained(offset);
        if self.corrections > 0 && self.panic.judge(claimed) {
            return None;
        }
        let frequency = frequency.clamp(-MAX_FREQUENCY, MAX_FREQUENCY);
        self.leaping &= offset.abs() > self.step_threshold;
        let may_step = !self.is_leaping()
            && self
                .step_limit
                .is_none_or(|limit| self.corrections < limit || (self.jump.is_some() && limit > 0));
        let command = if may_step && offset.abs() > self.step_threshold {
            ClockCommand::Step(offset)
        } else if EXTRAS
            && settled
            && offset.abs() <= LOOP_RANGE
            && let poll = (log2_secs(interval) - LOOP_SHORTER).max(0)
            && self.may_lock(consensus, offset, poll)
        {
            let frequency = (!self.free_run.is_locked()).then_some(frequency);
            ClockCommand::Lock { frequency, offset, poll }
        } else {
            let spoils = consensus.offset_deviation / consensus.frequency_deviation;
            let interval = interval.as_secs_f64();
            let secs = (SLEW_SHARE * spoils)
                .max(SHORTEST_SLEW * interval)
                .min(LONGEST_SLEW * interval)
                .min(if settled { f64::INFINITY } else { FIRST_SLEWS });
            self.slew(now.mono, offset, frequency, secs)
        };
        Some(self.order(now, command, true))
    }

    /// Whether offsets are for the clock's own loop: from when offset and frequency are as right as
    /// it keeps them until somebody else moves the clock, for it mends both slowly, and the one at the expense of the other.
    fn may_lock(&self, consensus: &Consensus, offset: Span, poll: i8) -> bool {
        let secs = f64::from(1u32 << (poll.clamp(0, LONGEST_LOOP) + LOOP_TIME));
        let noise = consensus.offset_deviation / secs;
        let kept = LOOP_MARGIN * (noise + consensus.selected.wander * sqrt(secs));
        let is_right =
            || consensus.frequency_deviation.max(offset.abs().as_secs_f64() / secs) <= kept;
        let is_in_use = self.free_run.is_locked() && self.jump.is_none();
        self.mode == DisciplineMode::Kernel && (is_in_use || is_right())
    }

    /// The operator wants the clock to step by what it is behind, whatever the policy; `held` only
    /// if it is held.
    pub fn step(&mut self, now: Now, held: bool) -> Result<Span, Refusal> {
        if held && !self.is_held() {
            return Err(Refusal::NotHeld);
        }
        if !self.control {
            return Err(Refusal::NotControlled);
        }
        if self.awaited.is_some() {
            return Err(Refusal::Busy);
        }
        let offset = self.offset(now.wall).filter(|_| !self.is_doubtful());
        let offset = offset.ok_or(Refusal::NoOffset)?;
        self.panic.release();
        self.order(now, ClockCommand::Step(offset), true);
        Ok(offset)
    }

    fn slew(
        &mut self,
        now: Instant,
        offset: Span,
        frequency: FreqOffset,
        secs: f64,
    ) -> ClockCommand {
        let wanted = FreqOffset::from_ratio(offset.as_secs_f64() / secs);
        let slew = wanted.max(-self.max_slew).min(self.max_slew);
        let secs = match slew {
            FreqOffset::ZERO => secs,
            slew => offset.as_secs_f64() / slew.as_ratio(),
        };
        self.slew_end = now + Span::from_secs_f64(secs);
        ClockCommand::Adjust { frequency, slew }
    }

    /// The slew in progress is over.
    pub fn handle_timeout(&mut self, now: Now) -> Option<ClockCommand> {
        if self.awaited.is_some() || self.slew_end > now.mono {
            return None;
        }
        self.slew_end = Instant::NEVER;
        let command = ClockCommand::Adjust { frequency: self.frequency, slew: FreqOffset::ZERO };
        Some(self.order(now, command, false))
    }
}

/// The power of two seconds next to an interval.
fn log2_secs(interval: Span) -> i8 {
    libm::round(log(interval.as_secs_f64()) / core::f64::consts::LN_2) as i8
}

#[cfg(test)]
mod tests;
