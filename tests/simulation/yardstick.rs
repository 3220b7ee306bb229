//! The estimator in small worlds, beside the yardstick.

use anyhow::{Result, ensure};
use truechimer_core::units::FreqOffset;
use truechimer_core::{ALL_KINDS, Estimator};
use truechimer_tests::yardstick::{Errors, Fault, World, Yardstick};

const WORLD: World =
    World { wander: 1e-8, jitter: 1e-4, shape: 1, fault: Fault::None, length: 60_000, seed: 0 };

/// Geometric means over seeds of the estimator's errors and of their ratios to the yardstick's.
fn compare<const KINDS: usize>(world: World, seeds: u64) -> (Errors, f64) {
    let (mut offset, mut frequency, mut normalized, mut ratio) = (0.0, 0.0, 0.0, 0.0);
    for seed in 1..=seeds {
        let world = World { seed, ..world };
        let ours = world.run(&mut Estimator::<KINDS>::new(FreqOffset::ZERO));
        let theirs = world.run(&mut Yardstick::new());
        offset += ours.offset.ln();
        frequency += ours.frequency.ln();
        normalized += ours.normalized;
        ratio += (ours.offset / theirs.offset).ln();
    }
    let seeds = seeds as f64;
    let errors = Errors {
        offset: (offset / seeds).exp(),
        frequency: (frequency / seeds).exp(),
        normalized: normalized / seeds,
    };
    (errors, (ratio / seeds).exp())
}

/// Twenty filters do what sixty do, and know how good they are.
pub fn steady() -> Result<()> {
    let mut logs = Vec::new();
    for wander in [1e-9, 1e-8] {
        for jitter in [1e-5, 1e-4, 1e-3] {
            let (errors, ratio) = compare::<ALL_KINDS>(World { wander, jitter, ..WORLD }, 2);
            println!("wander {wander:e}, jitter {jitter:e}: {errors:?}, {ratio:.3}");
            let normalized = errors.normalized;
            ensure!((0.5..2.0).contains(&normalized), "stated deviations are off: {normalized}");
            ensure!(ratio < 1.15, "{ratio} of the yardstick's error");
            logs.push(ratio.ln());
        }
    }
    let mean = (logs.iter().sum::<f64>() / logs.len() as f64).exp();
    println!("geometric mean of the ratios {mean:.3}");
    ensure!(mean <= 1.05, "{mean} of the yardstick's error");
    Ok(())
}

/// They recover from faults as well.
pub fn faults() -> Result<()> {
    for (fault, limit) in [
        (Fault::Frequency(1e-6), 6e-5),
        (Fault::Frequency(-1e-5), 2e-4),
        // A step is not seen for up to 64 s, and not believed for 4 s, of the 6000 s.
        (Fault::Phase(0.1), 0.1 * 0.12),
        (Fault::Phase(-0.001), 0.001 * 0.12),
        (Fault::Burst(0.01), 3e-5),
        (Fault::Route(0.02), 3e-5),
    ] {
        let world = World { wander: 1e-9, fault, length: 36_000, ..WORLD };
        let (Errors { offset, .. }, ratio) = compare::<ALL_KINDS>(world, 3);
        println!("{fault:?}: {offset:.3e} s, {ratio:.3}");
        ensure!(offset < limit && ratio < 1.2, "{fault:?}: {offset:e} s, {ratio}");
    }
    Ok(())
}

/// Eight filters do nearly as well.
pub fn small() -> Result<()> {
    let (_, ratio) = compare::<2>(WORLD, 2);
    ensure!(ratio < 1.05, "{ratio} of the yardstick's error");
    Ok(())
}
