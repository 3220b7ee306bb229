//! Two engines joined by an in-memory link.

use core::convert::Infallible;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::vec::Vec;

use super::*;
use crate::clock::{ClockError, ClockStatus};
use crate::config::{Config, PeerConfig};
use crate::hal::RawStamp;
use crate::io::{Stamp, StampSource};
use crate::server::{self, Access, AccessList, ClientSet, Server, StampSet};
use crate::timex::SoftwareClock;
use crate::units::{FreqOffset, Instant, Now, Span, WallTime};

const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 123);
const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 40_000);
const DELAY: Span = Span::from_micros(200);
const EPOCH: WallTime = WallTime::from_unix(1_900_000_000, 0);

/// True time, and the datagrams on their way.
#[derive(Default)]
struct World {
    time: Instant,
    to_server: VecDeque<(Instant, Vec<u8>)>,
    to_client: VecDeque<(Instant, Vec<u8>)>,
    sent: usize,
}

impl World {
    fn wall(&self) -> WallTime {
        EPOCH + (self.time - Instant::default())
    }
}

type Shared = Rc<RefCell<World>>;

struct End {
    world: Shared,
    is_server: bool,
    counter: Counter,
    /// How long a query waits before it leaves.
    wait: Span,
    /// When the last query left, until that is told.
    departure: Option<Instant>,
}

impl DatagramSocket for End {
    type Error = Infallible;

    fn query(
        &mut self,
        _: PeerId,
        to: SocketAddr,
        datagram: &[u8],
    ) -> nb::Result<RawStamp, Infallible> {
        assert_eq!(to, SERVER);
        let mut world = self.world.borrow_mut();
        let departure = world.time + self.wait;
        world.to_server.push_back((departure + DELAY, datagram.to_vec()));
        world.sent += 1;
        self.departure = Some(departure);
        Ok(RawStamp::Counter(self.counter.read(world.time)))
    }

    fn departed(&mut self) -> Option<(PeerId, RawStamp)> {
        let departure = self.departure.take_if(|at| *at <= self.world.borrow().time)?;
        Some((PeerId(0), RawStamp::Counter(self.counter.read(departure))))
    }

    fn reply(
        &mut self,
        listener: u16,
        to: SocketAddr,
        datagram: &[u8],
    ) -> nb::Result<(), Infallible> {
        assert_eq!((listener, to), (0, CLIENT));
        let mut world = self.world.borrow_mut();
        let arrival = world.time + DELAY;
        world.to_client.push_back((arrival, datagram.to_vec()));
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> nb::Result<Received, Infallible> {
        let mut world = self.world.borrow_mut();
        let time = world.time;
        let (inbox, channel, from) = if self.is_server {
            (&mut world.to_server, Channel::Listener(0), CLIENT)
        } else {
            (&mut world.to_client, Channel::Peer(PeerId(0)), SERVER)
        };
        match inbox.front() {
            Some((arrival, _)) if *arrival <= time => {
                let (arrival, bytes) = inbox.pop_front().unwrap();
                buffer[..bytes.len()].copy_from_slice(&bytes);
                let stamp = RawStamp::Counter(self.counter.read(arrival));
                Ok(Received { channel, from, stamp, len: bytes.len() })
            }
            _ => Err(nb::Error::WouldBlock),
        }
    }
}

/// A counter that gains `error` on true time.
#[derive(Clone, Copy)]
struct Counter {
    error: FreqOffset,
}

impl Counter {
    fn read(self, time: Instant) -> Instant {
        time + self.error.gain(time - Instant::default(), 0).0
    }
}

struct Clock {
    world: Shared,
    counter: Counter,
    timex: SoftwareClock,
    status: Option<ClockStatus>,
}

impl AdjustableClock for Clock {
    fn now(&self) -> Now {
        let mono = self.counter.read(self.world.borrow().time);
        Now { mono, wall: self.timex.read(mono) }
    }

    fn stamp(&self, stamp: RawStamp) -> Stamp {
        let RawStamp::Counter(at) = stamp else { panic!("the link stamps by the counter") };
        Stamp { time: self.timex.read(at), source: StampSource::Kernel }
    }

    fn step(&mut self, by: Span) -> Result<Span, ClockError> {
        let now = self.now().mono;
        self.timex.step(now, by);
        Ok(by)
    }

    fn adjust(
        &mut self,
        frequency: FreqOffset,
        slew: FreqOffset,
    ) -> Result<FreqOffset, ClockError> {
        let now = self.now().mono;
        Ok(self.timex.steer(now, frequency + slew))
    }

    fn set_status(&mut self, status: &ClockStatus) -> Result<(), ClockError> {
        self.status = Some(*status);
        Ok(())
    }
}

type TestNode = Node<Engine<4>, End, Clock, TestServer, 4>;
type TestServer = Server<[ClientSet; 1], [StampSet; 1], 1>;

fn node(
    world: &Shared,
    is_server: bool,
    config: &Config,
    offset: Span,
    error: FreqOffset,
) -> TestNode {
    let counter = Counter { error };
    let time = world.borrow().time;
    let timex = SoftwareClock::new(counter.read(time), world.borrow().wall() + offset);
    let clock = Clock { world: world.clone(), counter, timex, status: None };
    let engine = Engine::new(config, clock.now(), [u8::from(is_server); 32]);
    let end = End { world: world.clone(), is_server, counter, wait: Span::ZERO, departure: None };
    let [access, control] = [Access::Allow, Access::Deny].map(AccessList::uniform);
    let config = server::Config::default();
    let tables = ([ClientSet::EMPTY], [StampSet::EMPTY]);
    let server = Server::new(&config, access, control, tables.0, tables.1, [7; 32]);
    Node::new(engine, server, end, clock)
}

struct Pair {
    world: Shared,
    server: TestNode,
    client: TestNode,
    events: Vec<std::string::String>,
}

impl Pair {
    fn new(offset: Span, error: FreqOffset) -> Self {
        let world = Shared::default();
        let config = Config { local_stratum: Some(1), ..Config::default() };
        let server = node(&world, true, &config, Span::ZERO, FreqOffset::ZERO);
        let mut client = node(&world, false, &Config::default(), offset, error);
        let peer =
            PeerConfig { address: Some(SERVER), min_poll: 4, max_poll: 6, ..PeerConfig::default() };
        let now = client.clock.now();
        client.engine.add_peer(now, &peer).unwrap();
        Self { world, server, client, events: Vec::new() }
    }

