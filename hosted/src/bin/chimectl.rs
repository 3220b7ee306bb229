//! `chimectl`: asks a running `chimed` how it is, and reads and sets the kernel's clock.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use anstyle::AnsiColor;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use truechimer::bench::{self, BenchError};
use truechimer::cli::chimectl::{Action, Cli, Question};
use truechimer::config::{Config, Detail, Loaded};
use truechimer::control::{Answer, Command, LogLine, Peer, Status, ask, follow, wait};
use truechimer::kernel::{Kernel, KernelError};
use truechimer::sandbox::Protection;
use truechimer::table::{self, HEADINGS, seconds};
use truechimer::{exporter, log, output, sys, watch};

/// How a command line that makes no sense ends; clap's own.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::fail("chimectl", &format_args!("{error:#}"));
            let words = matches!(error.downcast_ref(), Some(KernelError::Words(_)));
            let load = matches!(error.downcast_ref(), Some(BenchError::Load(_)));
            if words || load { USAGE.into() } else { ExitCode::FAILURE }
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let text = match &cli.command {
        Question::Status => answer(cli, Command::Status)?,
        Question::Tracking => tracking(cli)?,
        Question::Peers { verbose: true } if !cli.json => details(cli)?,
        Question::Peers { .. } => answer(cli, Command::Peers)?,
        Question::Watch { interval } => return Ok(watch::watch(&cli.socket, *interval, cli.json)?),
        Question::Server { prometheus: true } => match ask(&cli.socket, Command::Server)? {
            Answer::Server(served) => served.to_prometheus(),
            Answer::Error(text) => anyhow::bail!("chimed refused: {text}"),
            _ => anyhow::bail!("chimed did not say what it served"),
        },
        Question::Server { prometheus: false } => answer(cli, Command::Server)?,
        Question::Exporter { listen, interval } => {
            return Ok(exporter::run(&cli.socket, listen, *interval, |at, protections| {
                output::print(&serving(at, protections, cli.json))
            })?);
        }
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
        Question::Bench(options) => return load(options, cli.json),
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
        if !output::print_on(&text?)? {
            break;
        }
    }
    Ok(())
}

/// Where the exporter is to be found.
fn serving(at: &[SocketAddr], protections: &[Protection], json: bool) -> String {
    let protections: Vec<_> = protections.iter().map(Protection::to_string).collect();
    if json {
        return serde_json::json!({ "listening": at, "protections": protections }).to_string()
            + "\n";
    }
    let places = at.iter().map(|at| format!("http://{at}/")).collect::<Vec<_>>().join(" ");
    let by = if protections.is_empty() { "nothing".into() } else { protections.join(", ") };
    format!("serving at {places}, confined by {by}\n")
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

/// Until the time is over, or a signal asks for what there is so far.
fn load(options: &bench::Options, json: bool) -> anyhow::Result<()> {
    sys::catch_termination()?;
    // Only drawn on a terminal.
    let bar = ProgressBar::new(options.seconds.as_millis() as u64);
    bar.set_style(ProgressStyle::with_template("{wide_bar} {msg}")?);
    let report = bench::run(options, |lasted, answers| {
        bar.set_position(lasted.as_millis() as u64);
        bar.set_message(format!("{:.0} s  {answers} answers", lasted.as_secs_f64()));
    });
    bar.finish_and_clear();
    let report = report?;
    let text = if json { serde_json::to_string_pretty(&report)? + "\n" } else { report.table() };
    output::print(&text)?;
    anyhow::ensure!(report.answered > 0, "{} gave no valid answer", report.server);
    Ok(())
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
        Answer::Server(server) if cli.json => serde_json::to_string_pretty(&server)? + "\n",
        Answer::Server(server) => server.to_string(),
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
    let row = |(place, (name, value)): (usize, (String, String))| match place {
        0 => format!("{name:<16} {synced}{value}{synced:#}\n"),
        _ => format!("{name:<16} {value}\n"),
    };
    table::status(status).into_iter().enumerate().map(row).collect()
}

fn tracking(cli: &Cli) -> anyhow::Result<String> {
    let Answer::Status(status) = ask(&cli.socket, Command::Status)? else {
        anyhow::bail!("chimed did not say how it is");
    };
    if cli.json {
        let tracking = serde_json::json!({
            "synced": status.synced,
            "time_status": status.time_status,
            "floor": status.floor,
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
            "leap_source": status.leap_source,
            "tai": status.tai,
        });
        return Ok(serde_json::to_string_pretty(&tracking)? + "\n");
    }
    let known = |value: Option<f64>, unit| value.map_or("-".into(), |v| format!("{v:.3} {unit}"));
    let time_from = table::time_from(&status);
    let rows: [(&str, &dyn Display); 14] = [
        ("reference", &status.reference),
        ("stratum", &status.stratum),
        ("last update", &known(status.age, "s ago")),
        ("offset", &seconds(status.offset)),
        ("frequency", &format_args!("{:+.3} ppm", status.frequency)),
        ("skew", &known(status.skew, "ppm")),
        ("root delay", &seconds(Some(status.root_delay))),
        ("root dispersion", &seconds(Some(status.root_dispersion))),
        ("error bound", &seconds(status.error_bound)),
        ("likely error", &seconds(status.likely_error)),
        ("leap second", &status.leap),
        ("leap source", &table::leap_source(&status)),
        ("time from", &time_from),
        ("last known good", &status.floor.as_deref().unwrap_or("-")),
    ];
    let heading = AnsiColor::BrightBlack.on_default();
    let row =
        |(name, value): &(&str, &dyn Display)| format!("{heading}{name:<16}{heading:#} {value}\n");
    Ok(rows.iter().map(row).collect())
}

fn show_peers(peers: &[Peer]) -> String {
    let rows: Vec<_> = peers.iter().map(table::cells).collect();
    let name = rows.iter().map(|[name, ..]| name.len()).max().unwrap_or_default();
    let line = |cells: &[String; 9]| {
        let mut line = String::new();
        for (place, (cell, width)) in cells.iter().zip(table::WIDTHS).enumerate() {
            line += &match place {
                0 => format!("{cell:<0$}", width.max(name)),
                1 | 2 => format!(" {cell:<width$}"),
                _ => format!(" {cell:>width$}"),
            };
        }
        line
    };
    let heading = AnsiColor::BrightBlack.on_default();
    let mut text = format!("{heading}{}{heading:#}\n", line(&HEADINGS.map(str::to_owned)));
    rows.iter().for_each(|row| text += &(line(row) + "\n"));
    text
}

/// A block of lines for each.
fn details(cli: &Cli) -> anyhow::Result<String> {
    let Answer::Peers(peers) = ask(&cli.socket, Command::Peers)? else {
        anyhow::bail!("chimed did not say what its peers are");
    };
    let block = |peer: &Peer| {
        let heading = AnsiColor::BrightBlack.on_default();
        let row =
            |(name, value): (&str, String)| format!("  {heading}{name:<16}{heading:#} {value}\n");
        table::details(peer)
            .into_iter()
            .map(row)
            .fold(table::name(peer) + "\n", |text, row| text + &row)
    };
    Ok(peers.iter().map(block).collect::<Vec<_>>().join("\n"))
}

fn show_log(lines: &[LogLine]) -> String {
    let show = |line: &LogLine| {
        let style = log::style(&line.level);
        format!("{} {style}{:<8}{style:#} {}\n", line.time, line.level, line.text)
    };
    lines.iter().map(show).collect()
}
