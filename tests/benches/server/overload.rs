//! More than chimed can answer, and datagrams that are no requests: its memory does not grow, its
//! own clock stays right, and afterwards it answers as before.

use std::process::Command;
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use truechimer_tests::chimed::{Chimed, listen, server};
use truechimer_tests::free_port;
use truechimer_tests::peers::Chronyd;
use truechimer_tests::process::output;

use super::load::{self, Report};
use super::subject::Subject;

/// Times what it can answer.
const TIMES: f64 = 10.0;
/// Malformed datagrams for each request.
const MALFORMED: f64 = 0.3;
/// A request takes the asker as much time as the answer the worker, which therefore gives way to the
/// askers on all cores. The rest of the daemon does not.
const NICENESS: &str = "10";
/// How long its error is watched before.
const CALM: Duration = Duration::from_secs(10);
/// Between two looks.
const SPACING: Duration = Duration::from_millis(200);
/// Resident memory may be so many octets more: what was not touched before.
const GROWTH: u64 = 256 << 10;
/// The clock's greatest error under load, s.
const ERROR: f64 = 1e-3;
/// Half of the answers may take so many times as long as before at once afterwards. How many there
/// are in a second is a matter of what else the machine does.
const RECOVERED: f64 = 2.0;

/// What was seen while something else went on.
#[derive(Debug, Default)]
struct Seen {
    errors: Vec<f64>,
    resident: Vec<u64>,
}

impl Seen {
    fn look(&mut self, chimed: &Chimed) -> Result<()> {
        self.errors.push(chimed.status()?.number("clock_error")?.abs());
        self.resident.push(load::resident(chimed.process.id())?);
        Ok(())
    }

    fn rms(&self) -> f64 {
        let squares: f64 = self.errors.iter().map(|error| error * error).sum();
        (squares / self.errors.len() as f64).sqrt()
    }

    fn worst(&self) -> f64 {
        self.errors.iter().copied().fold(0.0, f64::max)
    }
}

/// For so many seconds, and prints what came of it.
///
/// # Errors
/// It did not stand it.
pub fn run(seconds: f64) -> Result<()> {
    let (reference, port) = (Chronyd::serve(1)?, free_port()?);
    let wrong = "[software_clock]\noffset = 0.3\nfrequency = 30.0\n";
    let upstream = server(reference.port, -2);
    let chimed =
        Chimed::start(&format!("{upstream}{}{wrong}[serve]\nworkers = 1\n", listen(port)))?;
    chimed.wait_until("a clock within 100 us", Duration::from_secs(60), |status| {
        Ok(status.is_synced()? && status.number("clock_error")?.abs() < 1e-4)
    })?;
    let subject = Subject::running("chimed", chimed.process.id(), port);
    for worker in load::threads(subject.pid, "worker")? {
        output(Command::new("renice").args(["-n", NICENESS, "-p", &worker.to_string()]))?;
    }

    // The tables of clients and all else is touched once.
    let before = load::load(&subject, 2.0, &["-o", "128"])?.report;
    let mut calm = Seen::default();
    for _ in 0..CALM.as_millis() / SPACING.as_millis() {
        thread::sleep(SPACING);
        calm.look(&chimed)?;
    }

    let rate = (before.answers_per_second * TIMES).min(1e6);
    let mut flooded = Seen::default();
    // All cores are busy with asking.
    let askers = thread::available_parallelism()?.get();
    let (reports, malformed) = thread::scope(|scope| -> Result<(Vec<Report>, u64)> {
        let noise = scope.spawn(|| {
            let length = Duration::from_secs_f64(seconds);
            load::malformed(port, length, rate * MALFORMED)
        });
        let flood = || {
            let rate = format!("{rate:.0}");
            load::load(&subject, seconds, &["-r", &rate, "--timeout", "0.1"])
        };
        let floods: Vec<_> = (0..askers).map(|_| scope.spawn(flood)).collect();
        while !floods.iter().all(ScopedJoinHandle::is_finished) {
            thread::sleep(SPACING);
            flooded.look(&chimed)?;
        }
        let floods = floods
            .into_iter()
            .map(|flood| Ok(flood.join().ok().context("the load panicked")??.report));
        Ok((floods.collect::<Result<_>>()?, noise.join().ok().context("the noise panicked")??))
    })?;
    let after = load::load(&subject, 1.0, &["-o", "128"])?.report;
    let peer = chimed.peer()?;

    let sent: u64 = reports.iter().map(|report| report.sent).sum();
    let responses: f64 = reports.iter().map(Report::responses).sum();
    let times = (sent + malformed) as f64 / responses;
    let (from, to) = (calm.resident.last(), flooded.resident.iter().max());
    let (&from, &to) = from.zip(to).context("nothing was seen")?;
    println!("\nOverload for {seconds} s");
    println!(
        "  answers/s before, under load, after  {:.0}, {:.0}, {:.0}",
        before.answers_per_second,
        responses / seconds,
        after.answers_per_second
    );
    println!(
        "  half of them within, before and after {:.0} and {:.0} us, lost then {:.3} %",
        before.latency_us.p50,
        after.latency_us.p50,
        after.loss * 100.0
    );
    println!("  sent {sent} and {malformed} malformed: {times:.1} times what was answered");
    println!("  resident memory                      {} to at most {} KB", from >> 10, to >> 10);
    for (name, seen) in [("before", &calm), ("under load", &flooded)] {
        println!(
            "  error of its clock, {name:<16} RMS {:.1} us, greatest {:.1} us, {} readings",
            seen.rms() * 1e6,
            seen.worst() * 1e6,
            seen.errors.len()
        );
    }
    ensure!(times > TIMES, "it was no such overload");
    ensure!(to <= from + GROWTH, "its memory grew");
    ensure!(flooded.worst() < ERROR, "its clock went wrong");
    ensure!(peer.is_valid()?, "it has lost its source: {peer:?}");
    let slower = after.latency_us.p50 / before.latency_us.p50;
    ensure!(slower < RECOVERED && after.loss < 0.01, "it did not recover: {after:?}");
    Ok(())
}
