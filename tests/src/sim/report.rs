//! What came of a world.

use std::fmt;

use truechimer_core::Counters;
use truechimer_core::io::Output;

use super::world::World;

/// How the clock stands at a whole second. Errors are the clock's minus the truth: positive if it
/// is ahead or too fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// True time, in seconds.
    pub time: f64,
    /// The clock's error, in seconds.
    pub error: f64,
    /// What the engine believes that error to be.
    pub estimate: Option<f64>,
    /// What the engine says that it is at most.
    pub bound: Option<f64>,
    /// What the engine says that it is most of the time at most.
    pub likely: Option<f64>,
    /// The error of the clock's rate, slew included.
    pub frequency_error: f64,
    /// The rate that the engine keeps the clock at relative to the counter.
    pub frequency: f64,
    /// The counter's rate, which that is to make up for.
    pub counter_rate: f64,
    /// Queries sent so far.
    pub packets: u64,
    /// Whether the engine calls the clock synchronised.
    pub synced: bool,
}

/// What a server is to the engine, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// It is not listened to.
    None,
    /// Its word counts among others'.
    Combined,
    /// It is the one that is followed.
    Selected,
}

/// What came of a world. Errors and seconds count after its settling time, packets all.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The world's seed.
    pub seed: u64,
    /// Root of the mean square of the clock's error, in seconds.
    pub rms: f64,
    /// Its mean: positive if the clock was ahead.
    pub mean: f64,
    /// Its greatest size.
    pub max: f64,
    /// Root of the mean square of the rate's error, slew included.
    pub frequency_rms: f64,
    /// When the clock was right for the first time that it stayed so to the end, counted from the
    /// beginning.
    pub time_to_sync: Option<f64>,
    /// The share of the seconds in which the engine called the clock synchronised.
    pub synced: f64,
    /// Queries sent.
    pub packets: u64,
    /// The share of the seconds with an error bound in which the error was within it, from the
    /// beginning on.
    pub coverage: f64,
    /// The mean of the error bound, in seconds.
    pub bound: f64,
    /// The share of the seconds with a likely error in which the error was no greater.
    pub likely_coverage: f64,
    /// The mean of the likely error, in seconds.
    pub likely: f64,
    /// What became of each server.
    pub servers: Vec<ServerReport>,
    /// What the engine logged, and when.
    pub log: Vec<(f64, String)>,
}

/// What became of a server.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerReport {
    /// What it is called.
    pub name: String,
    /// The share of the seconds in which it was followed, were it for a moment.
    pub selected: f64,
    /// The share in which it was listened to, followed or not.
    pub combined: f64,
    /// What passed.
    pub counters: Counters,
}

/// Measures a running world.
#[derive(Debug)]
pub(super) struct Meter {
    pub packets: u64,
    settle: f64,
    right: f64,
    squares: f64,
    sum: f64,
    max: f64,
    frequency_squares: f64,
    seconds: u64,
    synced: u64,
    bounds: f64,
    bounded: u64,
    covered: u64,
    /// Bounded seconds after settling, which `bounds` and `likelies` sum up.
    settled_bounds: u64,
    likelies: f64,
    likely: u64,
    /// Since when the clock is right.
    right_since: Option<f64>,
    roles: Vec<[u64; 2]>,
    log: Vec<(f64, String)>,
}

impl Meter {
    pub fn new(world: &World) -> Self {
        Self {
            packets: 0,
            settle: world.settle,
            right: world.right,
            squares: 0.0,
            sum: 0.0,
            max: 0.0,
            frequency_squares: 0.0,
            seconds: 0,
            synced: 0,
            bounds: 0.0,
            bounded: 0,
            covered: 0,
            settled_bounds: 0,
            likelies: 0.0,
            likely: 0,
            right_since: None,
            roles: vec![[0; 2]; world.server.len()],
            log: Vec::new(),
        }
    }

    pub fn take_output(&mut self, time: f64, output: &Output) {
        if let Output::Event(event) = output {
            self.log.push((time, event.to_string()));
        }
    }

