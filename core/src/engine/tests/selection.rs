//! Who is followed, and who is asked.

use super::world::{OWN, Server, World, address};
use crate::clock::ClockCommand;
use crate::config::{Config, PeerConfig, SelectOptions};
use crate::select::Standing;
use crate::units::{NtpShort, Span};
use crate::wire::{Header, KissCode, LeapIndicator, ReferenceId};

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

/// A world of four servers, 10 to 25 ms away and up to 5 % asymmetric, after a day.
fn after_a_day() -> World {
    let servers = (1..=4).map(|number| {
        let half = Span::from_micros(2_500 + 2_500 * i64::from(number));
        let bias = Span::from_micros([150, -300, 400, -100][usize::from(number) - 1]);
        let queues = [Span::from_micros(300); 2];
        Server { delay: [half + bias, half - bias], queues, ..Server::new(number) }
    });
    let mut world = World::drifting(&Config::default(), 30).ask(servers);
    world.run_secs(3_600);
    world.watch(86_400 - 3_600, assert_all_agree);
    world
}

fn assert_all_agree(world: &World) {
    let standings = standings(world);
    let counts = |one: &Standing| matches!(one, Standing::Selected | Standing::Combined);
    assert!(standings.iter().all(counts), "after {} s: {standings:?}", world.time());
    assert!(world.error().abs() < Span::from_micros(500), "{}", world.error());
    let likely = world.snapshot().likely_error.unwrap();
    assert!(world.error().abs() < likely && likely < Span::from_millis(4), "{likely}");
}

/// Three honest servers and number 2, of which is known how it was until now.
fn turns_liar(lie: impl Fn(u32) -> Span) {
    let mut world = after_a_day();
    for minute in 0..600 {
        world.servers[1].lie = lie(minute);
        world.run_secs(60);
        world.assert_claims_hold();
        assert!(world.error().abs() < Span::from_millis(1), "{minute}: {}", world.error());
    }
    let standings = standings(&world);
    assert!(matches!(standings[1], Standing::Suspect | Standing::Falseticker), "{standings:?}");
}

#[test]
fn asymmetric_servers_make_no_flapping_and_a_jump_of_one_no_error() {
    turns_liar(|_| Span::from_millis(20));
}

#[test]
fn a_jump_within_its_interval_makes_a_suspect() {
    turns_liar(|_| Span::from_millis(5));
}

#[test]
fn who_drifts_by_ten_ppm_is_left_behind() {
    turns_liar(|minute| Span::from_micros(600 * i64::from(minute)));
}

/// All servers seem to jump when it is the local clock that did.
#[test]
fn a_jump_of_the_local_clock_accuses_nobody_for_long() {
    let mut world = after_a_day();
    for server in &mut world.servers {
        server.lie = Span::from_millis(30);
    }
    world.run_secs(7_200);
    let error = world.error() - Span::from_millis(30);
    assert!(error.abs() < Span::from_millis(1), "{error}");
    let standings = standings(&world);
    assert!(standings.iter().all(|one| matches!(one, Standing::Selected | Standing::Combined)));
}

#[test]
fn who_never_answers_is_unreachable() {
    let dead = Server { alive: false, ..Server::new(2) };
    let mut world = World::new(&Config::default(), Span::ZERO).ask([Server::new(1), dead]);
    world.run_secs(7_200);
    assert_eq!(standings(&world), [Standing::Selected, Standing::Unreachable]);
}

/// What a server says otherwise than an honest one.
type Tweak = fn(&mut Header);

/// What becomes of the second of two servers that says this, and of the first.
fn standing_of(tweak: Tweak) -> [Standing; 2] {
    let odd = Server { tweak, ..Server::new(2) };
    let mut world = World::new(&Config::default(), Span::ZERO).ask([Server::new(1), odd]);
    world.run_secs(7_200);
    [world.peer(0).standing, world.peer(1).standing]
}

#[test]
fn each_has_a_reason_not_to_be_heard() {
    let cases: [(Tweak, Standing); 7] = [
        (|header| header.leap = LeapIndicator::Alarm, Standing::Unsynchronised),
        (|header| header.stratum = 15, Standing::Unsynchronised),
        (|header| header.stratum = 16, Standing::Unsynchronised),
        (
            |header| {
                header.stratum = 0;
                header.reference_id = ReferenceId::from_bytes(KissCode::DENY.to_bytes());
            },
            Standing::Denied,
        ),
        (
            |header| header.root_dispersion = NtpShort::from_span(Span::from_secs(2)),
            Standing::TooDistant,
        ),
        (
            |header| header.root_dispersion = NtpShort::from_span(Span::from_secs(20)),
            Standing::TooDistant,
        ),
        (|header| header.reference_id = ReferenceId::from_addr(OWN), Standing::Loop),
    ];
    for (tweak, standing) in cases {
        assert_eq!(standing_of(tweak), [Standing::Selected, standing]);
    }
}

/// There a reference is no address, whatever it looks like.
#[test]
fn stratum_1_follows_nobody() {
    let found = standing_of(|header| {
        header.stratum = 1;
        header.reference_id = ReferenceId::from_addr(OWN);
    });
    assert!(!found.contains(&Standing::Loop), "{found:?}");
}

#[test]
fn a_server_is_heard_again_once_it_follows_somebody_else() {
    let tweak: fn(&mut Header) = |header| header.reference_id = ReferenceId::from_addr(OWN);
    let mut world = World::new(&Config::default(), DAY).ask([Server { tweak, ..Server::new(1) }]);
    world.run_secs(600);
    assert_eq!((world.commands.as_slice(), world.snapshot().synced), (&[][..], false));
    world.servers[0].tweak = |_| ();
    world.run_secs(600);
    assert_eq!(world.peer(0).standing, Standing::Selected);
    assert!(world.error().abs() < Span::from_millis(1), "{}", world.error());
}

#[test]
fn who_is_not_to_be_selected_is_measured_and_not_waited_for() {
    let select = SelectOptions { noselect: true, ..SelectOptions::default() };
    let only = Server { select, lie: DAY, ..Server::new(1) };
    let dead = Server { select, alive: false, ..Server::new(3) };
    let mut world = World::new(&Config::default(), DAY.half()).ask([only, Server::new(2), dead]);
    world.run_secs(4);
    assert_eq!(world.commands, []);
    world.run_secs(6);
    assert!(world.error().abs() < Span::from_millis(1), "{}", world.error());
    assert_eq!(standings(&world)[..2], [Standing::NoSelect, Standing::Selected]);
    let offset = world.engine.peer_offset(&world.peer(0), world.now()).unwrap();
    assert!((offset - DAY).abs() < Span::from_millis(1), "{offset}");
    world.run_secs(7_200);
    assert_eq!(standings(&world)[2], Standing::Unreachable);
}

#[test]
fn the_clock_is_not_set_until_as_many_agree_as_are_wanted() {
    let config = Config { min_sources: 3, ..Config::default() };
    let mut world = World::new(&config, DAY).ask(one_liar(3, 1));
    world.run_secs(600);
    let waiting = Standing::Waiting;
    assert_eq!(standings(&world), [Standing::Falseticker, waiting, waiting]);
    assert_eq!((world.commands.as_slice(), world.snapshot().synced), (&[][..], false));
    world.servers[0].lie = Span::ZERO;
    world.run_secs(7_200);
    assert!(world.error().abs() < Span::from_millis(1), "{}", world.error());
    assert!(!standings(&world).contains(&waiting), "{:?}", standings(&world));
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
