//! The kernel's clock where this process may only read it: its parent sets it.

use std::sync::Arc;

use truechimer_core::clock::{ClockError, ClockStatus, LeapPlan};
use truechimer_core::event::Event;
use truechimer_core::hal::{AdjustableClock, RawStamp};
use truechimer_core::io::Stamp;
use truechimer_core::units::{FreqOffset, Now, Span};

use super::kernel;
use crate::process::link::Link;
use crate::process::message::{Command, Did, Failure, Opened};

/// `CLOCK_REALTIME`, disciplined by the parent.
#[derive(Debug)]
pub struct RemoteClock {
    parent: Arc<Link>,
    synced: bool,
    found: Option<(FreqOffset, FreqOffset)>,
    failures: Vec<Event<'static>>,
}

impl RemoteClock {
    /// Has the parent open it, to change it if `control`. Says at which rate it runs, and why it may
    /// not be changed.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(
        parent: Arc<Link>,
        control: bool,
    ) -> Result<(Self, FreqOffset, Result<(), ClockError>), ClockError> {
        let Opened { rate, synced, controlled, failures } = parent.open_clock(control)?;
        let failures = failures.into_iter().map(Failure::event).collect();
        let clock = Self { parent, synced, found: None, failures };
        Ok((clock, FreqOffset::from_ppm_f64(rate), controlled.map_err(Into::into)))
    }

    /// As [`KernelClock::was_synced`](super::KernelClock::was_synced).
    #[must_use]
    pub const fn was_synced(&self) -> bool {
        self.synced
    }

    /// What failed since it was last asked, to be logged.
    pub fn take_failures(&mut self) -> Vec<Event<'static>> {
        std::mem::take(&mut self.failures)
    }

    fn ask(&mut self, command: Command) -> Result<Did, ClockError> {
        let done = self.parent.adjust_clock(command)?;
        self.failures.extend(done.failures.into_iter().map(Failure::event));
        if let Some((had, found)) = done.found {
            self.found = Some((FreqOffset::from_ppm_f64(had), FreqOffset::from_ppm_f64(found)));
        }
        Ok(done.outcome?)
    }

    fn ask_for_rate(&mut self, command: Command) -> Result<FreqOffset, ClockError> {
        match self.ask(command)? {
            Did::Runs(rate) => Ok(FreqOffset::from_ppm_f64(rate)),
            _ => Err(ClockError::NoReply),
        }
    }
}

impl AdjustableClock for RemoteClock {
    fn now(&self) -> Now {
        kernel::now()
    }

    fn stamp(&self, stamp: RawStamp) -> Stamp {
        kernel::stamp(stamp)
    }

    fn step(&mut self, by: Span) -> Result<Span, ClockError> {
        match self.ask(Command::Step(by.as_nanos()))? {
            Did::Stepped(by) => Ok(Span::from_nanos(by)),
            _ => Err(ClockError::NoReply),
        }
    }

    fn adjust(
        &mut self,
        frequency: FreqOffset,
        slew: FreqOffset,
    ) -> Result<FreqOffset, ClockError> {
        let (frequency, slew) = (frequency.as_ppm(), slew.as_ppm());
        self.ask_for_rate(Command::Adjust { frequency, slew })
    }

    fn lock(
        &mut self,
        frequency: Option<FreqOffset>,
        offset: Span,
        poll: i8,
    ) -> Result<FreqOffset, ClockError> {
        let (frequency, offset) = (frequency.map(FreqOffset::as_ppm), offset.as_nanos());
        self.ask_for_rate(Command::Lock { frequency, offset, poll })
    }

    fn take_found(&mut self) -> Option<(FreqOffset, FreqOffset)> {
        self.found.take()
    }

    fn set_status(&mut self, status: &ClockStatus) -> Result<(), ClockError> {
        let command = Command::Status {
            synced: status.synced,
            max_error: status.max_error.as_nanos(),
            estimated_error: status.estimated_error.as_nanos(),
        };
        self.ask(command).map(drop)
    }

    fn set_leap(&mut self, plan: &LeapPlan) -> Result<(), ClockError> {
        let LeapPlan { leap, tai } = *plan;
        self.ask(Command::Leap { leap: leap.into(), tai }).map(drop)
    }
}
