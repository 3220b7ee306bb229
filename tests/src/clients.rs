//! Other people's clients of a server on port 123 of a namespace, none of which can set the clock.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::namespace::Namespace;
use crate::peers::{require, unpacked};
use crate::process::Process;
use crate::{binaries, scratch, wait_for, write};

/// How long a client may take to think something of its server.
const LIMIT: Duration = Duration::from_secs(40);
/// A round trip on loopback of a machine that has nothing else to do just then, s.
const UNDISTURBED: f64 = 1.5e-3;

/// Where a mount namespace has other users and a folder that OpenNTPD may write to, before a
/// program runs in it.
const OPENNTPD_AT_HOME: &str = r#"
mount --bind "$0" /etc/passwd && mount -t tmpfs none /var/lib &&
mkdir -p /var/lib/openntpd/run /var/lib/openntpd/db && exec "$@""#;

/// busybox with its `ntpd` alone, which Debian's package has not: `tests/run` builds it.
pub(crate) fn busybox() -> Option<PathBuf> {
    let built = unpacked("busybox")?.join("usr/bin/ntpd");
    built.is_file().then_some(built)
}

/// ntpd-rs, as `tests/run` installs it.
#[must_use]
pub fn ntpd_rs() -> Option<PathBuf> {
    let program = binaries::target_directory().ok()?.join("peers/ntpd-rs/bin/ntp-daemon");
    program.is_file().then_some(program)
}

/// By how much OpenNTPD thinks that the server is ahead of this machine's clock, s. Only root may
/// run it, whose privilege it gives up.
///
/// # Errors
/// If it does not think that the server is valid.
pub fn follow_with_openntpd(namespace: &Namespace) -> Result<f64> {
    let directory = scratch()?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    let home = directory.path().display();
    let mut users = fs::read_to_string("/etc/passwd")?;
    // Whom it becomes depends on who has packaged it.
    for name in ["ntpd", "_ntpd", "openntpd"] {
        users += &format!("\n{name}:x:65534:65534::{home}:/bin/false");
    }
    let users = write(directory.path(), "passwd", &(users + "\n"))?;
    let file = write(directory.path(), "ntpd.conf", "server 127.0.0.1\n")?;
    let mut command = namespace.command_of_root("unshare");
    command.args(["--mount", "sh", "-c", OPENNTPD_AT_HOME, &users]);
    command.arg(require("openntpd", "ntpd")?).args(["-d", "-v", "-v", "-f", &file]);
    let mut ntpd = Process::start(&mut command)?;
    ntpd.wait_for_line("peer 127.0.0.1 now valid", LIMIT)?;
    let lines = ntpd.transcript.lines();
    quickest(lines.iter().filter_map(|line| {
        let (_, offset) = line.split_once("reply from 127.0.0.1: offset ")?;
        let (offset, delay) = offset.split_once(" delay ")?;
        Some((delay.split_once(',')?.0.parse().ok()?, offset.parse().ok()?))
    }))
}

/// By how much busybox' `ntpd -w`, which sets nothing, thinks that the server is ahead, s.
///
/// # Errors
/// If it has no answer.
pub fn ask_with_busybox(namespace: &Namespace) -> Result<f64> {
    let program = busybox().context("no busybox")?;
    let mut command = namespace.command_without_clock(program);
    let mut ntpd = Process::start(command.args(["-n", "-w", "-d", "-d", "-p", "127.0.0.1"]))?;
    for reach in ["reach:0x01", "reach:0x03", "reach:0x07"] {
        ntpd.wait_for_line(reach, LIMIT)?;
    }
    let lines = ntpd.transcript.lines();
    quickest(lines.iter().filter_map(|line| {
        let (_, offset) = line.split_once("reply from 127.0.0.1: offset:")?;
        let (offset, delay) = offset.split_once(" delay:")?;
        Some((delay.split_once(' ')?.0.parse().ok()?, offset.parse().ok()?))
    }))
}

/// By how much ntpd-rs thinks that the server is ahead, s. It ends if it may not set the clock,
/// so the calls that would only read it.
///
/// # Errors
/// If it has no answer.
pub fn follow_with_ntpd_rs(namespace: &Namespace) -> Result<f64> {
    let directory = scratch()?;
    let observe = directory.path().join("observe");
    let text = format!(
        "[observability]\nobservation-path = \"{}\"\n[[source]]\nmode = \"server\"\n\
         address = \"127.0.0.1:123\"\n[source-defaults]\ninitial-poll-interval = 0\n\
         poll-interval-limits = {{ min = 0, max = 0 }}\n\
         [synchronization]\nminimum-agreeing-sources = 1\n",
        observe.display()
    );
    let file = write(directory.path(), "ntp.toml", &text)?;
    let mut command = namespace.command_without_clock("env");
    let library = binaries::preload_read_only_clock()?;
    command.arg(format!("LD_PRELOAD={}", library.display()));
    let _daemon =
        Process::start(command.arg(ntpd_rs().context("no ntpd-rs")?).args(["-c", &file]))?;
    wait_for("an undisturbed measurement by ntpd-rs", LIMIT, || {
        let Ok(mut socket) = UnixStream::connect(&observe) else { return Ok(None) };
        let mut told = Vec::new();
        socket.read_to_end(&mut told)?;
        // Behind its length.
        let told: Value = serde_json::from_slice(told.get(8..).unwrap_or_default())?;
        let source = &told["sources"][0];
        let measured = source["offset"].as_f64().zip(source["delay"].as_f64());
        let reached = source["unanswered_polls"] == 0;
        Ok(measured.filter(|(_, delay)| reached && *delay < UNDISTURBED).map(|(offset, _)| offset))
    })
}

/// The offset of the exchange with the least delay: a busy machine spoils single ones.
fn quickest(exchanges: impl Iterator<Item = (f64, f64)>) -> Result<f64> {
    let quickest = exchanges.min_by(|(one, _), (other, _)| one.total_cmp(other));
    Ok(quickest.context("no exchange is told")?.1)
}
