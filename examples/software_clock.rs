//! Disciplines a software clock over a counter that drifts, in virtual time, with the three things
//! that can be done to a clock: step it, slew it, set its frequency.
//!
//! ```sh
//! cargo run -p truechimer-examples --example software_clock -- -80
//! ```
//!
//! The argument is what the counter gains on true time, in ppm; 80 if there is none. The rule here
//! is a toy: `truechimer_core::Engine` judges what servers say, and estimates offset and frequency.

use std::env;

use anyhow::{Context, ensure};
use truechimer_core::config::NOT_BEFORE;
use truechimer_core::timex::SoftwareClock;
use truechimer_core::units::{FreqOffset, Instant, Span, WallTime};

/// No quartz is further off.
const MAX_DRIFT_PPM: f64 = 500.0;
const INTERVAL: Span = Span::from_secs(64);
/// The clock is set at once if it is further off than this, and corrected gradually if not.
const STEP_THRESHOLD: Span = Span::from_millis(100);
const ROUNDS: i64 = 16;

fn main() -> anyhow::Result<()> {
    let drift = env::args().nth(1).unwrap_or_else(|| "80".to_owned());
    let ppm: f64 = drift.parse().with_context(|| format!("not a number of ppm: {drift:?}"))?;
    let allowed = -MAX_DRIFT_PPM..=MAX_DRIFT_PPM;
    ensure!(allowed.contains(&ppm), "{ppm} ppm, but {allowed:?} are allowed");
    let drift = FreqOffset::from_ppm_f64(ppm);

    // The clock starts 1.5 s behind, and knows nothing of its counter's drift.
    let late = NOT_BEFORE + Span::from_millis(-1_500);
    let mut clock = SoftwareClock::new(counter(Span::ZERO, drift), late);
    for round in 0..ROUNDS {
        let elapsed = INTERVAL.times(round);
        let (at, truth) = (counter(elapsed, drift), NOT_BEFORE + elapsed);
        let offset = truth - clock.read(at);
        report(elapsed, &clock, truth, at);
        if offset.abs() > STEP_THRESHOLD {
            clock.step(at, offset);
        } else {
            // What it lost since the last round is its frequency error. Only half of that is
            // believed: with a network between, an offset is never exact.
            let error = offset.as_secs_f64() / INTERVAL.as_secs_f64();
            clock.set_frequency(at, clock.frequency() + FreqOffset::from_ratio(error / 2.0));
            clock.slew(at, offset);
        }
    }
    Ok(())
}

/// What the counter shows when `elapsed` of true time has passed.
fn counter(elapsed: Span, drift: FreqOffset) -> Instant {
    Instant::default() + elapsed + drift.gain(elapsed, 0).0
}

fn report(elapsed: Span, clock: &SoftwareClock, truth: WallTime, at: Instant) {
    println!(
        "{:4} s  error {:+.9} s  frequency {:+8.3} ppm",
        elapsed.as_secs_rounded(),
        clock.read(at) - truth,
        clock.frequency()
    );
}
