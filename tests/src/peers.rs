//! Real NTP programs: where they are, and how they are run without touching anything.

use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::unistd::geteuid;
use serde_json::Value;
use tempfile::TempDir;

use crate::clients;
use crate::guest;
use crate::namespace::Namespace;
use crate::process::{Process, output, run};
use crate::{binaries, free_port, scratch, wait_for, write};

/// How long a peer may take to start or to answer.
const LIMIT: Duration = Duration::from_secs(20);

/// A round trip on loopback of a machine that has nothing else to do just then, s.
const UNDISTURBED: f64 = 1.5e-3;

/// What a trial cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// chrony's daemon and its control tool.
    Chronyd,
    /// NTPsec's daemon.
    Ntpd,
    /// NTPsec's query tool.
    Ntpdig,
    /// The Python module.
    Ntplib,
    /// OpenNTPD's daemon.
    OpenNtpd,
    /// busybox' daemon.
    Busybox,
    /// ntpd-rs.
    NtpdRs,
    /// What decodes captured packets.
    Tshark,
    /// strace, on a system that allows it to trace.
    Strace,
    /// The emulator of Arm boards.
    QemuArm,
    /// What formats manual pages.
    Groff,
    /// What knows systemd's units.
    SystemdAnalyze,
    /// A [`Namespace`], on a system that allows them.
    Namespace,
    /// To be root.
    Root,
    /// To be allowed to have the kernel run a program for each packet.
    Bpf,
    /// A [`Guest`](crate::guest::Guest), on a machine that can run its programs.
    Guest,
    /// One with network cards.
    Cards,
}

impl Need {
    /// Whether it is there.
    #[must_use]
    pub fn is_met(self) -> bool {
        match self {
            Self::Chronyd => program("chrony", "chronyd").is_some(),
            Self::Ntpd => program("ntpsec", "ntpd").is_some(),
            Self::Ntpdig => output(ntpdig(Command::new).args(["-V"])).is_ok(),
            Self::Ntplib => output(python().args(["-c", "import ntplib"])).is_ok(),
            Self::OpenNtpd => program("openntpd", "ntpd").is_some(),
            Self::Busybox => clients::busybox().is_some(),
            Self::NtpdRs => clients::ntpd_rs().is_some(),
            Self::Tshark => output(Command::new("tshark").arg("--version")).is_ok(),
            Self::Strace => {
                output(Command::new("strace").args(["-o", "/dev/null", "true"])).is_ok()
            }
            Self::QemuArm => output(Command::new("qemu-system-arm").arg("--version")).is_ok(),
            Self::Groff => output(Command::new("groff").arg("--version")).is_ok(),
            Self::SystemdAnalyze => {
                output(Command::new("systemd-analyze").arg("--version")).is_ok()
            }
            Self::Namespace => Namespace::is_available(),
            Self::Root => geteuid().is_root(),
            Self::Bpf => may_load_programs(),
            Self::Guest => guest::is_available(),
            Self::Cards => guest::has_cards(),
        }
    }

    /// Whether `tests/run` can do something about it.
    #[must_use]
    pub fn can_be_installed(self) -> bool {
        match self {
            Self::Strace => program("strace", "strace").is_none(),
            Self::Namespace | Self::SystemdAnalyze | Self::Root | Self::Bpf => false,
            Self::Guest | Self::Cards => guest::RUNS_PROGRAMS,
            _ => true,
        }
    }
}

/// Why the trial is left out.
impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Chronyd => "chronyd",
            Self::Ntpd => "NTPsec's ntpd",
            Self::Ntpdig => "ntpdig",
            Self::Ntplib => "Python's ntplib",
            Self::OpenNtpd => "OpenNTPD",
            Self::Busybox => "busybox with its ntpd",
            Self::NtpdRs => "ntpd-rs",
            Self::Tshark => "tshark",
            Self::Strace if !self.can_be_installed() => {
                return f.write_str("this system does not let strace trace");
            }
            Self::Strace => "strace",
            Self::QemuArm => "qemu-system-arm",
            Self::Groff => "groff",
            Self::SystemdAnalyze => return f.write_str("this system has no systemd-analyze"),
            Self::Namespace => return f.write_str("this system allows no user namespaces"),
            Self::Root => return f.write_str("only root may try it"),
            Self::Bpf => {
                return f.write_str("only CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN may try it");
            }
            Self::Guest | Self::Cards if !self.can_be_installed() => {
                return f.write_str("the guest takes programs for x86-64 Linux with glibc");
            }
            Self::Guest => "QEMU with a kernel",
            Self::Cards => "QEMU with network cards that stamp, and a kernel with their driver",
        };
        write!(f, "{name} not found; ./tests/run installs it")
    }
}

