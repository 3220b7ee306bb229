//! Requests in words: `freq=-12.5ppm`, `tick=10000`, `status=+INS`.

use core::fmt;
use core::ops::RangeInclusive;

use super::{Constant, Field, Request, Resolution, Settings, Status};
use crate::units::{FreqOffset, Span};

/// Why a request in words was not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseError<'a> {
    /// Nothing that can be set has this name.
    Field(&'a str),
    /// What the field cannot be set to.
    Value {
        /// The field.
        field: Field,
        /// What was read.
        value: &'a str,
    },
    /// What cannot be set in the same call as something before it, or was set before.
    Conflict(Field),
}

impl fmt::Display for ParseError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => {
                write!(f, "nothing to set is called {name:?}; there are")?;
                let settable = Field::ALL.iter().filter(|field| field.is_settable());
                settable.into_iter().try_for_each(|field| write!(f, " {field}"))
            }
            Self::Value { field, value } => {
                write!(f, "{field} cannot be {value:?}; allowed: {}", field.allowed())
            }
            Self::Conflict(field) => {
                write!(f, "{field} cannot be set together with what stands before it")
            }
        }
    }
}

impl core::error::Error for ParseError<'_> {}

impl Request {
    /// This request, with one thing more to set. `status` are the bits as they are now, to which
    /// signed ones (`+INS`) are relative.
    ///
    /// # Errors
    /// The first thing that is wrong with it. Values that the clock clamps (`offset`, `freq`) are
    /// not wrong.
    pub fn with<'a>(
        self,
        name: &'a str,
        value: &'a str,
        status: Status,
    ) -> Result<Self, ParseError<'a>> {
        let field = name.parse::<Field>().ok().filter(|field| field.is_settable());
        let field = field.ok_or(ParseError::Field(name))?;
        let wrong = ParseError::Value { field, value };
        let Self::Set(mut set) = self else { return Err(ParseError::Conflict(field)) };
        let fresh = match field {
            Field::SingleShot => {
                let by = time(value, "").ok_or(wrong)?;
                return match set {
                    Settings::NONE => Ok(Self::SingleShot(by)),
                    _ => Err(ParseError::Conflict(field)),
                };
            }
            Field::Offset => set.offset.replace(time(value, "").ok_or(wrong)?).is_none(),
            Field::SetOffset => set.set_offset.replace(time(value, "").ok_or(wrong)?).is_none(),
            Field::Freq => set.frequency.replace(rate(value).ok_or(wrong)?).is_none(),
            Field::MaxError => {
                let error = within(time(value, "us"), Span::ZERO..=MAX_ERROR).ok_or(wrong)?;
                set.max_error.replace(error).is_none()
            }
            Field::EstError => {
                let error = within(time(value, "us"), Span::ZERO..=MAX_ERROR).ok_or(wrong)?;
                set.est_error.replace(error).is_none()
            }
            Field::Status => set.status.replace(bits(value, status).ok_or(wrong)?).is_none(),
            Field::Constant => {
                let constant = within(value.parse().ok(), 0..=10).ok_or(wrong)?;
                set.constant.replace(Constant::Time(constant)).is_none()
            }
            Field::Tai => {
                let tai = value.strip_suffix('s').unwrap_or(value);
                let tai = within(tai.parse().ok(), 0..=100_000).ok_or(wrong)?;
                set.constant.replace(Constant::Tai(tai)).is_none()
            }
            Field::Tick => {
                let tick = within(time(value, "us"), TICKS)
                    .filter(|tick| is_whole_micros(*tick))
                    .ok_or(wrong)?;
                set.tick.replace(tick).is_none()
            }
            Field::Resolution => {
                let resolution = match value {
                    "micro" => Resolution::Micro,
                    "nano" => Resolution::Nano,
                    _ => return Err(wrong),
                };
                set.resolution.replace(resolution).is_none()
            }
            _ => return Err(ParseError::Field(name)),
        };
        if fresh { Ok(Self::Set(set)) } else { Err(ParseError::Conflict(field)) }
    }
}

const MAX_ERROR: Span = Span::from_secs(16);
const TICKS: RangeInclusive<Span> = Span::from_micros(9_000)..=Span::from_micros(11_000);

fn is_whole_micros(span: Span) -> bool {
    span.as_nanos() % 1_000 == 0
}

fn within<T: PartialOrd>(value: Option<T>, range: RangeInclusive<T>) -> Option<T> {
    value.filter(|value| range.contains(value))
}

/// A number and its unit, which is `default` if there is none.
fn quantity<'a>(value: &'a str, default: &'a str) -> Option<(f64, &'a str)> {
    let end = value.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(value.len());
    let (number, unit) = value.split_at_checked(end)?;
    let number = number.trim_end().parse().ok()?;
    Some((number, if unit.is_empty() { default } else { unit }))
}

fn time(value: &str, default: &str) -> Option<Span> {
    let (number, unit) = quantity(value, default)?;
    let per_second = match unit {
        "s" => 1.0,
        "ms" => 1e3,
        "us" => 1e6,
        "ns" => 1e9,
        _ => return None,
    };
    Some(Span::from_secs_f64(number / per_second))
}

