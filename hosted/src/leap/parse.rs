//! The file's format: `#@` and when it expires, `#$` and when it was changed, a line for each leap
//! second with the moment after it and TAI − UTC from then on, and `#h` with the SHA-1 of all these
//! numbers. Times are in seconds since 1900. Other lines that begin with `#` are for people.

use std::str::FromStr;

use sha1::{Digest, Sha1};

use super::List;

/// From 1900 to 1970, s.
const NTP_TO_UNIX: i64 = 2_208_988_800;
/// The words of a hash, each of at most eight hexadecimal digits.
const WORDS: usize = 5;

/// Why a text is no list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// A line of numbers has others.
    #[error(
        "line {0}: {1:?} is not a leap second: seconds since 1900 and TAI - UTC, whole numbers, are allowed"
    )]
    Line(usize, String),
    /// A time is none.
    #[error("line {0}: {1:?} is not a time: a whole number of seconds since 1900 is allowed")]
    Time(usize, String),
    /// It is earlier than the one before.
    #[error("line {0}: {1} is no later than the line before: only later times are allowed")]
    Order(usize, i64),
    /// A leap second is one.
    #[error("line {0}: TAI - UTC goes from {1} to {2}: 1 more or 1 less is allowed")]
    Leap(usize, i32, i32),
    /// A hash is none.
    #[error("line {0}: {1:?} is not a SHA-1 hash: five words of hexadecimal digits are allowed")]
    Hash(usize, String),
    /// It does not say something.
    #[error("it has no line `{0}`")]
    Missing(&'static str),
    /// It is not as it was published.
    #[error("it is damaged: the SHA-1 hash of its numbers is {found}, by its line `#h` {expected}")]
    Damaged {
        /// By its numbers.
        found: String,
        /// By itself.
        expected: String,
    },
}

impl FromStr for List {
    type Err = ListError;

    fn from_str(text: &str) -> Result<Self, ListError> {
        let mut hash = Sha1::new();
        let (mut expected, mut expires) = (None, None);
        let mut offsets: Vec<(i64, i32)> = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            if let Some(words) = line.strip_prefix("#h") {
                expected = Some(digest(number, words)?);
            } else if let Some(word) = line.strip_prefix("#@") {
                expires = Some(time(number, word)?);
                hash.update(word.trim());
            } else if let Some(word) = line.strip_prefix("#$") {
                hash.update(word.trim());
            } else {
                let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
                let Some(word) = words.next() else { continue };
                let wrong = || ListError::Line(number, shown(line));
                let (from, Some(other), None) = (time(number, word)?, words.next(), words.next())
                else {
                    return Err(wrong());
                };
                let tai: i32 = other.parse().map_err(|_| wrong())?;
                if let Some(&(before, was)) = offsets.last() {
                    if from <= before {
                        return Err(ListError::Order(number, from + NTP_TO_UNIX));
                    }
                    if i64::from(tai).abs_diff(was.into()) != 1 {
                        return Err(ListError::Leap(number, was, tai));
                    }
                }
                offsets.push((from, tai));
                hash.update(word);
                hash.update(other);
            }
        }
        let expires = expires.ok_or(ListError::Missing("#@"))?;
        let expected = expected.ok_or(ListError::Missing("#h"))?;
        let found: String = hash.finalize().iter().map(|octet| format!("{octet:02x}")).collect();
        if found != expected {
            return Err(ListError::Damaged { found, expected });
        }
        Ok(Self { offsets, expires })
    }
}

/// Since 1970.
fn time(line: usize, word: &str) -> Result<i64, ListError> {
    let word = word.trim();
    let secs = word.parse().ok().filter(|secs: &i64| *secs >= 0);
    secs.map(|secs| secs - NTP_TO_UNIX).ok_or_else(|| ListError::Time(line, shown(word)))
}

/// Leading zeros of words are left out by some who publish it.
fn digest(line: usize, words: &str) -> Result<String, ListError> {
    let parsed: Result<Vec<u32>, _> =
        words.split_whitespace().map(|word| u32::from_str_radix(word, 16)).collect();
    match parsed {
        Ok(parsed) if parsed.len() == WORDS => {
            Ok(parsed.iter().map(|word| format!("{word:08x}")).collect())
        }
        _ => Err(ListError::Hash(line, shown(words.trim()))),
    }
}

/// A damaged file may have long lines.
fn shown(text: &str) -> String {
    text.chars().take(48).collect()
}
