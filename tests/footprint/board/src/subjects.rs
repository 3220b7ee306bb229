//! What is measured. The host runs the same on the same inputs, and must get the same sums.

use core::hint::black_box;
use core::net::{Ipv4Addr, SocketAddrV4};

use truechimer_core::clock::{ClockCommand, ClockError, ClockReply};
use truechimer_core::config::{Config, PeerConfig};
use truechimer_core::io::{Input, Output, Stamp, StampSource};
use truechimer_core::timex::{Request, SoftwareClock};
use truechimer_core::units::{FreqOffset, Instant, Now, NtpShort, NtpTimestamp, Span, WallTime};
use truechimer_core::wire::{Header, LeapIndicator, Mode, ReferenceId};
use truechimer_core::{Engine, Estimator, Exchange};

/// Calls before those that are counted: the estimate is settled.
const FIRST: u64 = 100;
/// Calls that are counted.
const COUNTED: u64 = 200;
/// When it all begins.
const EPOCH: WallTime = WallTime::from_unix(1_800_000_000, 0);
/// The peers of the engine that is measured.
pub const PEERS: usize = 4;

/// Carries out a call and measures it; it takes part in the mean if it is `counted`.
pub trait Meter {
    /// Returns what the call returns.
    fn call<R>(&mut self, counted: bool, call: impl FnOnce() -> R) -> R;
}

/// Only the inputs: what the others' programs have besides what they are named for.
pub fn baseline(meter: &mut impl Meter) -> u64 {
    #[inline(never)]
    fn look(exchange: &Exchange) -> u64 {
        black_box(exchange.server_sent.subsec_nanos().into())
    }
    let mut sum = Sum::default();
    for (count, exchange) in exchanges() {
        sum.add(meter.call(count >= FIRST, || look(&exchange)));
    }
    sum.0
}

/// An estimator of `KINDS` times four filters that takes in samples.
pub fn estimator<const KINDS: usize>(meter: &mut impl Meter) -> u64 {
    #[inline(never)]
    fn update<const KINDS: usize>(estimator: &mut Estimator<KINDS>, exchange: &Exchange) -> u64 {
        estimator.update(exchange) as u64
    }
    let mut estimator = Estimator::<KINDS>::new(FreqOffset::ZERO);
    let mut sum = Sum::default();
    for (count, exchange) in exchanges() {
        sum.add(meter.call(count >= FIRST, || update(&mut estimator, &exchange)));
        let Some(estimate) = estimator.estimate() else { continue };
        sum.add(estimate.offset.as_nanos().cast_unsigned());
        sum.add(estimate.delay.as_nanos().cast_unsigned());
        sum.add(estimate.frequency.as_ppm().to_bits());
        sum.add(estimate.offset_deviation.to_bits());
        sum.add(estimate.frequency_deviation.to_bits());
        sum.add(estimate.wander.to_bits());
    }
    sum.0
}

/// A software clock with a frequency and a slew that is read.
pub fn clock(meter: &mut impl Meter) -> u64 {
    #[inline(never)]
    fn read(clock: &mut SoftwareClock, at: Instant) -> WallTime {
        clock.advance(at);
        clock.read(at)
    }
    let mut clock = SoftwareClock::new(Instant::default(), EPOCH);
    clock.steer(Instant::default(), black_box(FreqOffset::from_ppm(80)));
    let slew = black_box(Request::SingleShot(Span::from_secs(1)));
    let _ = clock.ntp_adjtime(Instant::default(), &slew);
    let mut sum = Sum::default();
    for (count, exchange) in exchanges() {
        let at = Instant::default() + (exchange.server_sent - EPOCH);
        let time = meter.call(count >= FIRST, || read(&mut clock, at));
        sum.add(time.unix_secs().cast_unsigned());
        sum.add(time.subsec_nanos().into());
    }
    sum.0
}

