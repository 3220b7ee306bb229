//! Clocks that somebody else moves, sources that claim the incredible, and what the operator may do
//! about them.

use std::vec::Vec;

use super::world::{Fault, Server, World};
use crate::clock::{ClockCommand, ClockError};
use crate::config::{Config, DisciplineMode};
use crate::io::{Refusal, Request};
use crate::peer::Reject;
use crate::units::{FreqOffset, Span};

const MILLISECOND: Span = Span::from_millis(1);
const HOUR: Span = Span::from_secs(3_600);

/// One that has run for half a day, on an oscillator that is 80 ppm fast.
fn settled(config: &Config) -> World {
    let servers = [1, 2, 3].map(|number| Server::new(number).round_trip(MILLISECOND));
    let mut world = World::drifting(config, 80).ask(servers);
    world.run_secs(43_200);
    assert!(world.error().abs() < MILLISECOND);
    world.events.clear();
    world.queries.clear();
    world.commands.clear();
    world
}

fn steps(world: &World) -> Vec<Span> {
    let steps = world.commands.iter().filter_map(|(_, command)| match command {
        ClockCommand::Step(by) => Some(*by),
        _ => None,
    });
    steps.collect()
}

#[test]
fn what_another_program_did_is_undone() {
    for by in [HOUR, -HOUR, Span::from_secs(2), Span::from_millis(-150)] {
        let mut world = settled(&Config::default());
        world.step_by_another(by);
        world.watch(60, World::assert_claims_hold);
        assert_eq!((world.told("local clock jumped by"), steps(&world).len()), (1, 1), "{by}");
        assert!((steps(&world)[0] + by).abs() < MILLISECOND, "{:?}", steps(&world));
        assert!(world.error().abs() < MILLISECOND, "{by}: {}", world.error());
        assert!(world.snapshot().synced, "{by}");
        assert_eq!(world.told("local clock held"), 0);
    }
}

#[test]
fn a_small_jump_is_slewed_away() {
    for by in [Span::from_millis(50), Span::from_millis(-50)] {
        let mut world = settled(&Config::default());
        world.step_by_another(by);
        world.run_secs(60);
        assert!(!world.snapshot().synced);
        // 500 ppm take 100 s.
        world.watch(200, World::assert_claims_hold);
        assert_eq!((world.told("local clock jumped by"), steps(&world).len()), (1, 0), "{by}");
        assert!(world.error().abs() < MILLISECOND, "{by}: {}", world.error());
        let frequency = world.snapshot().frequency.as_ppm();
        assert!((frequency + 80.0).abs() < 0.1, "what was known is kept: {frequency} ppm");
    }
}

#[test]
fn without_steps_even_a_jump_is_slewed_away() {
    let mut world = settled(&Config { step_limit: Some(0), ..Config::default() });
    world.step_by_another(Span::from_millis(500));
    world.watch(1_300, World::assert_claims_hold);
    assert_eq!(steps(&world), []);
    assert!(world.error().abs() < MILLISECOND, "{}", world.error());
}

#[test]
fn nobody_may_rely_on_a_clock_that_was_moved() {
    let mut world = settled(&Config::default());
    assert!(world.snapshot().system.is_synchronised());
    world.step_by_another(Span::from_secs(2));
    assert!(!world.snapshot().system.is_synchronised(), "at once, though nothing was due yet");
    notice(&mut world);
    assert_eq!(world.told("clock is now unsynced"), 1);
    assert_eq!(world.snapshot().error_bound, None);
    world.run_secs(10);
    assert_eq!(world.told("clock is now synced"), 1);
    assert!(world.snapshot().error_bound.is_some());
}

#[test]
fn an_answer_across_a_jump_is_not_used() {
    let mut world = World::new(&Config::default(), Span::ZERO)
        .ask([Server::new(1).round_trip(Span::from_millis(800))]);
    world.run_secs(20_000);
    world.rejects.clear();
    let before = world.queries.len();
    while world.queries.len() == before {
        world.run(Span::from_millis(100));
    }
    world.step_by_another(Span::from_millis(300));
    world.run_secs(2);
    let reasons: Vec<_> = world.rejects.iter().map(|(_, reason)| *reason).collect();
    assert_eq!(reasons, [Reject::Unsolicited]);
}

