//! Both disciplines: an ordinary oscillator, which changes, and the daemon ends and begins again.

use anyhow::{Result, ensure};
use truechimer_core::timex::Status;
use truechimer_tests::guest::scenario::{Happening, Run, Scenario};

use super::{Case, event, frequency, honest, perform, rate, server, status, within};

const HOUR: f64 = 3_600.0;
/// From then on the clock is right;
const SETTLED: f64 = 0.25 * HOUR;
/// then the oscillator changes,
const CHANGED: f64 = 1.0 * HOUR;
/// and from then on both have followed.
const FOLLOWED: f64 = 2.5 * HOUR;
const STOPPED: f64 = 3.0 * HOUR;
const STARTED: f64 = STOPPED + 600.0;
const END: f64 = STARTED + 1_200.0;

const FLL_END: f64 = 30.0 * HOUR;

/// What the oscillator gains, ppm, before and after.
const FREQUENCY: [f64; 2] = [12.0, 12.5];

pub(crate) fn disciplines() -> Result<()> {
    let scenario = |name: &str, configuration: &str| Scenario {
        name: name.into(),
        configuration: configuration.to_owned() + &server(0, 4, 6),
        secs: END,
        ahead: -0.02,
        frequency: FREQUENCY[0],
        events: vec![
            event(CHANGED, Happening::Frequency(FREQUENCY[1])),
            event(STOPPED, Happening::Stop),
            event(STARTED, Happening::Start),
        ],
        ..Scenario::default()
    };
    let seldom = Scenario {
        name: "kernel, seldom".into(),
        configuration: "discipline = \"kernel\"\n".to_owned() + &server(0, 13, 13),
        secs: FLL_END,
        every: 300.0,
        ahead: -0.02,
        frequency: FREQUENCY[0],
        ..Scenario::default()
    };
    perform(
        "disciplines",
        &[
            Case { scenario: scenario("native", ""), check: native },
            Case { scenario: scenario("kernel", "discipline = \"kernel\"\n"), check: kernel },
            Case { scenario: seldom, check: frequency_loop },
        ],
    )
}

fn native(run: &Run) -> Result<String> {
    let loops = Status::PLL | Status::FLL;
    for sample in &run.samples {
        ensure!(!status(sample)?.intersects(loops), "a loop is closed: {sample:?}");
    }
    check(run, [60e-6, 120e-6, 60e-6, 60e-6, 60e-6])
}

fn kernel(run: &Run) -> Result<String> {
    for sample in run.between(120.0, STOPPED).chain(run.between(STARTED + 300.0, END)) {
        ensure!(status(sample)?.contains(Status::PLL | Status::NANO), "no loop: {sample:?}");
        ensure!(sample.status("discipline") == "kernel", "it says otherwise: {sample:?}");
    }
    check(run, [60e-6, 300e-6, 150e-6, 200e-6, 500e-6])
}

/// At long intervals the kernel's loop is a frequency-locked one, which finds the frequency itself.
fn frequency_loop(run: &Run) -> Result<String> {
    for sample in run.between(24.0 * HOUR, FLL_END) {
        ensure!(status(sample)?.contains(Status::FLL | Status::MODE), "no FLL: {sample:?}");
    }
    let error = run.error(24.0 * HOUR, FLL_END)?;
    within("in the end", error, 5e-4)?;
    let off = rate(run.before(FLL_END)?)? + FREQUENCY[0];
    ensure!(off.abs() < 0.1, "off by {off} ppm");
    Ok(format!("{:.0} us in the end; frequency off by {off:.3} ppm", error * 1e6))
}

/// `limits` are how far the clock may be off when it has settled, while a new frequency is learnt,
/// later, without the daemon and with the next one.
fn check(run: &Run, limits: [f64; 5]) -> Result<String> {
    let errors = [
        run.error(SETTLED, CHANGED)?,
        run.error(CHANGED, FOLLOWED)?,
        run.error(FOLLOWED, STOPPED)?,
        run.error(STOPPED, STARTED)?,
        run.error(STARTED, END)?,
    ];
    let times =
        ["when it has settled", "when the oscillator changes", "later", "alone", "with the next"];
    for ((time, error), limit) in times.into_iter().zip(errors).zip(limits) {
        within(time, error, limit)?;
    }
    let first = frequency(run, CHANGED)? + FREQUENCY[0];
    let last = frequency(run, STOPPED)? + FREQUENCY[1];
    ensure!(first.abs() < 0.2 && last.abs() < 0.15, "off by {first} and {last} ppm");
    honest(run, SETTLED, STOPPED)?;
    honest(run, STARTED + 300.0, END)?;
    ended(run)?;
    let errors = times.into_iter().zip(errors);
    let errors = errors.map(|(time, error)| format!("{:.0} us {time}", error * 1e6));
    Ok(format!("{}; frequency off by {last:.3} ppm", errors.collect::<Vec<_>>().join(", ")))
}

/// The daemon has left the clock at its frequency, with nothing in progress.
fn ended(run: &Run) -> Result<()> {
    ensure!(run.ends.len() == 1 && run.ends.iter().all(|(_, code)| *code == Some(0)), "{run:?}");
    let left = rate(run.before(STARTED)?)?;
    ensure!((left + FREQUENCY[1]).abs() < 0.15, "left at {left} ppm");
    for sample in run.between(STOPPED + 1.0, STARTED) {
        ensure!(!status(sample)?.intersects(Status::PLL | Status::FLL), "a loop: {sample:?}");
        ensure!(sample.timex()?.offset == 0, "an offset: {sample:?}");
        ensure!(rate(sample)? == left, "not {left} ppm: {sample:?}");
    }
    Ok(())
}
