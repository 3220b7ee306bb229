//! The log on standard error: for people, for a terminal, for a service manager's journal.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use truechimer_tests::chimed::{Chimed, listen, server};
use truechimer_tests::fake::{Datagram, FakeServer, Reply};
use truechimer_tests::process::{Process, finish};
use truechimer_tests::{scratch, wait_for, write};

use super::{SOON, chimectl, chimed, neutral};

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

impl Stream {
    /// Says so to a program whose log is the file at `path`.
    fn set(self, command: &mut Command, path: &str) -> Result<()> {
        match self {
            Self::None => {}
            Self::Text(text) => drop(command.env("JOURNAL_STREAM", text)),
            Self::Journal(off) => {
                let log = fs::metadata(path)?;
                command.env("JOURNAL_STREAM", format!("{}:{}", log.dev(), log.ino() + off));
            }
        }
        Ok(())
    }
}

/// Only the stream that is the log's own has severities for the journal.
pub(crate) fn journal() -> Result<()> {
    let lines = logged(Stream::Journal(0), &["-v", "--log", "stderr"])?;
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
    let lines =
        logged(Stream::Journal(0), &["--log", "stderr", "--log-profile", "appliance", "-v"])?;
    ensure!(find(&lines, SKIPPED)? == format!("<7>{SKIPPED}"), "{lines:?}");
    Ok(())
}

/// The file says what is shown and how severe it is, and the command line in its place.
pub(crate) fn levels() -> Result<()> {
    for (lines, arguments, shown) in [
        ("", &[][..], &[SKIPPED, READY][..]),
        ("level = \"debug\"", &[], &[SKIPPED, READY, "cannot serve on"]),
        ("level = \"warning\"", &[], &[SKIPPED]),
        ("level = \"error\"", &[], &[]),
        ("level = \"error\"", &["--log-level", "warning"], &[SKIPPED]),
        ("level = \"error\"", &["-v"], &[SKIPPED, READY, "cannot serve on"]),
        ("profile = \"appliance\"", &[], &[READY]),
        ("profile = \"appliance\"", &["--log-profile", "unix"], &[SKIPPED, READY]),
    ] {
        let directory = scratch()?;
        let (_taken, file) = configuration(directory.path(), &format!("[log]\n{lines}\n"))?;
        let mut daemon = Process::start(chimed()?.args(["-d", "-f", &file]).args(arguments))?;
        let control = directory.path().join("control");
        wait_for("the control socket", SOON, || Ok(control.exists().then_some(())))?;
        daemon.signal(Signal::SIGTERM)?;
        let status = daemon.wait(SOON)?;
        ensure!(status.code() == Some(0), "{lines} {arguments:?}: {status}");
        for text in [SKIPPED, READY, "cannot serve on"] {
            let count = daemon.transcript.count(text);
            let expected = usize::from(shown.contains(&text));
            ensure!(count == expected, "{lines} {arguments:?}: {:?}", daemon.transcript.lines());
        }
    }
    Ok(())
}

/// Syslog and the journal, where they are on a host, with fields and priority; chosen by the
/// configuration, and the journal by `JOURNAL_STREAM` too. Standard error stays empty.
pub(crate) fn receivers() -> Result<()> {
    let of_journal = format!("MESSAGE={READY}\nPRIORITY=6\nSYSLOG_IDENTIFIER=chimed\n");
    for (path, destination, stream, expected) in [
        ("/dev/log", "syslog", Stream::None, "<30>chimed["),
        ("/run/systemd/journal/socket", "journald", Stream::None, of_journal.as_str()),
        ("/run/systemd/journal/socket", "auto", Stream::Journal(0), of_journal.as_str()),
    ] {
        let directory = scratch()?;
        let receiver = UnixDatagram::bind(directory.path().join("socket"))?;
        receiver.set_read_timeout(Some(SOON))?;
        let options = format!("[log]\ndestination = \"{destination}\"\n");
        let (_taken, file) = configuration(directory.path(), &options)?;
        let log = write(directory.path(), "log", "")?;
        let mut command = neutral(Command::new("unshare"));
        command
            .args(["--map-root-user", "--mount", "sh", "-c", RECEIVER])
            .arg(path)
            .arg(directory.path());
        command.arg(&log).arg(chimed()?.get_program()).args(["-d", "-f", &file]);
        stream.set(&mut command, &log)?;
        let mut daemon = Process::start(&mut command)?;
        let skipped = take(&receiver).with_context(|| format!("of {path}"))?;
        ensure!(skipped.contains(SKIPPED), "{skipped:?}");
        if destination != "syslog" {
            ensure!(skipped.contains("\nPRIORITY=4\n"), "{skipped:?}");
            let fields = "\nCHIMED_EVENT=BindFailed\nCHIMED_ADDRESS=127.0.0.1\n";
            ensure!(skipped.ends_with(fields), "{skipped:?}");
        }
        let ready = wait_for(READY, SOON, || {
            Ok(Some(take(&receiver)?).filter(|text| text.contains(READY)))
        })?;
        ensure!(ready.starts_with(expected), "{ready:?}");
        daemon.signal(Signal::SIGTERM)?;
        daemon.wait(SOON)?;
        let stderr = fs::read_to_string(&log)?;
        ensure!(stderr.is_empty(), "{destination}: {stderr}");
    }
    Ok(())
}

