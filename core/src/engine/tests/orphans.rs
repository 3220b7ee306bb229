//! Several hosts without a source that ask each other.

use super::world::{Server, World};
use super::*;
use crate::select::Standing::{self, Orphan, Selected};

/// One that follows nobody.
const ALONE: fn(&mut Header) = |header| header.stratum = 9;
/// One that follows such a one.
const BEHIND: fn(&mut Header) = |header| header.stratum = 10;

fn server(number: u8, tweak: fn(&mut Header)) -> Server {
    Server { tweak, ..Server::new(number) }
}

fn world(orphan_stratum: Option<u8>, servers: &[Server]) -> World {
    let config = Config { orphan_stratum, ..Config::default() };
    let mut world = World::new(&config, Span::ZERO).ask(servers.iter().copied());
    world.run_secs(600);
    world
}

fn standings(world: &World) -> Vec<Standing> {
    world.snapshot().peers().map(|peer| peer.standing).collect()
}

/// This host is 192.0.2.200.
#[test]
fn the_least_address_is_followed() {
    let cases: [(&[Server], &[Standing]); 5] = [
        (&[server(201, ALONE), server(1, ALONE)], &[Orphan, Selected]),
        (&[server(2, ALONE), server(1, ALONE)], &[Orphan, Selected]),
        (&[server(2, ALONE), server(1, BEHIND)], &[Selected, Orphan]),
        (&[server(201, ALONE), server(202, ALONE)], &[Orphan, Orphan]),
        (&[server(1, BEHIND)], &[Orphan]),
    ];
    for (servers, expected) in cases {
        let world = world(Some(9), servers);
        assert_eq!(standings(&world), expected, "{servers:?}");
        assert_eq!(world.snapshot().synced, expected.contains(&Selected));
    }
    // Who is no orphan itself has no reason to tell them apart.
    assert_eq!(standings(&world(None, &[server(201, ALONE)])), [Selected]);
    assert_eq!(standings(&world(Some(10), &[server(201, ALONE)])), [Selected]);
}

#[test]
fn an_orphan_is_followed_only_where_there_is_nobody_else() {
    let mut world = world(Some(9), &[server(1, ALONE), Server::new(2)]);
    assert_eq!(standings(&world), [Orphan, Selected]);
    world.servers[1].alive = false;
    world.run_secs(86_400);
    assert_eq!(standings(&world), [Selected, Standing::Unreachable]);
    world.servers[1].alive = true;
    world.run_secs(7_200);
    assert_eq!(standings(&world), [Orphan, Selected]);
}
