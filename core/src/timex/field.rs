//! The names of what `ntp_adjtime` reads and sets.

use core::fmt;
use core::str::FromStr;

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $allowed:literal;)*) => {
        /// A field of [`Timex`](super::Timex) or a thing that can be set. `Display` and `FromStr`
        /// use the names of `struct timex`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[non_exhaustive]
        pub enum Field {
            $($(#[$doc])* $name,)*
        }

        impl Field {
            /// All of them, in the order of `struct timex`.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// What it may be set to; empty if it can only be read.
            #[must_use]
            pub const fn allowed(self) -> &'static str {
                match self {
                    $(Self::$name => $allowed,)*
                }
            }
        }
    };
}

fields! {
    /// The phase still to be corrected.
    Offset = "offset", "a time such as -1.5ms or 20us; beyond ±0.5s it is clamped";
    /// The frequency offset.
    Freq = "freq", "a rate such as -12.5ppm; beyond ±500ppm it is clamped";
    /// The maximum error.
    MaxError = "maxerror", "a time from 0s to 16s, such as 500us";
    /// The estimated error.
    EstError = "esterror", "a time from 0s to 16s, such as 500us";
    /// The status bits.
    Status = "status", "any of PLL,PPSFREQ,PPSTIME,FLL,INS,DEL,UNSYNC,FREQHOLD, or all signed, as in +INS,-DEL";
    /// The time constant of the phase-locked loop.
    Constant = "constant", "log2 of seconds, 0 to 10";
    /// The precision of the clock.
    Precision = "precision", "";
    /// The greatest frequency offset.
    Tolerance = "tolerance", "";
    /// The clock's reading.
    Time = "time", "";
    /// The length of a tick.
    Tick = "tick", "9000us to 11000us, in whole microseconds";
    /// The frequency by the pulses.
    PpsFreq = "ppsfreq", "";
    /// The jitter of the pulses.
    Jitter = "jitter", "";
    /// The length of a calibration interval.
    Shift = "shift", "";
    /// The wander of the frequency by the pulses.
    Stabil = "stabil", "";
    /// Pulses with too much jitter.
    JitCnt = "jitcnt", "";
    /// Calibration intervals.
    CalCnt = "calcnt", "";
    /// Calibration errors.
    ErrCnt = "errcnt", "";
    /// Calibration intervals with too much wander.
    StbCnt = "stbcnt", "";
    /// TAI minus UTC.
    Tai = "tai", "seconds, 0 to 100000";
    /// A step of the clock (`ADJ_SETOFFSET`).
    SetOffset = "setoffset", "a time such as -1.5s that leaves the clock between 1970 and 2232";
    /// A single-shot slew (`ADJ_OFFSET_SINGLESHOT`).
    SingleShot = "singleshot", "a time such as -1.5ms, and nothing else beside it";
    /// The resolution (`ADJ_MICRO`, `ADJ_NANO`).
    Resolution = "resolution", "micro or nano";
}

impl Field {
    /// Whether it can be set.
    #[must_use]
    pub const fn is_settable(self) -> bool {
        !self.allowed().is_empty()
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Field {
    type Err = UnknownField;
    fn from_str(name: &str) -> Result<Self, UnknownField> {
        Self::ALL.iter().copied().find(|field| field.name() == name).ok_or(UnknownField)
    }
}

/// No field has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownField;

impl fmt::Display for UnknownField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such field; there are")?;
        Field::ALL.iter().try_for_each(|field| write!(f, " {field}"))
    }
}

impl core::error::Error for UnknownField {}
