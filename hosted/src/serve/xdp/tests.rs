//! The program in the kernel, which these need the privilege for: root's, or CAP_BPF, CAP_PERFMON
//! and CAP_NET_ADMIN.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{BorrowedFd, OwnedFd};

use truechimer_core::server::{Beyond, Config as Policy, Orphan};
use truechimer_core::system::{Reference, SystemState};
use truechimer_core::units::FreqOffset;
use truechimer_core::wire::ReferenceId;

use super::program::{ANSWER, PASS, program};
use super::*;
use crate::clock::realtime;

const OURS: [&str; 3] = ["192.0.2.1", "2001:db8::1", "192.0.2.9"];
const V4: [&str; 2] = ["198.51.100.7", "192.0.2.1"];
const V6: [&str; 2] = ["2001:db8:7::7", "2001:db8::1"];

/// A program for [`OURS`], and what it shares.
struct Bench {
    shared: Shared,
    program: OwnedFd,
    responder: Responder,
}

fn serve() -> Serve {
    Serve { policy: Policy { interleaved: false, ..Policy::default() }, ..Serve::default() }
}

fn published(clock: ServedClock) -> Published {
    let (mono, real) = both();
    let system = SystemState {
        leap: LeapIndicator::NoWarning,
        stratum: 3,
        precision: -24,
        root_delay: Span::from_micros(12_345),
        root_dispersion: Span::from_micros(678),
        drift: FreqOffset::from_ppm(20),
        reference: Reference::Id(ReferenceId::from_bytes([203, 0, 113, 5])),
        reference_time: real + Span::from_secs(-17),
        updated: mono,
    };
    Published { system, clock, steps: 0 }
}

impl Bench {
    fn new() -> Self {
        let shared = Shared::new().expect("only root may");
        let addresses = OURS.map(|address| (address.parse().unwrap(), 123));
        let program = bpf::load(&program(&shared, &addresses).unwrap()).unwrap();
        Self { shared, program, responder: responder(&serve(), [7; 32]) }
    }

    /// What is published holds from now on.
    fn publish(&mut self, published: &Published, interleaved: bool) -> Slot {
        let (mono, real) = both();
        let slot = slot(&mut self.responder, published, mono, real, interleaved);
        self.shared.write(&slot);
        slot
    }

    fn run(&self, packet: &[u8]) -> (i32, Vec<u8>) {
        let program: BorrowedFd<'_> = self.program.as_fd();
        let (verdict, after) = bpf::run(program, packet).unwrap();
        (verdict as i32, after)
    }

    fn counts(&self) -> [u64; 5] {
        use Count::{Interleaved, Other, Unready, Version3, Version4};
        [Version3, Version4, Other, Interleaved, Unready].map(|count| self.shared.count(count))
    }
}

fn request(version: u8) -> [u8; 48] {
    let mut request = [0; 48];
    (request[0], request[2]) = (version << 3 | 3, 6);
    request[40..].copy_from_slice(b"transmit");
    request
}

/// RFC 1071.
fn sum(parts: &[&[u8]]) -> u16 {
    let pairs = parts.iter().flat_map(|part| part.chunks(2));
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    let mut sum: u32 = pairs.map(word).sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

/// A frame as the system makes them, from and to these.
fn frame(addresses: [&str; 2], macs: [[u8; 6]; 2], ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len() as u16).to_be_bytes();
    let [from_port, to_port] = ports.map(u16::to_be_bytes);
    let mut udp = [from_port, to_port, length, [0, 0]].concat();
    udp.extend(payload);
    let mut packet = [macs[1], macs[0]].concat();
    let ends = match addresses.map(|address| address.parse().unwrap()) {
        [IpAddr::V4(from), IpAddr::V4(to)] => {
            let total = (28 + payload.len() as u16).to_be_bytes();
            let ends = [from.octets(), to.octets()].concat();
            let mut ip = [0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, 17, 0, 0].to_vec();
            ip.extend(&ends);
            let check = sum(&[&ip]).to_be_bytes();
            ip[10..12].copy_from_slice(&check);
            packet.extend([8, 0].iter().chain(&ip));
            ends
        }
        [IpAddr::V6(from), IpAddr::V6(to)] => {
            let ends = [from.octets(), to.octets()].concat();
            packet.extend([0x86, 0xdd, 0x60, 0, 0, 0, length[0], length[1], 17, 64]);
            packet.extend(&ends);
            ends
        }
        _ => unreachable!("of one family"),
    };
    let check = match sum(&[&ends, &[0, 17], &length, &udp]) {
        0 => 0xffff,
        check => check,
    };
    udp[6..8].copy_from_slice(&check.to_be_bytes());
    packet.extend(udp);
    packet
}

