//! The released program under the simulator of this suite: hours pass in a second.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use truechimer_tests::namespace::Namespace;
use truechimer_tests::process::run;
use truechimer_tests::{binaries, scratch, write};

/// How wrong the clock may be in the end, with 20 us of jitter on the way to the server, s.
const RIGHT: f64 = 100e-6;
/// The clock's time that passes, s.
const LASTS: f64 = 20_000.0;
/// How long that may take.
const LIMIT: Duration = Duration::from_secs(60);

/// By less than what is stepped.
pub fn ahead() -> Result<()> {
    becomes_right(&format!("0.05 80 {LASTS}"), 0, &[])
}

/// By more, with a frequency beyond ±500 ppm, for which the tick is needed.
pub fn far_behind() -> Result<()> {
    becomes_right(&format!("-3600 -700 {LASTS}"), 1, &[])
}

/// Another program sets the clock and its frequency in the middle.
pub fn touched() -> Result<()> {
    for (jumped, steps) in [("0.05", 0), ("-0.05", 0), ("3600", 1), ("-3600", 1)] {
        let jump = format!("local clock jumped by {jumped}");
        let told = [&*jump, "clock frequency was changed by another from", "clock is now unsynced"];
        becomes_right(&format!("0 80 {LASTS} {jumped} 30"), steps, &told)?;
    }
    Ok(())
}

/// From seconds ahead, ppm fast, and the simulator's other numbers. The namespace has no privilege over the
/// machine's clock and no way to the server's address, should the simulator not be loaded.
fn becomes_right(numbers: &str, steps: u32, told: &[&str]) -> Result<()> {
    let directory = scratch()?;
    let text = "control = \"\"\nclock = \"kernel\"\n[[server]]\naddress = \"192.0.2.1\"\n";
    let file = write(directory.path(), "chimed.toml", text)?;
    let namespace = Namespace::new()?;
    let mut command = namespace.command("env");
    command.arg(format!("LD_PRELOAD={}", binaries::preload_simulator()?.display()));
    command.args([format!("SIMULATOR={numbers}")]);
    command.arg(binaries::released_chimed()?).args(["-d", "-v", "-f", &file]);
    let start = Instant::now();
    let (status, lines) = run(&mut command, LIMIT)?;
    let took = start.elapsed().as_secs_f64();

    let result = lines.iter().find_map(|line| line.strip_prefix("simulator: "));
    println!("{} ({took:.2} s)", result.unwrap_or_default());
    let numbers = result.context("the simulator has not ended it")?.split(' ');
    let [error, queries, stepped]: [f64; 3] = numbers
        .map(str::parse)
        .collect::<Result<Vec<_>, _>>()?
        .try_into()
        .map_err(|numbers| anyhow::anyhow!("not three numbers: {numbers:?}"))?;
    ensure!(status.success(), "{status}");
    ensure!(error.abs() < RIGHT, "{error} s off");
    ensure!(stepped == f64::from(steps), "{stepped} steps");
    ensure!((LASTS / 1100.0..LASTS / 15.0).contains(&queries), "{queries} queries");
    let always = ["peer 192.0.2.1 now valid", "clock is now synced", "Terminating"];
    for text in always.iter().chain(told) {
        ensure!(lines.iter().any(|line| line.contains(text)), "`{text}` is not logged");
    }
    Ok(())
}
