//! One host that asks itself, over smoltcp's loopback device.

use core::cell::Cell;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::boxed::Box;
use std::rc::Rc;
use std::vec::Vec;

use embedded_time::fraction::Fraction;
use smoltcp::phy::{self, Device, Loopback, Medium};
use smoltcp::socket::udp;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr};
use truechimer_core::hal::{Channel, DatagramSocket, RawStamp, Received};

use super::datagrams::{BATCH, FIRST_DYNAMIC_PORT};
use super::*;

const PEERS: usize = 2;
const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
const QUESTION: [u8; 48] = [0x23; 48];
const ANSWER: [u8; 48] = [0x24; 48];

/// Nanoseconds, set by hand.
#[derive(Debug, Clone)]
struct Timer(Rc<Cell<u64>>);

impl Clock for Timer {
    type T = u64;
    const SCALING_FACTOR: Fraction = Fraction::new(1, 1_000_000_000);
    fn try_now(&self) -> Result<embedded_time::Instant<Self>, embedded_time::clock::Error> {
        Ok(embedded_time::Instant::new(self.0.get()))
    }
}

type Host<D = Unstamped<Loopback>> = Stack<'static, D, Timer, PEERS>;

/// A host that can reach itself, and what its counter shows.
fn host(medium: Medium) -> (Host, Rc<Cell<u64>>) {
    host_with(medium, Unstamped)
}

fn host_with<D: Driver>(medium: Medium, wrap: fn(Loopback) -> D) -> (Host<D>, Rc<Cell<u64>>) {
    let time = Rc::new(Cell::new(0));
    let clock = Box::leak(Box::new(SystemClock::new(Timer(Rc::clone(&time)))));
    let _ = clock.mono();
    let hardware = match medium {
        Medium::Ip => HardwareAddress::Ip,
        Medium::Ethernet => EthernetAddress([2, 0, 0, 0, 0, 1]).into(),
    };
    let addressing = Addressing { hardware, ipv4: Ipv4::None, slaac: false, resolver: None };
    let storage = Vec::leak((0..PEERS + OTHER_SOCKETS).map(|_| SocketStorage::EMPTY).collect());
    let buffers = Box::leak(Box::new(Buffers::new()));
    let device = wrap(Loopback::new(medium));
    let mut host = Stack::new(device, &addressing, storage, buffers, clock, [7; 32]).unwrap();
    host.interface.update_ip_addrs(|addresses| {
        addresses.push(IpCidr::new(V4.into(), 8)).unwrap();
        addresses.push(IpCidr::new(V6.into(), 128)).unwrap();
    });
    // The next look at the link is out of the way.
    host.link.due = NEVER;
    (host, time)
}

fn counter(nanos: u64) -> RawStamp {
    RawStamp::Counter(Instant::from_nanos(nanos))
}

fn port(host: &Host, peer: usize) -> u16 {
    host.sockets.get::<udp::Socket>(host.peers[peer].handle).endpoint().port
}

#[test]
fn a_question_comes_back_answered() {
    for address in [V4, V6] {
        let (mut host, time) = host(Medium::Ip);
        let mut buffer = [0; 1024];
        time.set(1_000);
        let to = SocketAddr::new(address, 123);
        assert_eq!(host.query(PeerId(1), to, &QUESTION), Ok(counter(1_000)));
        assert_eq!(host.departed(), None, "that was said");

        time.set(5_000);
        let from = SocketAddr::new(address, port(&host, 1));
        let (channel, stamp) = (Channel::Listener(0), counter(5_000));
        let question = Received { channel, from, stamp, len: 48 };
        assert_eq!(host.receive(&mut buffer), Ok(question));
        assert_eq!(buffer[..48], QUESTION);
        assert_eq!(host.reply(0, from, &ANSWER), Ok(()));

        time.set(9_000);
        let channel = Channel::Peer(PeerId(1));
        let answer = Received { channel, from: to, stamp: counter(9_000), len: 48 };
        assert_eq!(host.receive(&mut buffer), Ok(answer));
        assert_eq!(buffer[..48], ANSWER);
        assert_eq!(host.receive(&mut buffer), Err(nb::Error::WouldBlock));
        assert_eq!(host.poll_at(), Some(NEVER));
    }
}

