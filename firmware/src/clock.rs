//! The clock of the system: a counter of the hardware, disciplined in software.
//!
//! Decides how the core's software clock is shared between the main loop, which steps and adjusts
//! it, and whoever asks what time it is, an interrupt handler among them. It never judges what the
//! time should be.

use core::cell::Cell;
use core::fmt;

use critical_section::{CriticalSection, Mutex};
use embedded_time::Clock;
use truechimer_core::clock::{ClockError, ClockStatus, LeapPlan};
use truechimer_core::config::{DRIFT_TOLERANCE, NOT_BEFORE};
use truechimer_core::hal::{AdjustableClock, RawStamp};
use truechimer_core::holdover::{Quality, TimeStatus};
use truechimer_core::io::{Stamp, StampSource};
use truechimer_core::timex::{self, NtpTime, Reply, Request, SoftwareClock};
use truechimer_core::units::{FreqOffset, Instant, Now, Span, WallTime};

use crate::counter::{Ticks, half_turn, max};

/// A disciplined clock over the free-running counter `C`, which nothing else may stop or set.
///
/// A reference to it is the handle: it may be a `static`, and every method may be called from
/// anywhere. The counter must be read once in half of its turn at least, as
/// [`App::poll_at`](crate::App::poll_at) sees to; while it cannot be read, time stands still.
pub struct SystemClock<C> {
    counter: C,
    state: Mutex<State>,
}

struct State {
    ticks: Cell<Ticks>,
    timex: Cell<SoftwareClock>,
    /// As it was last told, and when.
    status: Cell<Option<(Instant, ClockStatus)>>,
    quality: Cell<Quality>,
}

/// The time, and what it is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// UTC.
    pub time: WallTime,
    /// By how much that may be wrong; `None` if nothing is known of it.
    pub bound: Option<Span>,
    /// Where the time comes from.
    pub status: TimeStatus,
}

impl<C> SystemClock<C> {
    /// A clock that starts from [`NOT_BEFORE`] when it is first read, and runs as the counter does.
    pub const fn new(counter: C) -> Self {
        let state = State {
            ticks: Cell::new(Ticks::START),
            timex: Cell::new(SoftwareClock::new(Instant::from_nanos(0), NOT_BEFORE)),
            status: Cell::new(None),
            quality: Cell::new(Quality::UNKNOWN),
        };
        Self { counter, state: Mutex::new(state) }
    }
}

impl<C: Clock<T: Into<u64>>> SystemClock<C> {
    /// Reads the counter and the clock together.
    #[must_use]
    pub fn now(&self) -> Now {
        let (mono, timex) = critical_section::with(|cs| self.load(cs));
        Now { mono, wall: timex.read(mono) }
    }

    /// Reads the counter alone.
    #[must_use]
    pub fn mono(&self) -> Instant {
        critical_section::with(|cs| self.count(cs).ticks.get()).instant::<C>()
    }

    /// Starts the clock anew from `time`. An engine that disciplines it keeps books of what it
    /// does, so this is for the time before there is one.
    pub fn set(&self, time: WallTime) {
        self.change(|at, timex| *timex = SoftwareClock::new(at, time));
    }

    /// Does to the clock what `ntp_adjtime` does to a kernel's. While it corrects an offset, call
    /// this or [`ntp_gettime`](Self::ntp_gettime) now and then: each reading passes through the
    /// seconds since.
    ///
    /// # Errors
    /// As [`SoftwareClock::ntp_adjtime`].
    pub fn ntp_adjtime(&self, request: &Request) -> Result<Reply, timex::Error> {
        self.change(|at, timex| timex.ntp_adjtime(at, request))
    }

    /// What `ntp_gettime` says of a kernel's clock.
    #[must_use]
    pub fn ntp_gettime(&self) -> NtpTime {
        self.change(|at, timex| {
            timex.advance(at);
            timex.ntp_gettime(at)
        })
    }

    /// A pulse per second came when the counter showed `at` ([`SoftwareClock::pulse`]).
    pub fn pulse(&self, at: Instant) {
        self.change(|_, timex| timex.pulse(at));
    }

    /// Reads the clock, and says how far off it may be.
    #[must_use]
    pub fn read(&self) -> Reading {
        let (now, quality) =
            critical_section::with(|cs| (self.now(), self.state.borrow(cs).quality.get()));
        let Quality { status, .. } = quality;
        Reading { time: now.wall, bound: quality.bound_at(now.mono), status }
    }

    /// From now on the time is as good as this.
    pub(crate) fn set_quality(&self, quality: Quality) {
        critical_section::with(|cs| self.state.borrow(cs).quality.set(quality));
    }

