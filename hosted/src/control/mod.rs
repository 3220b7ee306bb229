//! Asking a running daemon: one line of JSON each way over a Unix socket.

mod client;
mod group;
mod prometheus;
mod reloaded;
mod server;
mod serving;
mod wait;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::query::Target;

pub(crate) use client::ask_within;
pub use client::{ClientError, ask, follow};
pub use group::{Group, GroupError};
pub use reloaded::Reloaded;
pub use server::{Control, OpenError};
pub use serving::{ServerReport, Serving, TopClient, XdpReport};
pub use wait::{Until, WaitError, wait};

/// The version of requests and answers; another is refused.
pub const VERSION: u32 = 1;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// How the daemon and its clock are.
    Status,
    /// What is known of each peer.
    Peers,
    /// What was served to whom.
    Server,
    /// The offset for which the clock is held is right: step by it.
    Accept,
    /// Step by what the clock is behind, whatever the policy.
    Step,
    /// The last log messages.
    Log,
    /// Those, and each further one: there is an answer whenever there is something new.
    FollowLog,
    /// Read the configuration again, and apply the difference.
    Reload,
    /// Ask this server too.
    Add(Target),
    /// Ask these again, or all of them.
    Online(Option<Target>),
    /// Ask these no longer until they are to be online, or none of them.
    Offline(Option<Target>),
    /// Ask these at once and often for a while, or all of them.
    Burst(Option<Target>),
    /// No longer ask this server, or the members of the pool of that name.
    Remove(Target),
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// [`VERSION`].
    pub version: u32,
    /// What is asked.
    pub command: Command,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Command::Status`].
    Status(Box<Status>),
    /// To [`Command::Peers`].
    Peers(Vec<Peer>),
    /// To [`Command::Server`].
    Server(Box<Serving>),
    /// To [`Command::Accept`] and [`Command::Step`]: the step that the clock was told, in seconds.
    Step(f64),
    /// To [`Command::Log`] and [`Command::FollowLog`], the oldest first.
    Log(Vec<LogLine>),
    /// To [`Command::Reload`] and what changes peers.
    Reloaded(Reloaded),
    /// The request could not be understood or granted.
    Error(String),
}

/// How the daemon and its clock are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's.
    pub version: String,
    /// Whether the clock is synchronised to a source.
    pub synced: bool,
    /// Where the clock's time comes from: `unknown`, `floor`, `rtc`, `unsynced` (sources that doubt
    /// it), `holdover` (sources that no longer answer) or `synced`.
    pub time_status: String,
    /// The last time that is known to have been right, in UTC: kept for the next start, at most once
    /// an hour.
    pub floor: Option<String>,
    /// Which clock: `kernel` or `software`.
    pub clock: String,
    /// What takes offsets away at the moment: `native`, or `kernel` for the clock's own loop.
    pub discipline: String,
    /// Whether the clock is disciplined, or only watched.
    pub controlled: bool,
    /// Whether it is held because the sources claim more than the panic threshold.
    pub held: bool,
    /// What clients are told: 1 to 15, or 16 without synchronisation.
    pub stratum: u8,
    /// What the clock follows.
    pub reference: String,
    /// What clients are told of leap seconds.
    pub leap: String,
    /// Who knows of leap seconds: `list` or `sources`.
    pub leap_source: String,
    /// TAI − UTC, in seconds, by the list of leap seconds.
    pub tai: Option<i32>,
    /// By how much the clock is behind its sources, in seconds.
    pub offset: Option<f64>,
    /// The rate at which the clock is kept, in ppm.
    pub frequency: f64,
    /// The standard deviation of that rate, in ppm.
    pub skew: Option<f64>,
    /// Since the clock was last compared with what it follows, in seconds.
    pub age: Option<f64>,
    /// The greatest error if the majority of the sources is honest, in seconds.
    pub error_bound: Option<f64>,
    /// What the error is hardly greater than, in seconds.
    pub likely_error: Option<f64>,
    /// Round trip to the primary source, in seconds.
    pub root_delay: f64,
    /// Greatest error on that way but for half the round trip, in seconds.
    pub root_dispersion: f64,
    /// How far a software clock is ahead of the host's, in seconds.
    pub clock_error: Option<f64>,
    /// Trusted peers.
    pub peers_valid: usize,
    /// All peers.
    pub peers: usize,
    /// Where time is served.
    pub listening: Vec<String>,
    /// Queries of clients that were received.
    pub requests: u64,
    /// Those that were answered.
    pub answers: u64,
    /// Those that were not, by reason.
    pub refused: BTreeMap<String, u64>,
    /// What each process can do no more, by its name; nothing if there is one process. `user`,
    /// `chroot`, `capabilities`, `no-new-privileges`, `landlock`, `seccomp`, `pledge`, `unveil`.
    pub protections: BTreeMap<String, Vec<String>>,
    /// Times that the main loop woke up.
    pub polls: u64,
    /// Since the start, in seconds.
    pub uptime: f64,
}

/// What is known of a peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// As it is configured.
    pub name: String,
    /// The address that is asked, once it is known.
    pub address: Option<String>,
    /// Its port.
    pub port: Option<u16>,
    /// Whether it came from a pool.
    pub pool: bool,
    /// What becomes of it, and why.
    pub standing: String,
    /// What selection is to make of it: `prefer`, `trust`, `noselect`.
    pub options: Vec<String>,
    /// Whether it is trusted.
    pub valid: bool,
    /// The trust level, 0 to 10.
    pub trust: u8,
    /// The last eight queries, the newest in the lowest bit; set if answered.
    pub reach: u8,
    /// As its last usable reply said.
    pub stratum: Option<u8>,
    /// As its last usable reply said.
    pub reference: Option<String>,
    /// By how much the clock is behind it, in seconds.
    pub offset: Option<f64>,
    /// The least round trip lately, in seconds.
    pub delay: Option<f64>,
    /// Standard deviation of the offset, in seconds.
    pub deviation: Option<f64>,
    /// The distance to the primary source by its root delay and dispersion, in seconds.
    pub root_distance: Option<f64>,
    /// The poll interval, in seconds.
    pub interval: f64,
    /// Until the next query, in seconds.
    pub next_query: f64,
    /// How the last reply's arrival was stamped: `hardware`, `kernel` or `user`.
    pub stamps: String,
    /// How the last query's departure was stamped, likewise.
    pub transmit_stamps: String,
    /// The option of its socket by which the kernel stamps: `SO_TIMESTAMPING`, `SO_TIMESTAMPNS`,
    /// `SO_TIMESTAMP` or `none`.
    pub stamps_by: String,
    /// Stamps of a network card that the kernel's did not bear out, for which those were taken; since a
    /// query could last not be sent.
    pub hardware_refused: u64,
    /// Queries that left.
    pub sent: u64,
    /// Replies that were used.
    pub used: u64,
    /// Datagrams that were dropped, by reason.
    pub rejected: BTreeMap<String, u64>,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was logged, in UTC.
    pub time: String,
    /// `debug`, `info`, `warning`, `error` or `critical`.
    pub level: String,
    /// What it says.
    pub text: String,
}
