//! What a call asks for.

use super::pll::MAX_CONSTANT;
use super::{Modes, Status};
use crate::units::{FreqOffset, Span};

/// A call of `ntp_adjtime`. Its form excludes what the interface forbids: both resolutions, a time
/// constant together with TAI, a single-shot slew together with anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Request {
    /// Sets what is `Some`; with [`Settings::NONE`] it only reads, for which no privilege is
    /// needed.
    Set(Settings),
    /// Corrects the clock by so much, gradually, at 500 us/s, in place of what remains of the last
    /// single-shot slew (`ADJ_OFFSET_SINGLESHOT`). Whole microseconds, rounded towards zero.
    SingleShot(Span),
    /// What remains of it (`ADJ_OFFSET_SS_READ`); no privilege is needed.
    SingleShotRemaining,
}

/// What [`Request::Set`] sets, in the order in which it is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Settings {
    /// Advances the clock at once (`ADJ_SETOFFSET`). Rounded down to the microsecond unless
    /// [`resolution`](Self::resolution) is set to nanoseconds in the same call.
    pub set_offset: Option<Span>,
    /// Replaces the settable bits; the others are ignored.
    pub status: Option<Status>,
    /// The unit of the clock's own books (`ADJ_MICRO`, `ADJ_NANO`).
    pub resolution: Option<Resolution>,
    /// The frequency, to 2^-16 ppm, clamped to ±500 ppm.
    pub frequency: Option<FreqOffset>,
    /// The maximum error in whole microseconds, rounded up; clamped to 0 to 16 s.
    pub max_error: Option<Span>,
    /// The estimated error likewise.
    pub est_error: Option<Span>,
    /// One of the two that share `timex.constant`.
    pub constant: Option<Constant>,
    /// The phase offset that is to be corrected, clamped to ±0.5 s; ignored while
    /// [`Status::PLL`] is clear. Rounded towards zero to the microsecond while
    /// [`Status::NANO`] is clear.
    pub offset: Option<Span>,
    /// The length of a tick, nominally 10 ms: 9 to 11 ms in whole microseconds.
    pub tick: Option<Span>,
}

/// The unit of `offset`, `time` and `jitter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Resolution {
    /// A microsecond.
    Micro,
    /// A nanosecond.
    Nano,
}

/// What goes through `timex.constant`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Constant {
    /// The time constant of the phase-locked loop, log2 s, to which 4 is added while
    /// [`Status::NANO`] is clear; clamped to 10.
    Time(u8),
    /// TAI minus UTC in seconds; ignored outside 0 to 100,000.
    Tai(i32),
}

impl Settings {
    /// Sets nothing.
    pub const NONE: Self = Self {
        set_offset: None,
        status: None,
        resolution: None,
        frequency: None,
        max_error: None,
        est_error: None,
        constant: None,
        offset: None,
        tick: None,
    };

    /// Gives `offset` to the loop of a clock with `status` now, as ntpd does: the time constant is
    /// that of `poll`, how often this is done (log2 s). Where that is beyond the greatest time
    /// constant, 1,024 s, the loop locks to the frequency.
    #[must_use]
    pub fn lock(offset: Span, poll: i8, mut status: Status) -> Self {
        let constant = poll.clamp(0, MAX_CONSTANT).cast_unsigned();
        status.insert(Status::PLL);
        status.set(Status::FLL, poll > MAX_CONSTANT);
        status.remove(Status::FREQHOLD);
        Self {
            status: Some(status),
            resolution: Some(Resolution::Nano),
            constant: Some(Constant::Time(constant)),
            offset: Some(offset),
            ..Self::NONE
        }
    }
}

impl Request {
    /// Only reads.
    pub const READ: Self = Self::Set(Settings::NONE);

    /// What it sets, as a mode word.
    #[must_use]
    pub fn modes(&self) -> Modes {
        let set = match self {
            Self::Set(settings) => settings,
            Self::SingleShot(_) => return Modes::OFFSET_SINGLESHOT,
            Self::SingleShotRemaining => return Modes::OFFSET_SS_READ,
        };
        let bit = |present, mode| if present { mode } else { Modes::empty() };
        bit(set.set_offset.is_some(), Modes::SETOFFSET)
            | bit(set.status.is_some(), Modes::STATUS)
            | bit(set.resolution == Some(Resolution::Micro), Modes::MICRO)
            | bit(set.resolution == Some(Resolution::Nano), Modes::NANO)
            | bit(set.frequency.is_some(), Modes::FREQUENCY)
            | bit(set.max_error.is_some(), Modes::MAXERROR)
            | bit(set.est_error.is_some(), Modes::ESTERROR)
            | bit(matches!(set.constant, Some(Constant::Time(_))), Modes::TIMECONST)
            | bit(matches!(set.constant, Some(Constant::Tai(_))), Modes::TAI)
            | bit(set.offset.is_some(), Modes::OFFSET)
            | bit(set.tick.is_some(), Modes::TICK)
    }

    /// Whether it needs the privilege to change the clock.
    #[must_use]
    pub fn is_privileged(&self) -> bool {
        !matches!(self, Self::SingleShotRemaining) && *self != Self::READ
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_their_modes() {
        assert_eq!(Request::READ.modes(), Modes::empty());
        let set = Settings {
            offset: Some(Span::ZERO),
            resolution: Some(Resolution::Nano),
            constant: Some(Constant::Tai(37)),
            ..Settings::NONE
        };
        assert_eq!(Request::Set(set).modes(), Modes::OFFSET | Modes::NANO | Modes::TAI);
        assert_eq!(Request::SingleShot(Span::ZERO).modes().bits(), 0x8001);
        assert_eq!(Request::SingleShotRemaining.modes().bits(), 0xa001);
        assert!(Request::Set(set).is_privileged());
        assert!(Request::SingleShot(Span::ZERO).is_privileged());
        assert!(!Request::READ.is_privileged());
        assert!(!Request::SingleShotRemaining.is_privileged());
    }

    // ntpd's: the time constant is the poll exponent, and the frequency is locked to beyond it.
    #[test]
    fn what_a_loop_is_told() {
        let held = Status::UNSYNC | Status::INS | Status::FREQHOLD | Status::FLL;
        for (poll, constant, fll) in
            [(-4, 0, false), (6, 6, false), (10, 10, false), (11, 10, true)]
        {
            let settings = Settings::lock(Span::from_millis(-3), poll, held);
            let mut status = Status::UNSYNC | Status::INS | Status::PLL;
            status.set(Status::FLL, fll);
            let expected = Settings {
                status: Some(status),
                resolution: Some(Resolution::Nano),
                constant: Some(Constant::Time(constant)),
                offset: Some(Span::from_millis(-3)),
                ..Settings::NONE
            };
            assert_eq!(settings, expected, "{poll}");
        }
    }
}