    fn error(&self) -> Span {
        self.client.clock.now().wall - self.world.borrow().wall()
    }

    /// Runs until `secs` of true time have passed, from event to event.
    fn run(&mut self, secs: i64) {
        let end = self.world.borrow().time + Span::from_secs(secs);
        let events = &mut self.events;
        let mut log = |output| match output {
            Output::Event(event) => events.push(std::format!("{event}")),
            Output::Rejected { .. } => {}
            Output::BadPeer { pool: false, .. } => events.push("bad peer".into()),
            Output::Persist(_) => {}
            other => panic!("{other:?}"),
        };
        while self.world.borrow().time < end {
            for node in [&mut self.server, &mut self.client] {
                while node.turn(&mut log).is_ok() {}
            }
            let mut world = self.world.borrow_mut();
            let arrivals = [world.to_server.front(), world.to_client.front()];
            let arrivals = arrivals.into_iter().flatten().map(|(arrival, _)| *arrival);
            // A counter that errs by less than 0.1 % reaches its deadline within this of it.
            let deadlines = [&self.server, &self.client].into_iter().filter_map(|node| {
                let ahead = node.engine.next_deadline()? - node.clock.counter.read(world.time);
                Some(world.time + ahead + Span::from_nanos(ahead.as_nanos() / 1_000 + 1))
            });
            let next = arrivals.chain(deadlines).min().unwrap_or(end);
            assert!(next > world.time, "the loop would spin");
            world.time = next.min(end);
        }
    }
}

#[test]
fn a_wrong_clock_becomes_right() {
    let mut pair = Pair::new(Span::from_millis(-1_500), FreqOffset::from_ppm(80));
    assert!((pair.error() - Span::from_millis(-1_500)).abs() < Span::from_millis(1));
    pair.run(60);
    assert!(pair.error().abs() < Span::from_millis(1), "{}", pair.error());
    pair.run(1_800);
    assert!(pair.error().abs() < Span::from_micros(2), "{:.9}", pair.error());

    let now = pair.client.clock.now();
    let snapshot = pair.client.engine.snapshot(now);
    assert!(snapshot.synced);
    assert!((snapshot.frequency.as_ppm() + 80.0).abs() < 0.1, "{}", snapshot.frequency);
    assert_eq!(snapshot.system.stratum, 2);
    let error = snapshot.system.root_delay - Span::from_micros(400);
    assert!(error.abs() < Span::from_micros(1), "{error}");
    let bound = snapshot.error_bound.unwrap();
    assert!(pair.error().abs() <= bound && bound < Span::from_millis(10), "{bound}");
    assert!(pair.client.clock.status.unwrap().synced);

    let told = |text: &str| pair.events.iter().filter(|event| event.starts_with(text)).count();
    assert_eq!(told("peer 192.0.2.1 now valid"), 1);
    assert_eq!(told("set local clock to 2030-03-17 17:46"), 1);
    assert_eq!(told("clock is now synced"), 1);
    assert_eq!(told("clock is now unsynced"), 0);
    assert_eq!(pair.server.server.counters().answered as usize, pair.world.borrow().sent);
}

#[test]
fn a_small_error_is_never_stepped() {
    let mut pair = Pair::new(Span::from_millis(40), FreqOffset::from_ppm(-20));
    pair.run(900);
    assert!(pair.error().abs() < Span::from_micros(5), "{:.9}", pair.error());
    assert!(!pair.events.iter().any(|event| event.starts_with("set local clock")));
    assert!(pair.events.iter().any(|event| event.starts_with("adjusting local clock by -0.0")));
}

#[test]
fn a_query_that_has_to_wait_counts_from_when_it_left() {
    let mut pair = Pair::new(Span::from_millis(-40), FreqOffset::from_ppm(20));
    pair.client.socket.wait = Span::from_millis(3);
    pair.run(900);
    assert!(pair.error().abs() < Span::from_micros(5), "{:.9}", pair.error());
}

#[test]
fn silence_ends_trust_and_at_last_synchronisation() {
    let mut pair = Pair::new(Span::from_millis(-10), FreqOffset::from_ppm(5));
    pair.run(600);
    assert!(pair.client.engine.snapshot(pair.client.clock.now()).synced);
    // The server's answers vanish.
    let gone = |pair: &mut Pair, secs: i64| {
        for _ in 0..secs / 10 {
            pair.run(10);
            pair.world.borrow_mut().to_server.clear();
            pair.world.borrow_mut().to_client.clear();
        }
    };
    pair.server.engine = Engine::new(&Config::default(), pair.server.clock.now(), [3; 32]);
    gone(&mut pair, 3_600);
    assert!(pair.events.iter().any(|event| event == "peer 192.0.2.1 now invalid"));
    assert!(pair.client.engine.snapshot(pair.client.clock.now()).synced, "holds over an hour");
    assert!(pair.error().abs() < Span::from_millis(1));
    gone(&mut pair, 110_000);
    assert!(pair.events.iter().any(|event| event == "bad peer"));
    assert!(pair.events.iter().any(|event| event == "clock is now unsynced"));
}
