//! A small world to run an engine in: true time, an oscillator with a constant error, a clock on
//! it and servers some way off. Whole nanoseconds and a fixed seed, so that each run is the same.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

use super::super::{Engine, PeerSnapshot, Snapshot};
use crate::clock::{ClockCommand, ClockError, ClockReply};
use crate::config::{Config, MAX_FREQUENCY, PeerConfig, SelectOptions};
use crate::estimate::ALL_KINDS;
use crate::holdover::State;
use crate::io::{Input, Output, Refusal, Request, Stamp, StampSource};
use crate::peer::{PeerId, Reject};
use crate::server::LeapSecond;
use crate::timex::SoftwareClock;
use crate::units::{FreqOffset, Instant, Now, NtpShort, NtpTimestamp, Span, WallTime};
use crate::wire::{Header, LeapIndicator, Mode, Packet, ReferenceId};

/// When the worlds begin that are not about dates: January 2027.
const PRESENT: WallTime = WallTime::from_unix(1_800_000_000, 0);

/// Where clients ask this host for the time.
pub(super) const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 200));

/// The server at 192.0.2.`number`.
pub(super) const fn address(number: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, number)), 123)
}

/// A server and the way to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    /// How far its clock is ahead of the truth.
    pub(super) lie: Span,
    /// The time on the way there and back, without queues.
    pub(super) delay: [Span; 2],
    /// The mean time in queues there and back, exponentially distributed.
    pub(super) queues: [Span; 2],
    /// Of a hundred exchanges so many are lost.
    pub(super) loss_percent: u32,
    pub(super) alive: bool,
    pub(super) routable: bool,
    /// What it says other than a stratum 2 server with a millisecond of root delay and dispersion.
    pub(super) tweak: fn(&mut Header),
    /// What selection is to make of it.
    pub(super) select: SelectOptions,
}

impl Server {
    /// One that is right and 10 ms away.
    pub(super) fn new(number: u8) -> Self {
        Self {
            address: address(number),
            lie: Span::ZERO,
            delay: [Span::from_millis(5); 2],
            queues: [Span::ZERO; 2],
            loss_percent: 0,
            alive: true,
            routable: true,
            tweak: |_| (),
            select: SelectOptions::default(),
        }
    }

    pub(super) fn round_trip(self, delay: Span) -> Self {
        Self { delay: [delay.half(); 2], ..self }
    }
}

/// Clock commands that fail.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    pub(super) which: fn(&ClockCommand) -> bool,
    pub(super) error: ClockError,
    pub(super) times: usize,
}

#[derive(Debug)]
struct Arrival {
    at: Instant,
    peer: PeerId,
    from: SocketAddr,
    bytes: [u8; Header::LEN],
}

#[derive(Debug)]
pub(super) struct World<const EXTRAS: bool = true> {
    pub(super) engine: Engine<4, ALL_KINDS, EXTRAS>,
    pub(super) servers: Vec<Server>,
    pub(super) fault: Option<Fault>,
    /// The clock takes no rate beyond this.
    pub(super) max_rate: FreqOffset,
    /// What was logged, sent, ordered and dropped, and after how many seconds.
    pub(super) events: Vec<(f64, String)>,
    pub(super) queries: Vec<(f64, SocketAddr)>,
    pub(super) commands: Vec<(f64, ClockCommand)>,
    pub(super) rejects: Vec<(f64, Reject)>,
    /// What is to be kept for the next start, and what the oscillator counted then.
    pub(super) kept: Vec<(Instant, State)>,
    /// What the operator was told.
    pub(super) answers: Vec<Result<Span, Refusal>>,
    /// The clock obeys, but its replies are kept back.
    pub(super) hung: bool,
    kept_back: Vec<ClockReply>,
    /// What the names of peers without an address resolve to.
    pub(super) names: Vec<Vec<SocketAddr>>,
    /// How far the constraint is from the truth, if it can be had, and when it was asked for.
    pub(super) constraint: Option<Span>,
    pub(super) constrained: Vec<f64>,
    /// When whose name was looked up.
    pub(super) lookups: Vec<(f64, PeerId)>,
    in_flight: Vec<Arrival>,
    /// What the oscillator counts.
    counter: Instant,
    oscillator: FreqOffset,
    epoch: WallTime,
    /// A leap second of UTC.
    pub(super) leap: Option<LeapSecond>,
    pub(super) clock: SoftwareClock,
    rng: ChaCha8Rng,
}

