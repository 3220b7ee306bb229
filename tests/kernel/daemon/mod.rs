//! `chimed` itself disciplines a guest's kernel, against servers in the guest.

mod adversity;
mod beginning;
mod cards;
mod discipline;
mod kept;
mod leap;
mod processes;

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use truechimer_core::timex::{ClockState, Status};
use truechimer_core::units::FreqOffset;
use truechimer_tests::binaries;
use truechimer_tests::guest::Guest;
use truechimer_tests::guest::scenario::{Event, FIRST_PORT, Happening, Run, Sample, Scenario};

pub(crate) use adversity::adversity;
pub(crate) use beginning::beginnings;
pub(crate) use cards::cards;
pub(crate) use discipline::disciplines;
pub(crate) use kept::kept;
pub(crate) use leap::leaps;
pub(crate) use processes::processes;

/// The host's time for a boot and all scenarios of a trial, on a machine that has more to do.
const LIMIT: Duration = Duration::from_secs(600);

/// A clock is right that is less off, s: half a millisecond's round trip to a server may be
/// asymmetric in part, and the guest takes some microseconds for each way.
const RIGHT: f64 = 100e-6;
/// And a frequency, ppm.
const KNOWN: f64 = 0.1;

/// A scenario, and what must come of it; says in figures what did.
struct Case {
    scenario: Scenario,
    check: fn(&Run) -> Result<String>,
}

/// Performs the scenarios in one guest and checks each.
fn perform(name: &str, cases: &[Case]) -> Result<()> {
    perform_in(Guest::new(&binaries::guest_agent()?)?, name, cases)
}

fn perform_in(guest: Guest, name: &str, cases: &[Case]) -> Result<()> {
    let scenarios: Vec<&Scenario> = cases.iter().map(|case| &case.scenario).collect();
    let guest = guest
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

/// What the kernel and the daemon say of the clock is true: it is synchronised, and no more wrong than
/// either says.
fn honest(run: &Run, from: f64, to: f64) -> Result<()> {
    for sample in run.between(from, to) {
        let timex = sample.timex()?;
        ensure!(sample.is_synced(), "not synchronised: {sample:?}");
        ensure!(!status(sample)?.contains(Status::UNSYNC), "the kernel denies it: {sample:?}");
        ensure!(sample.state == i64::from(ClockState::Ok as u8), "{sample:?}");
        let bound = sample.number("error_bound").context("no bound")?;
        ensure!(sample.ahead.abs() <= bound, "beyond the bound: {sample:?}");
        // It was told at most 64 s ago, and has grown by 500 ppm since.
        let greatest = timex.maxerror as f64 / 1e6;
        ensure!(sample.ahead.abs() <= greatest, "beyond maxerror: {sample:?}");
        ensure!(greatest <= bound + 0.04, "maxerror: {sample:?}");
        ensure!(timex.esterror <= timex.maxerror, "esterror: {sample:?}");
    }
    Ok(())
}

fn status(sample: &Sample) -> Result<Status> {
    Ok(Status::from_bits_retain(sample.timex()?.status.try_into()?))
}

/// What the kernel makes the clock gain, ppm.
fn rate(sample: &Sample) -> Result<f64> {
    let timex = sample.timex()?;
    Ok(FreqOffset::from_scaled_ppm(timex.freq).as_ppm() + (timex.tick - 10_000) as f64 * 100.0)
}

/// The same on average of ten minutes, in which there are slews.
fn frequency(run: &Run, until: f64) -> Result<f64> {
    let rates: Vec<f64> = run.between(until - 600.0, until).map(rate).collect::<Result<_>>()?;
    Ok(rates.iter().sum::<f64>() / rates.len() as f64)
}
