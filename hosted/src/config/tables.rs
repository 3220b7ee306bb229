//! The file as serde reads it, with the place of each value, and the checks that make a
//! [`Config`] of it.

use std::fmt::Display;
use std::ops::RangeInclusive;

use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;
use truechimer_core::config::{
    DisciplineMode, LeapMode, MAX_POLL_LIMIT, MAX_STRATUM, MIN_POLL_LIMIT, PeerConfig,
    SelectOptions,
};
use truechimer_core::units::{FreqOffset, Span};

use super::constraint::ConstraintTable;
use super::error::Source;
use super::include;
use super::log::LogTable;
use super::serve::ServeTable;
use super::timestamps::TimestampsTable;
use super::{
    AddressError, ClockKind, Config, ConfigError, DEFAULT_LOCAL_STRATUM, DEFAULT_POOL_COUNT,
    Listen, MAX_POOL_COUNT, NTP_PORT, Pool, Server, ServerAddress, SoftwareClock,
};
use crate::clock::HAS_LOOP;

/// The least and greatest `step_threshold` and `panic_threshold`, seconds.
const THRESHOLD: RangeInclusive<f64> = 1e-9..=1e9;
/// The least and greatest number for `step`.
const STEPS: RangeInclusive<i64> = 0..=u32::MAX as i64;
/// The words for it.
const STEP_WORDS: [(&str, Option<u32>); 3] =
    [("never", Some(0)), ("start", Some(1)), ("always", None)];
/// The word for no `panic_threshold`.
const PANIC_WORDS: [(&str, Option<Span>); 1] = [("never", None)];
/// The least and greatest `max_slew`, ppm; the kernel's tick allows as much.
const MAX_SLEW: RangeInclusive<f64> = 1.0..=100_000.0;
/// The least and greatest `packets`.
const PACKETS: RangeInclusive<f64> = 0.1..=16.0;
/// How far off the software clock may start, seconds; a [`Span`] holds little more.
const CLOCK_OFFSET: RangeInclusive<f64> = -9e9..=9e9;
/// How fast the software clock may drift, ppm.
const CLOCK_FREQUENCY: RangeInclusive<f64> = -100_000.0..=100_000.0;

type Result<T> = std::result::Result<T, ConfigError>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    clock: Option<Spanned<String>>,
    discipline: Option<Spanned<String>>,
    leap: Option<Spanned<String>>,
    leap_list: Option<String>,
    state: Option<String>,
    rtc: Option<String>,
    control: Option<String>,
    user: Option<String>,
    step_threshold: Number<f64>,
    step: WordOrNumber<i64>,
    panic_threshold: WordOrNumber<f64>,
    max_slew: Number<f64>,
    packets: Number<f64>,
    minsources: Number<i64>,
    #[serde(default)]
    server: Vec<ServerTable>,
    #[serde(default)]
    pool: Vec<PoolTable>,
    #[serde(default)]
    constraint: Vec<ConstraintTable>,
    #[serde(default)]
    listen: Vec<ListenTable>,
    serve: Option<ServeTable>,
    timestamps: Option<TimestampsTable>,
    software_clock: Option<Spanned<SoftwareClockTable>>,
    local: Option<LocalTable>,
    log: Option<LogTable>,
    /// [`include`] has done what it asks; this only names it among the keys that are allowed.
    #[serde(rename = "include")]
    _include: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct ServerTable {
    address: Spanned<String>,
    port: Number<i64>,
    minpoll: Number<i64>,
    maxpoll: Number<i64>,
    iburst: Option<bool>,
    prefer: Option<Spanned<bool>>,
    trust: Option<Spanned<bool>>,
    noselect: Option<bool>,
}

