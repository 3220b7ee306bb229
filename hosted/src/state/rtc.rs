//! The clock that runs without power, as Linux shows it in a file: seconds since 1970. The kernel sets it
//! every eleven minutes while its own clock is synchronised; here is learnt what it does meanwhile and
//! without power, for the next start.
//!
//! What is known of it is a line of numbers: when it was last compared, in seconds since 1970, by how
//! much it was ahead then, in seconds, and how far that may be off; what it gains, in ppm, and how far
//! that may be off.

use std::fs;
use std::path::Path;

use truechimer_core::holdover::{
    Boot, Compared, Record, RtcModel, RtcReading, RtcSpec, State, TimeStatus, boot,
};
use truechimer_core::units::{FreqOffset, Instant, Span, WallTime};

use super::LATEST;
use crate::clock::monotonic;

/// The first one of the system, which the kernel sets.
pub const DEFAULT: &str = "/sys/class/rtc/rtc0/since_epoch";
/// No clock is ahead by more than a day, or so uncertain, and still known.
const MOST: f64 = 86_400.0;
/// No crystal is off by more, ppm.
const FASTEST: f64 = 1_000.0;

/// What was read, and when by the counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Read {
    reading: RtcReading,
    at: Instant,
}

/// What the time was at a start by the clock that runs without power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// That it was about this.
    pub time: WallTime,
    /// It was off by no more, if that is known.
    pub bound: Option<Span>,
    /// Then, by `CLOCK_MONOTONIC`.
    pub at: Instant,
}

impl Started {
    /// The same at present.
    pub(super) fn time_now(&self) -> WallTime {
        self.time + (monotonic() - self.at)
    }
}

impl Read {
    /// What follows from it and what is known; nothing if it lost its power.
    pub(super) fn started(&self, state: State, rtc: Option<Compared>) -> Option<Started> {
        let Boot { time, bound, status } = boot(&Record { state, rtc }, Some(&self.reading));
        (status == TimeStatus::Rtc).then_some(Started { time, bound, at: self.at })
    }
}

/// What it shows; `None` if there is none, or it has lost its power.
pub(super) fn read(path: &Path) -> Option<Read> {
    let text = fs::read_to_string(path).ok()?;
    let secs = text.trim().parse().ok().filter(|secs| (0..=LATEST.unix_secs()).contains(secs))?;
    let reading = RtcReading { time: WallTime::from_unix(secs, 0), spec: RtcSpec::default() };
    Some(Read { reading, at: monotonic() })
}

/// What is learnt in this life.
#[derive(Debug)]
pub(super) struct Learning {
    model: RtcModel,
    /// The reading at the start, until the clock is right for the first time.
    first: Option<Read>,
}

impl Learning {
    pub(super) fn new(known: Option<Compared>, first: Option<Read>) -> Self {
        Self { model: RtcModel::new(RtcSpec::default(), known), first }
    }

    /// It is `now`, give or take `error`, and the clock without power shows `read`.
    pub(super) fn learn(&mut self, now: WallTime, error: Span, read: &Read) -> Option<Compared> {
        if let Some(first) = self.first.take() {
            self.model.compare(now + (first.at - read.at), error, first.reading.time);
        }
        // The kernel has set it since, or will: no rate is learnt from that.
        let half = read.reading.spec.resolution.half();
        self.model.set(now, error + half, read.reading.time + half);
        self.model.known()
    }
}

/// Why a text is none.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error(
    "{0:?} is not what is known of a real-time clock: the time of a comparison, an offset and its error \
     in seconds, a rate and its error in ppm are allowed, five numbers"
)]
pub struct RtcError(String);

/// What is known of it.
///
/// # Errors
/// The text is not in this format.
pub fn parse(text: &str) -> Result<Compared, RtcError> {
    let wrong = || RtcError(text.trim().chars().take(48).collect());
    let numbers: Vec<f64> =
        text.split_whitespace().map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
    let &[at, ahead, error, rate, rate_error] = numbers.as_slice() else { return Err(wrong()) };
    let is_possible = (0.0..=LATEST.unix_secs() as f64).contains(&at)
        && ahead.abs() <= MOST
        && (0.0..=MOST).contains(&error)
        && rate.abs() <= FASTEST
        && (0.0..=FASTEST).contains(&rate_error);
    if !is_possible {
        return Err(wrong());
    }
    Ok(Compared {
        at: WallTime::from_unix(at as i64, 0),
        ahead: Span::from_secs_f64(ahead),
        error: Span::from_secs_f64(error),
        rate: FreqOffset::from_ppm_f64(rate),
        rate_error: FreqOffset::from_ppm_f64(rate_error),
    })
}

/// As it is written: to the second, of which the rest makes it no more exact.
#[must_use]
pub fn format(known: &Compared) -> String {
    format!(
        "{} {:.3} {:.3} {:.3} {:.3}\n",
        known.at.unix_secs(),
        known.ahead.as_secs_f64(),
        known.error.as_secs_f64() + 0.001,
        known.rate.as_ppm(),
        known.rate_error.as_ppm() + 0.001,
    )
}

#[cfg(test)]
mod tests;
