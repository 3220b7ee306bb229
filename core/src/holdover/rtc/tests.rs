//! Real-time clocks of several kinds, over weeks.

use super::*;
use crate::config::NOT_BEFORE;
use std::vec::Vec;

const START: WallTime = WallTime::from_unix(1_900_000_000, 0);
const HOUR: Span = Span::from_secs(3_600);
const DAY: Span = Span::from_secs(86_400);
/// What the clock that it is compared with may be off by.
const CLOCK: Span = Span::from_millis(2);

/// One whose second's edge is not waited for, and one that is looked at each millisecond for it.
const KINDS: [Span; 2] = [Span::from_secs(1), Span::from_millis(1)];

/// A real-time clock, over true time.
struct Rtc {
    resolution: Span,
    /// What it has counted, exactly.
    counted: WallTime,
    time: WallTime,
}

impl Rtc {
    fn new(resolution: Span, ahead: Span) -> Self {
        Self { resolution, counted: START + ahead, time: START }
    }

    fn run(&mut self, span: Span, ppm: f64) {
        self.time += span;
        self.counted += span + FreqOffset::from_ppm_f64(ppm).gain(span, 0).0;
    }

    /// Cut off to what it shows.
    fn read(&self) -> WallTime {
        let since = (self.counted - NOT_BEFORE).as_nanos();
        NOT_BEFORE + Span::from_nanos(since - since.rem_euclid(self.resolution.as_nanos()))
    }

    fn set(&mut self, to: WallTime) {
        self.counted = to;
    }

    fn spec(&self) -> RtcSpec {
        RtcSpec { resolution: self.resolution, ..RtcSpec::default() }
    }

    fn reading(&self) -> RtcReading {
        RtcReading { time: self.read(), spec: self.spec() }
    }
}

/// Compares them each hour for so many, by a clock that is off by half of what it may be.
fn run(model: &mut RtcModel, rtc: &mut Rtc, hours: u32, ppm: f64) {
    for _ in 0..hours {
        rtc.run(HOUR + Span::from_micros(1_234_567), ppm);
        model.compare(rtc.time + CLOCK.half(), CLOCK, rtc.read());
        let Compared { at, ahead, error, .. } = model.known().unwrap();
        let truth = rtc.counted - rtc.time;
        assert!((ahead - truth).abs() <= error, "{at}: {ahead} ± {error}, not {truth}");
    }
}

#[test]
fn a_rate_is_learnt_as_well_as_the_clock_can_be_read() {
    for (resolution, hours, least) in
        [(KINDS[0], 24, 13.0), (KINDS[0], 240, 1.3), (KINDS[1], 24, 0.08)]
    {
        for ppm in [-42.0, 0.3, 57.0] {
            let mut rtc = Rtc::new(resolution, Span::from_millis(4_321));
            let mut model = RtcModel::new(rtc.spec(), None);
            run(&mut model, &mut rtc, hours, ppm);
            let Compared { rate, rate_error, .. } = model.known().unwrap();
            let error = (rate.as_ppm() - ppm).abs();
            assert!(error <= rate_error.as_ppm() && rate_error.as_ppm() < least, "{rate} ppm");
        }
    }
}

#[test]
fn what_it_may_have_drifted_bounds_the_time_at_boot() {
    for resolution in KINDS {
        for (running, off) in [(20.0, 20.0), (20.0, 3.0), (-35.0, -16.0)] {
            let mut rtc = Rtc::new(resolution, Span::ZERO);
            let mut model = RtcModel::new(rtc.spec(), None);
            run(&mut model, &mut rtc, 48, running);
            rtc.run(DAY.times(30), off);
            let (time, bound) = model.known().unwrap().time_of(&rtc.reading()).unwrap();
            assert!((time - rtc.time).abs() <= bound, "{} ± {bound}", time - rtc.time);
            // 20 ppm and what is not known of the rate, for a month.
            let most = if resolution == KINDS[0] { 73 } else { 53 };
            assert!(bound < Span::from_secs(most), "{bound}");
        }
    }
}