/// An engine with all its peers, which are right; valid replies are counted.
pub fn engine(meter: &mut impl Meter) -> u64 {
    #[inline(never)]
    fn handle(engine: &mut Engine<PEERS>, now: Now, input: Input<'_>) {
        let _ = engine.handle(now, input);
    }
    let mut host = Host::new();
    let mut delays = Delays::new();
    let mut sum = Sum::default();
    let config = Config { step_threshold: Span::from_secs(1), ..Config::default() };
    let mut engine = Engine::new(black_box(&config), host.now(), black_box([1; 32]));
    for number in 1..=PEERS as u8 {
        let address = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, number), 123);
        let config = PeerConfig { address: Some(address.into()), ..PeerConfig::default() };
        let _ = engine.add_peer(host.now(), black_box(&config));
    }
    let mut replies = 0;
    while let Some(deadline) = engine.next_deadline().filter(|_| replies < FIRST + COUNTED) {
        host.counter = deadline.max(host.counter);
        sum.add(host.counter.as_nanos());
        meter.call(false, || handle(&mut engine, host.now(), Input::Timeout));
        while let Some(output) = engine.outputs().next() {
            match output {
                Output::Transmit { peer, to, bytes } => {
                    let sent = Input::Sent { peer, at: host.stamp(), own_id: None };
                    meter.call(false, || handle(&mut engine, host.now(), sent));
                    let [forth, back] = delays.draw();
                    host.counter = host.counter + forth;
                    let reply = answer(&bytes, host.truth());
                    host.counter = host.counter + back;
                    let (received, bytes) = (host.stamp(), &reply);
                    let input = Input::Datagram { peer, from: to, received, bytes };
                    meter.call(replies >= FIRST, || handle(&mut engine, host.now(), input));
                    replies += 1;
                }
                Output::Clock(command) => {
                    let reply = host.obey(command, &mut sum);
                    let input = Input::Clock(reply);
                    meter.call(false, || handle(&mut engine, host.now(), input));
                }
                _ => {}
            }
        }
    }
    let snapshot = engine.snapshot(host.now());
    for peer in snapshot.peers() {
        sum.add(peer.counters.used);
    }
    sum.0
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

/// A counter and a clock that does as it is told.
struct Host {
    counter: Instant,
    changed: Now,
    rate: FreqOffset,
}

impl Host {
    fn new() -> Self {
        let counter = Instant::default();
        let changed = Now { mono: counter, wall: EPOCH + Span::from_millis(300) };
        Self { counter, changed, rate: FreqOffset::ZERO }
    }

    fn truth(&self) -> WallTime {
        let elapsed = self.counter - Instant::default();
        EPOCH + elapsed + lost(elapsed)
    }

    fn now(&self) -> Now {
        let elapsed = self.counter - self.changed.mono;
        let wall = self.changed.wall + elapsed + self.rate.gain(elapsed, 0).0;
        Now { mono: self.counter, wall }
    }

    fn stamp(&self) -> Stamp {
        Stamp { time: self.now().wall, source: StampSource::Kernel }
    }

    fn obey(&mut self, command: ClockCommand, sum: &mut Sum) -> ClockReply {
        self.changed = self.now();
        match command {
            ClockCommand::Step(by) => {
                sum.add(by.as_nanos().cast_unsigned());
                self.changed.wall += by;
                ClockReply::Stepped { by, now: self.changed.wall }
            }
            ClockCommand::Adjust { frequency, slew } => {
                sum.add(frequency.as_ppm().to_bits());
                sum.add(slew.as_ppm().to_bits());
                self.rate = frequency + slew;
                ClockReply::Adjusted { at: self.changed.wall, rate: self.rate }
            }
            ClockCommand::Lock { .. } => {
                ClockReply::Failed { command, error: ClockError::Unsupported }
            }
            ClockCommand::Leap(_) => ClockReply::StatusSet,
            ClockCommand::Status(status) => {
                sum.add(status.max_error.as_nanos().cast_unsigned());
                sum.add(status.estimated_error.as_nanos().cast_unsigned());
                ClockReply::StatusSet
            }
        }
    }
}

/// A burst and then one each 64 s, with a server that is a quarter of a second ahead.
fn exchanges() -> impl Iterator<Item = (u64, Exchange)> {
    let mut delays = Delays::new();
    let mut time = Span::ZERO;
    (0..FIRST + COUNTED).map(move |count| {
        time += Span::from_secs(if count < 6 { 2 } else { 64 });
        let [forth, back] = delays.draw();
        let sent = EPOCH + time;
        let server = sent + Span::from_millis(250) + lost(time) + forth;
        let received = sent + forth + back;
        (count, Exchange { sent, server_received: server, server_sent: server, received })
    })
}

/// What the counter loses: 80 ppm.
fn lost(elapsed: Span) -> Span {
    Span::from_nanos(elapsed.as_nanos() / 12_500)
}

/// 5 ms each way, and queues that are mostly short. Marsaglia's xorshift.
struct Delays(u64);

impl Delays {
    fn new() -> Self {
        Self(black_box(0x9e37_79b9_7f4a_7c15))
    }

    fn draw(&mut self) -> [Span; 2] {
        [(); 2].map(|()| {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            let queue = (self.0 >> 44) << (self.0.trailing_zeros() & 7) >> 4;
            Span::from_micros(5_000) + Span::from_nanos(queue.cast_signed())
        })
    }
}

/// FNV-1a over 64-bit words.
struct Sum(u64);

impl Default for Sum {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Sum {
    fn add(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0100_0000_01b3);
    }
}
