extern crate std;
use super::super::{Beyond, ControlPacket, OpenServer, Orphan, RateLimit, Shape, Smear};
use super::*;
use crate::system::Reference;
use crate::units::FreqOffset;
use crate::wire::{Header, LeapIndicator, Packet, ReferenceId};
use core::net::Ipv4Addr;
use proptest::prelude::*;
use std::string::String;
use std::vec;
use std::vec::Vec;

type Small = Server<[ClientSet; 2], [StampSet; 2], 9>;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const FRIEND: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
const DENIED: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

fn now(nanos: u64) -> Now {
    let passed = Span::from_nanos(nanos.cast_signed());
    Now {
        mono: Instant::from_nanos(1_000_000_000) + passed,
        wall: WallTime::from_unix(1_800_000_000, 0) + passed,
    }
}

const SECOND: u64 = 1_000_000_000;

fn state() -> SystemState {
    SystemState {
        leap: LeapIndicator::NoWarning,
        stratum: 2,
        precision: -23,
        root_delay: Span::from_millis(20),
        root_dispersion: Span::from_millis(5),
        drift: FreqOffset::from_ppm(1_000),
        reference: Reference::Id(ReferenceId::from_bytes([10, 0, 0, 1])),
        reference_time: now(0).wall,
        updated: now(0).mono,
    }
}

fn server(config: &Config) -> Small {
    let access = [("198.51.100.0/24".parse().unwrap(), Access::Deny)];
    let control = [("192.0.2.2".parse().unwrap(), Access::Allow)];
    let mut server = Server::new(
        config,
        AccessList::new(Access::Allow, &access).unwrap(),
        AccessList::new(Access::Deny, &control).unwrap(),
        [ClientSet::EMPTY; 2],
        [StampSet::EMPTY; 2],
        [3; 32],
    );
    server.update(&state(), now(0));
    server
}

/// A query of version 4 with these stamps.
fn request(origin: u64, receive: u64, transmit: u64) -> [u8; 48] {
    let mut bytes = [0; 48];
    bytes[0] = 0x23;
    bytes[24..32].copy_from_slice(&origin.to_be_bytes());
    bytes[32..40].copy_from_slice(&receive.to_be_bytes());
    bytes[40..].copy_from_slice(&transmit.to_be_bytes());
    bytes
}

/// Asks at one time and has the answer sent at another.
fn exchange(server: &mut Small, request: &[u8], from: IpAddr, at: Now, left: Now) -> Header {
    let answer = server.handle(request, from, at.wall, at.mono).unwrap();
    let Answer::Time(response) = &answer else { panic!("{answer:?}") };
    // What is known before is never what is true.
    let bytes = response.emit(left.wall + Span::from_micros(-7));
    server.sent(&answer, Some(left.wall));
    Packet::parse(&bytes).unwrap().header()
}

fn ask(server: &mut Small, at: Now) -> Result<Header, Refusal> {
    ask_from(server, CLIENT, at)
}

fn ask_from(server: &mut Small, from: IpAddr, at: Now) -> Result<Header, Refusal> {
    let request = request(0, 0, 5);
    match server.handle(&request, from, at.wall, at.mono)? {
        Answer::Time(response) => Ok(Packet::parse(&response.emit(at.wall)).unwrap().header()),
        Answer::Control(query) => panic!("{query:?}"),
    }
}

fn bits(now: Now) -> u64 {
    NtpTimestamp::from_wall(now.wall).to_bits()
}

