//! The engine as a whole: servers that answer as the input says, a clock that obeys or says that it did
//! something else, names, operators, and time that goes on or jumps.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use libfuzzer_sys::fuzz_target;
use truechimer_core::clock::{ClockCommand, ClockError, ClockReply};
use truechimer_core::config::{
    Config, Counter, DisciplineMode, MAX_FREQUENCY, PeerConfig, SelectOptions,
};
use truechimer_core::io::{Input, Output, Request, Stamp, StampSource};
use truechimer_core::timex::SoftwareClock;
use truechimer_core::units::{FreqOffset, Instant, Now, NtpTimestamp, Span, WallTime};
use truechimer_core::wire::Header;
use truechimer_core::{Engine, PeerId};
use truechimer_fuzz::{Octets, plant};

const PEERS: usize = 3;
/// As many as a firmware reckons with, so that it goes fast.
const KINDS: usize = 2;
/// What one input brings about at most.
const MAX_OUTPUTS: usize = 8;
/// More time-outs than that are never due at one moment.
const MAX_DUE: usize = 64;
const START: WallTime = WallTime::from_unix(1_830_297_000, 0);

struct World<const EXTRAS: bool> {
    engine: Engine<PEERS, KINDS, EXTRAS>,
    config: Config,
    clock: SoftwareClock,
    counter: Instant,
    /// The last query of each place.
    queries: [Option<(PeerId, SocketAddr, [u8; Header::LEN])>; PEERS],
    names: [Option<PeerId>; PEERS],
    /// What the clock did instead.
    lie: Option<ClockReply>,
}

fuzz_target!(init: plant(seeds()), |data: &[u8]| {
    let mut octets = Octets(data);
    let (Some(whose), Some(options)) = (octets.octet(), octets.octet()) else { return };
    match whose & 1 {
        0 => World::<true>::live(options, octets),
        _ => World::<false>::live(options, octets),
    }
});

/// `EXTRAS` has a daemon's engine, not an appliance's.
impl<const EXTRAS: bool> World<EXTRAS> {
    fn live(options: u8, mut octets: Octets<'_>) {
        let mut world = Self::new(options);
        while world.go_on(&mut octets).is_some() {
            world.look();
        }
    }

    fn new(options: u8) -> Self {
        let has = |bit: u8| options & 1 << bit != 0;
        let config = Config {
            control: !has(0),
            counter: if has(1) { Counter::Slewed } else { Counter::Raw },
            discipline: if has(2) { DisciplineMode::Kernel } else { DisciplineMode::Native },
            constrained: has(3),
            step_limit: (!has(4)).then_some(1),
            panic_threshold: (!has(5)).then_some(Span::from_secs(1_000)),
            min_sources: options >> 6,
            ..Config::default()
        };
        let counter = Instant::from_nanos(0);
        let now = Now { mono: counter, wall: START };
        let engine = Engine::new(&config, now, [options; 32]);
        let clock = SoftwareClock::new(counter, START);
        let (queries, names) = ([None; PEERS], [None; PEERS]);
        Self { engine, config, clock, counter, queries, names, lie: None }
    }

    fn now(&self) -> Now {
        Now { mono: self.counter, wall: self.clock.read(self.counter) }
    }

    /// Does the next thing that the input says.
    fn go_on(&mut self, octets: &mut Octets<'_>) -> Option<()> {
        let what = octets.octet()?;
        let place = usize::from(what >> 4) % PEERS;
        match what & 0xf {
            0 | 1 => {
                let next = self.engine.next_deadline().unwrap_or_default();
                self.counter = self.counter.max(next);
            }
            2 => self.counter = self.counter + Span::from_log2_secs((what >> 4) as i8),
            3 => self.add(place, octets.octet()?),
            4..=6 => self.answer(place, octets)?,
            7 => {
                let query = self.queries[place];
                let bytes = octets.piece()?;
                if let Some((peer, from, _)) = query {
                    self.datagram(peer, from, bytes, self.now().wall);
                }
            }
            // An appliance's clock answers what it is asked.
            8 => self.lie = Some(lie(what >> 4, octets)?).filter(|_| EXTRAS),
            9 => {
                let by = Span::from_nanos(i64::from_be_bytes(octets.take()?));
                let counter = self.counter;
                self.clock.step(counter, by);
            }
            10 => {
                let addresses = [address(octets.octet()?), address(octets.octet()?)];
                if let Some(peer) = self.names[place] {
                    let addresses = &addresses[..usize::from(what >> 6).min(2)];
                    self.input(Input::Resolved { peer, addresses });
                }
            }
            11 => {
                let by = Span::from_millis(i32::from_be_bytes(octets.take()?).into());
                self.input(Input::Constrained { time: self.now().wall + by });
            }
            12 => self.input(Input::Operator(Request::Accept)),
            13 => self.input(Input::Operator(Request::Step)),
            14 => {
                if let Some((peer, ..)) = self.queries[place].take() {
                    self.input(Input::SendFailed { peer });
                }
            }
            _ => {
                if let Some(peer) = self.names[place].take() {
                    self.engine.remove_peer(peer);
                    self.queries[place] = None;
                }
            }
        }
        self.time_out();
        Some(())
    }

