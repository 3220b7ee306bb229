//! What the released programs take: `cargo bench -p truechimer-tests --bench daemon [-- SECONDS]`.
//!
//! Size, resident memory and wake-ups of each process with four peers when nothing is to be done but
//! to ask them, and the time from the start to the first query. It is watched for two minutes unless
//! it is said how long.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nix::unistd::Pid;
use truechimer_tests::chimed::{Chimed, server};
use truechimer_tests::fake::FakeServer;
use truechimer_tests::process::{Process, children, field};
use truechimer_tests::{binaries, scratch, wait_for, write};

const PEERS: usize = 4;
const LIMIT: Duration = Duration::from_secs(30);
/// Starts, of which the median is shown.
const STARTS: usize = 11;
/// Whom the engines become if this is run by root: a user who is everywhere.
const USER: &str = "nobody";

fn main() -> Result<()> {
    // Cargo adds `--bench`.
    let seconds = std::env::args().skip(1).find(|word| word != "--bench");
    let watched = Duration::from_secs(seconds.map_or(Ok(120), |word| word.parse())?);
    for program in [binaries::released_chimed()?, binaries::released_chimectl()?] {
        println!("{:<24} {:>9} octets", program.display(), fs::metadata(&program)?.len());
    }
    println!("{:<24} {:>9} {:>14}", "", "KiB", "wake-ups/h");
    at_rest("chimed -d", watched, Chimed::start_released)?;
    at_rest("chimed", watched, Chimed::start_released_separated)?;
    for (mode, option) in [("chimed -d", Some("-d")), ("chimed", None)] {
        println!("{mode}: {:.1} ms to the first query", first_query(option)? * 1e3);
    }
    Ok(())
}

fn at_rest(mode: &str, watched: Duration, start: impl Fn(&str) -> Result<Chimed>) -> Result<()> {
    let servers: Vec<_> = (0..PEERS).map(|_| FakeServer::honest()).collect::<Result<_>>()?;
    let tables: String = servers.iter().map(|fake| server(fake.port, 6)).collect();
    let chimed = start(&tables)?;
    wait_for("a query to each", LIMIT, || {
        Ok(servers.iter().all(|fake| fake.queries() >= 1).then_some(()))
    })?;
    let parent = chimed.process.id();
    let mut processes = vec![(Pid::from_raw(parent.cast_signed()), mode.to_owned())];
    processes.extend(children(parent)?);
    let wake_ups = || -> Result<Vec<u64>> {
        processes.iter().map(|(id, _)| field(*id, "voluntary_ctxt_switches:")).collect()
    };
    let (before, began) = (wake_ups()?, Instant::now());
    std::thread::sleep(watched);
    let (after, hours) = (wake_ups()?, began.elapsed().as_secs_f64() / 3_600.0);
    for ((id, name), (before, after)) in processes.iter().zip(before.into_iter().zip(after)) {
        let resident = field(*id, "VmRSS:")?;
        println!("{name:<24} {resident:>9} {:>14.0}", (after - before) as f64 / hours);
    }
    Ok(())
}

/// From when it is started until a server has its query, in seconds.
fn first_query(option: Option<&str>) -> Result<f64> {
    let fake = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    fake.set_read_timeout(Some(LIMIT))?;
    let directory = scratch()?;
    let server = server(fake.local_addr()?.port(), 6);
    let text = format!("clock = \"software\"\nuser = \"{USER}\"\ncontrol = \"\"\n{server}");
    let file = write(directory.path(), "chimed.toml", &text)?;
    let start = || -> Result<f64> {
        let mut command = Command::new(binaries::released_chimed()?);
        let began = Instant::now();
        let _chimed = Process::start(command.args(option).args(["-f", &file]))?;
        let length = fake.recv(&mut [0; 64])?;
        ensure!(length == 48, "a query of {length} octets");
        Ok(began.elapsed().as_secs_f64())
    };
    let mut times = (0..STARTS).map(|_| start()).collect::<Result<Vec<_>>>()?;
    times.sort_by(f64::total_cmp);
    Ok(times[STARTS / 2])
}