    pub fn take(&mut self, reading: &Reading, roles: &[Role]) {
        let error = reading.error;
        if error.abs() >= self.right {
            self.right_since = None;
        } else if self.right_since.is_none() {
            self.right_since = Some(reading.time);
        }
        if let (Some(bound), Some(likely)) = (reading.bound, reading.likely) {
            self.bounded += 1;
            self.covered += u64::from(error.abs() <= bound);
            self.likely += u64::from(error.abs() <= likely);
        }
        if reading.time < self.settle {
            return;
        }
        self.seconds += 1;
        self.squares += error * error;
        self.sum += error;
        self.max = self.max.max(error.abs());
        self.frequency_squares += reading.frequency_error * reading.frequency_error;
        self.synced += u64::from(reading.synced);
        if let (Some(bound), Some(likely)) = (reading.bound, reading.likely) {
            self.bounds += bound;
            self.likelies += likely;
            self.settled_bounds += 1;
        }
        for ([selected, combined], role) in self.roles.iter_mut().zip(roles) {
            *selected += u64::from(*role == Role::Selected);
            *combined += u64::from(*role != Role::None);
        }
    }

    pub fn finish(self, world: &World, counters: impl Iterator<Item = Counters>) -> Report {
        let seconds = self.seconds as f64;
        let share = |count: u64| count as f64 / seconds;
        let servers = self.roles.iter().zip(counters).enumerate().map(
            |(place, (&[selected, combined], counters))| ServerReport {
                name: world.server_name(place),
                selected: share(selected),
                combined: share(combined),
                counters,
            },
        );
        Report {
            seed: world.seed,
            rms: (self.squares / seconds).sqrt(),
            mean: self.sum / seconds,
            max: self.max,
            frequency_rms: (self.frequency_squares / seconds).sqrt(),
            time_to_sync: self.right_since,
            synced: share(self.synced),
            packets: self.packets,
            coverage: self.covered as f64 / self.bounded as f64,
            bound: self.bounds / self.settled_bounds as f64,
            likely_coverage: self.likely as f64 / self.bounded as f64,
            likely: self.likelies / self.settled_bounds as f64,
            servers: servers.collect(),
            log: self.log,
        }
    }
}

/// Seconds in the unit that makes them easy to read.
#[derive(Debug, Clone, Copy)]
pub struct Readable(pub f64);

impl Readable {
    /// What seconds are multiplied by, and the unit that this makes of them.
    #[must_use]
    pub const fn unit(self) -> (f64, &'static str) {
        match self.0.abs() {
            size if size >= 1.0 => (1.0, "s"),
            size if size >= 1e-3 => (1e3, "ms"),
            size if size >= 1e-6 => (1e6, "us"),
            _ => (1e9, "ns"),
        }
    }
}

impl fmt::Display for Readable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scale, unit) = self.unit();
        let value = self.0 * scale;
        let digits = match value.abs() {
            size if size < 10.0 => 2,
            size if size < 100.0 => 1,
            _ => 0,
        };
        f.pad(&format!("{value:.digits$} {unit}"))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [rms, mean, max] = [self.rms, self.mean, self.max].map(Readable);
        writeln!(f, "error      rms {rms}, mean {mean}, greatest {max}")?;
        writeln!(f, "frequency  rms error {:.6} ppm", self.frequency_rms * 1e6)?;
        match self.time_to_sync {
            Some(time) => writeln!(f, "right      after {time:.0} s for good")?,
            None => writeln!(f, "right      not at the end")?,
        }
        writeln!(f, "synced     {:.2} % of the time", self.synced * 100.0)?;
        for (name, bound, coverage) in
            [("bound", self.bound, self.coverage), ("likely", self.likely, self.likely_coverage)]
        {
            writeln!(
                f,
                "{name:<10} mean {}, {:.1} times the rms; held {:.3} % of the time",
                Readable(bound),
                bound / self.rms,
                coverage * 100.0
            )?;
        }
        writeln!(f, "packets    {}", self.packets)?;
        for server in &self.servers {
            writeln!(
                f,
                "  {:<12} selected {:5.1} %, combined {:5.1} %; {} queries, {} used, {} rejected",
                server.name,
                server.selected * 100.0,
                server.combined * 100.0,
                server.counters.sent,
                server.counters.used,
                server.counters.rejected.iter().sum::<u64>(),
            )?;
        }
        Ok(())
    }
}
