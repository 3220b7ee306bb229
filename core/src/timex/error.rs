//! Why a call was refused.

use core::fmt;

use super::Field;
use crate::units::{FreqOffset, Span};

/// Why `ntp_adjtime` did nothing. (`EFAULT` cannot arise; errors that only an operating system has
/// are its binding's.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Error {
    /// A value that is refused, not clamped (`EINVAL`).
    Invalid {
        /// What was to be set.
        field: Field,
        /// To what.
        value: Value,
        /// What it can be set to.
        allowed: &'static str,
    },
    /// The caller may not change this clock (`EPERM`).
    NotPermitted,
    /// This clock has no such field.
    Unsupported {
        /// What was to be set.
        field: Field,
    },
}

/// A value that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Value {
    /// A length of time.
    Span(Span),
    /// A rate.
    Frequency(FreqOffset),
    /// A plain number.
    Number(i64),
}

impl From<Span> for Value {
    fn from(span: Span) -> Self {
        Self::Span(span)
    }
}

impl From<FreqOffset> for Value {
    fn from(frequency: FreqOffset) -> Self {
        Self::Frequency(frequency)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl Error {
    /// `value` is none that `field` can be set to.
    pub fn invalid(field: Field, value: impl Into<Value>) -> Self {
        Self::Invalid { field, value: value.into(), allowed: field.allowed() }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Span(span) => write!(f, "{span:.9}s"),
            Self::Frequency(frequency) => write!(f, "{frequency}ppm"),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { field, value, allowed } => {
                write!(f, "{field} {value} is refused; allowed: {allowed}")
            }
            Self::NotPermitted => f.write_str(
                "not permitted: to change this clock takes the privilege to set the time",
            ),
            Self::Unsupported { field } => write!(f, "this clock has no {field}"),
        }
    }
}

impl core::error::Error for Error {}