/// CAP_NET_ADMIN, CAP_PERFMON and CAP_BPF.
fn may_load_programs() -> bool {
    const ALL: u64 = 1 << 12 | 1 << 38 | 1 << 39;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let held = status.lines().find_map(|line| line.strip_prefix("CapEff:\t"));
    held.and_then(|held| u64::from_str_radix(held, 16).ok()).is_some_and(|held| held & ALL == ALL)
}

/// Where `tests/run` unpacks Debian's packages, each into a folder of its name.
pub(crate) fn unpacked(package: &str) -> Option<PathBuf> {
    Some(binaries::target_directory().ok()?.join("peers").join(package))
}

/// A program of a Debian package, unpacked or installed.
pub(crate) fn program(package: &str, name: &str) -> Option<PathBuf> {
    let unpacked = unpacked(package).map(|root| root.join("usr"));
    let installed = env::var_os("PATH").unwrap_or_default();
    let unpacked = unpacked.iter().flat_map(|usr| [usr.join("sbin"), usr.join("bin")]);
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut folders = unpacked.chain(env::split_paths(&installed)).chain(system);
    folders.find_map(|folder| Some(folder.join(name)).filter(|path| path.is_file()))
}

pub(crate) fn require(package: &str, name: &str) -> Result<PathBuf> {
    program(package, name).with_context(|| format!("{name} not found"))
}

/// Debian's Python, of which the unpacked modules are.
fn python() -> Command {
    let mut command = Command::new("/usr/bin/python3");
    modules(&mut command);
    command
}

fn modules(command: &mut Command) {
    let roots = ["python3-ntplib", "python3-ntp"].into_iter().filter_map(unpacked);
    let folders = roots.map(|root| root.join("usr/lib/python3/dist-packages"));
    if let Ok(path) = env::join_paths(folders) {
        command.env("PYTHONPATH", path);
    }
}

