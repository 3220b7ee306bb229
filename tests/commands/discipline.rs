//! `discipline = "kernel"`.

use std::time::Duration;

use anyhow::{Result, ensure};
use truechimer_tests::chimed::{Chimed, server};
use truechimer_tests::fake::FakeServer;
use truechimer_tests::process::finish;
use truechimer_tests::wait_for;

use super::{SOON, chimectl};

const LIMIT: Duration = Duration::from_secs(60);
/// What the loop has left of 50 ms when the trial ends, s.
const LEFT: f64 = 2e-3;

/// A software clock that runs 40 ppm fast is stepped, and then kept right by a loop of its own.
pub(crate) fn kernel() -> Result<()> {
    let fake = FakeServer::honest()?;
    let configuration = "discipline = \"kernel\"\nstep_threshold = 0.01\n".to_owned()
        + &server(fake.port, -2)
        + "[software_clock]\noffset = 0.05\nfrequency = 40\n";
    let mut client = Chimed::start(&configuration)?;
    client.wait_until("a loop that is closed", LIMIT, |status| {
        let right = status.is_synced()?
            && status.number("clock_error")?.abs() < LEFT
            && (status.number("frequency")? + 40.0).abs() < 20.0;
        Ok(right && status.text("discipline")? == "kernel")
    })?;
    let table = finish(chimectl()?.arg("-s").arg(client.control()).arg("status"), SOON)?;
    ensure!(table.stdout.contains("software, by its own loop"), "{table:?}");
    client.process.wait_for_line("adjusting clock frequency by ", LIMIT)?;
    Ok(())
}

/// The engine's own discipline closes no loop.
pub(crate) fn native() -> Result<()> {
    let fake = FakeServer::honest()?;
    let client = Chimed::start(&server(fake.port, -2))?;
    wait_for("samples", LIMIT, || Ok((client.peer()?.count("used")? >= 16).then_some(())))?;
    let status = client.status()?;
    ensure!(status.text("discipline")? == "native", "{status:?}");
    Ok(())
}
