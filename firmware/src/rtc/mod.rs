//! The real-time clock: where the time comes from at boot, what is learnt of it, and who keeps it
//! right for the next boot.
//!
//! Decides when it is read and set. What its reading is worth is the core's ([`RtcModel`](holdover::RtcModel),
//! [`holdover::boot`]); the system clock is never corrected by it once that is disciplined.

mod calendar;
mod edge;
mod keeper;

use core::convert::Infallible;

use embedded_time::Clock;
use truechimer_core::hal::Rtc;
use truechimer_core::holdover::{self, Boot, Record, RtcReading, TimeStatus};
use truechimer_core::units::{Instant, Span, WallTime};

use crate::clock::SystemClock;
pub use calendar::{Calendar, CalendarError};
pub use edge::{EdgeSearch, SecondCounter};
pub(crate) use keeper::{Keeper, News};

/// One that shows no edge for so long has stopped, or is always interrupted when there is one.
const PATIENCE: Span = Span::from_millis(4_500);

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

/// What is known of the time when the engine is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Start {
    /// What was stored.
    pub record: Record,
    /// What that and the real-time clock say of the time.
    pub boot: Boot,
}

impl Start {
    /// Starts `clock` from `record` alone: there is no real-time clock, or it does not work.
    pub fn without_rtc<C: Clock<T: Into<u64>>>(clock: &SystemClock<C>, record: Record) -> Self {
        Self::with(clock, record, None)
    }

    fn with<C: Clock<T: Into<u64>>>(
        clock: &SystemClock<C>,
        record: Record,
        reading: Option<RtcReading>,
    ) -> Self {
        let mut boot = holdover::boot(&record, reading.as_ref());
        if let Some(reading) = reading
            && record.rtc.is_none()
            && boot.status == TimeStatus::Rtc
        {
            // Never compared, it has shown less than it has counted: the middle is likelier.
            boot.time += reading.spec.resolution.half();
        }
        clock.set(boot.time);
        Self { record, boot }
    }
}

/// Starts `clock` from `rtc`, corrected by what `record` says of it. For the time before the engine
/// is made; to be called again until it succeeds, which it does from `record` alone when the
/// counter has run for 4.5 s and `rtc` shows no edge of a second.
///
/// # Errors
/// The reading's. The clock goes on from where it was.
pub fn start<C, R>(
    clock: &SystemClock<C>,
    rtc: &mut R,
    record: &Record,
) -> nb::Result<Start, R::Error>
where
    C: Clock<T: Into<u64>>,
    R: Rtc,
{
    let reading = match rtc.read() {
        Ok(time) => Some(RtcReading { time, spec: rtc.spec() }),
        Err(nb::Error::WouldBlock) if clock.mono() - Instant::default() > PATIENCE => None,
        Err(error) => return Err(error),
    };
    Ok(Start::with(clock, *record, reading))
}

#[cfg(test)]
mod tests;
