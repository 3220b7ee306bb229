//! What goes wrong while the daemon runs.

use anyhow::{Result, ensure};
use truechimer_tests::guest::scenario::{Happening, Run, Scenario, Server};

use super::{Case, KNOWN, RIGHT, event, frequency, honest, perform, rate, server, within};

const HOUR: f64 = 3_600.0;
/// From then on the clock is right.
const STEPPED: f64 = 20.0;

/// When a server dies and is there again.
const DIES: f64 = 0.5 * HOUR;
const RETURNS: f64 = 1.0 * HOUR;

/// When the network goes away and returns. Meanwhile the oscillator changes by a ppm.
const AWAY: f64 = 1.0 * HOUR;
const CHANGED: f64 = 1.5 * HOUR;
const BACK: f64 = 7.0 * HOUR;

/// When another program steps the clock, and by how much.
const MOVES: [(f64, f64); 3] = [(1_801.0, 0.3), (2_701.0, -7.0), (3_601.0, 0.005)];
/// After that the daemon has noticed,
const NOTICED: f64 = 15.0;
/// and after that it has done with it.
const MENDED: f64 = 60.0;

pub(crate) fn adversity() -> Result<()> {
    let honest = Server::default();
    let liar = Server { ahead: 0.2, ..honest };
    let dead = Server { answers: false, ..honest };
    let base = Scenario { ahead: -0.4, ..Scenario::default() };
    let three = Scenario {
        configuration: (0..3).map(|place| server(place, 4, 6)).collect(),
        servers: vec![honest; 3],
        ..base.clone()
    };
    let lies = Scenario {
        name: "a liar among three".into(),
        servers: vec![liar, honest, honest],
        ..three.clone()
    };
    let death = Scenario {
        name: "a server dies and returns".into(),
        secs: 1.5 * HOUR,
        events: vec![
            event(DIES, Happening::Server(0, dead)),
            event(RETURNS, Happening::Server(0, honest)),
        ],
        ..three
    };
    let away = Scenario {
        name: "no network for 6 h".into(),
        configuration: server(0, 4, 8),
        secs: BACK + 1.5 * HOUR,
        every: 60.0,
        events: vec![
            event(AWAY, Happening::Server(0, dead)),
            event(CHANGED, Happening::Frequency(13.0)),
            event(BACK, Happening::Server(0, honest)),
        ],
        ..base.clone()
    };
    let moved = Scenario {
        name: "another program steps the clock".into(),
        configuration: server(0, 4, 6),
        secs: 1.25 * HOUR,
        every: 5.0,
        events: MOVES.map(|(at, by)| event(at, Happening::Step(by))).into(),
        ..base
    };
    let loops = Scenario {
        name: "another program steps the clock that the kernel's loop disciplines".into(),
        configuration: "discipline = \"kernel\"\n".to_owned() + &server(0, 4, 6),
        ..moved.clone()
    };
    let cases = [
        Case { scenario: lies, check: is_right },
        Case { scenario: death, check: outlives },
        Case { scenario: away, check: holds },
        Case { scenario: moved, check: |run| recovers(run, RIGHT) },
        Case { scenario: loops, check: |run| recovers(run, 8.0 * RIGHT) },
    ];
    perform("adversity", &cases)
}

fn is_right(run: &Run) -> Result<String> {
    let end = run.end()?;
    let error = run.error(STEPPED, end)?;
    within("wrong", error, RIGHT)?;
    honest(run, STEPPED, end)?;
    Ok(format!("{:.0} us", error * 1e6))
}

fn outlives(run: &Run) -> Result<String> {
    ensure!(run.has_logged("now invalid", DIES, RETURNS), "the dead one is believed");
    ensure!(run.has_logged("now valid", RETURNS, run.end()?), "it is not forgiven");
    is_right(run)
}

/// Its frequency is held, and the error stays within what the daemon and the kernel say.
fn holds(run: &Run) -> Result<String> {
    honest(run, STEPPED, run.end()?)?;
    within("before", run.error(STEPPED, AWAY)?, RIGHT)?;
    let held = rate(run.before(BACK)?)?;
    ensure!((held + 12.0).abs() < KNOWN, "held at {held} ppm");
    for sample in run.between(AWAY + 300.0, BACK) {
        ensure!(rate(sample)? == held, "not held at {held} ppm: {sample:?}");
        let expected = sample.timex()?.esterror as f64 / 1e6;
        ensure!(sample.ahead.abs() <= expected, "beyond esterror: {sample:?}");
    }
    let alone = run.error(AWAY, BACK)?;
    // What the change of the oscillator makes, and as much again.
    within("alone", alone, 2e-6 * (BACK - CHANGED))?;
    let again = run.error(BACK + 1_200.0, run.end()?)?;
    within("later", again, RIGHT)?;
    let off = frequency(run, run.end()?)? + 13.0;
    ensure!(off.abs() < KNOWN, "the frequency is off by {off} ppm");
    Ok(format!("{:.1} ms after 6 h alone, {:.0} us again later", alone * 1e3, again * 1e6))
}

fn recovers(run: &Run, right: f64) -> Result<String> {
    let mut from = STEPPED;
    let mut greatest: f64 = 0.0;
    for (moved, by) in MOVES.into_iter().chain([(run.end()?, 0.0)]) {
        let error = run.error(from, moved - 1.0)?;
        within("wrong", error, right)?;
        honest(run, from, moved - 1.0)?;
        greatest = greatest.max(error);
        from = moved + MENDED;
        if by != 0.0 {
            ensure!(run.has_logged("local clock jumped by", moved, moved + NOTICED), "unnoticed");
        }
    }
    Ok(format!("{:.0} us from {MENDED:.0} s after each step on", greatest * 1e6))
}
