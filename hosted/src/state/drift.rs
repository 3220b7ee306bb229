//! The drift file: the frequency at which the clock is right, in ppm as OpenNTPD has it, and behind
//! that its standard deviation, which chrony writes there too.

use truechimer_core::config::MAX_FREQUENCY;
use truechimer_core::holdover::{KnownFrequency, UNKNOWN_FREQUENCY};
use truechimer_core::units::FreqOffset;

/// Of a frequency without a deviation, another program's, ppm.
const OF_OTHERS: f64 = 5.0;

/// Why a text is none.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum DriftError {
    /// Of its first word.
    #[error("{0:?} is not a frequency: a number of ppm from -100000 to 100000 is allowed")]
    Frequency(String),
    /// Of its second.
    #[error("{0:?} is not a deviation: a number of ppm above 0 is allowed")]
    Deviation(String),
}

/// What it says.
///
/// # Errors
/// It is not in this format.
pub fn parse(text: &str) -> Result<KnownFrequency, DriftError> {
    let mut words = text.split_whitespace();
    let word = words.next().unwrap_or_default();
    let frequency = word.parse().ok().map(|ppm: f64| (ppm, ppm.abs() <= MAX_FREQUENCY.as_ppm()));
    let Some((frequency, true)) = frequency else {
        return Err(DriftError::Frequency(shown(word)));
    };
    let deviation = match words.next() {
        None => OF_OTHERS,
        Some(word) => match word.parse() {
            Ok(ppm) if ppm > 0.0 && f64::is_finite(ppm) => ppm,
            _ => return Err(DriftError::Deviation(shown(word))),
        },
    };
    Ok(KnownFrequency {
        frequency: FreqOffset::from_ppm_f64(frequency),
        deviation: (deviation / 1e6).min(UNKNOWN_FREQUENCY),
    })
}

/// As it is written.
#[must_use]
pub fn format(known: KnownFrequency) -> String {
    let KnownFrequency { frequency, deviation } = known;
    // No deviation is so small that it reads as none.
    format!("{:.6} {:.6}\n", frequency.as_ppm(), (deviation * 1e6).max(1e-6))
}

/// A damaged file may be long.
fn shown(word: &str) -> String {
    word.chars().take(24).collect()
}
