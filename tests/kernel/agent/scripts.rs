//! Makes the calls of the scripts and notes what comes of them.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use libc::{CLOCK_MONOTONIC_RAW, CLOCK_REALTIME, CLOCK_TAI};
use truechimer_tests::timex::fields::RawTimex;
use truechimer_tests::timex::trace::{Call, Reading, Script, Trace};

use crate::sys::{self, adjtimex, clock, sleep};

const SECOND: i64 = 1_000_000_000;
const MILLISECOND: i64 = SECOND / 1000;

/// An idle kernel notices at its next tick, of which there are 250 per second, or when something
/// else wakes it that a second is over, and as much later at most that a tick's worth of time is
/// full. So long after each second's end it is woken, and before that no call may come.
const NOTICED: i64 = 8_200_000;
/// Nor this close before the end of a second, for a call takes its time.
const CLOSE: i64 = 2 * MILLISECOND;

/// Performs the scripts of `/script`.
pub fn run() -> Result<()> {
    use_tsc()?;
    let script = fs::read_to_string("/script").context("no /script")?;
    for script in Script::parse_all(&script)? {
        let trace = perform(&script).with_context(|| format!("in sequence {}", script.name))?;
        trace.to_string().lines().for_each(sys::write_line);
    }
    Ok(())
}

/// Waits until the kernel counts processor cycles, which it does not trust from the beginning; that
/// it does so from then on resets what `ntp_adjtime` set.
pub fn use_tsc() -> Result<()> {
    const FILE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    sys::mount(c"sysfs", c"/sys").context("mount /sys")?;
    for _ in 0..100 {
        if fs::read_to_string(FILE)?.trim() == "tsc" {
            return Ok(());
        }
        sleep(SECOND / 10);
    }
    bail!("the kernel counts by {}", fs::read_to_string(FILE)?.trim())
}

fn perform(script: &Script) -> Result<Trace> {
    reset(script.second)?;
    let start = read();
    let mut calls = Vec::new();
    for step in &script.steps {
        wait_until(start.until + step.at, step.request);
        calls.push(call(step.request)?);
    }
    Ok(Trace { name: script.name.clone(), start, calls })
}

/// All as after boot, half a second after `second`.
pub fn reset(second: i64) -> Result<()> {
    let defaults = [
        // Of a loop that is active an offset can be taken back.
        "modes=0x2010 status=0x81",
        "modes=0x1",
        // What ends being active forgets the state of a leap second.
        "modes=0x10",
        "modes=0x6022 tick=10000 constant=2",
        "modes=0x1080",
    ];
    for request in defaults {
        let request = RawTimex::parse(request.split(' '))?;
        let (result, _) = adjtimex(request)?;
        ensure!(result >= 0, "{request}: error {result}");
    }
    // This ends the correction of an offset when it is noticed; the second time what the kernel
    // still owes of that.
    for _ in 0..2 {
        sys::set_clock(second * SECOND + SECOND / 2).context("clock_settime")?;
        sleep(NOTICED);
    }
    Ok(())
}

/// Sleeps until a moment of CLOCK_MONOTONIC_RAW, and on to one at which the kernel has noticed the
/// last second's end, also the one that `request` makes it.
fn wait_until(at: i64, request: RawTimex) {
    const SETOFFSET: i64 = 0x100;
    const NANO: i64 = 0x2000;
    let step = match request.modes {
        modes if modes & SETOFFSET == 0 => 0,
        modes if modes & NANO == 0 => request.subsec.wrapping_mul(1000),
        _ => request.subsec,
    };
    let settled = |time: i64| (NOTICED..SECOND - CLOSE).contains(&time.rem_euclid(SECOND));
    // What the last call has changed the kernel notices likewise.
    let noticed = clock(CLOCK_MONOTONIC_RAW) + NOTICED;
    loop {
        let (now, real) = (clock(CLOCK_MONOTONIC_RAW), clock(CLOCK_REALTIME));
        let next = SECOND - (real - NOTICED).rem_euclid(SECOND);
        let left = match at - now {
            left if left > 0 => left.min(next),
            _ if settled(real) && settled(real.wrapping_add(step)) => return,
            _ => MILLISECOND,
        };
        let left = if noticed > now { left.min(noticed - now) } else { left };
        // A timer is late where the clock runs fast, by a quarter at most.
        sleep(if left > 2 * MILLISECOND { left / 4 * 3 } else { left });
    }
}

fn call(request: RawTimex) -> Result<Call> {
    let from = clock(CLOCK_MONOTONIC_RAW);
    let (result, answer) = adjtimex(request)?;
    let until = clock(CLOCK_MONOTONIC_RAW);
    Ok(Call { from, until, request, result, answer, after: read() })
}

fn read() -> Reading {
    let from = clock(CLOCK_MONOTONIC_RAW);
    let real = clock(CLOCK_REALTIME);
    let until = clock(CLOCK_MONOTONIC_RAW);
    // The two differ by what passes between the readings.
    let tai = clock(CLOCK_TAI);
    Reading { from, until, real, tai: (tai - real).div_euclid(SECOND) }
}
