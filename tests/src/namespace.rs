//! A network of one's own, with its own loopback, all ports free and no privilege over the clock.

use std::ffi::OsStr;
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::Result;

use crate::process::{Process, output};

/// Runs what follows unless it has `CAP_SYS_TIME`, bit 25 of a mask, or could get it.
const WITHOUT_SYS_TIME: &str = r#"
for set in CapInh CapPrm CapEff CapBnd CapAmb; do
    mask=$(sed -n "s/^$set:[[:space:]]*//p" "/proc/$$/status")
    if [ -z "$mask" ] || [ "$((0x$mask >> 25 & 1))" != 0 ]; then
        echo "CAP_SYS_TIME may be in $set $mask: not started" >&2
        exit 99
    fi
done
exec "$@""#;

/// A command that runs a program as the user whom nothing belongs to, on the machine itself, without
/// `CAP_SYS_TIME` and not at all if that has failed. Only root can.
#[must_use]
pub fn command_of_nobody(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.args(["--bounding-set=-sys_time", "--inh-caps=-sys_time", "--"]);
    command.args(["sh", "-c", WITHOUT_SYS_TIME, "sh"]).arg(program);
    command
}

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

    /// Joins it to another by a cable, the ends of which are called [`CABLE`](Self::CABLE). Only root
    /// can.
    ///
    /// # Errors
    /// If it cannot.
    pub fn join(&self, other: &Self) -> Result<()> {
        let peer = other.anchor.id().to_string();
        self.ip(&format!("link add {} type veth peer name {0} netns {peer}", Self::CABLE))?;
        [self, other].iter().try_for_each(|end| end.ip(&format!("link set {} up", Self::CABLE)))
    }

    /// What the end of a cable is called.
    pub const CABLE: &str = "cable";

    /// Runs `ip` with such arguments in its network, as root of the machine.
    ///
    /// # Errors
    /// If that fails.
    pub fn ip(&self, arguments: &str) -> Result<()> {
        output(self.command_of_root("ip").args(arguments.split(' '))).map(drop)
    }

    /// A command that runs a program in it.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.anchor.id().to_string());
        command.args(["--user", "--net", "--preserve-credentials", "--"]).arg(program);
        command
    }

    /// A command that runs a program in it without `CAP_SYS_TIME` even in the namespace, and
    /// not at all if that has failed: for what is to ask for the machine's clock and be refused.
    #[must_use]
    pub fn command_without_clock(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.command("setpriv");
        without_clock(&mut command, program);
        command
    }

    /// A command by which root runs a program in its network as root of the machine, but without
    /// `CAP_SYS_TIME`, and not at all if that has failed.
    #[must_use]
    pub fn command_of_root(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.anchor.id().to_string()).args(["--net", "--", "setpriv"]);
        without_clock(&mut command, program);
        command
    }

    /// A command that runs a program in it with a `resolv.conf` of its own.
    #[must_use]
    pub fn command_with_resolver(&self, resolv_conf: &str, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.command("unshare");
        command.args(["--mount", "sh", "-c"]);
        command.arg("mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"");
        command.arg(resolv_conf).arg(program);
        command
    }
}

/// What setpriv is to run, and how.
fn without_clock(setpriv: &mut Command, program: impl AsRef<OsStr>) {
    setpriv.args(["--bounding-set=-sys_time", "--inh-caps=-sys_time", "--"]);
    setpriv.args(["sh", "-c", WITHOUT_SYS_TIME, "sh"]).arg(program);
}
