//! The system calls that systemd's unit leaves to the daemon.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use truechimer_tests::chimed::{listen, server};
use truechimer_tests::process::{Process, finish, output};
use truechimer_tests::{binaries, free_port, scratch, write};

use super::{SOON, chimectl};

const UNIT: &str = include_str!("../../hosted/dist/systemd/chimed.service");

/// All that its processes make from its start to its end: it looks a name up, asks itself for the time, and
/// is asked how it is.
pub(crate) fn calls() -> Result<()> {
    let (directory, port) = (scratch()?, free_port()?);
    let (trace, socket) = (directory.path().join("trace"), directory.path().join("control"));
    let named = "[[server]]\naddress = \"localhost\"\n";
    let text = format!(
        "clock = \"software\"\nuser = \"nobody\"\ncontrol = \"{}\"\n{named}{}{}[local]\n",
        socket.display(),
        server(port, -2),
        listen(port)
    );
    let file = write(directory.path(), "chimed.toml", &text)?;
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(&trace).arg(binaries::chimed()?);
    let mut process = Process::start(strace.args(["-f", &file]))?;
    process.wait_for_line("ntp engine ready", SOON)?;
    let ended = finish(chimectl()?.arg("-s").arg(&socket).arg("status"), SOON)?;
    ensure!(ended.code == Some(0), "{ended:?}");
    let id = fs::read_to_string(&trace)?.split_whitespace().next().context("no trace")?.parse()?;
    kill(Pid::from_raw(id), Signal::SIGTERM)?;
    ensure!(process.wait(SOON)?.success());

    let trace = fs::read_to_string(&trace)?;
    let names = trace.lines().filter_map(|line| Some(line.split_once(' ')?.1.split_once('(')?.0));
    let names: BTreeSet<_> = names.map(str::trim).filter(|name| is_name(name)).collect();
    for name in ["poll", "sendmsg", "accept4", "exit_group"] {
        ensure!(names.contains(name), "no {name} in {names:?}");
    }
    let mut allowed = BTreeSet::new();
    let filter = UNIT.lines().find_map(|line| line.strip_prefix("SystemCallFilter="));
    // What is always allowed, besides.
    for set in filter.context("no filter")?.split(' ').chain(["@default"]) {
        match set.starts_with('@') {
            true => expand(set, &mut allowed)?,
            false => drop(allowed.insert(set.to_owned())),
        }
    }
    let refused: Vec<_> = names.iter().filter(|name| !allowed.contains(**name)).collect();
    ensure!(refused.is_empty(), "the unit refuses {refused:?}");
    ensure!(allowed.contains("clock_adjtime") && allowed.contains("adjtimex"), "not the clock");
    ensure!(!allowed.contains("ptrace") && !allowed.contains("mount"), "all is allowed");
    Ok(())
}

/// The calls of one of systemd's sets and of those in it.
fn expand(set: &str, calls: &mut BTreeSet<String>) -> Result<()> {
    let text = output(Command::new("systemd-analyze").args(["syscall-filter", set]))?;
    for word in text.lines().skip(1).map(str::trim) {
        match word {
            word if word.starts_with('@') => expand(word, calls)?,
            word if is_name(word) => drop(calls.insert(word.to_owned())),
            // A comment.
            _ => {}
        }
    }
    Ok(())
}

fn is_name(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
