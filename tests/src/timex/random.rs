//! Random sequences: what nobody thought of.

use truechimer_core::timex::Status;

use super::fields::RawTimex;
use super::scripted::MIDNIGHT;
use super::trace::{Script, Step};
use crate::sim::random::{Random, Stream};

const SECOND: f64 = 1e9;
/// Calls in a sequence.
const CALLS: usize = 14;

/// The sequence of a seed.
#[must_use]
pub fn sequence(seed: u64) -> Script {
    let mut random = Random::new(seed, Stream::World);
    let second = if random.chance(0.4) {
        MIDNIGHT - 1 - below(&mut random, 30)
    } else {
        MIDNIGHT + below(&mut random, 300_000_000)
    };
    let mut at = 0;
    let steps = (0..CALLS).map(|number| {
        let request = request(&mut random, number == 0);
        let step = Step { at, request };
        at += pause(&mut random);
        step
    });
    Script { name: format!("random-{seed}"), second, steps: steps.collect() }
}

/// How long until the next call, ns: mostly seconds, now and then none or very long.
fn pause(random: &mut Random) -> i64 {
    let scale = match random.uniform() {
        kind if kind < 0.1 => 0.0,
        kind if kind < 0.85 => 1.5 * SECOND,
        kind if kind < 0.989 => 15.0 * SECOND,
        kind if kind < 0.999 => 200.0 * SECOND,
        _ => 2_500.0 * SECOND,
    };
    (random.exponential() * scale) as i64
}

fn request(random: &mut Random, first: bool) -> RawTimex {
    let mut request = RawTimex::NOTHING;
    if random.chance(0.15) && !first {
        return match random.chance(0.4) {
            true => request.single_shot_left(),
            false => request.single_shot(around(random, 3_000.0)),
        };
    }
    if random.chance(if first { 0.9 } else { 0.3 }) {
        let status = status(random, first);
        request = request.status(status);
        if !status.contains(Status::UNSYNC) && random.chance(0.7) {
            request = request.maxerror(below(random, 20_000));
        }
    }
    if random.chance(0.25) {
        request = if random.chance(0.7) { request.nano() } else { request.micro() };
    }
    if random.chance(0.45) {
        let scale = [2e2, 2e4, 2e6, 2e8][below(random, 4) as usize];
        request = request.offset(around(random, scale));
    }
    if random.chance(0.12) {
        let scale = [1e3, 1e5, 1e7, 6e7][below(random, 4) as usize];
        request = request.freq(around(random, scale));
    }
    if random.chance(0.2) {
        request = match random.chance(0.7) {
            true => request.constant(below(random, 13)),
            false => request.tai(below(random, 60) - 1),
        };
    }
    if random.chance(0.08) {
        request = request.tick(10_000 + around(random, 300.0));
    }
    if random.chance(0.08) {
        request = request.maxerror(around(random, 9e6));
    }
    if random.chance(0.08) {
        request = request.esterror(around(random, 9e6));
    }
    if random.chance(0.08) {
        request = request.step(around(random, 4.0), below(random, 1_000_000));
    }
    request
}

/// Any bits, but mostly those of a closed loop. A kernel without the discipline by a pulse per
/// second calls no clock wrong by its bits, as the software clock does; unless it is wrong anyway.
fn status(random: &mut Random, first: bool) -> Status {
    let mut status = Status::empty();
    for (bit, probability) in [
        (Status::PLL, if first { 0.9 } else { 0.75 }),
        (Status::FLL, 0.15),
        (Status::INS, 0.25),
        (Status::DEL, 0.25),
        (Status::FREQHOLD, 0.1),
        (Status::UNSYNC, 0.1),
        (Status::READ_ONLY, 0.1),
    ] {
        status.set(bit, random.chance(probability));
    }
    if status.contains(Status::UNSYNC) {
        status.set(Status::PPSFREQ, random.chance(0.1));
        status.set(Status::PPSTIME, random.chance(0.1));
    }
    status
}

fn below(random: &mut Random, limit: i64) -> i64 {
    (random.uniform() * limit as f64) as i64
}

fn around(random: &mut Random, scale: f64) -> i64 {
    (random.normal() * scale) as i64
}
