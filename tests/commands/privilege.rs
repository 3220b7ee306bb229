//! The kernel's clock without the privilege to change it, and two daemons. Whatever is started
//! with `clock = "kernel"` here is so where it can only be refused.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use truechimer_tests::chimed::{Chimed, server};
use truechimer_tests::fake::FakeServer;
use truechimer_tests::namespace::{Namespace, command_of_nobody};
use truechimer_tests::process::{Process, finish};
use truechimer_tests::{binaries, scratch, write};

use super::{SOON, chimectl, chimed, neutral};

const LIMIT: Duration = Duration::from_secs(30);
/// How far the server's clock is ahead, s.
const AHEAD: f64 = 0.3;
/// What may be measured wrongly on a busy machine, s.
const CLOSE: f64 = 0.01;

/// It says so once and follows the server in all but the clock.
pub(crate) fn only_watches() -> Result<()> {
    watches(Chimed::watch_in)
}

/// So it does when it is the parent that is refused.
pub(crate) fn all_only_watch() -> Result<()> {
    watches(Chimed::watch_separated_in)
}

fn watches(watch: impl Fn(&Namespace, &str) -> Result<Chimed>) -> Result<()> {
    let namespace = Namespace::new()?;
    let ahead = format!(
        "[[listen]]\naddress = \"127.0.0.1\"\n[local]\nstratum = 1\n[software_clock]\n\
         offset = {AHEAD}\n"
    );
    let _server = Chimed::start_in(&namespace, &ahead)?;
    let (start, wall) = (Instant::now(), SystemTime::now());
    let mut chimed = watch(&namespace, &server(123, -2))?;
    let is_followed = |offset: f64| (offset - AHEAD).abs() < CLOSE;
    chimed.wait_until("the server's offset", LIMIT, |status| {
        Ok(status.number("offset").is_ok_and(is_followed) && status.number("peers_valid")? == 1.0)
    })?;
    std::thread::sleep(Duration::from_secs(5));

    let status = chimed.status()?;
    ensure!(status.text("clock")? == "kernel" && !status.is_controlled()?, "{status:?}");
    ensure!(is_followed(status.number("offset")?), "the clock moved: {status:?}");
    let moved = wall.elapsed()?.as_secs_f64() - start.elapsed().as_secs_f64();
    ensure!(moved.abs() < CLOSE, "the clock moved by {moved} s");
    let table = finish(chimectl()?.arg("-s").arg(chimed.control()).arg("status"), SOON)?;
    ensure!(table.stdout.contains("disciplined      kernel, only watched\n"), "{table:?}");

    chimed.process.signal(Signal::SIGTERM)?;
    let status = chimed.process.wait(SOON)?;
    ensure!(status.code() == Some(0), "{status}");
    chimed.process.wait_for_line("Terminating", SOON)?;
    let log = &chimed.process.transcript;
    for (text, times) in [
        ("cannot adjust the kernel's clock (", 1),
        ("run as root or with CAP_SYS_TIME, or set clock = \"software\"", 1),
        ("set local clock", 0),
        ("adjusting", 0),
        ("failed", 0),
    ] {
        ensure!(log.count(text) == times, "`{text}` is logged {} times", log.count(text));
    }
    Ok(())
}

/// Started by a user who has nothing, it says what it does without, and runs; as several processes too.
pub(crate) fn of_nobody() -> Result<()> {
    let fake = FakeServer::honest()?;
    let (directory, closed) = (scratch()?, scratch()?);
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
    fs::set_permissions(closed.path(), Permissions::from_mode(0o700))?;
    let program = binaries::copied(&binaries::chimed()?, directory.path())?;
    let [state, control] = ["state", "control"].map(|name| closed.path().join(name));
    let text = format!(
        "clock = \"kernel\"\nstate = {state:?}\ncontrol = {control:?}\n{}",
        server(fake.port, -2)
    );
    let file = write(directory.path(), "chimed.toml", &text)?;
    for mode in [&["-d"][..], &[]] {
        let mut command = neutral(command_of_nobody(&program));
        let mut daemon = Process::start(command.args(mode).args(["-v", "-f", &file]))?;
        for text in [
            "cannot adjust the kernel's clock (",
            "run as root or with CAP_SYS_TIME, or set clock = \"software\"",
            &format!("can't open {}/drift", state.display()),
            &format!("control_init: bind: {}", control.display()),
            "peer 127.0.0.1 now valid",
        ] {
            daemon.wait_for_line(text, LIMIT)?;
            ensure!(daemon.transcript.count(text) == 1, "`{text}` more than once");
        }
        daemon.signal(Signal::SIGTERM)?;
        let status = daemon.wait(SOON)?;
        ensure!(status.code() == Some(0), "{mode:?}: {status}");
    }
    Ok(())
}

/// Two at the kernel's clock would fight; the socket tells of the other one.
pub(crate) fn one_daemon() -> Result<()> {
    let namespace = Namespace::new()?;
    let first = Chimed::watch_in(&namespace, "")?;
    let directory = scratch()?;
    let file = configure(directory.path(), "kernel", first.control(), "")?;
    let mut command = neutral(namespace.command_without_clock(binaries::chimed()?));
    let ended = finish(command.args(["-d", "-v", "-f", &file]), SOON)?;
    ensure!(ended.code == Some(1) && ended.stdout.is_empty(), "{ended:?}");
    let message = format!(
        "chimed: cannot start: another chimed is running: it listens on {}\n",
        first.control().display()
    );
    ensure!(ended.stderr == message, "{ended:?}");
    // As several processes it is the ntp engine that says so, and ends.
    let mut command = neutral(namespace.command_without_clock(binaries::chimed()?));
    let ended = finish(command.args(["-v", "-f", &file]), SOON)?;
    let lost = "Lost child: ntp engine exited";
    let all = ended.stderr.contains(&message) && ended.stderr.contains(lost);
    ensure!(ended.code == Some(1) && all, "{ended:?}");
    first.status()?;
    Ok(())
}

/// A software clock is nobody else's, so the second does without the socket, and leaves it to the
/// first.
pub(crate) fn one_socket() -> Result<()> {
    let fake = FakeServer::honest()?;
    let (first, directory) = (Chimed::start("")?, scratch()?);
    let file = configure(directory.path(), "software", first.control(), &server(fake.port, -2))?;
    let mut second = Process::start(chimed()?.args(["-d", "-v", "-f", &file]))?;
    let control = first.control().display();
    second.wait_for_line("clock is now synced", LIMIT)?;
    let refused = format!(" warning  control_init: bind: {control}");
    let reason = format!(" debug    {control}: another daemon listens on it");
    for text in [refused, reason] {
        ensure!(second.transcript.count(&text) == 1, "{:?}", second.transcript.lines());
    }
    ensure!(first.status()?.number("peers")? == 0.0, "the second has taken the socket");
    second.signal(Signal::SIGTERM)?;
    let status = second.wait(SOON)?;
    ensure!(status.code() == Some(0), "{status}");
    first.status()?;
    Ok(())
}

fn configure(directory: &Path, clock: &str, control: &Path, rest: &str) -> Result<String> {
    // In a namespace there is nobody to become.
    let text =
        format!("clock = \"{clock}\"\nuser = \"\"\ncontrol = \"{}\"\n{rest}", control.display());
    write(directory, "chimed.toml", &text)
}
