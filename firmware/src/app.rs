//! The appliance: the engine over the network, its clock and the real-time clock.
//!
//! Decides when each of them has its turn and when to come back; it never judges time, nor waits.

use core::fmt;
use core::net::SocketAddr;

use embedded_time::Clock;
use heapless::{Deque, Vec};
use truechimer_core::config::{Config, PeerConfig};
use truechimer_core::event::{ENGINE_KINDS, Event, Limiter};
use truechimer_core::hal::{AdjustableClock, Rtc, Store};
use truechimer_core::holdover::{KnownFrequency, Record};
use truechimer_core::io::{Input, Output};
#[cfg(not(feature = "server"))]
use truechimer_core::run::Nobody;
use truechimer_core::run::Node;
#[cfg(feature = "server")]
use truechimer_core::server::{OpenServer, StampSet};
use truechimer_core::units::{FreqOffset, Instant};
use truechimer_core::{ALL_KINDS, PeerId, Snapshot, TooManyPeers};

use crate::Engine;
use crate::clock::SystemClock;
use crate::net::{self, Change, Driver, NewAddress, Stack};
use crate::rtc::{Keeper, News, Start};
use crate::servers::{Candidate, NTP_PORT, Order, Servers};

/// Events that one turn may bring; of more the newest are lost, and counted.
const EVENTS: usize = 16;

/// Eight clients each that may ask in the interleaved mode at a time: 1,088 octets.
#[cfg(feature = "server")]
const STAMP_SETS: usize = 8;

/// Answers everybody, without a limit of rate.
#[cfg(feature = "server")]
type Responder = OpenServer<[StampSet; STAMP_SETS]>;
#[cfg(not(feature = "server"))]
type Responder = Nobody;

#[cfg(feature = "server")]
fn responder(seed: [u8; 32]) -> Responder {
    OpenServer::new([StampSet::EMPTY; STAMP_SETS], seed)
}
#[cfg(not(feature = "server"))]
const fn responder(_: [u8; 32]) -> Responder {
    Nobody
}

/// What failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Error<R, S> {
    /// The network, for good.
    Net(net::Error),
    /// The real-time clock; it will be tried again.
    Rtc(R),
    /// Storing what is known; it will be with what is known next.
    Store(S),
}

impl<R: fmt::Display, S: fmt::Display> fmt::Display for Error<R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(error) => write!(f, "network: {error}"),
            Self::Rtc(error) => write!(f, "real-time clock: {error}"),
            Self::Store(error) => write!(f, "store: {error}"),
        }
    }
}

impl<R, S> core::error::Error for Error<R, S>
where
    R: fmt::Debug + fmt::Display,
    S: fmt::Debug + fmt::Display,
{
}

impl Start {
    /// The engine of an [`App`] whose clock has [started](crate::rtc::start) so; `config` has its
    /// word on the frequency only if none is known, and `seed` must be unpredictable to whoever can
    /// send datagrams here. It is the largest part of an appliance, which only borrows it: nothing
    /// large is moved then.
    #[must_use]
    pub fn engine<C: Clock<T: Into<u64>>, const PEERS: usize, const KINDS: usize>(
        &self,
        mut clock: &SystemClock<C>,
        config: &Config,
        seed: [u8; 32],
    ) -> Engine<PEERS, KINDS> {
        let KnownFrequency { frequency, deviation } = self.frequency(config);
        // It can run at any rate.
        let _ = clock.adjust(frequency, FreqOffset::ZERO);
        let config = Config { frequency, frequency_deviation: deviation, ..*config };
        Engine::new(&config, clock.now(), seed)
    }

    fn frequency(&self, config: &Config) -> KnownFrequency {
        let about =
            KnownFrequency { frequency: config.frequency, deviation: config.frequency_deviation };
        self.record.state.frequency.map_or(about, KnownFrequency::at_start)
    }
}

/// An NTP client of up to `PEERS` servers, and a server under the feature `server`. `KINDS` is the
/// engine's.
#[derive(Debug)]
pub struct App<'a, D, C, R, S, const PEERS: usize, const KINDS: usize = ALL_KINDS> {
    node: Node<
        &'a mut Engine<PEERS, KINDS>,
        &'a mut Stack<'a, D, C, PEERS>,
        &'a SystemClock<C>,
        Responder,
        PEERS,
        KINDS,
        false,
    >,
    servers: Servers<PEERS>,
    /// How servers that DHCP names are asked.
    template: PeerConfig,
    rtc: Option<Keeper<R>>,
    store: Option<S>,
    record: Record,
    /// It is not in the store yet.
    unsaved: bool,
    events: Deque<Event<'static>, EVENTS>,
    limiter: Limiter<ENGINE_KINDS>,
    lost_events: u32,
    /// The last turn took something in, so there may be more.
    busy: bool,
}

