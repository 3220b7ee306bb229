//! Nothing is lost, whatever is asked and however often.

use super::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

const SECOND: i64 = 1_000_000_000;
const YEAR: i64 = 31_557_600 * SECOND;

fn spans(most: i64) -> impl Strategy<Value = Span> {
    (-most..=most).prop_map(Span::from_nanos)
}

fn resolutions() -> impl Strategy<Value = Resolution> {
    prop_oneof![Just(Resolution::Micro), Just(Resolution::Nano)]
}

fn constants() -> impl Strategy<Value = Constant> {
    prop_oneof![(0..=12u8).prop_map(Constant::Time), (-1..=40).prop_map(Constant::Tai)]
}

prop_compose! {
    /// Settings within what is useful, with steps up to `step`.
    fn settings(step: i64)(
        set_offset in option::weighted(0.1, spans(step)),
        status in option::of(any::<u16>().prop_map(Status::from_bits_retain)),
        resolution in option::of(resolutions()),
        frequency in option::of((-600.0..600.0).prop_map(FreqOffset::from_ppm_f64)),
        max_error in option::of(spans(17 * SECOND)),
        est_error in option::of(spans(17 * SECOND)),
        constant in option::of(constants()),
        offset in option::of(spans(SECOND * 6 / 10)),
        tick in option::weighted(0.2, (9_000i64..=11_000).prop_map(Span::from_micros)),
    ) -> Settings {
        Settings {
            set_offset, status, resolution, frequency, max_error, est_error, constant, offset, tick,
        }
    }
}

fn requests(step: i64) -> impl Strategy<Value = Request> {
    prop_oneof![
        6 => settings(step).prop_map(Request::Set),
        1 => spans(10_000_000).prop_map(Request::SingleShot),
        1 => Just(Request::SingleShotRemaining),
    ]
}

fn pauses() -> impl Strategy<Value = i64> {
    prop_oneof![0i64..10_000, 0..20 * SECOND, 0..20_000 * SECOND]
}

/// Any values at all.
fn extremes() -> impl Strategy<Value = Request> {
    let any_span = || any::<i64>().prop_map(Span::from_nanos);
    let any_settings = (
        option::of(any_span()),
        option::of(any::<u16>().prop_map(Status::from_bits_retain)),
        option::of(any::<i64>().prop_map(FreqOffset::from_scaled_ppm)),
        option::of(any_span()),
        option::of(prop_oneof![
            any::<u8>().prop_map(Constant::Time),
            any::<i32>().prop_map(Constant::Tai)
        ]),
        option::of(any_span()),
    );
    let any_settings =
        any_settings.prop_map(|(set_offset, status, frequency, max_error, constant, offset)| {
            Request::Set(Settings {
                set_offset,
                status,
                frequency,
                max_error,
                constant,
                offset,
                est_error: max_error,
                ..Settings::NONE
            })
        });
    prop_oneof![any_settings, any_span().prop_map(Request::SingleShot)]
}

