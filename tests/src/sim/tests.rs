//! The simulator as a whole: the same bits from the same seed, and each happening does what it
//! says.

use super::*;

fn csv(world: &World) -> Vec<u8> {
    let mut writer = csv::Writer::new(Vec::new()).unwrap();
    let _ = world.observe(|reading| writer.write(reading).unwrap());
    writer.into_inner()
}

#[test]
fn a_seed_decides_every_bit() {
    let link = Link {
        loss: 0.1,
        duplication: 0.1,
        reordering: Some(Reordering { probability: 0.1, by: 3.0 }),
        ..Link::new(1e-3, Queueing::Pareto { scale: 1e-3, shape: 2.0 })
    };
    let oscillator =
        Oscillator { frequency: 1e-5, wander: 1e-8, white: 1e-8, ..Oscillator::default() };
    let server = Server::new(link).poll(4, 6);
    let world =
        World::new(server.clone()).server(server).oscillator(oscillator).duration(3_000.0, 0.0);
    let first = csv(&world);
    assert_eq!(first.iter().filter(|octet| **octet == b'\n').count(), 3_001);
    assert!(first == csv(&world), "the same seed");
    assert!(first != csv(&world.seed(2)), "another seed");
}

/// The errors at each second of a clock that hears nothing.
fn errors(at: f64, what: Event) -> Vec<Reading> {
    let deaf = Link { loss: 1.0, ..Link::default() };
    let world = World::new(Server::new(deaf)).duration(300.0, 0.0).happening(at, what);
    let mut readings = Vec::new();
    let report = world.observe(|reading| readings.push(*reading));
    assert!(report.packets > 5 && report.servers[0].counters.used == 0);
    assert!(readings.iter().take_while(|reading| reading.time < at).all(|one| one.error == 0.0));
    readings
}

fn last(readings: &[Reading]) -> f64 {
    readings.last().unwrap().error
}

#[test]
fn steps_move_the_clock() {
    assert_eq!(last(&errors(100.5, Event::PhaseStep(0.25))), 0.25);
    assert_eq!(last(&errors(100.5, Event::PhaseStep(-2.5))), -2.5);
    assert_eq!(last(&errors(100.5, Event::ClockStep(-3_600.0))), -3_600.0);
    let drifted = last(&errors(100.0, Event::FrequencyStep(1e-4)));
    assert!((drifted - 0.02).abs() < 1.1e-4, "{drifted}");
}

#[test]
fn a_sleeping_host_is_not_seen() {
    let sleep = |clocks| errors(100.5, Event::Suspend { lasts: 60.0, clocks });
    for (clocks, error) in [(Sleep::Run, 0.0), (Sleep::Stop, -60.0), (Sleep::Restore, 0.0)] {
        let readings = sleep(clocks);
        assert_eq!(readings.len(), 240);
        assert!(readings.iter().all(|one| one.time <= 100.0 || one.time >= 161.0));
        assert_eq!(last(&readings), error, "{clocks:?}");
    }
}

/// A stopped counter's deadlines are as far away after the sleep as before it.
#[test]
fn a_stopped_counter_delays_the_next_query() {
    let server = Server::new(Link::new(1e-4, Queueing::None)).poll(6, 6);
    let asleep = |clocks| {
        let world = World::new(server.clone()).duration(3_600.0, 0.0);
        world.happening(100.0, Event::Suspend { lasts: 1_800.0, clocks }).run().packets
    };
    let awake = World::new(server.clone()).duration(1_800.0, 0.0).run().packets;
    assert!(asleep(Sleep::Run).abs_diff(awake) <= 6);
    assert!(asleep(Sleep::Stop).abs_diff(awake) <= 6);
}

#[test]
fn without_a_network_nothing_arrives() {
    let server = Server::new(Link::new(1e-4, Queueing::None)).poll(4, 4);
    let world = World::new(server).duration(10_000.0, 0.0).network(1_000.0, 100.0);
    let report = world.run();
    let counters = report.servers[0].counters;
    assert!((60..100).contains(&counters.used), "{counters:?}");
    assert_eq!(counters.sent, report.packets);
}

#[test]
fn reports_are_of_what_settled() {
    let mut readings = Vec::new();
    let world = World::new(Server::new(Link::new(1e-3, Queueing::Exponential(1e-4))))
        .offset(0.05)
        .duration(2_000.0, 1_000.0);
    let report = world.observe(|reading| readings.push(*reading));
    let settled: Vec<_> = readings.iter().filter(|reading| reading.time >= 1_000.0).collect();
    assert_eq!((readings.len(), settled.len()), (2_000, 1_001));
    let count = settled.len() as f64;
    let squares = settled.iter().map(|one| one.error.powi(2)).sum::<f64>();
    assert!((report.rms / (squares / count).sqrt() - 1.0).abs() < 1e-12);
    let mean = settled.iter().map(|one| one.error).sum::<f64>() / count;
    assert!((report.mean - mean).abs() < 1e-15);
    let first_right = readings.iter().rposition(|one| one.error.abs() >= world.right).unwrap() + 1;
    assert_eq!(report.time_to_sync, Some(readings[first_right].time));
    assert_eq!(report.packets, readings.last().unwrap().packets);
}
