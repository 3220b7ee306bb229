//! One fault a test: what datagrams may and may not do to an engine. What happens over a while, with
//! several peers, is in the modules.

mod claims;
mod clock;
mod constraint;
mod extras;
mod holdover;
mod jumps;
mod leap;
mod names;
mod orphans;
mod replies;
mod roster;
mod selection;
mod world;

use core::net::{IpAddr, Ipv4Addr};
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::clock::ClockStatus;
use crate::config::{Counter, PeerConfig};
use crate::io::StampSource;
use crate::units::{FreqOffset, NtpShort, NtpTimestamp, WallTime};
use crate::wire::{Header, KissCode, LeapIndicator, Mode, Packet, ReferenceId};

const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 123);
const PEER: PeerId = PeerId(0);

fn at(secs: f64) -> Now {
    let span = Span::from_secs_f64(secs);
    Now { mono: Instant::default() + span, wall: WallTime::from_unix(1_800_000_000, 0) + span }
}

/// An engine with one peer whose server is right and 10 ms away, and a clock that does as told.
struct Bench {
    engine: Engine<4>,
    time: f64,
    query: Option<[u8; 48]>,
    events: Vec<String>,
    rejects: Vec<Reject>,
    commands: Vec<ClockCommand>,
    bad_peers: usize,
}

impl Bench {
    fn new(config: PeerConfig) -> Self {
        let counter = Counter::Slewed;
        let config_of_clock = Config { counter, ..Config::default() };
        let mut engine = Engine::new(&config_of_clock, at(0.0), [9; 32]);
        engine.add_peer(at(0.0), &config).unwrap();
        Self {
            engine,
            time: 0.0,
            query: None,
            events: vec![],
            rejects: vec![],
            commands: vec![],
            bad_peers: 0,
        }
    }

    fn started() -> Self {
        Self::new(PeerConfig { address: Some(SERVER), ..PeerConfig::default() })
    }

    /// One that has had `answers` good replies and waits for the next.
    fn answered(answers: usize) -> Self {
        let mut bench = Self::started();
        bench.ask();
        for _ in 0..answers {
            bench.receive(SERVER, &bench.honest().emit());
            bench.ask();
        }
        bench.rejects.clear();
        bench.events.clear();
        bench
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.outputs().next() {
            match output {
                Output::Transmit { peer, to, bytes } => {
                    assert_eq!((peer, to), (PEER, SERVER));
                    self.query = Some(bytes);
                }
                Output::Clock(command) => {
                    self.commands.push(command);
                    let reply = match command {
                        ClockCommand::Step(by) => {
                            ClockReply::Stepped { by, now: at(self.time).wall }
                        }
                        ClockCommand::Adjust { frequency, slew } => {
                            ClockReply::Adjusted { at: at(self.time).wall, rate: frequency + slew }
                        }
                        ClockCommand::Status(_) | ClockCommand::Leap(_) => ClockReply::StatusSet,
                        ClockCommand::Lock { .. } => {
                            ClockReply::Failed { command, error: ClockError::Unsupported }
                        }
                    };
                    let _ = self.engine.handle(at(self.time), Input::Clock(reply));
                }
                Output::Event(event) => self.events.push(format!("{event}")),
                Output::Rejected { reason, .. } => self.rejects.push(reason),
                Output::BadPeer { .. } => self.bad_peers += 1,
                Output::Resolve(_)
                | Output::Operator(_)
                | Output::Persist(_)
                | Output::Constrain => {}
            }
        }
    }

    /// Lets time pass until the next query is sent.
    fn ask(&mut self) {
        self.query = None;
        while self.query.is_none() {
            let deadline = self.engine.next_deadline().unwrap();
            self.time = self.time.max((deadline - Instant::default()).as_secs_f64() + 1e-9);
            let _ = self.engine.handle(at(self.time), Input::Timeout);
            self.drain();
        }
    }

    fn honest(&self) -> Header {
        let query = self.query.unwrap();
        let server = NtpTimestamp::from_wall(at(self.time + 0.005).wall);
        Header {
            leap: LeapIndicator::NoWarning,
            version: 4,
            mode: Mode::Server,
            stratum: 2,
            poll: 6,
            precision: -20,
            root_delay: NtpShort::from_span(Span::from_millis(1)),
            root_dispersion: NtpShort::from_span(Span::from_millis(1)),
            reference_id: ReferenceId::from_ipv4(Ipv4Addr::new(198, 51, 100, 1)),
            reference_time: server,
            origin_time: Packet::parse(&query).unwrap().header().transmit_time,
            receive_time: server,
            transmit_time: server,
        }
    }