proptest! {
    // The second clock is gone through second by second and read all the time.
    #[test]
    fn reading_often_changes_nothing(
        calls in vec((requests(100_000 * SECOND), 0..60 * SECOND), 1..10),
        steps in vec(SECOND / 10..SECOND * 3 / 2, 1..20),
    ) {
        let mut seldom = SoftwareClock::new(START, TIME);
        let (mut often, mut at) = (seldom, START);
        for (request, pause) in calls {
            let next = at + Span::from_nanos(pause);
            for &step in steps.iter().cycle() {
                at = at + Span::from_nanos(step);
                if at >= next {
                    break;
                }
                prop_assert_eq!(seldom.read(at), often.read(at));
                often.advance(at);
                prop_assert_eq!(seldom.read(at), often.read(at));
                prop_assert_eq!(seldom.ntp_gettime(at), often.ntp_gettime(at));
            }
            at = next;
            let reply = seldom.ntp_adjtime(at, &request);
            prop_assert_eq!(often.ntp_adjtime(at, &request), reply);
        }
    }

    // Seconds that are passed at once leave all that they leave one by one.
    #[test]
    fn steady_seconds_are_seconds(
        calls in vec((requests(0), pauses()), 1..10),
        pulses in vec(0..3 * SECOND, 0..10),
        most in 1..3_000u64,
    ) {
        let (mut clock, mut at) = (SoftwareClock::new(START, TIME), START);
        for (request, pause) in calls {
            let _ = clock.ntp_adjtime(at, &request);
            for &wait in &pulses {
                at = at + Span::from_nanos(wait);
                clock.pulse(at);
            }
            at = at + Span::from_nanos(pause);
            clock.advance(at);
            let secs = clock.base.time().unix_secs();
            let steady = clock.ntp.steady(secs).min(most);
            let (mut at_once, mut singly) = (clock.ntp, clock.ntp);
            if steady > 0 {
                at_once.pass(steady);
            }
            for second in 0..steady as i64 {
                prop_assert_eq!(singly.second(secs + second + 1), 0);
                prop_assert_eq!(singly.rate(), clock.ntp.rate());
            }
            prop_assert_eq!(at_once, singly);
        }
    }

    #[test]
    fn never_goes_back(
        calls in vec((requests(0), -100_000..=100_000), 1..8),
        advances in vec(prop_oneof![0i64..20, 0i64..10_000, 0i64..500 * SECOND], 30),
    ) {
        let (mut clock, mut at) = (SoftwareClock::new(START, TIME), START);
        for (mut request, steering) in calls {
            if let Request::Set(Settings { status: Some(status), .. }) = &mut request {
                status.remove(Status::INS | Status::DEL);
            }
            let _ = clock.ntp_adjtime(at, &request);
            clock.steer(at, FreqOffset::from_ppm(steering));
            let mut last = clock.read(at);
            for &advance in &advances {
                at = at + Span::from_nanos(advance);
                let time = clock.read(at);
                prop_assert!(time >= last, "{time:.9} after {last:.9}");
                last = time;
            }
        }
    }

    // The exact time is a sum of integers over 10^6 * 2^32.
    #[test]
    fn steering_is_the_exact_sum(
        segments in vec((0..=YEAR / 100, -100_000i64 << 32..=100_000 << 32), 1..=100),
    ) {
        let (mut clock, mut at, mut sum) = (SoftwareClock::new(START, TIME), START, 0i128);
        for (length, units) in segments {
            // An f64 of ppm holds it exactly.
            clock.steer(at, FreqOffset::from_ppm_f64(units as f64 / 4_294_967_296.0));
            sum += i128::from(length) * i128::from(units);
            at = at + Span::from_nanos(length);
            let gain = sum.div_euclid(1_000_000 << 32) as i64;
            prop_assert_eq!(ahead(&clock, at), Span::from_nanos(gain));
        }
    }

    #[test]
    fn extremes_do_not_panic(
        from: i64,
        start: u64,
        calls in vec((extremes(), any::<u64>(), any::<i64>()), 1..4),
    ) {
        let start = Instant::from_nanos(start);
        let mut clock = SoftwareClock::new(start, WallTime::from_unix(from, 999_999_999));
        for (request, at, by) in calls {
            let at = Instant::from_nanos(at);
            let _ = clock.ntp_adjtime(at, &request);
            clock.steer(at, FreqOffset::from_scaled_ppm(by));
            clock.pulse(at);
            let _ = (clock.ntp_gettime(at), clock.read(Instant::from_nanos(0)));
            clock.step(at, Span::from_nanos(by));
            let _ = clock.read(Instant::from_nanos(u64::MAX));
        }
    }
}

// A year at 5.3 ppm less a 2^-16th: 250 ticks a second, rounded down to 2^-32 ns each, as the
// kernel rounds them. Whatever is asked on the way, not a nanosecond is lost.
#[test]
fn a_year_of_calls_is_one_segment() {
    let frequency = FreqOffset::from_scaled_ppm(347_340);
    let settings = Settings { frequency: Some(frequency), ..synced() };
    let once = clock(settings);
    let tick = ((SECOND << 32) + 347_340 * 65_536_000) / 250;
    let gained = i128::from(tick * 250 - (SECOND << 32)) * i128::from(YEAR);
    let expected = Span::from_nanos((gained / i128::from(SECOND << 32)) as i64);
    for (calls, cadence) in [(1_000_000, YEAR / 1_000_000), (10, YEAR / 10), (1, YEAR)] {
        let (mut often, mut at) = (once, START);
        for _ in 0..calls {
            at = at + Span::from_nanos(cadence);
            often.ntp_adjtime(at, &Request::Set(settings)).expect("allowed");
        }
        assert_eq!(at, after(YEAR));
        assert_eq!(ahead(&often, at), expected);
    }
    assert_eq!(ahead(&once, after(YEAR)), expected);
}
