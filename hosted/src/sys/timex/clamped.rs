//! What the kernel did otherwise than asked.

use std::fmt;

use truechimer_core::timex::{
    Constant, Field, Reply, Request, Resolution, Settings, Status, Timex,
};
use truechimer_core::units::{FreqOffset, Span};

use super::unit::{micros_up, resolution, unit};

/// Added to a time constant while the resolution is a microsecond; by Linux alone.
const ADDED_TO_CONSTANT: u8 = if cfg!(target_os = "linux") { 4 } else { 0 };
/// Kernels keep a frequency in units of their own, and lose two of ours at most on the way back.
const FREQ_ROUNDING: FreqOffset = FreqOffset::from_scaled_ppm(2);

/// A field that the kernel clamped, or ignored. `Display` says both values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clamped {
    /// Which.
    pub field: Field,
    asked: Timex,
    got: Timex,
}

impl Clamped {
    /// What was asked for.
    #[must_use]
    pub const fn asked(&self) -> impl fmt::Display + use<> {
        self.asked.value(self.field)
    }

    /// What the clock has instead.
    #[must_use]
    pub const fn got(&self) -> impl fmt::Display + use<> {
        self.got.value(self.field)
    }
}

impl fmt::Display for Clamped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: asked for {}, got {}", self.field, self.asked(), self.got())
    }
}

/// The fields that differ in the reply from what was asked for, in the order of `struct timex`;
/// rounding is no difference. Of a step and of a slew the reply tells nothing.
pub fn clamped(request: &Request, reply: &Reply) -> impl Iterator<Item = Clamped> + use<> {
    let got = reply.timex;
    let asked = match request {
        Request::Set(settings) => expected(settings, got),
        Request::SingleShot(_) | Request::SingleShotRemaining => got,
    };
    let differs = move |field: &Field| match field {
        Field::Offset => {
            (asked.offset - got.offset).abs().as_nanos() > unit(resolution(got.status))
        }
        Field::Freq => (asked.freq - got.freq).abs() > FREQ_ROUNDING,
        Field::MaxError => asked.maxerror != got.maxerror,
        Field::EstError => asked.esterror != got.esterror,
        Field::Status => (asked.status ^ got.status).intersects(Status::SETTABLE),
        Field::Constant => asked.constant != got.constant,
        Field::Tick => asked.tick != got.tick,
        Field::Tai => asked.tai != got.tai,
        Field::Resolution => (asked.status ^ got.status).contains(Status::NANO),
        _ => false,
    };
    let fields = Field::ALL.iter().copied().filter(differs);
    fields.map(move |field| Clamped { field, asked, got })
}

/// `got`, had it all been done.
fn expected(set: &Settings, got: Timex) -> Timex {
    let mut asked = got;
    let micros = |span| Span::from_micros(micros_up(span));
    asked.freq = set.frequency.unwrap_or(asked.freq);
    asked.maxerror = set.max_error.map_or(asked.maxerror, micros);
    asked.esterror = set.est_error.map_or(asked.esterror, micros);
    if let Some(offset) = set.offset {
        let unit = unit(resolution(got.status));
        asked.offset = Span::from_nanos(offset.as_nanos() / unit * unit);
    }
    asked.tick = set.tick.unwrap_or(asked.tick);
    if let Some(status) = set.status {
        asked.status = (status & Status::SETTABLE) | (got.status & Status::READ_ONLY);
    }
    if let Some(resolution) = set.resolution {
        asked.status.set(Status::NANO, resolution == Resolution::Nano);
    }
    match set.constant {
        Some(Constant::Time(constant)) if got.status.contains(Status::NANO) => {
            asked.constant = constant;
        }
        Some(Constant::Time(constant)) => {
            asked.constant = constant.saturating_add(ADDED_TO_CONSTANT);
        }
        Some(Constant::Tai(tai)) => asked.tai = tai,
        None => {}
    }
    asked
}
