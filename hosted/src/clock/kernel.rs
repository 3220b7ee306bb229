//! The kernel's clock.

use nix::errno::Errno;
use truechimer_core::clock::{ClockError, ClockStatus};
use truechimer_core::hal::{AdjustableClock, RawStamp};
use truechimer_core::io::{Stamp, StampSource};
use truechimer_core::units::{FreqOffset, Instant, Now, Span, WallTime};

use super::read::both;
use crate::sys::{self, KernelStatus, RateLimits};

/// A stamp older than this is not believed.
const OLDEST: Span = Span::from_secs(10);
/// Nor one from further in the future, which a step of the clock makes.
const FUTURE: Span = Span::from_millis(1);

/// `CLOCK_REALTIME`, disciplined by `ntp_adjtime`.
#[derive(Debug)]
pub struct KernelClock {
    limits: RateLimits,
    rate: FreqOffset,
    /// The rate that it had been given and the one that it was found at.
    found: Option<(FreqOffset, FreqOffset)>,
}

impl KernelClock {
    /// Reads the rate that the kernel's clock runs at.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open() -> Result<Self, ClockError> {
        let limits = RateLimits::of_this_system();
        let rate = sys::read_rate(limits).map_err(error)?;
        Ok(Self { limits, rate, found: None })
    }

    /// The rate that the clock was found at.
    #[must_use]
    pub const fn rate(&self) -> FreqOffset {
        self.rate
    }

    /// Whether this process may change the clock: tries to, to the rate that it has, and ends what
    /// a program before may have left in progress.
    ///
    /// # Errors
    /// [`ClockError::NotPermitted`] if it may not.
    pub fn try_control(&mut self) -> Result<(), ClockError> {
        self.rate = sys::adjust(self.rate, self.limits).map_err(error)?;
        sys::reset().map_err(error)
    }
}

impl AdjustableClock for KernelClock {
    fn now(&self) -> Now {
        let (mono, wall) = both();
        Now { mono, wall }
    }

    fn stamp(&self, stamp: RawStamp) -> Stamp {
        let now = self.now();
        let credible = |time: WallTime| (-FUTURE..=OLDEST).contains(&(now.wall - time));
        let by_counter = |at: Instant| now.wall + (at - now.mono);
        match stamp {
            RawStamp::Kernel(time) if credible(time) => Stamp { time, source: StampSource::Kernel },
            RawStamp::System(time) if credible(time) => Stamp { time, source: StampSource::User },
            RawStamp::Counter(at) => Stamp { time: by_counter(at), source: StampSource::Kernel },
            _ => Stamp { time: now.wall, source: StampSource::User },
        }
    }

    fn step(&mut self, by: Span) -> Result<Span, ClockError> {
        sys::step(by).map_err(error)?;
        Ok(by)
    }

    fn adjust(
        &mut self,
        frequency: FreqOffset,
        slew: FreqOffset,
    ) -> Result<FreqOffset, ClockError> {
        let found = sys::read_rate(self.limits).map_err(error)?;
        if found != self.rate {
            self.found = Some((self.rate, found));
        }
        self.rate = sys::adjust(frequency + slew, self.limits).map_err(error)?;
        Ok(self.rate)
    }

    fn take_found(&mut self) -> Option<(FreqOffset, FreqOffset)> {
        self.found.take()
    }

    fn set_status(&mut self, status: &ClockStatus) -> Result<(), ClockError> {
        let ClockStatus { synced, max_error, estimated_error } = *status;
        sys::set_status(&KernelStatus { synced, max_error, estimated_error }).map_err(error)
    }
}

fn error(errno: Errno) -> ClockError {
    match errno {
        Errno::EPERM => ClockError::NotPermitted,
        other => ClockError::Os(other as i32),
    }
}
