//! What is to happen to a daemon that disciplines a guest's kernel, and what came of it.
//!
//! The truth is made of CLOCK_MONOTONIC_RAW, of which nothing that is done to the kernel's clock
//! changes the rate.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::timex::fields::RawTimex;

/// A port of 127.0.0.1 of the first server; those of the others follow it.
pub const FIRST_PORT: u16 = 2_001;
/// The network card of a guest that has one, and the server behind it, the first of the scenario's.
pub const CARD: &str = "eth0";
/// As that.
pub const BEHIND_CARD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// Where the daemon's files are, all of them gone when a scenario begins.
pub const FOLDER: &str = "/run/chimed";
/// A disk of its own, empty when a scenario begins.
pub const STATE: &str = "/state";
/// Where [`Scenario::leap_list`] is.
pub const LEAP_LIST: &str = "/leap-seconds.list";

/// A clock, its servers and what happens to them. All times are in seconds of true time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Scenario {
    /// For people.
    pub name: String,
    /// The rest of a configuration that begins with the kernel's clock and a control socket.
    pub configuration: String,
    /// Whether the daemon is several processes, or one.
    pub separated: bool,
    /// How long it takes.
    pub secs: f64,
    /// Between two samples.
    pub every: f64,
    /// True time at the beginning, s since 1970.
    pub start: i64,
    /// How far the clock is ahead of that.
    pub ahead: f64,
    /// What the oscillator gains, ppm.
    pub frequency: f64,
    /// The leap second of the truth, if there is one.
    pub leap: Option<Leap>,
    /// The list of leap seconds in the guest, if there is one.
    pub leap_list: Option<String>,
    /// At ports from [`FIRST_PORT`].
    pub servers: Vec<Server>,
    /// How names are resolved; all of them are this host's.
    pub names: Names,
    /// In their order.
    pub events: Vec<Event>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            name: String::new(),
            configuration: String::new(),
            separated: false,
            secs: 3_600.0,
            every: 16.0,
            start: 1_800_000_000,
            ahead: 0.0,
            frequency: 12.0,
            leap: None,
            leap_list: None,
            servers: vec![Server::default()],
            names: Names::Known,
            events: Vec::new(),
        }
    }
}

/// A leap second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leap {
    /// The first second after it, s since 1970.
    pub end: i64,
    /// Whether it is left out, or one more.
    pub deleted: bool,
}

/// How a server answers.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Server {
    /// Whether it does.
    pub answers: bool,
    /// Whether it announces the scenario's leap second.
    pub announces: bool,
    /// How far what it says is ahead of the truth.
    pub ahead: f64,
    /// What each way takes at least.
    pub delay: f64,
    /// What it takes longer than that on average, exponentially distributed.
    pub queueing: f64,
}

impl Default for Server {
    fn default() -> Self {
        Self { answers: true, announces: false, ahead: 0.0, delay: 200e-6, queueing: 20e-6 }
    }
}

/// What the name server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Names {
    /// It answers.
    Known,
    /// It answers that it cannot tell.
    Failing,
    /// It does not answer.
    Silent,
}

/// What the disk of [`STATE`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Disk {
    /// It takes what is written.
    Good,
    /// It has no room.
    Full,
    /// It takes nothing.
    ReadOnly,
}

/// Something that happens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: f64,
    /// What.
    pub what: Happening,
}

/// What may happen.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Happening {
    /// The server of this place answers in this way from now on.
    Server(usize, Server),
    /// Names are resolved in this way from now on.
    Names(Names),
    /// The oscillator gains so much from now on, ppm.
    Frequency(f64),
    /// Another program steps the clock by so many seconds.
    Step(f64),
    /// The daemon is asked to end, by SIGTERM, and has ended before anything else happens.
    Stop,
    /// Of several processes the ntp engine is killed, and the daemon has ended before anything else
    /// happens.
    KillEngine,
    /// Its first process is killed, of several the parent, and all have ended before anything else happens.
    Kill,
    /// It is started again.
    Start,
    /// It is asked for its peers.
    Peers,
    /// Nothing is left of what it did to the kernel's clock but the time that this shows, as after the
    /// machine was off.
    Reboot,
    /// The disk does this from now on.
    Disk(Disk),
}

