//! What the engine and the software clock make of one recorded network. Each target must make the
//! same of it, bit by bit; the host runs this file too.

#[cfg(target_os = "none")]
pub mod file;

use core::net::{Ipv4Addr, SocketAddrV4};

use truechimer_core::clock::{ClockCommand, ClockError, ClockReply};
use truechimer_core::config::{Config, PeerConfig};
use truechimer_core::io::{Input, Output, Stamp, StampSource};
use truechimer_core::timex::SoftwareClock;
use truechimer_core::units::{FreqOffset, Instant, Now, NtpShort, NtpTimestamp, Span, WallTime};
use truechimer_core::wire::{Header, LeapIndicator, Mode, ReferenceId};
use truechimer_core::{ALL_KINDS, Engine};

/// Exchanges over the loopback of a machine with twelve programs for its two processors: what a
/// question took there and its answer back, ns, each four octets with the lowest first.
const TRACE: &[u8] = include_bytes!("trace.bin");
/// One in so many of them is lost.
const LOST: usize = 16;
/// When it all begins.
const EPOCH: WallTime = WallTime::from_unix(1_800_000_000, 0);
const PEERS: usize = 4;
/// The last peer is wrong, by this.
const LIE: Span = Span::from_millis(40);
/// What the counter gains on true time: first, and since the room is warmer.
const GAINS: [FreqOffset; 2] = [FreqOffset::from_ppm(25), FreqOffset::from_ppm(27)];
const WARMER: Span = Span::from_secs(2_000);

/// What is told, before its values.
#[derive(Clone, Copy)]
enum Tag {
    Query,
    Step,
    Adjust,
    Status,
    Answered,
    Peer,
    End,
}

/// Runs it with a daemon's engine or, without `EXTRAS`, an appliance's, and gives each value that comes
/// out to `put`; the last two are whether the clock is
/// synchronised, and its true error in nanoseconds.
pub fn replay<const EXTRAS: bool>(put: &mut impl FnMut(u64)) {
    let mut host = Host::new();
    let config = Config { step_threshold: Span::from_secs(1), ..Config::default() };
    let mut engine = Engine::<PEERS, ALL_KINDS, EXTRAS>::new(&config, host.now(), [1; 32]);
    for number in 1..=PEERS as u8 {
        let address = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, number), 123);
        let config = PeerConfig { address: Some(address.into()), ..PeerConfig::default() };
        // There is room for them.
        let _ = engine.add_peer(host.now(), &config);
    }
    let mut exchanges = TRACE.as_chunks().0.iter().enumerate();
    while let Some(deadline) = engine.next_deadline() {
        host.counter = deadline.max(host.counter);
        let _ = engine.handle(host.now(), Input::Timeout);
        while let Some(output) = engine.outputs().next() {
            match output {
                Output::Transmit { peer, to, bytes } => {
                    let Some((count, exchange)) = exchanges.next() else {
                        return end(&engine, &host, put);
                    };
                    put(Tag::Query as u64);
                    put(peer.0.into());
                    put(host.counter.as_nanos());
                    bytes.as_chunks().0.iter().for_each(|word| put(u64::from_be_bytes(*word)));
                    let sent = Input::Sent { peer, at: host.stamp(), own_id: None };
                    let _ = engine.handle(host.now(), sent);
                    if count % LOST == LOST - 1 {
                        continue;
                    }
                    let [forth, back] = legs(exchange);
                    host.counter = host.counter + forth;
                    let lie = if usize::from(peer.0) == PEERS - 1 { LIE } else { Span::ZERO };
                    let reply = answer(&bytes, host.truth() + lie);
                    host.counter = host.counter + back;
                    let received = host.stamp();
                    let input = Input::Datagram { peer, from: to, received, bytes: &reply };
                    let _ = engine.handle(host.now(), input);
                    put(Tag::Answered as u64);
                    put_time(host.now().wall, put);
                }
                Output::Clock(command) => {
                    let reply = host.obey(command, put);
                    let _ = engine.handle(host.now(), Input::Clock(reply));
                }
                _ => {}
            }
        }
    }
}

