//! `chimectl`: asks a running `chimed` how it is, and reads and sets the kernel's clock.

use std::fmt::Display;
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
use truechimer::{log, output, sys};

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
        Question::Peers => answer(cli, Command::Peers)?,
        Question::Server => answer(cli, Command::Server)?,
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
    for (process, protections) in &status.protections {
        row(process, &protections.join(", "));
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
