//! `chimectl bench`.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use truechimer_tests::chimed::{Chimed, listen};
use truechimer_tests::fake::{Datagram, FakeServer, Query, Reply};
use truechimer_tests::free_port;
use truechimer_tests::process::{Ended, Process, finish};

use super::{SOON, chimectl};

fn bench(port: u16, arguments: &[&str]) -> Result<Ended> {
    let server = format!("127.0.0.1:{port}");
    finish(chimectl()?.args(["bench", &server, "-t", "0.5"]).args(arguments), SOON)
}

fn report(port: u16, arguments: &[&str]) -> Result<Value> {
    let ended = bench(port, &[arguments, &["--json"]].concat())?;
    // Not on a terminal there is no progress.
    ensure!(ended.code == Some(0) && ended.stderr.is_empty(), "{ended:?}");
    serde_json::from_str(&ended.stdout).with_context(|| format!("{ended:?}"))
}

fn number(report: &Value, name: &str) -> Result<f64> {
    report[name].as_f64().with_context(|| format!("no `{name}` in {report}"))
}

/// What it counts is what the daemon counts, in both loops.
pub(crate) fn of_chimed() -> Result<()> {
    let port = free_port()?;
    let chimed = Chimed::start(&format!("{}[local]\nstratum = 1\n", listen(port)))?;
    let mut sent = 0.0;
    for arguments in [&["-o", "20", "--sockets", "3"][..], &["-r", "2000", "--timeout", "2"]] {
        let report = report(port, arguments)?;
        sent += number(&report, "sent")?;
        let (answered, loss) = (number(&report, "answered")?, number(&report, "loss")?);
        ensure!(answered == number(&report, "sent")? && loss == 0.0, "{report}");
        ensure!(report["rejected"].as_object().is_some_and(serde_json::Map::is_empty), "{report}");
        let latency = |name: &str| report["latency_us"][name].as_f64().context("no latency");
        let percentiles = [latency("p50")?, latency("p90")?, latency("p99")?, latency("max")?];
        ensure!(percentiles.is_sorted() && percentiles[0] > 0.0, "{report}");
    }
    let status = chimed.status()?;
    ensure!(status.number("requests")? == sent, "{sent} sent: {status:?}");
    ensure!(status.number("answers")? == sent, "{sent} sent: {status:?}");
    Ok(())
}

/// An open loop sends as often as it is told to, whatever comes back, from as many ports.
pub(crate) fn open_loop() -> Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    let port = socket.local_addr()?.port();
    let ended = bench(port, &["-r", "400", "--sockets", "5", "--timeout", "0.1"])?;
    ensure!(ended.code == Some(1), "{ended:?}");
    ensure!(ended.stdout.contains("lost                 100.0000 %\n"), "{ended:?}");
    let message = format!("chimectl: 127.0.0.1:{port} gave no valid answer\n");
    ensure!(ended.stderr == message, "{ended:?}");
    let mut ports = std::collections::HashMap::new();
    let mut query = [0; 1_024];
    while let Ok((length, from)) = socket.recv_from(&mut query) {
        ensure!(length == 48 && query[0] == 0x23, "{:02x?}", &query[..length]);
        *ports.entry(from).or_insert(0) += 1;
    }
    ensure!(ports.len() == 5 && ports.values().all(|&count| count >= 30), "{ports:?}");
    let total: i32 = ports.values().sum();
    ensure!((190..=200).contains(&total), "{total} in half a second");
    Ok(())
}

/// Every second answer continues the one before, as it is asked for.
pub(crate) fn interleaved() -> Result<()> {
    let (mut last, mut count) = (None, 0u64);
    let fake = FakeServer::start(move |query| {
        let stamp = |at: usize| u64::from_be_bytes(query.bytes[at..at + 8].try_into().unwrap());
        let (origin, receive) = (stamp(24), stamp(32));
        let honest = Reply::honest(query);
        count += 1;
        let reply = match last {
            Some((received, sent)) if origin == received && count % 2 == 0 => {
                Reply { origin: receive, transmit: sent, ..honest }
            }
            _ => honest,
        };
        last = Some((honest.receive, honest.transmit));
        vec![Datagram::FromHere(reply.emit())]
    })?;
    let arguments = ["-o", "1", "--interleaved"];
    let share = number(&report(fake.port, &arguments)?, "interleaved")?;
    ensure!((share - 0.5).abs() < 0.05, "{share}");
    let share = number(&report(fake.port, &arguments[..2])?, "interleaved")?;
    ensure!(share == 0.0, "{share}");
    Ok(())
}

