//! adjtime(2) and clock_settime(2), where ntp_adjtime(2) has neither slews nor steps.

use std::ptr;

use libc::timeval;
use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};
use truechimer_core::timex::{Request, Resolution};
use truechimer_core::units::Span;

use super::unit::{set_offset, unit};
use super::{TimexError, refused, stepped};

const MICROS_PER_SEC: i64 = 1_000_000;

/// What remains of the slew in progress, which one by `by` takes the place of if there is one.
pub(super) fn slew(by: Option<Span>, request: &Request) -> Result<Span, TimexError> {
    let delta = by.map(timeval_of).transpose()?;
    let delta = delta.as_ref().map_or(ptr::null(), ptr::from_ref);
    let mut old = timeval { tv_sec: 0, tv_usec: 0 };
    // SAFETY: the pointers are null, where the call allows it, or to values that live through it.
    let returned = unsafe { libc::adjtime(delta, &raw mut old) };
    Errno::result(returned).map_err(|errno| refused(errno, request))?;
    #[allow(clippy::useless_conversion, reason = "narrower elsewhere")]
    let (secs, micros) = (i64::from(old.tv_sec), i64::from(old.tv_usec));
    Ok(Span::from_secs(secs) + Span::from_micros(micros))
}

/// Rounded towards zero.
fn timeval_of(span: Span) -> Result<timeval, TimexError> {
    let micros = span.as_nanos() / 1_000;
    let overflow = |_| TimexError::Os(Errno::EOVERFLOW);
    Ok(timeval {
        tv_sec: (micros / MICROS_PER_SEC).try_into().map_err(overflow)?,
        tv_usec: (micros % MICROS_PER_SEC) as libc::suseconds_t,
    })
}

/// Advances the clock at once, less the time that passes between reading and setting it.
pub(super) fn step(
    by: Span,
    resolution: Option<Resolution>,
    request: &Request,
) -> Result<(), TimexError> {
    let (secs, subsecs) = set_offset(by, resolution);
    let nanos = subsecs * unit(resolution.unwrap_or(Resolution::Micro));
    let time = stepped(ClockId::CLOCK_REALTIME, Span::from_secs(secs) + Span::from_nanos(nanos))?;
    let overflow = |_| TimexError::Os(Errno::EOVERFLOW);
    let secs = time.unix_secs().try_into().map_err(overflow)?;
    let time = TimeSpec::new(secs, time.subsec_nanos().into());
    clock_settime(ClockId::CLOCK_REALTIME, time).map_err(|errno| refused(errno, request))
}
