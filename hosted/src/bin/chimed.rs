//! `chimed`: keeps this host's clock right, and serves time.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use truechimer::config::Config;
use truechimer::daemon::Daemon;
use truechimer::log::{Destination, Log, LogProfile, Options, Threshold};
use truechimer::query::{Target, query};
use truechimer::{output, sys};

/// Keeps this host's clock right by asking NTP servers, and serves time to others.
#[derive(Debug, Parser)]
#[command(
    name = "chimed",
    version,
    arg_required_else_help = true,
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Args)]
struct DaemonArgs {
    /// Stay in the foreground, in one process
    #[arg(short = 'd', long = "foreground", required = true)]
    foreground: bool,
    /// Configuration file
    #[arg(short = 'f', long = "config", value_name = "FILE", default_value = "/etc/chimed.toml")]
    config: PathBuf,
    /// Log debugging messages too: --log-level debug
    #[arg(short, long, conflicts_with = "log_level")]
    verbose: bool,
    /// Where messages go, in place of log.destination in the file
    #[arg(long, value_name = "DESTINATION")]
    log: Option<Destination>,
    /// Least severe messages that are logged, in place of log.level in the file
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<Threshold>,
    /// Severities of messages, in place of log.profile in the file
    #[arg(long, value_name = "PROFILE")]
    log_profile: Option<LogProfile>,
}

impl DaemonArgs {
    /// What the file says, unless it was said otherwise here.
    fn log_options(&self, file: &Options) -> Options {
        let level = self.log_level.unwrap_or(file.level);
        Options {
            destination: self.log.unwrap_or(file.destination),
            level: if self.verbose { Threshold::Debug } else { level },
            profile: self.log_profile.unwrap_or(file.profile),
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
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

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        None => run_daemon(&cli.daemon),
        Some(Command::Query { servers, timeout }) => run_query(&servers, timeout),
        Some(Command::Demo) => {
            truechimer::demo::run().map(|()| ExitCode::SUCCESS).map_err(Into::into)
        }
    };
    outcome.unwrap_or_else(|error| {
        output::fail("chimed", &format_args!("{error:#}"));
        ExitCode::FAILURE
    })
}

fn run_daemon(args: &DaemonArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.config)?;
    let log = Log::new(&args.log_options(&config.log));
    sys::catch_termination().context("cannot catch signals")?;
    let mut daemon = Daemon::start(&config, log).context("cannot start")?;
    daemon.run()?;
    Ok(ExitCode::SUCCESS)
}

fn run_query(servers: &[Target], timeout: Duration) -> anyhow::Result<ExitCode> {
    let answers = query(servers, timeout)?;
    let width = servers.iter().map(|server| server.to_string().len()).max().unwrap_or_default();
    let mut code = ExitCode::SUCCESS;
    let mut text = String::new();
    for (server, answer) in servers.iter().zip(answers) {
        let server = server.to_string();
        match answer {
            Ok(reading) => text += &format!("{server:width$}  {reading}\n"),
            Err(error) => {
                output::fail("chimed", &format_args!("{server}: {error}"));
                code = ExitCode::FAILURE;
            }
        }
    }
    output::print(&text)?;
    Ok(code)
}
