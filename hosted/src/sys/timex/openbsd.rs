//! adjfreq(2), adjtime(2) and clock_settime(2) of OpenBSD: a frequency, slews and steps, and
//! nothing that would tell how good the clock is.

use std::ptr;

use nix::errno::Errno;
use nix::time::{ClockId, clock_gettime};
use truechimer_core::timex::{
    ClockState, Error, Field, NtpTime, Pps, Reply, Request, Resolution, Settings, Status, Timex,
};
use truechimer_core::units::{FreqOffset, Span};

use super::{TimexError, adjtime, refused};
use crate::clock::wall;

unsafe extern "C" {
    /// `<sys/time.h>`; nanoseconds in a second with a 32-bit fraction.
    fn adjfreq(freq: *const i64, oldfreq: *mut i64) -> libc::c_int;
}

/// The unit of adjfreq(2) in the one of `timex.freq`, 2^-16 ppm.
const UNITS: i64 = 1_000 << 16;
/// The most that it takes, either way (`ADJFREQ_MAX`).
const MAX_FREQ: FreqOffset = FreqOffset::from_ppm(500_000);

pub(super) fn ntp_adjtime(request: &Request) -> Result<Reply, TimexError> {
    match *request {
        Request::Set(settings) => set(&settings, request),
        Request::SingleShot(by) => reply(adjtime::slew(Some(by), request)?),
        Request::SingleShotRemaining => reply(adjtime::slew(None, request)?),
    }
}

pub(super) fn ntp_gettime() -> Result<NtpTime, TimexError> {
    reply(Span::ZERO).map(NtpTime::from)
}

pub(super) fn has(field: Field) -> bool {
    matches!(
        field,
        Field::Freq
            | Field::Tolerance
            | Field::Time
            | Field::SetOffset
            | Field::SingleShot
            | Field::Resolution
    )
}

fn set(settings: &Settings, request: &Request) -> Result<Reply, TimexError> {
    if let Some(field) = missing(settings) {
        return Err(Error::Unsupported { field }.into());
    }
    let beyond = |frequency: &FreqOffset| frequency.abs() > MAX_FREQ;
    if let Some(frequency) = settings.frequency.filter(beyond) {
        return Err(Error::invalid(Field::Freq, frequency).into());
    }
    if let Some(by) = settings.set_offset {
        adjtime::step(by, settings.resolution, request)?;
    }
    if let Some(frequency) = settings.frequency {
        change_frequency(Some(frequency), request)?;
    }
    reply(Span::ZERO)
}

/// The first thing to set that there is not.
fn missing(set: &Settings) -> Option<Field> {
    let constant = match set.constant {
        Some(truechimer_core::timex::Constant::Tai(_)) => Field::Tai,
        _ => Field::Constant,
    };
    [
        (set.status.is_some(), Field::Status),
        (set.resolution == Some(Resolution::Micro), Field::Resolution),
        (set.max_error.is_some(), Field::MaxError),
        (set.est_error.is_some(), Field::EstError),
        (set.constant.is_some(), constant),
        (set.offset.is_some(), Field::Offset),
        (set.tick.is_some(), Field::Tick),
    ]
    .into_iter()
    .find_map(|(wanted, field)| wanted.then_some(field))
}

/// What it was, which `frequency` takes the place of if there is one.
fn change_frequency(
    frequency: Option<FreqOffset>,
    request: &Request,
) -> Result<FreqOffset, TimexError> {
    let new = frequency.map(|frequency| frequency.as_scaled_ppm() * UNITS);
    let mut old = 0;
    let new = new.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the pointers are null, where the call allows it, or to values that live through it.
    let returned = unsafe { adjfreq(new, &raw mut old) };
    Errno::result(returned).map_err(|errno| refused(errno, request))?;
    Ok(FreqOffset::from_scaled_ppm(old / UNITS))
}

/// That the clock is right nobody vouches for.
fn reply(offset: Span) -> Result<Reply, TimexError> {
    let timex = Timex {
        offset,
        freq: change_frequency(None, &Request::READ)?,
        maxerror: Span::ZERO,
        esterror: Span::ZERO,
        status: Status::UNSYNC | Status::NANO,
        constant: 0,
        precision: Span::ZERO,
        tolerance: MAX_FREQ,
        time: wall(clock_gettime(ClockId::CLOCK_REALTIME).map_err(TimexError::Os)?),
        tick: Span::ZERO,
        pps: Pps::default(),
        tai: 0,
    };
    Ok(Reply { state: ClockState::Error, timex })
}
