//! A day of everything at once: packets lost, doubled and held back, servers that come and go, storms of
//! kisses, a liar, names that resolve now and then and to other servers each time, and a thousand
//! forged answers in each second, 86 million of them.
//!
//! The engine allocates nothing and all it holds is in its type: what could grow are what it asks its
//! shell to do and how often. The forger knows each peer's address and port, but not its query.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::convert::Infallible;
use std::net::SocketAddr;

use anyhow::{Result, ensure};
use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use truechimer_core::config::{Config, PeerConfig};
use truechimer_core::event::Limiter;
use truechimer_core::hal::{AdjustableClock, DatagramSocket, RawStamp, Received};
use truechimer_core::io::{Input, Output, Stamp, StampSource};
use truechimer_core::run::Node;
use truechimer_core::units::{NtpTimestamp, Span};
use truechimer_core::wire::{Header, KissCode};
use truechimer_core::{Engine, PeerId};
use truechimer_tests::sim::host::{Clock, Deaf, address, deaf};
use truechimer_tests::sim::oscillator::Counter;
use truechimer_tests::sim::random::{Random, Stream};
use truechimer_tests::sim::server::{Datagram, Responder};
use truechimer_tests::sim::{EPOCH, Link, Misdeed, Oscillator, Queueing, Reordering, Server, Time};

const SECOND: Time = 1_000_000_000;
const HOUR: Time = 3_600 * SECOND;
const DAY: Time = 24 * HOUR;
/// Between two forged answers.
const FORGED_EVERY: Time = SECOND / 1_000;
/// A server is there, or not, for so long; names change as often.
const SHIFT: Time = 1_200 * SECOND;

/// How many addresses there are; the first ones are of the names that are configured.
const SERVERS: usize = 16;
/// Its clock is half a second ahead.
const LIAR: usize = 6;
/// Names with two addresses each, and members of a pool that has the others.
const NAMES: usize = 2;
const MEMBERS: usize = 4;
const PEERS: usize = NAMES + MEMBERS;

/// When all servers answer with a kiss instead, and which.
const STORMS: [(Time, Time, KissCode); 3] = [
    (4 * HOUR, 4 * HOUR + 600 * SECOND, KissCode::RATE),
    (9 * HOUR, 9 * HOUR + 600 * SECOND, KissCode::RATE),
    (15 * HOUR, 15 * HOUR + 300 * SECOND, KissCode::DENY),
];

/// What one input may bring about: what the engine orders, and what comes of what the clock did.
const MOST_OUTPUTS: usize = 16;
/// Until then the clock need not be right.
const SETTLED: Time = HOUR;

/// Queries and answers that left the client.
#[derive(Debug, Default)]
struct Wire {
    /// How often a socket was opened for a query: its port.
    opened: u64,
    /// The last one of each peer.
    open: BTreeMap<PeerId, u64>,
    sent: Vec<(PeerId, u64, SocketAddr, Datagram)>,
}

impl DatagramSocket for Wire {
    type Error = Infallible;

    fn query(
        &mut self,
        peer: PeerId,
        to: SocketAddr,
        datagram: &[u8],
    ) -> nb::Result<RawStamp, Infallible> {
        self.opened += 1;
        self.open.insert(peer, self.opened);
        let bytes = datagram.try_into().expect("a query has 48 octets");
        self.sent.push((peer, self.opened, to, bytes));
        Ok(RawStamp::Unknown)
    }

    fn reply(&mut self, _: u16, _: SocketAddr, _: &[u8]) -> nb::Result<(), Infallible> {
        unreachable!("the client serves nobody")
    }