/// Until a jump is noticed.
fn notice(world: &mut World) {
    while world.told("local clock jumped by") == 0 {
        world.run(Span::from_millis(1));
    }
}

/// One that began anew would know no more than half its delay.
fn estimates_survive(world: &mut World) {
    notice(world);
    world.watch(5, World::assert_claims_hold);
    assert!(world.snapshot().synced);
    for peer in world.snapshot().peers() {
        let deviation = peer.estimate.unwrap().offset_deviation;
        assert!(deviation < 1e-4, "{deviation} s");
    }
}

#[test]
fn a_sleeping_host_wakes_up_right() {
    for off in [Span::ZERO, Span::from_millis(300), Span::from_millis(-700)] {
        let mut world = settled(&Config::default());
        world.sleep(HOUR, off);
        if off == Span::ZERO {
            estimates_survive(&mut world);
        }
        world.watch(600, World::assert_claims_hold);
        assert_eq!(world.told("local clock jumped by 3"), 1);
        assert!(
            steps(&world).iter().all(|by| by.abs() < Span::from_secs(1)),
            "{:?}",
            steps(&world)
        );
        assert!(world.error().abs() < MILLISECOND, "{off}: {}", world.error());
        let frequency = world.snapshot().frequency.as_ppm();
        assert!((frequency + 80.0).abs() < 1.0, "{frequency} ppm");
    }
}

/// What the loop did since is known, however far the clock was moved.
#[test]
fn the_clocks_own_loop_goes_on() {
    for days in [2, -2] {
        let mut world =
            settled(&Config { discipline: DisciplineMode::Kernel, ..Config::default() });
        world.step_by_another(Span::from_secs(days * 86_400));
        notice(&mut world);
        world.run_secs(60);
        world.watch(1_800, |world| {
            world.assert_claims_hold();
            assert!(world.error().abs() < MILLISECOND, "{days}: {}", world.error());
        });
        assert_eq!((world.told("jumped"), steps(&world).len()), (1, 1), "{days}");
    }
}

/// The kernel sets its clock back by a leap second, as its servers do.
#[test]
fn a_leap_second_is_not_undone() {
    let mut world = settled(&Config::default());
    world.sleep(Span::from_secs(-1), Span::ZERO);
    estimates_survive(&mut world);
    assert_eq!((world.told("local clock jumped by -1.00"), steps(&world).len()), (1, 0));
    assert!(world.snapshot().synced && world.error().abs() < MILLISECOND, "{}", world.error());
}

#[test]
fn a_clock_that_is_stepped_all_the_time_does_not_flood_the_servers() {
    let mut world = settled(&Config::default());
    let start = world.time();
    for _ in 0..3_600 {
        world.step_by_another(Span::from_millis(3));
        world.run_secs(1);
    }
    let asked = world.queries.iter().filter(|(at, _)| *at >= start).count();
    assert!(asked < 3 * 3_600 / 5, "{asked} queries of three servers in an hour");
}

#[test]
fn a_policy_of_steps_holds_both_ways() {
    let second = Span::from_secs(1);
    for lie in [second, -second] {
        for (step_limit, expected) in [(Some(0), 0), (Some(1), 0), (None, 1), (Some(1_000_000), 1)]
        {
            let mut world = settled(&Config { step_limit, ..Config::default() });
            world.servers.iter_mut().for_each(|server| server.lie = lie);
            world.run_secs(3_000);
            assert_eq!(steps(&world).len(), expected, "{step_limit:?}: {lie}");
            assert!((world.error() - lie).abs() < Span::from_millis(10), "{}", world.error());
        }
    }
}

/// Sources that all went off by a day.
fn held() -> World {
    let mut world = settled(&Config { step_limit: None, ..Config::default() });
    for server in &mut world.servers {
        server.lie = Span::from_secs(86_400);
    }
    world.run_secs(4_000);
    world
}