const MACS: [[u8; 6]; 2] = [[2, 1, 1, 1, 1, 1], [2, 2, 2, 2, 2, 2]];

fn asked(addresses: [&str; 2], payload: &[u8]) -> Vec<u8> {
    frame(addresses, MACS, [40_001, 123], payload)
}

fn stamp(payload: &[u8], at: usize) -> WallTime {
    let bits = u64::from_be_bytes(payload[at..at + 8].try_into().unwrap());
    NtpTimestamp::from_bits(bits).unfold(realtime())
}

/// Octet for octet what the core answers, between whole and right headers, of two versions over
/// two families; and the time is right.
#[test]
fn it_answers_as_the_core_does() {
    let mut bench = Bench::new();
    let published = published(ServedClock::Kernel);
    for (addresses, header) in [(V4, 42), (V6, 62)] {
        for version in [3, 4] {
            let request = request(version);
            bench.publish(&published, true);
            let (end, before) = (both().0 + LIFE, realtime());
            let (verdict, packet) = bench.run(&asked(addresses, &request));
            let after = realtime();
            assert_eq!(verdict, ANSWER, "{addresses:?}");
            let payload = &packet[header..];
            let asker = addresses[0].parse().unwrap();
            let Ok(Answer::Time(response)) = bench.responder.handle(&request, asker, before, end)
            else {
                panic!("the core does not answer");
            };
            let mut expected = response.emit(before);
            // Dispersion and stamps: what passed between two readings of the clock might show.
            expected[8..12].copy_from_slice(&payload[8..12]);
            expected[32..].copy_from_slice(&payload[32..]);
            let [dispersion, of_core] = [payload, &response.emit(after)[..]]
                .map(|answer| u32::from_be_bytes(answer[8..12].try_into().unwrap()));
            assert!(of_core - dispersion <= 1, "{of_core} {dispersion}");
            let [from, to] = addresses;
            let [client, server] = MACS;
            assert_eq!(packet, frame([to, from], [server, client], [123, 40_001], &expected));
            let slack = Span::from_micros(2);
            for at in [32, 40] {
                let stamp = stamp(payload, at);
                assert!((before + -slack..=after + slack).contains(&stamp), "{stamp:?} {before:?}");
            }
        }
    }
    assert_eq!(bench.counts(), [2, 2, 0, 0, 0]);
}

/// A sum that would be zero says that there is none: 65,536 stamps of clients meet each once.
#[test]
fn every_sum_is_right() {
    let mut bench = Bench::new();
    bench.publish(&published(ServedClock::Kernel), false);
    // The time of day of an answer stays what it is: only a slot with a rate of 0 repeats itself.
    let (mono, real) = both();
    let slot = slot(&mut bench.responder, &published(ServedClock::Kernel), mono, real, false);
    let slot = Slot { life: (1 << 32) - 1, rate: 0, ..slot };
    bench.shared.write(&slot);
    let mut request = request(4);
    let mut all_ones = 0;
    for low in 0..=u16::MAX {
        if low % 0x400 == 0 {
            bench.shared.write(&Slot { since: both().0.as_nanos(), ..slot });
        }
        request[46..].copy_from_slice(&low.to_be_bytes());
        let (_, packet) = bench.run(&asked(V6, &request));
        let (head, udp) = packet.split_at(54);
        assert_eq!(sum(&[&head[22..], &[0, 17, 0, 56], udp]), 0, "{low}");
        assert_ne!(udp[6..8], [0, 0]);
        all_ones += u32::from(udp[6..8] == [0xff, 0xff]);
    }
    assert!(all_ones > 0);
}