#[test]
fn an_open_server_answers_as_one_of_the_default_configuration() {
    let mut open = OpenServer::new([StampSet::EMPTY; 2], [3; 32]);
    let mut server = server(&Config::default());
    let (mut origins, mut interleaved) = ([0; 2], 0);
    for number in 0..40 {
        let at = now(number * SECOND);
        if number == 1 {
            open.update(&state());
        } else if number == 20 {
            open.stepped();
            server.stepped();
        }
        let from = [CLIENT, FRIEND][number as usize % 2];
        let origin = &mut origins[number as usize % 2];
        let mut bytes = request(*origin, number, number + 1);
        bytes[0] = [0x23, 0x1b, 0x23, 0x16, 0x23, 0x24, 0x23][number as usize % 7];
        if number == 0 {
            server.update(&SystemState::unsynchronised(0, Instant::default()), at);
        } else if number == 1 {
            server.update(&state(), at);
        }
        let one = open.handle(&bytes, from, at.wall, at.mono);
        let other = server.handle(&bytes, from, at.wall, at.mono);
        let Ok(response) = one else {
            assert_eq!(one.unwrap_err(), other.unwrap_err());
            continue;
        };
        let answer = other.unwrap();
        let Answer::Time(expected) = &answer else { panic!("{answer:?}") };
        assert_eq!(response.emit(at.wall), expected.emit(at.wall), "{number}");
        interleaved += usize::from(response.is_interleaved());
        *origin = response.receive();
        let left = at.wall + Span::from_millis(1);
        open.sent(&response, left);
        server.sent(&answer, Some(left));
    }
    assert!(interleaved > 10, "{interleaved}");
}

#[test]
fn an_interleaved_answer_is_not_from_before_the_clock_was_set() {
    let mut server = server(&Config::default());
    let t = |number: u64| now(number * SECOND);
    let first = exchange(&mut server, &request(0, 0, 1), CLIENT, t(2), t(3));
    server.update(&SystemState { reference_time: t(4).wall, updated: t(4).mono, ..state() }, t(4));
    let second = request(first.receive_time.to_bits(), 2, 3);
    let second = exchange(&mut server, &second, CLIENT, t(6), t(7));
    assert_eq!(second.origin_time.to_bits(), 2);
    assert_eq!(second.reference_time, second.transmit_time);
}

/// RFC 9769 §2 figure 1: a request in the basic mode and two in the interleaved mode.
#[test]
fn the_figure_of_the_interleaved_mode() {
    let mut server = server(&Config::default());
    let t = |number: u64| now(number * SECOND + 10 * number);
    let client = |number: u64| 0xc0ff_ee00_0000_0000 + number;

    let first = exchange(&mut server, &request(0, 0, client(1)), CLIENT, t(2), t(3));
    let (t2, t3) = (first.receive_time.to_bits(), bits(t(3)) + (bits(t(3)) & 1));
    assert_eq!(first.origin_time.to_bits(), client(1));
    assert_eq!((t2 >> 4, t2 & 1), ((bits(t(2)) >> 4) - 1, 1), "but for less than 8 ns");
    assert_eq!(first.transmit_time.unfold(t(3).wall), t(3).wall + Span::from_micros(-7));

    let second = request(t2, client(4), client(5));
    let second = exchange(&mut server, &second, CLIENT, t(6), t(7));
    assert_eq!(second.origin_time.to_bits(), client(4));
    assert_eq!(second.receive_time.to_bits() >> 4, (bits(t(6)) >> 4) - 1);
    assert_eq!(second.transmit_time.to_bits(), t3);
    assert_eq!(second.transmit_time.unfold(t(3).wall), t(3).wall, "the true one");

    let third = request(second.receive_time.to_bits(), client(8), client(9));
    let third = exchange(&mut server, &third, CLIENT, t(10), t(11));
    assert_eq!(third.origin_time.to_bits(), client(8));
    assert_eq!(third.receive_time.to_bits() >> 4, (bits(t(10)) >> 4) - 1);
    assert_eq!(third.transmit_time.unfold(t(7).wall), t(7).wall);
    assert_eq!((server.counters().answered, server.counters().interleaved), (3, 2));
}

