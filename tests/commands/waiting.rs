//! `chimectl wait`.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::Value;
use truechimer_tests::chimed::{Chimed, server};
use truechimer_tests::fake::FakeServer;
use truechimer_tests::process::{Ended, Process, finish};
use truechimer_tests::{scratch, write};

use super::{SOON, chimectl, chimed};

/// From before there is a daemon.
pub(crate) fn synced() -> Result<()> {
    let (fake, directory) = (FakeServer::honest()?, scratch()?);
    let socket = directory.path().join("control");
    let mut waiting = Process::start(&mut wait(&socket, &["--until", "synced"])?)?;
    let configuration = format!(
        "clock = \"software\"\ncontrol = \"{}\"\n{}",
        socket.display(),
        server(fake.port, -2)
    );
    let file = write(directory.path(), "chimed.toml", &configuration)?;
    let _daemon = Process::start(chimed()?.args(["-d", "-f", &file]))?;
    let status = waiting.wait(3 * SOON)?;
    ensure!(status.success(), "{status}");
    ensure!(waiting.transcript.lines().is_empty(), "{:?}", waiting.transcript.lines());

    let ended = finish(&mut wait(&socket, &["--json"])?, SOON)?;
    let json: Value = serde_json::from_str(&ended.stdout)?;
    ensure!(ended.code == Some(0) && json["synced"] == true, "{ended:?}");
    Ok(())
}

/// The daemon answers, and its clock has no source; or it does not answer.
pub(crate) fn too_long() -> Result<()> {
    let chimed = Chimed::start("")?;
    for limit in ["0", "0.7"] {
        let message = format!("not synchronised within {limit} s: 0 of 0 peers valid");
        failed(&finish(&mut wait(chimed.control(), &["-t", limit])?, SOON)?, &message)?;
    }
    let ended = finish(&mut wait(chimed.control(), &["--until", "reachable", "-t", "5"])?, SOON)?;
    ensure!(ended.code == Some(0) && ended.stderr.is_empty(), "{ended:?}");

    let directory = scratch()?;
    let path = directory.path().join("control");
    let _silent = UnixListener::bind(&path)?;
    let message = format!("chimed at {} did not answer: nothing came within 0.", path.display());
    failed(&finish(&mut wait(&path, &["-t", "0.7"])?, SOON)?, &message)
}

/// What does not change by waiting ends it.
pub(crate) fn in_vain() -> Result<()> {
    let directory = scratch()?;
    let path = directory.path().join("control");
    let missing = format!("cannot reach chimed at {}: No such file", path.display());
    failed(&finish(&mut wait(&path, &["--until", "reachable", "-t", "0.2"])?, SOON)?, &missing)?;
    let path = write(directory.path(), "file", "")?;
    let path = Path::new(&path).join("control");
    let message = format!("cannot reach chimed at {}: Not a directory", path.display());
    failed(&finish(&mut wait(&path, &[])?, SOON)?, &message)
}

fn wait(socket: &Path, arguments: &[&str]) -> Result<Command> {
    let mut command = chimectl()?;
    command.arg("-s").arg(socket).arg("wait").args(arguments);
    Ok(command)
}

fn failed(ended: &Ended, message: &str) -> Result<()> {
    ensure!(ended.code == Some(1) && ended.stdout.is_empty(), "{ended:?}");
    let expected = format!("chimectl: {message}");
    ensure!(ended.stderr.starts_with(&expected), "{ended:?}, not {expected:?}");
    Ok(())
}
