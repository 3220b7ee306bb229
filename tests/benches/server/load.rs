//! A load by `chimectl bench`, and what it costs the server.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use truechimer_tests::process::{Ended, finish};

use super::subject::Subject;

/// What `chimectl bench --json` says, as far as it is used.
#[derive(Debug, Clone, Deserialize)]
pub struct Report {
    pub sent: u64,
    pub held_back: u64,
    pub answered: u64,
    pub answers_per_second: f64,
    pub loss: f64,
    pub interleaved: f64,
    pub latency_us: Percentiles,
    pub transmit_to_arrival_us: Percentiles,
    pub after_arrival: f64,
    pub own_cpu_us: f64,
}

impl Report {
    /// Answers of whatever use.
    pub fn responses(&self) -> f64 {
        self.sent as f64 * (1.0 - self.loss)
    }

    /// The share of them that a client would throw away.
    pub fn useless(&self) -> f64 {
        1.0 - self.answered as f64 / self.responses()
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Percentiles {
    pub p50: f64,
    pub p99: f64,
}

/// A load and what the server's threads took for it.
#[derive(Debug, Clone)]
pub struct Round {
    pub report: Report,
    /// Processor time for each response, us.
    pub cpu_us: f64,
}

/// Loads a server for `seconds` with further arguments.
pub fn load(subject: &Subject, seconds: f64, arguments: &[&str]) -> Result<Round> {
    let before = cpu(subject.pid)?;
    let ended = chimectl_bench(subject, seconds, arguments)?;
    let took = cpu(subject.pid)?.saturating_sub(before);
    ensure!(ended.code == Some(0), "{}: {}", subject.name, ended.stderr);
    let report: Report = serde_json::from_str(&ended.stdout).context("the report")?;
    let cpu_us = took.as_secs_f64() * 1e6 / report.responses();
    Ok(Round { report, cpu_us })
}

fn chimectl_bench(subject: &Subject, seconds: f64, arguments: &[&str]) -> Result<Ended> {
    let mut command = subject.chimectl()?;
    command.args(["--json", "bench", "-t", &seconds.to_string()]);
    command.arg(format!("127.0.0.1:{}", subject.port)).args(arguments);
    finish(&mut command, Duration::from_secs_f64(seconds + 30.0))
}

/// What all threads of a process have taken so far, user and system, to the nanosecond where
/// /proc tells that.
pub fn cpu(pid: u32) -> Result<Duration> {
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = thread?.path().join("schedstat");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let first = text.split_whitespace().next().context("an empty schedstat")?;
        nanos += first.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// The threads of a process whose names begin so.
pub fn threads(pid: u32, name: &str) -> Result<Vec<u32>> {
    let mut threads = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread = thread?;
        if fs::read_to_string(thread.path().join("comm"))?.starts_with(name) {
            threads.extend(thread.file_name().to_str().and_then(|id| id.parse::<u32>().ok()));
        }
    }
    Ok(threads)
}

/// Resident memory of a process, octets.
pub fn resident(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilo = line.and_then(|line| line.split_whitespace().next()).context("no VmRSS")?;
    Ok(kilo.parse::<u64>()? * 1_024)
}

/// Datagrams that are no requests, to a port of loopback until the time is over: how many.
pub fn malformed(port: u16, for_long: Duration, per_second: f64) -> Result<u64> {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(("127.0.0.1", port))?;
    let mut bytes = [0; 80];
    let (start, mut sent) = (Instant::now(), 0u64);
    while start.elapsed() < for_long {
        let due = (start.elapsed().as_secs_f64() * per_second) as u64;
        while sent < due {
            // Short, of odd modes and versions, answers, with fields that end beyond the datagram.
            bytes[0] = (sent * 37) as u8;
            bytes[51] = (sent * 11) as u8;
            let length = [0, 1, 47, 48, 52, 60, 80][sent as usize % 7];
            if length == 48 {
                bytes[0] = 0x24;
            }
            // A full buffer is the server's affair.
            let _ = socket.send(&bytes[..length]);
            sent += 1;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    Ok(sent)
}
