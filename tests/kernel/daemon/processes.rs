//! Several processes: the parent does to the clock what the ntp engine wants, and leaves it at its
//! frequency when that is lost.

use anyhow::{Context, Result, ensure};
use truechimer_tests::guest::scenario::{Happening, Run, Scenario};

use super::{Case, event, perform, rate, server, within};

/// From then on the clock is right.
const SETTLED: f64 = 900.0;
const STOPPED: f64 = 3_600.0;
const END: f64 = 4_200.0;
/// What the oscillator gains, ppm.
const FREQUENCY: f64 = 12.0;

pub(crate) fn processes() -> Result<()> {
    let scenario = Scenario {
        name: "several processes".into(),
        configuration: server(0, 4, 6),
        separated: true,
        secs: END,
        // It is stepped, and then slewed.
        ahead: 3.0,
        frequency: FREQUENCY,
        events: vec![event(STOPPED, Happening::Stop)],
        ..Scenario::default()
    };
    perform("processes", &[Case { scenario, check }])
}

fn check(run: &Run) -> Result<String> {
    let error = run.error(SETTLED, STOPPED)?;
    within("when it has settled", error, 60e-6)?;
    within("without it", run.error(STOPPED, END)?, 200e-6)?;
    ensure!(run.ends.iter().map(|(_, code)| *code).eq([Some(0)]), "{run:?}");
    let left = rate(run.before(END)?)?;
    ensure!((left + FREQUENCY).abs() < 0.2, "left at {left} ppm");
    for sample in run.between(STOPPED + 1.0, END) {
        ensure!(rate(sample)? == left, "not {left} ppm: {sample:?}");
    }
    let status = run.before(STOPPED)?.status.as_ref().context("no status")?;
    ensure!(status["controlled"] == true, "{status}");
    for (process, protections) in [
        ("parent", vec!["capabilities", "no-new-privileges", "seccomp"]),
        ("ntp engine", vec!["chroot", "user", "capabilities", "no-new-privileges", "seccomp"]),
        ("dns engine", vec!["user", "capabilities", "no-new-privileges", "seccomp"]),
    ] {
        let active = status["protections"][process].as_array().context("no protections")?;
        let all = protections.iter().all(|name| active.iter().any(|active| active == name));
        ensure!(all, "{process}: {active:?}");
    }
    Ok(format!("{:.0} us when it has settled, {left:+.3} ppm left", error * 1e6))
}