/// What an agent notes, a line of JSON each.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Record {
    /// The scenario begins.
    Begin(String),
    /// Every now and then.
    Sample(Sample),
    /// When the daemon has logged a line, and that.
    Log(f64, String),
    /// When it was asked for its peers, and what it said.
    Peers(f64, Value),
    /// When the daemon ended, and its exit status, if no signal killed it.
    Ended(f64, Option<i32>),
}

/// How a clock was at a time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sample {
    /// When.
    pub at: f64,
    /// How far the clock was ahead of the truth, s.
    pub ahead: f64,
    /// What adjtimex(2) said, as [`RawTimex`] is written.
    pub kernel: String,
    /// What it returned.
    pub state: i64,
    /// What the daemon says of itself, if it answers.
    pub status: Option<Value>,
}

impl Sample {
    /// What adjtimex(2) said.
    ///
    /// # Errors
    /// If it is no such text.
    pub fn timex(&self) -> Result<RawTimex> {
        RawTimex::parse(self.kernel.split(' '))
    }

    /// Whether the daemon says that it is synchronised.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.status("synced").as_bool() == Some(true)
    }

    /// A number of the daemon's status.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<f64> {
        self.status(name).as_f64()
    }

    /// An entry of the daemon's status.
    #[must_use]
    pub fn status(&self, name: &str) -> &Value {
        self.status.as_ref().map_or(&Value::Null, |status| &status[name])
    }
}

/// What came of a scenario.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// As [`Scenario::name`].
    pub name: String,
    /// One each [`Scenario::every`] seconds.
    pub samples: Vec<Sample>,
    /// What the daemon logged, and when.
    pub log: Vec<(f64, String)>,
    /// What it said of its peers, and when.
    pub peers: Vec<(f64, Value)>,
    /// When it ended, and how.
    pub ends: Vec<(f64, Option<i32>)>,
}

impl Run {
    /// Those that an agent noted.
    ///
    /// # Errors
    /// If a line is no record, or there is one before the first scenario begins.
    pub fn all(lines: &[String]) -> Result<Vec<Self>> {
        let mut runs: Vec<Self> = Vec::new();
        for line in lines {
            let record = serde_json::from_str(line).with_context(|| line.clone())?;
            match (record, runs.last_mut()) {
                (Record::Begin(name), _) => runs.push(Self { name, ..Self::default() }),
                (Record::Sample(sample), Some(run)) => run.samples.push(sample),
                (Record::Log(at, line), Some(run)) => run.log.push((at, line)),
                (Record::Peers(at, said), Some(run)) => run.peers.push((at, said)),
                (Record::Ended(at, code), Some(run)) => run.ends.push((at, code)),
                (record, None) => bail!("before the first scenario: {record:?}"),
            }
        }
        Ok(runs)
    }

    /// The samples between two times.
    pub fn between(&self, from: f64, to: f64) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| (from..=to).contains(&sample.at))
    }

    /// The greatest error between two times, s.
    ///
    /// # Errors
    /// If there is no sample.
    pub fn error(&self, from: f64, to: f64) -> Result<f64> {
        let errors = self.between(from, to).map(|sample| sample.ahead.abs());
        errors.reduce(f64::max).with_context(|| format!("no sample between {from} s and {to} s"))
    }

    /// When the last sample was taken.
    ///
    /// # Errors
    /// If there is none.
    pub fn end(&self) -> Result<f64> {
        self.samples.last().map(|sample| sample.at).context("no sample")
    }

    /// The sample that was taken last before a time, or at it.
    ///
    /// # Errors
    /// If there is none.
    pub fn before(&self, at: f64) -> Result<&Sample> {
        let last = self.samples.iter().rfind(|sample| sample.at <= at);
        last.with_context(|| format!("no sample before {at} s"))
    }

    /// Whether the daemon has logged a text between two times.
    #[must_use]
    pub fn has_logged(&self, text: &str, from: f64, to: f64) -> bool {
        self.log.iter().any(|(at, line)| (from..=to).contains(at) && line.contains(text))
    }
}
