//! The real-time clock: where the time comes from at boot, and who keeps it for the next one.
//!
//! Decides what of its reading is believed and when it is set. It never corrects the system clock
//! once that is disciplined.

mod edge;

use core::convert::Infallible;

use embedded_time::Clock;
use truechimer_core::config::NOT_BEFORE;
use truechimer_core::hal::Rtc;
use truechimer_core::units::{Instant, Now, Span, WallTime};

use crate::clock::SystemClock;
pub use edge::{EdgeSearch, SecondCounter};

/// Between two settings of a clock that is right: 11 minutes, as Linux does (`kernel/time/ntp.c`,
/// `SYNC_PERIOD_NS`).
const SET_INTERVAL: Span = Span::from_secs(660);
/// How long after "not yet" it is tried again, which is how finely it is set.
const RETRY: Span = Span::from_millis(1);

/// Where there is no real-time clock.
#[derive(Debug, Clone, Copy)]
pub enum NoRtc {}

impl Rtc for NoRtc {
    type Error = Infallible;

    fn read(&mut self) -> nb::Result<WallTime, Infallible> {
        match *self {}
    }

    fn set(&mut self, _: WallTime) -> nb::Result<(), Infallible> {
        match *self {}
    }
}

/// Starts `clock` from `rtc` and returns the time that it starts from: at least [`NOT_BEFORE`],
/// for a real-time clock that lost its power says something earlier. For the time before the
/// engine is made.
///
/// # Errors
/// The reading's. The clock goes on from where it was.
pub fn start<C, R>(clock: &SystemClock<C>, rtc: &mut R) -> nb::Result<WallTime, R::Error>
where
    C: Clock<T: Into<u64>>,
    R: Rtc,
{
    let time = rtc.read()?.max(NOT_BEFORE);
    clock.set(time);
    Ok(time)
}

/// Sets the real-time clock by the system clock while that is right.
#[derive(Debug)]
pub(crate) struct Keeper<R> {
    rtc: R,
    due: Option<Instant>,
}

impl<R: Rtc> Keeper<R> {
    pub(crate) const fn new(rtc: R) -> Self {
        Self { rtc, due: None }
    }

    /// When [`keep`](Self::keep) has something to do.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Sets it if that is due, for the first time as soon as the clock is `synced`.
    ///
    /// # Errors
    /// The setting's; it is tried again in 11 minutes.
    pub(crate) fn keep(&mut self, synced: bool, now: Now) -> Result<(), R::Error> {
        if !synced {
            self.due = None;
            return Ok(());
        }
        if now.mono < *self.due.get_or_insert(now.mono) {
            return Ok(());
        }
        let (pause, result) = match self.rtc.set(now.wall) {
            Ok(()) => (SET_INTERVAL, Ok(())),
            Err(nb::Error::WouldBlock) => (RETRY, Ok(())),
            Err(nb::Error::Other(error)) => (SET_INTERVAL, Err(error)),
        };
        self.due = Some(now.mono + pause);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use embedded_time::fraction::Fraction;

    #[derive(Debug)]
    struct Timer;

    impl Clock for Timer {
        type T = u64;
        const SCALING_FACTOR: Fraction = Fraction::new(1, 1_000);
        fn try_now(&self) -> Result<embedded_time::Instant<Self>, embedded_time::clock::Error> {
            Ok(embedded_time::Instant::new(5))
        }
    }

    /// Answers the same each time, and notes what it was set to.
    struct Scripted {
        reading: nb::Result<WallTime, ()>,
        setting: nb::Result<(), ()>,
        set: Option<WallTime>,
    }

    impl Rtc for Scripted {
        type Error = ();
        fn read(&mut self) -> nb::Result<WallTime, ()> {
            self.reading
        }
        fn set(&mut self, time: WallTime) -> nb::Result<(), ()> {
            self.set = Some(time);
            self.setting
        }
    }

    fn scripted(reading: nb::Result<WallTime, ()>, setting: nb::Result<(), ()>) -> Scripted {
        Scripted { reading, setting, set: None }
    }

    fn at(millis: i64) -> Now {
        let since = Span::from_millis(millis);
        Now {
            mono: Instant::default() + since,
            wall: WallTime::from_unix(1_900_000_000, 0) + since,
        }
    }

    #[test]
    fn a_reading_is_believed_unless_it_cannot_be() {
        let clock = SystemClock::new(Timer);
        let blocked = start(&clock, &mut scripted(Err(nb::Error::WouldBlock), Ok(())));
        assert_eq!((blocked, clock.now().wall), (Err(nb::Error::WouldBlock), NOT_BEFORE));

        let later = WallTime::from_unix(1_900_000_000, 5);
        assert_eq!(start(&clock, &mut scripted(Ok(later), Ok(()))), Ok(later));
        assert_eq!(clock.now().wall, later);

        let flat = WallTime::from_unix(978_307_200, 0); // 2001-01-01
        assert_eq!(start(&clock, &mut scripted(Ok(flat), Ok(()))), Ok(NOT_BEFORE));
        assert_eq!(clock.now().wall, NOT_BEFORE);
    }

    #[test]
    fn it_is_set_while_the_clock_is_right() {
        let mut keeper = Keeper::new(scripted(Ok(NOT_BEFORE), Ok(())));
        assert_eq!(keeper.keep(false, at(1_000)), Ok(()));
        assert_eq!((keeper.rtc.set, keeper.deadline()), (None, None));
        assert_eq!(keeper.keep(true, at(2_000)), Ok(()));
        assert_eq!(keeper.rtc.set, Some(at(2_000).wall));
        assert_eq!(keeper.deadline(), Some(at(662_000).mono));

        let _ = keeper.keep(true, at(661_999));
        assert_eq!(keeper.rtc.set, Some(at(2_000).wall), "not due");
        let _ = keeper.keep(true, at(662_000));
        assert_eq!(keeper.rtc.set, Some(at(662_000).wall));
        let _ = keeper.keep(false, at(662_001));
        assert_eq!(keeper.deadline(), None);
    }

    #[test]
    fn not_yet_is_soon_and_failure_is_later() {
        let mut keeper = Keeper::new(scripted(Ok(NOT_BEFORE), Err(nb::Error::WouldBlock)));
        assert_eq!(keeper.keep(true, at(0)), Ok(()));
        assert_eq!(keeper.deadline(), Some(at(1).mono));
        keeper.rtc.setting = Err(nb::Error::Other(()));
        assert_eq!(keeper.keep(true, at(1)), Err(()));
        assert_eq!(keeper.deadline(), Some(at(660_001).mono));
    }
}
