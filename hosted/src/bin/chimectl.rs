//! `chimectl`: asks a running `chimed` how it is.

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;

use anstyle::AnsiColor;
use clap::{Parser, Subcommand};
use truechimer::config::DEFAULT_CONTROL;
use truechimer::control::{Answer, Command, Peer, Status, ask};
use truechimer::output;

/// Asks a running chimed how it and its peers are.
#[derive(Debug, Parser)]
#[command(name = "chimectl", version, arg_required_else_help = true)]
struct Cli {
    /// Control socket of the daemon
    #[arg(short, long, global = true, value_name = "PATH", default_value = DEFAULT_CONTROL)]
    socket: PathBuf,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Question,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Question {
    /// How the daemon and its clock are
    ///
    /// Succeeds whether or not the clock is synchronised; fails if the daemon cannot be asked.
    Status,
    /// What is known of each peer
    Peers,
    /// Have a clock that is held step to what the sources say
    ///
    /// The daemon holds the clock when they claim an offset beyond `panic_threshold`.
    Accept,
    /// Have the clock step by its present offset, whatever `step` and the thresholds allow
    Step,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::fail("chimectl", &format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let command = match cli.command {
        Question::Status => Command::Status,
        Question::Peers => Command::Peers,
        Question::Accept => Command::Accept,
        Question::Step => Command::Step,
    };
    let text = match ask(&cli.socket, command)? {
        Answer::Status(status) if cli.json => serde_json::to_string_pretty(&status)? + "\n",
        Answer::Peers(peers) if cli.json => serde_json::to_string_pretty(&peers)? + "\n",
        Answer::Step(by) if cli.json => format!("{{\n  \"step\": {by}\n}}\n"),
        Answer::Step(by) => format!("the clock steps by {by:.6} s\n"),
        Answer::Status(status) => show_status(&status),
        Answer::Peers(peers) => show_peers(&peers),
        Answer::Error(text) => anyhow::bail!("chimed refused: {text}"),
    };
    Ok(output::print(&text)?)
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
    row("disciplined", &format_args!("{}{watched}", status.clock));
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