/// Says that each frame came at 300 ns, and the one whose id is 2 left at 200 ns.
#[derive(Debug)]
struct Punctual(Loopback, Option<u32>);

struct Sending<'a>(<Loopback as Device>::TxToken<'a>, &'a mut Option<u32>);

impl phy::TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        self.0.consume(len, f)
    }

    fn set_meta(&mut self, meta: phy::PacketMeta) {
        *self.1 = Some(meta.id).filter(|id| *id != 0);
    }
}

impl Device for Punctual {
    type RxToken<'a> = <Loopback as Device>::RxToken<'a>;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, at: NetInstant) -> Option<(Self::RxToken<'_>, Sending<'_>)> {
        let (received, sending) = self.0.receive(at)?;
        Some((received, Sending(sending, &mut self.1)))
    }

    fn transmit(&mut self, at: NetInstant) -> Option<Sending<'_>> {
        Some(Sending(self.0.transmit(at)?, &mut self.1))
    }

    fn capabilities(&self) -> phy::DeviceCapabilities {
        self.0.capabilities()
    }
}

impl Driver for Punctual {
    fn arrived(&mut self) -> Option<Instant> {
        Some(Instant::from_nanos(300))
    }

    fn departed(&mut self) -> Option<(u32, Instant)> {
        self.1.take().map(|id| (id, Instant::from_nanos(200)))
    }
}

#[test]
fn stamps_are_the_devices() {
    let (mut host, time) = host_with(Medium::Ethernet, |device| Punctual(device, None));
    let mut buffer = [0; 1024];
    time.set(9_000);
    let to = SocketAddr::new(V4, 123);
    assert_eq!(host.query(PeerId(1), to, &QUESTION), Ok(counter(9_000)), "it waits");
    assert_eq!(host.receive(&mut buffer).map(|question| question.stamp), Ok(counter(300)));
    assert_eq!(host.departed(), Some((PeerId(1), counter(200))));
    assert_eq!(host.departed(), None);
    // The neighbour is known by now.
    assert_eq!(host.query(PeerId(1), to, &QUESTION), Ok(counter(200)));
}

#[test]
fn a_query_is_stamped_when_its_neighbour_is_found() {
    let (mut host, time) = host(Medium::Ethernet);
    let mut buffer = [0; 1024];
    let to = SocketAddr::new(V4, 123);
    assert_eq!(host.query(PeerId(0), to, &QUESTION), Ok(counter(0)));
    assert_eq!(host.departed(), None, "it waits");
    time.set(3_000);
    // Its request for the address, and the answer to it.
    let question = host.receive(&mut buffer).unwrap();
    assert_eq!(question.channel, Channel::Listener(0));
    assert_eq!(host.departed(), Some((PeerId(0), counter(3_000))));
    assert_eq!(host.departed(), None);
}

#[test]
fn each_query_has_a_port_of_its_own() {
    let (mut host, _) = host(Medium::Ip);
    let mut buffer = [0; 1024];
    let to = SocketAddr::new(V4, 123);
    let mut ports = Vec::new();
    for _ in 0..100 {
        for peer in 0..PEERS {
            host.query(PeerId(peer as u16), to, &QUESTION).unwrap();
            let from = host.receive(&mut buffer).unwrap().from;
            assert_eq!(from.port(), port(&host, peer));
            assert!(from.port() >= FIRST_DYNAMIC_PORT);
            ports.push(from.port());
        }
    }
    ports.sort_unstable();
    ports.dedup();
    assert!(ports.len() > 190, "{} of 200 differ", ports.len());

    // What answers the query before comes to a closed port.
    host.query(PeerId(0), to, &QUESTION).unwrap();
    let before = host.receive(&mut buffer).unwrap().from;
    host.query(PeerId(0), to, &QUESTION).unwrap();
    assert_eq!(host.receive(&mut buffer).unwrap().channel, Channel::Listener(0));
    assert_eq!(host.reply(0, before, &ANSWER), Ok(()));
    assert_eq!(host.receive(&mut buffer), Err(nb::Error::WouldBlock));
}

