//! The servers under load, each on a port of its own.

use std::any::Any;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;
use truechimer_tests::chimed::{Chimed, listen};
use truechimer_tests::clients;
use truechimer_tests::namespace::Namespace;
use truechimer_tests::peers::{Chronyd, Need};
use truechimer_tests::process::Process;
use truechimer_tests::{binaries, free_port, scratch, write};

const LIMIT: Duration = Duration::from_secs(10);

/// A server that runs until this is dropped.
pub struct Subject {
    pub name: String,
    pub pid: u32,
    pub port: u16,
    /// Where it is, if not in the machine's own network.
    namespace: Option<Namespace>,
    _running: Box<dyn Any + Send + Sync>,
}

impl Subject {
    /// `chimectl` where it reaches the server.
    pub fn chimectl(&self) -> Result<Command> {
        let program = binaries::chimectl()?;
        Ok(match &self.namespace {
            Some(namespace) => namespace.command(program),
            None => Command::new(program),
        })
    }

    /// One that somebody else keeps running.
    pub fn running(name: &str, pid: u32, port: u16) -> Self {
        Self { name: name.into(), pid, port, namespace: None, _running: Box::new(()) }
    }

    /// chrony, of the machine's time.
    pub fn chronyd() -> Result<Option<Self>> {
        if !Need::Chronyd.is_met() {
            return Ok(None);
        }
        let chronyd = Chronyd::serve(1)?;
        let (pid, port) = (chronyd.id(), chronyd.port);
        let running = Box::new(chronyd);
        Ok(Some(Self { name: "chronyd".into(), pid, port, namespace: None, _running: running }))
    }

    /// chimed with `workers`, if it has them.
    pub fn chimed(workers: Option<u16>) -> Result<Self> {
        let port = free_port()?;
        let serve = workers.map_or(String::new(), |n| format!("[serve]\nworkers = {n}\n"));
        let chimed = Chimed::start(&format!("{}[local]\nstratum = 1\n{serve}", listen(port)))?;
        let name =
            workers.map_or("chimed".into(), |workers| format!("chimed, workers = {workers}"));
        let pid = chimed.process.id();
        Ok(Self { name, pid, port, namespace: None, _running: Box::new(chimed) })
    }

    /// ntpd-rs, in a namespace: it has no option that leaves the clock alone.
    pub fn ntpd_rs() -> Result<Option<Self>> {
        let Some(program) = clients::ntpd_rs().filter(|_| Need::Namespace.is_met()) else {
            return Ok(None);
        };
        let (namespace, directory, port) = (Namespace::new()?, scratch()?, 11_123);
        let place = directory.path().display();
        let text = format!(
            "[observability]\nlog-level = \"info\"\nobservation-path = \"{place}/observe\"\n\
             [[server]]\nlisten = \"127.0.0.1:{port}\"\nrate-limiting-cache-size = 0\n\
             [synchronization]\nlocal-stratum = 1\n"
        );
        let file = write(directory.path(), "ntp.toml", &text)?;
        let mut command = namespace.command_without_clock(program);
        let mut process = Process::start(command.args(["-c", &file]))?;
        // It has no line that says that it serves.
        std::thread::sleep(Duration::from_secs(1));
        process.wait_for_line("", LIMIT).context("ntpd-rs")?;
        let pid = process.id();
        let running: Box<(Process, TempDir)> = Box::new((process, directory));
        let (name, namespace) = ("ntpd-rs".into(), Some(namespace));
        Ok(Some(Self { name, pid, port, namespace, _running: running }))
    }

    /// This program as [`bare`](super::bare).
    pub fn bare() -> Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(std::env::current_exe()?);
        let mut process = Process::start(command.args(["--bare", &port.to_string()]))?;
        process.wait_for_line("ready", LIMIT)?;
        let (name, pid) = ("bare loop".into(), process.id());
        Ok(Self { name, pid, port, namespace: None, _running: Box::new(process) })
    }
}