#[test]
fn who_does_not_ask_for_it_gets_the_basic_mode() {
    let mut server = server(&Config::default());
    let first = exchange(&mut server, &request(0, 0, 1), CLIENT, now(10), now(20));
    let named = first.receive_time.to_bits();
    // It names the transmit stamp, as RFC 5905 has it.
    let basic = request(first.transmit_time.to_bits(), 7, 8);
    assert_eq!(exchange(&mut server, &basic, CLIENT, now(30), now(40)).origin_time.to_bits(), 8);
    // Receive and transmit stamps do not differ.
    let same = request(named, 8, 8);
    assert_eq!(
        exchange(&mut server, &same, CLIENT, now(50), now(60)).transmit_time.to_bits() & 1,
        0
    );
    assert_eq!(server.counters().interleaved, 0);
    // A symmetric peer's interleaved mode is another one.
    let mut symmetric = request(named, 7, 8);
    symmetric[0] = 0x21;
    let answer = exchange(&mut server, &symmetric, CLIENT, now(70), now(80));
    assert_eq!(answer.origin_time.to_bits(), 8);
    // A repeated request: the first time it is continued, then no more.
    let asked = request(named, 7, 8);
    assert_eq!(exchange(&mut server, &asked, CLIENT, now(90), now(91)).origin_time.to_bits(), 7);
    assert_eq!(exchange(&mut server, &asked, CLIENT, now(92), now(93)).origin_time.to_bits(), 8);
}

#[test]
fn the_interleaved_mode_can_be_turned_off() {
    let mut server = server(&Config { interleaved: false, ..Config::default() });
    let first = exchange(&mut server, &request(0, 0, 1), CLIENT, now(10), now(20));
    let asked = request(first.receive_time.to_bits(), 7, 8);
    assert_eq!(exchange(&mut server, &asked, CLIENT, now(90), now(91)).origin_time.to_bits(), 8);
}

#[test]
fn refused_addresses_get_nothing_or_one_kiss_in_so_many() {
    let mut silent = server(&Config::default());
    assert_eq!(ask_from(&mut silent, DENIED, now(1)), Err(Refusal::Denied));
    assert!(ask(&mut silent, now(1)).is_ok());

    let mut server = server(&Config { kiss_one_in: 4, ..Config::default() });
    let kisses: Vec<_> =
        (0..8).filter_map(|_| ask_from(&mut server, DENIED, now(1)).ok()).collect();
    assert_eq!(kisses.len(), 2);
    for kiss in kisses {
        assert_eq!((kiss.leap, kiss.stratum), (LeapIndicator::Alarm, 0));
        assert_eq!(kiss.reference_id.kiss(), KissCode::DENY);
        assert_eq!((kiss.origin_time.to_bits(), kiss.reference_time.to_bits()), (5, 0));
    }
    assert_eq!(server.counters().refused(Refusal::Denied), 8);
    assert_eq!(server.counters().kisses, 2);
}

#[test]
fn too_often_gets_one_kiss_in_so_many() {
    let rate = RateLimit { burst: 2, leak_one_in: 0, ..RateLimit::default() };
    let config = Config { rate: Some(rate), kiss_one_in: 3, ..Config::default() };
    let mut server = server(&config);
    let answers: Vec<_> = (0..8).map(|_| ask(&mut server, now(1))).collect();
    let kinds: Vec<_> = answers
        .iter()
        .map(|answer| answer.as_ref().map(|header| header.stratum).map_err(|refusal| *refusal))
        .collect();
    let refused = Err(Refusal::Rate);
    assert_eq!(kinds, [Ok(2), Ok(2), refused, refused, Ok(0), refused, refused, Ok(0)]);
    assert_eq!(answers[4].as_ref().unwrap().reference_id.kiss(), KissCode::RATE);
    assert!(ask_from(&mut server, FRIEND, now(1)).is_ok(), "others are not meant");
    assert_eq!(server.counters().refused(Refusal::Rate), 6);
    let top = server.top::<1>();
    assert_eq!((top[0].address, top[0].requests, top[0].refused), (CLIENT, 8, 6));
}

#[test]
fn some_of_too_many_are_answered() {
    let config = Config { rate: Some(RateLimit::default()), ..Config::default() };
    let mut server = server(&config);
    let answered = (0..4_016).filter(|&nanos| ask(&mut server, now(nanos)).is_ok()).count() - 16;
    assert!((850..1_150).contains(&answered), "{answered} of 4,000, one in four is to be");
}

