//! `chimectl kernel`: the kernel's clock, read and set without a daemon.

use std::fmt::{Display, Write};

use anstyle::AnsiColor;
use serde_json::{Map, Value, json};
use truechimer_core::timex::{Error, Field, ParseError, Reply, Request};
use truechimer_core::units::Span;

use crate::sys::timex::{Clamped, TimexError, clamped, has, ntp_adjtime};

/// Why the clock was not set.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The words are no request.
    #[error("{0}")]
    Words(String),
    /// The kernel does not do it.
    #[error("{0}{hint}", hint = hint(.0))]
    Clock(TimexError),
}

impl From<TimexError> for KernelError {
    fn from(error: TimexError) -> Self {
        Self::Clock(error)
    }
}

fn hint(error: &TimexError) -> &'static str {
    match error {
        TimexError::Refused(Error::NotPermitted) if cfg!(target_os = "linux") => {
            "; run as root or with CAP_SYS_TIME"
        }
        TimexError::Refused(Error::NotPermitted) => "; run as root",
        _ => "",
    }
}

impl From<ParseError<'_>> for KernelError {
    fn from(error: ParseError<'_>) -> Self {
        Self::Words(error.to_string())
    }
}

/// The kernel's clock as it is, and what it did otherwise than asked.
#[derive(Debug, Clone)]
pub struct Kernel {
    reply: Reply,
    singleshot: Span,
    clamped: Option<Vec<Clamped>>,
}

impl Kernel {
    /// Reads it. Needs no privilege.
    ///
    /// # Errors
    /// The kernel's.
    pub fn read() -> Result<Self, KernelError> {
        let singleshot = ntp_adjtime(&Request::SingleShotRemaining)?.timex.offset;
        Ok(Self { reply: ntp_adjtime(&Request::READ)?, singleshot, clamped: None })
    }

    /// Sets it, in one call, to what pairs of names and values say.
    ///
    /// # Errors
    /// [`KernelError::Words`] for a name or a value that is none, the kernel's otherwise.
    pub fn set(words: &[(String, String)]) -> Result<Self, KernelError> {
        let status = ntp_adjtime(&Request::READ)?.timex.status;
        let request = words
            .iter()
            .try_fold(Request::READ, |request, (name, value)| request.with(name, value, status))?;
        let reply = ntp_adjtime(&request)?;
        Ok(Self { clamped: Some(clamped(&request, &reply).collect()), ..Self::read()? })
    }

    /// As a table, with the state last, and then what was clamped.
    #[must_use]
    pub fn table(&self) -> String {
        let Reply { state, timex } = self.reply;
        let mut text = String::new();
        let mut row = |name: &dyn Display, value: &dyn Display| {
            // A string takes whatever is written.
            let _ = writeln!(text, "{name:>11}: {value}");
        };
        for &field in Field::ALL.iter().filter(|field| has(**field)) {
            match field {
                Field::SetOffset => {}
                Field::SingleShot => row(&field, &micros(self.singleshot)),
                _ => row(&field, &timex.value(field)),
            }
        }
        if has(Field::Status) {
            row(&"state", &format_args!("{state} ({})", state.meaning()));
        }
        let warning = AnsiColor::Yellow.on_default();
        for clamped in self.clamped.iter().flatten() {
            row(&"clamped", &format_args!("{warning}{clamped}{warning:#}"));
        }
        text
    }

    /// As JSON. Keys are the names of `struct timex` with their unit, beside `state` and, of what
    /// was set, `clamped`; what this system's clock lacks is left out.
    #[must_use]
    pub fn json(&self) -> String {
        let fields = Field::ALL.iter().filter(|field| has(**field));
        let mut object: Map<_, _> = fields.filter_map(|field| self.entry(*field)).collect();
        if has(Field::Status) {
            object.insert("state".into(), self.reply.state.to_string().into());
        }
        if let Some(clamped) = &self.clamped {
            let clamped = clamped.iter().map(|clamped| {
                json!({
                    "field": clamped.field.name(),
                    "asked": clamped.asked().to_string(),
                    "got": clamped.got().to_string(),
                })
            });
            object.insert("clamped".into(), clamped.collect());
        }
        format!("{:#}\n", Value::Object(object))
    }

    fn entry(&self, field: Field) -> Option<(String, Value)> {
        let timex = self.reply.timex;
        let pps = timex.pps;
        let micros = |span: Span| json!(span.as_nanos() / 1_000);
        let (unit, value) = match field {
            Field::Offset => ("_ns", json!(timex.offset.as_nanos())),
            Field::Freq => ("_ppm", json!(timex.freq.as_ppm())),
            Field::MaxError => ("_us", micros(timex.maxerror)),
            Field::EstError => ("_us", micros(timex.esterror)),
            Field::Status => ("", timex.status.iter_names().map(|(name, _)| name).collect()),
            Field::Constant => ("_log2_s", json!(timex.constant)),
            Field::Precision => ("_ns", json!(timex.precision.as_nanos())),
            Field::Tolerance => ("_ppm", json!(timex.tolerance.as_ppm())),
            Field::Time => ("", format!("{:.9}Z", timex.time).replace(' ', "T").into()),
            Field::Tick => ("_us", micros(timex.tick)),
            Field::PpsFreq => ("_ppm", json!(pps.ppsfreq.as_ppm())),
            Field::Jitter => ("_ns", json!(pps.jitter.as_nanos())),
            Field::Shift => ("_log2_s", json!(pps.shift)),
            Field::Stabil => ("_ppm", json!(pps.stabil.as_ppm())),
            Field::JitCnt => ("", json!(pps.jitcnt)),
            Field::CalCnt => ("", json!(pps.calcnt)),
            Field::ErrCnt => ("", json!(pps.errcnt)),
            Field::StbCnt => ("", json!(pps.stbcnt)),
            Field::Tai => ("_s", json!(timex.tai)),
            Field::Resolution => ("", timex.value(field).to_string().into()),
            Field::SingleShot => ("_us", micros(self.singleshot)),
            _ => return None,
        };
        Some((format!("{field}{unit}"), value))
    }
}

/// As the core writes a time of `struct timex`.
fn micros(span: Span) -> String {
    format!("{:.3} us", span.as_nanos() as f64 / 1e3)
}

/// What there is to set and to read, for those who ask for help.
#[must_use]
pub fn help() -> String {
    let mut text = "What can be set:\n".to_owned();
    for field in Field::ALL.iter().filter(|field| field.is_settable()) {
        // A string takes whatever is written.
        let _ = writeln!(text, "  {field:<12}{}", field.allowed());
    }
    text
}
