//! Trials that are left out by name when what they need is missing.

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};

use crate::peers::Need;
use crate::process;

/// The environment variable that makes a missing peer a failure when it is `required`, as
/// `tests/run` sets it.
const PEERS: &str = "TRUECHIMER_PEERS";

/// A trial that runs if all it needs is there. Its failure shows what its processes printed. What
/// cannot be installed is never a failure: it is left out by name.
pub fn trial(
    name: &str,
    needs: &[Need],
    run: impl FnOnce() -> Result<()> + Send + 'static,
) -> Trial {
    let missing = needs.iter().find(|need| !need.is_met());
    let Some(missing) = missing else {
        return Trial::test(name, move || report(run));
    };
    let reason = missing.to_string();
    if missing.can_be_installed() && std::env::var(PEERS).is_ok_and(|value| value == "required") {
        return Trial::test(name, move || Err(Failed::from(reason)));
    }
    Trial::test(name, || Ok(())).with_kind(format!("left out: {reason}")).with_ignored_flag(true)
}

/// Runs a suite and ends the process with its result. `threads` is how many trials run at a time
/// unless the command line says so.
pub fn conclude(trials: Vec<Trial>, threads: usize) -> ! {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(threads);
    libtest_mimic::run(&arguments, trials).exit()
}

fn report(run: impl FnOnce() -> Result<()>) -> Result<(), Failed> {
    process::forget_transcripts();
    run().map_err(|error| Failed::from(format!("{error:#}{}", process::transcripts())))
}
