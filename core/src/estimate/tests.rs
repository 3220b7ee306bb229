//! The estimator, sample by sample. How good it is in whole worlds is measured in `tests/`.

pub(super) mod world;

use std::println;

use proptest::prelude::*;

use self::world::{Rng, START_OF_TIME, at};
use super::*;
use crate::holdover::KnownFrequency;

#[test]
fn sizes() {
    let (full, small) = (size_of::<Estimator>(), size_of::<Estimator<2>>());
    println!("20 filters {full} bytes, 8 filters {small} bytes");
    assert!(full <= 1_400 && small <= 850);
}

/// An exchange at `secs` of free-running time, the source being `offset` seconds ahead of it and
/// `[forth, back]` seconds away.
fn exchange(secs: f64, offset: f64, [forth, back]: [f64; 2]) -> Exchange {
    Exchange {
        sent: at(secs),
        server_received: at(secs + forth + offset),
        server_sent: at(secs + forth + offset + 1e-5),
        received: at(secs + forth + 1e-5 + back),
    }
}

/// Answers to a clock that is slow by 80 ppm: six in 12 s, then one each 16 s. And the time of
/// the last.
fn settled(answers: usize) -> (Estimator, f64) {
    let mut estimator = Estimator::new(FreqOffset::ZERO);
    let mut rng = Rng::new(1);
    let mut time = 0.0;
    for answer in 0..answers {
        time += if answer < 6 { 2.0 } else { 16.0 };
        let delays = [(); 2].map(|()| 1e-3 + 1e-4 * rng.exponential());
        let verdict = estimator.update(&exchange(time, 0.25 + 80e-6 * time, delays));
        assert_eq!(verdict, Verdict::Taken, "{answer}");
    }
    (estimator, time)
}

#[test]
fn finds_offset_and_frequency() {
    let (estimator, time) = settled(100);
    let estimate = estimator.estimate().unwrap();
    assert!((estimate.frequency.as_ppm() - 80.0).abs() < 0.1, "{}", estimate.frequency);
    assert!((estimate.time - at(time)).abs() < Span::from_millis(2));
    let expected = |time: f64| 0.25 + 80e-6 * time;
    assert!((estimate.offset.as_secs_f64() - expected(time)).abs() < 1e-5);
    assert!((estimate.delay.as_secs_f64() - 2e-3).abs() < 1e-4, "{}", estimate.delay);
    let later = time + 1_000.0;
    let error = estimate.offset_at(at(later)).as_secs_f64() - expected(later);
    let deviation = estimate.deviation_at(at(later));
    assert!(error.abs() < 3.0 * deviation && deviation > estimate.offset_deviation);
}

#[test]
fn the_first_four_answers_speak_for_themselves() {
    let mut estimator = Estimator::<ALL_KINDS>::new(FreqOffset::from_ppm(-80));
    assert_eq!(estimator.estimate(), None);
    assert_eq!(estimator.frequency(), FreqOffset::from_ppm(-80));
    for answer in 1..=3 {
        let time = f64::from(answer) * 2.0;
        estimator.update(&exchange(time, -0.5, [3e-3, 1e-3]));
        let estimate = estimator.estimate().unwrap();
        assert!((estimate.offset - Span::from_millis(-499)).abs() <= Span::from_nanos(2));
        assert!((estimate.delay - Span::from_millis(4)).abs() <= Span::from_nanos(2));
        assert!((estimate.offset_deviation - 2e-3).abs() < 1e-8);
        assert_eq!(estimate.frequency, FreqOffset::from_ppm(-80));
    }
    estimator.update(&exchange(8.0, -0.5, [1e-3, 1e-3]));
    let estimate = estimator.estimate().unwrap();
    assert!((estimate.offset.as_secs_f64() + 0.5).abs() < 3e-4, "{}", estimate.offset);
    // The clock may be off by 100 ppm from what was known of it: few samples cannot tell.
    assert!((estimate.frequency.as_ppm() + 80.0).abs() < 60.0, "{}", estimate.frequency);
}

