//! Several processes: the parent does to the clock what the ntp engine wants, and leaves it at its
//! frequency when that is lost; or in the kernel's loop, which goes on at its frequency by itself.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use truechimer_core::timex::Status;
use truechimer_tests::guest::scenario::{Happening, Run, Scenario};

use super::{Case, event, honest, perform, rate, server, status, within};

/// From then on the clock is right.
const SETTLED: f64 = 900.0;
const STOPPED: f64 = 3_600.0;
const END: f64 = 4_200.0;
/// A slew of 500 ppm takes longer.
const KILLED: f64 = 200.0;
/// The kernel's loop has then lost who closes it,
const ALONE: f64 = 3_600.0;
/// until there is another.
const AGAIN: f64 = ALONE + 900.0;
const END_OF_LOOP: f64 = AGAIN + 1_800.0;
/// The parent is killed, and there is another later.
const ORPHANED: f64 = 2_400.0;
const ADOPTED: f64 = ORPHANED + 600.0;
const END_OF_ORPHANS: f64 = ADOPTED + 900.0;
/// What the oscillator gains, ppm.
const FREQUENCY: f64 = 12.0;
/// This kernel has them all, and each was tried out.
const ALL: [&str; 6] =
    ["chroot", "user", "capabilities", "no-new-privileges", "landlock", "seccomp"];

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
    let in_a_loop = Scenario {
        name: "killed beside the kernel's loop".into(),
        configuration: "discipline = \"kernel\"\n".to_owned() + &server(0, 4, 6),
        separated: true,
        secs: END_OF_LOOP,
        ahead: -0.02,
        frequency: FREQUENCY,
        events: vec![event(ALONE, Happening::KillEngine), event(AGAIN, Happening::Start)],
        ..Scenario::default()
    };
    let orphaned = Scenario {
        name: "the parent killed".into(),
        configuration: server(0, 4, 6),
        separated: true,
        secs: END_OF_ORPHANS,
        ahead: 0.3,
        frequency: FREQUENCY,
        events: vec![event(ORPHANED, Happening::Kill), event(ADOPTED, Happening::Start)],
        ..Scenario::default()
    };
    let cases = [
        Case { scenario, check },
        Case { scenario: killed, check: left_at_its_frequency },
        Case { scenario: in_a_loop, check: left_to_the_loop },
        Case { scenario: orphaned, check: left_by_the_parent },
    ];
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

/// Nobody gives the loop an offset any more: what it was given comes to an end, and its frequency stays.
/// The next one takes it over.
fn left_to_the_loop(run: &Run) -> Result<String> {
    ensure!(run.ends.iter().map(|(_, code)| *code).eq([Some(1)]), "{run:?}");
    for text in [
        "dispatch_imsg in main: pipe closed",
        "Lost child: ntp engine terminated; signal 9 (SIGKILL)",
        "chimed: lost the ntp engine: signal: 9 (SIGKILL)",
        "fatal: exiting",
        "Terminating",
    ] {
        ensure!(run.has_logged(text, ALONE, AGAIN), "no `{text}` in {:?}", run.log);
    }
    let before = run.before(ALONE - 1.0)?;
    ensure!(before.status("discipline") == "kernel", "{before:?}");
    let (left, mut offset) = (rate(before)?, i64::MAX);
    ensure!((left + FREQUENCY).abs() < 0.2, "left at {left} ppm");
    for sample in run.between(ALONE + 1.0, AGAIN - 1.0) {
        let status = status(sample)?;
        ensure!(status.contains(Status::PLL) && !status.contains(Status::UNSYNC), "{sample:?}");
        ensure!((rate(sample)? - left).abs() < 0.05, "not {left} ppm: {sample:?}");
        let rest = sample.timex()?.offset.abs();
        ensure!(rest <= offset && sample.status.is_none(), "{offset} ns before: {sample:?}");
        offset = rest;
    }
    ensure!(offset < 1_000, "{offset} ns are left");
    honest(run, SETTLED, ALONE - 1.0)?;
    honest(run, AGAIN + 300.0, END_OF_LOOP)?;
    let errors =
        [run.error(SETTLED, ALONE)?, run.error(ALONE, AGAIN)?, run.error(AGAIN, END_OF_LOOP)?];
    let times = ["when it has settled", "alone", "with the next"];
    for ((time, error), limit) in times.into_iter().zip(errors).zip([60e-6, 100e-6, 200e-6]) {
        within(time, error, limit)?;
    }
    let errors = times.into_iter().zip(errors);
    let errors = errors.map(|(time, error)| format!("{:.0} us {time}", error * 1e6));
    Ok(format!("{}; {left:+.3} ppm left, {offset} ns to go", errors.collect::<Vec<_>>().join(", ")))
}

/// The others end too. The clock goes on as the parent left it, with the rest of a slew, and is as right
/// as that until there is another parent.
fn left_by_the_parent(run: &Run) -> Result<String> {
    ensure!(run.ends.iter().map(|(_, code)| *code).eq([None]), "{run:?}");
    for text in ["ntp_dispatch_imsg in ntp engine: pipe closed", "fatal: exiting"] {
        ensure!(run.has_logged(text, ORPHANED, ADOPTED), "no `{text}` in {:?}", run.log);
    }
    // What is taken at that very time, before it happens.
    let left = rate(run.before(ORPHANED + 1.0)?)?;
    let slew = (left + FREQUENCY).abs();
    ensure!(slew < 5.0, "left at {left} ppm");
    for sample in run.between(ORPHANED + 1.0, ADOPTED) {
        ensure!(rate(sample)? == left && sample.status.is_none(), "not {left} ppm: {sample:?}");
    }
    honest(run, SETTLED, ORPHANED - 1.0)?;
    honest(run, ADOPTED + 300.0, END_OF_ORPHANS)?;
    let errors = [
        run.error(SETTLED, ORPHANED)?,
        run.error(ORPHANED, ADOPTED)?,
        run.error(ADOPTED + 300.0, END_OF_ORPHANS)?,
    ];
    let times = ["when it has settled", "without it", "with the next"];
    let alone = 100e-6 + slew * 1e-6 * (ADOPTED - ORPHANED);
    for ((time, error), limit) in times.into_iter().zip(errors).zip([60e-6, alone, 100e-6]) {
        within(time, error, limit)?;
    }
    let errors = times.into_iter().zip(errors);
    let errors = errors.map(|(time, error)| format!("{:.0} us {time}", error * 1e6));
    Ok(format!("{}; {left:+.3} ppm left", errors.collect::<Vec<_>>().join(", ")))
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
    for (process, protections) in
        [("parent", &ALL[2..]), ("ntp engine", &ALL[..]), ("dns engine", &ALL[1..])]
    {
        ensure!(status["protections"][process] == json!(protections), "{process}: {status}");
    }
    Ok(format!("{:.0} us when it has settled, {left:+.3} ppm left", error * 1e6))
}
