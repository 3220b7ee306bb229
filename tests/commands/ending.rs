//! A signal that ends the daemon other than those of the `limits` suite.

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use truechimer_tests::chimed::{Chimed, server};
use truechimer_tests::fake::FakeServer;

use super::SOON;

pub(crate) fn quit() -> Result<()> {
    let fake = FakeServer::honest()?;
    let mut chimed = Chimed::start(&server(fake.port, 0))?;
    chimed.status()?;
    chimed.process.signal(Signal::SIGQUIT)?;
    let status = chimed.process.wait(SOON)?;
    ensure!(status.code() == Some(0), "{status}");
    for text in ["ntp engine exiting", "Terminating"] {
        chimed.process.wait_for_line(text, SOON)?;
        ensure!(chimed.process.transcript.count(text) == 1, "`{text}` more than once");
    }
    ensure!(!chimed.control().exists(), "the control socket is left behind");
    Ok(())
}
