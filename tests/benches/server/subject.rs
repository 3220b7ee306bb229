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

    /// chimed with one worker.
    pub fn chimed() -> Result<Self> {
        let port = free_port()?;
        let local = "[local]\nstratum = 1\n[serve]\nworkers = 1\n";
        let chimed = Chimed::start(&format!("{}{local}", listen(port)))?;
        let (name, pid) = ("chimed, workers = 1".into(), chimed.process.id());
        Ok(Self { name, pid, port, namespace: None, _running: Box::new(chimed) })
    }

    /// ntpd-rs, in a namespace: it has no option that leaves the clock alone.
    pub fn ntpd_rs() -> Result<Option<Self>> {
        if !Need::NtpdRs.is_met() || !Need::Namespace.is_met() {
            return Ok(None);
        }
        let (namespace, port) = (Namespace::new()?, 11_123);
        let ntpd_rs = NtpdRs::serve(&namespace, &format!("127.0.0.1:{port}"))?;
        let (name, pid, running) = ("ntpd-rs".into(), ntpd_rs.process.id(), Box::new(ntpd_rs));
        Ok(Some(Self { name, pid, port, namespace: Some(namespace), _running: running }))
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

/// ntpd-rs that serves the machine's time.
pub struct NtpdRs {
    pub process: Process,
    _directory: TempDir,
}

impl NtpdRs {
    /// At an address and port of a namespace.
    pub fn serve(namespace: &Namespace, listen: &str) -> Result<Self> {
        let directory = scratch()?;
        let place = directory.path().display();
        let text = format!(
            "[observability]\nlog-level = \"info\"\nobservation-path = \"{place}/observe\"\n\
             [[server]]\nlisten = \"{listen}\"\nrate-limiting-cache-size = 0\n\
             [synchronization]\nlocal-stratum = 1\n"
        );
        let file = write(directory.path(), "ntp.toml", &text)?;
        let program = clients::ntpd_rs().context("no ntpd-rs")?;
        let mut command = namespace.command_without_clock(program);
        let mut process = Process::start(command.args(["-c", &file]))?;
        // It has no line that says that it serves.
        std::thread::sleep(Duration::from_secs(1));
        process.wait_for_line("", LIMIT).context("ntpd-rs")?;
        Ok(Self { process, _directory: directory })
    }
}
