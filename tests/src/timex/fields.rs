//! The raw fields of `struct timex`, as words of a line.

use std::fmt;

use anyhow::{Context, Result};
use truechimer_core::timex::{Modes, Status};

/// Declares the fields once: the structure, their names, and how they are read and written.
macro_rules! timex {
    ($($(#[$meta:meta])* $name:ident)*) => {
        /// What a call asks, or what it was answered, in the kernel's units (`adjtimex(2)`).
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct RawTimex {
            $($(#[$meta])* pub $name: i64,)*
        }

        impl RawTimex {
            /// All zero, which asks for nothing.
            pub const NOTHING: Self = Self { $($name: 0),* };

            /// Each field's name and value.
            #[must_use]
            pub fn fields(&self) -> Vec<(&'static str, i64)> {
                vec![$((stringify!($name), self.$name)),*]
            }

            fn field_mut(&mut self, name: &str) -> Option<&mut i64> {
                match name {
                    $(stringify!($name) => Some(&mut self.$name),)*
                    _ => None,
                }
            }
        }
    };
}

timex! {
    /// What to set, `ADJ_…`.
    modes
    /// Phase offset, ns or us.
    offset
    /// Frequency, ppm with a fraction of 16 bits.
    freq
    /// Maximum error, us.
    maxerror
    /// Estimated error, us.
    esterror
    /// `STA_…`.
    status
    /// Time constant of the loop; what `ADJ_TAI` sets.
    constant
    /// Precision of the clock, us or ns.
    precision
    /// The largest `freq`.
    tolerance
    /// The time, s since 1970; what `ADJ_SETOFFSET` adds.
    sec
    /// Its fraction, ns or us.
    subsec
    /// Length of a tick, us.
    tick
    /// Frequency by PPS, as `freq`.
    ppsfreq
    /// Jitter of PPS, ns or us.
    jitter
    /// Interval of PPS, log2 s.
    shift
    /// Wander of PPS, as `freq`.
    stabil
    /// How often the jitter was too large.
    jitcnt
    /// How many intervals were measured.
    calcnt
    /// How many of them were bad.
    errcnt
    /// How often the wander was too large.
    stbcnt
    /// TAI minus UTC, s.
    tai
}

/// `name=value` for each field that is not zero; bits in hexadecimal.
impl fmt::Display for RawTimex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut gap = "";
        for (name, value) in self.fields().into_iter().filter(|&(_, value)| value != 0) {
            match name {
                "modes" | "status" => write!(f, "{gap}{name}={value:#x}")?,
                _ => write!(f, "{gap}{name}={value}")?,
            }
            gap = " ";
        }
        Ok(())
    }
}

impl RawTimex {
    /// Of words `name=value`.
    ///
    /// # Errors
    /// If a word is none.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut timex = Self::NOTHING;
        for word in words {
            let (name, value) = word.split_once('=').with_context(|| word.to_owned())?;
            let field =
                timex.field_mut(name).with_context(|| format!("no field of timex: {word}"))?;
            *field = match value.strip_prefix("0x") {
                Some(bits) => i64::from_str_radix(bits, 16),
                None => value.parse(),
            }
            .with_context(|| word.to_owned())?;
        }
        Ok(timex)
    }
}

/// A request that asks for something more.
impl RawTimex {
    /// Sets the offset.
    #[must_use]
    pub fn offset(self, offset: i64) -> Self {
        Self { offset, ..self.with(Modes::OFFSET) }
    }

    /// Sets the frequency.
    #[must_use]
    pub fn freq(self, freq: i64) -> Self {
        Self { freq, ..self.with(Modes::FREQUENCY) }
    }

    /// Sets the maximum error.
    #[must_use]
    pub fn maxerror(self, maxerror: i64) -> Self {
        Self { maxerror, ..self.with(Modes::MAXERROR) }
    }

    /// Sets the estimated error.
    #[must_use]
    pub fn esterror(self, esterror: i64) -> Self {
        Self { esterror, ..self.with(Modes::ESTERROR) }
    }

    /// Sets the status bits.
    #[must_use]
    pub fn status(self, status: Status) -> Self {
        Self { status: status.bits().into(), ..self.with(Modes::STATUS) }
    }

    /// Sets the time constant.
    #[must_use]
    pub fn constant(self, constant: i64) -> Self {
        Self { constant, ..self.with(Modes::TIMECONST) }
    }

    /// Sets TAI minus UTC.
    #[must_use]
    pub fn tai(self, tai: i64) -> Self {
        Self { constant: tai, ..self.with(Modes::TAI) }
    }

    /// Sets the tick.
    #[must_use]
    pub fn tick(self, tick: i64) -> Self {
        Self { tick, ..self.with(Modes::TICK) }
    }

    /// Sets the resolution to nanoseconds.
    #[must_use]
    pub fn nano(self) -> Self {
        self.with(Modes::NANO)
    }

    /// Sets the resolution to microseconds.
    #[must_use]
    pub fn micro(self) -> Self {
        self.with(Modes::MICRO)
    }

    /// Steps the clock; `subsec` is in ns with [`nano`](Self::nano), else in us, not negative.
    #[must_use]
    pub fn step(self, sec: i64, subsec: i64) -> Self {
        Self { sec, subsec, ..self.with(Modes::SETOFFSET) }
    }

    /// Slews the clock, us.
    #[must_use]
    pub fn single_shot(self, offset: i64) -> Self {
        Self { offset, ..self.with(Modes::OFFSET_SINGLESHOT) }
    }

    /// Asks what remains of that.
    #[must_use]
    pub fn single_shot_left(self) -> Self {
        self.with(Modes::OFFSET_SS_READ)
    }

    fn with(self, mode: Modes) -> Self {
        Self { modes: self.modes | i64::from(mode.bits()), ..self }
    }
}