#[test]
fn time_is_served_while_the_error_is_bounded() {
    // 10 ms of delay, 5 of dispersion, and 1 ms each second.
    let config = Config { max_error: Span::from_millis(25), ..Config::default() };
    let mut vague = server(&config);
    let served = ask(&mut vague, now(10 * SECOND - 1_000)).unwrap();
    assert_eq!(served.stratum, 2);
    // Within a unit of the wire of the truth, never below.
    let dispersion = served.root_dispersion.to_span();
    let truth = state().root_dispersion_at(now(10 * SECOND - 1_000).mono);
    assert!(dispersion >= truth && dispersion - truth < Span::from_nanos(15_300), "{dispersion}");
    let beyond = ask(&mut vague, now(10 * SECOND + 1_000)).unwrap();
    assert_eq!((beyond.leap, beyond.stratum), (LeapIndicator::Alarm, 0));
    assert_eq!(beyond.reference_id.kiss(), KissCode::INIT);
    assert_eq!(beyond.reference_time.to_bits(), 0);

    let mut silent = server(&Config { beyond: Beyond::Silence, ..config });
    assert!(ask(&mut silent, now(9 * SECOND)).is_ok());
    assert_eq!(ask(&mut silent, now(11 * SECOND)), Err(Refusal::Uncertain));
    assert_eq!(silent.counters().refused(Refusal::Uncertain), 1);
}

#[test]
fn an_orphan_waits_and_says_what_it_is() {
    let orphan = Orphan { stratum: 9, wait: Span::from_secs(300) };
    let mut server = server(&Config { orphan: Some(orphan), ..Config::default() });
    assert_eq!(ask(&mut server, now(1)).unwrap().stratum, 2);
    let lost = |at: Now| SystemState::unsynchronised(-20, at.mono);
    server.update(&lost(now(SECOND)), now(SECOND));
    assert_eq!(ask(&mut server, now(SECOND)).unwrap().stratum, 0);
    server.update(&lost(now(300 * SECOND)), now(300 * SECOND));
    assert_eq!(ask(&mut server, now(300 * SECOND)).unwrap().stratum, 0);
    server.update(&lost(now(301 * SECOND)), now(301 * SECOND));
    let answer = ask(&mut server, now(301 * SECOND)).unwrap();
    assert_eq!((answer.leap, answer.stratum), (LeapIndicator::NoWarning, 9));
    assert_eq!(answer.reference_id.to_bytes(), [127, 0, 0, 1]);
    // A source again, and lost again: it waits anew.
    server.update(&state(), now(302 * SECOND));
    server.update(&lost(now(303 * SECOND)), now(303 * SECOND));
    assert_eq!(ask(&mut server, now(303 * SECOND)).unwrap().stratum, 0);
}

/// The whole of a leap second: what is served never jumps, and tells what it is.
#[test]
fn a_leap_second_is_spread() {
    let smear = Smear { shape: Shape::Linear, window: Span::from_secs(1_000) };
    let mut server = server(&Config { smear: Some(smear), ..Config::default() });
    let end = WallTime::from_unix(1_483_228_800, 0);
    let mut last = None;
    let mut least = Span::ZERO;
    for passed in 0..1_400i64 {
        // The clock repeats the second before the end.
        let ahead = Span::from_secs(passed - 700);
        let (wall, leap) = match ahead < Span::ZERO {
            true => (end + ahead, LeapIndicator::AddSecond),
            false => (end + ahead + Span::from_secs(-1), LeapIndicator::NoWarning),
        };
        let at = Now { mono: now(passed.cast_unsigned() * SECOND).mono, wall };
        server.update(&SystemState { leap, reference_time: wall, updated: at.mono, ..state() }, at);
        let answer = ask(&mut server, at).unwrap();
        assert_eq!(answer.leap, LeapIndicator::NoWarning);
        // The receive stamp ends in bits that are no time.
        let time = answer.transmit_time.unfold(wall);
        let added = time - wall;
        assert!((answer.receive_time.unfold(wall) - time).abs() < Span::from_nanos(8));
        least = least.min(added);
        if added != Span::ZERO {
            assert_eq!(answer.reference_id, super::super::smear::reference_id(added), "{passed}");
        } else {
            assert_eq!(answer.reference_id.to_bytes(), [10, 0, 0, 1]);
        }
        assert!(answer.reference_time.unfold(wall) <= time);
        if let Some(last) = last {
            let rate = (time - last) - Span::from_secs(1);
            assert!(rate.abs() <= Span::from_micros(1_001), "{passed}: {rate}");
        }
        last = Some(time);
    }
    assert!((least + Span::from_millis(500)).abs() < Span::from_millis(2), "{least}");
    assert_eq!(last.unwrap() - end, Span::from_secs(698));
}

