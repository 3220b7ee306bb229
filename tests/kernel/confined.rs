//! Landlock's rules for TCP, in a kernel that has them: it is Debian's, from 6.7 on they are there.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use truechimer_tests::binaries;
use truechimer_tests::guest::Guest;

const LIMIT: Duration = Duration::from_secs(300);
/// By Landlock. The filter of system calls says EPERM.
const BY_LANDLOCK: &str = "EACCES";

/// A process, the ports of 443, 444 and 8443, at all of which somebody listens, that it may connect to,
/// and what comes of binding another.
const PROCESSES: [(&str, &[u16], &str); 6] = [
    ("ntp", &[], BY_LANDLOCK),
    ("constraint 443", &[443], "EPERM"),
    ("constraint 444 8443", &[444, 8_443], "EPERM"),
    // A resolver may ask by TCP, wherever its modules say.
    ("dns", &[443, 444, 8_443], "done"),
    ("parent", &[], "EPERM"),
    ("exporter", &[], "EPERM"),
];

/// The process that asks HTTPS servers connects to their ports alone, the ntp engine, the parent and
/// the exporter to none.
pub(crate) fn ports() -> Result<()> {
    let arguments: Vec<_> = PROCESSES.iter().map(|(arguments, ..)| *arguments).collect();
    let guest = Guest::new(&binaries::guest_agent()?)?
        .with_program(&binaries::confined()?)?
        .with_file("run/.keep", "")
        .with_file("arguments", arguments.join("\n"));
    let lines = guest.run(LIMIT)?;
    ensure!(lines.len() == PROCESSES.len(), "{lines:#?}");
    for ((process, ports, bound), line) in PROCESSES.into_iter().zip(&lines) {
        check(ports, bound, line).with_context(|| format!("{process}: {line}"))?;
    }
    println!("{} processes confined", PROCESSES.len());
    Ok(())
}

fn check(ports: &[u16], bound: &str, line: &str) -> Result<()> {
    let line: Value = serde_json::from_str(line)?;
    ensure!(line["code"] == 0 && line["stderr"] == "", "it failed");
    let mut shown = line["stdout"].as_str().context("no output")?.lines();
    let active = shown.next().context("nothing is told")?;
    ensure!(active.contains("landlock") && active.contains("seccomp"), "{active}");
    let mut expected = Vec::new();
    for host in ["127.0.0.1", "[::1]"] {
        for port in [443, 444, 8_443] {
            let outcome = if ports.contains(&port) { "done" } else { BY_LANDLOCK };
            expected.push(format!("connect {host}:{port} {outcome}"));
        }
    }
    expected.push(format!("bind 127.0.0.1:8444 {bound}"));
    let shown: Vec<_> = shown.collect();
    ensure!(shown == expected, "not {expected:#?}");
    Ok(())
}