#[test]
fn a_step_is_doubted_twice() {
    for step in [-0.25, 1e-3, 30.0, 5e6, -1e9] {
        let (mut estimator, time) = settled(60);
        let answer = |n: i32| {
            let time = time + f64::from(n) * 2.0;
            exchange(time, 0.25 + 80e-6 * time + step, [1.1e-3, 1.1e-3])
        };
        let verdicts = [1, 2, 3].map(|n| estimator.update(&answer(n)));
        assert_eq!(verdicts, [Verdict::Violated, Verdict::Violated, Verdict::Reset], "{step}");
        let estimate = estimator.estimate().unwrap();
        let error = estimate.offset.as_secs_f64() - step - 0.25 - 80e-6 * (time + 6.0);
        assert!(error.abs() < 2e-4, "{step}: {error}");
        let error = estimate.frequency.as_ppm() - 80.0;
        assert!(error.abs() < 0.2, "{step}: {error}");
    }
}

#[test]
fn one_impossible_answer_is_skipped() {
    let (mut estimator, time) = settled(60);
    let before = estimator.estimate();
    let early = exchange(time + 16.0, 0.35, [1e-3, 1e-3]);
    assert_eq!(estimator.update(&early), Verdict::Violated);
    assert_eq!(estimator.estimate(), before);
    let right = exchange(time + 18.0, 0.25 + 80e-6 * (time + 18.0), [1e-3, 1e-3]);
    assert_eq!(estimator.update(&right), Verdict::Taken);
}

#[test]
fn months_of_silence_begin_anew() {
    let (mut estimator, _) = settled(60);
    for verdict in [Verdict::Violated, Verdict::Violated, Verdict::Reset] {
        assert_eq!(estimator.update(&exchange(2e7, 0.25 + 80e-6 * 2e7, [1e-3; 2])), verdict);
    }
    assert!((estimator.frequency().as_ppm() - 80.0).abs() < 0.2);
    assert!(estimator.estimate().unwrap().frequency_deviation >= 1e-4);
}

/// What must hold whatever was measured.
fn check<const KINDS: usize>(estimator: &Estimator<KINDS>) -> Result<(), TestCaseError> {
    let estimate = estimator.estimate().unwrap();
    let later = estimate.time + Span::from_secs(1_000_000);
    for value in [
        estimate.offset_deviation,
        estimate.frequency_deviation,
        estimate.deviation_at(later),
        estimate.deviation_at(estimate.time + Span::from_secs(-10)),
    ] {
        prop_assert!(value.is_finite() && value >= 0.0, "{estimate:?}");
    }
    prop_assert!(estimate.delay >= Span::ZERO);
    let Stage::Running(bank) = &estimator.stage else { return Ok(()) };
    let mut greatest = f32::MIN;
    for kind in &bank.kinds {
        for scale in kind.scales {
            prop_assert!(scale.jitter >= 0.01 && scale.jitter < 1e12, "{scale:?}");
            prop_assert!((0.005..=0.5).contains(&scale.outliers), "{scale:?}");
        }
        for filter in &kind.filters {
            prop_assert!(filter.is_sound(), "{filter:?}");
            let [forth, back, frequency] = filter.variance;
            prop_assert!(forth > 0.0 && back > 0.0 && frequency > 0.0, "{filter:?}");
            let pairs = [(forth, back), (forth, frequency), (back, frequency)];
            for (cross, (one, other)) in filter.cross.into_iter().zip(pairs) {
                let limit = libm::sqrtf(one) * libm::sqrtf(other);
                prop_assert!(cross.abs() <= limit * 1.001, "{filter:?}");
            }
            prop_assert!((-30.0..=0.0).contains(&filter.log_weight), "{filter:?}");
            greatest = greatest.max(filter.log_weight);
        }
    }
    // Weights are relative to the best one's; their sum, which is divided by, is not zero.
    prop_assert_eq!(greatest, 0.0);
    Ok(())
}