#[test]
fn a_leap_second_that_is_withdrawn_is_not_spread() {
    let smear = Smear { shape: Shape::Cosine, window: Span::from_secs(1_000) };
    let mut server = server(&Config { smear: Some(smear), ..Config::default() });
    let wall = WallTime::from_unix(1_483_228_800 - 250, 0);
    let at = Now { wall, ..now(0) };
    let announced = SystemState { leap: LeapIndicator::AddSecond, ..state() };
    server.update(&announced, at);
    assert_ne!(ask(&mut server, at).unwrap().transmit_time.unfold(wall), wall);
    server.update(&state(), at);
    assert_eq!(ask(&mut server, at).unwrap().transmit_time.unfold(wall), wall);
}

/// As ntpq asks with `rv` and the names of variables, version 2 unless it is told otherwise.
fn control(opcode: u8, names: &str) -> Vec<u8> {
    let mut bytes = vec![0x16, opcode, 0xab, 0xcd, 0, 0, 0, 0, 0, 0, 0, names.len() as u8];
    bytes.extend(names.as_bytes());
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn read(server: &mut Small, request: &[u8]) -> Result<ControlPacket, Refusal> {
    match server.handle(request, FRIEND, now(1).wall, now(1).mono)? {
        Answer::Control(query) => Ok(server.control(&query, now(1))),
        Answer::Time(response) => panic!("{response:?}"),
    }
}

#[test]
fn system_variables_for_those_listed() {
    let mut server = server(&Config::default());
    let packet = read(&mut server, &control(2, "")).unwrap();
    assert_eq!(packet[..4], [0x16, 0x82, 0xab, 0xcd]);
    assert_eq!(packet[4..10], [6, 0, 0, 0, 0, 0], "leap 0, source NTP; association; offset");
    let count = usize::from(u16::from_be_bytes([packet[10], packet[11]]));
    let text = String::from_utf8(packet[12..12 + count].to_vec()).unwrap();
    assert_eq!(packet.len(), (12 + count).next_multiple_of(4));
    for variable in [
        "leap=0, ",
        "stratum=2, ",
        "precision=-23, ",
        "rootdelay=20.000, ",
        "rootdisp=5.000, ",
        "refid=10.0.0.1, ",
    ] {
        assert!(text.contains(variable), "{variable} in {text}");
    }
    let clock = std::format!("clock=0x{:08x}.{:08x}", bits(now(1)) >> 32, bits(now(1)) as u32);
    assert!(text.ends_with(&clock), "{text}");

    let packet = read(&mut server, &control(2, "refid, stratum")).unwrap();
    assert_eq!(packet[12..], *b"stratum=2, refid=10.0.0.1\0\0\0");
    assert_eq!(read(&mut server, &control(1, "")).unwrap().len(), 12);
}

#[test]
fn no_other_control_messages() {
    let mut server = server(&Config::default());
    let asked = control(2, "");
    let stranger = server.handle(&asked, CLIENT, now(1).wall, now(1).mono);
    assert!(matches!(stranger, Err(Refusal::Control)));
    for opcode in (0..=255).filter(|opcode| !matches!(opcode, 1 | 2)) {
        assert_eq!(read(&mut server, &control(opcode, "")), Err(Refusal::Control), "{opcode}");
    }
    // Another association; more names than there are; an answer; cut off.
    for (place, octet, len) in [(7, 1, 12), (11, 1, 12), (1, 0x82, 12), (0, 0x16, 11)] {
        let mut bytes = asked.clone();
        bytes[place] = octet;
        bytes.truncate(len);
        assert_eq!(read(&mut server, &bytes), Err(Refusal::Control));
    }
}

#[test]
fn versions_and_reasons_are_counted() {
    let mut server = server(&Config::default());
    let mut handle = |bytes: &[u8]| server.handle(bytes, CLIENT, now(1).wall, now(1).mono).is_ok();
    assert!(!handle(&[]));
    assert!(!handle(&[0x24; 48]), "an answer");
    assert!(!handle(&[0x1b; 47]));
    assert!(handle(&[0x1b; 48]));
    let counters = server.counters();
    assert_eq!((counters.received, counters.versions), (4, [1, 0, 0, 2, 1, 0, 0, 0]));
    let refused = [Refusal::Malformed, Refusal::Mode].map(|refusal| counters.refused(refusal));
    assert_eq!(refused, [2, 1]);
}

proptest! {
    /// Any bytes from anybody at any time: no panic, no answer to what is no query, and none that
    /// is longer, but for control messages of those listed.
    #[test]
    fn any_datagram_is_handled(
        datagrams in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..100), prop_oneof![Just(0x23u8), Just(0x1b),
             Just(0x16), any::<u8>()], 0u32..8, any::<i64>(), any::<u64>()),
            0..40,
        ),
        leap in 0usize..4,
    ) {
        let config = Config {
            rate: Some(RateLimit::default()),
            kiss_one_in: 2,
            smear: Some(Smear::default()),
            orphan: Some(Orphan { stratum: 0, wait: Span::ZERO }),
            ..Config::default()
        };
        let mut server = server(&config);
        let indicators = [LeapIndicator::NoWarning, LeapIndicator::AddSecond,
            LeapIndicator::DeleteSecond, LeapIndicator::Alarm];
        for (mut bytes, flags, from, secs, nanos) in datagrams {
            if let Some(first) = bytes.first_mut() {
                *first = flags;
            }
            let at = Now {
                wall: WallTime::from_unix(secs, nanos as u32),
                mono: Instant::from_nanos(nanos),
            };
            let stratum = (nanos % 17) as u8;
            server.update(&SystemState { leap: indicators[leap], stratum, ..state() }, at);
            let from = Ipv4Addr::from_bits(0xc000_0200 + from).into();
            let answer = server.handle(&bytes, from, at.wall, at.mono);
            match &answer {
                Ok(Answer::Time(response)) => {
                    prop_assert!(matches!(flags & 7, 1 | 3));
                    prop_assert!(response.emit(at.wall).len() <= bytes.len());
                }
                Ok(Answer::Control(query)) => {
                    prop_assert_eq!(from, FRIEND);
                    prop_assert!(server.control(query, at).len() <= 480);
                }
                Err(_) => {}
            }
            if let Ok(answer) = answer {
                server.sent(&answer, Some(at.wall));
            }
        }
    }
}

/// Behind a translator of addresses clients differ by their ports, of which a server knows nothing:
/// the stamps that they name tell them apart.
#[test]
fn two_behind_one_address_are_not_confused() {
    let mut server = server(&Config::default());
    let t = |micros: u64| now(SECOND + micros * 1_000);
    let mut last = [0u64; 2].map(|_| None::<(Header, Now)>);
    for round in 0..20 {
        for (client, last) in (0..2).zip(&mut last) {
            let at = 10_000 * round + 100 * client;
            let (received, departed) = (t(at), t(at + 7 + client));
            let origin = last.as_ref().map_or(0, |(answer, _)| answer.receive_time.to_bits());
            let own = 1_000 * (round + 1) + 10 * client;
            let answer =
                exchange(&mut server, &request(origin, own, own + 1), CLIENT, received, departed);
            if let Some((_, departed)) = last {
                assert_eq!(answer.origin_time.to_bits(), own, "{client} in round {round}");
                let error = answer.transmit_time.to_bits().abs_diff(bits(*departed));
                assert!(error <= 1, "{client} in round {round}: {error}");
            }
            *last = Some((answer, departed));
        }
    }
    assert_eq!(server.counters().interleaved, 38);
}