/// The software clock, which may be wrong as it likes and does not run as the host's.
#[test]
fn it_serves_the_clock_that_is_disciplined() {
    let mut bench = Bench::new();
    let (mono, real) = both();
    let at = truechimer_core::units::Now { mono, wall: real + Span::from_secs(1_000_000_000) };
    // 10 % fast, across the end of NTP's first era.
    let wall_gain = Span::from_nanos(Line::LENGTH.as_nanos() / 10);
    let line = Line { mono, at, counter_gain: Span::ZERO, wall_gain };
    let clock = ServedClock::Software(line);
    bench.publish(&published(clock), false);
    std::thread::sleep(std::time::Duration::from_millis(200));
    let before = clock.wall();
    let (verdict, packet) = bench.run(&asked(V4, &request(4)));
    let after = clock.wall();
    assert_eq!(verdict, ANSWER);
    let bits = u64::from_be_bytes(packet[82..].try_into().unwrap());
    let stamp = NtpTimestamp::from_bits(bits).unfold(before);
    let slack = Span::from_micros(3);
    assert!((before + -slack..=after + slack).contains(&stamp), "{stamp:?} {before:?} {after:?}");
}

/// Of the other it passes all.
#[test]
fn of_one_family() {
    let mut bench = Bench::new();
    for (ours, others) in [(V4, V6), (V6, V4)] {
        let addresses = [(ours[1].parse().unwrap(), 123)];
        bench.program = bpf::load(&program(&bench.shared, &addresses).unwrap()).unwrap();
        bench.publish(&published(ServedClock::Kernel), false);
        assert_eq!(bench.run(&asked(ours, &request(4))).0, ANSWER);
        assert_eq!(bench.run(&asked(others, &request(4))).0, PASS);
    }
}

/// What is not plain goes on unchanged.
#[test]
fn it_passes_on_what_it_is_not_sure_of() {
    let mut bench = Bench::new();
    bench.publish(&published(ServedClock::Kernel), true);
    let (four, six) = (asked(V4, &request(4)), asked(V6, &request(4)));
    let with = |packet: &[u8], at: usize, octet: u8| {
        let mut packet = packet.to_vec();
        packet[at] = octet;
        packet
    };
    let from = |from| asked([from, V4[1]], &request(4));
    let from_v6 = |from| asked([from, V6[1]], &request(4));
    let mode = |mode: u8| asked(V4, &[&[0x20 | mode][..], &[0; 47]].concat());
    let tagged = [&four[..12], &[0x81, 0, 0, 5], &four[12..]].concat();
    let group = [1, 0, 0x5e, 0, 1, 1];
    let ports = |ports| frame(V4, MACS, ports, &request(4));
    let option = {
        let mut packet = [&four[..34], &[1, 1, 1, 0], &four[34..]].concat();
        packet[14] = 0x46;
        packet
    };
    let foreign = [
        ("arp", with(&four, 13, 6)),
        ("a tag", tagged),
        ("options", option),
        ("a first fragment", with(&four, 20, 0x20)),
        ("a later fragment", with(&four, 21, 1)),
        ("tcp", with(&four, 23, 6)),
        ("tcp over IPv6", with(&six, 20, 6)),
        ("an extension header", with(&six, 20, 0)),
        ("an unknown IPv6", with(&six, 14, 0x50)),
        ("another address", asked([V4[0], "192.0.2.2"], &request(4))),
        ("another IPv6 address", asked([V6[0], "2001:db8::2"], &request(4))),
        ("an IPv6 address of another network", asked([V6[0], "2001:db9::1"], &request(4))),
        ("another port", ports([40_001, 124])),
        ("a short frame", four[..89].to_vec()),
        ("a short one of IPv6", six[..109].to_vec()),
    ];
    let other = [
        ("a long frame", [&four[..], &[0]].concat()),
        ("a long one of IPv6", [&six[..], &[0]].concat()),
        ("a key's number", asked(V4, &[&request(4)[..], &[0; 4]].concat())),
        ("an extension field", asked(V6, &[&request(4)[..], &[0; 28]].concat())),
        ("a wrong length", with(&four, 17, 75)),
        ("a wrong length of UDP", with(&four, 39, 57)),
        ("a wrong length of IPv6", with(&six, 19, 57)),
        ("a wrong sum", with(&four, 24, four[24] ^ 1)),
        ("of ours", from(V4[1])),
        ("of ours over IPv6", from_v6(V6[1])),
        ("of nobody", from("0.0.0.0")),
        ("of loopback", from("127.0.0.1")),
        ("of a group", from("224.0.1.1")),
        ("of all", from("255.255.255.255")),
        ("of a group of IPv6", from_v6("ff02::101")),
        ("of nobody over IPv6", from_v6("::")),
        ("of loopback over IPv6", from_v6("::1")),
        ("of an IPv4 in disguise", from_v6("::ffff:192.0.2.7")),
        ("to a group's MAC", frame(V4, [MACS[0], group], [40_001, 123], &request(4))),
        ("of a group's MAC", frame(V4, [group, MACS[1]], [40_001, 123], &request(4))),
        ("of port 0", ports([0, 123])),
        ("version 2", asked(V4, &request(2))),
        ("version 5", asked(V4, &request(5))),
        ("symmetric", mode(1)),
        ("an answer", mode(4)),
        ("a broadcast", mode(5)),
        ("a control message", mode(6)),
        ("mode 7", mode(7)),
    ];
    for (what, packet) in &foreign {
        assert_eq!(bench.run(packet), (PASS, packet.clone()), "{what}");
    }
    assert_eq!(bench.counts(), [0; 5], "what is for somebody else is not counted");
    for (place, (what, packet)) in other.iter().enumerate() {
        assert_eq!(bench.run(packet), (PASS, packet.clone()), "{what}");
        assert_eq!(bench.counts(), [0, 0, place as u64 + 1, 0, 0], "{what}");
    }
    // Of the same kind, but answered.
    for packet in [&four, &six, &ports([123, 123]), &asked([V4[0], OURS[2]], &request(4))] {
        assert_eq!(bench.run(packet).0, ANSWER);
    }
}

