//! Real-time clocks that count whole seconds, read to the moment at which one begins.
//!
//! Decides which reading is the first of its second, and how near to its edge it is.

use embedded_time::Clock;
use truechimer_core::hal::Rtc;
use truechimer_core::holdover::RtcSpec;
use truechimer_core::units::{FreqOffset, Instant, Span, WallTime};

use crate::clock::SystemClock;

/// A real-time clock of whole seconds: what a vendor writes for one more of them.
pub trait SecondCounter {
    /// Why it cannot be read or set.
    type Error;

    /// The widest gap between two readings in which an edge is believed, which is how finely it
    /// is found, at worst: twice what a turn of the main loop takes.
    const WINDOW: Span;

    /// By how much its rate may be off, whatever the temperature.
    const TOLERANCE: FreqOffset = FreqOffset::from_ppm(100);

    /// The seconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// The device's.
    fn read(&mut self) -> Result<i64, Self::Error>;

    /// Sets them. Where the edges are may stay as it was, or change to now.
    ///
    /// # Errors
    /// The device's.
    fn set(&mut self, secs: i64) -> Result<(), Self::Error>;
}

/// The [`Rtc`] that is made of a [`SecondCounter`] by watching it change.
#[derive(Debug)]
pub struct EdgeSearch<'a, S, C> {
    seconds: S,
    clock: &'a SystemClock<C>,
    /// What it showed last, and since when at the latest it had.
    last: Option<(i64, Instant)>,
}

impl<'a, S, C> EdgeSearch<'a, S, C> {
    /// Times the edges by the counter of `clock`.
    pub const fn new(seconds: S, clock: &'a SystemClock<C>) -> Self {
        Self { seconds, clock, last: None }
    }
}

impl<S: SecondCounter, C: Clock<T: Into<u64>>> Rtc for EdgeSearch<'_, S, C> {
    type Error = S::Error;

    fn spec(&self) -> RtcSpec {
        RtcSpec { resolution: S::WINDOW, tolerance: S::TOLERANCE }
    }

    /// To be called at intervals shorter than [`SecondCounter::WINDOW`] until it succeeds.
    fn read(&mut self) -> nb::Result<WallTime, S::Error> {
        let before = self.clock.mono();
        let secs = self.seconds.read().map_err(nb::Error::Other)?;
        let after = self.clock.mono();
        let (last, since) = self.last.replace((secs, before)).ok_or(nb::Error::WouldBlock)?;
        let gap = after - since;
        if secs == last || gap > S::WINDOW {
            return Err(nb::Error::WouldBlock);
        }
        self.last = None;
        // The edge was in the gap: in the middle of it, if `resolution` ends it.
        Ok(WallTime::from_unix(secs, 0) + gap.half() + -S::WINDOW.half())
    }

    /// At the beginning of a second, within [`SecondCounter::WINDOW`].
    fn set(&mut self, time: WallTime) -> nb::Result<(), S::Error> {
        if Span::from_nanos(time.subsec_nanos().into()) > S::WINDOW {
            return Err(nb::Error::WouldBlock);
        }
        self.last = None;
        self.seconds.set(time.unix_secs()).map_err(nb::Error::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;
    use embedded_time::fraction::Fraction;
    use std::rc::Rc;

    /// Microseconds; each reading of the real-time clock takes `slow` of them.
    #[derive(Debug, Clone)]
    struct Micros(Rc<Cell<u64>>);

    impl Clock for Micros {
        type T = u64;
        const SCALING_FACTOR: Fraction = Fraction::new(1, 1_000_000);
        fn try_now(&self) -> Result<embedded_time::Instant<Self>, embedded_time::clock::Error> {
            Ok(embedded_time::Instant::new(self.0.get()))
        }
    }

    struct Slow {
        micros: Micros,
        takes: u64,
        set: Option<i64>,
    }

    impl SecondCounter for Slow {
        type Error = ();
        const WINDOW: Span = Span::from_millis(1);
        fn read(&mut self) -> Result<i64, ()> {
            self.micros.0.set(self.micros.0.get() + self.takes);
            Ok((self.micros.0.get() / 1_000_000).cast_signed())
        }
        fn set(&mut self, secs: i64) -> Result<(), ()> {
            self.set = Some(secs);
            Ok(())
        }
    }

    fn search(takes: u64, start: u64) -> (Rc<Cell<u64>>, nb::Result<WallTime, ()>) {
        let time = Rc::new(Cell::new(start));
        let clock = SystemClock::new(Micros(Rc::clone(&time)));
        let slow = Slow { micros: Micros(Rc::clone(&time)), takes, set: None };
        let mut rtc = EdgeSearch::new(slow, &clock);
        let mut read = rtc.read();
        for _ in 0..20_000 {
            if read != Err(nb::Error::WouldBlock) {
                break;
            }
            read = rtc.read();
        }
        (time, read)
    }

    #[test]
    fn the_edge_is_found_within_half_a_gap() {
        let (time, read) = search(70, 5_400_003);
        let true_time = WallTime::UNIX_EPOCH + Span::from_micros(time.get() as i64);
        let error = read.expect("an edge") + Slow::WINDOW.half() - true_time;
        assert!(error.abs() <= Span::from_micros(70), "{error:.6}");
        assert_eq!(true_time.unix_secs(), 6);
    }

    #[test]
    fn an_edge_in_a_wide_gap_is_none() {
        let (_, read) = search(1_001, 5_400_000);
        assert_eq!(read, Err(nb::Error::WouldBlock));
    }

    #[test]
    fn it_is_set_as_a_second_begins() {
        let time = Rc::new(Cell::new(0));
        let clock = SystemClock::new(Micros(Rc::clone(&time)));
        let mut rtc = EdgeSearch::new(Slow { micros: Micros(time), takes: 1, set: None }, &clock);
        let late = WallTime::from_unix(7, 1_000_001);
        assert_eq!((rtc.set(late), rtc.seconds.set), (Err(nb::Error::WouldBlock), None));
        assert_eq!(rtc.set(WallTime::from_unix(8, 999_999)), Ok(()));
        assert_eq!(rtc.seconds.set, Some(8));
    }
}