    /// The reply arrives 10 ms after the query left.
    fn receive(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.time += 0.01;
        let now = at(self.time);
        let received = Stamp { time: now.wall, source: StampSource::Kernel };
        let _ = self.engine.handle(now, Input::Datagram { peer: PEER, from, received, bytes });
        self.drain();
    }

    /// Everything that a datagram could have changed, but for the counts of what was dropped.
    fn state(&self) -> String {
        let now = at(self.time);
        let snapshot = self.engine.snapshot(now);
        let mut peer = snapshot.peers().next().unwrap();
        peer.counters.rejected = Default::default();
        format!("{:?} {:?} {:?} {peer:?}", snapshot.synced, snapshot.offset, snapshot.frequency)
    }

    fn waits(&self) -> f64 {
        let next = self.engine.snapshot(at(self.time)).peers().next().unwrap().next_query;
        (next - at(self.time).mono).as_secs_f64()
    }
}

#[test]
fn four_answers_make_a_peer_valid_and_the_clock_synced() {
    let bench = {
        let mut bench = Bench::started();
        bench.ask();
        for _ in 0..4 {
            bench.receive(SERVER, &bench.honest().emit());
            bench.ask();
        }
        bench
    };
    assert!(bench.rejects.is_empty());
    let valid = bench.events.iter().position(|event| event == "peer 192.0.2.1 now valid");
    let synced = bench.events.iter().position(|event| event == "clock is now synced");
    assert!(valid.unwrap() < synced.unwrap(), "{:?}", bench.events);
    let count = bench.events.iter().position(|event| event == "1 out of 1 peers valid");
    assert_eq!(count, valid.map(|place| place + 1));
    assert!(
        bench.commands.iter().any(|command| matches!(
            command,
            ClockCommand::Status(ClockStatus { synced: true, .. })
        ))
    );
}

/// Sends a datagram in place of the reply: it must be dropped for `reason` without a trace, and
/// the true reply must still be welcome.
fn changes_nothing(reason: Reject, datagram: impl FnOnce(&Bench) -> (SocketAddr, Vec<u8>)) {
    let mut bench = Bench::answered(5);
    let before = bench.state();
    let (from, bytes) = datagram(&bench);
    bench.time -= 0.01;
    let honest = bench.honest();
    bench.receive(from, &bytes);
    assert_eq!(bench.rejects, [reason]);
    let same_instant = bench.state();
    assert_eq!(same_instant, before, "after {reason}");
    bench.time -= 0.01;
    bench.receive(SERVER, &honest.emit());
    assert_eq!(bench.rejects, [reason], "the honest reply is taken");
    assert_ne!(bench.state(), before);
}

#[test]
fn a_short_datagram_changes_nothing() {
    changes_nothing(Reject::Malformed, |bench| (SERVER, bench.honest().emit()[..47].to_vec()));
}

#[test]
fn an_oversized_datagram_changes_nothing() {
    changes_nothing(Reject::Malformed, |bench| {
        let mut bytes = bench.honest().emit().to_vec();
        bytes.resize(1_024, 0xa5);
        (SERVER, bytes)
    });
}

#[test]
fn a_guessed_origin_changes_nothing() {
    changes_nothing(Reject::Bogus, |bench| {
        let mut header = bench.honest();
        header.origin_time = NtpTimestamp::from_bits(header.origin_time.to_bits() ^ 2);
        (SERVER, header.emit().to_vec())
    });
}

#[test]
fn a_spoofed_kiss_changes_nothing() {
    changes_nothing(Reject::Bogus, |bench| {
        let kiss = Header {
            stratum: 0,
            reference_id: ReferenceId::from_bytes(KissCode::DENY.to_bytes()),
            origin_time: NtpTimestamp::ZERO,
            ..bench.honest()
        };
        (SERVER, kiss.emit().to_vec())
    });
}

#[test]
fn another_source_changes_nothing() {
    changes_nothing(Reject::Source, |bench| {
        let other = SocketAddr::new(SERVER.ip(), 124);
        (other, bench.honest().emit().to_vec())
    });
}

#[test]
fn another_mode_changes_nothing() {
    for mode in [Mode::Client, Mode::SymmetricActive, Mode::SymmetricPassive, Mode::Broadcast] {
        changes_nothing(Reject::Mode, |bench| {
            (SERVER, Header { mode, ..bench.honest() }.emit().to_vec())
        });
    }
}

