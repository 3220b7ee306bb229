//! chimed as a server, of clients of which none can set the clock.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Result, ensure};
use truechimer_tests::chimed::{Chimed, Status, listen, server};
use truechimer_tests::clients;
use truechimer_tests::namespace::Namespace;
use truechimer_tests::peers::{self, Chronyd};
use truechimer_tests::process::output;
use truechimer_tests::{free_port, wait_for};

/// Two clients of the same machine's clock may differ by this, s.
const AGREE: f64 = 1e-3;

/// A server of this machine's time that calls itself stratum 3.
fn local(port: u16) -> String {
    format!("{}[local]\nstratum = 3\n", listen(port))
}

/// A single shot and a running client.
pub(crate) fn for_chronyd() -> Result<()> {
    let port = free_port()?;
    let _chimed = Chimed::start(&local(port))?;
    let offset = Chronyd::query(port)?;
    ensure!(offset.abs() < AGREE, "chronyd -Q: {offset} s");
    let view = Chronyd::follow(port)?.view()?;
    ensure!(view.stratum == 3 && view.offset.abs() < AGREE, "chronyd: {view:?}");
    Ok(())
}

/// Answers carry the true transmit stamp of those before, to one that asks for it and only then.
pub(crate) fn for_chronyd_interleaved() -> Result<()> {
    let port = free_port()?;
    let _chimed = Chimed::start(&local(port))?;
    let client = Chronyd::follow_interleaved(port)?;
    let view = wait_for("interleaved answers", Duration::from_secs(20), || {
        Ok(Some(client.view()?).filter(|view| view.interleaved))
    })?;
    ensure!(view.stratum == 3 && view.offset.abs() < AGREE, "chronyd: {view:?}");
    let view = Chronyd::follow(port)?.view()?;
    ensure!(!view.interleaved, "chronyd: {view:?}");
    Ok(())
}

/// As a running client, beside [`for_ntpdig`].
pub(crate) fn for_ntpd() -> Result<()> {
    const SERVER: &str = "192.0.2.1";
    const CLIENT: &str = "192.0.2.2";
    let namespace = Namespace::new()?;
    for address in [SERVER, CLIENT] {
        output(namespace.command("ip").args(["address", "add", address, "dev", "lo"]))?;
    }
    let listen = format!("[[listen]]\naddress = \"{SERVER}\"\n[local]\nstratum = 3\n");
    let _chimed = Chimed::start_in(&namespace, &listen)?;
    let offset = peers::follow_with_ntpd(&namespace, SERVER, CLIENT)?;
    ensure!(offset.abs() < AGREE, "NTPsec: {offset} s");
    Ok(())
}

/// Both versions that are served.
pub(crate) fn for_ntplib() -> Result<()> {
    let port = free_port()?;
    let _chimed = Chimed::start(&local(port))?;
    for version in [3, 4] {
        let view = peers::ntplib(port, version)?;
        ensure!(view.stratum == 3 && view.offset.abs() < AGREE, "version {version}: {view:?}");
    }
    Ok(())
}

pub(crate) fn for_ntpdig() -> Result<()> {
    let namespace = Namespace::new()?;
    let _chimed = Chimed::start_in(&namespace, &local(123))?;
    let (stratum, offset) = peers::ask_with_ntpdig(&namespace)?;
    ensure!(stratum == 3 && offset.abs() < AGREE, "stratum {stratum}, {offset} s");
    Ok(())
}

pub(crate) fn for_openntpd() -> Result<()> {
    on_port_123("OpenNTPD", clients::follow_with_openntpd)
}

pub(crate) fn for_busybox() -> Result<()> {
    on_port_123("busybox", clients::ask_with_busybox)
}

pub(crate) fn for_ntpd_rs() -> Result<()> {
    on_port_123("ntpd-rs", clients::follow_with_ntpd_rs)
}

/// Of a worker.
fn on_port_123(name: &str, client: impl Fn(&Namespace) -> Result<f64>) -> Result<()> {
    let namespace = Namespace::new()?;
    let chimed = Chimed::start_in(&namespace, &(local(123) + "[serve]\nworkers = 1\n"))?;
    let offset = client(&namespace)?;
    ensure!(offset.abs() < AGREE, "{name}: {offset} s");
    ensure!(chimed.status()?.number("answers")? > 0.0, "{:?}", chimed.status()?);
    Ok(())
}

/// Root delay and dispersion are those of the way to the primary source, not the zeros that
/// OpenNTPD states, and they bound the error.
pub(crate) fn states_its_path() -> Result<()> {
    let chronyd = Chronyd::serve(1)?;
    let port = free_port()?;
    let chimed = Chimed::start(&format!("{}{}", listen(port), server(chronyd.port, -1)))?;
    chimed.wait_until("a synchronised clock", Duration::from_secs(30), Status::is_synced)?;
    let view = peers::ntplib(port, 4)?;
    ensure!(view.stratum == 2, "{view:?}");
    ensure!(view.reference_id == [127, 0, 0, 1], "{view:?}");
    ensure!(0.0 < view.root_delay && view.root_delay < 0.1, "{view:?}");
    ensure!(0.0 < view.root_dispersion && view.root_dispersion < 0.1, "{view:?}");
    let bound = (view.root_delay + view.delay) / 2.0 + view.root_dispersion;
    ensure!(view.offset.abs() < bound.min(AGREE), "{view:?}");
    let offset = Chronyd::query(port)?;
    ensure!(offset.abs() < AGREE, "chronyd -Q: {offset} s");
    let seen = Chronyd::follow(port)?.view()?;
    ensure!(seen.stratum == 2 && seen.root_delay > 0.0 && seen.root_dispersion > 0.0, "{seen:?}");
    Ok(())
}

/// A server without the time says so: leap alarm, stratum 0 on the wire.
pub(crate) fn before_it_is_synced() -> Result<()> {
    let (port, dead) = (free_port()?, free_port()?);
    let _chimed = Chimed::start(&format!("{}{}", listen(port), server(dead, 2)))?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut query = [0; 48];
    query[0] = 0x23;
    query[40..].copy_from_slice(b"stamp..!");
    socket.send(&query)?;
    let mut reply = [0; 256];
    let length = socket.recv(&mut reply)?;
    ensure!(length == 48, "{length} octets");
    ensure!((reply[0], reply[1]) == (0b11_100_100, 0), "flags and stratum {:?}", &reply[..2]);
    ensure!(&reply[24..32] == b"stamp..!", "the origin stamp is not the query's");
    Ok(())
}