#[test]
fn what_is_incredible_holds_the_clock() {
    let world = held();
    assert_eq!((world.told("local clock held"), world.told("clock is now unsynced")), (1, 1));
    let offset = world.told("held: offset 86399.99") + world.told("held: offset 86400.00");
    assert_eq!(offset, 1, "{:?}", world.events);
    let snapshot = world.snapshot();
    assert!(snapshot.held && !snapshot.synced);
    assert_eq!(steps(&world), []);
    assert!(world.error().abs() < MILLISECOND, "{}", world.error());
    assert!((snapshot.frequency.as_ppm() + 80.0).abs() < 1.0, "{}", snapshot.frequency);
}

#[test]
fn sources_that_come_to_reason_end_it() {
    let mut world = held();
    world.servers.iter_mut().for_each(|server| server.lie = Span::ZERO);
    world.run_secs(4_000);
    assert_eq!((world.told("local clock no longer held"), steps(&world).len()), (1, 0));
    assert!(!world.snapshot().held && world.snapshot().synced);
    assert!(world.error().abs() < MILLISECOND, "{}", world.error());
}

#[test]
fn the_operator_may_accept_it() {
    let mut world = held();
    assert!(world.operator(Request::Accept).is_ok());
    world.run_secs(600);
    assert_eq!((world.told("local clock no longer held"), steps(&world).len()), (1, 1));
    let left = world.error() - Span::from_secs(86_400);
    assert!(left.abs() < MILLISECOND, "{left}");
    assert!(world.snapshot().synced);
    assert_eq!(world.operator(Request::Accept), Err(Refusal::NotHeld));
}

#[test]
fn a_jump_does_not_make_the_incredible_credible() {
    let mut world = held();
    world.step_by_another(Span::from_millis(200));
    world.run_secs(600);
    assert!(world.snapshot().held);
    assert_eq!(steps(&world), []);
}

#[test]
fn without_a_threshold_nothing_is_incredible() {
    let config = Config { step_limit: None, panic_threshold: None, ..Config::default() };
    let mut world = settled(&config);
    world.servers.iter_mut().for_each(|server| server.lie = Span::from_secs(86_400));
    world.run_secs(4_000);
    assert_eq!((world.told("local clock held"), steps(&world).len()), (0, 1));
}

#[test]
fn the_operator_may_step_at_any_time() {
    let mut world = World::new(&Config::default(), Span::ZERO).ask([Server::new(1)]);
    assert_eq!(world.operator(Request::Step), Err(Refusal::NoOffset));
    world.run_secs(3_600);
    world.servers[0].lie = Span::from_secs(5);
    world.run_secs(300);
    assert!((world.error() - Span::from_secs(5)).abs() > Span::from_secs(4), "slewed by policy");
    let by = world.operator(Request::Step).unwrap();
    assert!((world.error() - Span::from_secs(5)).abs() < MILLISECOND, "{}", world.error());
    assert_eq!(world.told("set local clock to"), 1);
    assert!((by - Span::from_secs(5)).abs() < Span::from_millis(200), "{by}");

    let error = ClockError::NotPermitted;
    world.fault = Some(Fault { which: |_| true, error, times: 1 });
    assert!(world.operator(Request::Step).is_ok());
    assert_eq!(world.operator(Request::Step), Err(Refusal::NotControlled));
}

#[test]
fn a_clock_that_hangs_has_failed() {
    // Until after the first retry's end, and into the second one.
    for (ahead, secs) in [(-100_000, 15), (-50, 15), (-50, 22)] {
        let ahead = Span::from_millis(ahead);
        let mut world = World::new(&Config::default(), ahead).ask([Server::new(1)]);
        world.hung = true;
        world.run_secs(15);
        assert_eq!(world.operator(Request::Step), Err(Refusal::Busy));
        world.run_secs(secs);
        let failed = world.told("settimeofday") + world.told("adjfreq failed");
        assert!(failed > 0, "{:?}", world.events);
        world.send_replies();
        world.watch(600, World::assert_claims_hold);
        assert!(world.error().abs() < MILLISECOND, "{ahead}: {}", world.error());
        assert!(world.snapshot().synced);
        let frequency = world.snapshot().frequency;
        assert!(frequency.abs() < FreqOffset::from_ppm(1), "{frequency} ppm");
    }
}
