//! The kernel's clock through `ntp_adjtime` (Linux: adjtimex(2)) and clock_settime(2).
//!
//! A rate is `freq`, ±500 ppm, and on Linux the length of a tick beside it, for ±10 %.

use std::mem::MaybeUninit;

use nix::errno::Errno;
use truechimer_core::units::{FreqOffset, Span};

/// Below this `freq` alone does; beyond, the tick's coarser steps help.
#[cfg(target_os = "linux")]
const FREQ_RANGE: FreqOffset = FreqOffset::from_ppm(480);
/// The most that `freq` takes on any system.
const MAX_FREQ: FreqOffset = FreqOffset::from_ppm(500);

/// What the kernel can be told about the quality of its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelStatus {
    /// Clears STA_UNSYNC.
    pub synced: bool,
    /// `maxerror`, rounded up to microseconds.
    pub max_error: Span,
    /// `esterror`, rounded up to microseconds.
    pub estimated_error: Span,
}

/// Whether rates beyond ±500 ppm are to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// The nominal length of a tick in microseconds, where the tick can be set.
    nominal_tick: Option<i64>,
}

impl RateLimits {
    /// Those of this system.
    #[must_use]
    pub fn of_this_system() -> Self {
        Self { nominal_tick: nominal_tick() }
    }
}

