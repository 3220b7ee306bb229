//! What the bank's size is worth: 8 filters, 20 and the prototype's 60, shown the same exchanges.

use truechimer_core::units::FreqOffset;
use truechimer_core::{ALL_KINDS, Estimator};
use truechimer_tests::yardstick::{Fault, World, Yardstick};

use crate::parallel;
use crate::table::{self, Verdict, geometric_mean};

/// Random walk of the frequency, per root second.
const WANDERS: [f64; 4] = [1e-10, 1e-9, 1e-8, 1e-7];
/// Mean queueing delay each way, in seconds.
const JITTERS: [f64; 5] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2];
/// Shapes of the delays' gamma distribution: 1 is exponential.
const SHAPES: [u32; 3] = [1, 2, 4];
/// Of the kinds of noise, the small profile's: 8 filters.
const SMALL_KINDS: usize = 2;
/// Twenty filters are to be no worse than sixty by more than this.
const NEAR_YARDSTICK: f64 = 1.1;

/// Prints the errors relative to twenty filters' and theirs to the prototype's.
pub fn print(seeds: u64) -> Vec<Verdict> {
    let cells = || WANDERS.iter().flat_map(|wander| JITTERS.map(|jitter| (*wander, jitter)));
    let ratios = SHAPES.map(|shape| {
        let worlds: Vec<World> = cells()
            .flat_map(|(wander, jitter)| (1..=seeds).map(move |seed| (wander, jitter, seed)))
            .map(|(wander, jitter, seed)| World {
                wander,
                jitter,
                shape,
                fault: Fault::None,
                length: 120_000,
                seed,
            })
            .collect();
        let found = parallel::map(&worlds, |world| {
            let small = world.run(&mut Estimator::<SMALL_KINDS>::new(FreqOffset::ZERO)).offset;
            let full = world.run(&mut Estimator::<ALL_KINDS>::new(FreqOffset::ZERO)).offset;
            [small / full, full / world.run(&mut Yardstick::new()).offset]
        });
        [0, 1].map(|place| geometric_mean(found.iter().map(|ratios| ratios[place])))
    });
    let rows: Vec<_> = SHAPES
        .iter()
        .zip(&ratios)
        .map(|(shape, [small, full])| {
            vec![shape.to_string(), format!("{small:.3}"), format!("{full:.3}")]
        })
        .collect();
    table::print(
        &format!(
            "banks: RMS errors over the grid of wander and jitter, geometric means, {seeds} seeds"
        ),
        &["shape of the jitter", "8 filters / 20", "20 filters / the prototype's 60"],
        &rows,
    );
    let [[_, exponential], ..] = ratios;
    vec![Verdict::at_most(
        "20 filters, RMS error over the prototype's",
        exponential,
        NEAR_YARDSTICK,
    )]
}
