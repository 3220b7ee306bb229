extern crate std;

use core::net::{IpAddr, Ipv4Addr};
use std::string::ToString;
use std::vec::Vec;

use super::*;

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const MALFORMED: Event<'static> = Event::MalformedPacket { address: ADDRESS };
const HOUR: u64 = 3_600;

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

/// The lines of a flood of one kind, a thousand a second for so many seconds, and the counts told.
fn flood(limiter: &mut Limiter, event: &Event<'_>, secs: u64) -> (u64, Vec<u64>) {
    let (mut lines, mut counts) = (0, Vec::new());
    for millis in 0..secs * 1_000 {
        let now = at(millis);
        while let Some(Event::MessagesSuppressed { count, name }) = limiter.tell(now) {
            assert_eq!(name, event.name());
            counts.push(count);
        }
        lines += u64::from(limiter.admit(event, now));
    }
    (lines, counts)
}

#[test]
fn a_flood_leaves_a_burst_and_a_count_a_minute() {
    let mut limiter: Limiter = Limiter::default();
    let (lines, counts) = flood(&mut limiter, &MALFORMED, 600);
    assert_eq!(lines, 8);
    assert_eq!(counts.len(), 9);
    assert_eq!(counts[0], 60_000);
    let due = limiter.deadline().unwrap();
    assert_eq!(limiter.tell(due + -Span::from_nanos(1)), None);
    let Some(Event::MessagesSuppressed { count, .. }) = limiter.tell(due) else { panic!() };
    assert_eq!(lines + counts.iter().sum::<u64>() + count, 600_000, "none is lost");
    assert_eq!((limiter.tell(at(HOUR * 1_000)), limiter.deadline()), (None, None));
    assert!(limiter.admit(&MALFORMED, at(HOUR * 1_000)), "quiet makes room again");
}

#[test]
fn kinds_do_not_hold_each_other_back_until_all_are_too_many() {
    let events = [
        Event::PeerValid { address: ADDRESS },
        Event::PeerInvalid { address: ADDRESS },
        Event::PeersValid { valid: 1, all: 2 },
        Event::Sendto,
        Event::ClientQuerySocket,
        MALFORMED,
    ];
    let mut limiter: Limiter = Limiter::default();
    let mut lines = |event: &Event<'_>| (0..1_000).filter(|_| limiter.admit(event, at(0))).count();
    let admitted: Vec<_> = events.iter().map(&mut lines).collect();
    assert_eq!(admitted, [64, 64, 64, 64, 0, 0]);
    let told: u64 = core::iter::from_fn(|| limiter.tell(at(60_000)))
        .map(|event| match event {
            Event::MessagesSuppressed { count, .. } => count,
            other => panic!("{other}"),
        })
        .sum();
    assert_eq!(told, 6_000 - 256);
}

#[test]
fn what_the_host_does_itself_is_not_limited() {
    let mut limiter: Limiter = Limiter::default();
    for _ in 0..1_000 {
        assert!(limiter.admit(&Event::ClockSynced, at(0)));
        assert!(limiter.admit(&Event::EngineReady, at(0)));
    }
    assert_eq!(limiter.deadline(), None);
}

/// Whatever the events and their times, so many lines come in a time and no more.
#[test]
fn no_mixture_passes_the_bound() {
    let kinds = super::super::tests::samples();
    let limited: Vec<_> = kinds
        .iter()
        .map(|sample| sample.0)
        .filter(|event| limit::<ALL_KINDS>(event).is_some())
        .collect();
    assert!(
        limited
            .iter()
            .all(|event| limit::<ALL_KINDS>(event).is_some_and(|(name, _)| name == event.name()))
    );
    assert!((10..=ALL_KINDS).contains(&limited.len()), "{}", limited.len());
    let mut limiter: Limiter = Limiter::default();
    let (mut lines, mut counts, mut state) = (0, 0, 1_u64);
    for millis in 0..HOUR * 100 {
        let now = at(millis * 10);
        counts += core::iter::from_fn(|| limiter.tell(now)).count();
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        let event = &limited[(state >> 33) as usize % limited.len()];
        lines += u64::from(limiter.admit(event, now));
    }
    assert!(lines <= 256 + HOUR / 6, "{lines} lines");
    assert!(counts <= 60 * limited.len(), "{counts} counts");
    let counted = Event::MessagesSuppressed { count: 3, name: MALFORMED.name() };
    assert_eq!(counted.to_string(), "3 messages suppressed: MalformedPacket");
}

/// As from a process that looks names up and was taken over.
#[test]
fn answers_that_nobody_wants_are_few_lines() {
    for event in [Event::HostDnsInvalidPeer, Event::HostDnsAddressKnown] {
        assert_eq!(flood(&mut <Limiter>::default(), &event, 60).0, 8);
    }
}
