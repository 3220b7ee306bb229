//! Whether what the engine says of its clock is true, and for how long it says so.

use super::world::{Server, World};
use crate::config::Config;
use crate::units::{FreqOffset, NtpShort, Span};
use crate::wire::Header;

/// Of a server that does not claim much.
fn vague(header: &mut Header) {
    header.root_dispersion = NtpShort::from_span(Span::from_secs(1));
}

#[test]
fn a_vague_server_makes_no_flapping() {
    let config = Config { step_threshold: Span::from_secs(10), ..Config::default() };
    for millis in [-700, -400, 0, 400, 700] {
        let mut world = World::new(&config, Span::from_millis(millis))
            .ask([Server { tweak: vague, ..Server::new(1) }]);
        world.run_secs(4_000);
        let told = (world.told("now synced"), world.told("now unsynced"));
        assert_eq!(told, (1, 0), "{millis} ms ahead: {:?}", world.events);
    }
}

/// A clock found a little wrong is corrected; it is unsynchronised only when it is far off.
#[test]
fn only_a_large_error_ends_synchronisation() {
    for (jump, unsynced) in [(20, 0), (100, 0), (200, 1)] {
        let mut world = World::new(&Config::default(), Span::ZERO).ask([Server::new(1)]);
        world.run_secs(2_000);
        world.servers[0].lie = Span::from_millis(jump);
        world.run_secs(4_000);
        let told = (world.told("now synced"), world.told("now unsynced"));
        assert_eq!(told, (1 + unsynced, unsynced), "after a jump of {jump} ms");
        assert!(world.snapshot().synced);
    }
}

/// With a known frequency the bound grows by 15 ppm: 1.5 s are a day and more.
#[test]
fn silence_ends_synchronisation_once() {
    let mut world = World::drifting(&Config::default(), 80).ask([Server::new(1)]);
    world.run_secs(40_000);
    world.servers[0].alive = false;
    world.run_secs(86_400);
    assert_eq!(world.told("now unsynced"), 0);
    world.run_secs(86_400);
    assert_eq!(world.told("now unsynced"), 1);
    let since = world.told_at("now unsynced").unwrap() - 40_000.0;
    assert!((90_000.0..100_000.0).contains(&since), "after {since} s");
    assert!(!world.snapshot().system.is_synchronised());
    // Its trust has gone, too: six answers at the longest interval bring it back.
    world.servers[0].alive = true;
    world.run_secs(8_000);
    assert!(world.snapshot().synced);
}

/// Little is known of the frequency then.
#[test]
fn silence_after_four_answers_is_survived_honestly() {
    for round_trip in [1, 20, 30, 100] {
        for ppm in [80, -80] {
            let server = Server::new(1).round_trip(Span::from_millis(round_trip));
            let mut world = World::drifting(&Config::default(), ppm).ask([server]);
            world.run_secs(7);
            assert!(world.snapshot().synced, "{round_trip} ms");
            world.servers[0].alive = false;
            world.watch(50_000, World::assert_claims_hold);
        }
    }
}

#[test]
fn no_path_is_shorter_than_what_can_be_measured() {
    let server = Server::new(1).round_trip(Span::ZERO);
    let mut world = World::drifting(&Config::default(), 0).ask([server]);
    world.run_secs(60);
    let system = world.snapshot().system;
    let announced = NtpShort::from_span(Span::from_millis(1)).to_span();
    assert!(
        system.root_delay >= announced + Span::from_log2_secs(system.precision),
        "{}",
        system.root_delay
    );
}

/// Late and lost packets, more of them on the way back, and servers that are wrong by as much as
/// they admit.
fn claims_hold(servers: [Server; 3], oscillator: i32, hours: u32) {
    let mut world = World::drifting(&Config::default(), oscillator).ask(servers);
    world.watch(60, World::assert_claims_hold);
    let mut synced = 0;
    world.watch(hours * 3_600, |world| {
        world.assert_claims_hold();
        synced += u32::from(world.snapshot().synced);
    });
    assert_eq!(synced, hours * 3_600, "synchronised from the first minute on");
    let system = world.snapshot().system;
    assert!(system.root_delay < Span::from_millis(15), "{}", system.root_delay);
    let frequency = world.snapshot().frequency + FreqOffset::from_ppm(oscillator);
    assert!(frequency.abs() < FreqOffset::from_ppm(1), "off by {frequency} ppm");
}

fn wrong_by_micros(number: u8, lie: i64, loss_percent: u32, queues: [i64; 2]) -> Server {
    Server {
        lie: Span::from_micros(lie),
        loss_percent,
        queues: queues.map(Span::from_micros),
        ..Server::new(number)
    }
}

#[test]
fn claims_hold_with_late_and_lost_packets() {
    for oscillator in [0, 50, -120] {
        let servers = [
            wrong_by_micros(1, 0, 10, [500, 2_000]),
            wrong_by_micros(2, 1_000, 30, [200, 5_000]),
            wrong_by_micros(3, -1_000, 0, [3_000, 100]),
        ];
        claims_hold(servers, oscillator, 6);
    }
}

#[test]
fn claims_hold_on_lopsided_ways() {
    let lopsided = |number, millis: [i64; 2]| Server {
        delay: millis.map(Span::from_millis),
        ..wrong_by_micros(number, 0, 20, [300, 300])
    };
    let servers = [lopsided(1, [9, 1]), lopsided(2, [9, 1]), lopsided(3, [10, 1])];
    claims_hold(servers, 30, 6);
}
