//! The list of leap seconds: read at the start and again, and what is said of it.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use truechimer_tests::chimed::{Chimed, Status, server};
use truechimer_tests::fake::FakeServer;
use truechimer_tests::leap::list;
use truechimer_tests::process::finish;
use truechimer_tests::scratch;

use super::{SOON, chimectl};

const LIMIT: Duration = Duration::from_secs(30);
const DAY: i64 = 86_400;

fn says(chimed: &Chimed, source: &str, tai: Option<i32>) -> Result<()> {
    let said = |status: &Status| {
        let known = status.number("tai").ok();
        Ok(status.text("leap_source")? == source && known == tai.map(f64::from))
    };
    chimed.wait_until("what is known of leap seconds", LIMIT, said).map(drop)
}

/// One that is good, then expired, then damaged, then good again.
fn change(start: impl Fn(&str) -> Result<Chimed>) -> Result<()> {
    let (fake, folder) = (FakeServer::honest()?, scratch()?);
    let path = folder.path().join("leap-seconds.list");
    let now: i64 = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().try_into()?;
    let offsets = [(now - 400 * DAY, 41), (now - 30 * DAY, 42), (now + 20 * DAY, 43)];
    fs::write(&path, list(now + 100 * DAY, &offsets))?;
    let path_text = path.to_str().context("a path that is not UTF-8")?;
    let configuration = format!("leap_list = {path_text:?}\n{}", server(fake.port, -2));
    let mut chimed = start(&configuration)?;
    says(&chimed, "list", Some(42))?;
    chimed
        .wait_until("an announcement", LIMIT, |status| Ok(status.text("leap")? == "add second"))?;
    for command in ["status", "tracking"] {
        let shown = finish(chimectl()?.arg("-s").arg(chimed.control()).arg(command), SOON)?;
        let rows = "leap second      add second\nleap source      list, TAI - UTC 42 s\n";
        ensure!(shown.stdout.contains(rows), "{shown:?}");
    }

    fs::write(&path, list(now - DAY, &offsets[..1]))?;
    chimed.process.signal(Signal::SIGHUP)?;
    chimed.process.wait_for_line("the list of leap seconds expired on ", SOON)?;
    says(&chimed, "sources", None)?;

    fs::write(&path, list(now + DAY, &offsets).replace(" 43", " 41"))?;
    chimed.process.signal(Signal::SIGHUP)?;
    let told =
        format!("warning  cannot use leap seconds of {path_text}: it is damaged: the SHA-1 ");
    chimed.process.wait_for_line(&told, SOON)?;

    fs::write(&path, list(now + DAY, &offsets[..2]))?;
    let reload = || finish(chimectl()?.arg("-s").arg(chimed.control()).arg("reload"), SOON);
    ensure!(reload()?.code == Some(0));
    says(&chimed, "list", Some(42))?;
    let log = &chimed.process.transcript;
    ensure!(log.count("the list of leap seconds expired") == 1, "{:?}", log.lines());
    ensure!(log.count("cannot use leap seconds") == 1, "{:?}", log.lines());
    Ok(())
}

pub(crate) fn lists() -> Result<()> {
    change(Chimed::start)
}

pub(crate) fn lists_separated() -> Result<()> {
    change(|configuration| Chimed::start_separated(&[], configuration))
}

/// One that is configured and not there is told of.
pub(crate) fn missing() -> Result<()> {
    let mut chimed = Chimed::start("leap_list = \"/not/there\"\n")?;
    let told = "cannot use leap seconds of /not/there: cannot read it: ";
    chimed.process.wait_for_line(told, SOON)?;
    says(&chimed, "sources", None)
}
