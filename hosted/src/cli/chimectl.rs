//! The command line of `chimectl`.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::bench;
use crate::config::DEFAULT_CONTROL;
use crate::control::Until;
use crate::exporter;
use crate::kernel;
use crate::query::Target;

/// Between two looks of `watch`, and of `exporter`.
const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3_600);
/// The longest `wait` with an end.
const LONGEST_WAIT: Duration = Duration::from_secs(1_000_000);

/// Asks a running chimed how it and its peers are; reads and sets the kernel's clock.
#[derive(Debug, Parser)]
#[command(name = "chimectl", version, arg_required_else_help = true)]
pub struct Cli {
    /// Control socket of the daemon
    #[arg(short, long, global = true, value_name = "PATH", default_value = DEFAULT_CONTROL, env = "CHIMED_CONTROL")]
    pub socket: PathBuf,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Question,
}

/// What to do
#[derive(Debug, Clone, Subcommand)]
pub enum Question {
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
    #[command(visible_alias = "sources")]
    Peers {
        /// More: what the server says of itself, how datagrams are stamped, why some were dropped
        #[arg(short, long)]
        verbose: bool,
    },
    /// Watch the clock and its peers: a table and graphs of offset and error bound
    ///
    /// On a terminal until q, Ctrl-C or a signal; up and down show other peers. Where standard input
    /// or output is no terminal: a line each time; with --json an object in a line of its own, of
    /// time, status and peers.
    Watch {
        /// How often to look, in seconds
        #[arg(short, long, value_name = "SECONDS", default_value = "2", value_parser = interval)]
        interval: Duration,
    },
    /// What was served to whom: counts by reason and version, rates, latency, top clients
    ///
    /// Rates are averages since somebody asked last, or since the start. Latency is from the
    /// request's arrival in the kernel to when the answer left; clients are counted with a limit of
    /// rate.
    Server {
        /// For Prometheus: counters and a histogram of the latency, in its text format
        #[arg(long)]
        prometheus: bool,
    },
    /// Serve a status page and metrics for Prometheus to browsers and scrapers
    ///
    /// At / a page with plots of offset, error and frequency since the start of the exporter, at
    /// /metrics Prometheus' text format. Runs until a signal, as a user of the control socket's
    /// group and not as root, and gives up what it does not need; first it prints where it listens
    /// and what it gave up. Whoever reaches the address may look: there is no password and no TLS.
    Exporter {
        /// Where to listen, by TCP; several times for several addresses
        #[arg(short, long, value_name = "ADDRESS:PORT", default_value = exporter::ADDRESS)]
        listen: Vec<SocketAddr>,
        /// How often to look for the plots, in seconds; the page has the last 720 looks
        #[arg(short, long, value_name = "SECONDS", default_value = "5", value_parser = interval)]
        interval: Duration,
    },
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
        /// What to do but show it
        #[command(subcommand)]
        action: Option<Action>,
    },
    /// Loads an NTP server and measures how it answers
    ///
    /// Any server, of whatever program. Nothing is changed, and no privilege is needed. With --json
    /// durations are in microseconds (`_us`) and shares between 0 and 1.
    #[command(after_help = bench::LIMITS)]
    Bench(bench::Options),
}

/// What to do with the kernel's clock
#[derive(Debug, Clone, Subcommand)]
pub enum Action {
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
    duration(text).filter(|wait| *wait <= LONGEST_WAIT).ok_or("0 to 1000000 are allowed")
}

fn interval(text: &str) -> Result<Duration, &'static str> {
    duration(text).filter(|every| INTERVALS.contains(every)).ok_or("0.1 to 3600 are allowed")
}

fn duration(text: &str) -> Option<Duration> {
    text.parse().ok().and_then(|secs| Duration::try_from_secs_f64(secs).ok())
}
