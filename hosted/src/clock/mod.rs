//! The clock that the daemon disciplines: the kernel's, or one of its own.

mod kernel;
mod read;
mod remote;
mod software;

use truechimer_core::clock::{ClockError, ClockStatus, LeapPlan};
use truechimer_core::event::Event;
use truechimer_core::hal::{AdjustableClock, RawStamp};
use truechimer_core::io::Stamp;
use truechimer_core::units::{FreqOffset, Now, Span};

use crate::serve::ServedClock;

use crate::sys::fault::{Call, fault};
#[cfg(target_os = "linux")]
pub(crate) use read::both;

pub(crate) use kernel::HAS_LOOP;
pub use kernel::KernelClock;
pub(crate) use read::{monotonic, wall};
pub use read::{precision, realtime};
pub use remote::RemoteClock;
pub use software::SoftwareClock;

/// One of them.
#[derive(Debug)]
pub enum HostClock {
    /// `CLOCK_REALTIME`.
    Kernel(KernelClock),
    /// The same, set by the parent process.
    Remote(RemoteClock),
    /// One in this process.
    Software(Box<SoftwareClock>),
}

impl HostClock {
    /// How far the clock is ahead of `CLOCK_REALTIME`; of a clock of our own only.
    #[must_use]
    pub fn error(&self) -> Option<Span> {
        match self {
            Self::Kernel(_) | Self::Remote(_) => None,
            Self::Software(clock) => Some(clock.error()),
        }
    }

    /// Whether it had been synchronised before this process came to it.
    #[must_use]
    pub const fn was_synced(&self) -> bool {
        match self {
            Self::Kernel(clock) => clock.was_synced(),
            Self::Remote(clock) => clock.was_synced(),
            Self::Software(_) => false,
        }
    }

    /// What failed since it was last asked, to be logged.
    pub fn take_failures(&mut self) -> Vec<Event<'static>> {
        match self {
            Self::Kernel(clock) => clock.take_failures(),
            Self::Remote(clock) => clock.take_failures(),
            Self::Software(_) => Vec::new(),
        }
    }
}

impl HostClock {
    /// How other threads read it.
    #[must_use]
    pub fn served(&self) -> ServedClock {
        match self {
            Self::Kernel(_) | Self::Remote(_) => ServedClock::Kernel,
            Self::Software(clock) => ServedClock::Software(clock.line()),
        }
    }
}

impl AdjustableClock for HostClock {
    fn now(&self) -> Now {
        match self {
            Self::Kernel(clock) => clock.now(),
            Self::Remote(clock) => clock.now(),
            Self::Software(clock) => clock.now(),
        }
    }

    fn stamp(&self, stamp: RawStamp) -> Stamp {
        match self {
            Self::Kernel(clock) => clock.stamp(stamp),
            Self::Remote(clock) => clock.stamp(stamp),
            Self::Software(clock) => clock.stamp(stamp),
        }
    }

    fn step(&mut self, by: Span) -> Result<Span, ClockError> {
        match self {
            Self::Kernel(clock) => clock.step(by),
            Self::Remote(clock) => clock.step(by),
            Self::Software(clock) => clock.step(by),
        }
    }

    fn adjust(
        &mut self,
        frequency: FreqOffset,
        slew: FreqOffset,
    ) -> Result<FreqOffset, ClockError> {
        fault(Call::AdjustClock).map_err(|errno| ClockError::Os(errno as i32))?;
        match self {
            Self::Kernel(clock) => clock.adjust(frequency, slew),
            Self::Remote(clock) => clock.adjust(frequency, slew),
            Self::Software(clock) => clock.adjust(frequency, slew),
        }
    }

    fn lock(
        &mut self,
        frequency: Option<FreqOffset>,
        offset: Span,
        poll: i8,
    ) -> Result<FreqOffset, ClockError> {
        match self {
            Self::Kernel(clock) => clock.lock(frequency, offset, poll),
            Self::Remote(clock) => clock.lock(frequency, offset, poll),
            Self::Software(clock) => clock.lock(frequency, offset, poll),
        }
    }

    fn take_found(&mut self) -> Option<(FreqOffset, FreqOffset)> {
        match self {
            Self::Kernel(clock) => clock.take_found(),
            Self::Remote(clock) => clock.take_found(),
            Self::Software(clock) => clock.take_found(),
        }
    }

    fn set_status(&mut self, status: &ClockStatus) -> Result<(), ClockError> {
        match self {
            Self::Kernel(clock) => clock.set_status(status),
            Self::Remote(clock) => clock.set_status(status),
            Self::Software(clock) => clock.set_status(status),
        }
    }

    fn set_leap(&mut self, plan: &LeapPlan) -> Result<(), ClockError> {
        match self {
            Self::Kernel(clock) => clock.set_leap(plan),
            Self::Remote(clock) => clock.set_leap(plan),
            Self::Software(clock) => clock.set_leap(plan),
        }
    }
}
