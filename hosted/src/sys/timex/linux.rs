//! adjtimex(2) and clock_adjtime(2), by way of libc: what replaces libc's functions replaces these.

use std::mem::MaybeUninit;

use libc::{c_int, timex};
use nix::errno::Errno;
use nix::time::ClockId;
use truechimer_core::timex::{
    ClockState, Field, Modes, NtpTime, Reply, Request, Resolution, Settings,
};

use super::numbers::same_numbers;
use super::raw::{Layout, Raw, greatest, state};
use super::unit::resolution;
use super::{TimexError, refused, stepped};

const EMPTY: timex = {
    // SAFETY: timex is a C structure of integers, for which all zeros is a valid value.
    unsafe { MaybeUninit::zeroed().assume_init() }
};

pub(super) const LAYOUT: Layout = Layout {
    long: greatest(size_of_val(&EMPTY.offset)),
    secs: greatest(size_of_val(&EMPTY.time.tv_sec)),
};

// `struct timex` of this system, by the width of its long and its time_t. With a time_t of 64 bits
// on a machine of 32, glibc's has the kernel's layout; musl's has not, and on i386 no padding.
const _: () = assert!(match (size_of::<libc::c_long>(), size_of_val(&EMPTY.time.tv_sec)) {
    (4, 4) => size_of::<timex>() == 128,
    (4, _) if cfg!(target_env = "musl") => size_of::<timex>() == 128 + 2 * align_of::<i64>(),
    _ => size_of::<timex>() == 208,
});

same_numbers! {
    Modes: OFFSET = ADJ_OFFSET, FREQUENCY = ADJ_FREQUENCY, MAXERROR = ADJ_MAXERROR,
    ESTERROR = ADJ_ESTERROR, STATUS = ADJ_STATUS, TIMECONST = ADJ_TIMECONST, TAI = ADJ_TAI,
    SETOFFSET = ADJ_SETOFFSET, MICRO = ADJ_MICRO, NANO = ADJ_NANO, TICK = ADJ_TICK,
    OFFSET_SINGLESHOT = ADJ_OFFSET_SINGLESHOT, OFFSET_SS_READ = ADJ_OFFSET_SS_READ
}

pub(super) fn ntp_adjtime(request: &Request) -> Result<Reply, TimexError> {
    adjust(request, ClockId::CLOCK_REALTIME, |timex| {
        // SAFETY: the pointer is to a timex that lives through the call and is not shared.
        unsafe { libc::adjtimex(timex) }
    })
}

/// [`ntp_adjtime`](super::ntp_adjtime) for another clock, such as a network card's (the clock of
/// an open `/dev/ptp0`).
///
/// # Errors
/// As there; and `EOPNOTSUPP` or `EINVAL` for a clock that cannot be adjusted.
pub fn clock_adjtime(clock: ClockId, request: &Request) -> Result<Reply, TimexError> {
    adjust(request, clock, |timex| {
        // SAFETY: the pointer is to a timex that lives through the call and is not shared.
        unsafe { libc::clock_adjtime(clock.as_raw(), timex) }
    })
}

pub(super) fn ntp_gettime() -> Result<NtpTime, TimexError> {
    ntp_adjtime(&Request::READ).map(NtpTime::from)
}

pub(super) const fn has(_: Field) -> bool {
    true
}

fn adjust(
    request: &Request,
    clock: ClockId,
    call: impl Fn(&mut timex) -> c_int,
) -> Result<Reply, TimexError> {
    let exchange = |raw: Raw| -> Result<(ClockState, Raw), TimexError> {
        let mut timex = to_libc(&raw)?;
        let returned = Errno::result(call(&mut timex)).map_err(|errno| refused(errno, request))?;
        Ok((state(returned), from_libc(&timex)))
    };
    let present = match request {
        Request::Set(Settings { offset: Some(_), resolution: None, .. }) => {
            let (_, raw) = exchange(Raw::default())?;
            resolution(raw.decode(&Request::READ).status)
        }
        _ => Resolution::Micro,
    };
    let raw = Raw::new(request, present, LAYOUT)?;
    if let Request::Set(Settings { set_offset: Some(by), .. }) = request {
        stepped(clock, *by)?;
    }
    let (state, raw) = exchange(raw)?;
    Ok(Reply { state, timex: raw.decode(request) })
}

/// A field in the width of this system. [`LAYOUT`] has seen to it that it fits.
fn narrow<T: TryFrom<i64>>(number: i64) -> Result<T, TimexError> {
    T::try_from(number).map_err(|_| TimexError::Os(Errno::EOVERFLOW))
}

pub(super) fn to_libc(raw: &Raw) -> Result<timex, TimexError> {
    let mut timex = EMPTY;
    timex.modes = raw.modes;
    timex.offset = narrow(raw.offset)?;
    timex.freq = narrow(raw.freq)?;
    timex.maxerror = narrow(raw.maxerror)?;
    timex.esterror = narrow(raw.esterror)?;
    timex.status = raw.status;
    timex.constant = narrow(raw.constant)?;
    timex.time.tv_sec = narrow(raw.secs)?;
    timex.time.tv_usec = narrow(raw.subsecs)?;
    timex.tick = narrow(raw.tick)?;
    Ok(timex)
}

pub(super) fn from_libc(timex: &timex) -> Raw {
    fn wide(number: impl Into<i64>) -> i64 {
        number.into()
    }
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
        secs: wide(timex.time.tv_sec),
        subsecs: wide(timex.time.tv_usec),
        tick: wide(timex.tick),
        ppsfreq: wide(timex.ppsfreq),
        jitter: wide(timex.jitter),
        shift: timex.shift,
        stabil: wide(timex.stabil),
        jitcnt: wide(timex.jitcnt),
        calcnt: wide(timex.calcnt),
        errcnt: wide(timex.errcnt),
        stbcnt: wide(timex.stbcnt),
        tai: timex.tai,
    }
}
