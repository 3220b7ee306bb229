//! What is claimed of the clock's error, over the grid of wander and jitter.

use anyhow::{Result, ensure};
use truechimer_tests::sim::{Link, Oscillator, Queueing, Server, World};

/// Random walk of the frequency, per root second.
const WANDERS: [f64; 4] = [1e-10, 1e-9, 1e-8, 1e-7];
/// Mean queueing delay each way, in seconds.
const JITTERS: [f64; 5] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2];
/// Greatest poll intervals, as powers of two seconds.
const POLLS: [i8; 2] = [6, 10];

/// Of each world so many, because what is likely fails seldom and then for a while.
const SEEDS: u64 = 3;

/// The guaranteed bound holds always. The likely one holds as often as it says over all worlds: in
/// a single one of great wander and jitter it may fail for a quarter of an hour.
pub fn run() -> Result<()> {
    let (mut likely, mut worlds) = (0.0, 0.0);
    for maxpoll in POLLS {
        for (wander, jitter) in WANDERS.iter().flat_map(|w| JITTERS.map(|jitter| (*w, jitter))) {
            let cell = format!("maxpoll {maxpoll}, wander {wander:e}, jitter {jitter:e}");
            for seed in 1..=SEEDS {
                let link = Link::new(1e-4, Queueing::Exponential(jitter));
                let report = World::new(Server::new(link).poll(6, maxpoll))
                    .seed(seed)
                    .offset(0.01)
                    .oscillator(Oscillator { frequency: 1e-5, wander, ..Oscillator::default() })
                    .duration(60_000.0, 20_000.0)
                    .run();
                ensure!(report.coverage == 1.0, "{cell}: beyond the bound\n{report}");
                ensure!(report.likely_coverage >= 0.98, "{cell}: not likely\n{report}");
                likely += report.likely_coverage;
                worlds += 1.0;
            }
        }
    }
    let held = likely / worlds;
    println!("the likely error held {:.4} % of the time", held * 100.0);
    ensure!(held >= 0.999, "the likely error held {held} of the time");
    Ok(())
}
