//! Disciplines a software clock over a counter that drifts, in virtual time, as a kernel's clock is
//! disciplined: `ntp_adjtime` steps it once, then feeds its phase-locked loop.
//!
//! ```sh
//! cargo run -p truechimer-examples --example software_clock -- -80
//! ```
//!
//! The argument is what the counter gains on true time, in ppm; 80 if there is none. The offsets
//! are the true ones here: `truechimer_core::Engine` estimates them from what servers say.

use std::cell::Cell;
use std::env;

use anyhow::{Context, ensure};
use truechimer_core::config::NOT_BEFORE;
use truechimer_core::timex::{Constant, CountingClock, Request, Resolution, Settings, Status};
use truechimer_core::units::{FreqOffset, Instant, Span};

/// The loop takes 500 ppm, a little of which it needs to turn.
const MAX_DRIFT_PPM: f64 = 400.0;
/// The loop takes half a second; what is more than this is stepped.
const STEP_THRESHOLD: Span = Span::from_millis(128);
const SECONDS: i64 = 1_024;
const REPORT_INTERVAL: i64 = 64;

fn main() -> anyhow::Result<()> {
    let drift = env::args().nth(1).unwrap_or_else(|| "80".to_owned());
    let ppm: f64 = drift.parse().with_context(|| format!("not a number of ppm: {drift:?}"))?;
    let allowed = -MAX_DRIFT_PPM..=MAX_DRIFT_PPM;
    ensure!(allowed.contains(&ppm), "{ppm} ppm, but {allowed:?} are allowed");
    let drift = FreqOffset::from_ppm_f64(ppm);

    // The clock starts 1.5 s behind, and knows nothing of its counter's drift.
    let elapsed = Cell::new(Span::ZERO);
    let counter = || Instant::default() + elapsed.get() + drift.gain(elapsed.get(), 0).0;
    let mut clock = CountingClock::new(counter, NOT_BEFORE + Span::from_millis(-1_500));
    for second in 0..SECONDS {
        elapsed.set(Span::from_secs(second));
        let offset = NOT_BEFORE + elapsed.get() - clock.time();
        let settings = if offset.abs() > STEP_THRESHOLD {
            Settings {
                set_offset: Some(offset),
                resolution: Some(Resolution::Nano),
                status: Some(Status::PLL),
                constant: Some(Constant::Time(0)),
                ..Settings::NONE
            }
        } else {
            Settings { offset: Some(offset), ..Settings::NONE }
        };
        let reply = clock.ntp_adjtime(&Request::Set(settings))?;
        if second % REPORT_INTERVAL == 0 {
            let frequency = reply.timex.freq;
            println!("{second:4} s  error {:+.9} s  frequency {frequency:+.3} ppm", -offset);
        }
    }
    Ok(())
}
