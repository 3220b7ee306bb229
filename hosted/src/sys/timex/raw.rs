//! `struct timex` as numbers, and what they mean.

use truechimer_core::timex::{
    ClockState, Constant, Error, Field, Pps, Request, Resolution, Settings, Status, Timex,
};
use truechimer_core::units::{FreqOffset, Span, WallTime};

use super::unit::{NANOS_PER_MICRO, micros_up, resolution, set_offset, unit};

/// Lengths of a tick that the kernel takes: 900,000/HZ to 1,100,000/HZ us, of which HZ is 100
/// wherever Rust has a Linux.
const TICKS: std::ops::RangeInclusive<i64> = 9_000..=11_000;
/// Every kernel clamps far below, and none refuses this as an overflow.
const FREQ_ROOM: i64 = i32::MAX as i64;

/// The fields of `struct timex` under their own names, each as wide as it is anywhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Raw {
    pub modes: u32,
    pub offset: i64,
    pub freq: i64,
    pub maxerror: i64,
    pub esterror: i64,
    pub status: i32,
    pub constant: i64,
    pub precision: i64,
    pub tolerance: i64,
    /// `time.tv_sec`.
    pub secs: i64,
    /// `time.tv_usec`.
    pub subsecs: i64,
    pub tick: i64,
    pub ppsfreq: i64,
    pub jitter: i64,
    pub shift: i32,
    pub stabil: i64,
    pub jitcnt: i64,
    pub calcnt: i64,
    pub errcnt: i64,
    pub stbcnt: i64,
    pub tai: i32,
}

/// What a system's `struct timex` has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// The greatest number of a field that is a C long.
    pub long: i64,
    /// And of `time.tv_sec`.
    pub secs: i64,
}

/// The greatest signed number of so many octets.
pub(super) const fn greatest(octets: usize) -> i64 {
    if octets < 8 { i32::MAX as i64 } else { i64::MAX }
}

impl Raw {
    /// What is handed over for a request, while the clock's books are kept in `present`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what the kernel would refuse, and for what does not fit the layout
    /// and is not clamped by the kernel.
    pub fn new(request: &Request, present: Resolution, layout: Layout) -> Result<Self, Error> {
        let raw = Self { modes: request.modes().bits().into(), ..Self::default() };
        match *request {
            Request::Set(settings) => raw.with(&settings, present, layout),
            Request::SingleShot(by) => {
                let offset = by.as_nanos() / NANOS_PER_MICRO;
                match layout.long_holds(offset) {
                    true => Ok(Self { offset, ..raw }),
                    false => Err(Error::invalid(Field::SingleShot, by)),
                }
            }
            Request::SingleShotRemaining => Ok(raw),
        }
    }

    fn with(mut self, set: &Settings, present: Resolution, layout: Layout) -> Result<Self, Error> {
        if let Some(by) = set.set_offset {
            (self.secs, self.subsecs) = set_offset(by, set.resolution);
            if !(-layout.secs..=layout.secs).contains(&self.secs) {
                return Err(Error::invalid(Field::SetOffset, by));
            }
        }
        if let Some(tick) = set.tick {
            self.tick = tick.as_nanos() / NANOS_PER_MICRO;
            if tick.as_nanos() % NANOS_PER_MICRO != 0 || !TICKS.contains(&self.tick) {
                return Err(Error::invalid(Field::Tick, tick));
            }
        }
        if let Some(status) = set.status {
            self.status = (status & Status::SETTABLE).bits().into();
        }
        if let Some(frequency) = set.frequency {
            self.freq = frequency.as_scaled_ppm().clamp(-FREQ_ROOM, FREQ_ROOM);
        }
        if let Some(error) = set.max_error {
            self.maxerror = layout.saturate(micros_up(error));
        }
        if let Some(error) = set.est_error {
            self.esterror = layout.saturate(micros_up(error));
        }
        match set.constant {
            Some(Constant::Time(constant)) => self.constant = constant.into(),
            Some(Constant::Tai(tai)) => self.constant = tai.into(),
            None => {}
        }
        if let Some(offset) = set.offset {
            let unit = unit(set.resolution.unwrap_or(present));
            self.offset = layout.saturate(offset.as_nanos() / unit);
        }
        Ok(self)
    }

    /// What the kernel has handed back for a request.
    pub fn decode(&self, request: &Request) -> Timex {
        let status = Status::from_bits_retain((self.status & 0xffff) as u16);
        let unit = unit(resolution(status));
        // A slew is in microseconds always.
        let offset_unit = if matches!(request, Request::Set(_)) { unit } else { NANOS_PER_MICRO };
        let count = |number: i64| number.max(0).unsigned_abs();
        let exponent = |number: i64| number.clamp(0, u8::MAX.into()) as u8;
        Timex {
            offset: Span::from_nanos(self.offset.saturating_mul(offset_unit)),
            freq: FreqOffset::from_scaled_ppm(self.freq),
            maxerror: Span::from_micros(self.maxerror),
            esterror: Span::from_micros(self.esterror),
            status,
            constant: exponent(self.constant),
            precision: Span::from_nanos(self.precision.saturating_mul(unit)),
            tolerance: FreqOffset::from_scaled_ppm(self.tolerance),
            time: WallTime::from_unix(self.secs, 0)
                + Span::from_nanos(self.subsecs.saturating_mul(unit)),
            tick: Span::from_micros(self.tick),
            pps: Pps {
                ppsfreq: FreqOffset::from_scaled_ppm(self.ppsfreq),
                jitter: Span::from_nanos(self.jitter.saturating_mul(unit)),
                shift: exponent(self.shift.into()),
                stabil: FreqOffset::from_scaled_ppm(self.stabil),
                jitcnt: count(self.jitcnt),
                calcnt: count(self.calcnt),
                errcnt: count(self.errcnt),
                stbcnt: count(self.stbcnt),
            },
            tai: self.tai,
        }
    }
}

impl Layout {
    fn saturate(self, number: i64) -> i64 {
        number.clamp(-self.long, self.long)
    }

    fn long_holds(self, number: i64) -> bool {
        self.saturate(number) == number
    }
}

/// The state that a call returned; what is none of them cannot be trusted either.
pub(super) fn state(returned: libc::c_int) -> ClockState {
    let known = usize::try_from(returned).ok().and_then(|place| ClockState::ALL.get(place));
    known.copied().unwrap_or(ClockState::Error)
}

#[cfg(test)]
mod tests;
