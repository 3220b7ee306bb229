//! The events of a world in their order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use truechimer_core::config::{Config, PeerConfig};
use truechimer_core::hal::AdjustableClock;
use truechimer_core::io::{Input, Request};
use truechimer_core::run::Node;
use truechimer_core::units::{Instant, Span};
use truechimer_core::{Engine, Snapshot, Standing};

use super::host::{Clock, Deaf, Query, Socket, address, deaf};
use super::oscillator::Counter;
use super::random::{Random, Stream};
use super::report::{Meter, Reading, Report, Role};
use super::server::{Datagram, Responder};
use super::world::{Event, MAX_SERVERS, Sleep, World};
use super::{EPOCH, NANOS, Time, nanos, seconds};

/// An engine that is called this often at one moment has lost its way.
const MOST_TURNS: u32 = 1_000;

/// What happens at a time of its own.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scheduled {
    AtServer {
        server: usize,
        port: u64,
        bytes: Datagram,
    },
    AtClient {
        server: usize,
        port: u64,
        bytes: Datagram,
    },
    /// One of the world's happenings, by its place.
    Happening(usize),
    /// The host wakes up; its counter shows this if it has stopped meanwhile.
    Wake {
        counter: Option<Instant>,
        restore: Span,
    },
}

/// A server and the ways there and back.
#[derive(Debug)]
struct Far {
    responder: Responder,
    up: Random,
    down: Random,
}

/// A running world.
struct Simulation<'a> {
    world: &'a World,
    time: Time,
    counter: Counter,
    node: Node<Engine<MAX_SERVERS>, Socket, Clock, Deaf, MAX_SERVERS>,
    /// When the engine wants to be called, by the counter.
    deadline: Option<Instant>,
    far: Vec<Far>,
    scheduled: BinaryHeap<Reverse<(Time, u64, Scheduled)>>,
    /// How many have been scheduled: what comes first at one moment is what was first scheduled.
    order: u64,
    asleep: bool,
    /// The most that each server was to the engine in this second.
    roles: Vec<Role>,
    meter: Meter,
}

impl World {
    /// Runs it.
    ///
    /// # Panics
    /// If the engine asks to be called again and again at the same time.
    #[must_use]
    pub fn run(&self) -> Report {
        self.observe(|_| ())
    }

    /// Runs it and shows each second's reading.
    ///
    /// # Panics
    /// As [`run`](Self::run).
    pub fn observe(&self, mut observer: impl FnMut(&Reading)) -> Report {
        let mut simulation = Simulation::new(self);
        for second in 1..=libm::ceil(self.duration) as Time {
            simulation.advance(second * NANOS);
            simulation.counter.tick();
            if let Some(reading) = simulation.reading() {
                simulation.meter.take(&reading, &simulation.roles);
                observer(&reading);
                simulation.forget_roles();
            }
        }
        simulation.finish()
    }
}

impl<'a> Simulation<'a> {
    fn new(world: &'a World) -> Self {
        let seed = world.seed;
        let oscillator = Random::new(seed, Stream::Oscillator);
        let counter = Counter::new(world.oscillator.clone(), oscillator);
        let wall = EPOCH + Span::from_nanos(nanos(world.offset));
        let clock = Clock::new(counter.read(0), wall);
        let engine_seed = Random::new(seed, Stream::Engine).seed();
        let (packets, discipline) = (world.packets, world.discipline);
        let config = Config { packets, discipline, ..Config::default() };
        let mut engine = Engine::new(&config, clock.now(), engine_seed);
        for (place, server) in world.server.iter().enumerate() {
            let peer = PeerConfig {
                address: Some(address(place)),
                min_poll: server.minpoll,
                max_poll: server.maxpoll,
                iburst: server.iburst,
                ..PeerConfig::default()
            };
            engine.add_peer(clock.now(), &peer).expect("there is a place for each server");
        }
        let far = world.server.iter().enumerate().map(|(place, server)| Far {
            responder: Responder::new(server),
            up: Random::new(seed, Stream::Up(place)),
            down: Random::new(seed, Stream::Down(place)),
        });
        let mut simulation = Self {
            world,
            time: 0,
            counter,
            deadline: engine.next_deadline(),
            node: Node::new(engine, deaf(), Socket::new(world.server.len()), clock),
            far: far.collect(),
            scheduled: BinaryHeap::new(),
            order: 0,
            asleep: false,
            roles: vec![Role::None; world.server.len()],
            meter: Meter::new(world),
        };
        for (place, happening) in world.happening.iter().enumerate() {
            simulation.schedule(nanos(happening.at), Scheduled::Happening(place));
        }
        simulation
    }

    fn schedule(&mut self, time: Time, what: Scheduled) {
        self.order += 1;
        self.scheduled.push(Reverse((time, self.order, what)));
    }

    /// All that happens before `end`, which is at most a second away.
    fn advance(&mut self, end: Time) {
        let mut turns = 0;
        loop {
            let event = self.scheduled.peek().map_or(end, |Reverse((time, ..))| *time);
            let deadline = self.deadline.filter(|_| !self.asleep);
            let call = deadline.map_or(end, |deadline| self.counter.when(self.time, deadline));
            let next = event.min(call).max(self.time);
            if next >= end {
                self.time = end;
                return;
            }
            turns = if next == self.time { turns + 1 } else { 0 };
            assert!(turns < MOST_TURNS, "the engine's deadline stays in the past");
            self.time = next;
            match self.scheduled.pop() {
                Some(Reverse((time, _, what))) if time <= next => self.handle(what),
                later => {
                    self.scheduled.extend(later);
                    self.call();
                }
            }
        }
    }

