//! Numbers of a world's file that must lie in a range.

use serde::de::{Deserialize, Deserializer, Error, Unexpected};

fn number<'de, D: Deserializer<'de>>(
    deserializer: D,
    fits: impl Fn(f64) -> bool,
    expected: &str,
) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    if fits(value) {
        Ok(value)
    } else {
        Err(Error::invalid_value(Unexpected::Float(value), &expected))
    }
}

/// 0 or more, or infinite.
pub(super) fn not_negative<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    number(deserializer, |value| value >= 0.0, "a number of at least 0")
}

/// More than 0.
pub(super) fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    number(deserializer, |value| value > 0.0 && value.is_finite(), "a number greater than 0")
}

/// A probability.
pub(super) fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    number(deserializer, |value| (0.0..=1.0).contains(&value), "a number from 0 to 1")
}
