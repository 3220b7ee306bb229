//! Outputs that cannot be written.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use truechimer_tests::chimed::{Chimed, server};
use truechimer_tests::fake::FakeServer;
use truechimer_tests::process::{Process, finish, finish_onto};
use truechimer_tests::{free_port, scratch, wait_for, write};

use super::{SOON, chimectl, chimed};

/// A result that is lost is a failure.
pub(crate) fn to_a_full_disk() -> Result<()> {
    let (fake, chimed) = (FakeServer::honest()?, Chimed::start("")?);
    for mut command in printing(&fake, &chimed)? {
        let ended = finish_onto(&mut command, full()?, SOON)?;
        let message = "cannot write to standard output: No space left on device (os error 28)";
        ensure!(ended.code == Some(1), "{command:?}: {ended:?}");
        // The demo logs before.
        let last = ended.stderr.lines().last().unwrap_or_default();
        let (program, last) = last.split_once(": ").unwrap_or_default();
        ensure!(last == message, "{command:?}: {ended:?}");
        ensure!(Path::new(command.get_program()).ends_with(program), "{command:?}: {ended:?}");
    }
    Ok(())
}

/// The status tells of an error that the message cannot.
pub(crate) fn errors_to_a_full_disk() -> Result<()> {
    let closed = format!("127.0.0.1:{}", free_port()?);
    let nowhere = "/nowhere/chimed";
    for (mut command, arguments, code) in [
        (chimed()?, &["query", &closed][..], 1),
        (chimed()?, &["-d", "-f", nowhere], 1),
        (chimed()?, &["-d", "-g"], 2),
        (chimectl()?, &["-s", nowhere, "status"], 1),
    ] {
        let ended = finish(&mut onto_full(command.args(arguments)), SOON)?;
        ensure!(ended.code == Some(code), "{arguments:?}: {ended:?}");
    }
    Ok(())
}

/// The daemon goes on without its log.
pub(crate) fn log_to_a_full_disk() -> Result<()> {
    let directory = scratch()?;
    let socket = directory.path().join("control");
    let fake = FakeServer::honest()?;
    let text = format!(
        "clock = \"software\"\ncontrol = \"{}\"\n{}",
        socket.display(),
        server(fake.port, -2)
    );
    let file = write(directory.path(), "chimed.toml", &text)?;
    let mut daemon = Process::start(&mut onto_full(chimed()?.args(["-d", "-v", "-f", &file])))?;
    wait_for("a synchronised clock", 3 * SOON, || {
        let ended = finish(chimectl()?.arg("-s").arg(&socket).arg("status"), SOON)?;
        Ok(ended.stdout.contains(" synced\n").then_some(()))
    })?;
    daemon.signal(Signal::SIGTERM)?;
    let status = daemon.wait(SOON)?;
    ensure!(status.code() == Some(0), "{status}");
    ensure!(!socket.exists(), "the control socket is left behind");
    Ok(())
}

/// A reader that has seen enough is no failure.
pub(crate) fn to_nobody() -> Result<()> {
    let (fake, chimed) = (FakeServer::honest()?, Chimed::start("")?);
    let at_once = |command: &Command| !command.get_args().any(|argument| argument == "demo");
    for mut command in printing(&fake, &chimed)?.into_iter().filter(at_once) {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        let ended = finish_onto(&mut command, OwnedFd::from(writer), SOON)?;
        ensure!(ended.code == Some(0) && ended.stderr.is_empty(), "{command:?}: {ended:?}");
    }
    Ok(())
}

/// All that print a result.
fn printing(fake: &FakeServer, running: &Chimed) -> Result<Vec<Command>> {
    let mut query = chimed()?;
    query.arg("query").arg(format!("127.0.0.1:{}", fake.port));
    let mut demo = chimed()?;
    demo.arg("demo");
    let mut commands = vec![query, demo];
    for question in ["status", "peers", "server", "kernel"] {
        for format in [None, Some("--json")] {
            let mut command = chimectl()?;
            command.arg("-s").arg(running.control()).arg(question).args(format);
            commands.push(command);
        }
    }
    Ok(commands)
}

fn full() -> Result<Stdio> {
    Ok(File::options().write(true).open("/dev/full")?.into())
}

/// The same with its standard error full.
fn onto_full(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$@\" 2>/dev/full", "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    shell
}
