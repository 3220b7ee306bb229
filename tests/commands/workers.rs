//! Serving by workers, and by the engine's thread where both must do the same.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use truechimer_tests::chimed::{Chimed, Status, listen, server};
use truechimer_tests::fake::FakeServer;
use truechimer_tests::process::{Ended, finish};
use truechimer_tests::{free_port, wait_for};

use super::{SOON, chimectl};

/// Nothing comes in this time when nothing is to come.
const SILENCE: Duration = Duration::from_millis(300);
/// From 1900 to 1970, s.
const UNIX: f64 = 2_208_988_800.0;
/// Stamps of one machine's clock are right to this, s.
const NEAR: f64 = 0.5;

type Packet = [u8; 48];

/// On every address, with `serve` as the table of that name, as stratum 3.
fn start(port: u16, serve: &str) -> Result<Chimed> {
    let listen = format!("[[listen]]\naddress = \"*\"\nport = {port}\n");
    Chimed::start(&format!("{listen}[serve]\n{serve}\n[local]\nstratum = 3\n"))
}

fn client(address: &str, patience: Duration) -> Result<UdpSocket> {
    let socket = UdpSocket::bind((address, 0))?;
    socket.set_read_timeout(Some(patience))?;
    Ok(socket)
}

/// With origin, receive and transmit stamps.
fn query(stamps: [u64; 3]) -> Packet {
    let mut query = [0; 48];
    query[0] = 0o43;
    for (place, stamp) in [24, 32, 40].into_iter().zip(stamps) {
        query[place..place + 8].copy_from_slice(&stamp.to_be_bytes());
    }
    query
}

/// Asks, and has the answer if there is one from where it was asked.
fn ask(socket: &UdpSocket, query: &[u8], to: SocketAddr) -> Result<Option<Vec<u8>>> {
    socket.send_to(query, to)?;
    let mut reply = [0; 1_024];
    let Ok((length, from)) = socket.recv_from(&mut reply) else { return Ok(None) };
    ensure!(from == to, "asked at {to}, answered from {from}");
    Ok(Some(reply[..length].to_vec()))
}

fn stamp(reply: &[u8], place: usize) -> Result<u64> {
    let bytes = reply.get(place..place + 8).context("a short answer")?;
    Ok(u64::from_be_bytes(bytes.try_into()?))
}

fn unix(stamp: u64) -> f64 {
    stamp as f64 / 2f64.powi(32) - UNIX
}

fn host_time() -> Result<f64> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64())
}

fn told(chimed: &Chimed) -> Result<Value> {
    let mut command = chimectl()?;
    command.arg("-s").arg(chimed.control()).args(["server", "--json"]);
    let ended = finish(&mut command, SOON)?;
    ensure!(ended.code == Some(0) && ended.stderr.is_empty(), "{ended:?}");
    Ok(serde_json::from_str(&ended.stdout)?)
}

fn reloaded(chimed: &Chimed) -> Result<Ended> {
    finish(chimectl()?.arg("-s").arg(chimed.control()).arg("reload"), SOON)
}

fn threads(chimed: &Chimed) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{}/task", chimed.process.id()))?.count())
}