fn end<const EXTRAS: bool>(
    engine: &Engine<PEERS, ALL_KINDS, EXTRAS>,
    host: &Host,
    put: &mut impl FnMut(u64),
) {
    let snapshot = engine.snapshot(host.now());
    for peer in snapshot.peers() {
        put(Tag::Peer as u64);
        put(peer.counters.used);
        put(peer.reach.into());
        put(peer.interval.as_nanos().cast_unsigned());
    }
    put(Tag::End as u64);
    put(snapshot.frequency.as_ratio().to_bits());
    for bound in [snapshot.error_bound, snapshot.likely_error] {
        put(bound.map_or(u64::MAX, |bound| bound.as_nanos().cast_unsigned()));
    }
    put(snapshot.synced.into());
    put((host.now().wall - host.truth()).as_nanos().cast_unsigned());
}

fn legs(exchange: &[u8; 8]) -> [Span; 2] {
    let [a, b, c, d, e, f, g, h] = *exchange;
    [[a, b, c, d], [e, f, g, h]].map(|leg| Span::from_nanos(u32::from_le_bytes(leg).into()))
}

fn put_time(time: WallTime, put: &mut impl FnMut(u64)) {
    put(time.unix_secs().cast_unsigned());
    put(time.subsec_nanos().into());
}

fn answer(query: &[u8; Header::LEN], time: WallTime) -> [u8; Header::LEN] {
    let time = NtpTimestamp::from_wall(time);
    let transmit_time = query.last_chunk().copied().map_or(0, u64::from_be_bytes);
    Header {
        leap: LeapIndicator::NoWarning,
        version: 4,
        mode: Mode::Server,
        stratum: 1,
        poll: 6,
        precision: -20,
        root_delay: NtpShort::default(),
        root_dispersion: NtpShort::default(),
        reference_id: ReferenceId::from_bytes(*b"PPS\0"),
        reference_time: time,
        origin_time: NtpTimestamp::from_bits(transmit_time),
        receive_time: time,
        transmit_time: time,
    }
    .emit()
}

/// A counter, and the clock over it.
struct Host {
    counter: Instant,
    clock: SoftwareClock,
}

impl Host {
    fn new() -> Self {
        let counter = Instant::default();
        let clock = SoftwareClock::new(counter, EPOCH + Span::from_millis(300));
        Self { counter, clock }
    }

    fn truth(&self) -> WallTime {
        let elapsed = self.counter - Instant::default();
        let cold = elapsed.min(WARMER);
        let gained = [cold, elapsed - cold].into_iter().zip(GAINS);
        gained.fold(EPOCH + elapsed, |truth, (span, gain)| truth + -gain.gain(span, 0).0)
    }

    fn now(&self) -> Now {
        Now { mono: self.counter, wall: self.clock.read(self.counter) }
    }

    fn stamp(&self) -> Stamp {
        Stamp { time: self.now().wall, source: StampSource::Kernel }
    }

    fn obey(&mut self, command: ClockCommand, put: &mut impl FnMut(u64)) -> ClockReply {
        self.clock.advance(self.counter);
        match command {
            ClockCommand::Step(by) => {
                put(Tag::Step as u64);
                put(by.as_nanos().cast_unsigned());
                self.clock.step(self.counter, by);
                ClockReply::Stepped { by, now: self.now().wall }
            }
            ClockCommand::Adjust { frequency, slew } => {
                put(Tag::Adjust as u64);
                put(frequency.as_ratio().to_bits());
                put(slew.as_ratio().to_bits());
                let rate = self.clock.unlock(self.counter, frequency + slew);
                ClockReply::Adjusted { at: self.now().wall, rate }
            }
            ClockCommand::Lock { .. } => {
                ClockReply::Failed { command, error: ClockError::Unsupported }
            }
            ClockCommand::Leap(_) => ClockReply::StatusSet,
            ClockCommand::Status(status) => {
                put(Tag::Status as u64);
                put(status.max_error.as_nanos().cast_unsigned());
                put(status.estimated_error.as_nanos().cast_unsigned());
                self.clock.set_status(self.counter, &status);
                ClockReply::StatusSet
            }
        }
    }
}