fn rate(value: &str) -> Option<FreqOffset> {
    match quantity(value, "ppm")? {
        (number, "ppm") => Some(FreqOffset::from_ppm_f64(number)),
        (number, "ppb") => Some(FreqOffset::from_ppm_f64(number / 1e3)),
        _ => None,
    }
}

/// Names that replace the settable bits, or changes of them that each have a sign.
fn bits(value: &str, present: Status) -> Option<Status> {
    let bit = |name| Status::by_name(name).filter(|bit| Status::SETTABLE.contains(*bit));
    if !value.starts_with(['+', '-']) {
        let names = value.split(',').filter(|name| !name.is_empty());
        return names.map(bit).try_fold(Status::empty(), |all, bit| Some(all | bit?));
    }
    value.split(',').try_fold(present & Status::SETTABLE, |all, change| {
        let (sign, name) = change.split_at_checked(1)?;
        match sign {
            "+" => Some(all | bit(name)?),
            "-" => Some(all - bit(name)?),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    fn request(words: &[(&'static str, &'static str)]) -> Result<Request, ParseError<'static>> {
        let status = Status::PLL | Status::DEL | Status::NANO;
        words.iter().try_fold(Request::READ, |all, (name, value)| all.with(name, value, status))
    }

    #[test]
    fn words_become_a_request() {
        let words = [
            ("freq", "-12.5ppm"),
            ("tick", "10000"),
            ("status", "+INS,-sta_del"),
            ("offset", "-1.5ms"),
            ("maxerror", "500"),
            ("esterror", "0.25ms"),
            ("tai", "37s"),
            ("setoffset", "2s"),
            ("resolution", "nano"),
        ];
        let expected = Request::Set(Settings {
            set_offset: Some(Span::from_secs(2)),
            status: Some(Status::PLL | Status::INS),
            resolution: Some(Resolution::Nano),
            frequency: Some(FreqOffset::from_ppm_f64(-12.5)),
            max_error: Some(Span::from_micros(500)),
            est_error: Some(Span::from_micros(250)),
            constant: Some(Constant::Tai(37)),
            offset: Some(Span::from_micros(-1_500)),
            tick: Some(Span::from_millis(10)),
        });
        assert_eq!(request(&words), Ok(expected));
        let slew = Request::SingleShot(Span::from_nanos(-20_000));
        assert_eq!(request(&[("singleshot", "-20 us")]), Ok(slew));
        let replaced = Settings { status: Some(Status::PLL | Status::FLL), ..Settings::NONE };
        assert_eq!(request(&[("status", "PLL,STA_FLL")]), Ok(Request::Set(replaced)));
        let cleared = Settings { status: Some(Status::empty()), ..Settings::NONE };
        assert_eq!(request(&[("status", "")]), Ok(Request::Set(cleared)));
    }

    #[test]
    fn nonsense_is_named() {
        for (field, value) in [
            (Field::Freq, "12 Hz"),
            (Field::Freq, "NaN"),
            (Field::Offset, "5"),
            (Field::Offset, "1.5.2ms"),
            (Field::Tick, "8999"),
            (Field::Tick, "11001us"),
            (Field::Tick, "10000.5"),
            (Field::MaxError, "-1us"),
            (Field::MaxError, "16.1s"),
            (Field::Constant, "11"),
            (Field::Tai, "-1"),
            (Field::Status, "NANO"),
            (Field::Status, "+INS,DEL"),
            (Field::Status, "+"),
            (Field::Resolution, "milli"),
        ] {
            let wrong = ParseError::Value { field, value };
            let read = Request::READ.with(field.name(), value, Status::empty());
            assert_eq!(read, Err(wrong), "{field}={value}");
            let text = wrong.to_string();
            assert!(text.contains(field.name()) && text.contains(value), "{text}");
            assert!(text.ends_with(field.allowed()), "{text}");
        }
        assert_eq!(request(&[("jitter", "1us")]), Err(ParseError::Field("jitter")));
        let text = ParseError::Field("frq").to_string();
        assert!(text.contains("\"frq\"") && text.contains(" freq ") && !text.contains("jitter"));
    }

    #[test]
    fn conflicts_are_refused() {
        for words in [
            [("tai", "37"), ("constant", "6")],
            [("freq", "1ppm"), ("freq", "2ppm")],
            [("freq", "1ppm"), ("singleshot", "2ms")],
            [("singleshot", "2ms"), ("tick", "10000")],
        ] {
            let field = words[1].0.parse().expect("a field");
            assert_eq!(request(&words), Err(ParseError::Conflict(field)));
        }
    }

    proptest! {
        #[test]
        fn no_words_panic(field in 0..Field::ALL.len(), value in ".{0,40}", bits: u16) {
            let name = Field::ALL[field].name();
            let _ = Request::READ.with(name, &value, Status::from_bits_retain(bits));
        }
    }
}