    /// How good the clock is: as it was told last, the greatest error grown since as a clock may
    /// that nobody disciplines. `None` before it was told.
    #[must_use]
    pub fn status(&self) -> Option<ClockStatus> {
        let (at, status) = critical_section::with(|cs| self.state.borrow(cs).status.get())?;
        let grown = DRIFT_TOLERANCE.gain(self.mono() - at, 0).0;
        Some(ClockStatus { max_error: status.max_error + grown, ..status })
    }

    /// The longest time that the counter may be left unread.
    pub(crate) fn unread_limit() -> Span {
        half_turn::<C>()
    }

    /// Brings the count of ticks up to date.
    fn count<'cs>(&'cs self, cs: CriticalSection<'cs>) -> &'cs State {
        let state = self.state.borrow(cs);
        if let Ok(reading) = self.counter.try_now() {
            let raw = reading.duration_since_epoch().integer().into();
            state.ticks.set(state.ticks.get().advance(raw, max::<C>()));
        }
        state
    }

    #[inline(never)]
    fn load(&self, cs: CriticalSection<'_>) -> (Instant, SoftwareClock) {
        let state = self.count(cs);
        (state.ticks.get().instant::<C>(), state.timex.get())
    }

    fn change<R>(&self, change: impl FnOnce(Instant, &mut SoftwareClock) -> R) -> R {
        critical_section::with(|cs| {
            let (at, mut timex) = self.load(cs);
            let result = change(at, &mut timex);
            self.state.borrow(cs).timex.set(timex);
            result
        })
    }
}

impl<C: Clock<T: Into<u64>>> AdjustableClock for &SystemClock<C> {
    fn now(&self) -> Now {
        SystemClock::now(self)
    }

    /// There is no other clock here: a stamp that is not the counter's is taken for "just now".
    fn stamp(&self, stamp: RawStamp) -> Stamp {
        let time = match stamp {
            RawStamp::Counter(at) => {
                critical_section::with(|cs| self.state.borrow(cs).timex.get()).read(at)
            }
            _ => SystemClock::now(self).wall,
        };
        Stamp { time, source: StampSource::User }
    }

    fn step(&mut self, by: Span) -> Result<Span, ClockError> {
        self.change(|at, timex| timex.step(at, by));
        Ok(by)
    }

    fn adjust(
        &mut self,
        frequency: FreqOffset,
        slew: FreqOffset,
    ) -> Result<FreqOffset, ClockError> {
        Ok(self.change(|at, timex| timex.unlock(at, frequency + slew)))
    }

    fn lock(
        &mut self,
        frequency: Option<FreqOffset>,
        offset: Span,
        poll: i8,
    ) -> Result<FreqOffset, ClockError> {
        Ok(self.change(|at, timex| timex.lock(at, frequency, offset, poll)))
    }

    fn set_status(&mut self, status: &ClockStatus) -> Result<(), ClockError> {
        self.change(|at, timex| timex.set_status(at, status));
        let told = Some((self.mono(), *status));
        critical_section::with(|cs| self.state.borrow(cs).status.set(told));
        Ok(())
    }

    fn set_leap(&mut self, plan: &LeapPlan) -> Result<(), ClockError> {
        self.change(|at, timex| timex.set_leap(at, plan));
        Ok(())
    }
}