#[test]
fn a_replayed_reply_changes_nothing() {
    let mut bench = Bench::answered(5);
    let reply = bench.honest().emit();
    bench.receive(SERVER, &reply);
    let before = bench.state();
    bench.time -= 0.01;
    bench.receive(SERVER, &reply);
    assert_eq!((bench.rejects.as_slice(), bench.state()), ([Reject::Duplicate].as_slice(), before));
    // Nor when the next query is on its way.
    bench.ask();
    bench.receive(SERVER, &reply);
    assert_eq!(bench.rejects, [Reject::Duplicate; 2]);
    // A reply to a query that has been given up.
    let late = bench.honest();
    bench.ask();
    bench.receive(SERVER, &late.emit());
    assert_eq!(bench.rejects.last(), Some(&Reject::Bogus));
}

#[test]
fn malformed_datagrams_are_counted_and_told() {
    let mut bench = Bench::answered(0);
    for _ in 0..1_000 {
        bench.receive(SERVER, b"malformed");
    }
    assert_eq!(bench.events.len(), 1_000);
    assert_eq!(bench.events[0], "malformed packet received from 192.0.2.1");
    let snapshot = bench.engine.snapshot(at(bench.time));
    let counters = snapshot.peers().next().unwrap().counters;
    assert_eq!(counters.rejected[Reject::Malformed.index()], 1_000);
}

/// An authentic reply that cannot be used: its event, and how long the server is left alone.
fn suspends(change: impl FnOnce(&mut Header), event: &str, pause: core::ops::Range<f64>) {
    let mut bench = Bench::answered(1);
    let mut header = bench.honest();
    change(&mut header);
    bench.receive(SERVER, &header.emit());
    assert_eq!(bench.rejects.len(), 1);
    let waits = bench.waits();
    assert!(pause.contains(&waits), "waits {waits} s");
    let next = Span::from_secs_f64(waits).as_secs_rounded();
    let told: Vec<_> = bench.events.iter().filter(|told| told.starts_with("reply")).collect();
    assert_eq!(told, [&format!("reply from 192.0.2.1: {event}, next query {next}s")]);
}

#[test]
fn a_kiss_suspends() {
    let kiss = |code: KissCode| {
        move |header: &mut Header| {
            header.stratum = 0;
            header.reference_id = ReferenceId::from_bytes(code.to_bytes());
        }
    };
    suspends(kiss(KissCode::RATE), "not synced (KoD RATE)", 128.0..131.0);
    suspends(kiss(KissCode::DENY), "not synced (KoD DENY)", 86_400.0..88_200.0);
    suspends(kiss(KissCode::RSTR), "not synced (KoD RSTR)", 86_400.0..88_200.0);
    suspends(kiss(KissCode::INIT), "not synced (KoD INIT)", 64.0..66.0);
}

#[test]
fn an_unsynchronised_server_suspends() {
    suspends(|header| header.leap = LeapIndicator::Alarm, "not synced (alarm)", 64.0..66.0);
    suspends(|header| header.stratum = 16, "not synced (stratum 16)", 64.0..66.0);
    let chrony_at_start = |header: &mut Header| {
        header.leap = LeapIndicator::Alarm;
        header.stratum = 0;
        header.reference_id = ReferenceId::from_bytes([0; 4]);
    };
    suspends(chrony_at_start, "not synced (alarm)", 64.0..66.0);
}

#[test]
fn a_negative_delay_suspends() {
    let longer_than_the_round_trip = |header: &mut Header| {
        let sent = header.transmit_time.unfold(at(0.0).wall);
        header.receive_time = NtpTimestamp::from_wall(sent + Span::from_millis(-30));
    };
    suspends(longer_than_the_round_trip, "negative delay -0.020000s", 64.0..66.0);
}

#[test]
fn a_server_without_sense_suspends_silently() {
    for (change, reason) in [
        (
            (|header| header.receive_time = NtpTimestamp::ZERO) as fn(&mut Header),
            Reject::ServerTime,
        ),
        (|header| header.transmit_time = NtpTimestamp::ZERO, Reject::ServerTime),
        (
            |header| core::mem::swap(&mut header.receive_time, &mut header.origin_time),
            Reject::Bogus,
        ),
        (
            |header| header.root_delay = NtpShort::from_span(Span::from_secs(32)),
            Reject::RootDistance,
        ),
        (
            |header| {
                header.reference_time =
                    NtpTimestamp::from_bits(header.transmit_time.to_bits() + (1 << 40));
            },
            Reject::RootDistance,
        ),
    ] {
        let mut bench = Bench::answered(1);
        let mut header = bench.honest();
        change(&mut header);
        bench.receive(SERVER, &header.emit());
        assert_eq!(bench.rejects, [reason]);
    }
}

