//! Size, memory, wake-ups, and a clean end.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use truechimer_tests::chimed::{Chimed, server};
use truechimer_tests::fake::FakeServer;
use truechimer_tests::process::{children, field, output};
use truechimer_tests::trial::{conclude, trial};
use truechimer_tests::{binaries, wait_for};

/// The stripped program, octets; more than a third of it is for HTTPS. Paths of the machine that built it are in it.
const SIZE: u64 = 4_300_000;
/// Resident memory with four peers, KiB.
const RESIDENT: u64 = 8_000;
/// Returns of poll(2) per second when idle.
const WAKE_UPS: f64 = 4.0;
/// The part of a processor that it may use meanwhile.
const BUSY: f64 = 0.02;
/// How long it is watched.
const WATCHED: Duration = Duration::from_secs(10);

fn main() {
    let trials = vec![
        trial("size", &[], size),
        trial("at_rest", &[], at_rest),
        trial("processes_at_rest", &[], processes_at_rest),
        trial("ends_on_sigterm", &[], || ends_on(Signal::SIGTERM)),
        trial("ends_on_sigint", &[], || ends_on(Signal::SIGINT)),
    ];
    conclude(trials, 1);
}

fn size() -> Result<()> {
    let octets = fs::metadata(binaries::released_chimed()?)?.len();
    println!("chimed: {octets} octets");
    ensure!(octets < SIZE, "{octets} octets, more than {SIZE}");
    Ok(())
}

/// With four peers that it has asked, and nothing to do until the next poll.
fn at_rest() -> Result<()> {
    let servers: Vec<_> = (0..4).map(|_| FakeServer::honest()).collect::<Result<_>>()?;
    let tables: String = servers.iter().map(|fake| server(fake.port, 6)).collect();
    let chimed = Chimed::start_released(&tables)?;
    wait_for("a query to each", Duration::from_secs(20), || {
        Ok(servers.iter().all(|fake| fake.queries() >= 1).then_some(()))
    })?;

    let (start, before) = (Instant::now(), chimed.status()?.number("polls")?);
    let used_before = processor_time(chimed.process.id())?;
    std::thread::sleep(WATCHED);
    let used = processor_time(chimed.process.id())? - used_before;
    let polls = chimed.status()?.number("polls")? - before;
    let seconds = start.elapsed().as_secs_f64();
    let resident = field(chimed.process.id(), "VmRSS:")?;
    println!(
        "chimed at rest: {resident} KiB resident, {:.1} wake-ups/s, {:.2} % of a processor",
        polls / seconds,
        100.0 * used / seconds
    );
    ensure!(resident < RESIDENT, "{resident} KiB resident");
    ensure!(polls / seconds <= WAKE_UPS, "{polls} wake-ups in {seconds} s");
    ensure!(used / seconds < BUSY, "{used} s of processor time in {seconds} s");
    Ok(())
}

/// Each of several processes, likewise. The parent and the dns engine sleep.
fn processes_at_rest() -> Result<()> {
    let servers: Vec<_> = (0..4).map(|_| FakeServer::honest()).collect::<Result<_>>()?;
    let tables: String = servers.iter().map(|fake| server(fake.port, 6)).collect();
    let chimed = Chimed::start_released_separated(&tables)?;
    wait_for("a query to each", Duration::from_secs(20), || {
        Ok(servers.iter().all(|fake| fake.queries() >= 1).then_some(()))
    })?;
    let parent = chimed.process.id();
    let mut processes = children(parent)?;
    processes.push((Pid::from_raw(parent.cast_signed()), "parent".to_owned()));
    let switches = || -> Result<Vec<u64>> {
        let of = |(id, _): &(Pid, String)| field(*id, "voluntary_ctxt_switches:");
        processes.iter().map(of).collect()
    };
    let (start, before) = (Instant::now(), switches()?);
    std::thread::sleep(WATCHED);
    let (after, seconds) = (switches()?, start.elapsed().as_secs_f64());
    for ((id, name), (before, after)) in processes.iter().zip(before.into_iter().zip(after)) {
        let (resident, wakes) = (field(*id, "VmRSS:")?, (after - before) as f64 / seconds);
        println!("{name} at rest: {resident} KiB resident, {wakes:.1} wake-ups/s");
        ensure!(resident < RESIDENT, "{name}: {resident} KiB resident");
        let most = if name.ends_with("ntp engine") { WAKE_UPS } else { 0.0 };
        ensure!(wakes <= most, "{name}: {wakes} wake-ups/s");
    }
    Ok(())
}

fn ends_on(signal: Signal) -> Result<()> {
    let fake = FakeServer::honest()?;
    let mut chimed = Chimed::start(&server(fake.port, 0))?;
    chimed.process.signal(signal)?;
    let status = chimed.process.wait(Duration::from_secs(5))?;
    ensure!(status.code() == Some(0), "{status}");
    for text in ["ntp engine exiting", "Terminating"] {
        chimed.process.wait_for_line(text, Duration::from_secs(1))?;
        ensure!(chimed.process.transcript.count(text) == 1, "`{text}` more than once");
    }
    Ok(())
}

/// User and system time so far, s.
fn processor_time(id: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The second field is the name in parentheses; 14 and 15 are the times.
    let (_, fields) = stat.rsplit_once(") ").context("no name in stat")?;
    let mut times = fields.split_whitespace().skip(11).map(str::parse::<f64>);
    let mut next = || times.next().context("no times in stat");
    let ticks = next()?? + next()??;
    let per_second: f64 = output(Command::new("getconf").arg("CLK_TCK"))?.trim().parse()?;
    Ok(ticks / per_second)
}
