//! What is done to the clock: steps, slews, frequency; and clocks that do not do as they are told.

use core::net::SocketAddr;
use std::string::ToString;
use std::vec::Vec;

use super::Bench;
use super::world::{Fault, Server, World};
use crate::clock::{ClockCommand, ClockError};
use crate::config::Config;
use crate::units::{FreqOffset, Span, WallTime};

const MILLISECOND: Span = Span::from_millis(1);

fn is_step(command: &ClockCommand) -> bool {
    matches!(command, ClockCommand::Step(_))
}

fn is_adjust(command: &ClockCommand) -> bool {
    matches!(command, ClockCommand::Adjust { .. })
}

fn ends_slew(command: &ClockCommand) -> bool {
    matches!(command, ClockCommand::Adjust { slew: FreqOffset::ZERO, .. })
}

/// A right clock whose oscillator is 80 ppm fast, which is known.
fn known_drift() -> World {
    let config = Config { frequency: FreqOffset::from_ppm(-80), ..Config::default() };
    World::drifting(&config, 80)
}

fn frequency_is_kept(world: &World, tolerance_ppm: f64) {
    let frequency = world.snapshot().frequency.as_ppm();
    assert!((frequency + 80.0).abs() < tolerance_ppm, "{frequency} ppm after {} s", world.time());
}

#[test]
fn a_known_frequency_survives_the_first_samples() {
    let queues = [Span::from_micros(100), Span::from_micros(300)];
    let mut world = known_drift().ask([Server { queues, ..Server::new(1) }]);
    world.watch(60, |world| frequency_is_kept(world, 40.0));
}

#[test]
fn a_learned_frequency_survives_a_jump_of_the_server() {
    let mut world =
        World::drifting(&Config::default(), 80).ask([Server::new(1).round_trip(MILLISECOND)]);
    world.run_secs(20_000);
    frequency_is_kept(&world, 0.1);
    world.servers[0].lie = Span::from_millis(5);
    let before = world.queries.len();
    world.watch(4_000, |world| frequency_is_kept(world, 5.0));
    let [seen, next] = world.queries[before..][..2] else { panic!("{:?}", world.queries) };
    let waited = next.0 - seen.0;
    assert!(waited < 66.0, "after the surprise the next query came after {waited} s");
    let left = world.error() - Span::from_millis(5);
    assert!(left.abs() < Span::from_micros(100), "{left}");
}

#[test]
fn a_step_that_fails_is_tried_again() {
    let far = Span::from_secs(-100);
    let mut world = World::new(&Config::default(), far).ask([Server::new(1)]);
    world.fault = Some(Fault { which: is_step, error: ClockError::Os(4), times: 1 });
    world.run_secs(60);
    assert_eq!((world.told("settimeofday"), world.told("set local clock to")), (1, 1));
    assert!(world.error().abs() < MILLISECOND, "{}", world.error());
}

#[test]
fn a_slew_whose_end_fails_once_ends_all_the_same() {
    let behind = Span::from_millis(-50);
    let mut world = World::new(&Config::default(), behind).ask([Server::new(1)]);
    world.fault = Some(Fault { which: ends_slew, error: ClockError::Os(4), times: 1 });
    // The server falls silent, so that no sample puts it right.
    world.run_secs(10);
    world.servers[0].alive = false;
    world.watch(3_600, World::assert_claims_hold);
    assert_eq!(world.told("adjfreq failed"), 1);
    assert!(world.error().abs() < Span::from_millis(10), "{}", world.error());
    let frequency = world.snapshot().frequency;
    assert!(frequency.abs() < FreqOffset::from_ppm(1), "{frequency} ppm");
}

#[test]
fn a_clock_that_refuses_is_not_called_right() {
    let mut world = World::drifting(&Config::default(), 100).ask([Server::new(1)]);
    let os = ClockError::Os(22);
    world.fault = Some(Fault { which: is_adjust, error: os, times: usize::MAX });
    world.watch(50_000, World::assert_claims_hold);
    assert!(world.error() > Span::from_secs(4));
    assert!(!world.snapshot().synced);
}

#[test]
fn a_clock_that_begins_to_refuse_is_not_called_right() {
    let mut world = World::drifting(&Config::default(), 100).ask([Server::new(1)]);
    world.run_secs(10);
    let os = ClockError::Os(22);
    world.fault = Some(Fault { which: is_adjust, error: os, times: usize::MAX });
    world.watch(50_000, World::assert_claims_hold);
    assert!(world.told("adjfreq failed") > 10 && world.told("adjtime failed") > 10);
}

