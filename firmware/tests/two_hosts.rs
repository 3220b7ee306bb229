//! A server and a client on one cable, each the whole firmware but its drivers.

mod cable;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use proptest::collection::vec;
use proptest::prelude::*;
use smoltcp::iface::SocketStorage;
use smoltcp::wire::{EthernetAddress, IpCidr};
use truechimer_core::config::{Config, NOT_BEFORE, PeerConfig};
use truechimer_core::hal::Store;
use truechimer_core::holdover::{Boot, Record, TimeStatus};
use truechimer_core::units::{FreqOffset, Span, WallTime};
use truechimer_firmware::clock::SystemClock;
use truechimer_firmware::net::{Addressing, Buffers, Ipv4, OTHER_SOCKETS, Stack, Unstamped};
use truechimer_firmware::rtc::Start;
use truechimer_firmware::{App, rtc};

use cable::{Memory, Port, Seconds, Shared, Timer};

const PEERS: usize = 2;
const ADDRESSES: [[IpAddr; 2]; 2] = [
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(address_v6(1))],
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), IpAddr::V6(address_v6(2))],
];

const fn address_v6(host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, host)
}

type Host = App<'static, Unstamped<Port>, Timer, Seconds, Memory, PEERS>;
type HostClock = &'static SystemClock<Timer>;

fn clock(world: &Shared, error: FreqOffset) -> HostClock {
    let clock = Box::leak(Box::new(SystemClock::new(Timer { world: world.clone(), error })));
    let _ = clock.now();
    clock
}

fn host(world: &Shared, end: usize, clock: HostClock, past: Past, config: &Config) -> Host {
    let port = Port { world: world.clone(), end };
    let hardware = EthernetAddress([2, 0, 0, 0, 0, end as u8]).into();
    let addressing = Addressing { hardware, ipv4: Ipv4::None, slaac: false, resolver: None };
    let places = PEERS + OTHER_SOCKETS;
    let storage = Vec::leak((0..places).map(|_| SocketStorage::EMPTY).collect());
    let buffers = Box::leak(Box::new(Buffers::new()));
    let seed = [end as u8; 32];
    let stack = Stack::new(Unstamped(port), &addressing, storage, buffers, clock, seed).unwrap();
    let stack = Box::leak(Box::new(stack));
    stack.interface.update_ip_addrs(|addresses| {
        let [v4, v6] = ADDRESSES[end];
        addresses.push(IpCidr::new(v4.into(), 24)).unwrap();
        addresses.push(IpCidr::new(v6.into(), 64)).unwrap();
    });
    let Past { rtc, store, start } = past;
    let engine = Box::leak(Box::new(start.engine(clock, config, [2 + end as u8; 32])));
    App::new(engine, stack, rtc, store, &start, config)
}

/// What was found at boot.
struct Past {
    rtc: Option<Seconds>,
    store: Option<Memory>,
    start: Start,
}

impl Past {
    /// The clock goes on from where it is.
    fn none(clock: HostClock) -> Self {
        let boot = Boot { time: clock.now().wall, bound: None, status: TimeStatus::Floor };
        Self { rtc: None, store: None, start: Start { record: Record::default(), boot } }
    }
}

struct Pair {
    world: Shared,
    clocks: [HostClock; 2],
    hosts: [Host; 2],
    events: Vec<String>,
    server_is_off: bool,
}

impl Pair {
    /// A server that is right, and a client with `clock`, which asks one of its addresses.
    fn new(world: Shared, client_clock: HostClock, past: Past, family: usize) -> Self {
        let server_clock = clock(&world, FreqOffset::ZERO);
        server_clock.set(world.borrow().wall());
        let config = Config { local_stratum: Some(1), ..Config::default() };
        let server = host(&world, 0, server_clock, Past::none(server_clock), &config);
        let mut client = host(&world, 1, client_clock, past, &Config::default());
        let address = SocketAddr::new(ADDRESSES[0][family], 123);
        let peer = PeerConfig {
            address: Some(address),
            min_poll: 4,
            max_poll: 7,
            ..PeerConfig::default()
        };
        client.add_peer("server", &peer).unwrap();
        let clocks = [server_clock, client_clock];
        Self { world, clocks, hosts: [server, client], events: Vec::new(), server_is_off: false }
    }

    /// By how much the client's clock is ahead of true time.
    fn error(&self) -> Span {
        self.clocks[1].now().wall - self.world.borrow().wall()
    }

