//! Where the software clock answers something else than the kernel did.
//!
//! All fields are to be equal. The reading of the clock may differ by what the kernel rounds to
//! its ticks and by what the moment of a call is not known better:
//!
//! - a kernel begins with a new second's rate up to `NOTICED` after the second has begun, and
//!   with the rate after an offset or a step as late: so long times each change of the rate,
//!   added up;
//! - a frequency or a tick that is set begins at once, but is then reckoned from the last whole
//!   `INTERVAL`; what that makes is added as slowly as `RATE_STEP` can;
//! - it rounds its rate to `RATE_STEP` and makes up for that when it is next awake, within
//!   `AWAKE`;
//! - the call or the reading took place between two readings of the counter, as did the first
//!   reading, to which the software clock is set.

use std::fmt;
use std::mem::replace;

use truechimer_core::timex::Modes;

use super::fields::RawTimex;
use super::software::Software;
use super::trace::{Call, Reading, Trace};

/// As long after its end an idle kernel has noticed that a second is over, ns: a tick and an
/// interval of ticks, and what it takes to wake it.
const NOTICED: f64 = 9e6;
/// In which it counts time, ns: its ticks.
const INTERVAL: f64 = 4e6;
/// The smallest change of its rate: one of 2^23 by which it multiplies cycles of a nanosecond.
const RATE_STEP: f64 = 1.0 / 8_388_608.0;
/// How long the kernel may sleep between, ns.
const AWAKE: f64 = 1.1e9;
/// How often the software clock's rate is looked at, ns of the counter: within each second.
const LOOK: i64 = 250_000_000;
const NANOS: i64 = 1_000_000_000;

/// The first thing in which a sequence differs.
#[derive(Debug)]
pub struct Disagreement {
    /// Of the sequence.
    pub name: String,
    /// Which call, from 1.
    pub number: usize,
    /// The call with what the kernel answered.
    pub call: Call,
    /// What differs.
    pub field: &'static str,
    /// The kernel's value.
    pub kernel: i64,
    /// The software clock's.
    pub software: i64,
    /// By how much they may differ.
    pub tolerance: i64,
}

/// How far apart a reading of the clock was.
#[derive(Debug, Clone, Copy)]
pub struct Apart {
    /// The difference, ns.
    pub by: f64,
    /// What was allowed, ns.
    pub tolerance: f64,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, number, call, field, kernel, software, tolerance } = self;
        write!(
            f,
            "{name}, call {number}: {field} is {kernel}, the software clock has {software} \
             ({} apart, allowed {tolerance})\n  {call}",
            kernel.abs_diff(*software)
        )
    }
}

/// A software clock to which is done what was done to the kernel's.
struct Replay {
    software: Software,
    /// Until when the rate was looked at, ns of the counter.
    seen: i64,
    /// The rate, as a ratio to the counter's less 1.
    rate: f64,
    /// When the sequence began.
    start: i64,
    /// What the readings may differ by from the start and by changes that are noticed late, ns.
    late: f64,
    /// What changes from the last whole interval on make, ns.
    early: f64,
}

/// Makes the calls of a trace on the software clock; how far apart the readings were.
///
/// # Errors
/// The first disagreement.
pub fn compare(trace: &Trace) -> Result<Vec<Apart>, Box<Disagreement>> {
    let mut replay = Replay::new(trace.start);
    let mut readings = Vec::new();
    for (index, call) in trace.calls.iter().enumerate() {
        let differs = |field, kernel, software, tolerance: f64| {
            let tolerance = tolerance as i64;
            let name = trace.name.clone();
            let number = index + 1;
            let call = *call;
            Box::new(Disagreement { name, number, call, field, kernel, software, tolerance })
        };
        let mut check_time = |field, kernel: i64, software: i64, tolerance: f64| {
            let by = kernel.abs_diff(software) as f64;
            readings.push(Apart { by, tolerance });
            if by <= tolerance { Ok(()) } else { Err(differs(field, kernel, software, tolerance)) }
        };
        let (result, answer) = replay.call(call);
        if result != call.result {
            return Err(differs("result", call.result, result, 0.0));
        }
        if result >= 0 {
            let fields = call.answer.fields().into_iter().zip(answer.fields());
            for ((name, kernel), (_, software)) in fields {
                // The time is not exact.
                if kernel != software && !matches!(name, "sec" | "subsec") {
                    return Err(differs(name, kernel, software, 0.0));
                }
            }
            let (kernel, unit) = time(&call.answer);
            let (software, _) = time(&answer);
            let tolerance = replay.tolerance() + half(call.from, call.until) + unit as f64;
            check_time("time", kernel, software, tolerance)?;
        }
        let after = call.after;
        let at = middle(after.from, after.until);
        replay.look_until(at);
        let tolerance = replay.tolerance() + half(after.from, after.until);
        check_time("reading", after.real, replay.software.read(at), tolerance)?;
        let tai = replay.software.tai(at);
        if after.tai != tai {
            return Err(differs("reading of TAI", after.tai, tai, 0.0));
        }
    }
    Ok(readings)
}

impl Replay {
    fn new(start: Reading) -> Self {
        let at = middle(start.from, start.until);
        // Two for what is rounded down in the two clocks.
        let late = half(start.from, start.until) + AWAKE * RATE_STEP + 2.0;
        let software = Software::new(at, start.real);
        Self { software, seen: at, rate: 0.0, start: at, late, early: 0.0 }
    }

    /// What the readings may differ by, ns.
    fn tolerance(&self) -> f64 {
        self.late + self.early.min((self.seen - self.start) as f64 * RATE_STEP)
    }

    fn call(&mut self, call: &Call) -> (i64, RawTimex) {
        let at = middle(call.from, call.until);
        self.look_until(at);
        let answered = self.software.adjtimex(at, &call.request);
        let modes = Modes::from_bits_retain(call.request.modes as u16);
        let at_once = !modes.contains(Modes::OFFSET_SINGLESHOT)
            && modes.intersects(Modes::FREQUENCY | Modes::TICK);
        let change = self.change_at(at);
        if at_once {
            self.late += change * half(call.from, call.until);
            self.early += change * INTERVAL;
        } else {
            self.late += change * NOTICED;
        }
        answered
    }

    /// Sees how the rate changes until then.
    fn look_until(&mut self, at: i64) {
        while self.seen < at {
            self.seen = at.min(self.seen + LOOK);
            self.software.advance(self.seen);
            self.late += self.change_at(self.seen) * NOTICED;
        }
    }

    /// By how much the rate has changed; as it is in the rest of that second, unless that is too
    /// short to tell.
    fn change_at(&mut self, at: i64) -> f64 {
        let now = self.software.read(at);
        // The clock may run a quarter fast.
        let span = ((NANOS - now.rem_euclid(NANOS)) / 4 * 3).min(LOOK);
        if span < LOOK / 100 {
            return 0.0;
        }
        let gained = self.software.read(at + span) - now - span;
        let rate = gained as f64 / span as f64;
        (rate - replace(&mut self.rate, rate)).abs()
    }
}

/// The time in an answer and the unit of its fraction, ns.
fn time(answer: &RawTimex) -> (i64, i64) {
    const NANO: i64 = 0x2000;
    let unit = if answer.status & NANO == 0 { 1000 } else { 1 };
    (answer.sec * NANOS + answer.subsec * unit, unit)
}

fn middle(from: i64, until: i64) -> i64 {
    from.midpoint(until)
}

fn half(from: i64, until: i64) -> f64 {
    (until - from) as f64 / 2.0
}
