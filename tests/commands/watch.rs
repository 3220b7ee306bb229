//! `chimectl watch`.

use std::process::Command;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use truechimer_tests::chimed::{Chimed, Status, server};
use truechimer_tests::fake::FakeServer;
use truechimer_tests::process::{Process, finish};
use truechimer_tests::scratch;
use truechimer_tests::terminal::Terminal;

use super::{SOON, chimectl};

/// What a frame is drawn with.
const CORNER: char = '┌';

/// The table and the graphs, on a terminal that changes its size.
pub(crate) fn live() -> Result<()> {
    let fake = FakeServer::honest()?;
    let chimed = synced(&fake)?;
    let mut terminal = Terminal::start(&mut watch(&chimed, "0.2")?, 30, 130)?;
    let name = format!("127.0.0.1:{}", fake.port);
    terminal.wait_until("the peer", SOON, |text| {
        text.lines().any(|line| line.starts_with(&name) && line.contains("selected"))
    })?;
    let text = terminal.text();
    for part in ["  synced  stratum 2", "1 of 1 peers valid", "┌offset─", "┌error bound─", "now"]
    {
        ensure!(text.contains(part), "no {part:?} in\n{text}");
    }
    ensure!(terminal.is_taken()? && terminal.is_coloured());
    terminal.wait_until("a line in the graphs", SOON, |text| {
        text.contains(|dots| ('\u{2801}'..='\u{28ff}').contains(&dots))
    })?;

    terminal.resize(12, 90)?;
    terminal.wait_until("room for the table only", SOON, |text| {
        !text.contains(CORNER) && text.contains(&name)
    })?;
    terminal.resize(40, 160)?;
    terminal.wait_until("graphs of another width", SOON, |text| {
        text.lines().any(|line| line.starts_with(CORNER) && line.chars().count() == 160)
    })?;
    terminal.press("q")?;
    let status = terminal.process.wait(SOON)?;
    ensure!(status.success(), "{status}");
    terminal.wait_until_restored(SOON)
}

/// The terminal is as it was, whatever ends it.
pub(crate) fn ending() -> Result<()> {
    let chimed = Chimed::start("")?;
    for end in [None, Some(Signal::SIGTERM), Some(Signal::SIGINT), Some(Signal::SIGHUP)] {
        let mut command = watch(&chimed, "600")?;
        let mut terminal = Terminal::start(command.env("NO_COLOR", "1"), 24, 80)?;
        terminal.wait_until("the end of the screen", SOON, |text| text.contains("q: end"))?;
        ensure!(!terminal.is_coloured(), "{}", terminal.text());
        match end {
            None => terminal.press("\x03")?,
            Some(signal) => terminal.process.signal(signal)?,
        }
        let status = terminal.process.wait(SOON)?;
        ensure!(status.success(), "{end:?}: {status}");
        terminal.wait_until_restored(SOON)?;
    }
    Ok(())
}

/// The daemon ends, and another begins in its place.
pub(crate) fn lost() -> Result<()> {
    let mut chimed = Chimed::start("")?;
    let mut terminal = Terminal::start(&mut watch(&chimed, "0.2")?, 24, 100)?;
    terminal.wait_until("the status", SOON, |text| text.contains("0 of 0 peers valid"))?;
    chimed.process.signal(Signal::SIGTERM)?;
    chimed.process.wait(SOON)?;
    terminal.wait_until("why it is not asked", SOON, |text| {
        text.contains("cannot reach chimed at") && text.contains("0 of 0 peers valid")
    })?;
    let file = chimed.rewrite("")?;
    let _other = Process::start(super::chimed()?.args(["-d", "-f", &file]))?;
    terminal.wait_until("the other one", SOON, |text| !text.contains("cannot reach"))?;
    terminal.press("q")?;
    let status = terminal.process.wait(SOON)?;
    ensure!(status.success(), "{status}");

    let directory = scratch()?;
    let mut nowhere = chimectl()?;
    nowhere.arg("-s").arg(directory.path().join("control")).arg("watch");
    let mut terminal = Terminal::start(&mut nowhere, 24, 100)?;
    let status = terminal.process.wait(SOON)?;
    ensure!(status.code() == Some(1), "{status}");
    terminal.wait_until("why", SOON, |text| text.contains("chimectl: cannot reach chimed at"))
}

/// Where there is no terminal: a line each time, for people or for programs.
pub(crate) fn without_a_terminal() -> Result<()> {
    let fake = FakeServer::honest()?;
    let chimed = synced(&fake)?;
    let mut watching = Process::start(&mut watch(&chimed, "0.2")?)?;
    let line = watching.wait_for_line("  synced    offset ", SOON)?;
    ensure!(line.contains("1 of 1 peers valid") && !line.contains('\x1b'), "{line:?}");
    watching.signal(Signal::SIGTERM)?;
    let status = watching.wait(SOON)?;
    ensure!(status.success(), "{status}");

    // Its reader has enough at some time.
    let program = watch(&chimed, "0.1")?;
    let words = program.get_args().map(|word| word.to_string_lossy());
    let script = format!(
        "{} {} --json | head -n 3",
        program.get_program().display(),
        words.collect::<Vec<_>>().join(" ")
    );
    let ended = finish(Command::new("sh").args(["-c", &script]), SOON)?;
    let lines: Vec<Value> =
        ended.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(lines.len() == 3 && ended.stderr.is_empty(), "{ended:?}");
    for line in &lines {
        ensure!(line["status"]["synced"] == true && line["time"].is_string(), "{line}");
        ensure!(line["peers"][0]["valid"] == true, "{line}");
    }
    ensure!(lines[0]["status"]["uptime"].as_f64() < lines[2]["status"]["uptime"].as_f64());

    let ended = finish(&mut watch(&chimed, "0.01")?, SOON)?;
    ensure!(ended.code == Some(2) && ended.stderr.contains("0.1 to 3600 are allowed"), "{ended:?}");
    Ok(())
}

fn synced(fake: &FakeServer) -> Result<Chimed> {
    let chimed = Chimed::start(&server(fake.port, -2))?;
    chimed.wait_until("synchronisation", 3 * SOON, Status::is_synced)?;
    Ok(chimed)
}

fn watch(chimed: &Chimed, interval: &str) -> Result<Command> {
    let mut command = chimectl()?;
    command.arg("-s").arg(chimed.control()).args(["watch", "--interval", interval]);
    Ok(command)
}
