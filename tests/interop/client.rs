//! chimed as a client.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use truechimer_tests::chimed::{Chimed, Status, listen};
use truechimer_tests::fake::FakeServer;
use truechimer_tests::namespace::Namespace;
use truechimer_tests::peers::{self, Chronyd};
use truechimer_tests::process::run;
use truechimer_tests::{binaries, free_port};

/// The error that the software clock starts with.
const WRONG: &str = "[software_clock]\noffset = 0.3\nfrequency = 50.0\n";
/// Within this the clock is to be right, s.
const RIGHT: f64 = 1e-3;
/// By when.
const LIMIT: Duration = Duration::from_secs(60);
/// And for how long it is to stay so.
const STAYS: Duration = Duration::from_secs(5);

pub(crate) fn of_chronyd() -> Result<()> {
    let chronyd = Chronyd::serve(1)?;
    let chimed = Chimed::start(&format!("{}{WRONG}", server(chronyd.port)))?;
    becomes_right(&chimed, 2)
}

/// NTPsec, on the one port that it has.
pub(crate) fn of_ntpd() -> Result<()> {
    let namespace = Namespace::new()?;
    let _ntpd = peers::ntpd(&namespace, 5)?;
    let chimed = Chimed::start_in(&namespace, &format!("{}{WRONG}", server(123)))?;
    becomes_right(&chimed, 6)
}

/// Its own kind.
pub(crate) fn of_chimed() -> Result<()> {
    let port = free_port()?;
    let _first = Chimed::start(&format!("{}[local]\nstratum = 3\n", listen(port)))?;
    let second = Chimed::start(&format!("{}{WRONG}", server(port)))?;
    becomes_right(&second, 4)
}

/// `chimed query` tells by its exit status whether all servers gave the time.
pub(crate) fn query() -> Result<()> {
    let (one, other) = (FakeServer::honest()?, FakeServer::honest()?);
    let dead = free_port()?;
    let ask = |ports: &[u16]| {
        let mut command = Command::new(binaries::chimed()?);
        command.arg("query").args(ports.iter().map(|port| format!("127.0.0.1:{port}")));
        run(&mut command, Duration::from_secs(30))
    };
    let (status, lines) = ask(&[one.port, other.port])?;
    ensure!(status.success(), "two servers: {status}");
    for port in [one.port, other.port] {
        ensure!(lines.iter().any(|line| line.contains(&port.to_string())), "{port} is not shown");
    }
    let (status, _) = ask(&[one.port, dead])?;
    ensure!(status.code().is_some_and(|code| code != 0), "one is dead: {status}");
    Ok(())
}

fn server(port: u16) -> String {
    format!(
        "[[server]]\naddress = \"127.0.0.1\"\nport = {port}\nminpoll = -1\nmaxpoll = 1\n\
         iburst = true\n"
    )
}

/// From 0.3 s and 50 ppm wrong to right and synchronised, with a step, and it stays so.
fn becomes_right(chimed: &Chimed, stratum: u8) -> Result<()> {
    let is_right =
        |status: &Status| Ok(status.is_synced()? && status.number("clock_error")?.abs() < RIGHT);
    chimed.wait_until("a synchronised clock within 1 ms", LIMIT, is_right)?;
    // Fast by 50 ppm, it is to run slower by so much.
    let status = chimed.wait_until("the frequency within 10 ppm", LIMIT, |status| {
        Ok((status.number("frequency")? + 50.0).abs() < 10.0)
    })?;
    ensure!(status.number("stratum")? == f64::from(stratum), "{status:?}");
    ensure!(status.number("peers_valid")? == 1.0, "{status:?}");
    let wrong_again =
        chimed.wait_until("the clock going wrong", STAYS, |status| Ok(!is_right(status)?));
    ensure!(wrong_again.is_err(), "it did not stay right: {wrong_again:?}");
    let bound = chimed.status()?;
    ensure!(bound.number("clock_error")?.abs() <= bound.number("error_bound")?, "{bound:?}");

    let log = &chimed.process.transcript;
    for text in ["peer 127.0.0.1 now valid", "clock is now synced", "adjusting clock frequency by "]
    {
        ensure!(log.count(text) >= 1, "`{text}` is not logged");
    }
    let lines = log.lines();
    let mut steps = lines.iter().filter(|line| line.contains("set local clock to "));
    let step = steps.next().context("no step is logged")?;
    let offset = step.split_once("(offset ").and_then(|(_, rest)| rest.split_once("s)"));
    let offset: f64 = offset.with_context(|| step.clone())?.0.parse()?;
    ensure!((offset + 0.3).abs() < 5e-3, "0.3 s fast, but {step}");
    ensure!(steps.next().is_none(), "a second step");
    Ok(())
}
