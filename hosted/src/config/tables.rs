//! The file as serde reads it, with the place of each value, and the checks that make a
//! [`Config`] of it.

use std::ops::RangeInclusive;

use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;
use truechimer_core::config::{DisciplineMode, LeapMode, MAX_STRATUM};
use truechimer_core::units::{FreqOffset, Span};

use super::constraint::ConstraintTable;
use super::error::Source;
use super::include;
use super::log::LogTable;
use super::serve::ServeTable;
use super::servers::{PoolTable, ServerTable};
use super::timestamps::TimestampsTable;
use super::values::{Number, WordOrNumber};
use super::{
    ClockKind, Config, ConfigError, DEFAULT_LOCAL_STRATUM, Listen, NTP_PORT, SoftwareClock,
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

pub(super) type Result<T> = std::result::Result<T, ConfigError>;

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
    control_group: Option<String>,
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
    config.control_group = file.control_group.filter(|group| !group.is_empty());
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
        let (pool, address) = source.pool(table)?;
        let known = config.pools.iter().any(|other| other.server.is_at(&pool.server));
        source.once("pool", &address, pool.server.port, known)?;
        config.pools.push(pool);
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