/// As NTPsec answers in orphan mode, never having been updated.
#[test]
fn a_server_may_have_no_reference_time() {
    let mut bench = Bench::answered(1);
    let mut header = bench.honest();
    header.reference_time = NtpTimestamp::ZERO;
    bench.receive(SERVER, &header.emit());
    assert!(bench.rejects.is_empty(), "{:?}", bench.rejects);
}

#[test]
fn silence_makes_a_peer_invalid_and_bad() {
    let mut bench = Bench::answered(8);
    let mut asked = 0;
    while !bench.events.iter().any(|event| event == "peer 192.0.2.1 now invalid") {
        bench.ask();
        asked += 1;
        assert!(asked < 10);
    }
    assert_eq!(asked, 4, "four in a row");
    // All peers are unreachable once the register is empty; the report comes once a day.
    while bench.time < 80_000.0 {
        bench.ask();
    }
    assert_eq!(bench.bad_peers, 1);
    while bench.time < 100_000.0 {
        bench.ask();
    }
    assert_eq!(bench.bad_peers, 2);
}

#[test]
fn what_is_not_taken_stays() {
    let mut engine: Engine<32> = Engine::new(&Config::default(), at(0.0), [1; 32]);
    for port in 1..=32 {
        let address = Some(SocketAddr::new(SERVER.ip(), port));
        engine.add_peer(at(0.0), &PeerConfig { address, ..PeerConfig::default() }).unwrap();
    }
    assert_eq!(engine.add_peer(at(0.0), &PeerConfig::default()), Err(TooManyPeers));
    let later = at(4.0);
    let mut ports = Vec::new();
    while ports.len() < 32 {
        for _ in 0..20 {
            let _ = engine.handle(later, Input::Timeout);
        }
        let taken = ports.len();
        for output in engine.outputs() {
            if let Output::Transmit { to, .. } = output {
                ports.push(to.port());
            }
        }
        assert!(ports.len() > taken && ports.len() - taken <= QUEUE, "bounded");
    }
    assert_eq!(ports[..32], (1..=32).collect::<Vec<_>>());
}

#[test]
fn a_failed_command_is_told_and_watching_goes_on() {
    let mut engine: Engine<1> = Engine::new(&Config::default(), at(0.0), [1; 32]);
    let command = ClockCommand::Step(Span::from_secs(1));
    let failed = |error| Input::Clock(ClockReply::Failed { command, error });
    let told: Vec<_> = engine.handle(at(1.0), failed(ClockError::Os(22))).collect();
    assert_eq!(told, [Output::Event(Event::Settimeofday)]);
    let command = ClockCommand::Adjust { frequency: FreqOffset::ZERO, slew: FreqOffset::ZERO };
    let failed = Input::Clock(ClockReply::Failed { command, error: ClockError::Os(1) });
    let told: Vec<_> = engine.handle(at(1.0), failed).collect();
    assert_eq!(told, [Output::Event(Event::AdjfreqFailed)]);
    let command =
        ClockCommand::Adjust { frequency: FreqOffset::ZERO, slew: FreqOffset::from_ppm(9) };
    let failed = Input::Clock(ClockReply::Failed { command, error: ClockError::Os(1) });
    let told: Vec<_> = engine.handle(at(1.0), failed).collect();
    assert_eq!(told, [Event::AdjtimeFailed, Event::AdjfreqFailed].map(Output::Event));
}

proptest! {
    #[test]
    fn no_datagram_panics_or_is_believed(bytes in prop::collection::vec(any::<u8>(), 0..128)) {
        let mut bench = Bench::answered(5);
        let before = bench.state();
        bench.receive(SERVER, &bytes);
        bench.time -= 0.01;
        prop_assert_eq!(bench.state(), before);
    }

    #[test]
    fn no_authentic_header_panics(mut bytes in prop::collection::vec(any::<u8>(), 48), mono: u64, wall: i64) {
        let mut bench = Bench::answered(5);
        let origin = bench.honest().emit();
        bytes[0] = bytes[0] & 0xc0 | 0x24;
        bytes[24..32].copy_from_slice(&origin[24..32]);
        let now = Now { mono: Instant::from_nanos(mono), wall: WallTime::from_unix(wall, 0) };
        let received = Stamp { time: now.wall, source: StampSource::User };
        let input = Input::Datagram { peer: PEER, from: SERVER, received, bytes: &bytes };
        let _ = bench.engine.handle(now, input).count();
        for _ in 0..8 {
            let _ = bench.engine.handle(now, Input::Timeout).count();
        }
    }
}
