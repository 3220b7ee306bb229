//! Workers within the sandbox, on the port of root.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use truechimer_tests::binaries;
use truechimer_tests::chimed::Chimed;
use truechimer_tests::namespace::Namespace;
use truechimer_tests::process::{children, finish};

use super::{SOON, chimectl};

const EVERYWHERE: &str = "[[listen]]\naddress = \"*\"\n[local]\nstratum = 3\n";

/// Whether a server in the namespace answers.
fn answers(namespace: &Namespace, address: &str) -> Result<bool> {
    let mut query = namespace.command(binaries::chimed()?);
    Ok(finish(query.args(["query", "--timeout", "1", address]), SOON)?.code == Some(0))
}

fn threads_of_engine(chimed: &Chimed) -> Result<usize> {
    let children = children(chimed.process.id())?;
    let engine = children.iter().find(|(_, title)| title == "chimed: ntp engine");
    let (id, _) = engine.context("no ntp engine")?;
    Ok(fs::read_dir(format!("/proc/{id}/task"))?.count())
}

/// Unless the file says otherwise one worker serves, on IPv4 and IPv6, with all calls that it is
/// left; how it serves is changed where it may not bind port 123 again.
pub(crate) fn one_worker() -> Result<()> {
    let namespace = Namespace::new()?;
    let chimed = Chimed::start_separated_in(&namespace, EVERYWHERE)?;
    ensure!(threads_of_engine(&chimed)? == 2, "{} threads", threads_of_engine(&chimed)?);
    for address in ["127.0.0.1", "::1"] {
        ensure!(answers(&namespace, address)?, "no answer at {address}");
    }
    let asked = chimectl()?.arg("-s").arg(chimed.control()).args(["server", "--json"]).output()?;
    let told: Value = serde_json::from_slice(&asked.stdout)?;
    ensure!(told["workers"].as_array().map(Vec::len) == Some(1), "{told}");
    ensure!(told["workers"][0]["answered"] == 2 && told["total"]["answered"] == 2, "{told}");

    chimed.rewrite(&format!("{EVERYWHERE}[serve]\ndeny = [\"127.0.0.1\"]\nkiss_one_in = 0\n"))?;
    let reload = finish(chimectl()?.arg("-s").arg(chimed.control()).arg("reload"), SOON)?;
    ensure!(reload.code == Some(0) && reload.stderr.is_empty(), "{reload:?}");
    ensure!(threads_of_engine(&chimed)? == 2, "{} threads", threads_of_engine(&chimed)?);
    ensure!(!answers(&namespace, "127.0.0.1")? && answers(&namespace, "::1")?, "after the reload");
    ensure!(chimed.status()?.refused("denied") == 1, "{:?}", chimed.status()?);
    Ok(())
}

/// Who only asks has no thread for others.
pub(crate) fn nobody_to_serve() -> Result<()> {
    let chimed = Chimed::start_separated(&[], "[local]\n")?;
    ensure!(threads_of_engine(&chimed)? == 1, "{} threads", threads_of_engine(&chimed)?);
    Ok(())
}
