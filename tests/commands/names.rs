//! Names whose lookup hangs.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use truechimer_tests::chimed::{Chimed, Status, listen, server};
use truechimer_tests::namespace::Namespace;
use truechimer_tests::{scratch, write};

use super::SOON;

const LIMIT: Duration = Duration::from_secs(60);

/// By a name server that never answers, which a time server is when it gets such a question.
pub(crate) fn never_answered() -> Result<()> {
    let (namespace, directory) = (Namespace::new()?, scratch()?);
    let resolver = "nameserver 127.0.0.1\noptions timeout:1 attempts:2\n";
    let resolver = write(directory.path(), "resolv.conf", resolver)?;
    let serving = format!("{}{}[local]\nstratum = 3\n", listen(123), listen(53));
    let silent = Chimed::start_in(&namespace, &serving)?;
    let named = "[[server]]\naddress = \"nowhere.example\"\n";
    let configuration = named.to_owned() + &server(123, -2);
    let mut chimed = Chimed::start_with_resolver(&namespace, &resolver, &configuration)?;

    let status = chimed.wait_until("a synchronised clock", LIMIT, Status::is_synced)?;
    ensure!(status.number("peers_valid")? == 1.0, "{status:?}");
    chimed.process.wait_for_line("cannot resolve nowhere.example: ", LIMIT)?;
    let asked = silent.status()?;
    let unanswered = asked.number("requests")? - asked.number("answers")?;
    ensure!(unanswered >= 2.0, "the name server was not asked: {asked:?}");
    let peers = chimed.peers()?;
    let unresolved = peers.first().context("no peers")?;
    ensure!(unresolved.count("sent")? == 0 && !unresolved.is_valid()?, "{unresolved:?}");

    chimed.process.signal(Signal::SIGTERM)?;
    let status = chimed.process.wait(2 * SOON)?;
    ensure!(status.code() == Some(0), "{status}");
    Ok(())
}
