//! Servers that are wrong and do not say so: falsetickers, against a majority and without one.

use std::time::Duration;

use anyhow::{Result, ensure};
use truechimer_tests::chimed::{Chimed, Status, server};
use truechimer_tests::fake::{Datagram, FakeServer, Query, Reply};
use truechimer_tests::wait_for;

const LIMIT: Duration = Duration::from_secs(30);
/// How wrong the clock may be in the end, s.
const RIGHT: f64 = 0.01;
/// The error that the clock starts with, fast.
const WRONG: &str = "[software_clock]\noffset = 0.3\n";

/// The liar is asked first and answers first, and yet the clock is not stepped to it.
pub(crate) fn from_the_start() -> Result<()> {
    let (liar, honest) = (FakeServer::start(lie)?, [FakeServer::honest()?, FakeServer::honest()?]);
    let chimed = Chimed::start(&configuration(&[&liar, &honest[0], &honest[1]], WRONG))?;
    chimed.wait_until("a right clock", LIMIT, is_right)?;
    is_found_out(&chimed)?;
    let steps = chimed.process.transcript.count("set local clock to ");
    ensure!(steps == 1, "{steps} steps");
    Ok(())
}

/// It was right, and is wrong from some moment on.
pub(crate) fn later() -> Result<()> {
    let servers = [FakeServer::honest()?, FakeServer::honest()?, FakeServer::honest()?];
    let chimed = Chimed::start(&configuration(&[&servers[0], &servers[1], &servers[2]], ""))?;
    chimed.wait_until("three valid peers and a right clock", LIMIT, |status| {
        Ok(is_right(status)? && status.number("peers_valid")? == 3.0)
    })?;
    servers[0].follow(lie);
    is_found_out(&chimed)?;
    ensure!(is_right(&chimed.status()?)?, "{:?}", chimed.status()?);
    let log = &chimed.process.transcript;
    for text in ["set local clock", "clock is now unsynced"] {
        ensure!(log.count(text) == 0, "`{text}` is logged");
    }
    Ok(())
}

/// Of two that contradict each other, nobody knows who is right: the clock stays as it is.
pub(crate) fn without_a_majority() -> Result<()> {
    let (liar, honest) = (FakeServer::start(lie)?, FakeServer::honest()?);
    let chimed = Chimed::start(&configuration(&[&liar, &honest], WRONG))?;
    chimed
        .wait_until("two valid peers", LIMIT, |status| Ok(status.number("peers_valid")? == 2.0))?;
    std::thread::sleep(Duration::from_secs(5));
    let status = chimed.status()?;
    ensure!(!status.is_synced()?, "{status:?}");
    ensure!((status.number("clock_error")? - 0.3).abs() < RIGHT, "{status:?}");
    let steps = chimed.process.transcript.count("set local clock to ");
    ensure!(steps == 0, "{steps} steps");
    Ok(())
}

/// 5 s fast.
fn lie(query: &Query) -> Vec<Datagram> {
    vec![Datagram::FromHere(Reply::honest(query).shifted(5).emit())]
}

fn configuration(servers: &[&FakeServer], rest: &str) -> String {
    let tables: String = servers.iter().map(|fake| server(fake.port, -1)).collect();
    tables + rest
}

fn is_right(status: &Status) -> Result<bool> {
    Ok(status.is_synced()? && status.number("clock_error")?.abs() < RIGHT)
}

/// The first peer is the falseticker, and the others are followed.
fn is_found_out(chimed: &Chimed) -> Result<()> {
    wait_for("the falseticker being found out", LIMIT, || {
        let peers = chimed.peers()?;
        let (liar, honest) = (&peers[0], &peers[1..]);
        let found = liar.standing() == "falseticker"
            && honest.iter().all(|peer| matches!(peer.standing(), "selected" | "combined"));
        Ok(found.then_some(()))
    })
}
