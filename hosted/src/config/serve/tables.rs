//! `[serve]` as serde reads it, and the checks that make a [`Serve`] of it.

use std::fmt;
use std::num::NonZero;
use std::ops::RangeInclusive;
use std::thread::available_parallelism;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;
use truechimer_core::config::MAX_STRATUM;
use truechimer_core::server::{Beyond, Config as Policy, Orphan, Prefix, RateLimit, Shape, Smear};
use truechimer_core::units::Span;

use super::{DEFAULT_ORPHAN_WAIT, MAX_RULES, MAX_WORKERS, Serve};
use crate::config::ConfigError;
use crate::config::error::Source;
use crate::config::values::{Number, WordOrNumber, Worded};

const CLIENTS: RangeInclusive<u32> = 64..=1 << 24;
/// Kisses and leaks; 0 for none.
const ONE_IN: RangeInclusive<u32> = 0..=1_000_000;
/// Seconds.
const MAX_ERROR: RangeInclusive<f64> = 1e-6..=1_000.0;
const RATE_INTERVAL: RangeInclusive<f64> = 1e-6..=1_000_000.0;
const ORPHAN_WAIT: RangeInclusive<f64> = 0.0..=1e6;
/// Two weeks are the least that is between leap seconds.
const SMEAR_WINDOW: RangeInclusive<f64> = 4.0..=1_209_600.0;
const BURST: RangeInclusive<u32> = 1..=1_000_000;
const BITS_V4: RangeInclusive<u8> = 8..=32;
const BITS_V6: RangeInclusive<u8> = 16..=128;

