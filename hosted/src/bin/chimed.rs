//! `chimed`: keeps this host's clock right, and serves time.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use truechimer::cli::chimed::{Cli, Command, DaemonArgs};
use truechimer::config::{Detail, Loaded, Origin};
use truechimer::control::Group;
use truechimer::daemon::{Daemon, Superior};
use truechimer::log::Log;
use truechimer::phc;
use truechimer::process::{self, Role};
use truechimer::query::{Target, query};
use truechimer::service::ServiceManager;
use truechimer::{constraint, output, sys};
use truechimer_core::event::Level;

fn main() -> ExitCode {
    if let Some(role) = Role::of_this_process() {
        return role.play();
    }
    // Not for people either: the daemon starts itself so.
    if std::env::args_os().nth(1).is_some_and(|command| command == constraint::COMMAND) {
        return constraint::run().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    let cli = Cli::parse();
    let outcome = match cli.command {
        None if cli.daemon.single_process => run_in_one_process(cli.daemon),
        None => process::run(&cli.daemon).map(|()| ExitCode::SUCCESS).map_err(Into::into),
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
        match load_and_look_up(&origin) {
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
                output::fail("chimed", &format_args!("{error:#}"));
                code = ExitCode::FAILURE;
            }
        }
    }
    output::print(&text)?;
    Ok(code)
}

/// As the daemon reads it, and looks up at its start who may use its control socket.
fn load_and_look_up(origin: &Origin) -> anyhow::Result<Loaded> {
    let loaded = origin.load()?;
    if let (Some(_), Some(group)) = (&loaded.config.control, &loaded.config.control_group) {
        Group::named(group).with_context(|| origin.path().display().to_string())?;
    }
    Ok(loaded)
}

fn run_in_one_process(args: DaemonArgs) -> anyhow::Result<ExitCode> {
    let Loaded { config, warnings } = args.origin.load()?;
    let log = Log::new(&args.log_options(&config.log));
    sys::catch_termination().and_then(|()| sys::catch_reload()).context("cannot catch signals")?;
    for warning in &warnings {
        log.message(Level::Warning, warning);
    }
    let mut service = ServiceManager::from_environment().unwrap_or_else(|error| {
        let text = format_args!("cannot notify the service manager: {error}");
        log.message(Level::Warning, &text);
        ServiceManager::default()
    });
    let superior = Superior::Operator(Some(args.origin));
    let cards = phc::open(&config.hardware, &log);
    let daemon = Daemon::start_under(superior, &config, log, |_| Ok(()));
    daemon.context("cannot start")?.with_hardware(cards.into()).run(&mut service)?;
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
