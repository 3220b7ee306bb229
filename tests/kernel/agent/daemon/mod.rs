//! Lets a daemon discipline the guest's kernel, and notes how far the clock is off.

mod card;
mod disk;
mod names;
mod process;
mod reference;

use std::fs;

use anyhow::{Context, Result, ensure};
use libc::CLOCK_REALTIME;
use truechimer_tests::guest::scenario::{
    Event, FOLDER, Happening, LEAP_LIST, Record, STATE, Sample, Scenario,
};
use truechimer_tests::timex::fields::RawTimex;

use self::names::NameServer;
use self::process::Daemon;
use self::reference::{Reference, Servers};
use crate::scripts::{reset, use_tsc};
use crate::sys::{self, adjtimex, clock};

/// Attempts at reading two clocks without being interrupted between.
const ATTEMPTS: usize = 5;

/// What is to happen, if that is what this guest is for.
pub fn scenarios() -> Option<String> {
    fs::read_to_string("/scenarios").ok()
}

/// Performs them one after the other.
pub fn run(scenarios: &str) -> Result<()> {
    use_tsc()?;
    sys::mount(c"proc", c"/proc").context("mount /proc")?;
    sys::mount(c"devtmpfs", c"/dev").context("mount /dev")?;
    fs::create_dir_all(STATE)?;
    sys::start_loopback().context("no loopback")?;
    sys::hurry().context("no priority")?;
    fs::create_dir_all("/etc")?;
    fs::write("/etc/passwd", "_ntp:x:123:123::/:/bin/false\n")?;
    fs::write("/etc/resolv.conf", "nameserver 127.0.0.1\n")?;
    let names = NameServer::start()?;
    let mut servers = Servers::default();
    card::start(&servers)?;
    for scenario in serde_json::from_str::<Vec<Scenario>>(scenarios)? {
        perform(&scenario, &mut servers, &names).with_context(|| scenario.name.clone())?;
    }
    Ok(())
}

fn perform(scenario: &Scenario, servers: &mut Servers, names: &NameServer) -> Result<()> {
    note(&Record::Begin(scenario.name.clone()));
    let _ = fs::remove_dir_all(FOLDER);
    fs::create_dir_all(FOLDER)?;
    disk::begin()?;
    match &scenario.leap_list {
        Some(list) => fs::write(LEAP_LIST, list)?,
        None => drop(fs::remove_file(LEAP_LIST)),
    }
    reset(scenario.start)?;
    let reference = Reference::new(scenario);
    servers.set(&reference, &scenario.servers)?;
    names.set(scenario.names);
    sys::set_clock(reference.now() + (scenario.ahead * 1e9) as i64).context("clock_settime")?;

    let mut daemon = Some(Daemon::start(scenario, &reference)?);
    let mut events = scenario.events.iter().peekable();
    let mut sampled = 0.0;
    loop {
        let next = sampled + scenario.every;
        if let Some(Event { at, what }) = events.next_if(|event| event.at < next) {
            reference.sleep_until(*at);
            match what {
                Happening::Server(place, how) => servers.change(*place, *how)?,
                Happening::Step(by) => {
                    sys::set_clock(clock(CLOCK_REALTIME) + (by * 1e9) as i64)?;
                }
                Happening::Names(how) => names.set(*how),
                Happening::Frequency(ppm) => reference.set_frequency(*ppm),
                Happening::Stop => {
                    let code = daemon.take().context("it does not run")?.stop()?;
                    note(&Record::Ended(secs(reference.elapsed()), code));
                }
                Happening::KillEngine => {
                    let code = daemon.take().context("it does not run")?.kill_engine()?;
                    note(&Record::Ended(secs(reference.elapsed()), code));
                }
                Happening::Kill => {
                    let code = daemon.take().context("it does not run")?.kill()?;
                    note(&Record::Ended(secs(reference.elapsed()), code));
                }
                Happening::Peers => {
                    note(&Record::Peers(secs(reference.elapsed()), process::ask("peers")?));
                }
                Happening::Reboot => reboot()?,
                Happening::Disk(how) => disk::set(*how)?,
                Happening::Start => {
                    daemon = Some(Daemon::start(scenario, &reference)?);
                }
            }
            continue;
        }
        if next > scenario.secs {
            break;
        }
        reference.sleep_until(next);
        note(&Record::Sample(sample(&reference)?));
        sampled = next;
    }
    daemon.map_or(Ok(None), Daemon::kill).map(drop)
}

/// As [`reset`], but the clock goes on.
fn reboot() -> Result<()> {
    for request in ["modes=0x10 status=0x40", "modes=0x4002 tick=10000"] {
        let (result, _) = adjtimex(RawTimex::parse(request.split(' '))?)?;
        ensure!(result >= 0, "{request}: error {result}");
    }
    Ok(())
}

fn sample(reference: &Reference) -> Result<Sample> {
    let (_, ahead) = (0..ATTEMPTS)
        .map(|_| {
            let from = reference.now();
            let shown = clock(CLOCK_REALTIME);
            let took = reference.now() - from;
            (took, shown - from - took / 2)
        })
        .min()
        .unwrap_or_default();
    let (state, timex) = adjtimex(RawTimex::NOTHING)?;
    Ok(Sample {
        at: secs(reference.elapsed()),
        ahead: secs(ahead),
        kernel: timex.to_string(),
        state,
        status: process::ask("status").ok(),
    })
}

fn secs(nanos: i64) -> f64 {
    nanos as f64 / 1e9
}

fn note(record: &Record) {
    // It has no key that is no text.
    sys::write_line(&serde_json::to_string(record).unwrap_or_default());
}
