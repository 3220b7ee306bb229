//! Peers that are known by names.

use super::world::{Server, World, address};
use super::*;

const HOUR: i64 = 3_600;

fn world() -> World {
    World::new(&Config::default(), Span::from_millis(20))
}

fn addresses(world: &World) -> Vec<Option<SocketAddr>> {
    world.snapshot().peers().map(|peer| peer.address).collect()
}

fn some<const N: usize>(numbers: [u8; N]) -> Vec<Option<SocketAddr>> {
    numbers.map(|number| Some(address(number))).into()
}

/// The engine's own deadline brings each of them about; nobody looks in between.
#[test]
fn a_name_that_has_no_address_is_looked_up_until_it_has() {
    let mut world = world().serve([Server::new(1)]);
    world.add_peer(&PeerConfig::default(), &[]);
    world.run_secs(HOUR);
    let times: Vec<f64> = world.lookups.iter().map(|(at, _)| *at).collect();
    assert!(times[0] == 0.0 && times[3] < 21.0 && times.len() < 24, "{times:?}");
    world.names[0] = vec![address(1)];
    world.run_secs(460);
    assert!(world.snapshot().synced && world.queries.len() > 4, "{:?}", world.events);
    // Once more since the clock is trusted.
    assert_eq!(world.lookups.len(), times.len() + 2);
}

#[test]
fn addresses_are_tried_in_turn_until_one_answers() {
    let dead = |number| Server { alive: false, ..Server::new(number) };
    let unroutable = Server { routable: false, ..Server::new(2) };
    let mut world = world().ask_by_name(&[dead(1), unroutable, dead(3), dead(4), Server::new(5)]);
    world.run_secs(60);
    let asked: Vec<_> = world.queries.iter().map(|(_, to)| Some(*to)).take(5).collect();
    assert_eq!(asked, some([1, 2, 3, 4, 5]));
    assert_eq!(world.lookups.len(), 2, "the fifth is known since the second");
    world.run_secs(540);
    assert_eq!(addresses(&world), some([5]));
    assert!(world.snapshot().synced);
    let lookups = world.lookups.len();
    world.run_secs(24 * HOUR);
    assert_eq!(world.lookups.len(), lookups, "who answers is not looked for");
}

/// It keeps its state while the name says nothing else.
#[test]
fn a_server_that_falls_silent_is_looked_for_and_recognised() {
    let mut world = world().ask_by_name(&[Server::new(1)]).ask([Server::new(2), Server::new(3)]);
    world.run_secs(HOUR);
    let lookups = world.lookups.len();
    world.servers[0].alive = false;
    world.names[0].clear();
    world.run_secs(2 * HOUR);
    let looked_up = world.lookups.len() - lookups;
    assert!((10..=40).contains(&looked_up), "{looked_up} lookups");
    let peer = world.peer(0);
    assert!(!peer.valid && peer.estimate.is_some() && peer.address == Some(address(1)));
    world.names[0] = vec![address(1)];
    world.run_secs(HOUR);
    assert!(world.peer(0).estimate.is_some());
    world.servers[0].alive = true;
    let used = world.peer(0).counters.used;
    while world.peer(0).counters.used == used {
        world.run_secs(1);
    }
    assert!(world.peer(0).valid, "at its first answer");
}

#[test]
fn a_server_that_moved_is_found() {
    let mut world = world().ask_by_name(&[Server::new(1)]).serve([Server::new(2)]);
    world.run_secs(HOUR);
    world.servers[0].alive = false;
    world.names[0] = vec![address(2)];
    world.run_secs(2 * HOUR);
    assert_eq!(addresses(&world), some([2]));
    assert_eq!(world.told("peer 192.0.2.1 now invalid"), 1);
    assert_eq!(world.told("peer 192.0.2.2 now valid"), 1);
    assert!(world.snapshot().synced && world.told("clock is now unsynced") == 0);
}

/// The old one still answers: it is left within two weeks.
#[test]
fn names_are_looked_up_from_time_to_time() {
    let mut world = world().ask_by_name(&[Server::new(1)]).serve([Server::new(2)]);
    world.run_secs(24 * HOUR);
    world.names[0] = vec![address(2)];
    world.run_secs(6 * 24 * HOUR);
    assert_eq!(addresses(&world), some([1]));
    world.run_secs(8 * 24 * HOUR);
    assert_eq!(addresses(&world), some([2]));
    assert_eq!(world.told("peer 192.0.2.1 now invalid"), 1);
}

