//! A library for `LD_PRELOAD`: whoever sets the clock by libc reads it, and is told that it was set.

use libc::{CLOCK_REALTIME, c_int, c_long, clockid_t, timespec, timeval, timex, timezone};

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_adjtime(clock: clockid_t, buffer: *mut timex) -> c_int {
    // SAFETY: the caller's buffer is a `timex` that may be written to.
    unsafe {
        (*buffer).modes = 0;
        libc::syscall(libc::SYS_clock_adjtime, c_long::from(clock), buffer) as c_int
    }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ntp_adjtime(buffer: *mut timex) -> c_int {
    // SAFETY: as the caller says.
    unsafe { clock_adjtime(CLOCK_REALTIME, buffer) }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adjtimex(buffer: *mut timex) -> c_int {
    // SAFETY: as the caller says.
    unsafe { clock_adjtime(CLOCK_REALTIME, buffer) }
}

/// Sets nothing.
#[unsafe(no_mangle)]
pub extern "C" fn clock_settime(_: clockid_t, _: *const timespec) -> c_int {
    0
}

/// Sets nothing.
#[unsafe(no_mangle)]
pub extern "C" fn settimeofday(_: *const timeval, _: *const timezone) -> c_int {
    0
}
