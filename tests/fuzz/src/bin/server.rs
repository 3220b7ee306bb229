//! A server and whatever comes to it: the first octets are its configuration, and then come datagrams,
//! each after its length and from whom it is.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libfuzzer_sys::fuzz_target;
use truechimer_core::server::{
    Access, AccessList, Answer, Beyond, ClientSet, Config, OpenServer, Prefix, RateLimit, Server,
    Smear, StampSet, Verdict, respond,
};
use truechimer_core::system::SystemState;
use truechimer_core::units::{Instant, Now, Span, WallTime};
use truechimer_core::wire::{KissCode, LeapIndicator, Mode};
use truechimer_fuzz::{Octets, plant};

/// The most that a control message brings about (RFC 9327 §2).
const MAX_CONTROL: usize = 480;
const SECOND: Span = Span::from_secs(1);
/// A leap second comes three seconds later.
const START: WallTime = WallTime::from_unix(1_830_297_597, 0);

type Tables = Server<[ClientSet; 1], [StampSet; 1], 8>;

fuzz_target!(init: plant(seeds()), |data: &[u8]| {
    let mut octets = Octets(data);
    let (Some(options), Some(flags)) = (octets.octet(), octets.octet()) else { return };
    let mut now = Now { mono: Instant::from_nanos(1), wall: START };
    let state = state(flags, now);
    let mut server = server(options);
    server.update(&state, now);
    let mut open = OpenServer::new([StampSet::EMPTY; 1], [7; 32]);
    open.update(&state);
    while let (Some(who), Some(request)) = (octets.octet(), octets.piece()) {
        ask(&mut server, &state, address(who), request, now);
        ask_appliance(&mut open, address(who), request, now);
        let pause = Span::from_millis(i64::from(who) * 16);
        now = Now { mono: now.mono + pause, wall: now.wall + pause };
        if who == 0 {
            server.stepped();
            server.update(&state, now);
            open.stepped();
        }
    }
});

fn ask(server: &mut Tables, state: &SystemState, from: IpAddr, request: &[u8], now: Now) {
    let mode = request.first().map(|flags| flags & 0b111);
    let was = *server.counters();
    let replied = match server.handle(request, from, now.wall, now.mono) {
        Ok(answer @ Answer::Time(response)) => {
            // Those who ask, ask so.
            assert!(mode == Some(Mode::Client as u8) || mode == Some(Mode::SymmetricActive as u8));
            server.sent(&answer, Some(now.wall + Span::from_micros(1)));
            let bytes = response.emit(now.wall + Span::from_micros(2));
            assert!(bytes.len() <= request.len());
            bytes.to_vec()
        }
        Ok(Answer::Control(query)) => {
            assert_eq!(mode, Some(Mode::Control as u8));
            assert!(from.is_loopback(), "others may not ask that");
            assert_eq!(request[1] & 0x80, 0, "that was an answer");
            let packet = server.control(&query, now);
            assert!(packet.len() <= MAX_CONTROL);
            packet.to_vec()
        }
        Err(_) => return,
    };
    assert_eq!(server.counters().received, was.received + 1);
    let answer = server.handle(&replied, from, now.wall, now.mono);
    assert!(answer.is_err(), "an answer is answered: two servers would go on for ever");
    // Without memory of who asked it is the same, or why not.
    let verdict = if from.is_loopback() { Verdict::Answer } else { Verdict::Kiss(KissCode::RATE) };
    if let Ok(response) = respond(state, request, now.wall, now.mono, verdict) {
        let bytes = response.emit(now.wall);
        assert!(bytes.len() <= request.len());
        assert_eq!(bytes[24..32], request[40..48]);
    }
}

fn ask_appliance(server: &mut OpenServer<[StampSet; 1]>, from: IpAddr, request: &[u8], now: Now) {
    let Ok(response) = server.handle(request, from, now.wall, now.mono) else { return };
    server.sent(&response, now.wall + Span::from_micros(1));
    let bytes = response.emit(now.wall + Span::from_micros(2));
    assert!(bytes.len() <= request.len());
    assert!(server.handle(&bytes, from, now.wall, now.mono).is_err(), "an answer is answered");
}

fn server(options: u8) -> Tables {
    let has = |bit: u8| options & 1 << bit != 0;
    let smear = Smear { window: SECOND.times(2), ..Smear::default() };
    let config = Config {
        interleaved: has(0),
        rate: has(1).then(RateLimit::default),
        kiss_one_in: u32::from(options >> 6),
        beyond: if has(2) { Beyond::Silence } else { Beyond::Unsynchronised },
        smear: has(3).then_some(smear),
        ..Config::default()
    };
    let denied = Prefix::new(Ipv4Addr::new(192, 0, 2, 0).into(), 25).unwrap();
    let local = Prefix::new(Ipv4Addr::new(127, 0, 0, 0).into(), 8).unwrap();
    let access = AccessList::new(Access::Allow, &[(denied, Access::Deny)]).unwrap();
    let control = AccessList::new(Access::Deny, &[(local, Access::Allow)]).unwrap();
    let tables = ([ClientSet::EMPTY; 1], [StampSet::EMPTY; 1]);
    Server::new(&config, access, control, tables.0, tables.1, [7; 32])
}

fn state(flags: u8, now: Now) -> SystemState {
    let leaps = [LeapIndicator::NoWarning, LeapIndicator::AddSecond, LeapIndicator::DeleteSecond];
    SystemState {
        leap: leaps[usize::from(flags) % leaps.len()],
        stratum: flags >> 3 & 0x1f,
        root_dispersion: SECOND.times(i64::from(flags & 4)),
        ..SystemState::unsynchronised(-20, now.mono)
    }
}

fn address(who: u8) -> IpAddr {
    match who % 4 {
        0 => Ipv4Addr::LOCALHOST.into(),
        1 => Ipv4Addr::new(192, 0, 2, who).into(),
        2 => Ipv4Addr::new(198, 51, 100, who).to_ipv6_mapped().into(),
        _ => Ipv6Addr::new(0x2001, 0xdb8, 0, who.into(), 0, 0, 0, 1).into(),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let request =
        |flags: u8, more: &[u8]| [&[flags], &[0; 23][..], &[1; 8], &[2; 8], &[3; 8], more].concat();
    let control = [&[0b00_010_110, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7][..], b"leap, clock\0"].concat();
    let field = [&[1, 4, 0, 28][..], &[0; 24]].concat();
    let all = [
        request(0b00_100_011, &[]),
        request(0b00_011_001, &[]),
        request(0b00_100_011, &field),
        request(0b00_100_011, &[0, 0, 0, 1]),
        request(0b00_100_100, &[]),
        control,
    ];
    let asked = all
        .iter()
        .zip([0, 1, 2, 3, 128, 4])
        .flat_map(|(request, who)| [&[who, request.len() as u8], &request[..]].concat());
    let asked: Vec<u8> = asked.collect();
    [0u8, 0b0100_0011, 0b1100_1111].map(|options| [&[options, 0x11], &asked[..]].concat()).into()
}