#[test]
fn a_month_without_power_tells_the_rate_too() {
    let mut rtc = Rtc::new(KINDS[0], Span::ZERO);
    let mut model = RtcModel::new(rtc.spec(), None);
    run(&mut model, &mut rtc, 24, 20.0);
    rtc.run(DAY.times(30), 20.5);
    let mut next = RtcModel::new(rtc.spec(), model.known());
    next.compare(rtc.time, CLOCK, rtc.read());
    let Compared { rate, rate_error, .. } = next.known().unwrap();
    assert!(rate_error < FreqOffset::from_ppm_f64(0.5), "{rate_error}");
    assert!((rate.as_ppm() - 20.5).abs() <= rate_error.as_ppm(), "{rate}");
}

#[test]
fn a_clock_that_somebody_set_begins_anew_with_its_rate() {
    for resolution in KINDS {
        for by in [HOUR, -HOUR, DAY.times(-9_000)] {
            let mut rtc = Rtc::new(resolution, Span::ZERO);
            let mut model = RtcModel::new(rtc.spec(), None);
            run(&mut model, &mut rtc, 240, 20.0);
            let before = model.known().unwrap();
            rtc.set(rtc.counted + by);
            run(&mut model, &mut rtc, 1, 20.0);
            let after = model.known().unwrap();
            assert_eq!((after.rate, after.rate_error), (before.rate, before.rate_error));
            assert!(((after.ahead - before.ahead) - by).abs() < Span::from_secs(2));
            run(&mut model, &mut rtc, 24, 20.0);
        }
    }
}

#[test]
fn another_temperature_is_another_rate() {
    for resolution in KINDS {
        let mut rtc = Rtc::new(resolution, Span::ZERO);
        let mut model = RtcModel::new(rtc.spec(), None);
        run(&mut model, &mut rtc, 24 * 10, 20.0);
        run(&mut model, &mut rtc, 24 * 30, 12.0);
        let Compared { rate, rate_error, .. } = model.known().unwrap();
        assert!((rate.as_ppm() - 12.0).abs() <= rate_error.as_ppm(), "{rate} ± {rate_error}");
        assert!(rate_error < FreqOffset::from_ppm(3), "{rate_error}");
    }
}

#[test]
fn it_is_set_when_others_would_see_it_wrong() {
    let mut rtc = Rtc::new(KINDS[1], Span::from_secs(-2));
    let mut model = RtcModel::new(rtc.spec(), None);
    assert!(model.is_to_be_set(rtc.time));
    run(&mut model, &mut rtc, 1, 10.0);
    assert!(model.is_to_be_set(rtc.time));
    rtc.set(rtc.time);
    model.set(rtc.time, CLOCK, rtc.counted);
    assert!(!model.is_to_be_set(rtc.time));
    let mut days: Vec<u32> = Vec::new();
    for day in 1..=3 {
        run(&mut model, &mut rtc, 24, 10.0);
        if model.is_to_be_set(rtc.time) {
            days.push(day);
        }
    }
    // 0.86 s a day.
    assert_eq!(days, [2, 3]);
}

#[test]
fn no_reading_breaks_it() {
    let mut model = RtcModel::new(RtcSpec::default(), None);
    let extremes = [i64::MIN, -1, 0, 1_900_000_000, i64::MAX];
    for at in extremes {
        for reading in extremes {
            let [at, time] = [at, reading].map(|secs| WallTime::from_unix(secs, 999_999_999));
            model.compare(at, Span::from_secs(i64::MAX), time);
            model.compare(at, Span::ZERO, time);
            model.set(time, Span::ZERO, at);
            let spec = RtcSpec::default();
            let _ = model.known().unwrap().time_of(&RtcReading { time, spec });
            let _ = model.is_to_be_set(time);
        }
    }
}
