//! The units in which `struct timex` has a time.

use truechimer_core::timex::{Resolution, Status};
use truechimer_core::units::Span;

pub(super) const NANOS_PER_SEC: i64 = 1_000_000_000;
pub(super) const NANOS_PER_MICRO: i64 = 1_000;

/// The seconds and the rest of a step, in nanoseconds only if that resolution is set with it.
pub(super) fn set_offset(by: Span, resolution: Option<Resolution>) -> (i64, i64) {
    let unit = unit(resolution.unwrap_or(Resolution::Micro));
    let nanos = by.as_nanos();
    (nanos.div_euclid(NANOS_PER_SEC), nanos.rem_euclid(NANOS_PER_SEC) / unit)
}

/// The resolution of which the status tells.
pub(super) fn resolution(status: Status) -> Resolution {
    if status.contains(Status::NANO) { Resolution::Nano } else { Resolution::Micro }
}

/// In nanoseconds.
pub(super) const fn unit(resolution: Resolution) -> i64 {
    match resolution {
        Resolution::Micro => NANOS_PER_MICRO,
        Resolution::Nano => 1,
    }
}

/// In microseconds, rounded up.
pub(super) fn micros_up(span: Span) -> i64 {
    let nanos = span.as_nanos();
    nanos.div_euclid(NANOS_PER_MICRO) + i64::from(nanos.rem_euclid(NANOS_PER_MICRO) != 0)
}