/// Nanoseconds from nothing to centuries, mostly of sizes that occur.
fn nanos() -> impl Strategy<Value = i64> {
    prop_oneof![
        2 => Just(0),
        6 => 0..1_000_000i64,
        4 => 0..1_000_000_000i64,
        2 => -100_000_000_000..100_000_000_000i64,
        1 => any::<i64>(),
    ]
}

fn gaps() -> impl Strategy<Value = i64> {
    prop_oneof![
        1 => Just(0),
        6 => (0..2_048i64).prop_map(|secs| secs * 1_000_000_000),
        2 => -5_000_000_000..5_000_000_000i64,
        2 => (0..30i64).prop_map(|days| days * 86_400_000_000_000),
        1 => any::<i64>(),
    ]
}

proptest! {
    #[test]
    fn no_measurements_break_it(
        measurements in prop::collection::vec((gaps(), nanos(), nanos(), 0..50i64), 1..60)
    ) {
        let mut estimator = Estimator::<ALL_KINDS>::new(FreqOffset::from_ppm(20));
        let mut small = Estimator::<2>::new(FreqOffset::ZERO);
        let (mut time, mut step) = (START_OF_TIME, Span::ZERO);
        for (gap, forth, back, chance) in measurements {
            time += Span::from_nanos(gap);
            if chance == 0 {
                step += Span::from_nanos(back);
            }
            let sent = time;
            let received = sent + Span::from_nanos(forth) + Span::from_nanos(back);
            let server = sent + Span::from_nanos(forth) + step;
            let exchange =
                Exchange { sent, server_received: server, server_sent: server, received };
            estimator.update(&exchange);
            check(&estimator)?;
            small.update(&exchange);
            check(&small)?;
        }
    }
}

/// The worst error of the frequency, in ppm, that a clock shows after so many seconds which runs right
/// but was known to be off by `stored` ppm, give or take `deviation` ppm.
fn frequency_error(jitter: f64, stored: f64, deviation: f64, until: f64) -> f64 {
    let error = |seed| {
        let frequency = FreqOffset::from_ppm_f64(stored);
        let known = KnownFrequency { frequency, deviation: deviation * 1e-6 };
        let mut estimator = Estimator::<ALL_KINDS>::known(known);
        let mut rng = Rng::new(seed);
        let (mut time, mut gap) = (0.0, 2.0);
        while time < until {
            gap = if time > 8.0 { f64::min(1.2 * gap, 64.0) } else { gap };
            time += gap;
            let delays = [(); 2].map(|()| 1e-3 + jitter * rng.exponential());
            estimator.update(&exchange(time, 0.25, delays));
        }
        estimator.frequency().as_ppm().abs()
    };
    (1..=9).map(error).fold(0.0, f64::max)
}

#[test]
fn a_frequency_that_was_kept_spares_its_search() {
    for jitter in [1e-3, 1e-2] {
        let [kept, sought] = [(0.5, 1.0), (0.0, 100.0)]
            .map(|(stored, deviation)| frequency_error(jitter, stored, deviation, 60.0));
        assert!(kept < 1.0 && sought > 3.0, "{jitter}: {kept} ppm, {sought} ppm");
    }
}

#[test]
fn a_frequency_of_another_oscillator_is_soon_forgotten() {
    for jitter in [1e-5, 1e-4, 1e-3] {
        for stored in [-300.0, 30.0, 100.0] {
            let error = frequency_error(jitter, stored, 1.0, 400.0);
            assert!(error < 1.0, "{jitter}, {stored} ppm: {error} ppm");
        }
    }
    let error = frequency_error(1e-2, 100.0, 1.0, 2_000.0);
    assert!(error < 2.0, "{error} ppm");
}
