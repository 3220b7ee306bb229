//! Answers by a program in an interface's driver: two hosts at the ends of a cable.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use truechimer_tests::chimed::Chimed;
use truechimer_tests::namespace::Namespace;
use truechimer_tests::process::{Ended, children, finish, output};
use truechimer_tests::{binaries, wait_for};

use super::{SOON, chimectl};

const ADDRESSES: [[&str; 2]; 2] =
    [["192.0.2.1/24", "2001:db8::1/64"], ["192.0.2.2/24", "2001:db8::2/64"]];
const SERVE: &str = "[[listen]]\naddress = \"*\"\n[local]\nstratum = 3\n[serve]\n";
const XDP: &str = "xdp = [\"cable\"]\n";
/// What the clocks of the two are apart at most: they are the same, but for when they were read.
const NEAR: f64 = 1e-3;

/// Two ends, of which the first may have its address elsewhere.
fn cable(interface: &str) -> Result<[Namespace; 2]> {
    let ends = [Namespace::new()?, Namespace::new()?];
    ends[0].join(&ends[1])?;
    if interface != Namespace::CABLE {
        ends[0].ip(&format!("link add {interface} type bridge"))?;
        ends[0].ip(&format!("link set {} master {interface}", Namespace::CABLE))?;
        ends[0].ip(&format!("link set {interface} up"))?;
    }
    for ((end, addresses), at) in ends.iter().zip(ADDRESSES).zip([interface, Namespace::CABLE]) {
        for address in addresses {
            let nodad = if address.contains(':') { " nodad" } else { "" };
            end.ip(&format!("address add {address} dev {at}{nodad}"))?;
        }
    }
    Ok(ends)
}

fn query(namespace: &Namespace, addresses: &[&str]) -> Result<Ended> {
    let mut query = namespace.command(binaries::chimed()?);
    finish(query.args(["query", "--timeout", "2"]).args(addresses), SOON)
}

/// What `chimed query` says of each server: offset and stratum.
fn readings(namespace: &Namespace, addresses: &[&str]) -> Result<Vec<(f64, String)>> {
    let ended = query(namespace, addresses)?;
    ensure!(ended.code == Some(0), "{ended:?}");
    let reading = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [_, offset, .., _, "stratum", stratum, _, _, _, _] = words[..] else {
            bail!("not a reading: {line:?}");
        };
        Ok((offset.parse()?, stratum.to_owned()))
    };
    ended.stdout.lines().map(reading).collect()
}

fn served(chimed: &Chimed) -> Result<Value> {
    let mut asked = chimectl()?;
    let told = output(asked.arg("-s").arg(chimed.control()).args(["server", "--json"]))?;
    serde_json::from_str(&told).with_context(|| told)
}

/// Whether a program is attached to the interface.
fn has_program(namespace: &Namespace) -> Result<bool> {
    let mut ip = namespace.command_of_root("ip");
    Ok(output(ip.args(["link", "show", Namespace::CABLE]))?.contains("prog/xdp"))
}

fn engine(chimed: &Chimed) -> Result<i32> {
    let children = children(chimed.process.id())?;
    let engine = children.iter().find(|(_, title)| title == "chimed: ntp engine");
    Ok(engine.context("no ntp engine")?.0.as_raw())
}

