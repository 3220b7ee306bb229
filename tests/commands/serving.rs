//! Serving time: on every address, and to a server.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Result, ensure};
use truechimer_tests::chimed::{Chimed, Status, server};
use truechimer_tests::fake::FakeServer;
use truechimer_tests::process::finish;
use truechimer_tests::{free_port, wait_for};

use super::{SOON, chimed};

const LIMIT: Duration = Duration::from_secs(20);

/// Of several addresses that a host has, the answer comes from the one that was asked.
pub(crate) fn from_the_address_asked() -> Result<()> {
    let port = free_port()?;
    let configuration = format!("[[listen]]\naddress = \"*\"\nport = {port}\n[local]\n");
    let server = Chimed::start(&configuration)?;
    for asked in ["127.0.0.2", "127.0.0.1"] {
        // Not connected, so that an answer from elsewhere is seen.
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut query = [0; 48];
        query[0] = 0o43;
        query[40..].copy_from_slice(b"stamp..!");
        socket.send_to(&query, (asked, port))?;
        let mut reply = [0; 128];
        let (length, from) = socket.recv_from(&mut reply)?;
        ensure!(from == std::net::SocketAddr::new(asked.parse()?, port), "from {from}");
        ensure!(length == 48 && &reply[24..32] == b"stamp..!", "{:02x?}", &reply[..length]);

        let ended = finish(chimed()?.args(["query", &format!("{asked}:{port}")]), SOON)?;
        ensure!(ended.code == Some(0), "{ended:?}");
        ensure!(
            ended.stdout.contains("  stratum 10  leap none  reference 127.127.1.1\n"),
            "{ended:?}"
        );
    }
    ensure!(server.status()?.number("answers")? == 4.0, "{:?}", server.status()?);
    Ok(())
}

/// One of two that are configured to follow each other has a server, and follows that alone.
pub(crate) fn each_other() -> Result<()> {
    let (fake, ports) = (FakeServer::honest()?, [free_port()?, free_port()?]);
    let [first_at, second_at] = ["127.0.0.2", "127.0.0.3"];
    let listen = |address, port| format!("[[listen]]\naddress = \"{address}\"\nport = {port}\n");
    let follow = |address, port| server(port, -2).replace("127.0.0.1", address);
    let first = server(fake.port, -2) + &follow(second_at, ports[1]) + &listen(first_at, ports[0]);
    let first = Chimed::start(&first)?;
    first.wait_until("a synchronised clock", LIMIT, Status::is_synced)?;
    let second = follow(first_at, ports[0]) + &listen(second_at, ports[1]) + "[local]\n";
    let second = Chimed::start(&second)?;
    wait_for("the loop being found out", LIMIT, || {
        let (first, second) = (first.peers()?, second.peer()?);
        let standings = [first[0].standing(), first[1].standing(), second.standing()];
        Ok((standings == ["selected", "loop", "selected"]).then_some(()))
    })?;
    ensure!(second.status()?.text("reference")? == first_at, "{:?}", second.status()?);
    Ok(())
}

/// Of three that have only each other the one of the least address is followed by the others.
pub(crate) fn orphans() -> Result<()> {
    let places =
        [("127.0.0.2", free_port()?), ("127.0.0.3", free_port()?), ("127.0.0.4", free_port()?)];
    let configuration = |own: &(&str, u16)| {
        let others = places.iter().filter(|place| *place != own);
        let mut text: String =
            others.map(|(address, port)| server(*port, -2).replace("127.0.0.1", address)).collect();
        let (address, port) = own;
        text += &format!("[[listen]]\naddress = \"{address}\"\nport = {port}\n");
        text + "[serve]\norphan = 9\norphan_wait = 0\n"
    };
    let hosts: Result<Vec<_>> =
        places.iter().map(|place| Chimed::start(&configuration(place))).collect();
    let hosts = hosts?;
    wait_for("two that follow the third", LIMIT, || {
        let standings = |host: &Chimed| -> Result<Vec<String>> {
            Ok(host.peers()?.iter().map(|peer| peer.standing().to_owned()).collect())
        };
        let found: Result<Vec<_>> = hosts.iter().map(standings).collect();
        let followers = ["selected", "orphan"];
        Ok((found? == [["loop"; 2], followers, followers]).then_some(()))
    })?;
    let references: Result<Vec<_>> =
        hosts[1..].iter().map(|host| host.status()?.text("reference").map(str::to_owned)).collect();
    ensure!(references? == [places[0].0; 2]);
    ensure!(!hosts[0].status()?.is_synced()?, "{:?}", hosts[0].status()?);
    Ok(())
}
