//! What NTP may claim until the clock is trusted.

use super::world::{Server, World, address};
use super::*;

const HOUR: i64 = 3_600;

/// Three servers, of which so many lie by an hour, for a clock that is a day ahead.
fn world(liars: usize, constraint: Option<i64>) -> World {
    let config = Config { constrained: true, ..Config::default() };
    let servers = (1..=3).map(|number| {
        let lie = if usize::from(number) <= liars { HOUR } else { 0 };
        Server { lie: Span::from_secs(lie), ..Server::new(number) }
    });
    let mut world = World::new(&config, Span::from_secs(86_400)).ask(servers);
    world.constraint = constraint.map(Span::from_secs);
    world
}

fn refused(world: &World, reason: Reject) -> u64 {
    world.snapshot().peers().map(|peer| peer.counters.rejected[reason.index()]).sum()
}

fn is_right(world: &World) -> bool {
    world.snapshot().synced && world.error().abs() < Span::from_millis(1)
}

#[test]
fn nobody_lies_by_more_than_the_margin() {
    for (constraint, liars, right) in
        [(0, 0, true), (0, 1, true), (119, 0, true), (121, 0, false), (-119, 0, true)]
            .into_iter()
            .chain([(-121, 0, false), (0, 3, false)])
    {
        let mut world = world(liars, Some(constraint));
        world.run_secs(HOUR);
        assert_eq!(is_right(&world), right, "{constraint} s, {liars} liars");
        assert_eq!(world.snapshot().synced, right, "{constraint} s, {liars} liars");
        let refused = refused(&world, Reject::Constraint(Span::ZERO));
        assert_eq!(refused > 0, liars > 0 || !right, "{constraint} s, {liars} liars");
        // It is asked for again, but seldom.
        let asked = world.constrained.len();
        assert!(asked == 1 || !right && asked < 8, "{:?}", world.constrained);
    }
}

/// Then the constraint is lifted, and the panic threshold holds them.
#[test]
fn a_majority_of_liars_comes_too_late() {
    let mut world = world(2, Some(0));
    world.run_secs(HOUR);
    assert_eq!(world.told("set local clock"), 1);
    assert!(world.error().abs() < Span::from_millis(1), "{}", world.error());
}

#[test]
fn nobody_is_believed_before_it_is_known() {
    let mut world = world(0, None);
    world.run_secs(HOUR);
    assert!(!world.snapshot().synced && world.snapshot().peers().all(|peer| !peer.valid));
    assert!(refused(&world, Reject::Unconstrained) > 3);
    assert_eq!(world.told("set local clock"), 0);
    let asked = world.constrained.len();
    assert!(world.constrained[0] == 0.0 && (6..=16).contains(&asked), "{:?}", world.constrained);
    world.constraint = Some(Span::from_secs(-30));
    world.run_secs(1_400);
    assert!(is_right(&world));
    let asked = world.constrained.len();
    world.run_secs(24 * HOUR);
    assert_eq!(world.constrained.len(), asked, "it has served its purpose");
}

/// It was wrong; the servers do not give in, and it is corrected.
#[test]
fn a_wrong_constraint_is_asked_for_again() {
    let mut world = world(0, Some(HOUR));
    world.run_secs(60);
    assert!(!world.snapshot().synced);
    world.constraint = Some(Span::ZERO);
    world.run_secs(4 * HOUR);
    assert!(is_right(&world), "{:?}", world.constrained);
    assert_eq!(world.peer(0).address, Some(address(1)));
}

/// Once the clock has been right the panic threshold guards it.
#[test]
fn it_is_lifted_once_the_clock_is_trusted() {
    let mut world = world(0, Some(0));
    world.run_secs(HOUR);
    assert!(is_right(&world));
    for server in &mut world.servers {
        server.lie = Span::from_secs(500);
    }
    world.run_secs(HOUR);
    assert_eq!(refused(&world, Reject::Constraint(Span::ZERO)), 0);
    assert_eq!(world.constrained.len(), 1);
}
