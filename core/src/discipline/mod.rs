//! From what the time is to what is done to the clock: step, slew, frequency.
//!
//! The frequency is set to what the sources say of it, and what remains of the offset is taken
//! away by running faster or slower for a while. Both are one number for the clock, its rate, and
//! this keeps the books of what the clock really did. Only the first correction may be a step.
//!
//! `ALGORITHM` §7's control. It never judges sources.

mod free_run;

pub use free_run::FreeRun;

use crate::clock::{ClockCommand, ClockError, ClockReply};
use crate::config::{Config, MAX_FREQUENCY};
use crate::select::Consensus;
use crate::units::{FreqOffset, Instant, Now, Span, WallTime};

/// The share of the time in which the uncertain frequency spoils the offset, in which an offset
/// is slewed away.
const SLEW_SHARE: f64 = 0.4;
/// A slew takes at least this share of the poll interval,
const SHORTEST_SLEW: f64 = 0.2;
/// and at most one, if the greatest rate allows: the estimate is as good as it gets when it is made,
/// and what is left for later is added to the error. Four cost 4 % at large jitter.
const LONGEST_SLEW: f64 = 1.0;
/// While the clock is new a slew takes no longer than this, in seconds.
const FIRST_SLEWS: f64 = 4.0;

/// After a clock did not end a slew it is asked again.
const RETRY: Span = Span::from_secs(16);

/// The books of the clock, and what is to be done next.
#[derive(Debug)]
pub struct Discipline {
    control: bool,
    step_threshold: Span,
    max_slew: FreqOffset,
    free_run: FreeRun,
    /// What the clock is to run at when it is right.
    frequency: FreqOffset,
    /// When the slew in progress ends.
    slew_end: Option<Instant>,
    /// A correction has been made, so that steps are over.
    corrected: bool,
    /// A command is with the clock and its reply has not come.
    awaited: Option<ClockCommand>,
    /// The consensus that is steered to, and the free-running time it was made for.
    target: Option<(Consensus, WallTime)>,
}

impl Discipline {
    /// A clock that shows `local` and runs as `config` says.
    pub fn new(config: &Config, local: WallTime) -> Self {
        Self {
            control: config.control,
            step_threshold: config.step_threshold,
            max_slew: config.max_slew.abs(),
            free_run: FreeRun::new(local, config.frequency),
            frequency: config.frequency,
            slew_end: None,
            corrected: false,
            awaited: None,
            target: None,
        }
    }

    /// Free-running time when the local clock shows `local`.
    pub fn free_run(&self, local: WallTime) -> WallTime {
        self.free_run.at(local)
    }

    /// The frequency that the clock is kept at, without the slew.
    pub const fn frequency(&self) -> FreqOffset {
        self.frequency
    }

    /// By how much the local clock is still behind what the sources say.
    pub fn offset(&self, local: WallTime) -> Option<Span> {
        let (consensus, time) = self.target?;
        let free = self.free_run.at(local);
        let ahead = consensus.frequency.gain(free - time, 0).0;
        Some(consensus.offset + ahead + (free - local))
    }

    /// Whether the clock is changed at all, not only watched.
    pub const fn is_controlling(&self) -> bool {
        self.control
    }

    /// Whether a correction has been made, so that steps are over.
    pub const fn is_corrected(&self) -> bool {
        self.corrected
    }

    /// Whether a step is with the clock.
    pub const fn is_stepping(&self) -> bool {
        matches!(self.awaited, Some(ClockCommand::Step(_)))
    }

    /// When the slew in progress is to be ended.
    pub const fn deadline(&self) -> Option<Instant> {
        match self.awaited {
            None => self.slew_end,
            Some(_) => None,
        }
    }

    /// The sources agree anew on what free-running `time` is worth. `interval` is the poll interval;
    /// `settled` says that there were enough samples to take it slowly.
    pub fn steer(
        &mut self,
        now: Now,
        consensus: Consensus,
        time: WallTime,
        interval: Span,
        settled: bool,
    ) -> Option<ClockCommand> {
        self.target = Some((consensus, time));
        let offset = self.offset(now.wall)?;
        if !self.control || self.awaited.is_some() {
            return None;
        }
        let command = if !self.corrected && offset.abs() > self.step_threshold {
            ClockCommand::Step(offset)
        } else {
            let spoils = consensus.offset_deviation / consensus.frequency_deviation;
            let interval = interval.as_secs_f64();
            let secs = (SLEW_SHARE * spoils)
                .max(SHORTEST_SLEW * interval)
                .min(LONGEST_SLEW * interval)
                .min(if settled { f64::INFINITY } else { FIRST_SLEWS });
            self.slew(now.mono, offset, consensus.frequency, secs)
        };
        self.corrected = true;
        self.awaited = Some(command);
        Some(command)
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
        self.slew_end = Some(now + Span::from_secs_f64(secs));
        let frequency = frequency.clamp(-MAX_FREQUENCY, MAX_FREQUENCY);
        ClockCommand::Adjust { frequency, slew }
    }

    /// The slew in progress is over.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<ClockCommand> {
        self.deadline().filter(|end| *end <= now)?;
        self.slew_end = None;
        let command = ClockCommand::Adjust { frequency: self.frequency, slew: FreqOffset::ZERO };
        self.awaited = Some(command);
        Some(command)
    }

    /// What the clock did.
    pub fn handle_reply(&mut self, now: Instant, reply: &ClockReply) {
        match *reply {
            ClockReply::Stepped { by, .. } => {
                self.free_run.step(by);
                self.slew_end = None;
                self.awaited = None;
            }
            ClockReply::Adjusted { at, rate } => {
                self.free_run.change_rate(at, rate);
                if let Some(ClockCommand::Adjust { frequency, slew }) = self.awaited {
                    self.awaited = None;
                    // With a slew on top, the clock may have fallen short of it for that alone.
                    self.frequency = if slew == FreqOffset::ZERO { rate } else { frequency };
                }
            }
            ClockReply::Failed { command, error } => {
                if self.awaited == Some(command) {
                    self.awaited = None;
                    match command {
                        ClockCommand::Step(_) => self.corrected = false,
                        _ => {
                            let slewing = self.free_run.rate() != self.frequency;
                            self.slew_end = slewing.then(|| now + RETRY);
                        }
                    }
                }
                // There is no point in asking again.
                if matches!(error, ClockError::NotPermitted | ClockError::Unsupported) {
                    self.control = false;
                }
            }
            ClockReply::StatusSet => {}
        }
    }
}

#[cfg(test)]
mod tests;
