//! A network of one's own, with its own loopback, all ports free and no privilege over the clock.

use std::ffi::OsStr;
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::Result;

use crate::process::Process;

/// A user and network namespace, which lives as long as this does. In it a process is root, may
/// bind port 123 and has no `CAP_SYS_TIME` over the machine's clock, whoever started it.
#[derive(Debug)]
pub struct Namespace {
    anchor: Process,
    /// At its end, even if this process is killed, the anchor ends.
    _open: Option<ChildStdin>,
}

impl Namespace {
    /// Makes one, with loopback up.
    ///
    /// # Errors
    /// If the system does not allow it.
    pub fn new() -> Result<Self> {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "sh", "-c"]);
        command.arg("ip link set lo up && echo ready && exec cat");
        let mut anchor = Process::start(&mut command)?;
        let open = anchor.stdin();
        anchor.wait_for_line("ready", Duration::from_secs(5))?;
        Ok(Self { anchor, _open: open })
    }

    /// Whether this system lets one be made.
    #[must_use]
    pub fn is_available() -> bool {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "ip", "link", "set", "lo", "up"]);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }

    /// A command that runs a program in it.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.anchor.id().to_string());
        command.args(["--user", "--net", "--preserve-credentials", "--"]).arg(program);
        command
    }
}
