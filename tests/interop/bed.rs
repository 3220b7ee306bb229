//! The peers against one another: when these fail, the fault is not chimed's.

use anyhow::{Result, ensure};
use truechimer_tests::namespace::Namespace;
use truechimer_tests::peers::{self, Chronyd};
use truechimer_tests::wait_for;

pub(crate) fn chronyd() -> Result<()> {
    let server = Chronyd::serve(2)?;
    let offset = Chronyd::query(server.port)?;
    ensure!(offset.abs() < 1e-3, "chronyd -Q: {offset} s");
    let view = Chronyd::follow(server.port)?.view()?;
    ensure!(view.stratum == 2 && view.offset.abs() < 1e-3, "chronyd: {view:?}");
    let view = peers::ntplib(server.port, 4)?;
    ensure!(view.stratum == 2 && view.offset.abs() < 1e-3, "ntplib: {view:?}");
    Ok(())
}

pub(crate) fn ntpd() -> Result<()> {
    let namespace = Namespace::new()?;
    let _ntpd = peers::ntpd(&namespace, 5)?;
    // It claims its stratum only after a while.
    let answer = || Ok(peers::ask_with_ntpdig(&namespace).ok());
    let (stratum, offset) =
        wait_for("ntpdig's answer", std::time::Duration::from_secs(30), answer)?;
    ensure!(stratum == 5 && offset.abs() < 1e-3, "stratum {stratum}, {offset} s");
    Ok(())
}
