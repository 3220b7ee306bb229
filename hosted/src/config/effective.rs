//! A configuration as a file that says the same.

use std::fmt::{Display, Write};
use std::path::PathBuf;

use clap::ValueEnum;
use toml::Value;
use truechimer_core::config::{DisciplineMode, LeapMode};

use super::{ClockKind, Config, Listen, Pool, Server, ServerAddress};
use crate::log::Options;

/// A key and its value.
pub(super) type Row = (&'static str, Value);

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Every key.
    Full,
    /// What is not a default.
    Brief,
}

impl Config {
    /// The configuration as TOML, without an `include`.
    #[must_use]
    pub fn to_toml(&self, detail: Detail) -> String {
        let default = Self { state: Self::default_state(self.clock), ..Self::default() };
        let brief = detail == Detail::Brief;
        let mut text = String::new();
        add(&mut text, "", self.rows(), if brief { default.rows() } else { Vec::new() });
        for server in &self.servers {
            add(&mut text, "[[server]]", server.rows(), brief_rows(brief, server));
        }
        for Pool { server, count } in &self.pools {
            let mut rows = server.rows();
            rows.push(("count", i64::from(*count).into()));
            let mut known = brief_rows(brief, server);
            if brief {
                known.push(("count", i64::from(super::DEFAULT_POOL_COUNT).into()));
            }
            add(&mut text, "[[pool]]", rows, known);
        }
        for constraint in &self.constraints {
            let known = if brief { vec![("all", false.into())] } else { Vec::new() };
            add(&mut text, "[[constraint]]", constraint.rows(), known);
        }
        for Listen { address, port } in &self.listen {
            let address = address.map_or("*".to_owned(), |address| address.to_string());
            let rows = vec![("address", address.into()), ("port", i64::from(*port).into())];
            let known = vec![("port", i64::from(super::NTP_PORT).into())];
            add(&mut text, "[[listen]]", rows, if brief { known } else { Vec::new() });
        }
        if !(brief && self.serve == default.serve) {
            let known = if brief { default.serve.rows() } else { Vec::new() };
            add(&mut text, "[serve]", self.serve.rows(), known);
        }
        if !(brief && self.hardware.is_empty()) {
            let rows = vec![("hardware", self.hardware.clone().into())];
            add(&mut text, "[timestamps]", rows, Vec::new());
        }
        if self.clock == ClockKind::Software
            && !(brief && self.software_clock == default.software_clock)
        {
            let clock = self.software_clock;
            let rows = vec![
                ("offset", clock.offset.as_secs_f64().into()),
                ("frequency", clock.frequency.as_ppm().into()),
            ];
            add(&mut text, "[software_clock]", rows, Vec::new());
        }
        if let Some(stratum) = self.local_stratum {
            add(&mut text, "[local]", vec![("stratum", i64::from(stratum).into())], Vec::new());
        }
        if !(brief && self.log == default.log) {
            let known = if brief { log_rows(&default.log) } else { Vec::new() };
            add(&mut text, "[log]", log_rows(&self.log), known);
        }
        text
    }

    /// What has no table of its own.
    fn rows(&self) -> Vec<Row> {
        // Named one by one, so that none is forgotten here.
        let Self {
            clock,
            discipline,
            leap,
            leap_list,
            state,
            rtc,
            control,
            control_group,
            user,
            step_threshold,
            step_limit,
            panic_threshold,
            max_slew,
            packets,
            min_sources,
            servers: _,
            pools: _,
            constraints: _,
            listen: _,
            serve: _,
            hardware: _,
            software_clock: _,
            local_stratum: _,
            log: _,
        } = self;
        let path = |path: Option<&PathBuf>| {
            path.map_or_else(String::new, |path| path.to_string_lossy().into_owned())
        };
        vec![
            ("clock", clock.to_string().into()),
            (
                "discipline",
                match discipline {
                    DisciplineMode::Native => "native".into(),
                    DisciplineMode::Kernel => "kernel".into(),
                },
            ),
            (
                "leap",
                match leap {
                    LeapMode::Step => "step".into(),
                    LeapMode::Slew => "slew".into(),
                    LeapMode::Ignore => "ignore".into(),
                },
            ),
            ("leap_list", path(leap_list.as_ref()).into()),
            ("state", path(state.as_ref()).into()),
            ("rtc", path(rtc.as_ref()).into()),
            ("control", path(control.as_ref()).into()),
            ("control_group", control_group.clone().unwrap_or_default().into()),
            ("user", user.clone().unwrap_or_default().into()),
            ("step_threshold", step_threshold.as_secs_f64().into()),
            (
                "step",
                match *step_limit {
                    Some(0) => "never".into(),
                    Some(1) => "start".into(),
                    Some(count) => i64::from(count).into(),
                    None => "always".into(),
                },
            ),
            (
                "panic_threshold",
                panic_threshold.map_or("never".into(), |threshold| threshold.as_secs_f64().into()),
            ),
            ("max_slew", max_slew.as_ppm().into()),
            ("packets", (*packets).into()),
            ("minsources", i64::from(*min_sources).into()),
        ]
    }
}

impl Server {
    fn rows(&self) -> Vec<Row> {
        let Self { address, port, min_poll, max_poll, iburst, select } = self;
        vec![
            ("address", address.to_string().into()),
            ("port", i64::from(*port).into()),
            ("minpoll", i64::from(*min_poll).into()),
            ("maxpoll", i64::from(*max_poll).into()),
            ("iburst", (*iburst).into()),
            ("prefer", select.prefer.into()),
            ("trust", select.trust.into()),
            ("noselect", select.noselect.into()),
        ]
    }
}

fn log_rows(options: &Options) -> Vec<Row> {
    let Options { destination, level, profile } = options;
    vec![("destination", word(destination)), ("level", word(level)), ("profile", word(profile))]
}

/// As the command line calls it.
fn word(value: &impl ValueEnum) -> Value {
    value.to_possible_value().map_or_else(String::new, |word| word.get_name().to_owned()).into()
}

/// What need not be said of a server but for its address.
fn brief_rows(brief: bool, server: &Server) -> Vec<Row> {
    if !brief {
        return Vec::new();
    }
    let default = Server::new(server.address.clone(), super::NTP_PORT);
    default.rows().into_iter().filter(|(key, _)| *key != "address").collect()
}

/// A table with those of its rows that are not `known`.
fn add(text: &mut String, heading: &str, rows: Vec<Row>, known: Vec<Row>) {
    if !heading.is_empty() {
        let gap = if text.is_empty() { "" } else { "\n" };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{gap}{heading}");
    }
    for (key, value) in rows.into_iter().filter(|row| !known.contains(row)) {
        let _ = writeln!(text, "{key} = {value}");
    }
}

impl Display for ClockKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kernel => "kernel",
            Self::Software => "software",
        })
    }
}

impl Display for ServerAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Zoned(ip, zone) => write!(f, "{ip}%{zone}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}