#[test]
fn what_may_be_interleaved_is_for_others() {
    let mut bench = Bench::new();
    let published = published(ServedClock::Kernel);
    let with = |origin: bool, receive: &[u8; 8]| {
        let mut request = request(4);
        request[24..32].copy_from_slice(&[u8::from(origin); 8]);
        request[32..40].copy_from_slice(receive);
        asked(V4, &request)
    };
    let interleaved = with(true, b"received");
    for (is_on, packet, verdict) in [
        (true, &interleaved, PASS),
        (true, &with(true, b"transmit"), ANSWER),
        (true, &with(false, b"received"), ANSWER),
        (false, &interleaved, ANSWER),
    ] {
        bench.publish(&published, is_on);
        assert_eq!(bench.run(packet).0, verdict);
    }
    assert_eq!(bench.counts(), [0, 3, 0, 1, 0]);
}

/// Nothing is served that is not true for some time to come.
#[test]
fn no_time_no_answer() {
    let mut bench = Bench::new();
    let packet = asked(V4, &request(4));
    let mut passed = 0;
    let mut passes = |bench: &Bench, what: &str| {
        passed += 1;
        assert_eq!(bench.run(&packet), (PASS, packet.clone()), "{what}");
        assert_eq!(bench.counts()[4], passed, "{what}");
    };
    passes(&bench, "before the first time");
    let right = published(ServedClock::Kernel);
    let slot = bench.publish(&right, false);
    bench.shared.write(&Slot { since: slot.since - slot.life, ..slot });
    passes(&bench, "it was true until now");
    bench.shared.write(&Slot { since: slot.since + 3_600_000_000_000, ..slot });
    passes(&bench, "it will be true");

    let (mono, _) = both();
    let unsynchronised = Published { system: SystemState::unsynchronised(-20, mono), ..right };
    bench.publish(&unsynchronised, false);
    passes(&bench, "not synchronised");
    let mut doubtful = right;
    doubtful.system.root_dispersion = Policy::default().max_error;
    for beyond in [Beyond::Silence, Beyond::Unsynchronised] {
        let policy = Policy { beyond, ..serve().policy };
        bench.responder = responder(&Serve { policy, ..serve() }, [7; 32]);
        bench.publish(&doubtful, false);
        passes(&bench, "beyond the limit");
    }
    let orphan = Some(Orphan { stratum: 9, wait: Span::ZERO });
    let policy = Policy { orphan, ..serve().policy };
    bench.responder = responder(&Serve { policy, ..serve() }, [7; 32]);
    bench.publish(&unsynchronised, false);
    let (verdict, answer) = bench.run(&packet);
    assert_eq!((verdict, answer[43]), (ANSWER, 9), "an orphan serves");
}