    fn handle(&mut self, what: Scheduled) {
        match what {
            Scheduled::AtServer { server, port, bytes } => self.serve(server, port, &bytes),
            Scheduled::AtClient { .. } if self.asleep => {}
            Scheduled::AtClient { server, port, bytes } => {
                self.node.socket.arrive(server, port, bytes);
                self.call();
            }
            Scheduled::Happening(place) => self.happen(place),
            Scheduled::Wake { counter, restore } => {
                if let Some(counter) = counter {
                    let slept = self.counter.read(self.time) - counter;
                    self.counter.rewind(slept);
                }
                self.node.clock.counter = self.counter.read(self.time);
                self.node.clock.timex.step(self.node.clock.counter, restore);
                self.asleep = false;
                self.call();
            }
        }
    }

    fn happen(&mut self, place: usize) {
        let counter = self.counter.read(self.time);
        match self.world.happening[place].what {
            Event::FrequencyStep(by) => self.counter.step_frequency(by),
            Event::PhaseStep(by) => self.counter.step_phase(self.time, nanos(by)),
            Event::ClockStep(by) => {
                self.node.clock.timex.step(counter, Span::from_nanos(nanos(by)));
            }
            Event::Accept => {
                self.node.clock.counter = counter;
                self.input(Input::Operator(Request::Accept));
                self.call();
            }
            Event::Suspend { lasts, clocks } => {
                self.asleep = true;
                let (counter, restore) = match clocks {
                    Sleep::Run => (None, Span::ZERO),
                    Sleep::Stop => (Some(counter), Span::ZERO),
                    Sleep::Restore => (Some(counter), Span::from_nanos(nanos(lasts))),
                };
                self.schedule(self.time + nanos(lasts), Scheduled::Wake { counter, restore });
            }
        }
    }

    /// A query arrives at a server.
    fn serve(&mut self, server: usize, port: u64, query: &Datagram) {
        let (time, link) = (self.time, self.world.server[server].down());
        let is_up = self.network_is_up();
        let far = &mut self.far[server];
        let answers: Vec<Datagram> = far.responder.answer(time, query).collect();
        for bytes in answers {
            let travels = link.travel(seconds(time), &mut self.far[server].down);
            for delay in travels.filter(|_| is_up) {
                self.schedule(time + nanos(delay), Scheduled::AtClient { server, port, bytes });
            }
        }
    }

    fn input(&mut self, input: Input<'_>) {
        let (meter, time) = (&mut self.meter, seconds(self.time));
        self.node.input(input, &mut |output| meter.take_output(time, &output));
    }

    /// The engine's turn.
    fn call(&mut self) {
        let counter = self.counter.read(self.time);
        self.node.clock.counter = counter;
        self.node.socket.counter = counter;
        let meter = &mut self.meter;
        let time = seconds(self.time);
        let mut sink = |output| meter.take_output(time, &output);
        while self.node.turn(&mut sink).is_ok() {}
        self.deadline = self.node.engine.next_deadline();
        let snapshot = self.node.engine.snapshot(self.node.clock.now());
        for (most, role) in self.roles.iter_mut().zip(roles(&snapshot)) {
            *most = role.max(*most);
        }
        let is_up = self.network_is_up();
        for Query { server, port, bytes } in std::mem::take(&mut self.node.socket.sent) {
            self.meter.packets += 1;
            let link = self.world.server[server].up();
            let travels = link.travel(time, &mut self.far[server].up);
            for delay in travels.filter(|_| is_up) {
                let arrival = self.time + nanos(delay);
                self.schedule(arrival, Scheduled::AtServer { server, port, bytes });
            }
        }
    }

    /// Of what the servers were, only what they are is still known.
    fn forget_roles(&mut self) {
        let snapshot = self.node.engine.snapshot(self.node.clock.now());
        self.roles.clear();
        self.roles.extend(roles(&snapshot));
    }

    fn network_is_up(&self) -> bool {
        self.world.network.as_ref().is_none_or(|network| network.is_up(seconds(self.time)))
    }

    /// How the clock stands; nothing is known of one that sleeps.
    fn reading(&mut self) -> Option<Reading> {
        if self.asleep {
            return None;
        }
        self.node.clock.counter = self.counter.read(self.time);
        let now = self.node.clock.now();
        let snapshot = self.node.engine.snapshot(now);
        let kept = self.node.clock.timex.frequency().as_ratio();
        let rate = self.counter.rate();
        Some(Reading {
            time: seconds(self.time),
            error: (now.wall - (EPOCH + Span::from_nanos(self.time))).as_secs_f64(),
            estimate: snapshot.offset.map(|offset| -offset.as_secs_f64()),
            bound: snapshot.error_bound.map(Span::as_secs_f64),
            likely: snapshot.likely_error.map(Span::as_secs_f64),
            // (1 + rate)(1 + kept) − 1
            frequency_error: rate + kept + rate * kept,
            frequency: snapshot.frequency.as_ratio(),
            counter_rate: rate,
            packets: self.meter.packets,
            synced: snapshot.synced,
        })
    }

    fn finish(self) -> Report {
        let now = self.node.clock.now();
        let snapshot = self.node.engine.snapshot(now);
        self.meter.finish(self.world, snapshot.peers().map(|peer| peer.counters))
    }
}

/// What each server is to the engine.
fn roles(snapshot: &Snapshot<'_>) -> impl Iterator<Item = Role> {
    snapshot.peers().map(|peer| match peer.standing {
        Standing::Selected => Role::Selected,
        Standing::Combined => Role::Combined,
        _ => Role::None,
    })
}