/// Each of many clients has its answer from the address that it asked, whichever worker has it.
pub(crate) fn many_clients() -> Result<()> {
    const CLIENTS: u64 = 96;
    let port = free_port()?;
    let chimed = start(port, "workers = 4")?;
    ensure!(threads(&chimed)? == 5, "{} threads", threads(&chimed)?);
    for number in 0..CLIENTS {
        let asked: IpAddr = match number % 4 {
            0 => "::1".parse()?,
            last => format!("127.0.0.{last}").parse()?,
        };
        let own = if asked.is_ipv6() { "::1" } else { "127.0.0.1" };
        let socket = client(own, SOON)?;
        let name = 0xc0ff_ee00 + number;
        let reply = ask(&socket, &query([0, 0, name]), SocketAddr::new(asked, port))?;
        let reply = reply.with_context(|| format!("client {number} has no answer"))?;
        ensure!(reply.len() == 48 && reply[..2] == [0o44, 3], "{reply:02x?}");
        let [origin, receive, transmit] =
            [stamp(&reply, 24)?, stamp(&reply, 32)?, stamp(&reply, 40)?];
        ensure!(origin == name, "{origin:x}");
        ensure!(receive < transmit, "it leaves {transmit:x} and came {receive:x}");
        for time in [receive, transmit].map(unix) {
            ensure!((time - host_time()?).abs() < NEAR, "{time}, not {}", host_time()?);
        }
    }
    let told = told(&chimed)?;
    let (total, workers) = (&told["total"], told["workers"].as_array().context("no workers")?);
    ensure!(total["received"] == CLIENTS && total["answered"] == CLIENTS, "{told}");
    ensure!(total["versions"] == serde_json::json!({"4": CLIENTS}), "{told}");
    ensure!(total["latency_median"].as_f64() > Some(0.0), "{told}");
    let answered: Vec<_> =
        workers.iter().map(|worker| worker["answered"].as_u64().unwrap_or_default()).collect();
    ensure!(answered.len() == 4 && answered.iter().sum::<u64>() == CLIENTS, "{told}");
    ensure!(answered.iter().filter(|count| **count > 0).count() > 1, "{told}");
    ensure!(chimed.status()?.number("answers")? == CLIENTS as f64, "{:?}", chimed.status()?);

    let mut command = chimectl()?;
    let ended = finish(command.arg("-s").arg(chimed.control()).arg("server"), SOON)?;
    let first: Vec<_> =
        ended.stdout.lines().next().unwrap_or_default().split_whitespace().collect();
    ensure!(first == ["worker", "all", "1", "2", "3", "4"], "{ended:?}");
    let names: BTreeSet<_> = ended.stdout.lines().filter_map(|line| line.get(..24)).collect();
    for name in ["received", "answered", "version 4", "latency: 99 % below"] {
        ensure!(names.iter().any(|found| found.trim() == name), "no {name} in {ended:?}");
    }
    Ok(())
}

/// Unless somebody wants workers the daemon is one thread.
pub(crate) fn one_thread() -> Result<()> {
    for serve in ["", "workers = 0"] {
        let chimed = start(free_port()?, serve)?;
        ensure!(threads(&chimed)? == 1, "{} threads with {serve:?}", threads(&chimed)?);
    }
    Ok(())
}

/// Which kinds of answers so many queries of one client have, the others silence: stratum 0 is a
/// kiss.
fn strata(from: &str, port: u16, count: usize) -> Result<(usize, BTreeSet<String>, usize)> {
    let socket = client(from, SILENCE)?;
    let (mut times, mut codes, mut kisses) = (0, BTreeSet::new(), 0);
    for number in 0..count {
        let to = SocketAddr::new("127.0.0.1".parse()?, port);
        match ask(&socket, &query([0, 0, number as u64 + 1]), to)? {
            Some(reply) if reply[1] == 0 => {
                kisses += 1;
                codes.insert(String::from_utf8_lossy(&reply[12..16]).into_owned());
            }
            Some(_) => times += 1,
            None => {}
        }
    }
    Ok((times, codes, kisses))
}

pub(crate) fn access() -> Result<()> {
    for workers in [0, 1] {
        let port = free_port()?;
        let rules = "allow = [\"127.0.0.0/29\"]\ndeny = [\"127.0.0.2\"]\nkiss_one_in = 3";
        let chimed = start(port, &format!("workers = {workers}\n{rules}"))?;
        ensure!(strata("127.0.0.1", port, 2)? == (2, BTreeSet::new(), 0), "who is allowed");
        let denied = (0, BTreeSet::from(["DENY".to_owned()]), 2);
        let found = strata("127.0.0.2", port, 6)?;
        ensure!(found == denied, "who is denied: {found:?}");
        let found = strata("127.0.0.9", port, 2)?;
        ensure!(found == (0, BTreeSet::new(), 0), "who is not listed: {found:?}");
        ensure!(chimed.status()?.refused("denied") == 8, "{:?}", chimed.status()?);
    }
    Ok(())
}