#[test]
fn an_answer_does_not_wait_and_holds_nobody_up() {
    let (mut host, _) = host(Medium::Ethernet);
    let mut buffer = [0; 1024];
    let to = SocketAddr::new(V4, 123);
    host.query(PeerId(0), to, &QUESTION).unwrap();
    let from = host.receive(&mut buffer).unwrap().from;
    // A question with the address of nobody in it.
    let nobody = SocketAddr::new(Ipv4Addr::new(127, 9, 9, 9).into(), 123);
    assert_eq!(host.reply(0, nobody, &ANSWER), Err(nb::Error::WouldBlock));
    assert_eq!(host.reply(0, from, &ANSWER), Ok(()));
    // The request for that address, unanswered, and the answer to the other.
    let answer = host.receive(&mut buffer).unwrap();
    assert_eq!((answer.channel, answer.from), (Channel::Peer(PeerId(0)), to));
    assert_eq!(host.receive(&mut buffer), Err(nb::Error::WouldBlock));
}

#[test]
fn what_was_sent_to_many_is_not_heard() {
    let (mut host, _) = host(Medium::Ip);
    let mut buffer = [0; 1024];
    let all = SocketAddr::new(Ipv4Addr::BROADCAST.into(), 123);
    host.query(PeerId(0), all, &QUESTION).unwrap();
    assert_eq!(host.receive(&mut buffer), Err(nb::Error::WouldBlock));
}

#[test]
fn what_cannot_be_sent_is_an_error() {
    let (mut host, _) = host(Medium::Ip);
    let to = SocketAddr::new(V4, 123);
    assert_eq!(host.query(PeerId(0), to, &[0; 49]), Err(Error::TooLong.into()));
    for unaddressable in [SocketAddr::new(V4, 0), SocketAddr::new([0; 4].into(), 123)] {
        let error = nb::Error::from(Error::Unaddressable);
        assert_eq!(host.query(PeerId(0), unaddressable, &QUESTION), Err(error));
        assert_eq!(host.reply(0, unaddressable, &ANSWER), Err(error));
    }
    host.interface.update_ip_addrs(heapless::Vec::clear);
    assert_eq!(host.query(PeerId(0), to, &QUESTION), Err(Error::Unaddressable.into()));
}

#[test]
fn a_flood_is_taken_in_parts() {
    let (mut host, time) = host(Medium::Ip);
    let mut buffer = [0; 1024];
    // Nobody listens there; smoltcp sends an error back for each, which nobody wants either.
    let to = SocketAddr::new(V4, 9);
    for _ in 0..BATCH {
        host.query(PeerId(0), to, &QUESTION).unwrap();
    }
    time.set(40);
    assert_eq!(host.receive(&mut buffer), Err(nb::Error::WouldBlock));
    assert_eq!(host.poll_at(), Some(Instant::from_nanos(40)), "there is more");
    assert_eq!(host.receive(&mut buffer), Err(nb::Error::WouldBlock));
    assert_eq!(host.receive(&mut buffer), Err(nb::Error::WouldBlock));
    assert_eq!(host.poll_at(), Some(NEVER));
}

#[test]
fn too_little_storage_is_said() {
    let clock = Box::leak(Box::new(SystemClock::new(Timer(Rc::default()))));
    let hardware = HardwareAddress::Ip;
    let addressing = Addressing { hardware, ipv4: Ipv4::None, slaac: false, resolver: None };
    let places = PEERS + OTHER_SOCKETS - 1;
    let storage = Vec::leak((0..places).map(|_| SocketStorage::EMPTY).collect());
    let buffers = Box::leak(Box::new(Buffers::<PEERS>::new()));
    let device = Unstamped(Loopback::new(Medium::Ip));
    let stack = Stack::new(device, &addressing, storage, buffers, clock, [7; 32]);
    assert_eq!(stack.err(), Some(TooFewSockets));
}
