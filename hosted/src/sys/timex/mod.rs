//! The kernel's clock, by the core's [`Request`] and [`Reply`].
//!
//! Linux has adjtimex(2), which glibc and musl both lend; FreeBSD, NetBSD and macOS have
//! ntp_adjtime(2) without steps, ticks and slews, for which there are clock_settime(2) and
//! adjtime(2); OpenBSD has only those and adjfreq(2). What a system lacks is refused as
//! [`timex::Error::Unsupported`], and [`has`] tells beforehand.

mod clamped;
#[cfg(not(target_os = "openbsd"))]
mod numbers;
#[cfg(not(target_os = "openbsd"))]
mod raw;
mod unit;

#[cfg(not(target_os = "linux"))]
mod adjtime;
#[cfg(not(any(target_os = "linux", target_os = "openbsd")))]
mod bsd;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "openbsd")]
mod openbsd;

#[cfg(not(any(target_os = "linux", target_os = "openbsd")))]
use bsd as system;
#[cfg(target_os = "linux")]
use linux as system;
#[cfg(target_os = "openbsd")]
use openbsd as system;

use nix::errno::Errno;
use nix::time::{ClockId, clock_gettime};
use truechimer_core::timex::{self, Field, NtpTime, Reply, Request};
use truechimer_core::units::{Span, WallTime};

use crate::clock::wall;
use crate::sys::fault::{Call, fault};

pub use clamped::{Clamped, clamped};
#[cfg(target_os = "linux")]
pub use linux::clock_adjtime;

/// The last second to which Linux lets its clock be set, in 2232: 30 years before 64 bits of
/// nanoseconds overflow (`TIME_SETTOD_SEC_MAX`).
const LAST_SECOND: i64 = i64::MAX / 1_000_000_000 - 30 * 365 * 86_400 - 1;

/// Why a call did nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimexError {
    /// By the rules of the interface.
    #[error(transparent)]
    Refused(#[from] timex::Error),
    /// For a reason that only this system has.
    #[error("the kernel's clock: {}", .0.desc())]
    Os(Errno),
}

/// Reads the kernel's clock and sets what is asked for. What the kernel clamps or ignores is not an
/// error: [`clamped`] finds it in the reply.
///
/// An offset without a resolution is given in the one that the kernel has at the moment, which
/// takes a second call. On a BSD a step is a second call too; if it fails, nothing else is done.
///
/// # Errors
/// [`timex::Error::Invalid`] for a value out of range, found before the kernel is called unless
/// only the kernel knows; [`timex::Error::NotPermitted`] without the privilege to set the time,
/// which reading does not need; [`timex::Error::Unsupported`] for what this system lacks.
pub fn ntp_adjtime(request: &Request) -> Result<Reply, TimexError> {
    let call = if *request == Request::READ { Call::ReadClock } else { Call::SetClock };
    fault(call).map_err(|errno| refused(errno, request))?;
    system::ntp_adjtime(request)
}

/// Reads the time and how good it is. Needs no privilege.
///
/// # Errors
/// The kernel's.
pub fn ntp_gettime() -> Result<NtpTime, TimexError> {
    system::ntp_gettime()
}

/// Whether this system's clock has such a field.
#[must_use]
pub fn has(field: Field) -> bool {
    system::has(field)
}

/// What an errno means as the answer to a request whose values were looked at before.
fn refused(errno: Errno, request: &Request) -> TimexError {
    match (errno, request) {
        (Errno::EPERM, _) => timex::Error::NotPermitted.into(),
        (Errno::EINVAL, Request::Set(timex::Settings { set_offset: Some(by), .. })) => {
            timex::Error::invalid(Field::SetOffset, *by).into()
        }
        _ => TimexError::Os(errno),
    }
}

/// Where a step leads to.
fn stepped(clock: ClockId, by: Span) -> Result<WallTime, TimexError> {
    let time = wall(clock_gettime(clock).map_err(TimexError::Os)?) + by;
    match (0..=LAST_SECOND).contains(&time.unix_secs()) {
        true => Ok(time),
        false => Err(timex::Error::invalid(Field::SetOffset, by).into()),
    }
}

#[cfg(test)]
mod tests;