    fn add(&mut self, place: usize, options: u8) {
        let has = |bit: u8| options & 1 << bit != 0;
        let select = SelectOptions { prefer: has(0), trust: has(1), noselect: has(2) };
        let config = PeerConfig {
            address: has(3).then(|| address(options)),
            min_poll: if has(4) { -4 } else { 6 },
            iburst: has(5),
            pool: has(6),
            select,
            ..PeerConfig::default()
        };
        match self.names[place] {
            Some(peer) => self.engine.set_peer(self.now(), peer, &config),
            None => self.names[place] = self.engine.add_peer(self.now(), &config).ok(),
        }
        self.drain();
    }

    /// A reply to the last query that says what a server says that is off by some time and some way off.
    fn answer(&mut self, place: usize, octets: &mut Octets<'_>) -> Option<()> {
        let [flags, stratum, delay, scale] = octets.take()?;
        let by = i64::from(i16::from_be_bytes(octets.take()?));
        let (peer, from, query) = self.queries[place]?;
        let span = |count: i64| Span::from_nanos(count << (scale % 32));
        let sent = self.now().wall;
        self.counter = self.counter + Span::from_micros(i64::from(delay) * 50);
        let received = self.now().wall;
        let stamp = NtpTimestamp::from_wall(sent + span(by)).to_bits().to_be_bytes();
        let flags = 0b00_100_100 ^ (flags & 0b11_000_001);
        let mut bytes = query;
        bytes[..16].copy_from_slice(&[
            flags,
            stratum % 18,
            6,
            0xec,
            0,
            0,
            0,
            delay,
            0,
            0,
            scale,
            0,
            1,
            2,
            3,
            4,
        ]);
        bytes[16..24].copy_from_slice(&stamp);
        bytes[24..32].copy_from_slice(&query[40..]);
        bytes[32..40].copy_from_slice(&stamp);
        bytes[40..].copy_from_slice(&stamp);
        self.datagram(peer, from, &bytes, received);
        Some(())
    }

    fn datagram(&mut self, peer: PeerId, from: SocketAddr, bytes: &[u8], time: WallTime) {
        let received = Stamp { time, source: StampSource::Kernel };
        self.input(Input::Datagram { peer, from, received, bytes });
    }

    fn time_out(&mut self) {
        for _ in 0..MAX_DUE {
            if self.engine.next_deadline().is_none_or(|deadline| deadline > self.counter) {
                return;
            }
            self.input(Input::Timeout);
        }
        panic!("there is no end to what is due: {:?}", self.engine.next_deadline());
    }

    fn input(&mut self, input: Input<'_>) {
        let _ = self.engine.handle(self.now(), input);
        self.drain();
    }

    fn drain(&mut self) {
        // The replies to what comes of replies come to an end too.
        for _ in 0..MAX_OUTPUTS {
            let outputs: Vec<_> = self.engine.outputs().collect();
            assert!(outputs.len() <= MAX_OUTPUTS, "{outputs:?}");
            if outputs.is_empty() {
                return;
            }
            for output in outputs {
                self.obey(output);
            }
        }
        panic!("there is no end to what is to be done");
    }

    fn obey(&mut self, output: Output) {
        let now = self.now();
        match output {
            Output::Transmit { peer, to, bytes } => {
                assert!(!to.ip().is_unspecified() && bytes[0] & 0b111 == 3);
                if let Some(place) = self.names.iter().position(|name| *name == Some(peer)) {
                    self.queries[place] = Some((peer, to, bytes));
                }
                let at = Stamp { time: now.wall, source: StampSource::User };
                let _ = self.engine.handle(now, Input::Sent { peer, at, own_id: None });
            }
            Output::Clock(command) => {
                let reply = self.lie.take().unwrap_or_else(|| self.command(command));
                let _ = self.engine.handle(self.now(), Input::Clock(reply));
            }
            Output::Event(event) => drop(event.to_string()),
            Output::Persist(state) => {
                let known = state.frequency;
                assert!(
                    known
                        .is_none_or(|it| it.frequency.abs() <= MAX_FREQUENCY && it.deviation > 0.0)
                );
            }
            _ => {}
        }
    }

