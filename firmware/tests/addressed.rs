//! A client on a network that gives it addresses, servers and names.

mod cable;
mod lan;

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;

use smoltcp::iface::SocketStorage;
use smoltcp::phy::{Device, DeviceCapabilities};
use smoltcp::time::Instant as NetInstant;
use smoltcp::wire::{EthernetAddress, IpCidr, Ipv4Cidr};
use truechimer_core::config::{Config, PeerConfig};
use truechimer_core::units::{FreqOffset, Instant, NtpShort, NtpTimestamp, Span};
use truechimer_core::wire::{Header, LeapIndicator, Mode, ReferenceId};
use truechimer_firmware::App;
use truechimer_firmware::clock::SystemClock;
use truechimer_firmware::net::{Addressing, Buffers, Driver, Ipv4, OTHER_SOCKETS, Stack};

use truechimer_core::holdover::Record;
use truechimer_firmware::rtc::Start;

use cable::{DELAY, Memory, Port, Seconds, Shared, Timer};
use lan::{Lan, Outcome};

const PEERS: usize = 3;
const HARDWARE: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);
const SERVERS: [Ipv4Addr; 2] = [Ipv4Addr::new(198, 51, 100, 1), Ipv4Addr::new(198, 51, 100, 2)];
const SERVER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xDB8, 0, 2, 0, 0, 0, 1);

/// An end of the cable that can be pulled out.
struct Plug {
    port: Port,
    is_in: Rc<Cell<bool>>,
}

impl Device for Plug {
    type RxToken<'a> = <Port as Device>::RxToken<'a>;
    type TxToken<'a> = <Port as Device>::TxToken<'a>;

    fn receive(&mut self, at: NetInstant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        self.port.receive(at).filter(|_| self.is_in.get())
    }

    fn transmit(&mut self, at: NetInstant) -> Option<Self::TxToken<'_>> {
        self.port.transmit(at).filter(|_| self.is_in.get())
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.port.capabilities()
    }
}

impl Driver for Plug {
    fn arrived(&mut self) -> Option<Instant> {
        None
    }

    fn departed(&mut self) -> Option<(u32, Instant)> {
        None
    }

    fn has_link(&mut self) -> Option<bool> {
        Some(self.is_in.get())
    }
}

type Host = App<'static, Plug, Timer, Seconds, Memory, PEERS>;

/// The client at one end of the cable, the network at the other.
struct Bed {
    world: Shared,
    clock: &'static SystemClock<Timer>,
    host: Host,
    lan: Lan,
    plug: Rc<Cell<bool>>,
    events: Vec<String>,
    /// Whom the client asked for the time.
    asked: Vec<IpAddr>,
    /// Who does not answer.
    dead: Vec<IpAddr>,
}

impl Bed {
    fn new(lan: Lan, addressing: Addressing) -> Self {
        let world = Shared::default();
        let error = FreqOffset::from_ppm(80);
        let clock = Box::leak(Box::new(SystemClock::new(Timer { world: world.clone(), error })));
        let _ = clock.now();
        let plug = Rc::new(Cell::new(true));
        let port = Plug { port: Port { world: world.clone(), end: 1 }, is_in: plug.clone() };
        let places = PEERS + OTHER_SOCKETS;
        let storage = Vec::leak((0..places).map(|_| SocketStorage::EMPTY).collect());
        let buffers = Box::leak(Box::new(Buffers::new()));
        let stack = Stack::new(port, &addressing, storage, buffers, clock, [9; 32]).unwrap();
        let rtc = Seconds::new(&world, Span::from_secs(-1_000_000), FreqOffset::ZERO);
        let start = Start::without_rtc(clock, Record::default());
        let config = Config::default();
        let engine = Box::leak(Box::new(start.engine(clock, &config, [8; 32])));
        let (stack, store) = (Box::leak(Box::new(stack)), Some(Memory::default()));
        let mut host = App::new(engine, stack, Some(rtc), store, &start, &config);
        host.ask_named_as(&peer(None));
        Self {
            world,
            clock,
            host,
            lan,
            plug,
            events: Vec::new(),
            asked: Vec::new(),
            dead: Vec::new(),
        }
    }

    /// Runs until `secs` of true time have passed.
    fn run(&mut self, secs: i64) {
        self.run_for(Span::from_secs(secs));
    }

    fn run_for(&mut self, span: Span) {
        let end = self.world.borrow().time + span;
        while self.world.borrow().time < end {
            let mut polls = 0;
            let ahead = loop {
                match self.host.poll() {
                    Ok(event) => self.events.push(event.to_string()),
                    Err(nb::Error::WouldBlock) => {
                        let ahead = self.host.poll_at() - self.clock.mono();
                        if ahead > Span::ZERO {
                            break ahead;
                        }
                    }
                    Err(error) => panic!("{error:?}"),
                }
                polls += 1;
                assert!(polls < 100, "the loop spins");
            };
            self.answer();
            let latest = ahead + Span::from_nanos(ahead.as_nanos() / 1_000 + 32);
            let mut world = self.world.borrow_mut();
            let arrival = world.next_arrival().unwrap_or(end);
            world.time = (world.time + latest).min(end).min(arrival).max(world.time);
        }
    }

