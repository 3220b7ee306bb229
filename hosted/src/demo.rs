//! `chimed demo`: a wrong clock becomes right before one's eyes.
//!
//! A reference server and a client, both the real daemon, talk over UDP on loopback. The client's
//! software clock starts wrong and drifts; the machine's own clock is only read.

use std::fmt;
use std::io::{self, IsTerminal};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anstyle::AnsiColor;
use nix::errno::Errno;
use truechimer_core::hal::AdjustableClock;
use truechimer_core::units::{FreqOffset, Span};

use crate::config::{ClockKind, Config, Listen, Server, ServerAddress, SoftwareClock};
use crate::daemon::{Daemon, DaemonError};
use crate::log::{Destination, Log, Options, Threshold};
use crate::{output, sys};
use truechimer_core::config::SelectOptions;

/// How wrong the client's clock is at first.
const OFFSET: Span = Span::from_millis(-1_500);
/// How much too fast it runs.
const FREQUENCY: FreqOffset = FreqOffset::from_ppm(80);
/// Within this the clock is right.
const RIGHT: Span = Span::from_micros(100);
/// The clock must stay right for this long.
const HOLD: Duration = Duration::from_secs(10);
/// And have done so within this.
const LIMIT: Duration = Duration::from_secs(60);
/// Between two lines of progress.
const REPORT: Duration = Duration::from_secs(1);
/// The client looks at its clock at least this often.
const LOOK: Duration = Duration::from_millis(100);

/// Why the demonstration failed.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A daemon could not run.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// Signals cannot be caught.
    #[error("cannot catch signals: {0}")]
    Signals(Errno),
    /// The server has no port.
    #[error("the reference server could not listen on loopback")]
    NoServer,
    /// Nobody can be shown anything.
    #[error(transparent)]
    Output(#[from] io::Error),
    /// Time is up.
    #[error("the clock was not within 100 us for 10 s in a minute; its error is {0:+.6} s")]
    NotRight(Span),
    /// Somebody interrupted.
    #[error("interrupted")]
    Interrupted,
}

/// Runs the demonstration; progress goes to standard output, the client's log to standard error.
///
/// # Errors
/// The clock did not become right in time.
pub fn run() -> Result<(), DemoError> {
    sys::catch_termination().map_err(DemoError::Signals)?;
    let log = |level| {
        let destination = Destination::Stderr;
        Log::new(&Options { destination, level, ..Options::default() })
    };
    let mut server = Daemon::start(&server_config(), log(Threshold::Critical))?;
    let port = server.node().socket.listening().next().ok_or(DemoError::NoServer)?.port();
    let mut client = Daemon::start(&client_config(port), log(Threshold::Info))?;

    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut running = true;
            while running && !over.load(Ordering::Relaxed) {
                running = server.turn(LOOK).is_ok();
            }
        });
        let outcome = watch(&mut client);
        over.store(true, Ordering::Relaxed);
        outcome
    })
}

fn watch(client: &mut Daemon) -> Result<(), DemoError> {
    let start = Instant::now();
    let mut next_report = Duration::ZERO;
    let mut right_since: Option<Duration> = None;
    loop {
        client.turn(LOOK)?;
        let elapsed = start.elapsed();
        let error = client.node().clock.error().unwrap_or_default();
        if error.abs() > RIGHT {
            right_since = None;
        }
        let since = *right_since.get_or_insert(elapsed);
        let done = error.abs() <= RIGHT && elapsed - since >= HOLD;
        if elapsed >= next_report || done {
            next_report += REPORT;
            output::print(&report(client, elapsed, error))?;
        }
        if done {
            return Ok(output::print("The clock has stayed within 100 us for 10 s.\n")?);
        }
        if sys::termination_requested() {
            return Err(DemoError::Interrupted);
        }
        if elapsed >= LIMIT {
            return Err(DemoError::NotRight(error));
        }
    }
}

fn report(client: &Daemon, elapsed: Duration, error: Span) -> String {
    let node = client.node();
    let snapshot = node.engine.snapshot(node.clock.now());
    let mut line = format!(
        "{:3} s  error {:+.6} s  frequency {:+8.3} ppm  {}",
        elapsed.as_secs(),
        error,
        snapshot.frequency,
        if snapshot.synced { "synced  " } else { "unsynced" },
    );
    if io::stdout().is_terminal() {
        let colour = if error.abs() <= RIGHT { AnsiColor::Green } else { AnsiColor::Yellow };
        let style = colour.on_default();
        line += &format!("  {style}{}{style:#}", Bar(error));
    }
    line + "\n"
}

/// The size of an error from 1 us to 10 s, four characters a decade.
struct Bar(Span);

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.abs().as_secs_f64() * 1e6;
        let length = (micros.max(1.0).log10() * 4.0).round().min(28.0) as usize;
        write!(f, "{:█<length$}", "")
    }
}

/// Of what is the machine's it has nothing: what is learnt here is true of no clock of the machine.
fn config() -> Config {
    Config {
        clock: ClockKind::Software,
        control: None,
        leap_list: None,
        state: None,
        ..Config::default()
    }
}

fn server_config() -> Config {
    let address = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    Config { listen: vec![Listen { address, port: 0 }], local_stratum: Some(1), ..config() }
}

fn client_config(port: u16) -> Config {
    let address = ServerAddress::Ip(Ipv4Addr::LOCALHOST.into());
    Config {
        servers: vec![Server {
            address,
            port,
            min_poll: 0,
            max_poll: 2,
            iburst: true,
            select: SelectOptions::default(),
        }],
        software_clock: SoftwareClock { offset: OFFSET, frequency: FREQUENCY },
        ..config()
    }
}
