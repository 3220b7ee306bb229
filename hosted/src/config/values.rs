//! Numbers, and words in their place, each with the range that is allowed.

use std::fmt::Display;
use std::ops::RangeInclusive;

use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;

use super::error::Source;
use super::tables::Result;

pub(super) type Number<V> = Option<Spanned<Value<V>>>;

/// A value of the type that its key takes, or any other, so that one check names key and range
/// for both.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
pub(super) enum Value<V> {
    Right(V),
    /// An integer beyond an `i64`; serde passes on none beyond a `u64`.
    Large(#[expect(dead_code, reason = "its type says it all")] u64),
    Wrong(IgnoredAny),
}

pub(super) type WordOrNumber<V> = Option<Spanned<Worded<V>>>;

/// As [`Value`], or a word in its place.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Worded<V> {
    Word(String),
    Number(Value<V>),
}

/// The types of numbers in TOML.
pub(super) trait Numeric: Copy {
    const NAME: &str;
}

impl Numeric for i64 {
    const NAME: &str = "an integer";
}

impl Numeric for f64 {
    const NAME: &str = "a number";
}

impl Source {
    pub(super) fn in_range<V, T>(
        &self,
        key: &str,
        number: &Number<V>,
        allowed: RangeInclusive<T>,
    ) -> Result<Option<T>>
    where
        V: Numeric,
        T: TryFrom<V> + PartialOrd + Display,
    {
        let Some(number) = number else { return Ok(None) };
        let problem = match *number.get_ref() {
            Value::Right(value) => match T::try_from(value) {
                Ok(value) if allowed.contains(&value) => return Ok(Some(value)),
                _ => "out of range",
            },
            Value::Large(_) => "out of range",
            Value::Wrong(_) => &format!("not {}", V::NAME),
        };
        let (read, least, greatest) = (self.quote(number.span()), allowed.start(), allowed.end());
        Err(self.error(
            number.span(),
            format_args!("{key} = {read} is {problem}: {least} to {greatest} are allowed"),
        ))
    }

    pub(super) fn word_or_number<V, T>(
        &self,
        key: &str,
        given: &Spanned<Worded<V>>,
        words: &[(&str, T)],
        allowed: RangeInclusive<V>,
        convert: impl FnOnce(V) -> T,
    ) -> Result<T>
    where
        V: Numeric + PartialOrd + Display,
        T: Copy,
    {
        let known = match given.get_ref() {
            Worded::Word(word) => {
                words.iter().find(|(known, _)| known == word).map(|known| known.1)
            }
            &Worded::Number(Value::Right(number)) if allowed.contains(&number) => {
                return Ok(convert(number));
            }
            Worded::Number(_) => None,
        };
        let words: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        let (read, words) = (self.quote(given.span()), words.join(", "));
        known.ok_or_else(|| {
            self.error(
                given.span(),
                format_args!(
                    "{key} = {read} is unknown: {words} and {} from {} to {} are allowed",
                    V::NAME,
                    allowed.start(),
                    allowed.end()
                ),
            )
        })
    }
}