    fn receive(&mut self, _: &mut [u8]) -> nb::Result<Received, Infallible> {
        Err(nb::Error::WouldBlock)
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    AtServer { peer: PeerId, port: u64, server: usize, bytes: Datagram },
    AtClient { peer: PeerId, port: u64, from: SocketAddr, bytes: Datagram },
    Resolved { peer: PeerId },
}

/// What came of it.
#[derive(Debug, Default)]
struct Tally {
    forged: u64,
    rejected: u64,
    lookups: u64,
    /// Of the log, what its limit let through.
    lines: u64,
    /// Most outputs of one input.
    outputs: usize,
    /// Seconds with a clock that calls itself synchronised, of those that count.
    synced: u64,
    seconds: u64,
    /// Greatest error then, and the greatest part of its bound.
    worst: f64,
    used_up: f64,
}

struct Day {
    time: Time,
    counter: Counter,
    node: Node<Engine<PEERS>, Wire, Clock, Deaf, PEERS>,
    responders: Vec<Responder>,
    link: Link,
    random: Random,
    scheduled: BinaryHeap<Reverse<(Time, u64, Happening)>>,
    order: u64,
    limiter: Limiter,
    /// The last answer to each peer, which anybody may have seen.
    seen: BTreeMap<PeerId, Datagram>,
    forger: ChaCha8Rng,
    next_forged: Time,
    tally: Tally,
}

pub fn run() -> Result<()> {
    let mut day = Day::new(1);
    while day.time < DAY {
        day.second();
    }
    let counters: Vec<_> =
        day.node.engine.snapshot(day.node.clock.now()).peers().map(|peer| peer.counters).collect();
    let sent: u64 = counters.iter().map(|counters| counters.sent).sum();
    let used: u64 = counters.iter().map(|counters| counters.used).sum();
    let tally = &day.tally;
    println!(
        "{} forged, {sent} queries, {used} answers used, {} lookups, {} log lines, at most {} outputs; \
         synced {:.2} % of the time, greatest error {:.3} ms, {:.2} of its bound",
        tally.forged,
        tally.lookups,
        tally.lines,
        tally.outputs,
        100.0 * tally.synced as f64 / tally.seconds as f64,
        1e3 * tally.worst,
        tally.used_up
    );
    ensure!(tally.forged >= 86_399_000, "{tally:?}");
    ensure!(tally.rejected >= tally.forged, "forged answers that were not dropped: {tally:?}");
    ensure!(tally.used_up < 1.0, "an error beyond its bound: {tally:?}");
    ensure!(tally.synced * 100 >= tally.seconds * 95, "{tally:?}");
    // Of a quiet day there are 6 * 86400 / 64 at the least poll interval.
    ensure!(sent < 8_100 && used > 500, "{sent} queries, {used} used");
    ensure!(tally.lookups < 2_000 && tally.lines < 20_000, "{tally:?}");
    ensure!(tally.outputs <= MOST_OUTPUTS, "{tally:?}");
    Ok(())
}

impl Day {
    fn new(seed: u64) -> Self {
        let oscillator = Oscillator { frequency: 3e-5, wander: 1e-9, ..Oscillator::default() };
        let counter = Counter::new(oscillator, Random::new(seed, Stream::Oscillator));
        let clock = Clock::new(counter.read(0), EPOCH + Span::from_millis(700));
        let config = Config { min_sources: 2, ..Config::default() };
        let engine_seed = Random::new(seed, Stream::Engine).seed();
        let mut engine = Engine::new(&config, clock.now(), engine_seed);
        for place in 0..PEERS {
            let peer = PeerConfig { pool: place >= NAMES, ..PeerConfig::default() };
            engine.add_peer(clock.now(), &peer).expect("there is room");
        }
        let responders = (0..SERVERS).map(|place| {
            let mut server = Server { stratum: 2, root_dispersion: 1e-3, ..Server::default() };
            if place == LIAR {
                server = server.fault(0.0, f64::INFINITY, Misdeed::Lie(0.5));
            }
            for (from, to, code) in STORMS {
                let [from, to] = [from, to].map(|time| time as f64 / SECOND as f64);
                server = server.fault(from, to, Misdeed::Kiss(code));
            }
            Responder::new(&server)
        });
        Self {
            time: 0,
            counter,
            node: Node::new(engine, deaf(), Wire::default(), clock),
            responders: responders.collect(),
            link: Link {
                loss: 0.3,
                duplication: 0.1,
                reordering: Some(Reordering { probability: 0.1, by: 2.0 }),
                ..Link::new(5e-3, Queueing::Exponential(1e-3))
            },
            random: Random::new(seed, Stream::World),
            scheduled: BinaryHeap::new(),
            order: 0,
            limiter: Limiter::default(),
            seen: BTreeMap::new(),
            forger: ChaCha8Rng::seed_from_u64(seed),
            next_forged: 0,
            tally: Tally::default(),
        }
    }

    fn second(&mut self) {
        let end = (self.time / SECOND + 1) * SECOND;
        loop {
            let event = self.scheduled.peek().map_or(end, |Reverse((time, ..))| *time);
            let deadline = self.node.engine.next_deadline();
            let call = deadline.map_or(end, |deadline| self.counter.when(self.time, deadline));
            let next = event.min(call).max(self.time).min(end);
            self.forge(next);
            self.set_time(next);
            if next == end {
                break;
            }
            match self.scheduled.pop() {
                Some(Reverse((time, _, what))) if time <= next => self.handle(what),
                later => {
                    self.scheduled.extend(later);
                    let mut outputs = Vec::new();
                    let _ = self.node.turn(&mut |output| outputs.push(output));
                    self.take(outputs);
                }
            }
        }
        self.counter.tick();
        self.look();
    }

    fn set_time(&mut self, time: Time) {
        self.time = time;
        self.node.clock.counter = self.counter.read(time);
    }

    /// How the clock is.
    fn look(&mut self) {
        if self.time < SETTLED {
            return;
        }
        let now = self.node.clock.now();
        let snapshot = self.node.engine.snapshot(now);
        let error = (now.wall - (EPOCH + Span::from_nanos(self.time))).as_secs_f64().abs();
        self.tally.seconds += 1;
        self.tally.synced += u64::from(snapshot.synced);
        self.tally.worst = self.tally.worst.max(error);
        let bound = snapshot.error_bound.map_or(f64::INFINITY, Span::as_secs_f64);
        self.tally.used_up = self.tally.used_up.max(error / bound);
    }

    fn input(&mut self, input: Input<'_>) {
        let mut outputs = Vec::new();
        self.node.input(input, &mut |output| outputs.push(output));
        self.take(outputs);
    }

