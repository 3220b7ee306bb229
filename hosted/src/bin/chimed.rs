//! `chimed`: keeps this host's clock right, and serves time.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use truechimer::config::{Detail, Loaded, Origin};
use truechimer::daemon::Daemon;
use truechimer::log::{Destination, Log, LogProfile, Options, Threshold};
use truechimer::query::{Target, query};
use truechimer::{output, sys};
use truechimer_core::event::Level;

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
    #[command(flatten)]
    origin: Origin,
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
    /// Print the configuration that would be run, or what is wrong with it
    ///
    /// The clock is not touched. Each key is printed, defaults and what is included with it, as a
    /// file that says the same; what cannot be done as the file says is told on standard error.
    /// Succeeds if every file can be used.
    Check {
        /// Files to check, in place of --config
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
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

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        None => run_daemon(cli.daemon),
        Some(Command::Check { files, origin }) => run_check(files, origin),
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

fn run_check(files: Vec<PathBuf>, origin: Origin) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    let mut text = String::new();
    let several = files.len() > 1;
    let origins: Vec<Origin> = match files.is_empty() {
        true => vec![origin],
        false => {
            files.into_iter().map(|file| Origin { path: Some(file), ..origin.clone() }).collect()
        }
    };
    for origin in origins {
        match origin.load() {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    output::warn("chimed", warning);
                }
                if let Some(path) = origin.path.filter(|_| several) {
                    text += &format!("# {}\n", path.display());
                }
                text += &loaded.config.to_toml(Detail::Full);
            }
            Err(error) => {
                output::fail("chimed", &error);
                code = ExitCode::FAILURE;
            }
        }
    }
    output::print(&text)?;
    Ok(code)
}

fn run_daemon(args: DaemonArgs) -> anyhow::Result<ExitCode> {
    let Loaded { config, warnings } = args.origin.load()?;
    let log = Log::new(&args.log_options(&config.log));
    sys::catch_termination().and_then(|()| sys::catch_reload()).context("cannot catch signals")?;
    for warning in &warnings {
        log.message(Level::Warning, warning);
    }
    let daemon = Daemon::start(&config, log).context("cannot start")?;
    daemon.reloadable(args.origin).run()?;
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