/// At both ends, so that each has the driver that the other's answers need; of both families, with
/// the right time; what is not plain is the worker's. It holds nothing for it, and nothing of it
/// is left when the daemon is killed.
pub(crate) fn answers() -> Result<()> {
    let ends = cable(Namespace::CABLE)?;
    let start = |end| Chimed::start_by_root_in(end, &format!("{SERVE}{XDP}"));
    let (mut chimed, other) = (start(&ends[0])?, start(&ends[1])?);
    chimed.process.wait_for_line("a program in the driver of cable answers", SOON)?;
    for (end, asked) in
        [(&ends[1], ["192.0.2.1", "2001:db8::1"]), (&ends[0], ["192.0.2.2", "2001:db8::2"])]
    {
        let readings = readings(end, &asked)?;
        ensure!(readings.len() == 2, "{readings:?}");
        for (offset, stratum) in &readings {
            ensure!(offset.abs() < NEAR && stratum == "3", "{readings:?}");
        }
    }
    for chimed in [&chimed, &other] {
        let told = served(chimed)?;
        ensure!(told["xdp"]["answered"] == 2 && told["total"]["answered"] == 2, "{told}");
        ensure!(told["total"]["versions"]["4"] == 2, "{told}");
        ensure!(told["workers"][0]["received"] == 0, "{told}");
        ensure!(chimed.status()?.number("answers")? == 2.0, "{:?}", chimed.status()?);
    }

    let mut bench = ends[1].command(binaries::chimectl()?);
    bench.args(["bench", "192.0.2.1", "-t", "0.5", "-o", "1", "-i", "--json", "--permitted"]);
    let report: Value = serde_json::from_str(&output(&mut bench)?)?;
    ensure!(report["loss"] == 0.0 && report["interleaved"].as_f64() > Some(0.0), "{report}");
    let told = served(&chimed)?;
    let count = |value: &Value| value.as_u64().with_context(|| format!("{told}"));
    let passed = count(&told["xdp"]["passed"]["interleaved"])?;
    ensure!(passed > 0 && told["workers"][0]["received"] == passed, "{told}");
    ensure!(count(&told["total"]["answered"])? == 2 + count(&report["sent"])?, "{told} {report}");
    let mut table = chimectl()?;
    let table = output(table.arg("-s").arg(chimed.control()).arg("server"))?;
    ensure!(table.contains(&format!("xdp: passed: interleaved {passed:>12}\n")), "{table}");

    let engine = engine(&chimed)?;
    let status = fs::read_to_string(format!("/proc/{engine}/status"))?;
    ensure!(status.contains("CapPrm:\t0000000000000000\n"), "{status}");
    ensure!(status.contains("CapBnd:\t0000000000000000\n"), "{status}");
    ensure!(has_program(&ends[0])?);
    chimed.process.signal(Signal::SIGKILL)?;
    wait_for("the program to go", SOON, || Ok((!has_program(&ends[0])?).then_some(())))
}

/// An interface without a driver of its own: its packets meet the program behind it.
pub(crate) fn generic() -> Result<()> {
    let ends = cable("bridge")?;
    let mut chimed =
        Chimed::start_by_root_in(&ends[0], &format!("{SERVE}xdp = [\"bridge\"]\nworkers = 0\n"))?;
    chimed.process.wait_for_line("a program behind the driver of bridge answers", SOON)?;
    for (offset, stratum) in readings(&ends[1], &["192.0.2.1", "2001:db8::1"])? {
        ensure!(offset.abs() < NEAR && stratum == "3", "{offset} {stratum}");
    }
    let told = served(&chimed)?;
    ensure!(told["xdp"]["answered"] == 2 && told["total"]["answered"] == 2, "{told}");
    Ok(())
}

/// Another policy is served at once; where it answers is not changed without privilege, but it is
/// not answered any more where time is not to be served so.
pub(crate) fn reloaded() -> Result<()> {
    let ends = cable("bridge")?;
    let chimed = Chimed::start_by_root_in(&ends[0], &format!("{SERVE}xdp = [\"bridge\"]\n"))?;
    let answered = |expected: [u64; 2]| -> Result<()> {
        ensure!(query(&ends[1], &["192.0.2.1"])?.code == Some(0), "no answer");
        let told = served(&chimed)?;
        let counts = [&told["total"]["answered"], &told["xdp"]["answered"]];
        ensure!(
            counts.map(|count| count.as_u64().unwrap_or(0)) == expected,
            "{expected:?}: {told}"
        );
        Ok(())
    };
    let reload = |configuration: &str| {
        chimed.rewrite(configuration)?;
        finish(chimectl()?.arg("-s").arg(chimed.control()).arg("reload"), SOON)
    };
    answered([1, 1])?;
    let other = SERVE.replace("stratum = 3", "stratum = 4");
    let ended = reload(&format!("{other}xdp = [\"bridge\"]\ninterleaved = false\n"))?;
    ensure!(ended.code == Some(0) && ended.stderr.is_empty(), "{ended:?}");
    answered([2, 2])?;
    ensure!(readings(&ends[1], &["192.0.2.1"])?[0].1 == "4", "the old stratum");
    let ended = reload(SERVE)?;
    let warning = "serve.xdp: the sockets answer alone until chimed is started again";
    ensure!(ended.code == Some(0) && ended.stderr.contains(warning), "{ended:?}");
    answered([4, 0])
}

/// An interface that is not there is told, and the sockets answer.
pub(crate) fn nowhere() -> Result<()> {
    let ends = cable(Namespace::CABLE)?;
    let mut chimed =
        Chimed::start_by_root_in(&ends[0], &format!("{SERVE}xdp = [\"nowhere\", \"lo\"]\n"))?;
    chimed.process.wait_for_line("cannot answer in the driver of nowhere: No such device", SOON)?;
    ensure!(query(&ends[1], &["192.0.2.1"])?.code == Some(0), "no answer");
    let told = served(&chimed)?;
    ensure!(told["xdp"]["answered"] == 0 && told["total"]["answered"] == 1, "{told}");
    Ok(())
}
