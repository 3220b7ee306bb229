//! Two appliances on one cable, in virtual time: a server, and a client that sets its clock by it.
//!
//! ```sh
//! cargo run -p truechimer-examples --example smoltcp_loopback
//! ```
//!
//! Each is the whole firmware, from frames to the disciplined clock. `board` stands for what a
//! board brings: a network device and a counter. On a real one the loop sleeps where this one lets
//! time pass.

mod board;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use anyhow::anyhow;
use smoltcp::iface::SocketStorage;
use smoltcp::wire::{HardwareAddress, IpCidr};
use truechimer_core::config::{Config, NOT_BEFORE, PeerConfig};
use truechimer_core::holdover::{Boot, Record, TimeStatus};
use truechimer_core::units::{FreqOffset, Span, WallTime};
use truechimer_firmware::App;
use truechimer_firmware::clock::SystemClock;
use truechimer_firmware::net::{
    Addressing, Buffers, Ipv4, OTHER_SOCKETS, Stack, Unstamped, fork_seed,
};
use truechimer_firmware::rtc::{NoRtc, Start};
use truechimer_firmware::store::NoStore;

use board::{Cable, Counter, Port};

const PEERS: usize = 1;
type Host = App<'static, Unstamped<Port>, Counter, NoRtc, NoStore, PEERS>;
type Clock = &'static SystemClock<Counter>;

const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

fn main() -> anyhow::Result<()> {
    let cable = Rc::new(Cable::default());
    let right = clock(&cable, FreqOffset::ZERO, NOT_BEFORE);
    // Its counter is too fast by 80 ppm, 0.3 s an hour.
    let wrong = clock(&cable, FreqOffset::from_ppm(80), NOT_BEFORE + Span::from_secs(-90));

    let port = |end| Port { cable: cable.clone(), end };
    let config = Config { local_stratum: Some(1), ..Config::default() };
    let server = host(port(0), SERVER, right, &config)?;
    let mut client = host(port(1), CLIENT, wrong, &Config::default())?;
    let address = Some(SocketAddr::new(SERVER, 123));
    let peer = PeerConfig { address, min_poll: 4, ..PeerConfig::default() };
    client.add_peer("server", &peer).map_err(|_| anyhow!("too many peers"))?;

    let mut hosts = [(server, right), (client, wrong)];
    for secs in (0..=120).step_by(4) {
        while cable.elapsed() < Span::from_secs(secs) {
            for (host, _) in &mut hosts {
                poll(host)?;
            }
            let pauses = hosts.each_mut().map(|(host, clock)| host.poll_at() - clock.mono());
            cable.pass(pauses.into_iter().min().unwrap_or_default());
        }
        println!("{secs:3} s  error {:+.9} s", wrong.now().wall - right.now().wall);
    }
    Ok(())
}

/// Takes in what has come and does what is due.
fn poll(host: &mut Host) -> anyhow::Result<()> {
    loop {
        match host.poll() {
            Ok(event) => println!("       {event}"),
            Err(nb::Error::WouldBlock) => return Ok(()),
            Err(nb::Error::Other(error)) => return Err(error.into()),
        }
    }
}

/// A board keeps it in a `static`, as it does the memory in `host`.
fn clock(cable: &Rc<Cable>, drift: FreqOffset, start: WallTime) -> Clock {
    let clock = Box::leak(Box::new(SystemClock::new(Counter { cable: cable.clone(), drift })));
    clock.set(start);
    clock
}

/// The host at `port` of the cable.
fn host(port: Port, address: IpAddr, clock: Clock, config: &Config) -> anyhow::Result<Host> {
    let address = IpCidr::new(address.into(), 24);
    let hardware = HardwareAddress::Ip;
    let addressing = Addressing { hardware, ipv4: Ipv4::None, slaac: false, resolver: None };
    let sockets = Box::leak(Box::new([SocketStorage::EMPTY; PEERS + OTHER_SOCKETS]));
    let buffers = Box::leak(Box::new(Buffers::new()));
    let [seed, ports] = fork_seed([port.end as u8; 32]); // a real one must be unpredictable
    let mut stack = Stack::new(Unstamped(port), &addressing, sockets, buffers, clock, ports)
        .map_err(|_| anyhow!("too few sockets"))?;
    stack.interface.update_ip_addrs(|ours| ours.extend([address]));
    let boot = Boot { time: clock.now().wall, bound: None, status: TimeStatus::Floor };
    let start = Start { record: Record::default(), boot };
    let engine = Box::leak(Box::new(start.engine(clock, config, seed)));
    Ok(App::new(engine, Box::leak(Box::new(stack)), None, None, &start, config))
}