    /// Takes the frames that have come to the network's end.
    fn answer(&mut self) {
        loop {
            let mut world = self.world.borrow_mut();
            let now = world.time;
            if world.to[0].front().is_none_or(|(arrival, _)| *arrival > now) {
                return;
            }
            let Some((_, frame)) = world.to[0].pop_front() else { return };
            let frames = match self.lan.take(&frame) {
                Outcome::Frames(frames) => frames,
                Outcome::Datagram(question) => {
                    self.asked.push(question.to.ip());
                    let now = NtpTimestamp::from_wall(world.wall());
                    let is_dead = self.dead.contains(&question.to.ip());
                    let answer = || question.reply(&time(&question.bytes, now));
                    (!is_dead).then(answer).into_iter().collect()
                }
            };
            world.to[1].extend(frames.into_iter().map(|frame| (now + DELAY, frame)));
        }
    }

    fn is_right(&self) {
        let error = self.clock.now().wall - self.world.borrow().wall();
        assert!(error.abs() < Span::from_millis(1), "{error:.9}: {:#?}", self.events);
        assert!(self.host.snapshot().synced, "{:#?}", self.events);
    }

    /// Whom it asked since, each once.
    fn asked(&mut self) -> Vec<IpAddr> {
        let mut asked = std::mem::take(&mut self.asked);
        asked.sort_unstable();
        asked.dedup();
        asked
    }

    fn addresses(&mut self) -> Vec<IpCidr> {
        self.host.stack().interface.ip_addrs().to_vec()
    }
}

fn peer(address: Option<SocketAddr>) -> PeerConfig {
    PeerConfig { address, min_poll: 4, max_poll: 6, ..PeerConfig::default() }
}

fn addressing(ipv4: Ipv4) -> Addressing {
    Addressing { hardware: HARDWARE.into(), ipv4, slaac: false, resolver: None }
}

/// What a right server says.
fn time(question: &[u8], now: NtpTimestamp) -> [u8; 48] {
    let stamp = question.last_chunk().copied().map_or(0, u64::from_be_bytes);
    Header {
        leap: LeapIndicator::NoWarning,
        version: 4,
        mode: Mode::Server,
        stratum: 1,
        poll: 6,
        precision: -20,
        root_delay: NtpShort::default(),
        root_dispersion: NtpShort::default(),
        reference_id: ReferenceId::from_bytes(*b"TEST"),
        reference_time: now,
        origin_time: NtpTimestamp::from_bits(stamp),
        receive_time: now,
        transmit_time: now,
    }
    .emit()
}

fn leasing(time_servers: &[Ipv4Addr]) -> Lan {
    Lan { lease: Some(3_600), time_servers: time_servers.to_vec(), ..Lan::default() }
}

#[test]
fn dhcp_gives_an_address_and_servers() {
    let mut bed = Bed::new(leasing(&SERVERS), addressing(Ipv4::Dhcp));
    let fallback = SocketAddr::new(Ipv4Addr::new(203, 0, 113, 1).into(), 123);
    bed.host.add_fallback("fallback", &peer(Some(fallback))).unwrap();
    bed.run(60);
    bed.is_right();
    assert_eq!(bed.addresses(), [IpCidr::new(lan::LEASED.into(), 24)]);
    assert_eq!(bed.asked(), SERVERS.map(IpAddr::from));
    assert_eq!(bed.host.snapshot().peers().len(), 2);

    // Renewed at half of its time and later, with another server in place of the first.
    bed.lan.time_servers = vec![SERVERS[1]];
    let granted = bed.lan.granted;
    bed.run(4 * 3_600);
    bed.is_right();
    assert!(bed.lan.granted >= granted + 6, "{}", bed.lan.granted);
    assert_eq!(bed.host.snapshot().peers().len(), 1);
    let _ = bed.asked();
    bed.run(300);
    assert_eq!(bed.asked(), [IpAddr::from(SERVERS[1])]);
}

#[test]
fn the_first_query_is_soon_after_the_link() {
    let mut bed = Bed::new(leasing(&SERVERS[..1]), addressing(Ipv4::Dhcp));
    bed.run_for(Span::from_millis(5));
    assert_eq!(bed.asked(), [IpAddr::from(SERVERS[0])], "{:?}", bed.host.snapshot().system);
}

#[test]
fn a_link_that_comes_back_is_used_at_once() {
    let mut bed = Bed::new(leasing(&SERVERS[..1]), addressing(Ipv4::Dhcp));
    bed.plug.set(false);
    bed.run(50);
    assert_eq!((bed.asked(), bed.lan.granted), (vec![], 0));
    bed.plug.set(true);
    bed.run(2);
    let granted = bed.lan.granted;
    assert_eq!((bed.asked(), granted > 0), (vec![SERVERS[0].into()], true));
    bed.run(600);
    bed.plug.set(false);
    bed.run(600);
    let _ = bed.asked();
    bed.plug.set(true);
    bed.run(2);
    // Plugged into what may be another network: leased anew.
    assert_eq!((bed.asked(), bed.lan.granted), (vec![SERVERS[0].into()], granted + 1));
    bed.is_right();
}

