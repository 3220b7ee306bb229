//! The floor file: the last time that was known to be right, in seconds since 1970 and, for who reads
//! it, as a date.

use truechimer_core::units::WallTime;

use super::LATEST;

/// Why a text is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time: a number of seconds since 1970 from 0 to {latest} is allowed", latest = LATEST.unix_secs())]
pub struct FloorError(String);

/// What it says.
///
/// # Errors
/// It is not in this format.
pub fn parse(text: &str) -> Result<WallTime, FloorError> {
    let word = text.split_whitespace().next().unwrap_or_default();
    let secs = word.parse().ok().filter(|secs| (0..=LATEST.unix_secs()).contains(secs));
    let secs = secs.ok_or_else(|| FloorError(word.chars().take(24).collect()))?;
    Ok(WallTime::from_unix(secs, 0))
}

/// As it is written.
#[must_use]
pub fn format(floor: WallTime) -> String {
    format!("{} {floor}\n", floor.unix_secs())
}
