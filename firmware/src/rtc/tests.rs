//! A clock that is right, and a real-time clock that is not.

use core::cell::Cell;
use std::rc::Rc;

use embedded_time::fraction::Fraction;
use truechimer_core::config::NOT_BEFORE;
use truechimer_core::holdover::{Quality, RtcSpec};
use truechimer_core::units::FreqOffset;

use super::keeper::News;
use super::*;

/// Milliseconds, set by hand.
#[derive(Debug, Clone)]
struct Timer(Rc<Cell<u64>>);

impl Clock for Timer {
    type T = u64;
    const SCALING_FACTOR: Fraction = Fraction::new(1, 1_000);
    fn try_now(&self) -> Result<embedded_time::Instant<Self>, embedded_time::clock::Error> {
        Ok(embedded_time::Instant::new(self.0.get()))
    }
}

/// Shows true time and a little more, at the edges of its seconds.
struct Seconds {
    time: Rc<Cell<u64>>,
    ahead: Span,
    broken: bool,
    settings: usize,
}

const EPOCH: WallTime = WallTime::from_unix(1_900_000_000, 0);

impl Seconds {
    fn shows(&self) -> WallTime {
        EPOCH + Span::from_millis(self.time.get() as i64) + self.ahead
    }
}

impl Rtc for Seconds {
    type Error = ();
    fn spec(&self) -> RtcSpec {
        RtcSpec { resolution: Span::from_millis(2), tolerance: FreqOffset::from_ppm(100) }
    }
    fn read(&mut self) -> nb::Result<WallTime, ()> {
        if self.broken {
            return Err(nb::Error::Other(()));
        }
        let time = self.shows();
        if time.subsec_nanos() >= 2_000_000 {
            return Err(nb::Error::WouldBlock);
        }
        Ok(WallTime::from_unix(time.unix_secs(), 0))
    }
    fn set(&mut self, time: WallTime) -> nb::Result<(), ()> {
        if time.subsec_nanos() >= 2_000_000 {
            return Err(nb::Error::WouldBlock);
        }
        // Its edges stay where they are.
        let shows = self.shows();
        self.ahead += WallTime::from_unix(time.unix_secs(), shows.subsec_nanos()) - shows;
        self.settings += 1;
        Ok(())
    }
}

struct Bed {
    time: Rc<Cell<u64>>,
    clock: SystemClock<Timer>,
    rtc: Seconds,
}

fn bed(ahead: Span) -> Bed {
    let time = Rc::new(Cell::new(0));
    let clock = SystemClock::new(Timer(Rc::clone(&time)));
    let _ = clock.mono();
    clock.set(EPOCH);
    let rtc = Seconds { time: Rc::clone(&time), ahead, broken: false, settings: 0 };
    Bed { time, clock, rtc }
}

fn boot(bed: &mut Bed, record: &Record) -> nb::Result<Start, ()> {
    for _ in 0..6_000 {
        let start = start(&bed.clock, &mut bed.rtc, record);
        if start != Err(nb::Error::WouldBlock) {
            return start;
        }
        bed.time.set(bed.time.get() + 1);
    }
    Err(nb::Error::WouldBlock)
}

fn quality(status: TimeStatus) -> Quality {
    let bound = Some(Span::from_millis(1));
    Quality { status, at: Instant::default(), bound, drift: FreqOffset::ZERO }
}

#[test]
fn the_clock_starts_from_it() {
    let mut bed = bed(Span::from_millis(300));
    let start = boot(&mut bed, &Record::default()).unwrap();
    assert_eq!(start.boot.status, TimeStatus::Rtc);
    assert_eq!(bed.time.get(), 700, "at its edge");
    // And in the middle of what it resolves.
    assert_eq!(bed.clock.now().wall, EPOCH + Span::from_millis(1_001));
}

#[test]
fn one_that_lost_its_power_is_not_believed() {
    let mut bed = bed(WallTime::from_unix(978_307_200, 0) - EPOCH);
    let start = boot(&mut bed, &Record::default()).unwrap();
    assert_eq!((start.boot.status, start.boot.time), (TimeStatus::Floor, NOT_BEFORE));
}

#[test]
fn one_that_stands_still_is_not_waited_for() {
    let mut bed = bed(Span::ZERO);
    // Not at an edge, ever.
    bed.rtc.time = Rc::new(Cell::new(500));
    let start = boot(&mut bed, &Record::default()).unwrap();
    assert_eq!((start.boot.status, bed.time.get()), (TimeStatus::Floor, 4_501));
    bed.rtc.broken = true;
    assert_eq!(boot(&mut bed, &Record::default()), Err(nb::Error::Other(())));
}

/// Keeps it for so many seconds, a millisecond at a time where it wants that.
fn keep(
    keeper: &mut Keeper<Seconds>,
    bed_clock: &SystemClock<Timer>,
    time: &Cell<u64>,
    secs: u64,
) -> usize {
    let end = time.get() + secs * 1_000;
    let mut news = 0;
    while time.get() < end {
        let kept = keeper.keep(&quality(TimeStatus::Synced), bed_clock);
        news += usize::from(kept == Ok(News(true)));
        let due = keeper.deadline().expect("something is due");
        let pause = (due - bed_clock.mono()).as_nanos() / 1_000_000;
        time.set(time.get() + pause.max(1) as u64);
    }
    news
}

#[test]
fn it_is_compared_and_only_set_when_it_is_far_off() {
    let Bed { time, clock, rtc } = bed(Span::from_millis(300));
    let mut keeper = Keeper::new(rtc, None);
    assert_eq!(keeper.keep(&quality(TimeStatus::Holdover), &clock), Ok(News(false)));
    assert_eq!((keeper.deadline(), keeper.known()), (None, None));
    assert_eq!(keep(&mut keeper, &clock, &time, 3_000), 1, "one time it was news");
    let known = keeper.known().unwrap();
    let error = known.ahead - Span::from_millis(300);
    assert!(error.abs() <= known.error, "{known:?}");
    assert_eq!(keeper.rtc.settings, 0);
}

#[test]
fn it_is_set_and_then_compared() {
    let Bed { time, clock, rtc } = bed(Span::from_millis(-77_300));
    let mut keeper = Keeper::new(rtc, None);
    let _ = keep(&mut keeper, &clock, &time, 10);
    assert_eq!(keeper.rtc.settings, 1);
    let known = keeper.known().unwrap();
    assert!((known.ahead - keeper.rtc.ahead).abs() <= known.error, "{known:?}");
    assert!(known.error < Span::from_millis(5), "{known:?}");
    assert!(keeper.rtc.ahead.abs() < Span::from_secs(1), "{}", keeper.rtc.ahead);
}

#[test]
fn failure_is_tried_again_later() {
    let Bed { time: _, clock, mut rtc } = bed(Span::ZERO);
    rtc.broken = true;
    let mut keeper = Keeper::new(rtc, None);
    assert_eq!(keeper.keep(&quality(TimeStatus::Synced), &clock), Err(()));
    assert_eq!(keeper.deadline(), Some(Instant::default() + Span::from_secs(1_024)));
}
