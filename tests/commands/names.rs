//! Names: whose lookup hangs, that come later, move and have several addresses.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use truechimer_tests::chimed::{Chimed, Peer, Status, listen, server};
use truechimer_tests::names::Names;
use truechimer_tests::namespace::Namespace;
use truechimer_tests::{scratch, wait_for, write};

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

fn named(table: &str, name: &str) -> String {
    format!("[[{table}]]\naddress = \"{name}\"\nminpoll = -2\nmaxpoll = -2\n")
}

/// Those that serve time there.
fn serving(namespace: &Namespace, addresses: &[&str]) -> Result<Vec<Chimed>> {
    let serving = addresses.iter().map(|address| {
        let listen = format!("[[listen]]\naddress = \"{address}\"\n[local]\nstratum = 3\n");
        Chimed::start_in(namespace, &listen)
    });
    serving.collect()
}

fn addresses(chimed: &Chimed) -> Result<Vec<String>> {
    let peers = chimed.peers()?;
    Ok(peers.iter().map(|peer| peer.address().unwrap_or("none").to_owned()).collect())
}

fn wait_for_addresses(chimed: &Chimed, wanted: &[&str]) -> Result<()> {
    let are_valid = |peers: Vec<Peer>| peers.iter().all(|peer| peer.is_valid().unwrap_or(false));
    wait_for(&format!("peers at {wanted:?}"), LIMIT, || {
        let mut found = addresses(chimed)?;
        found.sort();
        Ok((found == wanted && are_valid(chimed.peers()?)).then_some(()))
    })
}

/// No address at first, then a dead one of each family before the one that answers.
pub(crate) fn later() -> Result<()> {
    let (namespace, directory) = (Namespace::new()?, scratch()?);
    let names = Names::start(&namespace, directory.path())?;
    let _server = serving(&namespace, &["127.0.0.2"])?;
    let configuration = named("server", "time.example");
    let mut chimed = Chimed::start_with_resolver(&namespace, &names.resolver, &configuration)?;
    chimed.process.wait_for_line("cannot resolve time.example: ", LIMIT)?;
    names.set(&["time.example ::1 127.0.0.3 127.0.0.2", "other.example 127.0.0.4"])?;
    wait_for_addresses(&chimed, &["127.0.0.2"])?;
    chimed.wait_until("a synchronised clock", LIMIT, Status::is_synced)?;
    Ok(())
}

/// Two of three, none twice though a server is one of them; who dies is replaced.
pub(crate) fn of_a_pool() -> Result<()> {
    let (namespace, directory) = (Namespace::new()?, scratch()?);
    let names = Names::start(&namespace, directory.path())?;
    let addresses = ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"];
    let mut servers = serving(&namespace, &addresses)?;
    names.set(&["pool.example 127.0.0.2 127.0.0.3 127.0.0.4", "time.example 127.0.0.2"])?;
    let pool = named("pool", "pool.example") + "count = 2\n";
    let configuration = pool + &named("server", "time.example");
    let chimed = Chimed::start_with_resolver(&namespace, &names.resolver, &configuration)?;
    wait_for_addresses(&chimed, &["127.0.0.2", "127.0.0.3", "127.0.0.4"])?;
    names.set(&["pool.example 127.0.0.5 127.0.0.4 127.0.0.3", "time.example 127.0.0.2"])?;
    drop(servers.remove(1));
    wait_for_addresses(&chimed, &["127.0.0.2", "127.0.0.4", "127.0.0.5"])?;
    Ok(())
}

/// A link-local address with the interface that it is to be asked on.
pub(crate) fn of_a_zone() -> Result<()> {
    let namespace = Namespace::new()?;
    let mut command = namespace.command("ip");
    command.args(["address", "add", "fe80::7/64", "dev", "lo", "nodad"]);
    ensure!(command.status()?.success(), "no link-local address");
    let _server = Chimed::start_in(&namespace, "[[listen]]\naddress = \"*\"\n[local]\n")?;
    let configuration = named("server", "fe80::7%lo") + &named("server", "fe80::7%nowhere");
    let mut chimed = Chimed::start_in(&namespace, &configuration)?;
    chimed.process.wait_for_line("cannot resolve fe80::7%nowhere: ", LIMIT)?;
    chimed.wait_until("a synchronised clock", LIMIT, Status::is_synced)?;
    ensure!(addresses(&chimed)? == ["fe80::7", "none"], "{:?}", addresses(&chimed)?);
    Ok(())
}