#[test]
fn members_of_pools_are_distinct_and_bad_ones_are_replaced() {
    let liar = Server { lie: Span::from_secs(1), ..Server::new(3) };
    let pool: Vec<_> = (1..=7).map(address).collect();
    let mut world = world().serve([Server::new(1), Server::new(2), liar]);
    world = world.serve((4..=7).map(Server::new)).ask_pool(4, &pool);
    world.run_secs(5);
    assert_eq!(addresses(&world), some([1, 2, 3, 4]));
    world.run_secs(HOUR);
    assert_eq!(addresses(&world), some([1, 2, 5, 4]), "the liar is replaced");
    let kiss = |header: &mut Header| {
        header.stratum = 0;
        header.reference_id = ReferenceId::from_bytes(*b"DENY");
    };
    world.servers[0].tweak = kiss;
    world.run_secs(HOUR);
    assert_eq!(addresses(&world), some([6, 2, 5, 4]), "who denies access");
    world.servers[1].alive = false;
    world.servers[3].tweak = |header| header.leap = LeapIndicator::Alarm;
    world.run_secs(4 * HOUR);
    // Of seven, four are bad: the last place goes round, but not to who denies access.
    let mut asked: Vec<_> = addresses(&world).into_iter().flatten().collect();
    asked.sort();
    asked.dedup();
    assert_eq!(asked.len(), 4);
    assert!([5, 6, 7].iter().all(|&number| asked.contains(&address(number))), "{asked:?}");
    let denied = world.queries.iter().filter(|(at, to)| *at > 3_700.0 && *to == address(1));
    assert!(denied.count() < 3);
    assert!(world.error().abs() < Span::from_millis(1));
    assert!(world.lookups.len() < 100, "{} lookups", world.lookups.len());
}

#[test]
fn a_pool_with_fewer_addresses_than_members_is_asked_seldom() {
    let pool: Vec<_> = (1..=2).map(address).collect();
    let mut world = world().serve((1..=2).map(Server::new)).ask_pool(4, &pool);
    world.run_secs(24 * HOUR);
    let mut asked = addresses(&world);
    asked.sort();
    assert_eq!(asked, [None, None, Some(address(1)), Some(address(2))]);
    assert!(world.lookups.len() <= 54, "{} lookups", world.lookups.len());
}

#[test]
fn a_member_of_a_pool_makes_way_for_a_server() {
    let pool: Vec<_> = (1..=3).map(address).collect();
    let mut world = world().serve((1..=3).map(Server::new)).ask_pool(2, &pool);
    world.run_secs(HOUR);
    assert_eq!(addresses(&world), some([1, 2]));
    world.add_peer(&PeerConfig { address: Some(address(2)), ..PeerConfig::default() }, &[]);
    world.run_secs(60);
    assert_eq!(addresses(&world), some([1, 3, 2]));
    world.add_peer(&PeerConfig::default(), &[address(1)]);
    world.run_secs(2 * HOUR);
    assert_eq!(addresses(&world), vec![None, Some(address(3)), Some(address(2)), Some(address(1))]);
    assert!(world.snapshot().synced);
}

/// Who had forged the first answer, or kept the real one away, is found out.
#[test]
fn answers_from_before_the_clock_was_trusted_are_asked_for_again() {
    let mut world = world().ask_by_name(&[Server::new(1)]).serve([Server::new(2)]);
    world = world.ask([Server::new(3), Server::new(4)]);
    world.run(Span::from_millis(1));
    world.names[0] = vec![address(2)];
    world.run_secs(60);
    assert_eq!(addresses(&world), some([1, 3, 4]));
    assert!(world.snapshot().synced);
    world.run_secs(60);
    assert_eq!(addresses(&world), some([2, 3, 4]));
    let lookups = world.lookups.len();
    world.run_secs(24 * HOUR);
    assert_eq!((lookups, world.lookups.len()), (2, 2));
}

/// Every name says something else each minute, or nothing, or the address of another.
#[test]
fn a_day_of_flapping_names() {
    let servers = (1..=12).map(|number| Server { alive: number % 3 != 0, ..Server::new(number) });
    let mut world = world().serve(servers).ask([]).ask_pool(2, &[]);
    for _ in 0..2 {
        world.add_peer(&PeerConfig::default(), &[]);
    }
    for minute in 0..24 * 60_usize {
        for (place, name) in world.names.iter_mut().enumerate() {
            let first = (minute * 7 + place * 5) % 12;
            let has = [0, 3, 1, 5][(minute + place) % 4];
            *name = (0..has).map(|more| address((1 + (first + more) % 12) as u8)).collect();
        }
        world.run_secs(60);
        if minute > 10 {
            world.assert_claims_hold();
            assert!(world.snapshot().synced, "minute {minute}");
            assert!(world.error().abs() < Span::from_millis(1), "minute {minute}");
        }
        let mut asked: Vec<_> = addresses(&world).into_iter().take(2).flatten().collect();
        asked.dedup();
        let asked_too = addresses(&world).into_iter().skip(2).flatten();
        assert!(asked_too.into_iter().all(|server| !asked.contains(&server)), "minute {minute}");
    }
    assert!(world.lookups.len() < 1_000, "{} lookups", world.lookups.len());
    assert!(world.queries.len() < 10_000, "{} queries", world.queries.len());
}