impl<'a, D, C, R, S, const PEERS: usize, const KINDS: usize> App<'a, D, C, R, S, PEERS, KINDS>
where
    D: Driver,
    C: Clock<T: Into<u64>>,
    R: Rtc,
    S: Store,
{
    /// An appliance without peers, of the engine that [`Start::engine`] has made of the same `start`
    /// and `config`.
    #[must_use]
    #[inline(never)]
    pub fn new(
        engine: &'a mut Engine<PEERS, KINDS>,
        stack: &'a mut Stack<'a, D, C, PEERS>,
        rtc: Option<R>,
        store: Option<S>,
        start: &Start,
        config: &Config,
    ) -> Self {
        let clock = stack.clock();
        let server = responder(stack.fork_seed());
        let servers = Servers::new(stack.has_dhcp(), clock.mono());
        engine.set_boot(start.boot.quality(clock.mono(), start.frequency(config).deviation));
        clock.set_quality(engine.quality(clock.now()));
        Self {
            node: Node::new(engine, server, stack, clock),
            servers,
            template: PeerConfig::default(),
            rtc: rtc.map(|rtc| Keeper::new(rtc, start.record.rtc)),
            store,
            record: start.record,
            unsaved: false,
            events: Deque::new(),
            limiter: Limiter::default(),
            lost_events: 0,
            busy: false,
        }
    }

    /// Adds a peer that is always asked. If `config` has no address its `name` is looked up; else
    /// that is only what the log calls it.
    ///
    /// # Errors
    /// There are `PEERS` already.
    pub fn add_peer(
        &mut self,
        name: &'static str,
        config: &PeerConfig,
    ) -> Result<PeerId, TooManyPeers> {
        self.ask(&Candidate::chosen(name, *config))
    }

    /// Adds a peer that is asked only while DHCP names none.
    ///
    /// # Errors
    /// There are `PEERS` of them already.
    pub fn add_fallback(
        &mut self,
        name: &'static str,
        config: &PeerConfig,
    ) -> Result<(), TooManyPeers> {
        self.servers.add_fallback(name, *config).map_err(|_| TooManyPeers)
    }

    /// Asks peers that DHCP names as `config` has it, but for the address.
    pub const fn ask_named_as(&mut self, config: &PeerConfig) {
        self.template = *config;
    }

    /// Takes frames in, does what is due, and returns the next event; under the feature `defmt` it
    /// has been logged. To be called again while there is one, when a frame comes, and at
    /// [`poll_at`](Self::poll_at).
    ///
    /// # Errors
    /// [`nb::Error::WouldBlock`] if there is no event; another is what failed, and says nothing
    /// against calling it again.
    pub fn poll(&mut self) -> nb::Result<Event<'static>, Error<R::Error, S::Error>> {
        if let Some(event) = self.next_event() {
            return Ok(event);
        }
        let turn = self.turn();
        let news = self.follow_network();
        self.busy = turn.is_ok() || news;
        if let Err(nb::Error::Other(error)) = turn {
            return Err(nb::Error::Other(Error::Net(error)));
        }
        self.keep_rtc().and_then(|()| self.save())?;
        self.next_event().ok_or(nb::Error::WouldBlock)
    }

    /// When to [`poll`](Self::poll) next if no frame comes before; not in the future if there is
    /// more to do at once.
    pub fn poll_at(&mut self) -> Instant {
        let now = self.node.clock.mono();
        if self.busy || !self.events.is_empty() {
            return now;
        }
        let rtc = self.rtc.as_ref().and_then(Keeper::deadline);
        let (engine, stack) = (self.node.engine.next_deadline(), self.node.socket.poll_at());
        [engine, stack, rtc, self.limiter.deadline(), self.servers.deadline()]
            .into_iter()
            .flatten()
            .fold(now + SystemClock::<C>::unread_limit(), Instant::min)
    }

    /// The network, for its addresses and routes.
    pub const fn stack(&mut self) -> &mut Stack<'a, D, C, PEERS> {
        self.node.socket
    }

    /// What can be seen of the engine.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot<'_, KINDS> {
        self.node.engine.snapshot(self.node.clock.now())
    }

    /// Logs the state of the clock and of each peer, as somebody at a serial line wants to see it.
    #[cfg(feature = "defmt")]
    #[inline(never)]
    pub fn log_status(&self) {
        crate::log::status(self.node.engine, self.node.clock);
    }

    /// Events that were lost because one turn brought more than there was room for.
    #[must_use]
    pub const fn lost_events(&self) -> u32 {
        self.lost_events
    }

    fn turn(&mut self) -> nb::Result<(), net::Error> {
        let Self { node, servers, events, limiter, lost_events, record, unsaved, .. } = self;
        let now = node.clock.mono();
        let mut push = |event| {
            if events.push_back(event).is_err() {
                *lost_events = lost_events.saturating_add(1);
            }
        };
        while let Some(event) = limiter.tell(now) {
            push(event);
        }
        let mut unresolved = Vec::<PeerId, PEERS>::new();
        let turn = node.turn(&mut |output| {
            let event = match output {
                Output::Event(event) => event,
                Output::BadPeer { peer, address, pool } => {
                    let name = servers.name(peer).unwrap_or_default();
                    Event::BadPeer { name, address, pool }
                }
                Output::Resolve(peer) => {
                    // Each peer asks once at a time.
                    let _ = unresolved.push(peer);
                    return;
                }
                Output::Persist(state) => {
                    record.state = state;
                    *unsaved = true;
                    return;
                }
                // Rejected datagrams are counted.
                _ => return,
            };
            if limiter.admit(&event, now) {
                push(event);
            }
        });
        for peer in unresolved {
            if let Some(name) = servers.name(peer) {
                node.socket.look_up(peer, name);
            }
        }
        turn
    }

    /// Does what follows from what the network has come to know, and says whether it was anything.
    #[inline(never)]
    fn follow_network(&mut self) -> bool {
        let mut news = false;
        while let Some(change) = self.node.socket.change() {
            news = true;
            match change {
                Change::Reachable { ipv4, ipv6 } => self.hurry(ipv4, ipv6),
                Change::Leased(servers, NewAddress(new)) => {
                    self.servers.set_named(servers);
                    if new {
                        self.hurry(true, false);
                    }
                }
                Change::Resolved(peer, found) => {
                    let at_port = |address| SocketAddr::new(address, NTP_PORT);
                    let addresses: Vec<SocketAddr, 4> = found.into_iter().map(at_port).collect();
                    let resolved = Input::Resolved { peer, addresses: &addresses };
                    // What comes of it is taken in the next turn.
                    let _ = self.node.engine.handle(self.node.clock.now(), resolved);
                }
            }
        }
        while let Some(order) = self.servers.order(self.node.clock.mono(), &self.template) {
            news = true;
            match order {
                Order::Remove(peer) => self.node.engine.remove_peer(peer),
                // There is room for as many as are ordered.
                Order::Add(candidate) => drop(self.ask(&candidate)),
            }
        }
        news
    }

    fn ask(&mut self, candidate: &Candidate) -> Result<PeerId, TooManyPeers> {
        let id = self.node.engine.add_peer(self.node.clock.now(), &candidate.config)?;
        self.servers.asked(id, candidate);
        Ok(id)
    }

    /// Asks, or looks up, those at once that may be reached now.
    fn hurry(&mut self, ipv4: bool, ipv6: bool) {
        let now = self.node.clock.now();
        let may_be_reached = |address: SocketAddr| if address.is_ipv4() { ipv4 } else { ipv6 };
        let addresses = self.node.engine.addresses();
        let peers: Vec<PeerId, PEERS> = addresses
            .filter(|(_, address)| address.is_none_or(may_be_reached))
            .map(|(peer, _)| peer)
            .collect();
        for peer in peers {
            self.node.engine.burst(now, peer);
        }
    }

    #[inline(never)]
    fn keep_rtc(&mut self) -> Result<(), Error<R::Error, S::Error>> {
        let clock = self.node.clock;
        let quality = self.node.engine.quality(clock.now());
        clock.set_quality(quality);
        let Some(rtc) = &mut self.rtc else { return Ok(()) };
        let kept = rtc.keep(&quality, clock);
        let News(is_news) = kept.map_err(Error::Rtc)?;
        if is_news {
            self.record.state = self.node.engine.state(clock.now()).unwrap_or(self.record.state);
            self.unsaved = true;
        }
        Ok(())
    }

    #[inline(never)]
    fn save(&mut self) -> Result<(), Error<R::Error, S::Error>> {
        let Some(store) = self.store.as_mut().filter(|_| self.unsaved) else { return Ok(()) };
        if let Some(rtc) = &self.rtc {
            self.record.rtc = rtc.known();
        }
        let saved = store.save(&self.record);
        self.unsaved = matches!(saved, Err(nb::Error::WouldBlock));
        match saved {
            Err(nb::Error::Other(error)) => Err(Error::Store(error)),
            _ => Ok(()),
        }
    }

    fn next_event(&mut self) -> Option<Event<'static>> {
        let event = self.events.pop_front();
        #[cfg(feature = "defmt")]
        event.inspect(crate::log::event);
        event
    }
}