/// Puts a socket at `$0` where there is none, in a mount namespace, and standard error into `$2`.
const RECEIVER: &str = r#"
set -e
path=$0 directory=$1 log=$2
shift 2
mkdir -p "$directory/dev" "$directory/run/systemd/journal"
for device in null urandom; do
    : > "$directory/dev/$device"
    mount --bind "/dev/$device" "$directory/dev/$device"
done
ln -s "$directory/socket" "$directory$path"
mount --rbind "$directory/dev" /dev
mount --bind "$directory/run" /run
exec "$@" 2>>"$log""#;

fn take(receiver: &UnixDatagram) -> Result<String> {
    let mut buffer = [0; 4_096];
    let length = receiver.recv(&mut buffer)?;
    Ok(String::from_utf8(buffer[..length].to_vec())?)
}

/// Without a receiver messages are not lost.
pub(crate) fn no_receiver() -> Result<()> {
    let directory = scratch()?;
    let (_taken, file) = configuration(directory.path(), "")?;
    let mut command = neutral(Command::new("unshare"));
    let hide = "mount -t tmpfs none /run && exec \"$@\"";
    command
        .args(["--map-root-user", "--mount", "sh", "-c", hide, "sh"])
        .arg(chimed()?.get_program());
    command.args(["-d", "--log", "journald", "-f", &file]);
    let mut daemon = Process::start(&mut command)?;
    let line = daemon.wait_for_line(READY, SOON)?;
    ensure!(is_dated(&line), "{line:?}");
    Ok(())
}

/// `chimectl log`: what standard error had, as a table and as JSON, and what is new.
pub(crate) fn memory() -> Result<()> {
    let fake = FakeServer::honest()?;
    let mut daemon = Chimed::start(&server(fake.port, -2))?;
    daemon.process.wait_for_line("clock is now synced", 3 * SOON)?;
    let ask = |arguments: &[&str]| -> Result<String> {
        let ended = finish(chimectl()?.arg("-s").arg(daemon.control()).args(arguments), SOON)?;
        ensure!(ended.code == Some(0) && ended.stderr.is_empty(), "{ended:?}");
        Ok(ended.stdout)
    };
    let table = ask(&["log"])?;
    let first: Vec<_> = daemon.process.transcript.lines().into_iter().take(8).collect();
    ensure!(first.iter().eq(table.lines().take(8)), "{first:?} in {table}");
    let json: Value = serde_json::from_str(&ask(&["--json", "log"])?)?;
    let ready = json.as_array().into_iter().flatten().find(|line| line["text"] == READY);
    let ready = ready.with_context(|| format!("not {READY}: {json}"))?;
    ensure!(ready["level"] == "info", "{ready}");
    ensure!(ready["time"].as_str().is_some_and(|time| is_dated(&format!("{time} "))), "{ready}");

    let follow = |format: &[&str]| {
        let mut command = chimectl()?;
        command.arg("-s").arg(daemon.control()).args(["log", "--follow"]).args(format);
        Process::start(&mut command)
    };
    let (mut text, mut json) = (follow(&[])?, follow(&["--json"])?);
    for follower in [&mut text, &mut json] {
        follower.wait_for_line(READY, SOON)?;
    }
    fake.follow(|query| vec![Datagram::FromHere(Reply::kiss(query, *b"RATE").emit())]);
    let line = text.wait_for_line("KoD RATE", SOON)?;
    ensure!(line.contains(" info     reply from 127.0.0.1: not synced (KoD RATE)"), "{line}");
    let line: Value = serde_json::from_str(&json.wait_for_line("KoD RATE", SOON)?)?;
    ensure!(line["level"] == "info", "{line}");
    daemon.process.signal(Signal::SIGTERM)?;
    for follower in [&mut text, &mut json] {
        ensure!(follower.wait(SOON)?.code() == Some(1), "the daemon has ended");
        follower.wait_for_line("has ended", SOON)?;
    }
    Ok(())
}

/// Of levels and errors, on a terminal and unless it is not wanted.
pub(crate) fn colour() -> Result<()> {
    let directory = scratch()?;
    let (_taken, file) = configuration(directory.path(), "")?;
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
    let (_taken, file) = configuration(directory.path(), "")?;
    let path = write(directory.path(), "log", "")?;
    let mut command = neutral(Command::new("sh"));
    command.args(["-c", "exec \"$@\" 2>>\"$LOG\"", "sh"]).env("LOG", &path);
    stream.set(&mut command, &path)?;
    command.arg(chimed()?.get_program()).args(["-d", "-f", &file]).args(arguments);
    let mut daemon = Process::start(&mut command)?;
    wait_for(READY, SOON, || Ok(fs::read_to_string(&path)?.contains(READY).then_some(())))?;
    daemon.signal(Signal::SIGTERM)?;
    let status = daemon.wait(SOON)?;
    ensure!(status.code() == Some(0), "{status}");
    Ok(fs::read_to_string(&path)?.lines().map(str::to_owned).collect())
}

/// One with a listen address that is taken.
fn configuration(directory: &Path, more: &str) -> Result<(UdpSocket, String)> {
    let taken = UdpSocket::bind("127.0.0.1:0")?;
    let control = directory.join("control").display().to_string();
    let listen = listen(taken.local_addr()?.port());
    let text = format!("clock = \"software\"\ncontrol = \"{control}\"\n{listen}[local]\n{more}");
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
