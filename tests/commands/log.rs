//! The log on standard error: for people, for a terminal, for a service manager's journal.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use truechimer_tests::chimed::listen;
use truechimer_tests::process::Process;
use truechimer_tests::{scratch, wait_for, write};

use super::{SOON, chimed, neutral};

const READY: &str = "ntp engine ready";
const SKIPPED: &str = "bind on 127.0.0.1 failed, skipping";
const ENDED: &str = "Terminating";

/// How the log is to be seen.
#[derive(Debug, Clone, Copy)]
enum Stream {
    /// `JOURNAL_STREAM` is not set.
    None,
    /// It names the log's own file, by as much as this off in the inode.
    Journal(u64),
    /// It is this text.
    Text(&'static str),
}

/// Only the stream that is the log's own has severities for the journal.
pub(crate) fn journal() -> Result<()> {
    let lines = logged(Stream::Journal(0), &["-v"])?;
    for (text, prefix) in [(SKIPPED, "<4>"), (READY, "<6>"), ("cannot serve on", "<7>")] {
        ensure!(find(&lines, text)?.starts_with(&format!("{prefix}{text}")), "{lines:?}");
    }
    for stream in
        [Stream::None, Stream::Journal(1), Stream::Text(""), Stream::Text("nonsense:of:some")]
    {
        let lines = logged(stream, &[])?;
        for (text, level) in [(SKIPPED, "warning"), (READY, "info"), (ENDED, "info")] {
            let line = find(&lines, text)?;
            ensure!(line.ends_with(&format!(" {level:<8} {text}")), "{stream:?}: {line:?}");
            ensure!(is_dated(line), "{stream:?}: {line:?}");
        }
    }
    Ok(())
}

/// The same texts with other severities, and shown or not by those.
pub(crate) fn profiles() -> Result<()> {
    for (arguments, level) in [
        (&["--log-profile", "unix"][..], Some("warning")),
        (&["--log-profile", "appliance"], None),
        (&["--log-profile", "appliance", "-v"], Some("debug")),
    ] {
        let lines = logged(Stream::None, arguments)?;
        match level {
            Some(level) => {
                let line = find(&lines, SKIPPED)?;
                ensure!(line.ends_with(&format!(" {level:<8} {SKIPPED}")), "{line:?}");
            }
            None => ensure!(find(&lines, SKIPPED).is_err(), "{lines:?}"),
        }
        let line = find(&lines, READY)?;
        ensure!(line.ends_with(&format!(" info     {READY}")), "{line:?}");
    }
    let lines = logged(Stream::Journal(0), &["--log-profile", "appliance", "-v"])?;
    ensure!(find(&lines, SKIPPED)? == format!("<7>{SKIPPED}"), "{lines:?}");
    Ok(())
}

/// Of levels and errors, on a terminal and unless it is not wanted.
pub(crate) fn colour() -> Result<()> {
    let directory = scratch()?;
    let (_taken, file) = configuration(directory.path())?;
    let on_a_terminal = |command: &mut Command| -> Result<(String, String)> {
        let mut daemon = Process::start_on_terminal(command.args(["-d", "-f", &file]))?;
        let line = daemon.wait_for_line(SKIPPED, SOON)?;
        daemon.wait_for_line(READY, SOON)?;
        daemon.signal(Signal::SIGTERM)?;
        daemon.wait(SOON)?;
        let mut failing = chimed()?;
        for (name, value) in command.get_envs() {
            value.map(|value| failing.env(name, value));
        }
        let failing = failing.args(["-d", "-f", "/nowhere/chimed.toml"]);
        let error = Process::start_on_terminal(failing)?.wait_for_line("cannot be read", SOON)?;
        Ok((line, error))
    };
    let (line, error) = on_a_terminal(&mut chimed()?)?;
    ensure!(line.contains(" \x1b[33mwarning \x1b[0m bind on"), "{line:?}");
    ensure!(error.starts_with("\x1b[1m\x1b[31mchimed:\x1b[0m /nowhere"), "{error:?}");
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let (line, error) = on_a_terminal(chimed()?.env(name, value))?;
        ensure!(is_dated(&line) && line.contains(" warning  bind on"), "{name}: {line:?}");
        ensure!(error.starts_with("chimed: /nowhere"), "{name}: {error:?}");
    }
    Ok(())
}

/// What a daemon that cannot serve where it is to logs from start to end, into a file.
fn logged(stream: Stream, arguments: &[&str]) -> Result<Vec<String>> {
    let directory = scratch()?;
    let (_taken, file) = configuration(directory.path())?;
    let path = write(directory.path(), "log", "")?;
    let mut command = neutral(Command::new("sh"));
    command.args(["-c", "exec \"$@\" 2>>\"$LOG\"", "sh"]).env("LOG", &path);
    match stream {
        Stream::None => {}
        Stream::Text(text) => drop(command.env("JOURNAL_STREAM", text)),
        Stream::Journal(off) => {
            let log = fs::metadata(&path)?;
            command.env("JOURNAL_STREAM", format!("{}:{}", log.dev(), log.ino() + off));
        }
    }
    command.arg(chimed()?.get_program()).args(["-d", "-f", &file]).args(arguments);
    let mut daemon = Process::start(&mut command)?;
    wait_for(READY, SOON, || Ok(fs::read_to_string(&path)?.contains(READY).then_some(())))?;
    daemon.signal(Signal::SIGTERM)?;
    let status = daemon.wait(SOON)?;
    ensure!(status.code() == Some(0), "{status}");
    Ok(fs::read_to_string(&path)?.lines().map(str::to_owned).collect())
}

/// One with a listen address that is taken.
fn configuration(directory: &Path) -> Result<(UdpSocket, String)> {
    let taken = UdpSocket::bind("127.0.0.1:0")?;
    let listen = listen(taken.local_addr()?.port());
    let text = format!("clock = \"software\"\ncontrol = \"\"\n{listen}[local]\n");
    Ok((taken, write(directory, "chimed.toml", &text)?))
}

fn find<'a>(lines: &'a [String], text: &str) -> Result<&'a str> {
    let line = lines.iter().find(|line| line.contains(text));
    line.map(String::as_str).with_context(|| format!("no `{text}` in {lines:?}"))
}

/// `2026-11-22 17:33:50 `.
fn is_dated(line: &str) -> bool {
    line.split_at_checked(20).is_some_and(|(date, _)| {
        date.bytes().zip(*b"0000-00-00 00:00:00 ").all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            other => byte == other,
        })
    })
}