fn empty() -> libc::timex {
    // SAFETY: timex is a C structure of integers, for which all zeros is a valid value.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

fn call(timex: &mut libc::timex) -> Result<(), Errno> {
    // SAFETY: the pointer is to a timex that lives through the call and is not shared.
    #[cfg(target_os = "linux")]
    let state = unsafe { libc::adjtimex(timex) };
    // SAFETY: as above.
    #[cfg(not(target_os = "linux"))]
    let state = unsafe { libc::ntp_adjtime(timex) };
    Errno::result(state).map(drop)
}

#[cfg(target_os = "linux")]
fn nominal_tick() -> Option<i64> {
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten()?;
    (per_second > 0).then(|| 1_000_000 / wide(per_second))
}

#[cfg(not(target_os = "linux"))]
const fn nominal_tick() -> Option<i64> {
    None
}

/// The rate of `timex` as the kernel adds it up: the tick's and `freq`.
fn rate(timex: &libc::timex, limits: RateLimits) -> FreqOffset {
    let freq = FreqOffset::from_scaled_ppm(wide(timex.freq));
    match limits.nominal_tick {
        #[cfg(target_os = "linux")]
        Some(nominal) => freq + tick_rate(wide(timex.tick), nominal),
        _ => freq,
    }
}

#[cfg(target_os = "linux")]
fn tick_rate(tick: i64, nominal: i64) -> FreqOffset {
    // A tick that is a microsecond longer gains 1/nominal of a second each second.
    FreqOffset::from_scaled_ppm((tick - nominal) * (65_536_000_000 / nominal))
}

/// The rate that the kernel's clock runs at. Needs no privilege.
///
/// # Errors
/// The kernel's.
pub fn read_rate(limits: RateLimits) -> Result<FreqOffset, Errno> {
    let mut timex = empty();
    call(&mut timex)?;
    Ok(rate(&timex, limits))
}

/// Runs the kernel's clock at `wanted` from now on; the rate that the kernel took.
///
/// # Errors
/// The kernel's; `EPERM` without the privilege.
pub fn adjust(wanted: FreqOffset, limits: RateLimits) -> Result<FreqOffset, Errno> {
    let mut timex = empty();
    let freq = wanted - set_tick(&mut timex, wanted, limits);
    timex.modes |= libc::MOD_FREQUENCY;
    timex.freq = narrow(freq.clamp(-MAX_FREQ, MAX_FREQ).as_scaled_ppm());
    call(&mut timex)?;
    Ok(rate(&timex, limits))
}

/// Has the tick take its part of the rate, and says how much that is.
#[cfg(target_os = "linux")]
fn set_tick(timex: &mut libc::timex, wanted: FreqOffset, limits: RateLimits) -> FreqOffset {
    let Some(nominal) = limits.nominal_tick else { return FreqOffset::ZERO };
    let mut tick = nominal;
    if wanted.abs() > FREQ_RANGE {
        let limit = nominal / 10;
        tick += ((wanted.as_ratio() * nominal as f64).round() as i64).clamp(-limit, limit);
    }
    timex.modes |= libc::ADJ_TICK;
    timex.tick = narrow(tick);
    tick_rate(tick, nominal)
}

#[cfg(not(target_os = "linux"))]
const fn set_tick(_: &mut libc::timex, _: FreqOffset, _: RateLimits) -> FreqOffset {
    FreqOffset::ZERO
}

/// Advances the kernel's clock at once.
///
/// # Errors
/// The kernel's; `EPERM` without the privilege, `EINVAL` for a time before 1970.
#[cfg(target_os = "linux")]
pub fn step(by: Span) -> Result<(), Errno> {
    let mut timex = empty();
    timex.modes = libc::ADJ_SETOFFSET | libc::ADJ_NANO;
    timex.time.tv_sec = narrow(by.as_nanos().div_euclid(1_000_000_000));
    // With ADJ_NANO this field holds nanoseconds.
    timex.time.tv_usec = narrow(by.as_nanos().rem_euclid(1_000_000_000));
    call(&mut timex)
}

/// Advances the kernel's clock at once, by the time that lies between reading and setting less.
///
/// # Errors
/// The kernel's; `EPERM` without the privilege, `EINVAL` for a time before 1970.
#[cfg(not(target_os = "linux"))]
pub fn step(by: Span) -> Result<(), Errno> {
    use nix::sys::time::{TimeSpec, TimeValLike};
    use nix::time::{ClockId, clock_gettime, clock_settime};

    let now = clock_gettime(ClockId::CLOCK_REALTIME)?;
    clock_settime(ClockId::CLOCK_REALTIME, now + TimeSpec::nanoseconds(by.as_nanos()))
}

/// Ends what a program before may have left to the kernel: a slew of adjtime(2), and the
/// kernel's own loops, which would follow an old offset.
///
/// # Errors
/// The kernel's; `EPERM` without the privilege.
pub fn reset() -> Result<(), Errno> {
    #[cfg(target_os = "linux")]
    {
        let mut timex = empty();
        timex.modes = libc::ADJ_OFFSET_SINGLESHOT;
        call(&mut timex)?;
    }
    change_status(0, libc::STA_PLL | libc::STA_FLL, &mut empty())
}

/// Tells the kernel how good its clock is. Programs read it with ntp_gettime(3), and Linux copies
/// a synchronised clock to the RTC. A leap second that somebody armed stays armed.
///
/// # Errors
/// The kernel's; `EPERM` without the privilege.
pub fn set_status(status: &KernelStatus) -> Result<(), Errno> {
    let mut timex = empty();
    timex.modes = libc::MOD_MAXERROR | libc::MOD_ESTERROR;
    timex.maxerror = micros(status.max_error);
    timex.esterror = micros(status.estimated_error);
    match status.synced {
        true => change_status(0, libc::STA_UNSYNC, &mut timex),
        false => change_status(libc::STA_UNSYNC, 0, &mut timex),
    }
}

fn change_status(
    set: libc::c_int,
    clear: libc::c_int,
    timex: &mut libc::timex,
) -> Result<(), Errno> {
    let mut present = empty();
    call(&mut present)?;
    timex.modes |= libc::MOD_STATUS;
    timex.status = present.status & !clear | set;
    call(timex)
}

fn micros(span: Span) -> libc::c_long {
    let micros = span.as_nanos().max(0).unsigned_abs().div_ceil(1_000);
    narrow(i64::try_from(micros).unwrap_or(i64::MAX))
}

#[allow(clippy::useless_conversion, reason = "a C long has 32 bits elsewhere")]
fn wide(long: libc::c_long) -> i64 {
    i64::from(long)
}

#[allow(clippy::useless_conversion, reason = "a C long has 32 bits elsewhere")]
fn narrow(value: i64) -> libc::c_long {
    value.try_into().unwrap_or(libc::c_long::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_rate_without_privilege() {
        let rate = read_rate(RateLimits::of_this_system()).unwrap();
        assert!(rate.abs() <= FreqOffset::from_ppm(100_500));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn ticks_are_a_hundred_ppm() {
        assert_eq!(tick_rate(10_001, 10_000), FreqOffset::from_ppm(100));
        assert_eq!(tick_rate(9_000, 10_000), FreqOffset::from_ppm(-100_000));
    }

    #[test]
    fn errors_round_up() {
        assert_eq!(micros(Span::from_nanos(1)), 1);
        assert_eq!(micros(Span::from_nanos(-1)), 0);
        assert_eq!(micros(Span::from_micros(7)), 7);
    }
}
