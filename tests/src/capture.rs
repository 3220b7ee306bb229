//! What was really on the wire, as Wireshark's dissectors see it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::process::{Process, output};
use crate::scratch;

const LIMIT: Duration = Duration::from_secs(20);

/// `tshark` that captures what passes to and from a UDP port of loopback.
#[derive(Debug)]
pub struct Capture {
    port: u16,
    tshark: Process,
    directory: TempDir,
}

/// What it captured.
#[derive(Debug)]
pub struct Captured {
    port: u16,
    file: PathBuf,
    _directory: TempDir,
}

impl Capture {
    /// Starts; only root may.
    ///
    /// # Errors
    /// If it does not.
    pub fn start(port: u16) -> Result<Self> {
        let directory = scratch()?;
        let mut command = Command::new("tshark");
        command.args(["-i", "lo", "-f", &format!("udp port {port}"), "-w"]);
        let mut tshark = Process::start(command.arg(directory.path().join("captured")))?;
        tshark.wait_for_line("Capture started", LIMIT)?;
        Ok(Self { port, tshark, directory })
    }

    /// Ends.
    ///
    /// # Errors
    /// If it has failed.
    pub fn end(mut self) -> Result<Captured> {
        // What has been received is handed over in blocks, after a moment.
        std::thread::sleep(Duration::from_secs(1));
        self.tshark.signal(Signal::SIGINT)?;
        let status = self.tshark.wait(LIMIT)?;
        ensure!(status.success(), "tshark: {status}");
        let file = self.directory.path().join("captured");
        Ok(Captured { port: self.port, file, _directory: self.directory })
    }
}

impl Captured {
    /// One line, for people, for each packet that a display filter shows.
    ///
    /// # Errors
    /// If the filter is wrong.
    pub fn shown(&self, filter: &str) -> Result<Vec<String>> {
        let ntp = format!("udp.port=={},ntp", self.port);
        let mut command = Command::new("tshark");
        command.arg("-n").arg("-r").arg(&self.file).args(["-d", &ntp, "-Y", filter]);
        Ok(output(&mut command)?.lines().map(str::to_owned).collect())
    }
}