pub(crate) fn rate() -> Result<()> {
    for workers in [0, 1] {
        let port = free_port()?;
        let limit = "rate = { interval = 1000, burst = 2, leak_one_in = 0 }\nkiss_one_in = 4";
        let chimed = start(port, &format!("workers = {workers}\n{limit}"))?;
        let found = strata("127.0.0.1", port, 10)?;
        ensure!(found == (2, BTreeSet::from(["RATE".to_owned()]), 2), "{found:?}");
        ensure!(strata("127.0.0.2", port, 2)?.0 == 2, "another client has a bucket of its own");
        let total = &told(&chimed)?["total"];
        ensure!(total["refused"] == serde_json::json!({"rate": 8}), "{total}");
        ensure!(total["kisses"] == 2 && total["answered"] == 6, "{total}");
        ensure!(total["latency_median"].as_f64() > Some(0.0), "{total}");
        let mut command = chimectl()?;
        let ended =
            finish(command.arg("-s").arg(chimed.control()).args(["server", "--prometheus"]), SOON)?;
        for line in [
            "chimed_server_refused_total{reason=\"rate\"} 8\n",
            "chimed_server_requests_total{version=\"4\"} 12\n",
            "chimed_server_latency_seconds_count 6\n",
        ] {
            ensure!(ended.stdout.contains(line), "no {line} in {ended:?}");
        }
        let top = serde_json::json!({"address": "127.0.0.1", "requests": 10, "refused": 8});
        ensure!(total["clients"][0] == top, "{total}");
    }
    Ok(())
}

/// The answer after tells when the one before really left.
pub(crate) fn interleaved() -> Result<()> {
    for workers in [0, 1] {
        let port = free_port()?;
        let chimed = start(port, &format!("workers = {workers}"))?;
        let (socket, to) = (client("127.0.0.1", SOON)?, format!("127.0.0.1:{port}").parse()?);
        let mut last = ask(&socket, &query([0, 0, 1]), to)?.context("no answer")?;
        for number in 1..=3 {
            let (arrived, receive) = (host_time()?, stamp(&last, 32)?);
            std::thread::sleep(Duration::from_millis(50));
            let own = [10 * number, 10 * number + 1];
            let next = ask(&socket, &query([receive, own[0], own[1]]), to)?.context("no answer")?;
            ensure!(stamp(&next, 24)? == own[0], "in the basic mode: {next:02x?}");
            let departed = stamp(&next, 40)?;
            ensure!(
                departed > receive && unix(departed) < arrived + 0.02,
                "{last:02x?} {next:02x?}"
            );
            last = next;
        }
        let told = told(&chimed)?;
        ensure!(told["total"]["interleaved"] == 3, "{told}");
    }
    Ok(())
}

/// Control messages are answered when that is configured, to whom it is.
pub(crate) fn monitoring() -> Result<()> {
    let variables = [0x16, 2, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0];
    for workers in [0, 1] {
        let port = free_port()?;
        let to = format!("127.0.0.1:{port}").parse()?;
        let silent = start(port, &format!("workers = {workers}"))?;
        ensure!(ask(&client("127.0.0.1", SILENCE)?, &variables, to)?.is_none(), "not configured");
        ensure!(silent.status()?.refused("control") == 1, "{:?}", silent.status()?);
        drop(silent);

        let listed = "monitoring = [\"127.0.0.2\"]";
        let chimed = start(port, &format!("workers = {workers}\n{listed}"))?;
        ensure!(ask(&client("127.0.0.1", SILENCE)?, &variables, to)?.is_none(), "not listed");
        let reply = ask(&client("127.0.0.2", SOON)?, &variables, to)?.context("no answer")?;
        ensure!(reply[..4] == [0x16, 0x82, 0, 7], "{reply:02x?}");
        let text = String::from_utf8_lossy(reply.get(12..).unwrap_or_default());
        ensure!(text.contains("stratum=3, "), "{text}");
        ensure!(chimed.status()?.number("answers")? == 1.0, "{:?}", chimed.status()?);
    }
    Ok(())
}

/// A daemon that asks and serves: what the engine finds out is what the workers tell.
pub(crate) fn beside_a_client() -> Result<()> {
    let (fake, port) = (FakeServer::honest()?, free_port()?);
    let offset = "[software_clock]\noffset = 1000\nfrequency = 50\n";
    let serve = "[serve]\nworkers = 2\n";
    let chimed =
        Chimed::start(&format!("{}{}{serve}{offset}", server(fake.port, -2), listen(port)))?;
    let (socket, to) = (client("127.0.0.1", SOON)?, format!("127.0.0.1:{port}").parse()?);
    let first = ask(&socket, &query([0, 0, 1]), to)?.context("no answer")?;
    if first[1] == 0 {
        ensure!(first[0] >> 6 == 3 && &first[12..16] == b"INIT", "{first:02x?}");
    }
    chimed.wait_until("a synchronised clock", 2 * SOON, Status::is_synced)?;
    let right =
        chimed.wait_until("the step", SOON, |status| Ok(status.number("clock_error")?.abs() < 0.1));
    right?;
    let reply = ask(&socket, &query([0, 0, 2]), to)?.context("no answer")?;
    let time = unix(stamp(&reply, 40)?);
    ensure!(reply[1] == 4 || reply[1] == 2, "stratum {}", reply[1]);
    ensure!((time - host_time()?).abs() < NEAR, "{time}, not {}", host_time()?);
    Ok(())
}

