//! The clock together with the counter that it runs on.

use super::{Error, NtpTime, Reply, Request, SoftwareClock};
use crate::clock::{ClockError, ClockStatus};
use crate::hal::{AdjustableClock, RawStamp};
use crate::io::{Stamp, StampSource};
use crate::units::{FreqOffset, Instant, Now, Span, WallTime};

/// A counter that nobody sets and that never goes back. A closure is one, too.
pub trait Counter {
    /// What it shows.
    fn count(&self) -> Instant;
}

impl<F: Fn() -> Instant> Counter for F {
    fn count(&self) -> Instant {
        self()
    }
}

/// A [`SoftwareClock`] that reads its counter by itself.
#[derive(Debug, Clone, Copy)]
pub struct CountingClock<C> {
    counter: C,
    clock: SoftwareClock,
}

impl<C: Counter> CountingClock<C> {
    /// One that shows `time` now.
    pub fn new(counter: C, time: WallTime) -> Self {
        let clock = SoftwareClock::new(counter.count(), time);
        Self { counter, clock }
    }

    /// The time.
    #[must_use]
    pub fn time(&self) -> WallTime {
        self.clock.read(self.counter.count())
    }

    /// [`SoftwareClock::ntp_gettime`] now.
    #[must_use]
    pub fn ntp_gettime(&self) -> NtpTime {
        self.clock.ntp_gettime(self.counter.count())
    }

    /// [`SoftwareClock::ntp_adjtime`] now.
    ///
    /// # Errors
    /// As there.
    pub fn ntp_adjtime(&mut self, request: &Request) -> Result<Reply, Error> {
        self.clock.ntp_adjtime(self.counter.count(), request)
    }

    /// A pulse per second came when the counter showed `at` ([`SoftwareClock::pulse`]).
    pub fn pulse(&mut self, at: Instant) {
        self.clock.pulse(at);
    }
}

impl<C: Counter> AdjustableClock for CountingClock<C> {
    fn now(&self) -> Now {
        let mono = self.counter.count();
        Now { mono, wall: self.clock.read(mono) }
    }

    /// There is no other clock here: a stamp that is not the counter's is taken for "just now".
    fn stamp(&self, stamp: RawStamp) -> Stamp {
        match stamp {
            RawStamp::Counter(at) => {
                Stamp { time: self.clock.read(at), source: StampSource::Kernel }
            }
            _ => Stamp { time: self.time(), source: StampSource::User },
        }
    }

    fn step(&mut self, by: Span) -> Result<Span, ClockError> {
        self.clock.step(self.counter.count(), by);
        Ok(by)
    }

    fn adjust(
        &mut self,
        frequency: FreqOffset,
        slew: FreqOffset,
    ) -> Result<FreqOffset, ClockError> {
        Ok(self.clock.unlock(self.counter.count(), frequency + slew))
    }

    fn lock(
        &mut self,
        frequency: Option<FreqOffset>,
        offset: Span,
        poll: i8,
    ) -> Result<FreqOffset, ClockError> {
        Ok(self.clock.lock(self.counter.count(), frequency, offset, poll))
    }

    fn set_status(&mut self, status: &ClockStatus) -> Result<(), ClockError> {
        self.clock.set_status(self.counter.count(), status);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timex::{ClockState, Settings};
    use core::cell::Cell;

    #[test]
    fn reads_its_counter() {
        let start = WallTime::from_unix(1_790_000_000, 0);
        let count = Cell::new(Instant::from_nanos(5));
        let mut clock = CountingClock::new(|| count.get(), start);
        let advance = |secs| count.set(count.get() + Span::from_secs(secs));

        let (max_error, estimated_error) = (Span::from_millis(1), Span::from_micros(9));
        let told = ClockStatus { synced: true, max_error, estimated_error };
        assert_eq!(clock.set_status(&told), Ok(()));
        advance(10);
        assert_eq!(clock.time(), start + Span::from_secs(10));
        let now = clock.ntp_gettime();
        assert_eq!((now.state, now.time), (ClockState::Ok, clock.time()));
        assert_eq!(now.maxerror, Span::from_millis(6));

        assert_eq!(clock.step(Span::from_secs(-3)), Ok(Span::from_secs(-3)));
        let rates = (FreqOffset::from_ppm(30), FreqOffset::from_ppm(20));
        assert_eq!(clock.adjust(rates.0, rates.1), Ok(FreqOffset::from_ppm(50)));
        let frequency = Some(FreqOffset::from_ppm(-40));
        let reply = clock.ntp_adjtime(&Request::Set(Settings { frequency, ..Settings::NONE }));
        assert_eq!(reply.map(|reply| reply.state), Ok(ClockState::Error));
        advance(100);
        let expected = start + Span::from_secs(107) + Span::from_millis(1);
        assert_eq!(clock.now(), Now { mono: count.get(), wall: expected });
        clock.pulse(count.get());
        let earlier = RawStamp::Counter(count.get() + Span::from_secs(-100));
        assert_eq!(clock.stamp(earlier).time, start + Span::from_secs(7));
        assert_eq!(clock.stamp(RawStamp::Unknown).time, expected);
    }
}
