//! What a software clock costs: `cargo bench -p truechimer-tests --bench clock`.
//!
//! The least of many rounds, beside what the system takes to read its own clock in the same
//! rounds: that ratio is what compares between machines.

use std::hint::black_box;
use std::time::Instant as Stopwatch;

use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};
use truechimer_core::timex::{Constant, Request, Resolution, Settings, SoftwareClock, Status};
use truechimer_core::units::{FreqOffset, Instant, Span, WallTime};

const ROUNDS: usize = 200;
const CALLS: u32 = 2_000;
const TIME: WallTime = WallTime::from_unix(1_790_000_000, 0);
/// When an offset of half a second has decayed with the longest time constant, and more.
const LONG_UNREAD: Span = Span::from_secs(200_000);

fn main() {
    let mut clock = SoftwareClock::new(counter(), TIME);
    clock.steer(counter(), FreqOffset::from_ppm_f64(-12.345));
    let slewed = slewing(Instant::default());
    let at = |nanos| Instant::default() + Span::from_nanos(nanos);

    let system = cost(CALLS, |_| clock_gettime(ClockId::CLOCK_REALTIME));
    let whole = cost(CALLS, |_| clock.read(counter()));
    let read = cost(CALLS, |call| clock.read(at(i64::from(call) * 7_919)));
    let correcting = cost(CALLS, |call| slewed.read(at(i64::from(call) * 7_919_000)));
    let adjtime = cost(CALLS, |call| {
        clock.ntp_adjtime(at(i64::from(call) * 7_919), &Request::READ).map(|reply| reply.state)
    });
    let unread = cost(1, |_| slewed.read(Instant::default() + LONG_UNREAD));

    println!("{} octets for SoftwareClock", size_of::<SoftwareClock>());
    println!("{system:9.1} ns  1.00  clock_gettime(CLOCK_REALTIME)");
    for (nanos, what) in [
        (whole, "software clock over CLOCK_MONOTONIC"),
        (read, "software clock, without the counter"),
        (correcting, "the same while it corrects an offset, up to 15 s after the last change"),
        (adjtime, "ntp_adjtime that only reads"),
        (unread, "first reading in two days of an offset of 0.5 s, longest time constant"),
    ] {
        println!("{nanos:9.1} ns  {:.2}  {what}", nanos / system);
    }
}

/// A clock that corrects half a second as slowly as it can.
fn slewing(at: Instant) -> SoftwareClock {
    let mut clock = SoftwareClock::new(at, TIME);
    let settings = Settings {
        status: Some(Status::PLL),
        resolution: Some(Resolution::Nano),
        constant: Some(Constant::Time(10)),
        offset: Some(Span::from_millis(500)),
        ..Settings::NONE
    };
    let reply = clock.ntp_adjtime(at, &Request::Set(settings));
    assert!(reply.is_ok_and(|reply| reply.timex.offset > Span::ZERO));
    clock
}

fn counter() -> Instant {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every system has it");
    Instant::default() + Span::from_nanos(time.num_nanoseconds())
}

/// Nanoseconds of a call: the least mean of [`ROUNDS`].
fn cost<T>(calls: u32, mut call: impl FnMut(u32) -> T) -> f64 {
    let mut round = || {
        let start = Stopwatch::now();
        for number in 0..calls {
            black_box(call(black_box(number)));
        }
        start.elapsed().as_nanos() as f64 / f64::from(calls)
    };
    (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
}
