//! Who is followed, and who is asked.

use super::world::{Server, World, address};
use crate::clock::ClockCommand;
use crate::config::{Config, PeerConfig};
use crate::select::Standing;
use crate::units::Span;

const DAY: Span = Span::from_secs(86_400);

/// Servers 1 to `count`, of which number `liar` is wrong by a day.
fn one_liar(count: u8, liar: u8) -> impl Iterator<Item = Server> {
    (1..=count).map(move |number| Server {
        lie: if number == liar { DAY } else { Span::ZERO },
        ..Server::new(number)
    })
}

fn standings(world: &World) -> std::vec::Vec<Standing> {
    world.snapshot().peers().map(|peer| peer.standing).collect()
}

fn is_outvoted(liar: u8) {
    let mut world = World::new(&Config::default(), Span::ZERO).ask(one_liar(4, liar));
    world.watch(3_600, |world| assert!(world.error().abs() < Span::from_millis(1)));
    assert!(!world.commands.iter().any(|(_, command)| matches!(command, ClockCommand::Step(_))));
    assert!(world.snapshot().synced);
    let standings = standings(&world);
    let count = |standing| standings.iter().filter(|one| **one == standing).count();
    assert_eq!(standings[usize::from(liar) - 1], Standing::Falseticker);
    assert_eq!((count(Standing::Selected), count(Standing::Combined)), (1, 2), "{standings:?}");
}

#[test]
fn a_liar_that_answers_first_is_outvoted() {
    is_outvoted(1);
}

#[test]
fn a_liar_that_answers_last_is_outvoted() {
    is_outvoted(4);
}

/// The clock, which is wrong itself, is stepped to the truth though a liar agrees with it.
#[test]
fn the_majority_may_step_the_clock() {
    let mut world = World::new(&Config::default(), DAY).ask(one_liar(4, 1));
    world.run_secs(60);
    assert!(world.error().abs() < Span::from_millis(1), "{}", world.error());
    assert_eq!(standings(&world)[0], Standing::Falseticker);
}

#[test]
fn of_two_that_disagree_neither_is_followed() {
    for liar in [1, 2] {
        let mut world = World::new(&Config::default(), Span::ZERO).ask(one_liar(2, liar));
        world.run_secs(3_600);
        assert_eq!(standings(&world), [Standing::NoMajority; 2]);
        assert_eq!(world.commands, []);
        assert!(!world.snapshot().synced);
    }
}

/// Dead servers delay the first correction, but do not prevent it.
#[test]
fn the_dead_are_not_waited_for_for_ever() {
    let dead = |number| Server { alive: false, ..Server::new(number) };
    let mut world = World::new(&Config::default(), DAY).ask([dead(1), Server::new(2), dead(3)]);
    world.run_secs(60);
    assert!(world.error().abs() < Span::from_millis(1), "{}", world.error());
}

#[test]
fn an_address_without_a_route_is_passed_over_soon() {
    let unroutable = Server { routable: false, ..Server::new(1) };
    let mut world =
        World::new(&Config::default(), Span::ZERO).ask_by_name(&[unroutable, Server::new(2)]);
    world.run_secs(15);
    let passed_over = world.queries.iter().filter(|(_, to)| *to == address(1)).count();
    assert_eq!(passed_over, 1, "{:?}", world.queries);
    assert!(world.told_at("peer 192.0.2.2 now valid").unwrap() < 12.0);
}

#[test]
fn a_dead_first_address_is_passed_over_soon() {
    let dead = Server { alive: false, ..Server::new(1) };
    let mut world = World::new(&Config::default(), Span::ZERO).ask_by_name(&[dead, Server::new(2)]);
    world.run_secs(15);
    assert!(world.told_at("peer 192.0.2.2 now valid").unwrap() < 12.0);
}

#[test]
fn the_address_that_died_is_named_and_the_next_one_must_earn_its_trust() {
    let mut world =
        World::new(&Config::default(), Span::ZERO).ask_by_name(&[Server::new(1), Server::new(2)]);
    world.run_secs(600);
    world.servers[0].alive = false;
    world.run_secs(3_600);
    assert_eq!((world.told("192.0.2.1 now invalid"), world.told("now invalid")), (1, 1));
    let valid = world.told_at("peer 192.0.2.2 now valid").unwrap();
    let asked = world.queries.iter().filter(|(at, to)| *to == address(2) && *at < valid).count();
    assert_eq!(asked, 4);
    assert_eq!(world.peer(0).address, Some(address(2)));
}

/// As when the network goes down for a moment.
#[test]
fn a_trusted_address_outlives_a_query_that_cannot_be_sent() {
    let mut world =
        World::new(&Config::default(), Span::ZERO).ask_by_name(&[Server::new(1), Server::new(2)]);
    world.run_secs(600);
    world.servers[0].routable = false;
    let before = world.queries.len();
    while world.queries.len() == before {
        world.run_secs(1);
    }
    world.servers[0].routable = true;
    world.run_secs(3_600);
    assert!(world.queries.iter().all(|(_, to)| *to == address(1)));
    assert!(world.peer(0).valid);

    // If it lasts the next address has its turn, and what became of the first one is told.
    world.servers[0].routable = false;
    world.run_secs(8_000);
    assert_eq!(world.told("peer 192.0.2.1 now invalid"), 1);
    assert_eq!(world.peer(0).address, Some(address(2)));
}

#[test]
fn a_name_without_an_address_is_resolved_again() {
    let mut world = World::new(&Config::default(), DAY).ask([Server::new(1)]);
    world.add_peer(&PeerConfig::default(), &[]);
    world.run_secs(600);
    // The peer that has an address is not kept waiting for the one that has none.
    assert!(world.error().abs() < Span::from_millis(1), "{}", world.error());
    assert_eq!(world.peer(1).address, None);
}
