//! The appliance of `firmware/boards` on the boards that QEMU emulates.
//!
//! In real time ([`Board`]) its network is QEMU's user networking, in which 10.0.2.2 is this
//! machine's loopback. In virtual time ([`VirtualBoard`]) the test is the network ([`lan`]).

mod ask;
#[path = "../../../firmware/tests/lan/mod.rs"]
pub mod lan;
mod log;
mod model;
mod virtual_time;

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tempfile::TempDir;

use self::log::Log;
use crate::process::Process;
use crate::{free_port, scratch, wait_for};

pub use self::ask::Answer;
use self::model::Build;
pub use self::model::Model;
pub use self::virtual_time::{Query, Reply, Sample, Scene, Told, VirtualBoard};

/// How long anything may take that the board is to do: a boot takes a second, most of it the edge
/// of the real-time clock's.
const LIMIT: Duration = Duration::from_secs(40);
/// A running board. Dropping it ends the emulator.
pub struct Board {
    process: Process,
    log: Log,
    /// The socket behind which its serial line is.
    typed: PathBuf,
    /// Of 127.0.0.1, where its port 123 is.
    port: u16,
    /// The socket behind which the emulator's monitor is.
    monitor: PathBuf,
    directory: TempDir,
}

impl Board {
    /// Switches it on. Its real-time clock shows `time`, a date and time as QEMU takes them, or UTC
    /// of this machine; `settings` are as `settings.rs` of the board has them.
    ///
    /// # Errors
    /// If it does not build or start.
    pub fn start(model: Model, time: Option<&str>, settings: &[String]) -> Result<Self> {
        Self::start_program(model, &model.program(Build::RealTime)?, time, Some(settings))
    }

    /// As [`start`](Self::start), with another program than the one that is flashed.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn start_program(
        model: Model,
        program: &Path,
        time: Option<&str>,
        settings: Option<&[String]>,
    ) -> Result<Self> {
        let (directory, port) = (scratch()?, free_port()?);
        let [serial, typed, monitor] =
            ["serial", "typed", "monitor"].map(|name| directory.path().join(name));
        let mut command = model.emulator(program, settings.unwrap_or_default());
        command.args(["-qmp", &format!("unix:{},server=on,wait=off", monitor.display())]);
        let line = format!(
            "socket,id=line,path={},server=on,wait=off,logfile={}",
            typed.display(),
            serial.display()
        );
        command.args(["-chardev", &line, "-serial", "chardev:line"]);
        command.args(["-rtc", &format!("base={}", time.unwrap_or("utc"))]);
        // Those whom it asks by the settings built into it are none of ours.
        let restrict = if settings.is_none() { "on" } else { "off" };
        let cable = format!("user,id=cable,restrict={restrict},hostfwd=udp:127.0.0.1:{port}-:123");
        command.args(["-netdev", &cable]);
        let process = Process::start(&mut command)?;
        let log = Log::new(program, serial)?;
        Ok(Self { process, log, typed, monitor, port, directory })
    }

    /// What is in its memory, as its processor sees it.
    ///
    /// # Errors
    /// If the emulator does not tell.
    pub(crate) fn memory(&self, address: u64, len: u64) -> Result<Vec<u8>> {
        let file = self.directory.path().join("memory");
        let mut monitor = UnixStream::connect(&self.monitor)?;
        let mut lines = BufReader::new(monitor.try_clone()?).lines();
        let place = json!({ "val": address, "size": len, "filename": file });
        for command in [
            json!({ "execute": "qmp_capabilities" }),
            json!({ "execute": "memsave", "arguments": place }),
        ] {
            writeln!(monitor, "{command}")?;
            // A greeting, and what else happens, come between.
            let reply = lines.find_map(|line| {
                let line = line.ok()?;
                (line.contains("\"return\"") || line.contains("\"error\"")).then_some(line)
            });
            let reply = reply.context("no reply from the emulator's monitor")?;
            ensure!(reply.contains("\"return\""), "{reply}");
        }
        Ok(std::fs::read(file)?)
    }

    /// Waits for a line of its log that contains `text`, and returns it.
    ///
    /// # Errors
    /// If it does not come.
    pub fn wait_for_line(&mut self, text: &str) -> Result<String> {
        let found = wait_for(&format!("`{text}` from the board"), LIMIT, || {
            Ok(self.log.lines()?.iter().find(|line| line.contains(text)).cloned())
        });
        found.with_context(|| self.transcript())
    }

    /// Types at its serial line.
    ///
    /// # Errors
    /// If there is nobody.
    pub fn type_in(&self, text: &str) -> Result<()> {
        Ok(UnixStream::connect(&self.typed)?.write_all(text.as_bytes())?)
    }

    /// What it has logged so far.
    ///
    /// # Errors
    /// If that cannot be decoded.
    pub fn lines(&mut self) -> Result<Vec<String>> {
        Ok(self.log.lines()?.to_vec())
    }

    /// Asks it for the time, ten times, and returns the answer that was on its way for the
    /// shortest time: the one that the host's scheduling disturbed least.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn ask(&self) -> Result<Answer> {
        ask::best_of_ten(self.port)
    }

    fn transcript(&mut self) -> String {
        let lines = self.lines().unwrap_or_else(|error| vec![format!("{error:#}")]);
        let emulator = self.process.transcript.lines();
        format!("--- the board\n{}\n--- the emulator\n{}", lines.join("\n"), emulator.join("\n"))
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").field("port", &self.port).finish_non_exhaustive()
    }
}
