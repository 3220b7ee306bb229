//! A clock of our own over `CLOCK_MONOTONIC`: it touches nothing and may be as wrong as it is told.

use truechimer_core::clock::{ClockError, ClockStatus, LeapPlan};
use truechimer_core::hal::{AdjustableClock, RawStamp};
use truechimer_core::io::{Stamp, StampSource};
use truechimer_core::timex;
use truechimer_core::units::{FreqOffset, Instant, Now, Span, WallTime};

use super::read::{both, monotonic};
use crate::serve::Line;

/// A datagram that seems to be older than this has a stamp that is not believed.
const OLDEST: Span = Span::from_secs(10);
/// As has one from further in the future: the host's clock was stepped.
const FUTURE: Span = Span::from_millis(1);

/// A software clock, and the error of the oscillator that it is given.
#[derive(Debug)]
pub struct SoftwareClock {
    timex: timex::SoftwareClock,
    origin: Instant,
    oscillator: FreqOffset,
}

impl SoftwareClock {
    /// One that starts `offset` ahead of `CLOCK_REALTIME` and whose oscillator gains `oscillator`.
    #[must_use]
    pub fn new(offset: Span, oscillator: FreqOffset) -> Self {
        let (origin, real) = both();
        Self { timex: timex::SoftwareClock::new(origin, real + offset), origin, oscillator }
    }

    /// Does to it what `ntp_adjtime(3)` does to the kernel's clock.
    ///
    /// # Errors
    /// As [`timex::SoftwareClock::ntp_adjtime`].
    pub fn ntp_adjtime(&mut self, request: &timex::Request) -> Result<timex::Reply, timex::Error> {
        self.timex.ntp_adjtime(self.counter(monotonic()), request)
    }

    /// How far it is ahead of `CLOCK_REALTIME`.
    #[must_use]
    pub fn error(&self) -> Span {
        let (mono, real) = both();
        self.read(mono) - real
    }

    /// As it runs now, for other threads.
    #[must_use]
    pub fn line(&self) -> Line {
        let mono = monotonic();
        let end = mono + Line::LENGTH;
        let at = Now { mono: self.counter(mono), wall: self.read(mono) };
        Line {
            mono,
            at,
            counter_gain: self.counter(end) - at.mono - Line::LENGTH,
            wall_gain: self.read(end) - at.wall - Line::LENGTH,
        }
    }

    /// What the oscillator has counted when the monotonic clock shows `mono`.
    fn counter(&self, mono: Instant) -> Instant {
        mono + self.oscillator.gain(mono - self.origin, 0).0
    }

    fn read(&self, mono: Instant) -> WallTime {
        self.timex.read(self.counter(mono))
    }

    /// What the oscillator had counted when `CLOCK_REALTIME` showed `time`, not long ago.
    fn locate(&self, time: WallTime) -> Option<Instant> {
        let (mono, real) = both();
        let age = real - time;
        (-FUTURE..=OLDEST).contains(&age).then(|| self.counter(mono + -age))
    }
}

impl AdjustableClock for SoftwareClock {
    /// The counter is the oscillator's: all that moves the clock is what it is told.
    fn now(&self) -> Now {
        let mono = self.counter(monotonic());
        Now { mono, wall: self.timex.read(mono) }
    }

    fn stamp(&self, stamp: RawStamp) -> Stamp {
        let (at, source) = match stamp {
            RawStamp::Hardware(time) => (self.locate(time), StampSource::Hardware),
            RawStamp::Kernel(time) => (self.locate(time), StampSource::Kernel),
            RawStamp::System(time) => (self.locate(time), StampSource::User),
            RawStamp::Counter(at) => (Some(at), StampSource::Kernel),
            _ => (None, StampSource::User),
        };
        match at {
            Some(at) => Stamp { time: self.timex.read(at), source },
            None => Stamp { time: self.now().wall, source: StampSource::User },
        }
    }

    fn step(&mut self, by: Span) -> Result<Span, ClockError> {
        self.timex.step(self.counter(monotonic()), by);
        Ok(by)
    }

    fn adjust(
        &mut self,
        frequency: FreqOffset,
        slew: FreqOffset,
    ) -> Result<FreqOffset, ClockError> {
        Ok(self.timex.unlock(self.counter(monotonic()), frequency + slew))
    }

    fn lock(
        &mut self,
        frequency: Option<FreqOffset>,
        offset: Span,
        poll: i8,
    ) -> Result<FreqOffset, ClockError> {
        Ok(self.timex.lock(self.counter(monotonic()), frequency, offset, poll))
    }

    fn set_status(&mut self, status: &ClockStatus) -> Result<(), ClockError> {
        self.timex.set_status(self.counter(monotonic()), status);
        Ok(())
    }

    fn set_leap(&mut self, plan: &LeapPlan) -> Result<(), ClockError> {
        self.timex.set_leap(self.counter(monotonic()), plan);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_as_wrong_as_told_and_obeys() {
        let mut clock = SoftwareClock::new(Span::from_millis(-1_500), FreqOffset::ZERO);
        let close = |a: Span, b: Span| (a - b).abs() < Span::from_millis(5);
        assert!(close(clock.error(), Span::from_millis(-1_500)), "{}", clock.error());
        assert_eq!(clock.step(Span::from_millis(1_500)), Ok(Span::from_millis(1_500)));
        assert!(close(clock.error(), Span::ZERO), "{}", clock.error());
        let rate = clock.adjust(FreqOffset::from_ppm(10), FreqOffset::from_ppm(5));
        assert_eq!(rate, Ok(FreqOffset::from_ppm(15)));

        let status =
            ClockStatus { synced: true, max_error: Span::ZERO, estimated_error: Span::ZERO };
        assert_eq!(clock.set_status(&status), Ok(()));
        let reply = clock.ntp_adjtime(&timex::Request::READ);
        assert_eq!(reply.map(|reply| reply.state), Ok(timex::ClockState::Ok));
    }

    #[test]
    fn stamps_of_the_system_become_its_own() {
        let clock = SoftwareClock::new(Span::from_secs(100), FreqOffset::ZERO);
        let (_, real) = both();
        let stamp = clock.stamp(RawStamp::Kernel(real));
        assert_eq!(stamp.source, StampSource::Kernel);
        assert!((stamp.time - real - Span::from_secs(100)).abs() < Span::from_millis(1));
        let nonsense = clock.stamp(RawStamp::Kernel(WallTime::UNIX_EPOCH));
        assert_eq!(nonsense.source, StampSource::User);
        assert!((nonsense.time - stamp.time).abs() < Span::from_secs(1));
    }
}
