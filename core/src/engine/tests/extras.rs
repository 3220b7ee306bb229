//! An engine without extras is the same engine, deaf to what asks for them.

use std::format;
use std::string::String;
use std::vec::Vec;

use super::world::{Server, World};
use crate::clock::{ClockCommand, LeapList};
use crate::config::{Config, DisciplineMode, LeapMode, PeerConfig};
use crate::io::{Input, Request};
use crate::units::{FreqOffset, Span, WallTime};
use crate::wire::LeapIndicator;

/// A quarter of an hour before the end of June 2027, which has one second more.
const EPOCH: WallTime = WallTime::from_unix(1_814_400_000 - 1_000, 0);

/// All that comes out of a world in which something of everything happens.
fn told<const EXTRAS: bool>(config: &Config, peer: &PeerConfig) -> Vec<String> {
    let local = EPOCH + Span::from_secs(2);
    let mut world = World::<EXTRAS>::of(config, EPOCH, local, FreqOffset::from_ppm(20));
    for number in 1..=4 {
        let mut server = Server { loss_percent: 5, ..Server::new(number) };
        server.queues = [Span::from_micros(200); 2];
        match number {
            3 => server.lie = Span::from_millis(300),
            4 => server.tweak = |header| header.stratum = 16,
            _ => server.tweak = |header| header.leap = LeapIndicator::AddSecond,
        }
        world = world.serve([server]);
        // The first has a name, which is the second's too.
        let found = [super::world::address(number), super::world::address(2)];
        let address = (number != 1).then_some(found[0]);
        world.add_peer(&PeerConfig { address, ..*peer }, &found);
    }
    world.run_secs(2_000);
    world.step_by_another(Span::from_secs(5));
    world.run_secs(3_000);
    world.servers.iter_mut().for_each(|server| server.alive = false);
    world.run_secs(3_000);
    world.servers.iter_mut().for_each(|server| server.alive = true);
    world.run_secs(9_000);
    let snapshot = world.snapshot();
    let mut told = std::vec![format!("{snapshot:?}")];
    told.extend(world.events.iter().map(|event| format!("{event:?}")));
    told.extend(world.queries.iter().map(|query| format!("{query:?}")));
    told.extend(world.commands.iter().map(|command| format!("{command:?}")));
    told
}

#[test]
fn what_is_not_an_extra_is_the_same_without() {
    let (config, peer) = (Config::default(), PeerConfig::default());
    let with = told::<true>(&config, &peer);
    assert!(with.len() > 300, "{}", with.len());
    for text in ["leap second", "Step", "Lock"] {
        assert_eq!(with.iter().any(|line| line.contains(text)), text != "Lock", "{text}");
    }
    assert_eq!(with, told::<false>(&config, &peer));
}

#[test]
fn what_asks_for_an_extra_is_not_heard() {
    let config = Config {
        orphan_stratum: Some(2),
        constrained: true,
        discipline: DisciplineMode::Kernel,
        leap: LeapMode::Slew,
        ..Config::default()
    };
    let peer = PeerConfig { pool: true, ..PeerConfig::default() };
    assert_eq!(
        told::<false>(&config, &peer),
        told::<false>(&Config::default(), &PeerConfig::default())
    );

    let mut world =
        World::<false>::of(&config, EPOCH, EPOCH, FreqOffset::ZERO).serve([Server::new(1)]);
    world.add_peer(&PeerConfig { address: Some(super::world::address(1)), ..peer }, &[]);
    world.engine.set_leap_list(Some(LeapList { next: None, tai: 37, expires: EPOCH + Span::MAX }));
    let _ = world.engine.handle(world.now(), Input::Operator(Request::Step));
    world.run_secs(600);
    assert!(world.answers.is_empty() && world.constrained.is_empty());
    let plan = world.commands.iter().find_map(|(_, command)| match command {
        ClockCommand::Leap(plan) => Some(plan.tai),
        _ => None,
    });
    assert_eq!(plan, Some(None));
}
