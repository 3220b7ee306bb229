//! What was served, for Prometheus: its text format, version 0.0.4.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use super::{ServerReport, Serving, XdpReport};

/// From here on a bucket has no bound, s.
const UNBOUNDED: f64 = 1e9;

impl Serving {
    /// Counters of all that were served since the start, and a histogram of the latency without its
    /// sum, which nobody counts.
    #[must_use]
    pub fn to_prometheus(&self) -> String {
        let mut text = String::new();
        // A string takes whatever is written.
        let _ = write(&mut text, &self.total);
        if let Some(xdp) = &self.xdp {
            let _ = write_xdp(&mut text, xdp);
        }
        text
    }
}

fn write(text: &mut String, total: &ServerReport) -> fmt::Result {
    for (name, help, value) in [
        ("received", "Datagrams that came in.", total.received),
        ("answered", "Answers that left.", total.answered),
        ("interleaved", "Answers in the interleaved mode.", total.interleaved),
        ("kisses", "Answers that were a Kiss-o'-Death.", total.kisses),
    ] {
        writeln!(text, "{}chimed_server_{name}_total {value}", head(name, help))?;
    }
    for (name, label, help, counts) in [
        ("refused", "reason", "Datagrams without the answer that they asked for.", &total.refused),
        ("requests", "version", "Datagrams by the version that they state.", &total.versions),
    ] {
        write_counts(text, name, help, label, counts)?;
    }
    let name = "chimed_server_latency_seconds";
    writeln!(text, "# HELP {name} From the arrival of a request to when its answer left.")?;
    writeln!(text, "# TYPE {name} histogram")?;
    let mut below = 0;
    for (bound, count) in &total.latency {
        below += count;
        if *bound < UNBOUNDED {
            writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {below}")?;
        }
    }
    writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {below}\n{name}_count {below}")
}

fn write_xdp(text: &mut String, xdp: &XdpReport) -> fmt::Result {
    let (name, help) = ("xdp_answered", "Answers by programs in drivers, counted above too.");
    writeln!(text, "{}chimed_server_{name}_total {}", head(name, help), xdp.answered)?;
    let help = "Datagrams that programs in drivers left to the sockets.";
    write_counts(text, "xdp_passed", help, "reason", &xdp.passed)
}

fn write_counts(
    text: &mut String,
    name: &str,
    help: &str,
    label: &str,
    counts: &BTreeMap<String, u64>,
) -> fmt::Result {
    text.push_str(&head(name, help));
    counts.iter().try_for_each(|(value, count)| {
        writeln!(text, "chimed_server_{name}_total{{{label}=\"{value}\"}} {count}")
    })
}

fn head(name: &str, help: &str) -> String {
    let name = format!("chimed_server_{name}_total");
    format!("# HELP {name} {help}\n# TYPE {name} counter\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_kept() {
        let total = ServerReport {
            received: 7,
            answered: 5,
            received_per_second: 1.5,
            answered_per_second: 1.0,
            interleaved: 2,
            kisses: 1,
            refused: [("rate".to_owned(), 2)].into(),
            versions: [("3".to_owned(), 1), ("4".to_owned(), 6)].into(),
            latency_median: Some(1e-5),
            latency_p99: Some(1e-5),
            latency: vec![(8e-6, 3), (1.024e-5, 1), (i64::MAX as f64 / 1e9, 1)],
            clients: Vec::new(),
        };
        let xdp = XdpReport { answered: 3, passed: [("other".to_owned(), 4)].into() };
        let told = Serving { seconds: 1.0, workers: Vec::new(), xdp: Some(xdp), total };
        let text = told.to_prometheus();
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            lines,
            [
                "chimed_server_received_total 7",
                "chimed_server_answered_total 5",
                "chimed_server_interleaved_total 2",
                "chimed_server_kisses_total 1",
                "chimed_server_refused_total{reason=\"rate\"} 2",
                "chimed_server_requests_total{version=\"3\"} 1",
                "chimed_server_requests_total{version=\"4\"} 6",
                "chimed_server_latency_seconds_bucket{le=\"0.000008\"} 3",
                "chimed_server_latency_seconds_bucket{le=\"0.00001024\"} 4",
                "chimed_server_latency_seconds_bucket{le=\"+Inf\"} 5",
                "chimed_server_latency_seconds_count 5",
                "chimed_server_xdp_answered_total 3",
                "chimed_server_xdp_passed_total{reason=\"other\"} 4",
            ]
        );
        assert!(text.starts_with("# HELP chimed_server_received_total Datagrams that came in.\n"));
        assert!(text.contains("\n# TYPE chimed_server_latency_seconds histogram\n"));
    }
}