/// As [`ServerTable`], which serde cannot both flatten and check for unknown keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct PoolTable {
    address: Spanned<String>,
    port: Number<i64>,
    minpoll: Number<i64>,
    maxpoll: Number<i64>,
    iburst: Option<bool>,
    prefer: Option<Spanned<bool>>,
    trust: Option<Spanned<bool>>,
    noselect: Option<bool>,
    count: Number<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct ListenTable {
    address: Spanned<String>,
    port: Number<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct SoftwareClockTable {
    offset: Number<f64>,
    frequency: Number<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct LocalTable {
    stratum: Number<i64>,
}

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

pub(super) fn parse(source: &Source) -> Result<Config> {
    let document = toml::Deserializer::from(include::merge(source)?);
    let file = File::deserialize(document).map_err(|error| source.type_error(&error))?;
    let mut config = Config::default();
    if let Some(clock) = &file.clock {
        config.clock = source.clock(clock)?;
    }
    if let Some(discipline) = &file.discipline {
        config.discipline = source.discipline(config.clock, discipline)?;
    }
    if let Some(leap) = &file.leap {
        config.leap = source.leap(leap)?;
    }
    if let Some(path) = file.leap_list {
        config.leap_list = (!path.is_empty()).then(|| path.into());
    }
    config.state = match file.state {
        Some(path) => (!path.is_empty()).then(|| path.into()),
        None => Config::default_state(config.clock),
    };
    if let Some(path) = file.rtc {
        config.rtc = (!path.is_empty()).then(|| path.into());
    }
    if let Some(path) = file.control {
        config.control = (!path.is_empty()).then(|| path.into());
    }
    if let Some(user) = file.user {
        config.user = Some(user).filter(|user| !user.is_empty());
    }
    if let Some(secs) = source.in_range("step_threshold", &file.step_threshold, THRESHOLD)? {
        config.step_threshold = Span::from_secs_f64(secs);
    }
    if let Some(step) = &file.step {
        let count = |count| u32::try_from(count).ok();
        config.step_limit = source.word_or_number("step", step, &STEP_WORDS, STEPS, count)?;
    }
    if let Some(threshold) = &file.panic_threshold {
        let span = |secs| Some(Span::from_secs_f64(secs));
        config.panic_threshold =
            source.word_or_number("panic_threshold", threshold, &PANIC_WORDS, THRESHOLD, span)?;
    }
    if let Some(ppm) = source.in_range("max_slew", &file.max_slew, MAX_SLEW)? {
        config.max_slew = FreqOffset::from_ppm_f64(ppm);
    }
    if let Some(packets) = source.in_range("packets", &file.packets, PACKETS)? {
        config.packets = packets;
    }
    for table in file.server {
        let server = source.server(&table)?;
        let known = config.servers.iter().any(|other| other.is_at(&server));
        source.once("server", &table.address, server.port, known)?;
        config.servers.push(server);
    }
    for table in file.pool {
        let PoolTable { address, port, minpoll, maxpoll, iburst, prefer, trust, noselect, count } =
            table;
        let table =
            ServerTable { address, port, minpoll, maxpoll, iburst, prefer, trust, noselect };
        let server = source.server(&table)?;
        let known = config.pools.iter().any(|other| other.server.is_at(&server));
        source.once("pool", &table.address, server.port, known)?;
        let count = source.in_range("count", &count, 1..=MAX_POOL_COUNT)?;
        config.pools.push(Pool { server, count: count.unwrap_or(DEFAULT_POOL_COUNT) });
    }
    // More would never agree.
    if let Some(count) = source.in_range("minsources", &file.minsources, 1..=config.usable())? {
        config.min_sources = count;
    }
    config.constraints = source.constraints(file.constraint)?;
    for table in file.listen {
        let listen = source.listen(&table)?;
        let known = config.listen.contains(&listen);
        source.once("listen", &table.address, listen.port, known)?;
        config.listen.push(listen);
    }
    if let Some(table) = &file.serve {
        config.serve = source.serve(table)?;
    }
    if let Some(table) = file.timestamps {
        config.hardware = source.hardware(table)?;
    }
    if let Some(table) = &file.software_clock {
        config.software_clock = source.software_clock(config.clock, table)?;
    }
    if let Some(LocalTable { stratum }) = &file.local {
        let stratum = source.in_range("stratum", stratum, 1..=MAX_STRATUM - 1)?;
        config.local_stratum = Some(stratum.unwrap_or(DEFAULT_LOCAL_STRATUM));
    }
    if let Some(table) = &file.log {
        config.log = source.log(table)?;
    }
    Ok(config)
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

    fn clock(&self, clock: &Spanned<String>) -> Result<ClockKind> {
        match clock.get_ref().as_str() {
            "kernel" => Ok(ClockKind::Kernel),
            "software" => Ok(ClockKind::Software),
            other => Err(self.error(
                clock.span(),
                format_args!(
                    r#"clock = {other:?} is unknown: "kernel" and "software" are allowed"#
                ),
            )),
        }
    }

    fn discipline(&self, clock: ClockKind, mode: &Spanned<String>) -> Result<DisciplineMode> {
        match mode.get_ref().as_str() {
            "native" => Ok(DisciplineMode::Native),
            "kernel" if clock == ClockKind::Kernel && !HAS_LOOP => {
                let message = r#"discipline = "kernel" needs clock = "software" on this system: of the kernels, Linux' alone has the loop that is followed; "native" is allowed"#;
                Err(self.error(mode.span(), message))
            }
            "kernel" => Ok(DisciplineMode::Kernel),
            other => Err(self.error(
                mode.span(),
                format_args!(
                    r#"discipline = {other:?} is unknown: "native" and "kernel" are allowed"#
                ),
            )),
        }
    }

    fn leap(&self, mode: &Spanned<String>) -> Result<LeapMode> {
        match mode.get_ref().as_str() {
            "step" => Ok(LeapMode::Step),
            "slew" => Ok(LeapMode::Slew),
            "ignore" => Ok(LeapMode::Ignore),
            other => Err(self.error(
                mode.span(),
                format_args!(
                    r#"leap = {other:?} is unknown: "step", "slew" and "ignore" are allowed"#
                ),
            )),
        }
    }

    /// A poll limit that is not given makes way for the one that is.
    fn server(&self, table: &ServerTable) -> Result<Server> {
        let (address, port) = self.address(&table.address, &table.port)?;
        let limits = MIN_POLL_LIMIT..=MAX_POLL_LIMIT;
        let least = self.in_range("minpoll", &table.minpoll, limits.clone())?;
        let greatest = self.in_range("maxpoll", &table.maxpoll, limits)?;
        let default = PeerConfig::default();
        let min_poll = least.unwrap_or(default.min_poll.min(greatest.unwrap_or(default.max_poll)));
        let max_poll = greatest.unwrap_or(default.max_poll.max(min_poll));
        if let Some(maxpoll) = &table.maxpoll
            && max_poll < min_poll
        {
            let message = format!(
                "maxpoll = {max_poll} is less than minpoll: {min_poll} to {MAX_POLL_LIMIT} are \
                 allowed"
            );
            return Err(self.error(maxpoll.span(), message));
        }
        Ok(Server {
            address,
            port,
            min_poll,
            max_poll,
            iburst: table.iburst.unwrap_or(default.iburst),
            select: self.select(table)?,
        })
    }

    /// An address may carry its port, if there is no other.
    fn address(
        &self,
        address: &Spanned<String>,
        port: &Number<i64>,
    ) -> Result<(ServerAddress, u16)> {
        let wrong =
            |error: AddressError| self.error(address.span(), format_args!("address = {error}"));
        let separate = self.in_range("port", port, 1..=u16::MAX)?;
        let text = address.get_ref().as_str();
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        match (bare.parse(), separate) {
            (Ok(address), port) => Ok((address, port.unwrap_or(NTP_PORT))),
            (Err(AddressError::Port { address: bare, port, .. }), None) => {
                let number = port.parse().ok().filter(|&port| port != 0);
                let number = number.ok_or_else(|| {
                    let message = format!(
                        "address = {text:?} has port {port}: 1 to {} are allowed",
                        u16::MAX
                    );
                    self.error(address.span(), message)
                })?;
                Ok((bare.parse().map_err(wrong)?, number))
            }
            (Err(error), _) => Err(wrong(error)),
        }
    }

    fn select(&self, table: &ServerTable) -> Result<SelectOptions> {
        let noselect = table.noselect.unwrap_or(false);
        let [prefer, trust] = [("prefer", &table.prefer), ("trust", &table.trust)].map(
            |(key, option)| match option {
                Some(set) if *set.get_ref() && noselect => Err(self.error(
                    set.span(),
                    format_args!("{key} = true contradicts noselect = true: one is allowed"),
                )),
                set => Ok(set.as_ref().is_some_and(|set| *set.get_ref())),
            },
        );
        Ok(SelectOptions { prefer: prefer?, trust: trust?, noselect })
    }

    fn listen(&self, table: &ListenTable) -> Result<Listen> {
        let address = match table.address.get_ref().as_str() {
            "*" => None,
            text => Some(text.parse().map_err(|_| {
                let message = format!(
                    "address = {text:?} is not an IP address: one without a port (a key of its \
                     own: port = 123), or \"*\" for all, is allowed"
                );
                self.error(table.address.span(), message)
            })?),
        };
        Ok(Listen { address, port: self.port(&table.port)? })
    }

    fn port(&self, port: &Number<i64>) -> Result<u16> {
        Ok(self.in_range("port", port, 1..=u16::MAX)?.unwrap_or(NTP_PORT))
    }

    fn once(&self, table: &str, address: &Spanned<String>, port: u16, known: bool) -> Result<()> {
        if !known {
            return Ok(());
        }
        let message = format!(
            "address = {:?} with port = {port} is in an earlier [[{table}]]: once is allowed",
            address.get_ref()
        );
        Err(self.error(address.span(), message))
    }

    fn software_clock(
        &self,
        clock: ClockKind,
        table: &Spanned<SoftwareClockTable>,
    ) -> Result<SoftwareClock> {
        if clock == ClockKind::Kernel {
            let message =
                r#"[software_clock] is not allowed with clock = "kernel", only with "software""#;
            return Err(self.error(table.span(), message));
        }
        let SoftwareClockTable { offset, frequency } = table.get_ref();
        let offset = self.in_range("offset", offset, CLOCK_OFFSET)?;
        let frequency = self.in_range("frequency", frequency, CLOCK_FREQUENCY)?;
        Ok(SoftwareClock {
            offset: Span::from_secs_f64(offset.unwrap_or_default()),
            frequency: FreqOffset::from_ppm_f64(frequency.unwrap_or_default()),
        })
    }
}

impl Config {
    /// How many sources may come to agree, 1 at least.
    pub(super) fn usable(&self) -> u8 {
        let servers = self.servers.iter().map(|server| (server, 1));
        let pools = self.pools.iter().map(|pool| (&pool.server, pool.count));
        let usable = servers.chain(pools).filter(|(server, _)| !server.select.noselect);
        usable.fold(0, |sum: u8, (_, count)| sum.saturating_add(count)).max(1)
    }
}