    /// A clock that does as it is told, and is told nothing that it may not be.
    fn command(&mut self, command: ClockCommand) -> ClockReply {
        assert!(self.config.control, "{command:?}");
        let counter = self.counter;
        match command {
            ClockCommand::Step(by) => {
                self.clock.step(counter, by);
                ClockReply::Stepped { by, now: self.clock.read(counter) }
            }
            ClockCommand::Adjust { frequency, slew } => {
                assert!(frequency.abs() <= MAX_FREQUENCY, "{frequency:?}");
                assert!(slew.abs() <= self.config.max_slew, "{slew:?}");
                self.clock.steer(counter, frequency + slew);
                ClockReply::Adjusted { at: self.clock.read(counter), rate: frequency + slew }
            }
            ClockCommand::Lock { frequency, offset, poll } => {
                assert_eq!(self.config.discipline, DisciplineMode::Kernel);
                assert!(offset.abs() <= Span::from_millis(500), "{offset:?}");
                let frequency = frequency.unwrap_or(FreqOffset::ZERO);
                let at = self.clock.read(counter);
                ClockReply::Locked { at, offset, poll, frequency }
            }
            ClockCommand::Status(status) => {
                assert!(!status.max_error.is_negative() && !status.estimated_error.is_negative());
                ClockReply::StatusSet
            }
            ClockCommand::Leap(_) => ClockReply::StatusSet,
        }
    }

    /// What is said of the clock makes sense.
    fn look(&self) {
        let snapshot = self.engine.snapshot(self.now());
        assert!(snapshot.frequency.abs() <= MAX_FREQUENCY, "{:?}", snapshot.frequency);
        let (bound, likely) = (snapshot.error_bound, snapshot.likely_error);
        assert!(bound.is_none_or(|bound| !bound.is_negative()), "{bound:?}");
        assert!(
            likely.is_none_or(|likely| bound.is_none_or(|bound| likely <= bound)),
            "{likely:?} {bound:?}"
        );
        assert!((1..=16).contains(&snapshot.system.stratum), "{}", snapshot.system.stratum);
        assert!(!snapshot.system.root_delay.is_negative());
        for estimate in snapshot.peers().filter_map(|peer| peer.estimate) {
            assert!(estimate.offset_deviation >= 0.0 && estimate.offset_deviation.is_finite());
            assert!(
                estimate.frequency_deviation >= 0.0 && estimate.frequency_deviation.is_finite()
            );
        }
    }
}

fn lie(kind: u8, octets: &mut Octets<'_>) -> Option<ClockReply> {
    let by = Span::from_nanos(i64::from_be_bytes(octets.take()?));
    let time = START + by;
    let rate = FreqOffset::from_ppm(i32::from_be_bytes(octets.take()?) % 90_000);
    Some(match kind % 4 {
        0 => ClockReply::Stepped { by, now: time },
        1 => ClockReply::Adjusted { at: time, rate },
        2 => ClockReply::StatusSet,
        _ => {
            let command = ClockCommand::Adjust { frequency: rate, slew: FreqOffset::ZERO };
            ClockReply::Failed { command, error: ClockError::NotPermitted }
        }
    })
}

fn address(number: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, number)), 123)
}

/// Three peers, each asked and answered some twenty times.
fn seeds() -> Vec<Vec<u8>> {
    let peers = [0x03, 0x29, 0x13, 0x38, 0x23, 0x29];
    let round = |scale: u8| {
        let answer = move |place: u8| [0x00, place << 4 | 4, 0, 2, 20 + place, scale, 1, place];
        (0..3).flat_map(answer)
    };
    [(0u8, 0u8, 8u8), (0, 0b10, 20), (0, 0b100, 4), (0, 0b1001, 8), (1, 0, 8), (1, 0b10, 20)]
        .map(|(whose, options, scale)| {
            let rounds = (0..20).flat_map(|_| round(scale));
            [whose, options].into_iter().chain(peers).chain(rounds).collect()
        })
        .into()
}