    /// Runs until `secs` of true time have passed; wakes each host when a frame comes and when it
    /// asked for it.
    fn run(&mut self, secs: i64) {
        let end = self.world.borrow().time + Span::from_secs(secs);
        while self.world.borrow().time < end {
            let mut next = end;
            let off = usize::from(self.server_is_off);
            for (host, clock) in self.hosts.iter_mut().zip(self.clocks).skip(off) {
                let mut polls = 0;
                let ahead = loop {
                    match host.poll() {
                        Ok(event) => self.events.push(event.to_string()),
                        Err(nb::Error::WouldBlock) => {
                            let ahead = host.poll_at() - clock.mono();
                            if ahead > Span::ZERO {
                                break ahead;
                            }
                        }
                        Err(error) => panic!("{error:?}"),
                    }
                    polls += 1;
                    assert!(polls < 100, "the loop spins");
                };
                // A counter that errs by less than 0.1 % reaches it within this, to a tick.
                let latest = ahead + Span::from_nanos(ahead.as_nanos() / 1_000 + 32);
                next = next.min(self.world.borrow().time + latest);
            }
            let mut world = self.world.borrow_mut();
            if self.server_is_off {
                world.to[0].clear();
            }
            let arrival = world.next_arrival().unwrap_or(end);
            world.time = next.min(arrival).max(world.time);
        }
    }

    fn told(&self, text: &str) -> usize {
        self.events.iter().filter(|event| event.starts_with(text)).count()
    }

    fn becomes_right(&mut self) {
        self.run(60);
        assert!(self.error().abs() < Span::from_millis(1), "{:.9}", self.error());
        self.run(3_600);
        // Through twenty-odd turns of the counter, and address resolutions before most queries.
        for _ in 0..30 {
            self.run(60);
            assert!(self.error().abs() < Span::from_micros(10), "{:.9}", self.error());
        }
        assert!(self.world.borrow().resolutions > 20);

        let snapshot = self.hosts[1].snapshot();
        assert!(snapshot.synced);
        assert_eq!(snapshot.system.stratum, 2);
        assert!((snapshot.frequency.as_ppm() + 80.0).abs() < 0.1, "{}", snapshot.frequency);
        // What is measured is the cable, without the wait for an address.
        let delay = snapshot.peers().next().unwrap().remote.unwrap().delay;
        assert!((delay - cable::DELAY.times(2)).abs() < Span::from_nanos(200), "{delay:.9}");
        assert!(self.clocks[1].status().unwrap().synced);
        assert_eq!(self.told("peer 192.0.2.1 now valid") + self.told("peer 2001:db8::1 now"), 1);
        assert_eq!(self.told("set local clock to 2030-03-17 17:46"), 1);
        assert_eq!(self.told("clock is now synced"), 1);
        assert_eq!(self.told("clock is now unsynced"), 0);
        assert_eq!(self.hosts[1].lost_events(), 0);
    }
}

/// A clock whose counter gains 80 ppm.
fn fast_clock(world: &Shared) -> HostClock {
    clock(world, FreqOffset::from_ppm(80))
}

#[test]
fn a_clock_that_starts_in_1970_becomes_right() {
    let world = Shared::default();
    let clock = fast_clock(&world);
    clock.set(WallTime::UNIX_EPOCH);
    Pair::new(world, clock, Past::none(clock), 0).becomes_right();
}

#[test]
fn a_clock_that_starts_in_2001_becomes_right_over_ipv6() {
    let world = Shared::default();
    let clock = fast_clock(&world);
    clock.set(YEAR_2001);
    Pair::new(world, clock, Past::none(clock), 1).becomes_right();
}

/// 2001-01-01, what many a real-time clock says that lost its power.
const YEAR_2001: WallTime = WallTime::from_unix(978_307_200, 0);

/// Starts `clock` from what is there, in at most two seconds.
fn boot(world: &Shared, clock: HostClock, mut rtc: Seconds, mut store: Memory) -> Past {
    let record = store.load().unwrap().unwrap_or_default();
    for _ in 0..2_000 {
        if let Ok(start) = rtc::start(clock, &mut rtc, &record) {
            return Past { rtc: Some(rtc), store: Some(store), start };
        }
        let time = world.borrow().time + Span::from_millis(1);
        world.borrow_mut().time = time;
    }
    panic!("no edge of a second");
}

