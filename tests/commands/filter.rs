//! The system calls that systemd's units leave to the daemon and to the exporter.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use truechimer_tests::chimed::{listen, server};
use truechimer_tests::process::{Process, finish, output};
use truechimer_tests::{binaries, free_port, scratch, write};

use super::exporter::give_up_root;
use super::{SOON, chimectl};

const UNIT: &str = include_str!("../../hosted/dist/systemd/chimed.service");
const EXPORTER: &str = include_str!("../../hosted/dist/systemd/chimed-exporter.service");

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

    let allowed = covers(UNIT, &trace, &["poll", "sendmsg", "accept4", "exit_group"], &[])?;
    ensure!(allowed.contains("clock_adjtime") && allowed.contains("adjtimex"), "not the clock");
    Ok(())
}

/// All that the exporter makes from its start to its end: somebody looks at its page.
pub(crate) fn calls_of_exporter() -> Result<()> {
    let directory = scratch()?;
    let (trace, socket) = (directory.path().join("trace"), directory.path().join("control"));
    // strace writes it as the user nobody.
    fs::write(&trace, "")?;
    fs::set_permissions(&trace, Permissions::from_mode(0o666))?;
    let mut strace = Command::new("strace");
    let chimectl = binaries::copied(&binaries::chimectl()?, directory.path())?;
    strace.args(["-f", "-qq", "-o"]).arg(&trace).arg(chimectl);
    strace.arg("-s").arg(&socket).args(["exporter", "-l", "127.0.0.1:0"]);
    give_up_root(&mut strace, &socket)?;
    let mut process = Process::start(&mut strace)?;
    let line = process.wait_for_line("serving at http://", SOON)?;
    let at = line.split('/').nth(2).context("no address")?;
    let mut client = TcpStream::connect(at)?;
    client.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut page = String::new();
    client.read_to_string(&mut page)?;
    ensure!(page.contains("cannot reach chimed at"), "{page}");
    let id = fs::read_to_string(&trace)?.split_whitespace().next().context("no trace")?.parse()?;
    kill(Pid::from_raw(id), Signal::SIGTERM)?;
    ensure!(process.wait(SOON)?.success());
    let known = ["poll", "accept4", "connect", "seccomp", "chroot", "exit_group"];
    // That fails is what it wants to see.
    covers(EXPORTER, &trace, &known, &["chroot"])?;
    Ok(())
}

/// A unit allows all calls of a trace, which has some that are known of, but those that it need not;
/// returns what it allows.
fn covers(unit: &str, trace: &Path, known: &[&str], but: &[&str]) -> Result<BTreeSet<String>> {
    let trace = fs::read_to_string(trace)?;
    let names = trace.lines().filter_map(|line| Some(line.split_once(' ')?.1.split_once('(')?.0));
    let names: BTreeSet<_> = names.map(str::trim).filter(|name| is_name(name)).collect();
    for name in known {
        ensure!(names.contains(name), "no {name} in {names:?}");
    }
    let mut allowed = BTreeSet::new();
    let filter = unit.lines().find_map(|line| line.strip_prefix("SystemCallFilter="));
    // What is always allowed, besides.
    for set in filter.context("no filter")?.split(' ').chain(["@default"]) {
        match set.starts_with('@') {
            true => expand(set, &mut allowed)?,
            false => drop(allowed.insert(set.to_owned())),
        }
    }
    let needed = names.iter().filter(|name| !but.contains(name));
    let refused: Vec<_> = needed.filter(|name| !allowed.contains(**name)).collect();
    ensure!(refused.is_empty(), "the unit refuses {refused:?}");
    ensure!(!allowed.contains("ptrace") && !allowed.contains("mount"), "all is allowed");
    Ok(allowed)
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