impl World {
    /// Today, with a clock that is right but for `ahead` and has a perfect oscillator.
    pub(super) fn new(config: &Config, ahead: Span) -> Self {
        Self::with_clock(config, PRESENT, PRESENT + ahead, FreqOffset::ZERO)
    }

    /// A right clock on an oscillator that is `ppm` too fast.
    pub(super) fn drifting(config: &Config, ppm: i32) -> Self {
        Self::with_clock(config, PRESENT, PRESENT, FreqOffset::from_ppm(ppm))
    }

    /// As [`of`](Self::of).
    pub(super) fn with_clock(
        config: &Config,
        epoch: WallTime,
        local: WallTime,
        oscillator: FreqOffset,
    ) -> Self {
        Self::of(config, epoch, local, oscillator)
    }
}

impl<const EXTRAS: bool> World<EXTRAS> {
    /// A clock that shows `local` at the time `epoch`, over an oscillator that is too fast by
    /// `oscillator`.
    pub(super) fn of(
        config: &Config,
        epoch: WallTime,
        local: WallTime,
        oscillator: FreqOffset,
    ) -> Self {
        let counter = Instant::default();
        let mut clock = SoftwareClock::new(counter, local);
        clock.steer(counter, config.frequency);
        Self {
            engine: Engine::new(config, Now { mono: counter, wall: local }, [9; 32]),
            servers: vec![],
            fault: None,
            max_rate: MAX_FREQUENCY,
            events: vec![],
            queries: vec![],
            commands: vec![],
            rejects: vec![],
            kept: vec![],
            answers: vec![],
            hung: false,
            kept_back: vec![],
            names: vec![],
            lookups: vec![],
            constraint: None,
            constrained: vec![],
            in_flight: vec![],
            counter,
            oscillator,
            epoch,
            leap: None,
            clock,
            rng: ChaCha8Rng::from_seed([7; 32]),
        }
    }

    /// Adds servers that are asked at their addresses.
    pub(super) fn ask(mut self, servers: impl IntoIterator<Item = Server>) -> Self {
        for server in servers {
            let address = Some(server.address);
            let config = PeerConfig { address, select: server.select, ..PeerConfig::default() };
            self.add_peer(&config, &[]);
            self.servers.push(server);
        }
        self
    }

    /// Adds servers, not to be asked yet.
    pub(super) fn serve(mut self, servers: impl IntoIterator<Item = Server>) -> Self {
        self.servers.extend(servers);
        self
    }

    /// Adds members of a pool that has these addresses.
    pub(super) fn ask_pool(mut self, members: usize, addresses: &[SocketAddr]) -> Self {
        let config = PeerConfig { pool: true, ..PeerConfig::default() };
        (0..members).for_each(|_| self.add_peer(&config, addresses));
        self
    }

    /// Adds servers that have one name.
    pub(super) fn ask_by_name(mut self, servers: &[Server]) -> Self {
        let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
        self.servers.extend(servers);
        self.add_peer(&PeerConfig::default(), &addresses);
        self
    }

    pub(super) fn add_peer(&mut self, config: &PeerConfig, addresses: &[SocketAddr]) {
        self.engine.add_peer(self.now(), config).unwrap();
        self.names.push(addresses.to_vec());
    }

    pub(super) fn now(&self) -> Now {
        Now { mono: self.counter, wall: self.clock.read(self.counter) }
    }

    /// Seconds since the world began.
    pub(super) fn time(&self) -> f64 {
        (self.counter - Instant::default()).as_secs_f64()
    }

    pub(super) fn truth(&self, at: Instant) -> WallTime {
        let elapsed = at - Instant::default();
        let passed = self.epoch + (elapsed - self.oscillator.gain(elapsed, 0).0);
        let leap = self.leap.filter(|leap| passed >= leap.moment());
        passed + leap.map_or(Span::ZERO, |leap| leap.by())
    }