#[test]
fn a_leap_second_is_for_others() {
    let mut responder = responder(&serve(), [7; 32]);
    let mono = Instant::from_nanos(1_000_000_000_000);
    let midnight = WallTime::from_unix(1_483_228_800, 0);
    let mut is_quiet = |leap, before: i64| {
        let mut published = published(ServedClock::Kernel);
        (published.system.leap, published.system.updated) = (leap, mono);
        let real = midnight + Span::from_secs(-before);
        slot(&mut responder, &published, mono, real, false).life > 0
    };
    for leap in [LeapIndicator::AddSecond, LeapIndicator::DeleteSecond] {
        assert!(is_quiet(leap, 11) && is_quiet(leap, 3_600) && is_quiet(leap, 0));
        assert!(!is_quiet(leap, 10) && !is_quiet(leap, 1));
    }
    assert!(is_quiet(LeapIndicator::NoWarning, 1));
    assert!(!is_quiet(LeapIndicator::Alarm, 3_600));
}

/// The slot that holds is never the one that is written, and after the last comes the first.
#[test]
fn slots_in_turn() {
    let mut bench = Bench::new();
    let packet = asked(V4, &request(4));
    let slot = bench.publish(&published(ServedClock::Kernel), false);
    for stratum in 1..=40 {
        let mut template = slot.template;
        let mut first = template[0].to_ne_bytes();
        first[1] = stratum;
        template[0] = u64::from_ne_bytes(first);
        bench.shared.write(&Slot { template, ..slot });
        assert_eq!(bench.run(&packet).1[43], stratum);
    }
}

#[test]
fn it_is_told_what_is_new_and_each_second() {
    let mut xdp = Xdp {
        shared: Shared::new().expect("only root may"),
        _links: Vec::new(),
        responder: Box::new(responder(&serve(), [7; 32])),
        interleaved: false,
        told: None,
    };
    assert_eq!(xdp.left(), Span::ZERO);
    let first = published(ServedClock::Kernel);
    xdp.publish(&first);
    let told = xdp.told.unwrap().0;
    assert!(xdp.left() > Span::ZERO && xdp.left() <= INTERVAL);
    xdp.publish(&first);
    assert_eq!(xdp.told.unwrap().0, told);
    xdp.publish(&Published { steps: 1, ..first });
    assert!(xdp.told.unwrap().0 > told);
    let told = xdp.told.unwrap().0 + -INTERVAL;
    xdp.told = Some((told, Published { steps: 1, ..first }));
    xdp.publish(&Published { steps: 1, ..first });
    assert!(xdp.told.unwrap().0 > told + INTERVAL);
}

#[test]
fn only_where_time_is_served() {
    let listen = |address: Option<&str>| Listen {
        address: address.map(|text| text.parse().unwrap()),
        port: 123,
    };
    let loopback = |listen: &[Listen]| served("lo", listen).unwrap();
    let four = (IpAddr::V4(Ipv4Addr::LOCALHOST), 123);
    assert!(loopback(&[listen(None)]).contains(&four));
    assert_eq!(loopback(&[listen(Some("0.0.0.0"))]), [four]);
    assert_eq!(loopback(&[listen(Some("127.0.0.1"))]), [four]);
    assert_eq!(loopback(&[listen(Some("127.0.0.2")), listen(Some("192.0.2.1"))]), []);
    assert!(!loopback(&[listen(Some("::"))]).contains(&four));
    assert!(covers(&listen(Some("::")), Ipv6Addr::LOCALHOST.into()));
}
