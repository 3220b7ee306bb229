//! `chimectl`: asks a running `chimed` how it is, and reads and sets the kernel's clock.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anstyle::AnsiColor;
use clap::{Parser, Subcommand};
use truechimer::config::{Config, DEFAULT_CONTROL, Detail, Loaded};
use truechimer::control::{Answer, Command, LogLine, Peer, Status, Until, ask, follow, wait};
use truechimer::kernel::{self, Kernel, KernelError};
use truechimer::query::Target;
use truechimer::{log, output};

/// How a command line that makes no sense ends; clap's own.
const USAGE: u8 = 2;
/// The longest `wait` with an end.
const LONGEST_WAIT: Duration = Duration::from_secs(1_000_000);

/// Asks a running chimed how it and its peers are; reads and sets the kernel's clock.
#[derive(Debug, Parser)]
#[command(name = "chimectl", version, arg_required_else_help = true)]
struct Cli {
    /// Control socket of the daemon
    #[arg(short, long, global = true, value_name = "PATH", default_value = DEFAULT_CONTROL, env = "CHIMED_CONTROL")]
    socket: PathBuf,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Question,
}

#[derive(Debug, Clone, Subcommand)]
enum Question {
    /// How the daemon and its clock are
    ///
    /// Succeeds whether or not the clock is synchronised; fails if the daemon cannot be asked.
    Status,
    /// What the clock follows, how closely, and how far off it may be
    ///
    /// In the terms of chronyc tracking, with the two bounds of the error. With --json: times in
    /// seconds, rates in ppm.
    Tracking,
    /// What is known of each peer
    Peers,
    /// Have a clock that is held step to what the sources say
    ///
    /// The daemon holds the clock when they claim an offset beyond `panic_threshold`.
    Accept,
    /// Have the clock step by its present offset, whatever `step` and the thresholds allow
    Step,
    /// The daemon's last log messages, the oldest first
    ///
    /// It keeps 512 of those that it logs. Where there were more, the first line says so.
    Log {
        /// Go on with each further one
        ///
        /// With --json, each is an object in a line of its own.
        #[arg(short, long)]
        follow: bool,
    },
    /// Have the daemon read its configuration again, and apply the difference
    ///
    /// Peers that stay keep their state. A file that cannot be used changes nothing.
    Reload,
    /// Ask another server until chimed ends
    Add {
        /// The server
        #[arg(value_name = "HOST[:PORT]")]
        server: Target,
    },
    /// Ask a server, or all members of a pool, no longer
    ///
    /// One of the configuration comes back with the next reload.
    Remove {
        /// As it is configured
        #[arg(value_name = "HOST[:PORT]")]
        server: Target,
    },
    /// Ask a server again, or all of them
    Online {
        /// As it is configured
        #[arg(value_name = "HOST[:PORT]")]
        server: Option<Target>,
    },
    /// Ask a server, or all of them, no longer until `online`
    ///
    /// For a network that comes and goes. What they said stays believed, ever less.
    Offline {
        /// As it is configured
        #[arg(value_name = "HOST[:PORT]")]
        server: Option<Target>,
    },
    /// Ask a server, or all of them, at once and every 2 s at first
    Burst {
        /// As it is configured
        #[arg(value_name = "HOST[:PORT]")]
        server: Option<Target>,
    },
    /// Print OpenNTPD's ntpd.conf as a configuration of chimed
    ///
    /// What has no equivalent is told on standard error. Needs no daemon; chimed reads such a file
    /// (*.conf) as it stands, too.
    Convert {
        /// The ntpd.conf
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Wait until the clock is right, or only until the daemon can be asked
    ///
    /// For the order in which a host starts. A daemon that is not there yet is waited for too. Fails
    /// when the time is over. With --json it prints the status then.
    Wait {
        /// What to wait for
        #[arg(long, value_name = "STATE", default_value = "synced")]
        until: Until,
        /// How long, in seconds; for ever unless it is said
        #[arg(short, long, value_name = "SECONDS", value_parser = seconds)]
        timeout: Option<Duration>,
    },
    /// The kernel's clock: every field of ntp_adjtime, decoded
    ///
    /// Needs neither a daemon nor a privilege. The keys of --json are the fields' names with their
    /// unit: offset_ns, freq_ppm, maxerror_us, esterror_us, status (a list), constant_log2_s,
    /// precision_ns, tolerance_ppm, time (UTC), tick_us, ppsfreq_ppm, jitter_ns, shift_log2_s,
    /// stabil_ppm, jitcnt, calcnt, errcnt, stbcnt, tai_s, singleshot_us (what remains of a slew),
    /// resolution and state. What this system's clock lacks is left out.
    Kernel {
        #[command(subcommand)]
        action: Option<Action>,
    },
}

#[derive(Debug, Clone, Subcommand)]
enum Action {
    /// Sets the kernel's clock, all in one call
    ///
    /// Takes root or CAP_SYS_TIME. Prints the clock as it is then, and what the kernel clamped or
    /// ignored: what was asked for and what it has instead (`clamped` in --json: a list of field,
    /// asked, got). A running chimed sets freq, tick and status itself. Fails with 1 if the clock is
    /// not set, and with 2 for a name or a value that cannot be.
    #[command(after_help = kernel::help())]
    Set {
        /// What to set, as in freq=-12.5ppm tick=10000 status=+INS
        #[arg(required = true, value_name = "NAME=VALUE", value_parser = word)]
        words: Vec<(String, String)>,
    },
}

fn word(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("it is not NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let duration = text.parse().ok().and_then(|secs| Duration::try_from_secs_f64(secs).ok());
    duration.filter(|wait| *wait <= LONGEST_WAIT).ok_or("0 to 1000000 are allowed")
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::fail("chimectl", &format_args!("{error:#}"));
            match error.downcast_ref() {
                Some(KernelError::Words(_)) => USAGE.into(),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let text = match &cli.command {
        Question::Status => answer(cli, Command::Status)?,
        Question::Tracking => tracking(cli)?,
        Question::Peers => answer(cli, Command::Peers)?,
        Question::Accept => answer(cli, Command::Accept)?,
        Question::Step => answer(cli, Command::Step)?,
        Question::Log { follow: false } => answer(cli, Command::Log)?,
        Question::Log { follow: true } => return follow_log(cli),
        Question::Reload => answer(cli, Command::Reload)?,
        Question::Add { server } => answer(cli, Command::Add(server.clone()))?,
        Question::Remove { server } => answer(cli, Command::Remove(server.clone()))?,
        Question::Online { server } => answer(cli, Command::Online(server.clone()))?,
        Question::Offline { server } => answer(cli, Command::Offline(server.clone()))?,
        Question::Burst { server } => answer(cli, Command::Burst(server.clone()))?,
        Question::Convert { file } => convert(cli, file)?,
        Question::Wait { until, timeout } => {
            let status = wait(&cli.socket, *until, *timeout)?;
            if cli.json { serde_json::to_string_pretty(&status)? + "\n" } else { String::new() }
        }
        Question::Kernel { action } => {
            let clock = match action {
                None => Kernel::read()?,
                Some(Action::Set { words }) => Kernel::set(words)?,
            };
            if cli.json { clock.json() } else { clock.table() }
        }
    };
    Ok(output::print(&text)?)
}

fn follow_log(cli: &Cli) -> anyhow::Result<()> {
    for lines in follow(&cli.socket)? {
        let lines = lines?;
        let text = match cli.json {
            true => lines.iter().map(|line| Ok(serde_json::to_string(line)? + "\n")).collect(),
            false => anyhow::Ok(show_log(&lines)),
        };
        output::print(&text?)?;
    }
    Ok(())
}

fn convert(cli: &Cli, file: &Path) -> anyhow::Result<String> {
    let Loaded { config, warnings } = Config::load_openntpd(file)?;
    let toml = config.to_toml(Detail::Brief);
    if cli.json {
        let both = serde_json::json!({ "toml": toml, "warnings": warnings });
        return Ok(format!("{both:#}\n"));
    }
    for warning in &warnings {
        output::warn("chimectl", warning);
    }
    Ok(toml)
}

fn answer(cli: &Cli, command: Command) -> anyhow::Result<String> {
    Ok(match ask(&cli.socket, command)? {
        Answer::Status(status) if cli.json => serde_json::to_string_pretty(&status)? + "\n",
        Answer::Peers(peers) if cli.json => serde_json::to_string_pretty(&peers)? + "\n",
        Answer::Log(lines) if cli.json => serde_json::to_string_pretty(&lines)? + "\n",
        Answer::Reloaded(done) if cli.json => serde_json::to_string_pretty(&done)? + "\n",
        Answer::Reloaded(done) => {
            for warning in &done.warnings {
                output::warn("chimed", warning);
            }
            format!("{done}\n")
        }
        Answer::Step(by) if cli.json => format!("{{\n  \"step\": {by}\n}}\n"),
        Answer::Step(by) => format!("the clock steps by {by:.6} s\n"),
        Answer::Status(status) => show_status(&status),
        Answer::Peers(peers) => show_peers(&peers),
        Answer::Log(lines) => show_log(&lines),
        Answer::Error(text) => anyhow::bail!("chimed refused: {text}"),
    })
}

fn show_status(status: &Status) -> String {
    let synced = if status.synced { AnsiColor::Green } else { AnsiColor::Yellow }.on_default();
    let mut text = String::new();
    let mut row = |name: &str, value: &dyn Display| text += &format!("{name:<16} {value}\n");
    let state = if status.synced { "synced" } else { "unsynced" };
    row("clock", &format_args!("{synced}{state}{synced:#}"));
    let watched = match status {
        Status { controlled: false, .. } => ", only watched",
        Status { held: true, .. } => ", held: see chimectl accept",
        _ => "",
    };
    let by = if status.discipline == "kernel" { ", by its own loop" } else { "" };
    row("disciplined", &format_args!("{}{by}{watched}", status.clock));
    row("peers", &format_args!("{} of {} valid", status.peers_valid, status.peers));
    row("offset", &micros(status.offset));
    row("error bound", &micros(status.error_bound));
    row("likely error", &micros(status.likely_error));
    row("frequency", &format_args!("{:+.3} ppm", status.frequency));
    row("stratum", &status.stratum);
    row("reference", &status.reference);
    row("root delay", &micros(Some(status.root_delay)));
    row("root dispersion", &micros(Some(status.root_dispersion)));
    row("leap second", &status.leap);
    if let Some(error) = status.clock_error {
        row("to host clock", &micros(Some(error)));
    }
    if !status.listening.is_empty() {
        row("serving on", &status.listening.join(", "));
        row("served", &format_args!("{} of {} requests", status.answers, status.requests));
    }
    text
}

fn tracking(cli: &Cli) -> anyhow::Result<String> {
    let Answer::Status(status) = ask(&cli.socket, Command::Status)? else {
        anyhow::bail!("chimed did not say how it is");
    };
    if cli.json {
        let tracking = serde_json::json!({
            "synced": status.synced,
            "reference": status.reference,
            "stratum": status.stratum,
            "age": status.age,
            "offset": status.offset,
            "frequency": status.frequency,
            "skew": status.skew,
            "root_delay": status.root_delay,
            "root_dispersion": status.root_dispersion,
            "error_bound": status.error_bound,
            "likely_error": status.likely_error,
            "leap": status.leap,
        });
        return Ok(serde_json::to_string_pretty(&tracking)? + "\n");
    }
    let known = |value: Option<f64>, unit| value.map_or("-".into(), |v| format!("{v:.3} {unit}"));
    let rows: [(&str, &dyn Display); 11] = [
        ("reference", &status.reference),
        ("stratum", &status.stratum),
        ("last update", &known(status.age, "s ago")),
        ("offset", &micros(status.offset)),
        ("frequency", &format_args!("{:+.3} ppm", status.frequency)),
        ("skew", &known(status.skew, "ppm")),
        ("root delay", &micros(Some(status.root_delay))),
        ("root dispersion", &micros(Some(status.root_dispersion))),
        ("error bound", &micros(status.error_bound)),
        ("likely error", &micros(status.likely_error)),
        ("leap second", &status.leap),
    ];
    let heading = AnsiColor::BrightBlack.on_default();
    let row =
        |(name, value): &(&str, &dyn Display)| format!("{heading}{name:<16}{heading:#} {value}\n");
    Ok(rows.iter().map(row).collect())
}

fn show_peers(peers: &[Peer]) -> String {
    let names: Vec<_> = peers.iter().map(peer_name).collect();
    let width = names.iter().map(String::len).max().unwrap_or_default().max(20);
    let heading = AnsiColor::BrightBlack.on_default();
    let mut text = format!(
        "{heading}{:<width$} {:<14} {:<12} {:>3} {:>8} {:>7} {:>16} {:>13} {:>11}{heading:#}\n",
        "peer", "standing", "options", "st", "reach", "poll", "offset", "delay", "used/sent"
    );
    for (peer, name) in peers.iter().zip(names) {
        text += &format!(
            "{name:<width$} {:<14} {:<12} {:>3} {:08b} {:>7} {:>16} {:>13} {:>11}\n",
            peer.standing,
            if peer.options.is_empty() { "-".into() } else { peer.options.join(",") },
            peer.stratum.map_or("-".into(), |stratum| stratum.to_string()),
            peer.reach,
            format!("{} s", (peer.interval * 10.0).round() / 10.0),
            micros(peer.offset),
            micros(peer.delay),
            format!("{}/{}", peer.used, peer.sent),
        );
    }
    text
}

fn show_log(lines: &[LogLine]) -> String {
    let show = |line: &LogLine| {
        let style = log::style(&line.level);
        format!("{} {style}{:<8}{style:#} {}\n", line.time, line.level, line.text)
    };
    lines.iter().map(show).collect()
}

fn peer_name(peer: &Peer) -> String {
    let address = peer.address.as_deref().unwrap_or("not resolved");
    match (&peer.name, peer.port) {
        (name, Some(port)) if name == address => format!("{name}:{port}"),
        (name, _) => format!("{name} ({address})"),
    }
}

/// Seconds as people read them.
fn micros(secs: Option<f64>) -> String {
    match secs {
        None => "-".into(),
        Some(secs) if secs.abs() < 0.01 => format!("{:.3} us", secs * 1e6),
        Some(secs) => format!("{secs:.6} s"),
    }
}
