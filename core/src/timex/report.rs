//! What a call answers.

use core::fmt;

use super::{ClockState, Field, Status};
use crate::units::{FreqOffset, Span, WallTime};

/// All fields of `struct timex` after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Timex {
    /// The phase offset still to be corrected; after a single-shot request what remained of the
    /// slew before it. Whole microseconds while [`Status::NANO`] is clear, as all times here.
    pub offset: Span,
    /// The frequency offset, to 2^-16 ppm.
    pub freq: FreqOffset,
    /// The maximum error, to the microsecond.
    pub maxerror: Span,
    /// The estimated error, to the microsecond.
    pub esterror: Span,
    /// The status bits.
    pub status: Status,
    /// The time constant of the phase-locked loop, log2 s.
    pub constant: u8,
    /// The precision.
    pub precision: Span,
    /// The greatest frequency offset.
    pub tolerance: FreqOffset,
    /// The clock's reading.
    pub time: WallTime,
    /// The length of a tick, to the microsecond; zero where there is none.
    pub tick: Span,
    /// The pulse per second; all zeros where there is no such discipline.
    pub pps: Pps,
    /// TAI minus UTC, seconds.
    pub tai: i32,
}

/// What the discipline by a pulse per second has found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Pps {
    /// The frequency by the pulses, to 2^-16 ppm.
    pub ppsfreq: FreqOffset,
    /// The jitter of the pulses.
    pub jitter: Span,
    /// The length of a calibration interval, log2 s.
    pub shift: u8,
    /// The mean change of the frequency between intervals, to 2^-16 ppm.
    pub stabil: FreqOffset,
    /// Pulses with too much jitter.
    pub jitcnt: u64,
    /// Calibration intervals.
    pub calcnt: u64,
    /// Calibration intervals of the wrong length.
    pub errcnt: u64,
    /// Calibration intervals after which the frequency had changed too much.
    pub stbcnt: u64,
}

/// What `ntp_adjtime` returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Reply {
    /// The clock's state.
    pub state: ClockState,
    /// All fields.
    pub timex: Timex,
}

/// What `ntp_gettime` returns (`struct ntptimeval`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NtpTime {
    /// The clock's state.
    pub state: ClockState,
    /// The clock's reading.
    pub time: WallTime,
    /// The maximum error, to the microsecond.
    pub maxerror: Span,
    /// The estimated error, to the microsecond.
    pub esterror: Span,
    /// TAI minus UTC, seconds.
    pub tai: i32,
}

impl From<Reply> for NtpTime {
    fn from(Reply { state, timex }: Reply) -> Self {
        let Timex { time, maxerror, esterror, tai, .. } = timex;
        Self { state, time, maxerror, esterror, tai }
    }
}

impl Timex {
    /// The value of a field, decoded and with its unit. What is only set (`setoffset`,
    /// `singleshot`) has none and is empty.
    #[must_use]
    pub const fn value(&self, field: Field) -> impl fmt::Display + use<> {
        FieldValue { timex: *self, field }
    }
}

struct FieldValue {
    timex: Timex,
    field: Field,
}

impl fmt::Display for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Timex { pps, status, .. } = self.timex;
        match self.field {
            Field::Offset => micros(f, self.timex.offset),
            Field::Freq => write!(f, "{:.6} ppm", self.timex.freq),
            Field::MaxError => micros(f, self.timex.maxerror),
            Field::EstError => micros(f, self.timex.esterror),
            Field::Status => write!(f, "{:#06x} ({status})", status.bits()),
            Field::Constant => write!(f, "{} (log2 s)", self.timex.constant),
            Field::Precision => micros(f, self.timex.precision),
            Field::Tolerance => write!(f, "{:.0} ppm", self.timex.tolerance),
            Field::Time => {
                let digits = if status.contains(Status::NANO) { 9 } else { 6 };
                write!(f, "{:.digits$} UTC", self.timex.time)
            }
            Field::Tick => micros(f, self.timex.tick),
            Field::PpsFreq => write!(f, "{:.6} ppm", pps.ppsfreq),
            Field::Jitter => micros(f, pps.jitter),
            Field::Shift => write!(f, "{} (log2 s)", pps.shift),
            Field::Stabil => write!(f, "{:.6} ppm", pps.stabil),
            Field::JitCnt => write!(f, "{}", pps.jitcnt),
            Field::CalCnt => write!(f, "{}", pps.calcnt),
            Field::ErrCnt => write!(f, "{}", pps.errcnt),
            Field::StbCnt => write!(f, "{}", pps.stbcnt),
            Field::Tai => write!(f, "{} s", self.timex.tai),
            Field::Resolution => {
                f.write_str(if status.contains(Status::NANO) { "nano" } else { "micro" })
            }
            Field::SetOffset | Field::SingleShot => Ok(()),
        }
    }
}

/// Microseconds, with the nanoseconds behind the point.
fn micros(f: &mut fmt::Formatter<'_>, span: Span) -> fmt::Result {
    let (sign, nanos) = (if span.is_negative() { "-" } else { "" }, span.as_nanos().unsigned_abs());
    write!(f, "{sign}{}.{:03} us", nanos / 1_000, nanos % 1_000)
}

/// A line for each field, as `adjtimex --print` has them.
impl fmt::Display for Timex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let readable = Field::ALL
            .iter()
            .copied()
            .filter(|field| !matches!(field, Field::SetOffset | Field::SingleShot));
        for (place, field) in readable.enumerate() {
            if place > 0 {
                writeln!(f)?;
            }
            write!(f, "{field:>11}: {}", self.value(field))?;
        }
        Ok(())
    }
}

/// The fields, and a last line with the state, as `adjtimex --print` has it.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n      state: {} ({})", self.timex, self.state, self.state.meaning())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn every_field_is_decoded() {
        let timex = Timex {
            offset: Span::from_nanos(-1_500),
            freq: FreqOffset::from_ppm_f64(-12.5),
            maxerror: Span::from_micros(16_000_000),
            esterror: Span::from_micros(7),
            status: Status::PLL | Status::UNSYNC | Status::NANO,
            constant: 6,
            precision: Span::from_nanos(1),
            tolerance: FreqOffset::from_ppm(500),
            time: WallTime::from_unix(1_790_000_000, 5),
            tick: Span::from_millis(10),
            pps: Pps { shift: 2, jitcnt: 3, ..Pps::default() },
            tai: 37,
        };
        let expected = "     \
     offset: -1.500 us
       freq: -12.500000 ppm
   maxerror: 16000000.000 us
   esterror: 7.000 us
     status: 0x2041 (PLL,UNSYNC,NANO)
   constant: 6 (log2 s)
  precision: 0.001 us
  tolerance: 500 ppm
       time: 2026-09-21 14:13:20.000000005 UTC
       tick: 10000.000 us
    ppsfreq: 0.000000 ppm
     jitter: 0.000 us
      shift: 2 (log2 s)
     stabil: 0.000000 ppm
     jitcnt: 3
     calcnt: 0
     errcnt: 0
     stbcnt: 0
        tai: 37 s
 resolution: nano
      state: TIME_ERROR (clock not synchronised)";
        assert_eq!(format!("{}", Reply { state: ClockState::Error, timex }), expected);
    }
}