fn ntpdig(command: impl FnOnce(&'static str) -> Command) -> Command {
    let mut command = command("/usr/bin/python3");
    modules(&mut command);
    command.arg(program("ntpsec-ntpdig", "ntpdig").unwrap_or_else(|| PathBuf::from("ntpdig")));
    command
}

/// A running `chronyd -x`, which serves and follows but leaves the clock alone.
#[derive(Debug)]
pub struct Chronyd {
    /// Where it serves.
    pub port: u16,
    process: Process,
    directory: TempDir,
}

/// What chronyd knows of a server.
#[derive(Debug, Clone, Copy)]
pub struct ChronyView {
    /// The server's stratum.
    pub stratum: u8,
    /// The server's root delay, s.
    pub root_delay: f64,
    /// The server's root dispersion, s.
    pub root_dispersion: f64,
    /// By how much the server is ahead by the last measurement, s.
    pub offset: f64,
    /// Whether the last answer was interleaved.
    pub interleaved: bool,
}

impl Chronyd {
    /// One that serves this machine's time as `stratum`.
    ///
    /// # Errors
    /// If it does not start.
    pub fn serve(stratum: u8) -> Result<Self> {
        let port = free_port()?;
        let lines = format!("local stratum {stratum}\nallow 127.0.0.0/8\nbindaddress 127.0.0.1\n");
        Self::start(chronyd(Command::new)?, port, &format!("{lines}port {port}\n"))
    }

    /// One that serves on port 123 of a namespace, to all.
    ///
    /// # Errors
    /// If it does not start.
    pub fn serve_in(namespace: &Namespace) -> Result<Self> {
        let command = chronyd(|program| namespace.command_without_clock(program))?;
        Self::start(command, 123, "local stratum 1\nallow all\n")
    }

    /// One that follows a server on a port of loopback.
    ///
    /// # Errors
    /// If it does not start.
    pub fn follow(port: u16) -> Result<Self> {
        Self::start(chronyd(Command::new)?, 0, &format!("{}port 0\n", source(port, "")))
    }

    /// One that follows it in the interleaved mode (RFC 9769) if the server has that.
    ///
    /// # Errors
    /// If it does not start.
    pub fn follow_interleaved(port: u16) -> Result<Self> {
        Self::start(chronyd(Command::new)?, 0, &format!("{}port 0\n", source(port, "xleave")))
    }

    fn start(mut command: Command, port: u16, lines: &str) -> Result<Self> {
        let directory = scratch()?;
        let file = configure(directory.path(), lines)?;
        let mut process = Process::start(command.args(["-x", "-d", "-f", &file]))?;
        process.wait_for_line("Disabled control of system clock", LIMIT)?;
        Ok(Self { port, process, directory })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it knows of its server on loopback, as soon as it has chosen it.
    ///
    /// # Errors
    /// If it does not choose it.
    pub fn view(&self) -> Result<ChronyView> {
        wait_for("chronyd's choice", LIMIT, || {
            // `*` marks the source that it follows.
            let sources = self.ask(&["-n", "sources"]).unwrap_or_default();
            Ok(sources.lines().any(|line| line.starts_with("^*")).then_some(()))
        })?;
        wait_for("an undisturbed measurement by chronyd", LIMIT, || {
            let report = self.ask(&["ntpdata", "127.0.0.1"])?;
            let delay: f64 = field(&report, "Peer delay")?.parse()?;
            let view = ChronyView {
                stratum: field(&report, "Stratum")?.parse()?,
                root_delay: field(&report, "Root delay")?.parse()?,
                root_dispersion: field(&report, "Root dispersion")?.parse()?,
                offset: field(&report, "Offset")?.parse()?,
                interleaved: field(&report, "Interleaved")? == "Yes",
            };
            Ok((delay < UNDISTURBED).then_some(view))
        })
    }

    fn ask(&self, what: &[&str]) -> Result<String> {
        let socket = self.directory.path().join("chronyd.sock");
        output(Command::new(require("chrony", "chronyc")?).arg("-h").arg(&socket).args(what))
    }

    /// `chronyd -Q`: asks a server on loopback once. The offset in seconds: by how much this
    /// machine's clock is ahead of it.
    ///
    /// # Errors
    /// If it gets no usable answer.
    pub fn query(port: u16) -> Result<f64> {
        let directory = scratch()?;
        let file = configure(directory.path(), &format!("{}port 0\n", source(port, "")))?;
        let (status, lines) =
            run(chronyd(Command::new)?.args(["-Q", "-t", "15", "-f", &file]), LIMIT)?;
        let wrong = lines.iter().find_map(|line| {
            line.split_once("System clock wrong by ")?.1.split_once(" seconds")?.0.parse().ok()
        });
        wrong.with_context(|| format!("chronyd -Q: {status}"))
    }
}

/// A word after `name :` in chronyc's report.
fn field<'a>(report: &'a str, name: &str) -> Result<&'a str> {
    let named = report.lines().find_map(|line| {
        let (before, after) = line.split_once(':')?;
        (before.trim() == name).then_some(after)
    });
    let word = named.and_then(|value| value.split_whitespace().next());
    word.with_context(|| format!("no `{name}` in {report}"))
}

fn chronyd(command: impl FnOnce(PathBuf) -> Command) -> Result<Command> {
    let mut command = command(require("chrony", "chronyd")?);
    // It would become Debian's `_chrony`, which a machine without the package installed lacks.
    command.args(["-U", "-u", &user()?]);
    Ok(command)
}

fn user() -> Result<String> {
    Ok(output(Command::new("id").arg("-un"))?.trim().to_owned())
}

fn source(port: u16, option: &str) -> String {
    format!("server 127.0.0.1 port {port} iburst minpoll -2 maxpoll -2 {option}\n")
}

/// chronyd's configuration with nothing at a default place.
fn configure(directory: &Path, lines: &str) -> Result<String> {
    let place = directory.display();
    let own = format!(
        "cmdport 0\nbindcmdaddress {place}/chronyd.sock\npidfile {place}/chronyd.pid\n{lines}"
    );
    write(directory, "chrony.conf", &own)
}

/// A running NTPsec `ntpd` that serves stratum `stratum` on port 123 of a namespace, in which it
/// cannot touch the clock.
///
/// # Errors
/// If it does not start.
pub fn ntpd(namespace: &Namespace, stratum: u8) -> Result<(Process, TempDir)> {
    let directory = scratch()?;
    let lines = format!("disable ntp\ntos orphan {stratum} orphanwait 1\nrestrict default\n");
    let file = write(directory.path(), "ntp.conf", &lines)?;
    let drift = directory.path().join("drift");
    let mut command = namespace.command(require("ntpsec", "ntpd")?);
    let mut process = Process::start(command.args(["-n", "-c", &file, "-f"]).arg(drift))?;
    process.wait_for_line("Listen normally on", LIMIT)?;
    Ok((process, directory))
}

