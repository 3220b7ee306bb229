//! Clocks that are wrong when the daemon starts.

use anyhow::{Result, ensure};
use truechimer_tests::guest::scenario::{Happening, Names, Run, Scenario};

use super::{Case, KNOWN, RIGHT, event, frequency, honest, perform, server, within};

const YEAR: f64 = 365.25 * 86_400.0;
/// The clock is stepped before this,
const STEPPED: f64 = 20.0;
/// and what is slewed is right from then on.
const SLEWED: f64 = 60.0;
/// When the name is known.
const NAMED: f64 = 300.0;
const END: f64 = 1_800.0;

pub(crate) fn beginnings() -> Result<()> {
    let scenario = |name: &str, ahead: f64, frequency: f64| Scenario {
        name: name.into(),
        configuration: server(0, 4, 6),
        secs: END,
        every: 4.0,
        ahead,
        frequency,
        ..Scenario::default()
    };
    let unresolved = Scenario {
        configuration: "[[server]]\naddress = \"time.example\"\nport = 2001\nmaxpoll = 6\n".into(),
        names: Names::Silent,
        events: vec![
            event(NAMED / 2.0, Happening::Names(Names::Failing)),
            event(NAMED, Happening::Names(Names::Known)),
        ],
        ..scenario("names are not known for 5 min", 0.4, 12.0)
    };
    let separated =
        Scenario { name: "nor by several processes".into(), separated: true, ..unresolved.clone() };
    let cases = [
        Case { scenario: scenario("26 years behind", -26.0 * YEAR, 12.0), check: steps },
        Case { scenario: scenario("26 years ahead", 26.0 * YEAR, 12.0), check: steps },
        Case { scenario: scenario("0.4 s ahead", 0.4, 12.0), check: steps },
        Case { scenario: scenario("0.4 s behind", -0.4, 12.0), check: steps },
        Case { scenario: scenario("300 ppm fast", -0.02, 300.0), check: |run| slews(run, 300.0) },
        Case { scenario: scenario("300 ppm slow", 0.02, -300.0), check: |run| slews(run, -300.0) },
        Case { scenario: unresolved, check: waits },
        Case { scenario: separated, check: ends },
    ];
    perform("beginnings", &cases)
}

fn steps(run: &Run) -> Result<String> {
    ensure!(run.has_logged("set local clock to", 0.0, STEPPED), "no step");
    right(run, STEPPED, 1, 12.0)
}

fn slews(run: &Run, ppm: f64) -> Result<String> {
    right(run, SLEWED, 0, ppm)
}

/// It asks for the name again and again, by itself.
fn waits(run: &Run) -> Result<String> {
    ensure!(run.has_logged("cannot resolve time.example", 0.0, NAMED), "not told");
    for sample in run.between(0.0, NAMED) {
        ensure!(!sample.is_synced() && sample.ahead > 0.4, "it was set: {sample:?}");
    }
    right(run, NAMED + 600.0, 1, 12.0)
}

/// The agent kills what it has started, and waits until nobody is left who could log anything.
fn ends(run: &Run) -> Result<String> {
    ensure!(run.has_logged("fatal: exiting", END, END + 5.0), "the engine outlives its parent");
    // Nobody can, and that the parent is gone has been told.
    ensure!(!run.has_logged("reset adjtime failed", END, END + 5.0), "{:?}", run.log);
    waits(run)
}

/// The clock was stepped so often, is right from then on, and its frequency is known in the end.
fn right(run: &Run, from: f64, steps: usize, ppm: f64) -> Result<String> {
    let stepped = run.log.iter().filter(|(_, line)| line.contains("set local clock")).count();
    ensure!(stepped == steps, "{stepped} steps");
    let error = run.error(from, END)?;
    within("it stays wrong", error, RIGHT)?;
    honest(run, from, END)?;
    let off = frequency(run, END)? + ppm / (1.0 + ppm * 1e-6);
    ensure!(off.abs() < KNOWN, "the frequency is off by {off} ppm");
    Ok(format!("{:.0} us from {from:.0} s on; frequency off by {off:.3} ppm", error * 1e6))
}