#[test]
fn the_time_lives_on_in_the_rtc() {
    let world = Shared::default();
    let power_lost = YEAR_2001 - world.borrow().wall();
    let rtc = Seconds::new(&world, power_lost, FreqOffset::from_ppm(20));
    let store = Memory::default();
    let clock = fast_clock(&world);
    let past = boot(&world, clock, rtc.clone(), store.clone());
    assert_eq!((past.start.boot.time, past.start.boot.bound), (NOT_BEFORE, None));

    let mut pair = Pair::new(world.clone(), clock, past, 0);
    pair.becomes_right();
    assert!(rtc.ahead().abs() < Span::from_secs(1), "{:.9}", rtc.ahead());
    pair.run(86_400);

    // It is switched off for three days, in which its clock gains 5.2 s.
    let time = world.borrow().time + Span::from_secs(3 * 86_400);
    world.borrow_mut().time = time;
    let clock = fast_clock(&world);
    let past = boot(&world, clock, rtc.clone(), store.clone());
    let error = (clock.now().wall - world.borrow().wall()).abs();
    let bound = past.start.boot.bound.expect("a bound");
    assert!(error < Span::from_millis(100) && error <= bound, "{error:.9} within {bound:.9}");
    assert!(bound < Span::from_secs(8), "{bound:.9}");

    // Its counter's 80 ppm are known too: in an hour without a server it loses no 0.29 s.
    let mut pair = Pair::new(world.clone(), clock, past, 0);
    pair.server_is_off = true;
    pair.run(3_600);
    assert!(pair.error().abs() < Span::from_millis(105), "{:.9}", pair.error());
    assert_eq!(clock.read().status, TimeStatus::Rtc);
    assert!(pair.error().abs() <= clock.read().bound.unwrap());
}

#[test]
fn without_its_server_it_says_how_far_off_it_may_be() {
    let world = Shared::default();
    let clock = fast_clock(&world);
    clock.set(YEAR_2001);
    let mut pair = Pair::new(world, clock, Past::none(clock), 0);
    pair.becomes_right();
    assert_eq!(clock.read().status, TimeStatus::Synced);
    let synced = clock.read().bound.unwrap();
    pair.server_is_off = true;
    for _ in 0..24 {
        pair.run(3_600);
        let bound = clock.read().bound.unwrap();
        assert!(pair.error().abs() <= bound, "{:.9} beyond {bound:.9}", pair.error());
    }
    assert_eq!(clock.read().status, TimeStatus::Holdover);
    // 15 ppm (RFC 5905's PHI) for a day, and not much more.
    let grown = clock.read().bound.unwrap() - synced;
    assert!(grown > Span::from_millis(1_290) && grown < Span::from_millis(1_600), "{grown:.6}");
    assert!(pair.error().abs() < Span::from_millis(10), "{:.9}", pair.error());
}

#[test]
fn a_host_with_nothing_to_do_wakes_before_its_counter_has_turned() {
    let world = Shared::default();
    let clock = clock(&world, FreqOffset::ZERO);
    let mut host = host(&world, 0, clock, Past::none(clock), &Config::default());
    // It has found its link.
    assert_eq!(host.poll(), Err(nb::Error::WouldBlock));
    for _ in 0..100 {
        assert_eq!(host.poll(), Err(nb::Error::WouldBlock));
        let ahead = host.poll_at() - clock.mono();
        assert!(ahead > Span::from_secs(60), "{ahead}");
        let time = world.borrow().time + ahead;
        world.borrow_mut().time = time;
    }
    let passed = world.borrow().wall() - cable::EPOCH;
    let error = clock.now().wall - (NOT_BEFORE + passed);
    assert!(error.abs() <= Span::from_nanos(32), "{error:.9}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    // Frames of a real exchange with octets changed, and cut off or filled up; at both ends.
    #[test]
    fn no_frame_panics(
        seconds in 0i64..6,
        changes in vec((0usize..110, any::<u8>(), 0usize..130), 200),
    ) {
        let world = Shared::default();
        world.borrow_mut().unchecked = true;
        let clock = fast_clock(&world);
        let mut pair = Pair::new(world.clone(), clock, Past::none(clock), (seconds % 2) as usize);
        pair.run(seconds);
        for (place, octet, len) in changes {
            pair.run(1);
            let mut shared = world.borrow_mut();
            let now = shared.time;
            for (end, sample) in shared.samples.clone().into_iter().enumerate() {
                let mut frame = sample;
                if let Some(target) = frame.get_mut(place) {
                    *target ^= octet;
                }
                if octet % 3 == 0 {
                    frame.resize(len, octet);
                }
                shared.to[end].push_front((now, frame));
            }
        }
        pair.run(10);
    }
}
