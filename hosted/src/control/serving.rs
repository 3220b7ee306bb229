//! What a daemon tells of its clients.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use truechimer_core::server::Client;

/// What was served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Serving {
    /// What the rates are averages of: since somebody asked last, or since the start, in seconds.
    pub seconds: f64,
    /// By each worker; empty if the engine's thread serves.
    pub workers: Vec<ServerReport>,
    /// By programs in drivers, if there are any.
    pub xdp: Option<XdpReport>,
    /// By all.
    pub total: ServerReport,
}

/// What a worker did, or all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerReport {
    /// Datagrams that came in.
    pub received: u64,
    /// Answers that left.
    pub answered: u64,
    /// Datagrams that came in, per second.
    pub received_per_second: f64,
    /// Answers that left, per second.
    pub answered_per_second: f64,
    /// Answers in the interleaved mode.
    pub interleaved: u64,
    /// Answers that were a Kiss-o'-Death.
    pub kisses: u64,
    /// Datagrams without the answer that they asked for, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Datagrams by the version that they state.
    pub versions: BTreeMap<String, u64>,
    /// Half of the answers took less, from the arrival of the request to when they left, in
    /// seconds.
    pub latency_median: Option<f64>,
    /// Of a hundred answers 99 took less, in seconds.
    pub latency_p99: Option<f64>,
    /// How many took less than so many seconds and no less than those before.
    pub latency: Vec<(f64, u64)>,
    /// Those that asked most; none without a limit of rate.
    pub clients: Vec<TopClient>,
}

/// What programs in drivers did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct XdpReport {
    /// Answers that left.
    pub answered: u64,
    /// Datagrams that they left to the others, which count them too, by reason.
    pub passed: BTreeMap<String, u64>,
}

/// A client that asks often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopClient {
    /// The first of its addresses.
    pub address: String,
    /// Its requests since it is remembered.
    pub requests: u32,
    /// How many of these were too many.
    pub refused: u32,
}

impl From<&Client> for TopClient {
    fn from(client: &Client) -> Self {
        let Client { address, requests, refused } = *client;
        Self { address: address.to_string(), requests, refused }
    }
}

/// A table with a column for the sum and for each worker, and the clients below.
impl fmt::Display for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<_> = [&self.total].into_iter().chain(&self.workers).collect();
        let mut row = |name: &str, value: &dyn Fn(&ServerReport) -> String| {
            write!(f, "{name:<24}")?;
            columns.iter().try_for_each(|column| write!(f, " {:>12}", value(column)))?;
            writeln!(f)
        };
        if !self.workers.is_empty() {
            let number = |column: &ServerReport| {
                self.workers.iter().position(|worker| std::ptr::eq(worker, column))
            };
            row("worker", &|column| number(column).map_or("all".into(), |n| (n + 1).to_string()))?;
        }
        row("received", &|column| column.received.to_string())?;
        row("  per second", &|column| format!("{:.1}", column.received_per_second))?;
        row("answered", &|column| column.answered.to_string())?;
        row("  per second", &|column| format!("{:.1}", column.answered_per_second))?;
        row("  interleaved", &|column| column.interleaved.to_string())?;
        row("  kisses", &|column| column.kisses.to_string())?;
        let count = |counts: &BTreeMap<String, u64>, key| {
            counts.get(key).copied().unwrap_or_default().to_string()
        };
        for reason in self.total.refused.keys() {
            row(&format!("refused: {reason}"), &|column| count(&column.refused, reason))?;
        }
        for version in self.total.versions.keys() {
            row(&format!("version {version}"), &|column| count(&column.versions, version))?;
        }
        let micros = |secs: Option<f64>| secs.map_or("-".into(), |s| format!("{:.1} us", s * 1e6));
        row("latency: half below", &|column| micros(column.latency_median))?;
        row("latency: 99 % below", &|column| micros(column.latency_p99))?;
        if let Some(XdpReport { answered, passed }) = &self.xdp {
            writeln!(f, "{:<24} {answered:>12}", "xdp: answered")?;
            for (reason, count) in passed {
                writeln!(f, "{:<24} {count:>12}", format!("xdp: passed: {reason}"))?;
            }
        }
        if !self.total.clients.is_empty() {
            writeln!(f, "{:<40} {:>12} {:>12}", "client", "requests", "refused")?;
        }
        self.total.clients.iter().try_for_each(|TopClient { address, requests, refused }| {
            writeln!(f, "{address:<40} {requests:>12} {refused:>12}")
        })
    }
}
