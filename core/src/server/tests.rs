use super::*;
use crate::system::Reference;
use crate::units::FreqOffset;
use crate::wire::{LeapIndicator, ReferenceId};
use core::net::Ipv4Addr;
use proptest::prelude::*;

fn state() -> SystemState {
    SystemState {
        leap: LeapIndicator::AddSecond,
        stratum: 3,
        precision: -23,
        root_delay: Span::from_millis(20),
        root_dispersion: Span::from_millis(5),
        drift: FreqOffset::from_ppm(15),
        reference: Reference::Id(ReferenceId::from_ipv4(Ipv4Addr::new(192, 0, 2, 1))),
        reference_time: WallTime::from_unix(1_800_000_000, 0),
        updated: Instant::from_nanos(1_000_000_000),
    }
}

/// Mode 3 of version 4 that polls every 64 s, its transmit stamp all ones.
fn request() -> [u8; 48] {
    let mut bytes = [0; 48];
    bytes[0] = 0x23;
    bytes[2] = 6;
    bytes[40..].fill(0xff);
    bytes
}

const RECEIVE: WallTime = WallTime::from_unix(1_800_000_010, 500_000_000);
const TRANSMIT: WallTime = WallTime::from_unix(1_800_000_010, 750_000_000);
const NOW: Instant = Instant::from_nanos(101_000_000_000);

#[test]
fn tells_the_truth_about_itself() {
    let response = respond(&state(), &request(), RECEIVE, NOW, Verdict::Answer).unwrap();
    let bytes = response.emit(TRANSMIT);
    // LI 1, VN 4, mode 4; stratum 3; poll 6; precision -23.
    assert_eq!(bytes[..4], [0x64, 3, 6, 0xe9]);
    // 20 ms and 5 ms + 100 s · 15 ppm = 6.5 ms, rounded up in units of 2^-16 s.
    assert_eq!(bytes[4..8], 1_311u32.to_be_bytes());
    assert_eq!(bytes[8..12], 426u32.to_be_bytes());
    assert_eq!(bytes[12..16], [192, 0, 2, 1]);
    assert_eq!(bytes[24..32], [0xff; 8]);
    let seconds = 1_800_000_010u32 + 2_208_988_800;
    assert_eq!(bytes[32..36], seconds.to_be_bytes());
    assert_eq!(bytes[36..40], [0x80, 0, 0, 0]);
    assert_eq!(bytes[40..44], seconds.to_be_bytes());
    assert_eq!(bytes[44..48], [0xc0, 0, 0, 0]);
}

#[test]
fn symmetric_active_gets_symmetric_passive() {
    let mut request = request();
    request[0] = 0x19; // version 3, mode 1
    let bytes = respond(&state(), &request, RECEIVE, NOW, Verdict::Answer).unwrap().emit(TRANSMIT);
    assert_eq!(bytes[0], 0x5a);
}

#[test]
fn unsynchronised_gives_no_time_to_set_by() {
    let state = SystemState::unsynchronised(-20, NOW);
    let bytes = respond(&state, &request(), RECEIVE, NOW, Verdict::Answer).unwrap().emit(TRANSMIT);
    assert_eq!((bytes[0], bytes[1]), (0xe4, 0));
    assert_eq!(&bytes[12..16], b"INIT");
    assert_eq!(bytes[16..24], [0; 8]);
}

#[test]
fn kisses_on_request() {
    let verdict = Verdict::Kiss(KissCode::RATE);
    let bytes = respond(&state(), &request(), RECEIVE, NOW, verdict).unwrap().emit(TRANSMIT);
    assert_eq!((bytes[0], bytes[1]), (0xe4, 0));
    assert_eq!(&bytes[12..16], b"RATE");
    assert_eq!(bytes[24..32], [0xff; 8]);
}

#[test]
fn only_queries_are_answered() {
    for mode in 0..8u8 {
        let mut request = request();
        request[0] = 0x20 | mode;
        let answered = respond(&state(), &request, RECEIVE, NOW, Verdict::Answer).is_ok();
        assert_eq!(answered, mode == 1 || mode == 3, "mode {mode}");
    }
    for version in 0..8u8 {
        let mut request = request();
        request[0] = version << 3 | 3;
        let answered = respond(&state(), &request, RECEIVE, NOW, Verdict::Answer).is_ok();
        assert_eq!(answered, version == 3 || version == 4, "version {version}");
    }
    let mut authenticated = [0; 68];
    authenticated[..48].copy_from_slice(&request());
    let response = respond(&state(), &authenticated, RECEIVE, NOW, Verdict::Answer);
    assert_eq!(response, Err(Refusal::Authentication));
    let short = respond(&state(), &request()[..47], RECEIVE, NOW, Verdict::Answer);
    assert_eq!(short, Err(Refusal::Malformed));
}

proptest! {
    #[test]
    fn never_answers_with_more_than_was_asked(request in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(response) = respond(&state(), &request, RECEIVE, NOW, Verdict::Answer) {
            prop_assert!(response.emit(TRANSMIT).len() <= request.len());
        }
    }
}