    /// How far the clock is ahead of the truth.
    pub(super) fn error(&self) -> Span {
        self.now().wall - self.truth(self.counter)
    }

    pub(super) fn snapshot(&self) -> Snapshot<'_> {
        self.engine.snapshot(self.now())
    }

    pub(super) fn peer(&self, place: usize) -> PeerSnapshot {
        self.snapshot().peers().nth(place).unwrap()
    }

    /// How often something was logged.
    pub(super) fn told(&self, text: &str) -> usize {
        self.events.iter().filter(|(_, event)| event.contains(text)).count()
    }

    /// After how many seconds something was logged first.
    pub(super) fn told_at(&self, text: &str) -> Option<f64> {
        self.events.iter().find(|(_, event)| event.contains(text)).map(|(at, _)| *at)
    }

    /// What the engine claims of its clock must be true.
    pub(super) fn assert_claims_hold(&self) {
        let snapshot = self.snapshot();
        let (time, error) = (self.time(), self.error());
        if let Some(bound) = snapshot.error_bound {
            assert!(error.abs() <= bound, "after {time} s off by {error}, at most {bound} claimed");
        }
        if snapshot.system.is_synchronised() {
            let served = snapshot.system.root_distance_at(self.counter);
            assert!(error.abs() <= served, "after {time} s off by {error}, {served} served");
        }
    }

    /// Lets time pass, and looks at the world each second of it.
    pub(super) fn watch(&mut self, secs: u32, mut look: impl FnMut(&Self)) {
        for _ in 0..secs {
            self.run(Span::from_secs(1));
            look(self);
        }
    }

    pub(super) fn run_secs(&mut self, secs: i64) {
        self.run(Span::from_secs(secs));
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, span: Span) {
        let end = self.counter + span;
        self.drain();
        loop {
            let arrival = self.in_flight.iter().map(|arrival| arrival.at).min();
            let deadline = self.engine.next_deadline();
            let Some(next) = arrival.into_iter().chain(deadline).min().filter(|next| *next <= end)
            else {
                break;
            };
            self.counter = self.counter.max(next);
            if arrival == Some(next) {
                self.deliver(next);
            } else {
                let _ = self.engine.handle(self.now(), Input::Timeout);
            }
            self.drain();
        }
        self.counter = end;
    }

    /// Another program steps the clock.
    pub(super) fn step_by_another(&mut self, by: Span) {
        self.clock.step(self.counter, by);
    }

    /// The host sleeps; its counter stops, and its clock is put forward on waking, wrong by `off`.
    pub(super) fn sleep(&mut self, span: Span, off: Span) {
        self.in_flight.clear();
        self.epoch += span;
        self.clock.step(self.counter, span + off);
    }

    /// The clock's process wakes up.
    pub(super) fn send_replies(&mut self) {
        self.hung = false;
        for reply in core::mem::take(&mut self.kept_back) {
            let _ = self.engine.handle(self.now(), Input::Clock(reply));
            self.drain();
        }
    }

    pub(super) fn operator(&mut self, request: Request) -> Result<Span, Refusal> {
        let _ = self.engine.handle(self.now(), Input::Operator(request));
        self.drain();
        self.answers.pop().unwrap()
    }

    fn deliver(&mut self, at: Instant) {
        let Some(place) = self.in_flight.iter().position(|arrival| arrival.at == at) else {
            return;
        };
        let Arrival { peer, from, bytes, .. } = self.in_flight.remove(place);
        let now = self.now();
        let received = Stamp { time: now.wall, source: StampSource::Kernel };
        let _ = self.engine.handle(now, Input::Datagram { peer, from, received, bytes: &bytes });
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.outputs().next() {
            let (now, time) = (self.now(), self.time());
            match output {
                Output::Transmit { peer, to, bytes } => {
                    self.queries.push((time, to));
                    self.transmit(peer, to, &bytes);
                }
                Output::Clock(command) => {
                    self.commands.push((time, command));
                    let reply = self.obey(command);
                    match self.hung {
                        true => self.kept_back.push(reply),
                        false => drop(self.engine.handle(self.now(), Input::Clock(reply))),
                    }
                }
                Output::Resolve(peer) => {
                    self.lookups.push((time, peer));
                    let addresses = &self.names[usize::from(peer.0)];
                    let _ = self.engine.handle(now, Input::Resolved { peer, addresses });
                }
                Output::Constrain => {
                    self.constrained.push(time);
                    if let Some(time) = self.constraint.map(|off| self.truth(self.counter) + off) {
                        let _ = self.engine.handle(now, Input::Constrained { time });
                    }
                }
                Output::Event(event) => self.events.push((time, format!("{event}"))),
                Output::Rejected { reason, .. } => self.rejects.push((time, reason)),
                Output::Operator(outcome) => self.answers.push(outcome),
                Output::Persist(state) => self.kept.push((self.counter, state)),
                Output::BadPeer { .. } => {}
            }
        }
    }

    fn transmit(&mut self, peer: PeerId, to: SocketAddr, query: &[u8]) {
        let now = self.now();
        let place = self.servers.iter().position(|server| server.address == to).unwrap();
        let server = self.servers[place];
        if !server.routable {
            let _ = self.engine.handle(now, Input::SendFailed { peer });
            return;
        }
        let at = Stamp { time: now.wall, source: StampSource::Kernel };
        let _ = self
            .engine
            .handle(now, Input::Sent { peer, at, own_id: Some(ReferenceId::from_addr(OWN)) });
        let [there, back] = [0, 1].map(|way| server.delay[way] + self.queue(server.queues[way]));
        let lost = self.rng.next_u32() % 100 < server.loss_percent;
        if !server.alive || lost {
            return;
        }
        let arrival = self.counter + there;
        let stamp = NtpTimestamp::from_wall(self.truth(arrival) + server.lie);
        let mut header = Header {
            leap: LeapIndicator::NoWarning,
            version: 4,
            mode: Mode::Server,
            stratum: 2,
            poll: 6,
            precision: -20,
            root_delay: NtpShort::from_span(Span::from_millis(1)),
            root_dispersion: NtpShort::from_span(Span::from_millis(1)),
            reference_id: ReferenceId::from_ipv4(Ipv4Addr::new(198, 51, 100, 1)),
            reference_time: stamp,
            origin_time: Packet::parse(query).unwrap().header().transmit_time,
            receive_time: stamp,
            transmit_time: stamp,
        };
        (server.tweak)(&mut header);
        let bytes = header.emit();
        self.in_flight.push(Arrival { at: arrival + back, peer, from: to, bytes });
    }

    fn queue(&mut self, mean: Span) -> Span {
        let uniform = (f64::from(self.rng.next_u32()) + 0.5) / 4_294_967_296.0;
        Span::from_secs_f64(-libm::log(uniform) * mean.as_secs_f64())
    }

    fn obey(&mut self, command: ClockCommand) -> ClockReply {
        if let Some(fault) = &mut self.fault
            && (fault.which)(&command)
            && fault.times > 0
        {
            fault.times -= 1;
            return ClockReply::Failed { command, error: fault.error };
        }
        match command {
            ClockCommand::Step(by) => {
                self.clock.step(self.counter, by);
                ClockReply::Stepped { by, now: self.now().wall }
            }
            ClockCommand::Adjust { frequency, slew } => {
                let rate = (frequency + slew).clamp(-self.max_rate, self.max_rate);
                let rate = self.clock.unlock(self.counter, rate);
                ClockReply::Adjusted { at: self.now().wall, rate }
            }
            ClockCommand::Status(status) => {
                self.clock.set_status(self.counter, &status);
                ClockReply::StatusSet
            }
            ClockCommand::Leap(plan) => {
                self.clock.set_leap(self.counter, &plan);
                ClockReply::StatusSet
            }
            ClockCommand::Lock { frequency, offset, poll } => {
                let frequency = self.clock.lock(self.counter, frequency, offset, poll);
                ClockReply::Locked { at: self.now().wall, offset, poll, frequency }
            }
        }
    }
}