impl<C> fmt::Debug for SystemClock<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let timex = critical_section::with(|cs| self.state.borrow(cs).timex.get());
        f.debug_struct("SystemClock").field("timex", &timex).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicU32, Ordering};
    use embedded_time::fraction::Fraction;
    use truechimer_core::timex::{ClockState, Settings, Status};

    /// 32 MHz, set by hand; zero means that it does not run.
    #[derive(Debug)]
    struct Timer(AtomicU32);

    impl Timer {
        fn advance(&self, millis: u32) {
            self.0.fetch_add(millis * 32_000, Ordering::Relaxed);
        }
    }

    impl Clock for Timer {
        type T = u32;
        const SCALING_FACTOR: Fraction = Fraction::new(1, 32_000_000);
        fn try_now(&self) -> Result<embedded_time::Instant<Self>, embedded_time::clock::Error> {
            match self.0.load(Ordering::Relaxed) {
                0 => Err(embedded_time::clock::Error::NotRunning),
                ticks => Ok(embedded_time::Instant::new(ticks)),
            }
        }
    }

    const TIME: WallTime = WallTime::from_unix(1_900_000_000, 0);

    fn clock(raw: u32) -> SystemClock<Timer> {
        let clock = SystemClock::new(Timer(AtomicU32::new(raw)));
        let _ = clock.now();
        clock
    }

    #[test]
    fn starts_at_the_earliest_date() {
        let clock = clock(u32::MAX - 5);
        assert_eq!(clock.now(), Now { mono: Instant::from_nanos(0), wall: NOT_BEFORE });
        clock.counter.advance(1);
        assert_eq!(clock.now().wall, NOT_BEFORE + Span::from_millis(1));
        clock.set(TIME);
        clock.counter.advance(1);
        assert_eq!(clock.now().wall, TIME + Span::from_millis(1));
        assert_eq!(clock.mono(), Instant::from_nanos(2_000_000));
    }

    #[test]
    fn stands_still_with_its_counter() {
        let clock = clock(0);
        assert_eq!(clock.now().wall, NOT_BEFORE);
        clock.counter.advance(70);
        assert_eq!(clock.now().wall, NOT_BEFORE, "counts from the first reading");
        clock.counter.advance(5);
        assert_eq!(clock.now().wall, NOT_BEFORE + Span::from_millis(5));
        clock.counter.0.store(0, Ordering::Relaxed);
        assert_eq!(clock.now().wall, NOT_BEFORE + Span::from_millis(5));
    }

    #[test]
    fn obeys() {
        let clock = clock(1);
        clock.set(TIME);
        let mut handle = &clock;
        assert_eq!(handle.step(Span::from_secs(-7)), Ok(Span::from_secs(-7)));
        assert_eq!(clock.now().wall, TIME + Span::from_secs(-7));
        let rate = handle.adjust(FreqOffset::from_ppm(-80), FreqOffset::from_ppm(480));
        assert_eq!(rate, Ok(FreqOffset::from_ppm(400)));
        clock.counter.advance(10_000);
        let ten_seconds = TIME + Span::from_micros(3_004_000);
        assert_eq!(clock.now().wall, ten_seconds);

        let stamp = handle.stamp(RawStamp::Counter(Instant::from_nanos(5_000_000_000)));
        assert_eq!(stamp.time, TIME + Span::from_micros(-1_998_000));
        assert_eq!(handle.stamp(RawStamp::Unknown).time, ten_seconds);
    }

    #[test]
    fn has_the_interface_of_a_kernel() {
        let clock = clock(1);
        clock.set(TIME);
        let (max_error, estimated_error) = (Span::ZERO, Span::ZERO);
        let status = ClockStatus { synced: true, max_error, estimated_error };
        assert_eq!((&clock).set_status(&status), Ok(()));
        let frequency = Some(FreqOffset::from_ppm(-80));
        let settings = Settings { frequency, ..Settings::NONE };
        assert!(clock.ntp_adjtime(&Request::Set(settings)).is_ok());
        clock.counter.advance(100_000);
        let time = TIME + Span::from_secs(100) + Span::from_millis(-8);
        let now = clock.ntp_gettime();
        assert_eq!((now.time, now.state), (time, ClockState::Ok));
        // A second begins with the clock's own: the hundredth is yet to come.
        assert_eq!(now.maxerror, Span::from_micros(99 * 500));
        clock.pulse(clock.mono());
        let reply = clock.ntp_adjtime(&Request::READ).expect("reading is allowed");
        assert!(reply.timex.status.contains(Status::PPSSIGNAL));
    }

    #[test]
    fn is_read_while_it_is_set() {
        static CLOCK: SystemClock<Timer> = SystemClock::new(Timer(AtomicU32::new(1)));
        assert_eq!(CLOCK.now().wall, NOT_BEFORE);
        let reader = std::thread::spawn(|| {
            let mut last = CLOCK.now();
            while last.wall < TIME {
                let now = CLOCK.now();
                assert!(now.mono >= last.mono && now.wall >= last.wall);
                last = now;
            }
        });
        for _ in 0..1_000 {
            CLOCK.counter.advance(100);
            assert!((&CLOCK).step(Span::from_secs(1)).is_ok());
        }
        assert_eq!(CLOCK.now().wall, NOT_BEFORE + Span::from_millis(1_100_000));
        CLOCK.set(TIME);
        reader.join().unwrap();
    }

    #[test]
    fn an_old_status_is_worth_less() {
        let clock = clock(1);
        assert_eq!(clock.status(), None);
        let status = ClockStatus {
            synced: true,
            max_error: Span::from_millis(2),
            estimated_error: Span::from_micros(3),
        };
        assert_eq!((&clock).set_status(&status), Ok(()));
        assert_eq!(clock.status(), Some(status));
        clock.counter.advance(100_000);
        let grown = ClockStatus { max_error: Span::from_micros(3_500), ..status };
        assert_eq!(clock.status(), Some(grown));
    }

    #[test]
    fn says_how_far_off_it_may_be() {
        let clock = clock(1);
        let nothing = Reading { time: NOT_BEFORE, bound: None, status: TimeStatus::Unknown };
        assert_eq!(clock.read(), nothing);
        let (status, drift) = (TimeStatus::Holdover, FreqOffset::from_ppm(20));
        let bound = Some(Span::from_millis(2));
        clock.set_quality(Quality { status, at: clock.mono(), bound, drift });
        clock.counter.advance(100_000);
        let reading = clock.read();
        assert_eq!((reading.bound, reading.status), (Some(Span::from_millis(4)), status));
        assert_eq!(reading.time, NOT_BEFORE + Span::from_secs(100));
    }
}
