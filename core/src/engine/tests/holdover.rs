//! What is known without sources: before the first, after the last, and in the next life.

use std::vec::Vec;

use super::world::{Server, World};
use crate::config::Config;
use crate::holdover::{Boot, KnownFrequency, Quality, State, TimeStatus};
use crate::units::{FreqOffset, Instant, Span};

const MILLISECOND: Span = Span::from_millis(1);
const HOUR: i64 = 3_600;

/// Three servers behind queues, and an oscillator that is 80 ppm fast.
fn world(config: &Config) -> World {
    let queues = [Span::from_micros(300); 2];
    let servers = [1, 2, 3].map(|number| Server { queues, ..Server::new(number) });
    World::drifting(config, 80).ask(servers)
}

fn known(state: &State) -> KnownFrequency {
    state.frequency.unwrap()
}

/// It was no earlier than what was kept as the floor.
fn assert_floors_hold(world: &World) {
    for (at, state) in &world.kept {
        let (floor, truth) = (state.floor.unwrap(), world.truth(*at));
        assert!(floor <= truth && truth - floor < Span::from_secs(1), "{floor:.9}, {truth:.9}");
    }
}

#[test]
fn an_hour_apart_what_is_known_is_kept() {
    let mut world = world(&Config::default());
    world.run_secs(6 * HOUR + 300);
    assert_floors_hold(&world);
    for known in world.kept.iter().filter_map(|(_, state)| state.frequency) {
        let error = (known.frequency.as_ppm() + 80.0).abs();
        assert!(error < 5e6 * known.deviation + 0.1, "{error} ppm, {known:?}");
    }
    let frequencies: Vec<_> = world.kept.iter().filter_map(|(_, state)| state.frequency).collect();
    for pair in frequencies.windows(2) {
        let change = (pair[1].frequency - pair[0].frequency).abs().as_ppm();
        let is_news = change > 0.1 || pair[1].deviation < 0.5 * pair[0].deviation;
        assert!(is_news || pair[1] == pair[0], "{pair:?}");
    }
    let secs = |at: Instant| (at - Instant::default()).as_secs_f64();
    let times: Vec<f64> = world.kept.iter().map(|(at, _)| secs(*at)).collect();
    assert!((7..=8).contains(&times.len()), "{times:?}");
    assert!(times[0] < 60.0 && times.windows(2).skip(1).all(|pair| pair[1] - pair[0] >= 3_600.0));
    let last = world.engine.state(world.now()).unwrap();
    assert!((known(&last).frequency.as_ppm() + 80.0).abs() < 0.2, "{last:?}");
    let bound = world.snapshot().error_bound.unwrap();
    assert_eq!(last.floor, Some(world.now().wall + -bound));
}

#[test]
fn who_only_watches_or_was_moved_keeps_nothing() {
    let mut watching = world(&Config { control: false, ..Config::default() });
    watching.run_secs(2 * HOUR);
    assert_eq!((watching.kept.len(), watching.engine.state(watching.now())), (0, None));

    for by in [86_400, -86_400, 300] {
        let mut world = world(&Config::default());
        world.run_secs(2 * HOUR);
        world.step_by_another(Span::from_secs(by));
        assert_eq!(world.engine.state(world.now()), None, "moved by {by} s");
        world.run_secs(4 * HOUR);
        assert_floors_hold(&world);
        world.sleep(Span::from_secs(by.abs()), Span::ZERO);
        assert_eq!(world.engine.state(world.now()), None, "slept {by} s");
        world.run_secs(4 * HOUR);
        assert!(world.kept.len() >= 9, "{:?}", world.kept);
        let frequencies = world.kept.iter().filter_map(|(_, state)| state.frequency);
        for known in frequencies.skip(1) {
            assert!((known.frequency.as_ppm() + 80.0).abs() < 0.5, "{by}: {known:?}");
        }
    }
}

#[test]
fn the_next_life_begins_where_this_one_ended() {
    let mut first = world(&Config::default());
    first.run_secs(4 * HOUR);
    let kept = known(&first.kept.last().unwrap().1).at_start();
    assert!(kept.deviation >= 1e-6 && kept.deviation < 2e-6, "{kept:?}");
    let KnownFrequency { frequency, deviation } = kept;
    let stored = Config { frequency, frequency_deviation: deviation, ..Config::default() };
    let [again, anew] = [stored, Config::default()].map(|config| {
        let mut world = world(&config);
        let mut worst = 0.0;
        world.watch(600, |world| {
            let frequency = world.snapshot().frequency.as_ppm();
            worst = f64::max(worst, (frequency + 80.0).abs());
        });
        worst
    });
    assert!(again < 1.0 && anew > 10.0, "{again} ppm, {anew} ppm");
}

#[test]
fn alone_for_a_day_the_bound_grows_and_holds() {
    let mut world = world(&Config::default());
    world.run_secs(4 * HOUR);
    assert_eq!(world.snapshot().quality.status, TimeStatus::Synced);
    for server in &mut world.servers {
        server.alive = false;
    }
    let left = world.now();
    // Eight queries go unanswered.
    world.run_secs(4 * HOUR);
    let early = world.snapshot().quality;
    assert_eq!((early.status, world.snapshot().synced), (TimeStatus::Holdover, true));
    for _ in 0..20 * 6 {
        world.run_secs(600);
        let Quality { status, bound, .. } = world.snapshot().quality;
        assert_eq!(status, TimeStatus::Holdover);
        assert!(world.error().abs() <= bound.unwrap(), "{} ± {bound:?}", world.error());
        // What was told hours ago is as true as what is told now.
        let told = early.bound_at(world.now().mono).unwrap();
        assert!((told - bound.unwrap()).abs() < MILLISECOND, "{told}, not {bound:?}");
    }
    let bound = world.snapshot().quality.bound.unwrap();
    // 15 ppm, and hardly anything for the frequency.
    let expected = FreqOffset::from_ppm(15).gain(world.now().mono - left.mono, 0).0;
    assert!(bound > expected && bound < expected + Span::from_millis(150), "{bound}");
    assert_eq!(world.engine.state(world.now()), None, "nobody says that it is right");
}

#[test]
fn before_the_first_source_the_start_is_all_there_is() {
    let mut world = World::new(&Config::default(), Span::from_millis(400));
    assert_eq!(world.snapshot().quality, Quality::UNKNOWN);
    let bound = Some(Span::from_millis(700));
    let boot = Boot { time: world.now().wall, bound, status: TimeStatus::Rtc };
    let quality = boot.quality(world.now().mono, 1e-4);
    world.engine.set_boot(quality);
    world.run_secs(1_000);
    assert_eq!(world.snapshot().quality, quality);
    assert_eq!(quality.bound_at(world.now().mono), Some(Span::from_millis(1_015)));
    world.step_by_another(Span::from_secs(5));
    assert_eq!(world.snapshot().quality, Quality { at: Default::default(), ..Quality::UNKNOWN });
    world.run_secs(10);
    assert_eq!(world.snapshot().quality.status, TimeStatus::Unknown);
}