    fn take(&mut self, outputs: Vec<Output>) {
        self.tally.outputs = self.tally.outputs.max(outputs.len());
        for output in outputs {
            match output {
                Output::Rejected { .. } => self.tally.rejected += 1,
                Output::Resolve(peer) => {
                    self.tally.lookups += 1;
                    let answer = self.time + nanos(5.0 * self.random.uniform());
                    self.schedule(answer, Happening::Resolved { peer });
                }
                Output::Event(event) => {
                    let now = self.node.clock.now().mono;
                    let told = self.limiter.tell(now).is_some();
                    let admitted = self.limiter.admit(&event, now);
                    self.tally.lines += u64::from(told) + u64::from(admitted);
                }
                _ => {}
            }
        }
        for (peer, port, to, bytes) in std::mem::take(&mut self.node.socket.sent) {
            let server = (0..SERVERS).find(|place| address(*place) == to).expect("a server's");
            self.travel(|_| Happening::AtServer { peer, port, server, bytes });
        }
    }

    fn schedule(&mut self, time: Time, what: Happening) {
        self.order += 1;
        self.scheduled.push(Reverse((time, self.order, what)));
    }

    fn travel(&mut self, what: impl Fn(()) -> Happening) {
        let delays: Vec<f64> = self.link.travel(0.0, &mut self.random).collect();
        for delay in delays {
            self.schedule(self.time + nanos(delay), what(()));
        }
    }

    fn handle(&mut self, what: Happening) {
        match what {
            Happening::AtServer { peer, port, server, bytes } => {
                if !self.is_there(server) {
                    return;
                }
                let answers: Vec<Datagram> =
                    self.responders[server].answer(self.time, &bytes).collect();
                for bytes in answers {
                    let from = address(server);
                    self.travel(|()| Happening::AtClient { peer, port, from, bytes });
                }
            }
            Happening::AtClient { peer, port, from, bytes } => {
                self.seen.insert(peer, bytes);
                if self.node.socket.open.get(&peer) == Some(&port) {
                    self.arrive(peer, from, &bytes);
                }
            }
            Happening::Resolved { peer } => {
                let addresses = self.resolve(peer);
                self.input(Input::Resolved { peer, addresses: &addresses });
            }
        }
    }

    fn arrive(&mut self, peer: PeerId, from: SocketAddr, bytes: &[u8]) {
        let time = self.node.clock.now().wall;
        let received = Stamp { time, source: StampSource::Kernel };
        self.input(Input::Datagram { peer, from, received, bytes });
    }

    /// Every third lookup fails; the others have those that are there, from another one on each time.
    fn resolve(&mut self, peer: PeerId) -> Vec<SocketAddr> {
        if self.random.chance(1.0 / 3.0) {
            return Vec::new();
        }
        let place = usize::from(peer.0);
        let of_name = if place < NAMES { 2 * place..2 * place + 2 } else { 2 * NAMES..SERVERS };
        let mut there: Vec<_> = of_name.filter(|place| self.is_there(*place)).collect();
        if !there.is_empty() {
            let first = (self.random.uniform() * there.len() as f64) as usize;
            there.rotate_left(first);
        }
        there.into_iter().map(address).collect()
    }

    /// In each shift a third of them is away, but one at least of a name's is there.
    fn is_there(&self, server: usize) -> bool {
        let shift = (self.time / SHIFT) as usize;
        !(shift + server).is_multiple_of(3)
    }

    /// What the forger sends until `end`.
    fn forge(&mut self, end: Time) {
        let snapshot = self.node.engine.snapshot(self.node.clock.now());
        let addresses: Vec<_> = snapshot.peers().map(|peer| peer.address).collect();
        while self.next_forged < end {
            self.set_time(self.next_forged.max(self.time));
            self.next_forged += FORGED_EVERY;
            self.tally.forged += 1;
            let random = self.forger.next_u64();
            let peer = PeerId((random % PEERS as u64) as u16);
            let Some(to) = addresses[usize::from(peer.0)] else {
                // Nobody would take it.
                self.tally.rejected += 1;
                continue;
            };
            let mut bytes = self.seen.get(&peer).copied().unwrap_or([0x24; Header::LEN]);
            let (mut from, mut len) = (to, bytes.len());
            match random >> 59 {
                // The last answer once more.
                0 => {}
                1 => len = (random >> 32) as usize % Header::LEN,
                2 => from.set_port(124),
                3 => bytes[0] ^= 1 << (random >> 32 & 7),
                _ => {
                    // The right time but for what the liar says, to some other query.
                    let time = EPOCH + Span::from_nanos(self.time) + Span::from_millis(500);
                    let stamp = NtpTimestamp::from_wall(time).to_bits().to_be_bytes();
                    bytes[24..32].copy_from_slice(&random.rotate_left(17).to_be_bytes());
                    bytes[32..40].copy_from_slice(&stamp);
                    bytes[40..48].copy_from_slice(&stamp);
                }
            }
            self.arrive(peer, from, &bytes[..len]);
        }
    }
}

fn nanos(secs: f64) -> Time {
    (secs * SECOND as f64) as Time
}