/// Linux' IFNAMSIZ without the final zero.
const MAX_INTERFACE: usize = 15;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(in crate::config) struct ServeTable {
    workers: WordOrNumber<i64>,
    #[serde(default)]
    xdp: Vec<Spanned<String>>,
    #[serde(default)]
    allow: Vec<Spanned<String>>,
    #[serde(default)]
    deny: Vec<Spanned<String>>,
    #[serde(default)]
    monitoring: Vec<Spanned<String>>,
    clients: Number<i64>,
    interleaved: Option<bool>,
    rate: Option<Spanned<Rate>>,
    kiss_one_in: Number<i64>,
    max_error: Number<f64>,
    beyond: Option<Spanned<String>>,
    orphan: Number<i64>,
    orphan_wait: Number<f64>,
    smear: Option<SmearTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct RateTable {
    interval: Number<f64>,
    burst: Number<i64>,
    leak_one_in: Number<i64>,
    ipv4_bits: Number<i64>,
    ipv6_bits: Number<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct SmearTable {
    kind: Option<Spanned<String>>,
    window: Number<f64>,
}

/// A table or a word in its place, with the errors of either.
enum Rate {
    Word(String),
    Table(RateTable),
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Rate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"off\" or a table")
            }

            fn visit_str<E>(self, word: &str) -> Result<Rate, E> {
                Ok(Rate::Word(word.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Rate, A::Error> {
                RateTable::deserialize(MapAccessDeserializer::new(map)).map(Rate::Table)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Source {
    pub(in crate::config) fn serve(&self, table: &ServeTable) -> Result<Serve, ConfigError> {
        let default = Serve::default();
        let allow = self.prefixes("allow", &table.allow, &[])?;
        let deny = self.prefixes("deny", &table.deny, &allow)?;
        if let Some(excess) = table.deny.get(MAX_RULES.saturating_sub(allow.len())) {
            return Err(self.too_many("allow and deny", excess));
        }
        let span = |secs: Option<f64>, default| secs.map_or(default, Span::from_secs_f64);
        let policy = default.policy;
        let wait = self.in_range("orphan_wait", &table.orphan_wait, ORPHAN_WAIT)?;
        let orphan = self.in_range("orphan", &table.orphan, 1..=MAX_STRATUM - 1)?;
        let max_error = self.in_range("max_error", &table.max_error, MAX_ERROR)?;
        let kiss_one_in = self.in_range("kiss_one_in", &table.kiss_one_in, ONE_IN)?;
        Ok(Serve {
            workers: table.workers.as_ref().map(|workers| self.workers(workers)).transpose()?,
            xdp: self.interfaces(table)?,
            monitoring: self.prefixes("monitoring", &table.monitoring, &[])?,
            clients: self.in_range("clients", &table.clients, CLIENTS)?.unwrap_or(default.clients),
            policy: Policy {
                interleaved: table.interleaved.unwrap_or(policy.interleaved),
                rate: match &table.rate {
                    Some(rate) => self.rate(rate)?,
                    None => policy.rate,
                },
                kiss_one_in: kiss_one_in.unwrap_or(policy.kiss_one_in),
                max_error: span(max_error, policy.max_error),
                beyond: match &table.beyond {
                    Some(word) => self.one_of(
                        "beyond",
                        word,
                        &[("unsynchronised", Beyond::Unsynchronised), ("silence", Beyond::Silence)],
                    )?,
                    None => policy.beyond,
                },
                orphan: orphan
                    .map(|stratum| Orphan { stratum, wait: span(wait, DEFAULT_ORPHAN_WAIT) }),
                smear: table.smear.as_ref().map(|smear| self.smear(smear)).transpose()?,
            },
            allow,
            deny,
        })
    }

    /// Where a program answers, which knows nobody.
    fn interfaces(&self, table: &ServeTable) -> Result<Vec<String>, ConfigError> {
        let Some(first) = table.xdp.first() else { return Ok(Vec::new()) };
        let first = first.span();
        let is_limited = matches!(&table.rate, Some(rate) if self.rate(rate)?.is_some());
        let contradictions = [
            ("allow", !table.allow.is_empty()),
            ("deny", !table.deny.is_empty()),
            ("rate", is_limited),
            ("smear", table.smear.is_some()),
        ];
        if let Some((key, _)) = contradictions.into_iter().find(|(_, is_there)| *is_there) {
            let message = format_args!("xdp contradicts {key}: one of them is allowed");
            return Err(self.error(first, message));
        }
        if !cfg!(target_os = "linux") {
            return Err(self.error(first, "xdp: only on Linux a list that is not empty is allowed"));
        }
        let mut names: Vec<String> = Vec::new();
        for name in &table.xdp {
            let read = name.get_ref();
            let message = if !is_interface(read) {
                format!(
                    "xdp: {read:?} is not the name of an interface: 1 to {MAX_INTERFACE} \
                         characters without spaces and slashes are allowed"
                )
            } else if names.contains(read) {
                format!("xdp: {read:?} is listed already: once is allowed")
            } else {
                names.push(read.clone());
                continue;
            };
            return Err(self.error(name.span(), message));
        }
        Ok(names)
    }

    fn workers(&self, given: &Spanned<Worded<i64>>) -> Result<u16, ConfigError> {
        // Looks at files, which a process that is told a number may not.
        let cores = match given.get_ref() {
            Worded::Word(_) => available_parallelism().map_or(1, NonZero::get),
            Worded::Number(_) => 1,
        };
        let auto = u16::try_from(cores).map_or(MAX_WORKERS, |cores| cores.min(MAX_WORKERS));
        let count = |count| u16::try_from(count).unwrap_or(MAX_WORKERS);
        self.word_or_number("workers", given, &[("auto", auto)], 0..=MAX_WORKERS.into(), count)
    }

    fn rate(&self, given: &Spanned<Rate>) -> Result<Option<RateLimit>, ConfigError> {
        let table = match given.get_ref() {
            Rate::Word(word) if word == "off" => return Ok(None),
            Rate::Word(word) => {
                let message = format!("rate = {word:?} is unknown: \"off\" or a table is allowed");
                return Err(self.error(given.span(), message));
            }
            Rate::Table(table) => table,
        };
        let default = RateLimit::default();
        let interval = self.in_range("interval", &table.interval, RATE_INTERVAL)?;
        let leak = self.in_range("leak_one_in", &table.leak_one_in, ONE_IN)?;
        let ipv4_bits = self.in_range("ipv4_bits", &table.ipv4_bits, BITS_V4)?;
        let ipv6_bits = self.in_range("ipv6_bits", &table.ipv6_bits, BITS_V6)?;
        Ok(Some(RateLimit {
            interval: interval.map_or(default.interval, Span::from_secs_f64),
            burst: self.in_range("burst", &table.burst, BURST)?.unwrap_or(default.burst),
            leak_one_in: leak.unwrap_or(default.leak_one_in),
            ipv4_bits: ipv4_bits.unwrap_or(default.ipv4_bits),
            ipv6_bits: ipv6_bits.unwrap_or(default.ipv6_bits),
        }))
    }

    fn smear(&self, table: &SmearTable) -> Result<Smear, ConfigError> {
        let default = Smear::default();
        let kinds = [("linear", Shape::Linear), ("cosine", Shape::Cosine)];
        let window = self.in_range("window", &table.window, SMEAR_WINDOW)?;
        Ok(Smear {
            shape: match &table.kind {
                Some(word) => self.one_of("kind", word, &kinds)?,
                None => default.shape,
            },
            window: window.map_or(default.window, Span::from_secs_f64),
        })
    }

    /// Addresses, each of them once, and none that is in `others`.
    fn prefixes(
        &self,
        key: &str,
        given: &[Spanned<String>],
        others: &[Prefix],
    ) -> Result<Vec<Prefix>, ConfigError> {
        let mut prefixes = Vec::new();
        for text in given {
            let read = text.get_ref();
            let prefix = read.parse::<Prefix>().map_err(|error| {
                let allowed = "an address or a prefix as in 192.0.2.0/24 is allowed";
                self.error(text.span(), format_args!("{key}: {read:?}: {error}: {allowed}"))
            })?;
            if prefixes.contains(&prefix) || others.contains(&prefix) {
                let message = format!("{key}: {read:?} is listed already: once is allowed");
                return Err(self.error(text.span(), message));
            }
            if prefixes.len() == MAX_RULES {
                return Err(self.too_many(key, text));
            }
            prefixes.push(prefix);
        }
        Ok(prefixes)
    }

    fn too_many(&self, key: &str, excess: &Spanned<String>) -> ConfigError {
        let message =
            format!("{key}: {:?} is one too many: {MAX_RULES} are allowed", excess.get_ref());
        self.error(excess.span(), message)
    }

    fn one_of<T: Copy>(
        &self,
        key: &str,
        word: &Spanned<String>,
        words: &[(&str, T)],
    ) -> Result<T, ConfigError> {
        let read = word.get_ref();
        words.iter().find(|(known, _)| known == read).map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            let message =
                format!("{key} = {read:?} is unknown: {} are allowed", words.join(" and "));
            self.error(word.span(), message)
        })
    }
}

fn is_interface(name: &str) -> bool {
    let is_allowed = |c: char| !c.is_whitespace() && !c.is_control() && c != '/';
    (1..=MAX_INTERFACE).contains(&name.len()) && name.chars().all(is_allowed)
}