/// What a running NTPsec `ntpd` thinks of the server at `server`, on port 123 of a namespace that
/// has this address and `own`: by how much it is ahead of this machine's clock in seconds, once it
/// has chosen it. It takes neither another port nor a server on loopback's addresses.
///
/// # Errors
/// If it does not choose it.
pub fn follow_with_ntpd(namespace: &Namespace, server: &str, own: &str) -> Result<f64> {
    let directory = scratch()?;
    let place = directory.path().display();
    let lines = format!(
        "disable ntp\ninterface ignore wildcard\ninterface listen {own}\n\
         server {server} minpoll 0 maxpoll 0 iburst\nstatsdir {place}/\nstatistics peerstats\n\
         filegen peerstats file peerstats type none enable\n"
    );
    let file = write(directory.path(), "ntp.conf", &lines)?;
    let mut command = namespace.command_without_clock(require("ntpsec", "ntpd")?);
    let drift = directory.path().join("drift");
    let _ntpd = Process::start(command.args(["-n", "-c", &file, "-f"]).arg(drift))?;
    wait_for("NTPsec's choice", Duration::from_secs(60), || {
        let text = fs::read_to_string(directory.path().join("peerstats")).unwrap_or_default();
        // Day, second, address, status word in hexadecimal, offset, delay, dispersion, jitter.
        let last = text.lines().last().map(|line| line.split(' ').collect::<Vec<_>>());
        let Some([_, _, _, status, offset, ..]) = last.as_deref() else { return Ok(None) };
        // The selection is in three bits; 6 is the source that it follows.
        let selection = u16::from_str_radix(status, 16)? >> 8 & 7;
        Ok(if selection == 6 { Some(offset.parse()?) } else { None })
    })
}

/// What a simple client saw of a server.
#[derive(Debug, Clone, Copy)]
pub struct ClientView {
    /// The server's stratum.
    pub stratum: u64,
    /// By how much the server is ahead of this machine's clock, s.
    pub offset: f64,
    /// The server's root delay, s.
    pub root_delay: f64,
    /// The server's root dispersion, s.
    pub root_dispersion: f64,
    /// The round trip, s.
    pub delay: f64,
    /// The reference id's four octets.
    pub reference_id: [u8; 4],
}

/// Asks a server on loopback a few times with Python's ntplib: the quickest exchange, since a busy
/// machine spoils single ones.
///
/// # Errors
/// If it gets no answer or one that it does not like.
pub fn ntplib(port: u16, version: u8) -> Result<ClientView> {
    let script = format!(
        "import json, ntplib\n\
         ask = lambda: ntplib.NTPClient().request('127.0.0.1', version={version}, port={port})\n\
         r = min((ask() for _ in range(5)), key=lambda reply: reply.delay)\n\
         print(json.dumps([r.stratum, r.leap, r.version, r.ref_id, r.offset, r.delay, \
         r.root_delay, r.root_dispersion]))"
    );
    let text = output(python().args(["-c", &script]))?;
    let values: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    let number = |index: usize| values[index].as_f64().context("no number");
    let integer = |index: usize| values[index].as_u64().context("no integer");
    if (integer(1)?, integer(2)?) != (0, u64::from(version)) {
        bail!("leap or version is wrong: {text}");
    }
    Ok(ClientView {
        stratum: integer(0)?,
        offset: number(4)?,
        root_delay: number(6)?,
        root_dispersion: number(7)?,
        delay: number(5)?,
        reference_id: u32::try_from(integer(3)?)?.to_be_bytes(),
    })
}

/// Asks the server on port 123 of a namespace with ntpdig: its stratum, and by how much it is
/// ahead of this machine's clock in seconds.
///
/// # Errors
/// If it gets no answer.
pub fn ask_with_ntpdig(namespace: &Namespace) -> Result<(u64, f64)> {
    let mut command = ntpdig(|program| namespace.command(program));
    let text = output(command.args(["-j", "-p", "4", "127.0.0.1"]))?;
    let value: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    let stratum = value["stratum"].as_u64().context("no stratum")?;
    Ok((stratum, value["offset"].as_f64().context("no offset")?))
}
