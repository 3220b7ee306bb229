//! `chimed` itself disciplines a guest's kernel, against servers in the guest.

mod discipline;
mod processes;

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use truechimer_tests::binaries;
use truechimer_tests::guest::Guest;
use truechimer_tests::guest::scenario::{Event, FIRST_PORT, Happening, Run, Scenario};

pub(crate) use discipline::disciplines;
pub(crate) use processes::processes;

/// The host's time for a boot and all scenarios of a trial, on a machine that has more to do.
const LIMIT: Duration = Duration::from_secs(600);

/// A scenario, and what must come of it; says in figures what did.
struct Case {
    scenario: Scenario,
    check: fn(&Run) -> Result<String>,
}

/// Performs the scenarios in one guest and checks each.
fn perform(name: &str, cases: &[Case]) -> Result<()> {
    let scenarios: Vec<&Scenario> = cases.iter().map(|case| &case.scenario).collect();
    let guest = Guest::new(&binaries::guest_agent()?)?
        .with_program(&binaries::chimed()?)?
        .with_file("scenarios", serde_json::to_string(&scenarios)?);
    let lines = guest.run(LIMIT)?;
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.trace"));
    fs::write(&path, lines.join("\n"))
        .with_context(|| format!("cannot write {}", path.display()))?;
    let runs = Run::all(&lines)?;
    ensure!(runs.len() == cases.len(), "{} of {} performed", runs.len(), cases.len());
    let mut failures = Vec::new();
    for (case, run) in cases.iter().zip(&runs) {
        match (case.check)(run) {
            Ok(figures) => println!("{}: {figures}", run.name),
            Err(error) => failures.push(format!("{}: {error:#}", run.name)),
        }
    }
    ensure!(failures.is_empty(), "{}\nsee {}", failures.join("\n"), path.display());
    Ok(())
}

/// The table of the server of a place.
fn server(place: u16, minpoll: i8, maxpoll: i8) -> String {
    let port = FIRST_PORT + place;
    format!(
        "[[server]]\naddress = \"127.0.0.1\"\nport = {port}\nminpoll = {minpoll}\n\
         maxpoll = {maxpoll}\n"
    )
}

fn event(at: f64, what: Happening) -> Event {
    Event { at, what }
}

/// What is less than a limit, s.
fn within(what: &str, value: f64, limit: f64) -> Result<()> {
    ensure!(value.abs() <= limit, "{what}: {:.3} us, not {:.3} us", value * 1e6, limit * 1e6);
    Ok(())
}
