//! Several processes: the parent does to the clock what the ntp engine wants, and leaves it at its
//! frequency when that is lost.

use anyhow::{Context, Result, ensure};
use truechimer_tests::guest::scenario::{Happening, Run, Scenario};

use super::{Case, event, perform, rate, server, within};

/// From then on the clock is right.
const SETTLED: f64 = 900.0;
const STOPPED: f64 = 3_600.0;
const END: f64 = 4_200.0;
/// A slew of 500 ppm takes longer.
const KILLED: f64 = 200.0;
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
    let killed = Scenario {
        name: "killed in the midst of a slew".into(),
        configuration: "step_threshold = 1\n".to_owned() + &server(0, 4, 4),
        separated: true,
        secs: KILLED + 300.0,
        every: 5.0,
        ahead: 0.2,
        frequency: FREQUENCY,
        events: vec![event(KILLED, Happening::KillEngine)],
        ..Scenario::default()
    };
    let cases = [Case { scenario, check }, Case { scenario: killed, check: left_at_its_frequency }];
    perform("processes", &cases)
}

/// The slew ends with who ordered it, and what has been learnt stays.
fn left_at_its_frequency(run: &Run) -> Result<String> {
    ensure!(run.ends.iter().map(|(_, code)| *code).eq([Some(1)]), "{run:?}");
    let slew = rate(run.before(KILLED)?)?;
    ensure!(slew < -400.0, "no slew, but {slew} ppm");
    let end = KILLED + 300.0;
    let left = rate(run.before(end)?)?;
    ensure!((left + FREQUENCY).abs() < 20.0, "left at {left} ppm");
    for sample in run.between(KILLED + 5.0, end) {
        ensure!(rate(sample)? == left, "not {left} ppm: {sample:?}");
    }
    Ok(format!("{slew:+.3} ppm before, {left:+.3} ppm after"))
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