/// Termination ends the workers too, in the midst of their work.
pub(crate) fn ending() -> Result<()> {
    let port = free_port()?;
    let mut chimed = start(port, "workers = 3")?;
    let socket = client("127.0.0.1", SILENCE)?;
    for number in 0..200 {
        socket.send_to(&query([0, 0, number]), ("127.0.0.1", port))?;
    }
    chimed.process.signal(Signal::SIGTERM)?;
    let status = chimed.process.wait(SOON)?;
    ensure!(status.code() == Some(0), "{status}");
    UdpSocket::bind(("0.0.0.0", port)).context("the port is still taken")?;
    Ok(())
}

/// Two daemons do not share an address by accident.
pub(crate) fn address_taken() -> Result<()> {
    let port = free_port()?;
    let _first = start(port, "workers = 1")?;
    let second = start(port, "workers = 1")?;
    let lines = second.process.transcript.lines();
    ensure!(lines.iter().any(|line| line.contains("cannot serve on ")), "{lines:?}");
    Ok(())
}

/// How time is served, by whom and where; what was counted before is not forgotten.
pub(crate) fn reload() -> Result<()> {
    let (fake, ports) = (FakeServer::honest()?, [free_port()?, free_port()?]);
    let chimed = Chimed::start(&(server(fake.port, -2) + &listen(ports[0])))?;
    chimed.wait_until("a synchronised clock", 2 * SOON, Status::is_synced)?;
    let used = chimed.peer()?.count("used")?;
    let mut answers = 0.0;
    for (at, serve, answered, count) in [
        (0, "", true, 1),
        (0, "workers = 2\n", true, 3),
        (0, "workers = 2\ndeny = [\"127.0.0.1\"]\n", false, 3),
        (1, "workers = 2\n", true, 3),
        (1, "workers = 1\nallow = [\"127.0.0.1\"]\n", true, 2),
        (1, "workers = 0\ndeny = [\"127.0.0.1\"]\n", false, 1),
    ] {
        let table = if serve.is_empty() { String::new() } else { format!("[serve]\n{serve}") };
        chimed.rewrite(&(server(fake.port, -2) + &listen(ports[at]) + &table))?;
        let kept = "peers: 0 added, 0 removed, 0 changed, 1 as before\n";
        let ended = reloaded(&chimed)?;
        ensure!(ended.stdout == kept && ended.stderr.is_empty(), "{ended:?}");
        ensure!(threads(&chimed)? == count, "{serve:?}: {}", threads(&chimed)?);
        let asked = |port| {
            let to = SocketAddr::from(([127, 0, 0, 1], port));
            anyhow::Ok(ask(&client("127.0.0.1", SILENCE)?, &query([0, 0, 1]), to)?.is_some())
        };
        ensure!(asked(ports[at])? == answered, "at {at} with {serve:?}");
        ensure!(!asked(ports[1 - at])?, "at {} with {serve:?}", 1 - at);
        answers += f64::from(u8::from(answered));
        let status = chimed.status()?;
        ensure!(status.number("answers")? == answers, "{answers} with {serve:?}: {status:?}");
    }
    ensure!(chimed.status()?.refused("denied") == 2, "{:?}", chimed.status()?);
    ensure!(chimed.peer()?.count("used")? >= used, "{:?}", chimed.peer()?);

    let occupied = UdpSocket::bind(("127.0.0.1", ports[0]))?;
    chimed.rewrite(&(server(fake.port, -2) + &listen(ports[0]) + "[serve]\nworkers = 1\n"))?;
    let ended = reloaded(&chimed)?;
    let warning = format!("cannot serve on 127.0.0.1:{}: ", ports[0]);
    ensure!(ended.code == Some(0) && ended.stderr.contains(&warning), "{ended:?}");
    drop(occupied);
    chimed.process.signal(Signal::SIGHUP)?;
    wait_for(
        "the address that has become free",
        SOON,
        || Ok((threads(&chimed)? == 2).then_some(())),
    )
}
