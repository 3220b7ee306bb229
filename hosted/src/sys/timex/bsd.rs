//! ntp_adjtime(2) of FreeBSD, NetBSD and macOS.
//!
//! It has no ticks, no steps and no slews; time and TAI are ntp_gettime(2)'s.

use std::mem::MaybeUninit;

use libc::{ntptimeval, timex};
use nix::errno::Errno;
use truechimer_core::timex::{
    ClockState, Error, Field, Modes, NtpTime, Reply, Request, Resolution, Settings,
};
use truechimer_core::units::{Span, WallTime};

use super::numbers::same_numbers;
use super::raw::{Layout, Raw, greatest, state};
use super::unit::resolution;
use super::{TimexError, adjtime, refused};

const LAYOUT: Layout =
    Layout { long: greatest(size_of::<libc::c_long>()), secs: greatest(size_of::<libc::time_t>()) };

same_numbers! {
    Modes: OFFSET = MOD_OFFSET, FREQUENCY = MOD_FREQUENCY, MAXERROR = MOD_MAXERROR,
    ESTERROR = MOD_ESTERROR, STATUS = MOD_STATUS, TIMECONST = MOD_TIMECONST, TAI = MOD_TAI,
    MICRO = MOD_MICRO, NANO = MOD_NANO
}

pub(super) fn ntp_adjtime(request: &Request) -> Result<Reply, TimexError> {
    match *request {
        Request::Set(settings) => set(&settings, request),
        Request::SingleShot(by) => slewed(adjtime::slew(Some(by), request)?),
        Request::SingleShotRemaining => slewed(adjtime::slew(None, request)?),
    }
}

pub(super) fn ntp_gettime() -> Result<NtpTime, TimexError> {
    // SAFETY: ntptimeval is a C structure of integers, for which all zeros is a valid value.
    let mut time: ntptimeval = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: the pointer is to an ntptimeval that lives through the call and is not shared.
    let returned = unsafe { libc::ntp_gettime(&mut time) };
    Errno::result(returned).map_err(TimexError::Os)?;
    Ok(NtpTime {
        state: state(time.time_state),
        time: WallTime::from_unix(wide(time.time.tv_sec), 0)
            + Span::from_nanos(wide(time.time.tv_nsec)),
        maxerror: Span::from_micros(wide(time.maxerror)),
        esterror: Span::from_micros(wide(time.esterror)),
        tai: i32::try_from(time.tai).unwrap_or_default(),
    })
}

pub(super) fn has(field: Field) -> bool {
    field != Field::Tick
}

fn set(settings: &Settings, request: &Request) -> Result<Reply, TimexError> {
    if settings.tick.is_some() {
        return Err(Error::Unsupported { field: Field::Tick }.into());
    }
    let present = match settings {
        Settings { offset: Some(_), resolution: None, .. } => {
            let (_, raw) = exchange(&Raw::default(), &Request::READ)?;
            resolution(raw.decode(&Request::READ).status)
        }
        _ => Resolution::Micro,
    };
    let mut raw = Raw::new(request, present, LAYOUT)?;
    if let Some(by) = settings.set_offset {
        adjtime::step(by, settings.resolution, request)?;
        raw.modes &= !u32::from(Modes::SETOFFSET.bits());
    }
    let (state, raw) = exchange(&raw, request)?;
    reply(state, &raw, request)
}

fn slewed(remained: Span) -> Result<Reply, TimexError> {
    let (state, raw) = exchange(&Raw::default(), &Request::READ)?;
    let mut reply = reply(state, &raw, &Request::READ)?;
    reply.timex.offset = remained;
    Ok(reply)
}

fn reply(state: ClockState, raw: &Raw, request: &Request) -> Result<Reply, TimexError> {
    let NtpTime { time, tai, .. } = ntp_gettime()?;
    let mut timex = raw.decode(request);
    (timex.time, timex.tai) = (time, tai);
    Ok(Reply { state, timex })
}

fn exchange(raw: &Raw, request: &Request) -> Result<(ClockState, Raw), TimexError> {
    let mut timex = to_libc(raw)?;
    // SAFETY: the pointer is to a timex that lives through the call and is not shared.
    let returned = unsafe { libc::ntp_adjtime(&mut timex) };
    let returned = Errno::result(returned).map_err(|errno| refused(errno, request))?;
    Ok((state(returned), from_libc(&timex)))
}

/// A field in the width of this system. [`LAYOUT`] has seen to it that it fits.
fn narrow(number: i64) -> Result<libc::c_long, TimexError> {
    number.try_into().map_err(|_| TimexError::Os(Errno::EOVERFLOW))
}

fn wide(number: impl Into<i64>) -> i64 {
    number.into()
}

fn to_libc(raw: &Raw) -> Result<timex, TimexError> {
    // SAFETY: timex is a C structure of integers, for which all zeros is a valid value.
    let mut timex: timex = unsafe { MaybeUninit::zeroed().assume_init() };
    timex.modes = raw.modes;
    timex.offset = narrow(raw.offset)?;
    timex.freq = narrow(raw.freq)?;
    timex.maxerror = narrow(raw.maxerror)?;
    timex.esterror = narrow(raw.esterror)?;
    timex.status = raw.status;
    timex.constant = narrow(raw.constant)?;
    Ok(timex)
}

fn from_libc(timex: &timex) -> Raw {
    Raw {
        modes: timex.modes,
        offset: wide(timex.offset),
        freq: wide(timex.freq),
        maxerror: wide(timex.maxerror),
        esterror: wide(timex.esterror),
        status: timex.status,
        constant: wide(timex.constant),
        precision: wide(timex.precision),
        tolerance: wide(timex.tolerance),
        ppsfreq: wide(timex.ppsfreq),
        jitter: wide(timex.jitter),
        shift: timex.shift,
        stabil: wide(timex.stabil),
        jitcnt: wide(timex.jitcnt),
        calcnt: wide(timex.calcnt),
        errcnt: wide(timex.errcnt),
        stbcnt: wide(timex.stbcnt),
        ..Raw::default()
    }
}
