//! What is kept from one start to the next.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use truechimer_tests::chimed::{Chimed, Status, server};
use truechimer_tests::fake::FakeServer;
use truechimer_tests::{scratch, write};

const LIMIT: Duration = Duration::from_secs(60);
/// How much slower than the host's the oscillator is, ppm.
const SLOW: f64 = 60.0;

fn configuration(port: u16, state: &str) -> String {
    format!("state = {state:?}\n{}[software_clock]\nfrequency = -{SLOW}\n", server(port, -4))
}

/// A clock learns its frequency in one life and begins with it in the next.
fn learns(start: impl Fn(&str) -> Result<Chimed>) -> Result<()> {
    let fake = FakeServer::honest()?;
    let folder = scratch()?;
    let state = folder.path().to_str().context("a path that is not UTF-8")?;
    let configuration = configuration(fake.port, state);
    let drift = folder.path().join("drift");

    let mut first = start(&configuration)?;
    let close = |frequency: f64| (frequency - SLOW).abs() < 8.0;
    first.wait_until("a frequency that is known", LIMIT, |status| {
        Ok(close(status.number("frequency")?) && drift.exists())
    })?;
    first.process.signal(Signal::SIGTERM)?;
    first.process.wait(LIMIT)?;
    let text = fs::read_to_string(&drift)?;
    let kept: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    ensure!(kept.len() == 2 && close(kept[0]) && kept[1] > 0.0, "{text:?}");
    let floor = fs::read_to_string(folder.path().join("floor"))?;
    ensure!(floor.split_whitespace().next().is_some_and(|secs| secs.len() == 10), "{floor:?}");

    // Nobody answers any more: all that is known of the frequency was kept.
    drop(fake);
    let second = start(&configuration)?;
    let status = second.status()?;
    ensure!(floor.trim_end().ends_with(status.text("floor")?), "{floor:?}, not {status:?}");
    let frequency = status.number("frequency")?;
    ensure!((frequency - kept[0]).abs() < 1e-3, "{frequency}, not {}", kept[0]);
    Ok(())
}

pub(crate) fn restart() -> Result<()> {
    learns(Chimed::start)
}

pub(crate) fn restart_separated() -> Result<()> {
    learns(|configuration| Chimed::start_separated(&[], configuration))
}

/// The drift file stays as it is, at the end too, if the frequency is no other one; the floor is kept.
pub(crate) fn drift_is_written_only_on_significant_change() -> Result<()> {
    let fake = FakeServer::honest()?;
    let folder = scratch()?;
    // As another program wrote it.
    let kept = "    60.010  0.300\n";
    let drift = write(folder.path(), "drift", kept)?;
    let floor = folder.path().join("floor");
    let state = folder.path().to_str().context("a path that is not UTF-8")?;
    let mut chimed = Chimed::start(&configuration(fake.port, state))?;
    chimed
        .wait_until("synchronisation", LIMIT, |status| Ok(status.is_synced()? && floor.exists()))?;
    fs::remove_file(&floor)?;
    chimed.process.signal(Signal::SIGTERM)?;
    chimed.process.wait(LIMIT)?;
    ensure!(floor.exists(), "nothing was kept at the end");
    let text = fs::read_to_string(drift)?;
    ensure!(text == kept, "{text:?} was written although nothing is new");
    Ok(())
}

/// What is damaged is told with what is allowed, and the daemon goes on.
pub(crate) fn damaged() -> Result<()> {
    let fake = FakeServer::honest()?;
    let folder = scratch()?;
    let path = write(folder.path(), "drift", "12,5\n")?;
    let state = folder.path().to_str().context("a path that is not UTF-8")?;
    let mut chimed = Chimed::start(&configuration(fake.port, state))?;
    let problem = "\"12,5\" is not a frequency: a number of ppm from -100000 to 100000 is allowed";
    chimed.process.wait_for_line(&format!("can't read {path}: {problem}"), LIMIT)?;
    chimed.wait_until("synchronisation", LIMIT, Status::is_synced)?;
    Ok(())
}

/// A folder that is not there is told of once.
pub(crate) fn missing() -> Result<()> {
    let fake = FakeServer::honest()?;
    let folder = scratch()?;
    let state = folder.path().join("not/there");
    let state = state.to_str().context("a path that is not UTF-8")?;
    let mut chimed = Chimed::start(&configuration(fake.port, state))?;
    chimed.process.wait_for_line("can't write ", LIMIT)?;
    // It is tried again at the end.
    chimed.process.signal(Signal::SIGTERM)?;
    chimed.process.wait(LIMIT)?;
    ensure!(
        chimed.process.transcript.count("can't write ") == 1,
        "{:?}",
        chimed.process.transcript.lines()
    );
    Ok(())
}
