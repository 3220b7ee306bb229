//! Leap seconds in both directions, made by the clock or slewed; and false ones.

use std::vec::Vec;

use super::world::{Fault, Server, World};
use crate::clock::{ClockCommand, ClockError, LeapList, LeapPlan};
use crate::config::{Config, DisciplineMode, LeapMode};
use crate::server::LeapSecond;
use crate::timex::{ClockState, Request, Timex};
use crate::units::{FreqOffset, Span, WallTime};
use crate::wire::{Header, LeapIndicator};

/// The end of June 2027.
const END: WallTime = WallTime::from_unix(1_814_400_000, 0);
const HOUR: Span = Span::from_secs(3_600);
const MILLISECOND: Span = Span::from_millis(1);
/// The kernel's loop is that far off for hours.
const RIGHT: Span = Span::from_millis(5);
/// Before the leap second the worlds run for so long.
const BEFORE: Span = Span::from_secs(4 * 3_600);
const SECOND: Span = Span::from_secs(1);

const INSERTED: LeapSecond = LeapSecond { end: END, deleted: false };
const DELETED: LeapSecond = LeapSecond { end: END, deleted: true };

fn says_nothing(_: &mut Header) {}
fn adds(header: &mut Header) {
    header.leap = LeapIndicator::AddSecond;
}
fn deletes(header: &mut Header) {
    header.leap = LeapIndicator::DeleteSecond;
}

/// Three servers that announce so, four hours before `end`; the oscillator is 40 ppm fast.
fn before(end: WallTime, config: &Config, announce: [fn(&mut Header); 3]) -> World {
    let start = end + -BEFORE;
    let servers = announce.into_iter().zip(1..).map(|(tweak, number)| Server {
        tweak,
        queues: [Span::from_micros(50); 2],
        ..Server::new(number).round_trip(MILLISECOND)
    });
    let mut world = World::with_clock(config, start, start, FreqOffset::from_ppm(40)).ask(servers);
    world.run(BEFORE + -HOUR);
    assert!(world.snapshot().synced && world.error().abs() < RIGHT, "{}", world.error());
    world
}

fn plans(world: &World) -> Vec<LeapIndicator> {
    let plan = |(_, command): &(f64, ClockCommand)| match command {
        ClockCommand::Leap(plan) => Some(plan.leap),
        _ => None,
    };
    world.commands.iter().filter_map(plan).collect()
}

fn steps(world: &World) -> usize {
    world.commands.iter().filter(|(_, one)| matches!(one, ClockCommand::Step(_))).count()
}

fn timex(world: &mut World) -> Timex {
    let now = world.now().mono;
    world.clock.ntp_adjtime(now, &Request::READ).unwrap().timex
}

/// It is right all the time, and nobody is alarmed.
fn is_right_throughout(world: &mut World, text: &str) {
    world.watch(2 * 3_600, |world| {
        world.assert_claims_hold();
        assert!(world.error().abs() < RIGHT, "at {}: {}", world.now().wall, world.error());
        assert!(world.snapshot().synced, "{}", world.now().wall);
    });
    assert_eq!((world.told("leap second"), world.told(text)), (1, 1), "{:?}", world.events);
    assert_eq!((steps(world), world.told("jumped"), world.told("unsynced")), (0, 0, 0));
    let end = BEFORE.as_secs_f64();
    let hurried = world.queries.iter().filter(|(at, _)| (end..end + 16.0).contains(at));
    assert!(hurried.count() <= 3, "nobody is asked out of turn");
}

#[test]
fn the_clock_makes_what_the_sources_announce() {
    for discipline in [DisciplineMode::Native, DisciplineMode::Kernel] {
        for (leap, announce, text, indicator) in [
            (INSERTED, adds as fn(&mut Header), "leap second inserted", LeapIndicator::AddSecond),
            (DELETED, deletes, "leap second deleted", LeapIndicator::DeleteSecond),
        ] {
            let config = Config { discipline, ..Config::default() };
            let mut world = before(END, &config, [announce, announce, says_nothing]);
            world.leap = Some(leap);
            assert_eq!(plans(&world), [indicator]);
            assert_eq!(world.snapshot().system.leap, indicator);
            is_right_throughout(&mut world, text);
            assert_eq!(plans(&world), [indicator, LeapIndicator::NoWarning]);
            let state = timex(&mut world).status;
            assert_eq!(LeapPlan { leap: LeapIndicator::NoWarning, tai: None }.status(state), state);
            assert_eq!(world.snapshot().system.leap, LeapIndicator::NoWarning);
        }
    }
}

#[test]
fn a_list_needs_no_announcement_and_tells_tai() {
    for (leap, text, tai) in
        [(INSERTED, "leap second inserted", 38), (DELETED, "leap second deleted", 36)]
    {
        let mut world = before(END, &Config::default(), [says_nothing; 3]);
        world.leap = Some(leap);
        let list = LeapList { next: Some(leap), tai: 37, expires: END + HOUR.times(9_999) };
        world.engine.set_leap_list(Some(list));
        world.run(HOUR.half());
        assert_eq!(timex(&mut world).tai, 37);
        is_right_throughout(&mut world, text);
        assert_eq!(timex(&mut world).tai, tai);
    }
}

#[test]
fn nobody_is_believed_against_a_list_that_has_not_expired() {
    for (expires, made) in [(END + HOUR.times(9_999), 0), (END + -HOUR.times(9), 1)] {
        let mut world = before(END, &Config::default(), [says_nothing; 3]);
        world.servers.iter_mut().for_each(|server| server.tweak = adds);
        world.engine.set_leap_list(Some(LeapList { next: None, tai: 37, expires }));
        world.run(HOUR + Span::from_secs(2));
        assert_eq!(world.told("leap second inserted"), made);
        assert_eq!(world.error().abs() > SECOND.half(), made == 1, "{}", world.error());
    }
}

