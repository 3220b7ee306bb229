//! Odd replies, over a while: what single datagrams do is in the module above.

use super::world::{Server, World};
use crate::config::{Config, PeerConfig};
use crate::peer::Reject;
use crate::select::Standing;
use crate::server::{Verdict, respond};
use crate::units::{NtpTimestamp, Span};
use crate::wire::{Header, KissCode, ReferenceId};

fn world(server: Server) -> World {
    World::new(&Config::default(), Span::ZERO).ask([server])
}

#[test]
fn a_server_may_hide_its_reference_time() {
    let tweak = |header: &mut Header| header.reference_time = NtpTimestamp::ZERO;
    let mut world = world(Server { tweak, ..Server::new(1) });
    world.run_secs(300);
    assert_eq!(world.rejects, []);
    assert!(world.snapshot().synced);
}

/// A server that reads its clock in milliseconds, over a way of 0.3 ms: the tick between its
/// reception and its reply is longer than that.
#[test]
fn a_negative_delay_within_the_precision_is_none() {
    let tweak = |header: &mut Header| {
        let millisecond = (1 << 32) / 1_000;
        let tick = header.transmit_time.to_bits() / millisecond * millisecond;
        header.precision = -10;
        header.receive_time = NtpTimestamp::from_bits(tick);
        header.reference_time = header.receive_time;
        header.transmit_time = NtpTimestamp::from_bits(tick + millisecond);
    };
    let server = Server { tweak, ..Server::new(1) }.round_trip(Span::from_micros(300));
    let mut world = world(server);
    world.watch(3_600, World::assert_claims_hold);
    assert_eq!(world.rejects, []);
    assert!(world.snapshot().synced);
}

#[test]
fn a_negative_delay_beyond_it_is_told_and_forgiven() {
    let mut world = world(Server::new(1));
    world.run_secs(2_000);
    world.servers[0].tweak = |header| {
        let early = header.receive_time.to_bits() - (1 << 32) / 16;
        header.receive_time = NtpTimestamp::from_bits(early);
    };
    let before = world.queries.len();
    while world.queries.len() == before {
        world.run_secs(1);
    }
    world.servers[0].tweak = |_| ();
    world.run_secs(3_600);
    assert_eq!(world.told("reply from 192.0.2.1: negative delay -0.0525"), 1);
    assert_eq!((world.told("negative delay"), world.rejects.len()), (1, 1));
    assert_eq!((world.told("now invalid"), world.told("now unsynced")), (0, 0));
    assert!(world.queries.len() > before + 2, "it is asked again");
}

/// This clock would be of stratum 16 itself, which means unsynchronised.
#[test]
fn a_server_of_stratum_15_is_not_followed() {
    let mut world = world(Server { tweak: |header| header.stratum = 15, ..Server::new(1) });
    world.run_secs(3_600);
    assert_eq!(world.peer(0).standing, Standing::Unsynchronised);
    assert_eq!(world.commands, []);
    assert!(!world.snapshot().synced);
    world.servers[0].tweak = |header| header.stratum = 14;
    world.run_secs(3_600);
    assert!(world.snapshot().synced);
    let system = world.snapshot().system;
    assert_eq!(system.stratum, 15);
    let mut query = [0; Header::LEN];
    query[0] = 0x23;
    let now = world.now();
    let answer = respond(&system, &query, now.wall, now.mono, Verdict::Answer).unwrap();
    assert_eq!(answer.emit(now.wall)[..2], [0x24, 15]);
}

/// Told again and again to slow down, until it is left in peace.
fn slows_down(max_poll: i8, longest: f64) {
    let mut world = World::new(&Config::default(), Span::ZERO);
    let server = Server {
        tweak: |header| {
            header.stratum = 0;
            header.reference_id = ReferenceId::from_bytes(KissCode::RATE.to_bytes());
        },
        ..Server::new(1)
    };
    world.servers.push(server);
    let address = Some(server.address);
    world.add_peer(&PeerConfig { address, max_poll, ..PeerConfig::default() }, &[]);
    world.run_secs(100_000);
    let last = world.queries.len();
    assert!(last > 10);
    let gaps = || world.queries.windows(2).map(|pair| pair[1].0 - pair[0].0);
    assert!(gaps().all(|gap| gap <= longest * 1.02), "{:?}", gaps().fold(0.0, f64::max));
    let kisses = [Reject::Kiss(KissCode::RATE)];
    assert!(world.rejects.iter().all(|(_, reason)| kisses.contains(reason)));
    assert_eq!(world.peer(0).interval, Span::from_log2_secs(max_poll.max(10)));
    world.servers[0].tweak = |_| ();
    world.run_secs(20_000);
    assert!(world.snapshot().synced, "{:?}", world.events);
}

#[test]
fn rate_kisses_slow_down_within_bounds() {
    // OpenNTPD's error interval is the longest pause, unless the peer's own interval is longer.
    slows_down(10, 1_200.0);
    slows_down(6, 1_200.0);
    slows_down(12, 4_096.0);
}
