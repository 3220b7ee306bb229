//! Real-time clocks that count whole seconds, read to the moment at which one begins.
//!
//! Decides which reading is the first of its second, and how near to its edge it is.

use embedded_time::Clock;
use truechimer_core::hal::Rtc;
use truechimer_core::holdover::RtcSpec;
use truechimer_core::units::{FreqOffset, Instant, Span, WallTime};

use crate::clock::SystemClock;

/// A real-time clock of whole seconds: what a vendor writes for one more of them, unless there is a
/// driver for it of the crate `rtcc`'s kind ([`Calendar`](super::Calendar)). One that shows
/// fractions is a [`Rtc`] itself.
///
/// # Example
///
/// A PCF8563 on an I2C bus: seven registers from 2 on, in decimal digits.
///
/// ```
/// use embedded_hal::i2c::I2c;
/// use rtcc::{DateTime, Datelike, NaiveDate, Timelike};
/// use truechimer_core::units::Span;
/// use truechimer_firmware::rtc::SecondCounter;
///
/// struct Pcf8563<B>(B);
///
/// #[derive(Debug, PartialEq)]
/// enum Error<E> {
///     Bus(E),
///     /// It lost its power, or shows a date that is none.
///     NoTime,
/// }
///
/// const ADDRESS: u8 = 0x51;
/// const SECONDS: u8 = 2;
///
/// impl<B: I2c> SecondCounter for Pcf8563<B> {
///     type Error = Error<B::Error>;
///     const WINDOW: Span = Span::from_millis(5); // two readings at 100 kHz, twice
///
///     fn read(&mut self) -> Result<i64, Self::Error> {
///         let mut bcd = [0; 7];
///         self.0.write_read(ADDRESS, &[SECONDS], &mut bcd).map_err(Error::Bus)?;
///         let [secs, min, hour, day, _, month, year] = bcd;
///         let digits = |octet: u8, mask| u32::from((octet & mask) >> 4) * 10 + u32::from(octet & mask & 15);
///         let year = 2000 + digits(year, 0xFF).cast_signed();
///         let date = NaiveDate::from_ymd_opt(year, digits(month, 0x1F), digits(day, 0x3F));
///         let clock = (digits(hour, 0x3F), digits(min, 0x7F), digits(secs, 0x7F));
///         let time = date.and_then(|date| date.and_hms_opt(clock.0, clock.1, clock.2));
///         // Its own word that the time is right.
///         let time = time.filter(|_| secs & 0x80 == 0).ok_or(Error::NoTime)?;
///         Ok(time.and_utc().timestamp())
///     }
///
///     fn set(&mut self, secs: i64) -> Result<(), Self::Error> {
///         let time = DateTime::from_timestamp(secs, 0).ok_or(Error::NoTime)?;
///         let bcd = |value: u32| (value / 10 % 10 << 4 | value % 10) as u8;
///         let weekday = time.weekday().num_days_from_sunday() as u8;
///         let year = (time.year() % 100).cast_unsigned();
///         let [secs, min, hour] = [time.second(), time.minute(), time.hour()].map(bcd);
///         let [day, month, year] = [time.day(), time.month(), year].map(bcd);
///         let registers = [SECONDS, secs, min, hour, day, weekday, month, year];
///         self.0.write(ADDRESS, &registers).map_err(Error::Bus)
///     }
/// }
/// #
/// # /// Registers that anybody may read and write.
/// # struct Bus([u8; 16]);
/// # impl embedded_hal::i2c::ErrorType for Bus {
/// #     type Error = std::convert::Infallible;
/// # }
/// # impl I2c for Bus {
/// #     fn transaction(
/// #         &mut self,
/// #         _: u8,
/// #         operations: &mut [embedded_hal::i2c::Operation<'_>],
/// #     ) -> Result<(), Self::Error> {
/// #         use embedded_hal::i2c::Operation::{Read, Write};
/// #         let mut place = 0;
/// #         for operation in operations {
/// #             match operation {
/// #                 Write(octets) => {
/// #                     place = usize::from(octets[0]);
/// #                     self.0[place..][..octets.len() - 1].copy_from_slice(&octets[1..]);
/// #                 }
/// #                 Read(octets) => octets.copy_from_slice(&self.0[place..][..octets.len()]),
/// #             }
/// #         }
/// #         Ok(())
/// #     }
/// # }
///
/// # let mut bus = Bus([0; 16]);
/// # bus.0[2] = 0x80;
/// let mut rtc = Pcf8563(bus);
/// assert_eq!(rtc.read(), Err(Error::NoTime)); // as it comes from the factory
/// assert_eq!(rtc.set(1_795_399_287), Ok(()));
/// assert_eq!(rtc.read(), Ok(1_795_399_287));
/// ```
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