/// A clock that is set forgets it, as the kernel's does.
#[test]
fn it_is_armed_again_once_the_clock_was_set() {
    for discipline in [DisciplineMode::Native, DisciplineMode::Kernel] {
        for (leap, announce, state) in [
            (INSERTED, adds as fn(&mut Header), ClockState::Insert),
            (DELETED, deletes, ClockState::Delete),
        ] {
            // What is slewed away is a step too.
            for (by, steps) in [(0.03, 0), (300.0, 1), (-300.0, 1), (2.0 * 86_400.0, 1)] {
                let config = Config { discipline, ..Config::default() };
                let mut world = before(END, &config, [announce; 3]);
                world.leap = Some(leap);
                world.step_by_another(Span::from_secs_f64(by));
                world.run(HOUR.half());
                assert_eq!((world.told("jumped"), self::steps(&world)), (1, steps), "{by}");
                assert!(world.snapshot().synced && world.error().abs() < RIGHT, "{by}");
                let now = world.now().mono;
                let reply = world.clock.ntp_adjtime(now, &Request::READ).unwrap();
                assert_eq!(reply.state, state, "{by}");
                world.watch(3_600, |world| {
                    world.assert_claims_hold();
                    let (at, error) = (world.now().wall, world.error());
                    assert!(error.abs() < RIGHT, "{by}: at {at}: {error}");
                });
                assert_eq!((world.told("leap second"), self::steps(&world)), (1, steps), "{by}");
            }
        }
    }
}

#[test]
fn a_liar_announces_in_vain() {
    for announce in [adds, deletes] {
        let mut world = before(END, &Config::default(), [announce, says_nothing, says_nothing]);
        world.watch(2 * 3_600, |world| {
            world.assert_claims_hold();
            assert!(world.error().abs() < RIGHT);
            assert_eq!(world.snapshot().system.leap, LeapIndicator::NoWarning);
        });
        assert_eq!((plans(&world), world.told("leap")), ([LeapIndicator::NoWarning].into(), 0));
    }
}

#[test]
fn what_is_withdrawn_or_of_another_month_is_not_made() {
    let mut world = before(END, &Config::default(), [adds; 3]);
    world.servers.iter_mut().for_each(|server| server.tweak = says_nothing);
    world.run(HOUR.times(2));
    assert_eq!(plans(&world), [LeapIndicator::AddSecond, LeapIndicator::NoWarning]);
    assert!(world.told("leap") == 0 && world.error().abs() < RIGHT);

    let march = WallTime::from_unix(1_806_537_600, 0);
    let mut world = before(march, &Config::default(), [adds; 3]);
    world.run(HOUR.times(2));
    assert_eq!(plans(&world), [LeapIndicator::NoWarning]);
    assert!(world.told("leap") == 0 && world.error().abs() < RIGHT);
}

/// Off by a second at most, less and less, and right in the end.
fn is_slewed(world: &mut World) {
    world.watch(2 * 3_600, |world| {
        world.assert_claims_hold();
        let since = (world.now().wall - END).as_secs_f64();
        // 500 ppm.
        let most = if since < -1.0 { 0.0 } else { (1.0 - 5e-4 * since).clamp(0.0, 1.0) };
        let error = world.error().as_secs_f64().abs();
        assert!(error <= most + 0.05, "after {since} s off by {error}, not {most}");
        assert!(world.snapshot().synced, "{since}");
    });
    assert!(world.error().abs() < RIGHT, "{}", world.error());
    assert_eq!((world.told("leap second"), steps(world), world.told("jumped")), (1, 0, 0));
    assert_eq!(world.told("unsynced"), 0);
}

#[test]
fn it_may_be_slewed_instead() {
    for (leap, announce) in [(INSERTED, adds as fn(&mut Header)), (DELETED, deletes)] {
        for discipline in [DisciplineMode::Native, DisciplineMode::Kernel] {
            // Also where any other second would be a step.
            let leap_mode = LeapMode::Slew;
            let config =
                Config { leap: leap_mode, step_limit: None, discipline, ..Config::default() };
            let mut world = before(END, &config, [announce; 3]);
            world.leap = Some(leap);
            is_slewed(&mut world);
            assert_eq!(plans(&world), [LeapIndicator::NoWarning]);
        }
    }
}

#[test]
fn a_clock_that_makes_none_is_slewed() {
    let mut world = before(END, &Config::default(), [says_nothing; 3]);
    let which = |command: &ClockCommand| matches!(command, ClockCommand::Leap(_));
    world.fault = Some(Fault { which, error: ClockError::Unsupported, times: usize::MAX });
    world.servers.iter_mut().for_each(|server| server.tweak = adds);
    world.leap = Some(INSERTED);
    is_slewed(&mut world);
    assert!(world.snapshot().controlled);
}

#[test]
fn ignored_it_is_an_offset_like_any_other() {
    let mut world = before(END, &Config { leap: LeapMode::Ignore, ..Config::default() }, [adds; 3]);
    world.leap = Some(INSERTED);
    world.run(HOUR.times(4));
    assert_eq!((plans(&world).len(), world.told("leap")), (0, 0));
    assert!(world.error().abs() < RIGHT, "{}", world.error());
    assert_eq!(world.snapshot().system.leap, LeapIndicator::NoWarning);
}