#[test]
fn silence_of_dhcp_brings_the_fallback() {
    let lan = Lan { advertises: true, ..Lan::default() };
    let mut bed = Bed::new(lan, Addressing { slaac: true, ..addressing(Ipv4::Dhcp) });
    let fallback = SocketAddr::new(SERVER_V6.into(), 123);
    bed.host.add_fallback("fallback", &peer(Some(fallback))).unwrap();
    bed.run(60);
    bed.is_right();
    assert_eq!(bed.asked(), [IpAddr::from(SERVER_V6)]);
}

#[test]
fn a_static_address_needs_nobody() {
    let address = Ipv4Cidr::new(Ipv4Addr::new(192, 0, 2, 7), 24);
    let ipv4 = Ipv4::Static { address, router: Some(lan::ROUTER) };
    let mut bed = Bed::new(Lan::default(), addressing(ipv4));
    bed.host.add_peer("server", &peer(Some(SocketAddr::new(SERVERS[0].into(), 123)))).unwrap();
    bed.run(60);
    bed.is_right();
}

#[test]
fn routers_give_ipv6_addresses() {
    let lan = Lan { advertises: true, ..Lan::default() };
    let mut bed = Bed::new(lan, Addressing { slaac: true, ..addressing(Ipv4::None) });
    bed.host.add_peer("server", &peer(Some(SocketAddr::new(SERVER_V6.into(), 123)))).unwrap();
    bed.run(60);
    bed.is_right();
    let global = bed.addresses().into_iter().filter_map(|ours| match ours {
        IpCidr::Ipv6(ours) => Some(ours.address()),
        IpCidr::Ipv4(_) => None,
    });
    // RFC 4291 appendix A: the hardware address in the lower half.
    let made = Ipv6Addr::new(0x2001, 0xDB8, 0, 1, 0, 0x00FF, 0xFE00, 1);
    assert!(global.into_iter().any(|ours| ours == made), "{:?}", bed.addresses());
}

#[test]
fn routers_may_be_silent() {
    let mut bed = Bed::new(leasing(&SERVERS), Addressing { slaac: true, ..addressing(Ipv4::Dhcp) });
    bed.run(600);
    bed.is_right();
}

#[test]
fn names_are_looked_up() {
    let names = [("time.example.net".to_owned(), vec![SERVERS[0].into()])].into();
    let mut bed = Bed::new(Lan { names, ..leasing(&[]) }, addressing(Ipv4::Dhcp));
    bed.host.add_peer("time.example.net", &peer(None)).unwrap();
    bed.run(60);
    bed.is_right();
    assert_eq!(bed.lan.asked, ["time.example.net"]);
    assert_eq!(bed.asked(), [IpAddr::from(SERVERS[0])]);
}

#[test]
fn a_name_that_is_unknown_is_looked_up_again() {
    let mut bed = Bed::new(leasing(&[]), addressing(Ipv4::Dhcp));
    bed.host.add_peer("time.example.net", &peer(None)).unwrap();
    bed.run(60);
    assert!(!bed.host.snapshot().synced);
    let asked = bed.lan.asked.len();
    assert!((1..10).contains(&asked), "{asked}");
    bed.lan.names.insert("time.example.net".to_owned(), vec![SERVERS[1].into()]);
    bed.run(3_600);
    bed.is_right();
}

#[test]
fn a_name_may_have_an_ipv6_address_alone() {
    let names = [("six.example.net".to_owned(), vec![SERVER_V6.into()])].into();
    let lan = Lan { names, advertises: true, ..leasing(&[]) };
    let mut bed = Bed::new(lan, Addressing { slaac: true, ..addressing(Ipv4::Dhcp) });
    bed.host.add_peer("six.example.net", &peer(None)).unwrap();
    bed.run(120);
    bed.is_right();
    assert_eq!(bed.asked(), [IpAddr::from(SERVER_V6)]);
}

#[test]
fn a_server_that_moved_is_looked_up_anew() {
    let names = [("time.example.net".to_owned(), vec![SERVERS[0].into()])].into();
    let mut bed = Bed::new(Lan { names, ..leasing(&[]) }, addressing(Ipv4::Dhcp));
    bed.host.add_peer("time.example.net", &peer(None)).unwrap();
    bed.run(600);
    bed.is_right();
    assert_eq!(bed.asked(), [IpAddr::from(SERVERS[0])]);
    bed.dead.push(SERVERS[0].into());
    bed.lan.names.insert("time.example.net".to_owned(), vec![SERVERS[1].into()]);
    bed.run(7_200);
    assert!(bed.asked().contains(&SERVERS[1].into()), "{:#?}", bed.events);
    bed.is_right();
}