/// Answers of no use are told apart, and none of them makes a success.
pub(crate) fn invalid() -> Result<()> {
    type Script = fn(&Query) -> Reply;
    let scripts: [(Script, &str); 4] = [
        (|query| Reply { leap: 3, ..Reply::honest(query) }, "alarm"),
        (|query| Reply::kiss(query, *b"RATE"), "kiss"),
        (|query| Reply { origin: !query.stamp(), ..Reply::honest(query) }, "bogus"),
        (|query| Reply { mode: 3, ..Reply::honest(query) }, "mode"),
    ];
    for (script, reason) in scripts {
        let fake = FakeServer::start(move |query| vec![Datagram::FromHere(script(query).emit())])?;
        let ended = bench(fake.port, &["-r", "100", "--timeout", "0.1", "--json"])?;
        ensure!(ended.code == Some(1), "{reason}: {ended:?}");
        let report: Value = serde_json::from_str(&ended.stdout)?;
        ensure!(report["rejected"][reason].as_u64() == report["sent"].as_u64(), "{report}");
        ensure!(number(&report, "answered")? == 0.0, "{report}");
    }
    Ok(())
}

/// A closed port is told at once, and is no answer.
pub(crate) fn nobody_there() -> Result<()> {
    let ended = bench(free_port()?, &["-o", "1", "--timeout", "0.1"])?;
    ensure!(ended.code == Some(1), "{ended:?}");
    ensure!(ended.stdout.contains(" times: nobody listens there\n"), "{ended:?}");
    Ok(())
}

/// Nobody is loaded by mistake: refused before anything is sent.
pub(crate) fn not_allowed() -> Result<()> {
    for (arguments, message) in [
        (&["192.0.2.1", "-r", "11"][..], "192.0.2.1:123 is not on loopback: without --permitted "),
        (&["[2001:db8::1]:99", "-o", "1"], "[2001:db8::1]:99 is not on loopback: without "),
        (&["224.0.1.1", "--permitted"], "224.0.1.1:123 is not the address of one server"),
        (&["127.0.0.1", "-r", "1", "-o", "1"], "cannot be used with"),
        (&["127.0.0.1", "-r", "0"], "0 is not in 1..=1000000"),
        (&["127.0.0.1", "-o", "65537"], "65537 is not in 1..=65536"),
        (&["127.0.0.1", "-t", "3601"], "0.1 to 3600 s are allowed"),
        (&["127.0.0.1", "--timeout", "NaN"], "0.01 to 10 s are allowed"),
        (&["127.0.0.1:0"], "port 0 is not allowed: 1 to 65535 are"),
    ] {
        let ended = finish(chimectl()?.arg("bench").args(arguments), SOON)?;
        ensure!(ended.code == Some(2) && ended.stdout.is_empty(), "{arguments:?}: {ended:?}");
        ensure!(ended.stderr.contains(message), "{arguments:?}: {ended:?}");
    }
    Ok(())
}

/// A bar without colour; interrupted, it tells what there was so far.
pub(crate) fn on_a_terminal() -> Result<()> {
    let fake = FakeServer::honest()?;
    let server = format!("127.0.0.1:{}", fake.port);
    let mut command = chimectl()?;
    let mut bench = Process::start_on_terminal(command.args(["bench", &server, "-r", "100"]))?;
    // The bar is redrawn in place, so that its line ends only with the report.
    std::thread::sleep(Duration::from_secs(1));
    bench.signal(Signal::SIGINT)?;
    let status = bench.wait(SOON)?;
    ensure!(status.code() == Some(0), "{status}");
    bench.wait_for_line("own processor time", SOON)?;
    let lines = bench.transcript.lines().concat();
    ensure!(lines.contains("░") || lines.contains('█'), "no bar: {lines:?}");
    ensure!(lines.contains(" answers") && !lines.contains("\x1b[3"), "{lines:?}");
    Ok(())
}
