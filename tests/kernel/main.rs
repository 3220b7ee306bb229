//! The core's software clock, `chimectl kernel` and `chimed` against a Linux kernel, whose clock may
//! be mis-set in a guest.

mod binding;
mod confined;
mod daemon;

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use truechimer_tests::binaries;
use truechimer_tests::guest::Guest;
use truechimer_tests::peers::Need;
use truechimer_tests::timex::comparison::compare;
use truechimer_tests::timex::random::sequence;
use truechimer_tests::timex::scripted::scripted;
use truechimer_tests::timex::trace::{Script, Trace};
use truechimer_tests::trial::{conclude, trial};

/// Each has an emulator.
const THREADS: usize = 2;
/// The host's time for a boot and all sequences of a trial, on a machine that has more to do.
const LIMIT: Duration = Duration::from_secs(900);
/// How many random sequences there are.
const RANDOM: u64 = 300;

fn main() {
    let trials = vec![
        trial("in_guest::scripted", &[Need::Guest], || agree("scripted", &scripted())),
        trial("in_guest::random", &[Need::Guest], || {
            agree("random", &(0..RANDOM).map(sequence).collect::<Vec<_>>())
        }),
        trial("in_guest::chimectl", &[Need::Guest], binding::chimectl),
        trial("in_guest::ports", &[Need::Guest], confined::ports),
        trial("in_guest::disciplines", &[Need::Guest], daemon::disciplines),
        trial("in_guest::processes", &[Need::Guest], daemon::processes),
        trial("in_guest::beginnings", &[Need::Guest], daemon::beginnings),
        trial("in_guest::leaps", &[Need::Guest], daemon::leaps),
        trial("in_guest::kept", &[Need::Guest], daemon::kept),
        trial("in_guest::adversity", &[Need::Guest], daemon::adversity),
        trial("in_guest::cards", &[Need::Cards], daemon::cards),
    ];
    conclude(trials, THREADS);
}

/// Lets the guest's kernel perform the scripts and the software clock do the same.
fn agree(name: &str, scripts: &[Script]) -> Result<()> {
    let text: String = scripts.iter().map(ToString::to_string).collect();
    let guest = Guest::new(&binaries::guest_agent()?)?.with_file("script", text);
    let lines = guest.run(LIMIT)?.join("\n");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("timex-{name}.trace"));
    fs::write(&path, &lines).with_context(|| format!("cannot write {}", path.display()))?;
    let traces = Trace::parse_all(&lines)?;
    ensure!(traces.len() == scripts.len(), "{} of {} performed", traces.len(), scripts.len());
    let calls: usize = traces.iter().map(|trace| trace.calls.len()).sum();
    let (mut readings, mut disagreements) = (Vec::new(), Vec::new());
    for trace in &traces {
        match compare(trace) {
            Ok(apart) => readings.extend(apart),
            Err(disagreement) => disagreements.push(disagreement.to_string()),
        }
    }
    readings.sort_by(|a, b| a.by.total_cmp(&b.by));
    let quantile = |share: usize| readings.get(readings.len() * share / 100).map_or(0.0, |a| a.by);
    let used = readings.iter().map(|apart| apart.by / apart.tolerance).fold(0.0, f64::max);
    println!(
        "{name}: {} sequences, {calls} calls, {} disagreements; half of the readings are less than \
         {:.0} ns apart, 9 of 10 less than {:.0} ns, at most {:.0} % of the tolerance is used",
        traces.len(),
        disagreements.len(),
        quantile(50),
        quantile(90),
        used * 100.0
    );
    ensure!(disagreements.is_empty(), "{}", disagreements.join("\n"));
    Ok(())
}