/// As a kernel whose frequency goes no further than 500 ppm.
#[test]
fn a_clock_that_cannot_go_fast_enough_is_not_called_right() {
    let mut world = World::drifting(&Config::default(), 700).ask([Server::new(1)]);
    world.max_rate = FreqOffset::from_ppm(500);
    world.watch(20_000, World::assert_claims_hold);
    assert!(!world.snapshot().synced);
}

#[test]
fn a_clock_that_may_not_be_changed_is_only_watched() {
    for (error, ahead) in [
        (ClockError::NotPermitted, Span::from_secs(100)),
        (ClockError::Unsupported, Span::from_secs(100)),
        (ClockError::NotPermitted, MILLISECOND),
        (ClockError::Unsupported, MILLISECOND),
    ] {
        let mut world = World::new(&Config::default(), ahead).ask([Server::new(1)]);
        world.fault = Some(Fault { which: |_| true, error, times: usize::MAX });
        world.run_secs(3_600);
        assert_eq!(world.commands.len(), 1, "{error}: {:?}", world.commands);
        assert!((world.snapshot().offset.unwrap() + ahead).abs() < Span::from_micros(10));
    }
}

/// The first slew begins at an answer of one peer, when the query to the other one is on its way:
/// they had waited for a third one that never answers.
#[test]
fn a_change_of_rate_under_way_does_not_disturb_the_sample() {
    let behind = Span::from_millis(-90);
    let far = |number| Server::new(number).round_trip(Span::from_millis(500));
    let silent = Server { alive: false, ..Server::new(3) };
    let mut world = World::new(&Config::default(), behind).ask([far(1), far(2), silent]);
    for _ in 0..4_000 {
        world.run(Span::from_millis(50));
        let now = world.now();
        for peer in world.snapshot().peers().filter(|peer| peer.estimate.is_some()) {
            let offset = world.engine.peer_offset(&peer, now).unwrap();
            let off = offset + world.error();
            assert!(off.abs() < Span::from_nanos(100), "off by {off:.9} after {} s", world.time());
        }
    }
    let (begun, _) = world.commands.iter().find(|(_, command)| is_adjust(command)).unwrap();
    let under_way = |&&(sent, to): &&(f64, SocketAddr)| {
        to != silent.address && (sent + 0.001..sent + 0.499).contains(begun)
    };
    assert_eq!(world.queries.iter().filter(under_way).count(), 1, "at {begun} s");
}

/// The date of a year's first second, from 1970 on.
fn new_year(year: i64) -> WallTime {
    let leap_days = (year - 1969) / 4 - (year - 1901) / 100 + (year - 1601) / 400;
    WallTime::from_unix(((year - 1970) * 365 + leap_days) * 86_400, 0)
}

fn is_set_right(local: WallTime, truth: WallTime) {
    let mut world = World::with_clock(&Config::default(), truth, local, FreqOffset::ZERO)
        .ask([Server::new(1), Server::new(2)]);
    world.run_secs(60);
    let error = world.error();
    assert!(error.abs() < MILLISECOND, "from {local} to {truth}: off by {error}");
    assert!(world.snapshot().synced);
    assert_eq!(world.told("set local clock to"), usize::from(local != truth));
}

#[test]
fn clocks_without_a_battery_are_set_in_both_eras() {
    assert_eq!(new_year(2093).to_string(), "2093-01-01 00:00:00");
    for local in [1970, 2001] {
        for truth in [2026, 2027, 2035, 2036, 2037, 2040, 2069, 2093] {
            is_set_right(new_year(local), new_year(truth));
        }
    }
}

#[test]
fn clocks_are_set_across_the_end_of_the_era() {
    let end = WallTime::from_unix(2_085_978_496, 0);
    is_set_right(new_year(2040), new_year(2040));
    is_set_right(new_year(2040), new_year(2035));
    is_set_right(new_year(2035), new_year(2040));
    is_set_right(end + Span::from_secs(-3_600), end + Span::from_secs(3_600));
    // The era ends while it runs.
    let before = end + Span::from_secs(-30);
    is_set_right(before, before);
    is_set_right(before + Span::from_secs(3_600), before);
}

#[test]
fn others_are_told_how_the_error_grows_while_no_server_answers() {
    let mut bench = Bench::answered(5);
    bench.commands.clear();
    let began = bench.time;
    while bench.time < began + 3_600.0 {
        bench.ask();
    }
    let told: Vec<Span> = bench
        .commands
        .iter()
        .filter_map(|command| match command {
            ClockCommand::Status(status) if status.synced => Some(status.max_error),
            _ => None,
        })
        .collect();
    assert!(told.len() as f64 >= (bench.time - began) / 65.0, "{told:?}");
    assert!(told.windows(2).all(|pair| pair[0] < pair[1]), "{told:?}");
    let grown = told[told.len() - 1] - told[0];
    assert!(grown > Span::from_millis(50), "{grown}: 15 ppm at least");
}
