//! What is with the clock, and what it answered: only that is booked.
//!
//! A clock in another process may hang. Then it is not known whether the command was carried out,
//! and nothing is measured by the clock until it has answered the next one.

use super::Discipline;
use crate::clock::{ClockCommand, ClockError, ClockReply};
use crate::units::{FreqOffset, Instant, Now, Span, WallTime};

/// After a clock did not end a slew it is asked again.
const RETRY: Span = Span::from_secs(16);
/// A clock that has not answered a command after this has failed: its process hangs.
const PATIENCE: Span = Span::from_secs(10);
/// A reply that comes within this spoils no measurement: 0.5 us at the usual fastest slew.
const PROMPT: Span = Span::from_millis(1);

/// A command that is with the clock.
#[derive(Debug, Clone, Copy)]
pub struct Awaited {
    pub command: ClockCommand,
    /// A correction, not the end of one.
    corrects: bool,
    /// What the clock showed then.
    since: WallTime,
    /// It has until then to reply.
    pub until: Instant,
}

impl<const EXTRAS: bool> Discipline<EXTRAS> {
    /// Gives the clock a command.
    pub(super) fn order(
        &mut self,
        now: Now,
        command: ClockCommand,
        corrects: bool,
    ) -> ClockCommand {
        let until = now.mono + PATIENCE;
        self.awaited = Some(Awaited { command, corrects, since: now.wall, until });
        command
    }

    /// Whether readings of the clock cannot be compared now: it is being stepped, or it is not
    /// known at which rate it runs.
    pub fn is_changing(&self, now: Instant) -> bool {
        let late = |awaited: Awaited| awaited.until - now <= PATIENCE - PROMPT;
        self.is_stepping() || EXTRAS && (self.lost_reply || self.awaited.is_some_and(late))
    }

    /// A command whose reply is overdue, which is to be taken for a failure.
    pub fn overdue(&self, now: Instant) -> Option<ClockCommand> {
        self.awaited.filter(|awaited| awaited.until <= now).map(|awaited| awaited.command)
    }

    /// What the clock did.
    pub fn handle_reply(&mut self, now: Instant, reply: &ClockReply) {
        match *reply {
            ClockReply::Stepped { by, now } => {
                // One that was given up has been booked as a jump.
                if self.is_stepping() {
                    self.free_run.step(now + -by, by);
                    self.slew_end = Instant::NEVER;
                    self.done();
                }
            }
            ClockReply::Adjusted { at, rate } => {
                self.free_run.change_rate(at, rate);
                let answered = self.awaited.filter(|awaited| !EXTRAS || at >= awaited.since);
                match answered.map(|awaited| awaited.command) {
                    Some(ClockCommand::Adjust { frequency, slew }) => {
                        self.done();
                        self.lost_reply = false;
                        // With a slew on top, the clock may have fallen short of it for that alone.
                        self.frequency = if slew == FreqOffset::ZERO { rate } else { frequency };
                    }
                    // One that was given up: its slew must end all the same.
                    _ => self.end_later(now),
                }
            }
            ClockReply::Locked { .. } if !EXTRAS => {}
            ClockReply::Locked { at, offset, poll, frequency } => {
                self.free_run.lock(at, offset, poll, frequency);
                self.frequency = frequency;
                let answered = self.awaited.filter(|awaited| !EXTRAS || at >= awaited.since);
                match answered.map(|awaited| awaited.command) {
                    Some(ClockCommand::Lock { .. }) => {
                        self.done();
                        self.lost_reply = false;
                        self.slew_end = Instant::NEVER;
                    }
                    _ => self.end_later(now),
                }
            }
            ClockReply::Failed { .. } if !EXTRAS => self.awaited = None,
            ClockReply::Failed { command, error } => {
                if self.awaited.is_some_and(|awaited| awaited.command == command) {
                    self.awaited = None;
                    if !matches!(command, ClockCommand::Step(_)) {
                        self.lost_reply |= error == ClockError::NoReply;
                        self.end_later(now);
                    }
                }
                // There is no point in asking again; of leap seconds a clock need not know.
                let is_leap = matches!(command, ClockCommand::Leap(_));
                let is_final = matches!(error, ClockError::NotPermitted | ClockError::Unsupported);
                if is_final && !is_leap {
                    self.control = false;
                }
            }
            ClockReply::StatusSet => {}
        }
    }

    /// The clock did as it was told.
    fn done(&mut self) {
        if self.awaited.take().is_some_and(|awaited| awaited.corrects) {
            self.corrections = self.corrections.saturating_add(1);
            self.jump.take_if(|jump| jump.confirmed);
        }
    }

    /// If the clock slews, or may, it is to end that after a while.
    fn end_later(&mut self, now: Instant) {
        let slewing = self.free_run.rate() != self.frequency || self.lost_reply;
        self.slew_end = if slewing { now + RETRY } else { Instant::NEVER };
    }
}
