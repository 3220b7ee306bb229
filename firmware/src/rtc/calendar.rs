//! Real-time clocks that keep a calendar, by whatever driver of the crate `rtcc`'s kind reads them:
//! DS3231, DS1307 and their like, behind any `embedded-hal` bus.
//!
//! Decides nothing but how dates become seconds: the calendar is UTC.

use core::fmt;

use rtcc::{DateTime, DateTimeAccess};
use truechimer_core::units::Span;

use super::SecondCounter;

/// The [`SecondCounter`] that is made of a driver, for [`EdgeSearch`](super::EdgeSearch) to find
/// its seconds' edges.
#[derive(Debug)]
pub struct Calendar<D>(pub D);

/// Why a calendar cannot be read or set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CalendarError<E> {
    /// The driver's reason: the bus, a date that is none, a year that it has no place for.
    Driver(E),
    /// The time is in no year that a calendar has.
    OutOfRange,
}

impl<E: fmt::Display> fmt::Display for CalendarError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Driver(error) => error.fmt(f),
            Self::OutOfRange => f.write_str("the time is in no year that a calendar has"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for CalendarError<E> {}

impl<D: DateTimeAccess> SecondCounter for Calendar<D> {
    type Error = CalendarError<D::Error>;

    /// Two readings of seven registers at 100 kHz take 2 ms.
    const WINDOW: Span = Span::from_millis(5);

    fn read(&mut self) -> Result<i64, Self::Error> {
        let date = self.0.datetime().map_err(CalendarError::Driver)?;
        Ok(date.and_utc().timestamp())
    }

    fn set(&mut self, secs: i64) -> Result<(), Self::Error> {
        let date = DateTime::from_timestamp(secs, 0).ok_or(CalendarError::OutOfRange)?;
        self.0.set_datetime(&date.naive_utc()).map_err(CalendarError::Driver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtcc::{NaiveDate, NaiveDateTime};

    /// Two digits for the year.
    struct Driver(NaiveDateTime);

    impl DateTimeAccess for Driver {
        type Error = &'static str;
        fn datetime(&mut self) -> Result<NaiveDateTime, Self::Error> {
            Ok(self.0)
        }
        fn set_datetime(&mut self, date: &NaiveDateTime) -> Result<(), Self::Error> {
            let until = NaiveDate::from_ymd_opt(2100, 1, 1).unwrap().and_hms_opt(0, 0, 0).unwrap();
            self.0 = Some(*date).filter(|date| *date < until).ok_or("no such year")?;
            Ok(())
        }
    }

    #[test]
    fn dates_are_utc() {
        let mut calendar = Calendar(Driver(NaiveDateTime::default()));
        // 2040-02-29 23:59:59.
        assert_eq!(calendar.set(2_214_172_799), Ok(()));
        let date = NaiveDate::from_ymd_opt(2040, 2, 29).unwrap().and_hms_opt(23, 59, 59).unwrap();
        assert_eq!(calendar.0.0, date);
        assert_eq!(calendar.read(), Ok(2_214_172_799));
    }

    #[test]
    fn years_that_it_has_not_are_refused() {
        let mut calendar = Calendar(Driver(NaiveDateTime::default()));
        assert_eq!(calendar.set(4_102_444_800), Err(CalendarError::Driver("no such year")));
        assert_eq!(calendar.set(i64::MAX), Err(CalendarError::OutOfRange));
        assert_eq!(calendar.read(), Ok(0));
    }
}
