//! `chimed demo`.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use truechimer_tests::process::{Process, finish};

use super::{SOON, chimed};

/// The demonstration's own limit and a little.
const LIMIT: Duration = Duration::from_secs(70);
/// How wrong the clock starts, s.
const START: f64 = -1.5;

/// A second's line of progress.
#[derive(Debug)]
struct Progress {
    second: u64,
    error: f64,
    synced: bool,
}

impl Progress {
    /// `  4 s  error +0.000176 s  frequency   +0.000 ppm  synced`.
    fn parse(line: &str) -> Result<Self> {
        let words: Vec<_> = line.split_whitespace().collect();
        let [second, "s", "error", error, "s", "frequency", frequency, "ppm", state] = words[..]
        else {
            anyhow::bail!("not a line of progress: {line:?}");
        };
        ensure!(frequency.starts_with(['+', '-']) && error.starts_with(['+', '-']), "{line:?}");
        let _: f64 = frequency.parse()?;
        ensure!(matches!(state, "synced" | "unsynced"), "{line:?}");
        Ok(Self { second: second.parse()?, error: error.parse()?, synced: state == "synced" })
    }
}

pub(crate) fn whole() -> Result<()> {
    let ended = finish(chimed()?.arg("demo"), LIMIT)?;
    ensure!(ended.code == Some(0), "{ended:?}");
    ensure!(!(ended.stdout.clone() + &ended.stderr).contains('\x1b'), "escape codes: {ended:?}");

    let (progress, last) = ended.stdout.trim_end().rsplit_once('\n').context("one line")?;
    ensure!(last == "The clock has stayed within 100 us for 10 s.", "{last:?}");
    let progress: Vec<_> = progress.lines().map(Progress::parse).collect::<Result<_>>()?;
    let (first, end) = (&progress[0], &progress[progress.len() - 1]);
    ensure!((first.error - START).abs() < 1e-3 && !first.synced, "{first:?}");
    ensure!(first.second == 0 && (10..=60).contains(&end.second), "{progress:?}");
    ensure!(end.error.abs() <= 1e-4 && end.synced, "{end:?}");
    // One a second and one at the end; a busy machine may delay one into the next second.
    let seconds = progress.windows(2).all(|pair| pair[1].second <= pair[0].second + 2);
    ensure!(seconds && (end.second + 1..=end.second + 2).contains(&(progress.len() as u64)));

    let at = |text: &str| ended.stderr.find(text).with_context(|| format!("no `{text}` logged"));
    ensure!(at("set local clock to ")? < at("clock is now synced")?, "{}", ended.stderr);
    ensure!(ended.stderr.contains("(offset 1.499"), "another step: {}", ended.stderr);
    // Of the machine's state and its list of leap seconds, which may be of any age.
    for text in ["/var/lib/", "list of leap seconds"] {
        ensure!(!ended.stderr.contains(text), "{text} is none of its business: {}", ended.stderr);
    }
    Ok(())
}

pub(crate) fn on_a_terminal() -> Result<()> {
    let line = interrupted(&mut chimed()?)?;
    ensure!(line.contains("\x1b[33m██") && line.contains("█\x1b[0m"), "{line:?}");
    Ok(())
}

/// `NO_COLOR` takes the colour and leaves the bar.
pub(crate) fn without_colour() -> Result<()> {
    let line = interrupted(chimed()?.env("NO_COLOR", "1"))?;
    ensure!(line.contains("  ██") && !line.contains('\x1b'), "{line:?}");
    Ok(())
}

/// Starts it on a terminal, interrupts it, and returns a line of its progress.
fn interrupted(command: &mut Command) -> Result<String> {
    let mut demo = Process::start_on_terminal(command.arg("demo"))?;
    let line = demo.wait_for_line("  1 s  error -1.4999", SOON)?;
    demo.signal(Signal::SIGINT)?;
    let status = demo.wait(SOON)?;
    ensure!(status.code() == Some(1), "{status}");
    let message = demo.wait_for_line("interrupted", SOON)?;
    let plain = !line.contains('\x1b');
    ensure!(!plain || message == "chimed: interrupted\r", "{message:?}");
    Ok(line)
}
