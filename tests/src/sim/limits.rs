//! What must come of a world.

use std::fmt::Write as _;

use serde::Deserialize;

use super::number::{not_negative, share};
use super::report::Report;

/// What must come of a world, as far as it is given. See [`Report`] for what the names mean.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// At most.
    #[serde(deserialize_with = "some_not_negative")]
    pub rms: Option<f64>,
    /// At most, either way.
    #[serde(deserialize_with = "some_not_negative")]
    pub mean: Option<f64>,
    /// At most.
    #[serde(deserialize_with = "some_not_negative")]
    pub max: Option<f64>,
    /// At most, as a plain ratio.
    #[serde(deserialize_with = "some_not_negative")]
    pub frequency_rms: Option<f64>,
    /// At most.
    #[serde(deserialize_with = "some_not_negative")]
    pub time_to_sync: Option<f64>,
    /// At least.
    #[serde(deserialize_with = "some_share")]
    pub synced: Option<f64>,
    /// At most.
    pub packets: Option<u64>,
    /// At least.
    #[serde(deserialize_with = "some_share")]
    pub coverage: Option<f64>,
    /// At least.
    #[serde(deserialize_with = "some_share")]
    pub likely_coverage: Option<f64>,
    /// Servers that are never listened to after settling.
    pub shunned: Vec<String>,
    /// Texts with which a line of the log begins.
    pub logged: Vec<String>,
    /// Texts with which no line of the log begins.
    pub not_logged: Vec<String>,
}

fn some_not_negative<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<f64>, D::Error> {
    not_negative(deserializer).map(Some)
}

fn some_share<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    share(deserializer).map(Some)
}

impl Limits {
    /// Compares a report with them.
    ///
    /// # Errors
    /// Every limit that is broken, a line each, and the seed.
    pub fn check(&self, report: &Report) -> Result<(), String> {
        let mut broken = String::new();
        let mut most = |name: &str, found: f64, limit: Option<f64>| {
            if let Some(limit) = limit
                && (found > limit || found.is_nan())
            {
                let _ = writeln!(broken, "{name} {found:e} is more than {limit:e}");
            }
        };
        most("rms", report.rms, self.rms);
        most("mean", report.mean.abs(), self.mean);
        most("max", report.max, self.max);
        most("frequency_rms", report.frequency_rms, self.frequency_rms);
        most("time_to_sync", report.time_to_sync.unwrap_or(f64::INFINITY), self.time_to_sync);
        most("packets", report.packets as f64, self.packets.map(|packets| packets as f64));
        let mut least = |name: &str, found: f64, limit: Option<f64>| {
            if let Some(limit) = limit
                && (found < limit || found.is_nan())
            {
                let _ = writeln!(broken, "{name} {found} is less than {limit}");
            }
        };
        least("synced", report.synced, self.synced);
        least("coverage", report.coverage, self.coverage);
        least("likely_coverage", report.likely_coverage, self.likely_coverage);
        for name in &self.shunned {
            match report.servers.iter().find(|server| server.name == *name) {
                None => _ = writeln!(broken, "there is no server \"{name}\" to shun"),
                Some(server) if server.combined > 0.0 => {
                    let share = server.combined * 100.0;
                    let _ = writeln!(broken, "\"{name}\" was listened to {share} % of the time");
                }
                Some(_) => {}
            }
        }
        let logged = |text: &String| report.log.iter().any(|(_, line)| line.starts_with(text));
        for text in self.logged.iter().filter(|text| !logged(text)) {
            let _ = writeln!(broken, "\"{text}\" was not logged");
        }
        for text in self.not_logged.iter().filter(|text| logged(text)) {
            let _ = writeln!(broken, "\"{text}\" was logged");
        }
        if broken.is_empty() { Ok(()) } else { Err(format!("seed {}\n{broken}", report.seed)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{Link, Queueing, Server, World};

    #[test]
    fn each_limit_is_checked() {
        let world = World::new(Server::new(Link::new(1e-3, Queueing::Exponential(1e-4))))
            .offset(0.01)
            .duration(600.0, 300.0);
        let report = world.run();
        let check = |text: &str| toml::from_str::<Limits>(text).unwrap().check(&report);
        check("rms = 1e-2\nmean = 1e-2\nmax = 1e-2\nfrequency_rms = 1e-4\ntime_to_sync = 300")
            .unwrap();
        check("synced = 1\npackets = 40\ncoverage = 1\nlogged = [\"peer 192.0.2.1 now valid\"]")
            .unwrap();
        for text in [
            "rms = 1e-12",
            "mean = 1e-12",
            "max = 1e-12",
            "frequency_rms = 1e-15",
            "time_to_sync = 1",
            "packets = 1",
            "shunned = [\"server 1\"]",
            "shunned = [\"nobody\"]",
            "logged = [\"nothing\"]",
            "not_logged = [\"peer\"]",
        ] {
            let broken = check(text).unwrap_err();
            assert_eq!(broken.lines().count(), 2, "{text}: {broken}");
            assert!(broken.starts_with("seed 1\n"));
        }
        let worse =
            Report { synced: 0.9, coverage: 0.9, likely_coverage: 0.9, rms: f64::NAN, ..report };
        let [rms, synced, coverage, likely_coverage] = [Some(1.0); 4];
        let limits = Limits { rms, synced, coverage, likely_coverage, ..Limits::default() };
        assert_eq!(limits.check(&worse).unwrap_err().lines().count(), 5);
    }
}
