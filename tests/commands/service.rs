//! `chimed` under a service manager that is told how it is.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use truechimer_tests::chimed::{Chimed, server};
use truechimer_tests::fake::FakeServer;
use truechimer_tests::scratch;

use super::SOON;

pub(crate) fn notified() -> Result<()> {
    notified_by(Chimed::start_with)
}

/// Of which only the parent is listened to.
pub(crate) fn of_several_processes() -> Result<()> {
    notified_by(Chimed::start_separated)
}

fn notified_by(start: impl Fn(&[(&str, &str)], &str) -> Result<Chimed>) -> Result<()> {
    let (fake, directory) = (FakeServer::honest()?, scratch()?);
    let path = directory.path().join("notify");
    let manager = Manager::at(UnixDatagram::bind(&path)?)?;
    let variables =
        [("NOTIFY_SOCKET", path.to_str().context("no UTF-8")?), ("WATCHDOG_USEC", "200000")];
    let mut chimed = start(&variables, &server(fake.port, -2))?;
    let first = manager.next()?;
    ensure!(first == "READY=1", "{first:?}");
    let until = |expected: &str| {
        let mut others = Vec::new();
        while others.last().is_none_or(|last| last != expected) {
            others.push(manager.next().with_context(|| format!("{expected} after {others:?}"))?);
        }
        others.pop();
        anyhow::Ok(others)
    };
    until("STATUS=unsynced; 0 of 1 peers valid")?;
    until("STATUS=synced, stratum 2; 1 of 1 peers valid")?;
    until("WATCHDOG=1")?;
    // The status is told when it changes, the rest of the time only that the daemon lives.
    let others = until("WATCHDOG=1")?;
    ensure!(others.is_empty(), "{others:?}");
    chimed.process.signal(Signal::SIGHUP)?;
    let others = until("READY=1")?;
    let reloading = "RELOADING=1\nMONOTONIC_USEC=";
    let times = others.iter().filter_map(|other| other.strip_prefix(reloading));
    let times = times.map(str::parse::<u64>).collect::<Result<Vec<_>, _>>()?;
    ensure!(times.len() == 1 && times[0] > 0, "{others:?}");
    chimed.process.signal(Signal::SIGTERM)?;
    let others = until("STOPPING=1")?;
    ensure!(others.iter().all(|other| other == "WATCHDOG=1"), "{others:?}");
    ensure!(chimed.process.wait(SOON)?.success());
    Ok(())
}

/// Without a watchdog, and with one for another process.
pub(crate) fn abstract_socket() -> Result<()> {
    for (kind, pid) in [("plain", None), ("other", Some("1"))] {
        let name = format!("truechimer-{}-{kind}", process::id());
        let address = SocketAddr::from_abstract_name(&name)?;
        let manager = Manager::at(UnixDatagram::bind_addr(&address)?)?;
        let name = format!("@{name}");
        let mut variables = vec![("NOTIFY_SOCKET", name.as_str())];
        variables.extend(pid.map(|pid| ("WATCHDOG_PID", pid)));
        variables.extend(pid.map(|_| ("WATCHDOG_USEC", "1000")));
        let chimed = Chimed::start_with(&variables, "")?;
        for expected in ["READY=1", "STATUS=unsynced; 0 of 0 peers valid"] {
            let message = manager.next()?;
            ensure!(message == expected, "{message:?}");
        }
        // It has been round its loop since.
        chimed.status()?;
        chimed.process.signal(Signal::SIGTERM)?;
        let last = manager.next()?;
        ensure!(last == "STOPPING=1", "{last:?}");
    }
    Ok(())
}

/// The daemon runs all the same.
pub(crate) fn no_manager() -> Result<()> {
    for (name, reason) in [
        ("/nowhere/notify", "No such file or directory (os error 2)"),
        ("vsock:2:1234", "NOTIFY_SOCKET=\"vsock:2:1234\" is neither a path nor @ and a name"),
    ] {
        let mut chimed = Chimed::start_with(&[("NOTIFY_SOCKET", name)], "")?;
        let line = format!("cannot notify the service manager: {reason}");
        chimed.process.wait_for_line(&line, SOON)?;
        chimed.status()?;
    }
    Ok(())
}

/// What a service manager has of its services.
struct Manager(UnixDatagram);

impl Manager {
    fn at(socket: UnixDatagram) -> Result<Self> {
        socket.set_read_timeout(Some(SOON))?;
        Ok(Self(socket))
    }

    fn next(&self) -> Result<String> {
        let mut buffer = [0; 256];
        let length = self.0.recv(&mut buffer).context("no message")?;
        Ok(String::from_utf8(buffer[..length].to_vec())?)
    }
}
