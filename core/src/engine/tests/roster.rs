//! Peers that come, go and change while others stay.

use super::world::{Server, World, address};
use super::*;
use crate::config::SelectOptions;
use crate::select::Standing;

fn config(number: u8) -> PeerConfig {
    PeerConfig { address: Some(address(number)), ..PeerConfig::default() }
}

fn three() -> World {
    let mut world = World::new(&Config::default(), Span::ZERO).ask((1..=3).map(Server::new));
    world.run_secs(600);
    world
}

#[test]
fn who_stays_keeps_what_is_known() {
    let mut world = three();
    let before: Vec<_> = [0, 2].map(|place| world.peer(place)).into();
    let offset = world.snapshot().offset;
    world.engine.remove_peer(PeerId(1));
    assert_eq!(world.snapshot().peers().len(), 2);
    for (place, before) in before.into_iter().enumerate() {
        let after = world.peer(place);
        assert_eq!(format!("{after:?}"), format!("{before:?}"));
    }
    assert!(world.snapshot().synced);
    assert_eq!(world.snapshot().offset, offset);
    world.run_secs(600);
    assert_eq!(world.told("2 out of 2 peers valid"), 1);
    let standings: Vec<_> = world.snapshot().peers().map(|peer| peer.standing).collect();
    assert!(standings.contains(&Standing::Selected) && standings.contains(&Standing::Combined));
}

/// Though it has the place of the one before: what comes late for that one finds nobody.
#[test]
fn a_newcomer_is_not_taken_for_the_one_that_left() {
    let mut bench = Bench::answered(5);
    let honest = bench.honest();
    let now = at(bench.time);
    bench.engine.remove_peer(PEER);
    let other = PeerConfig { address: None, ..PeerConfig::default() };
    let id = bench.engine.add_peer(now, &other).unwrap();
    assert_ne!(id, PEER);
    bench.receive(SERVER, &honest.emit());
    let late =
        [Input::Resolved { peer: PEER, addresses: &[SERVER] }, Input::SendFailed { peer: PEER }];
    for input in late {
        let _ = bench.engine.handle(now, input);
    }
    let snapshot = bench.engine.snapshot(now);
    let peer = snapshot.peers().next().unwrap();
    assert_eq!((snapshot.peers().len(), peer.id, peer.address), (1, id, None));
    assert_eq!(format!("{:?}", peer.counters), format!("{:?}", crate::peer::Counters::default()));
    assert!(snapshot.synced, "what it said is believed until another speaks");
}

/// However often peers come and go.
#[test]
fn ids_are_distinct() {
    let mut engine = Engine::<3>::new(&Config::default(), at(0.0), [9; 32]);
    let mut present: Vec<PeerId> =
        (0..3).map(|_| engine.add_peer(at(0.0), &config(1)).unwrap()).collect();
    assert_eq!(present, [PeerId(0), PeerId(1), PeerId(2)]);
    assert_eq!(engine.add_peer(at(0.0), &config(1)), Err(TooManyPeers));
    for round in 0..70_000_usize {
        let gone = present.remove(round * round % 3);
        engine.remove_peer(gone);
        let id = engine.add_peer(at(0.0), &config(1)).unwrap();
        assert!(id != gone && !present.contains(&id), "{id:?} in round {round}");
        present.push(id);
    }
    engine.remove_peer(PeerId(u16::MAX));
    assert_eq!(engine.snapshot(at(0.0)).peers().len(), 3);
}

#[test]
fn the_followed_one_may_go_and_a_new_one_come() {
    let mut world = three();
    for number in 4..=6 {
        let followed = world.snapshot().peers().find(|peer| peer.standing == Standing::Selected);
        world.engine.remove_peer(followed.unwrap().id);
        world = world.ask([Server::new(number)]);
        world.run_secs(600);
        world.assert_claims_hold();
        assert!(world.snapshot().synced && world.peer(2).standing == Standing::Combined);
    }
    assert_eq!(world.told("clock is now unsynced"), 0);
}

#[test]
fn limits_and_options_change_in_place() {
    let mut world = three();
    let before = world.peer(0);
    let select = SelectOptions { noselect: true, ..SelectOptions::default() };
    let changed = PeerConfig { min_poll: 3, max_poll: 4, select, ..config(1) };
    let now = world.now();
    world.engine.set_peer(now, PeerId(0), &changed);
    let after = world.peer(0);
    assert_eq!((after.counters.used, after.reach), (before.counters.used, before.reach));
    assert_eq!((after.interval, after.standing), (Span::from_secs(16), Standing::NoSelect));
    assert!(after.next_query - now.mono <= Span::from_secs(16));
    world.run_secs(160);
    assert!(world.peer(0).counters.used >= before.counters.used + 9);
    assert_eq!(world.peer(0).estimate.is_some(), before.estimate.is_some());
}

/// What counts as the first corrections is counted from the start.
#[test]
fn the_policy_of_steps_changes() {
    let mut bench = Bench::answered(5);
    let jump = |bench: &mut Bench| {
        let mut header = bench.honest();
        header.receive_time = NtpTimestamp::from_wall(at(bench.time + 10.005).wall);
        header.transmit_time = header.receive_time;
        bench.receive(SERVER, &header.emit());
        bench.ask();
    };
    let stepped =
        |bench: &Bench| bench.commands.iter().any(|one| matches!(one, ClockCommand::Step(_)));
    for _ in 0..12 {
        jump(&mut bench);
    }
    assert!(!stepped(&bench), "{:?}", bench.commands);
    let always = Config { step_limit: None, panic_threshold: None, ..Config::default() };
    bench.engine.configure(&always);
    jump(&mut bench);
    assert!(stepped(&bench), "{:?}", bench.commands);
}

#[test]
fn who_is_offline_is_not_asked() {
    let mut world = three();
    for id in [0, 1, 2].map(PeerId) {
        world.engine.set_online(world.now(), id, false);
    }
    let asked = world.queries.len();
    world.run_secs(7_200);
    assert_eq!(world.queries.len(), asked);
    assert!(world.snapshot().synced && world.peer(0).valid);
    world.assert_claims_hold();
    let before = world.peer(1).counters.used;
    world.engine.set_online(world.now(), PeerId(1), true);
    world.run_secs(1);
    assert_eq!((world.queries.len(), world.peer(1).counters.used), (asked + 1, before + 1));
    world.run_secs(3_600);
    assert!(world.peer(0).counters.sent < world.peer(1).counters.sent);
}

#[test]
fn a_burst_is_sent_at_once() {
    let mut world = three();
    world.run_secs(7_200);
    let asked = world.peer(0).counters.used;
    world.engine.burst(world.now(), PeerId(0));
    world.run_secs(30);
    assert!(
        (6..=16).contains(&(world.peer(0).counters.used - asked)),
        "{:?}",
        world.peer(0).counters
    );
    world.engine.set_online(world.now(), PeerId(0), false);
    world.engine.burst(world.now(), PeerId(0));
    let asked = world.peer(0).counters.sent;
    world.run_secs(600);
    assert_eq!(world.peer(0).counters.sent, asked);
}
