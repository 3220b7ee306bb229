//! The command line of `chimed`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::config::Origin;
use crate::log::{Destination, LogProfile, Options, Threshold};
use crate::query::Target;

/// Keeps this host's clock right by asking NTP servers, and serves time to others.
///
/// It stays in the foreground, as three processes: a parent, which sets the clock and reads the
/// configuration, the ntp engine, which talks to the network and to chimectl, and the dns engine, which
/// looks names up; a fourth asks HTTPS servers if there are any to be asked. Started as root,
/// all but the parent become `user` of the configuration, those that talk to the network themselves in
/// an empty root directory, and each process gives up the capabilities, files and system calls that it
/// does not need, as far as the system can; `chimectl status` says which. Addresses with ports below
/// 1024 can therefore be added at a start only, not by a reload. When one process ends the others do,
/// and the status is 1: a service manager is to start chimed again.
///
/// Of FreeBSD's processes each has a user and an empty root directory of its own only: in Capsicum's
/// capability mode none may connect.
///
/// However it ends, the clock is left at its frequency and without a slew, unless it is killed by
/// SIGKILL: then a slew in progress goes on until chimed is started again.
/// With `discipline = "kernel"` a parent that has lost the ntp engine leaves the kernel's loop closed: the
/// frequency stays, and what the loop was given last comes to an end.
///
/// SIGTERM, SIGINT and SIGQUIT to the parent end it; SIGHUP has it read the configuration again.
#[derive(Debug, Parser)]
#[command(name = "chimed", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do but run
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to run
    #[command(flatten)]
    pub daemon: DaemonArgs,
}

/// How the daemon runs
#[derive(Debug, Args)]
pub struct DaemonArgs {
    /// Do everything in one process, with the privilege that it was started with
    #[arg(short = 'd', long)]
    pub single_process: bool,
    /// Log debugging messages too: --log-level debug
    #[arg(short, long, conflicts_with = "log_level")]
    pub verbose: bool,
    /// Where messages go, in place of log.destination in the file
    #[arg(long, value_name = "DESTINATION")]
    pub log: Option<Destination>,
    /// Least severe messages that are logged, in place of log.level in the file
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<Threshold>,
    /// Severities of messages, in place of log.profile in the file
    #[arg(long, value_name = "PROFILE")]
    pub log_profile: Option<LogProfile>,
    /// The configuration
    #[command(flatten)]
    pub origin: Origin,
}

impl DaemonArgs {
    /// What the file says, unless it was said otherwise here.
    #[must_use]
    pub fn log_options(&self, file: &Options) -> Options {
        let level = self.log_level.unwrap_or(file.level);
        Options {
            destination: self.log.unwrap_or(file.destination),
            level: if self.verbose { Threshold::Debug } else { level },
            profile: self.log_profile.unwrap_or(file.profile),
        }
    }
}

/// What the program does besides
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the configuration that would be run, or what is wrong with it
    ///
    /// The clock is not touched. Each key is printed, defaults and what is included with it, as a
    /// file that says the same; what cannot be done as the file says is told on standard error.
    /// Succeeds if every file can be used.
    Check {
        /// Files to check, in place of --config
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The configuration
        #[command(flatten)]
        origin: Origin,
    },
    /// Ask servers once and print what they say; the clock is not touched
    ///
    /// Prints for each server by how much this host's clock is behind it, how far off that may be,
    /// and what the server says of itself. Succeeds if every server gave a usable answer.
    Query {
        /// Servers to ask
        #[arg(required = true, value_name = "HOST[:PORT]")]
        servers: Vec<Target>,
        /// How long to wait for answers, in seconds
        #[arg(short, long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
        timeout: Duration,
    },
    /// Show a wrong clock become right, over UDP on loopback
    ///
    /// A software clock starts 1.5 s wrong and 80 ppm fast, and must be within 100 us for 10 s. The
    /// machine's clock is only read. Succeeds if that happens within a minute.
    Demo,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let allowed = 0.01..=3_600.0;
    match text.parse::<f64>() {
        Ok(secs) if allowed.contains(&secs) => Ok(Duration::from_secs_f64(secs)),
        _ => Err("0.01 to 3600 are allowed".into()),
    }
}
