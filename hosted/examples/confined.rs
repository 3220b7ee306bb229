//! Becomes one of chimed's processes as it is once it is confined, and prints what comes of TCP there:
//! `cargo run -p truechimer --example confined -- ntp|dns|parent|exporter|constraint PORT...`, the ports that the
//! last may connect to. The tests run it in a guest, whose kernel has Landlock's rules for ports.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, bail};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, socket};
use truechimer::log::{Log, Options};
use truechimer::sandbox::{Work, confine};

/// Somebody listens at all of them.
const PORTS: [u16; 3] = [443, 444, 8_443];
/// Nobody is there.
const FREE: u16 = 8_444;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let role = arguments.next().context("no process is named")?;
    let ports = arguments.map(|port| port.parse()).collect::<Result<_, _>>()?;
    let work = match role.as_str() {
        "ntp" => Work::Ntp,
        "dns" => Work::Dns,
        "exporter" => Work::Exporter,
        "parent" => Work::Parent(Vec::new()),
        "constraint" => Work::Constraint(ports),
        other => bail!("no process is called {other:?}"),
    };
    // What the filter of calls does not allow is done before: the ports alone are tried.
    let addresses = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let mut clients = Vec::new();
    let mut listeners = Vec::new();
    for ip in addresses {
        for port in PORTS {
            let address = SocketAddr::new(ip, port);
            listeners.push(TcpListener::bind(address)?);
            clients.push((address, tcp(address)?));
        }
    }
    let free = SocketAddr::new(addresses[0], FREE);
    let server = tcp(free)?;

    let active = confine(&work, None, &Log::new(&Options::default()))?;
    let active: Vec<_> = active.iter().map(ToString::to_string).collect();
    println!("{}", active.join(" "));
    for (address, client) in clients {
        let connected = connect(client.as_raw_fd(), &SockaddrStorage::from(address));
        println!("connect {address} {}", outcome(connected));
    }
    println!("bind {free} {}", outcome(bind(server.as_raw_fd(), &SockaddrStorage::from(free))));
    Ok(())
}

fn tcp(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    Ok(socket(family, SockType::Stream, SockFlag::empty(), None)?)
}

fn outcome(result: nix::Result<()>) -> String {
    result.map_or_else(|errno| format!("{errno:?}"), |()| "done".to_owned())
}
