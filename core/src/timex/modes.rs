//! The mode word (`timex.modes`).

use core::fmt;

use bitflags::bitflags;

/// What a call sets, by the names of Linux without `ADJ_`; the values are Linux'. Made from a
/// [`Request`](super::Request), whose form excludes the combinations that are forbidden.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Modes(u16);

bitflags! {
    impl Modes: u16 {
        /// `offset`.
        const OFFSET = 0x0001;
        /// `freq`.
        const FREQUENCY = 0x0002;
        /// `maxerror`.
        const MAXERROR = 0x0004;
        /// `esterror`.
        const ESTERROR = 0x0008;
        /// `status`.
        const STATUS = 0x0010;
        /// The time constant, with `constant`.
        const TIMECONST = 0x0020;
        /// TAI minus UTC, with `constant`.
        const TAI = 0x0080;
        /// `time` is added to the clock.
        const SETOFFSET = 0x0100;
        /// The resolution is a microsecond.
        const MICRO = 0x1000;
        /// The resolution is a nanosecond.
        const NANO = 0x2000;
        /// `tick`.
        const TICK = 0x4000;
        /// `offset` is slewed as `adjtime(3)` does. Several bits, and alone.
        const OFFSET_SINGLESHOT = 0x8001;
        /// `offset` is to become what remains of that slew. Several bits, and alone.
        const OFFSET_SS_READ = 0xa001;
    }
}

/// As `ntptime` has it: `OFFSET,NANO`.
impl fmt::Display for Modes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::OFFSET_SINGLESHOT => f.write_str("OFFSET_SINGLESHOT"),
            Self::OFFSET_SS_READ => f.write_str("OFFSET_SS_READ"),
            _ => write_names(f, self.iter_names().map(|(name, _)| name)),
        }
    }
}

pub(super) fn write_names(
    f: &mut fmt::Formatter<'_>,
    names: impl Iterator<Item = &'static str>,
) -> fmt::Result {
    names.enumerate().try_for_each(|(place, name)| {
        if place > 0 {
            f.write_str(",")?;
        }
        f.write_str(name)
    })
}
