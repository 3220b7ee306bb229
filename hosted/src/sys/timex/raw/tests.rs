use super::super::unit::NANOS_PER_SEC;
use super::*;
use proptest::option;
use proptest::prelude::*;

const WIDE: Layout = Layout { long: i64::MAX, secs: i64::MAX };
const LAYOUTS: [Layout; 3] = [
    WIDE,
    Layout { long: i32::MAX as i64, secs: i32::MAX as i64 },
    // With a time_t of 64 bits on a machine of 32.
    Layout { long: i32::MAX as i64, secs: i64::MAX },
];

fn only(settings: Settings) -> Request {
    Request::Set(settings)
}

fn raw(settings: Settings) -> Raw {
    Raw::new(&only(settings), Resolution::Micro, WIDE).unwrap()
}

// Exact numbers beside the round trips below.
#[test]
fn requests_as_numbers() {
    let nano = Some(Resolution::Nano);
    let none = Settings::NONE;
    let offset = Some(Span::from_nanos(-1_999));
    let by = Some(Span::from_nanos(-1_500_000_001));
    let cases = [
        (none, Raw::default()),
        (Settings { offset, ..none }, Raw { modes: 0x0001, offset: -1, ..Raw::default() }),
        (
            Settings { offset, resolution: nano, ..none },
            Raw { modes: 0x2001, offset: -1_999, ..Raw::default() },
        ),
        (
            Settings { set_offset: by, ..none },
            Raw { modes: 0x0100, secs: -2, subsecs: 499_999, ..Raw::default() },
        ),
        (
            Settings { set_offset: by, resolution: nano, ..none },
            Raw { modes: 0x2100, secs: -2, subsecs: 499_999_999, ..Raw::default() },
        ),
        (
            Settings { frequency: Some(FreqOffset::from_ppm_f64(-12.5)), ..none },
            Raw { modes: 0x0002, freq: -819_200, ..Raw::default() },
        ),
        (
            Settings { max_error: Some(Span::from_nanos(1)), ..none },
            Raw { modes: 0x0004, maxerror: 1, ..Raw::default() },
        ),
        (
            Settings { est_error: Some(Span::from_micros(7)), ..none },
            Raw { modes: 0x0008, esterror: 7, ..Raw::default() },
        ),
        (
            Settings { status: Some(Status::INS | Status::NANO | Status::CLOCKERR), ..none },
            Raw { modes: 0x0010, status: 0x0010, ..Raw::default() },
        ),
        (
            Settings { constant: Some(Constant::Time(6)), ..none },
            Raw { modes: 0x0020, constant: 6, ..Raw::default() },
        ),
        (
            Settings { constant: Some(Constant::Tai(37)), ..none },
            Raw { modes: 0x0080, constant: 37, ..Raw::default() },
        ),
        (
            Settings { tick: Some(Span::from_micros(9_001)), ..none },
            Raw { modes: 0x4000, tick: 9_001, ..Raw::default() },
        ),
    ];
    for (settings, expected) in cases {
        assert_eq!(raw(settings), expected, "{settings:?}");
    }
    let slew = Request::SingleShot(Span::from_nanos(-20_999));
    let expected = Raw { modes: 0x8001, offset: -20, ..Raw::default() };
    assert_eq!(Raw::new(&slew, Resolution::Nano, WIDE), Ok(expected));
    let expected = Raw { modes: 0xa001, ..Raw::default() };
    assert_eq!(Raw::new(&Request::SingleShotRemaining, Resolution::Nano, WIDE), Ok(expected));
}

#[test]
fn an_offset_without_resolution_is_in_the_present_one() {
    let request = only(Settings { offset: Some(Span::from_nanos(5_000)), ..Settings::NONE });
    for (present, offset) in [(Resolution::Micro, 5), (Resolution::Nano, 5_000)] {
        assert_eq!(Raw::new(&request, present, WIDE).unwrap().offset, offset);
    }
}

#[test]
fn what_the_kernel_would_refuse_is_found_before() {
    for nanos in [8_999_999, 8_999_000, 11_000_001, 11_001_000, 10_000_500, 0, i64::MIN, i64::MAX] {
        let tick = Span::from_nanos(nanos);
        let request = only(Settings { tick: Some(tick), ..Settings::NONE });
        let error = Raw::new(&request, Resolution::Micro, WIDE).unwrap_err();
        assert_eq!(error, Error::invalid(Field::Tick, tick));
    }
}

#[test]
fn what_a_narrow_layout_cannot_hold_is_clamped_or_refused() {
    let [_, narrow, musl] = LAYOUTS;
    let settings = Settings {
        offset: Some(Span::from_secs(3)),
        resolution: Some(Resolution::Nano),
        max_error: Some(Span::MAX),
        frequency: Some(FreqOffset::from_ppm(i32::MIN)),
        ..Settings::NONE
    };
    let raw = Raw::new(&only(settings), Resolution::Micro, narrow).unwrap();
    let limit = i64::from(i32::MAX);
    assert_eq!((raw.offset, raw.maxerror, raw.freq), (limit, limit, -limit));

    let by = Span::from_secs(1 << 31);
    let step = only(Settings { set_offset: Some(by), ..Settings::NONE });
    let error = Raw::new(&step, Resolution::Micro, narrow).unwrap_err();
    assert_eq!(error, Error::invalid(Field::SetOffset, by));
    assert_eq!(Raw::new(&step, Resolution::Micro, musl).unwrap().secs, 1 << 31);

    let slew = Request::SingleShot(Span::from_micros(1 << 31));
    let error = Raw::new(&slew, Resolution::Micro, musl).unwrap_err();
    assert_eq!(error, Error::invalid(Field::SingleShot, Span::from_micros(1 << 31)));
}

#[test]
fn replies_as_times_and_rates() {
    let micro = Raw {
        offset: -3,
        freq: -819_200,
        status: 0x0041,
        precision: 1,
        tolerance: 32_768_000,
        secs: 1_790_000_000,
        subsecs: 5,
        tick: 10_001,
        jitter: 9,
        constant: 6,
        tai: 37,
        ..Raw::default()
    };
    let timex = micro.decode(&Request::READ);
    assert_eq!(timex.offset, Span::from_micros(-3));
    assert_eq!(timex.freq, FreqOffset::from_ppm_f64(-12.5));
    assert_eq!(timex.precision, Span::from_micros(1));
    assert_eq!(timex.tolerance, FreqOffset::from_ppm(500));
    assert_eq!(timex.time, WallTime::from_unix(1_790_000_000, 5_000));
    assert_eq!(timex.tick, Span::from_micros(10_001));
    assert_eq!(timex.pps.jitter, Span::from_micros(9));
    assert_eq!((timex.constant, timex.tai), (6, 37));
    let nano = Raw { status: 0x2041, ..micro };
    let timex = nano.decode(&Request::READ);
    assert_eq!(timex.offset, Span::from_nanos(-3));
    assert_eq!(timex.precision, Span::from_nanos(1));
    assert_eq!(timex.time, WallTime::from_unix(1_790_000_000, 5));
    assert_eq!(timex.pps.jitter, Span::from_nanos(9));
    // What remains of a slew is in microseconds all the same.
    let timex = nano.decode(&Request::SingleShotRemaining);
    assert_eq!(timex.offset, Span::from_micros(-3));
    assert_eq!(timex.time, WallTime::from_unix(1_790_000_000, 5));
}

#[test]
fn states_by_their_numbers() {
    let states = [0, 1, 2, 3, 4, 5, 6, -1].map(state);
    assert_eq!(states[..6], ClockState::ALL);
    assert_eq!(states[6..], [ClockState::Error; 2]);
}

fn spans() -> impl Strategy<Value = Span> {
    prop_oneof![
        (-2_000_000_000i64..2_000_000_000).prop_map(Span::from_nanos),
        any::<i64>().prop_map(Span::from_nanos),
    ]
}

prop_compose! {
    fn settings()(
        set_offset in option::of(spans()),
        status in option::of(any::<u16>().prop_map(Status::from_bits_retain)),
        resolution in option::of(prop_oneof![Just(Resolution::Micro), Just(Resolution::Nano)]),
        frequency in option::of(any::<i64>().prop_map(FreqOffset::from_scaled_ppm)),
        max_error in option::of(spans()),
        est_error in option::of(spans()),
        constant in option::of(prop_oneof![
            any::<u8>().prop_map(Constant::Time),
            any::<i32>().prop_map(Constant::Tai),
        ]),
        offset in option::of(spans()),
        tick in option::of((9_000i64..=11_000).prop_map(Span::from_micros)),
    ) -> Settings {
        Settings {
            set_offset, status, resolution, frequency, max_error, est_error, constant, offset, tick,
        }
    }
}

proptest! {
    // Whatever is asked for, the numbers fit the layout, and mean what was asked for as far as the
    // layout and the units go.
    #[test]
    fn requests_mean_the_same_in_numbers(
        settings in settings(),
        layout in prop::sample::select(&LAYOUTS[..]),
    ) {
        let made = Raw::new(&only(settings), Resolution::Micro, layout);
        let fits = |by: Span| by.as_nanos().div_euclid(NANOS_PER_SEC).abs() <= layout.secs;
        if let Some(by) = settings.set_offset.filter(|by| !fits(*by)) {
            prop_assert_eq!(made, Err(Error::invalid(Field::SetOffset, by)));
            return Ok(());
        }
        let raw = made.unwrap();
        prop_assert_eq!(raw.modes, u32::from(only(settings).modes().bits()));
        for long in [raw.offset, raw.freq, raw.maxerror, raw.esterror, raw.constant, raw.tick] {
            prop_assert!((-layout.long..=layout.long).contains(&long), "{} in {:?}", long, raw);
        }
        prop_assert!((-layout.secs..=layout.secs).contains(&raw.secs));

        // As the kernel would hand it back if it took it.
        let nano = settings.resolution == Some(Resolution::Nano);
        let read = Raw { status: raw.status | if nano { 0x2000 } else { 0 }, ..raw };
        let timex = read.decode(&Request::READ);
        let unit = if nano { 1 } else { 1_000 };
        prop_assert_eq!(timex.status - Status::NANO, settings.status.unwrap_or_default() & Status::SETTABLE);
        let step = settings.set_offset.map_or(0, Span::as_nanos);
        let lost = i128::from(step) - i128::from((timex.time - WallTime::UNIX_EPOCH).as_nanos());
        prop_assert!((0..unit).contains(&lost), "{} ns lost of a step", lost);
        prop_assert_eq!(timex.tick, settings.tick.unwrap_or_default());
        if let Some(frequency) = settings.frequency.filter(|rate| rate.abs() <= FreqOffset::from_ppm(500)) {
            prop_assert_eq!(timex.freq, frequency);
        }
        let beyond = layout.long < i64::MAX;
        for (asked, got) in [(settings.max_error, timex.maxerror), (settings.est_error, timex.esterror)] {
            let asked = asked.unwrap_or_default();
            let added = i128::from(got.as_nanos()) - i128::from(asked.as_nanos());
            let clamped = beyond && asked.abs() > Span::from_micros(layout.long);
            // At the very end of a span's range microseconds saturate.
            prop_assert!((0..1_000).contains(&added) || clamped || got == Span::MIN || got == Span::MAX);
        }
        if let Some(asked) = settings.offset {
            let lost = asked.as_nanos() - timex.offset.as_nanos();
            let towards_zero = lost.unsigned_abs() < unit as u64 && lost.signum() != -asked.as_nanos().signum();
            let clamped = timex.offset.as_nanos().unsigned_abs() / unit as u64 == layout.long as u64;
            prop_assert!(towards_zero || clamped, "{} became {}", asked, timex.offset);
        }
    }

    // No reply of a kernel panics, and its numbers can be told from the fields.
    #[test]
    fn replies_are_decoded_without_loss(
        longs in prop::array::uniform13(any::<i32>().prop_map(i64::from)),
        time in (any::<i32>().prop_map(i64::from), 0i64..1_000_000_000),
        (status, shift, tai) in (any::<u16>(), 0i32..256, any::<i32>()),
    ) {
        let [offset, freq, maxerror, esterror, precision, tolerance, tick, ppsfreq, jitter, stabil,
            jitcnt, calcnt, errcnt] = longs;
        let nano = status & 0x2000 != 0;
        let subsecs = if nano { time.1 } else { time.1 / 1_000 };
        let raw = Raw {
            modes: 0, offset, freq, maxerror, esterror, status: status.into(), constant: 7,
            precision, tolerance, secs: time.0, subsecs, tick, ppsfreq, jitter, shift, stabil,
            jitcnt, calcnt, errcnt, stbcnt: jitcnt, tai,
        };
        let timex = raw.decode(&Request::READ);
        let unit = if nano { 1 } else { 1_000 };
        let pps = timex.pps;
        let count = |number: u64| number as i64;
        let again = Raw {
            modes: 0,
            offset: timex.offset.as_nanos() / unit,
            freq: timex.freq.as_scaled_ppm(),
            maxerror: timex.maxerror.as_nanos() / 1_000,
            esterror: timex.esterror.as_nanos() / 1_000,
            status: timex.status.bits().into(),
            constant: timex.constant.into(),
            precision: timex.precision.as_nanos() / unit,
            tolerance: timex.tolerance.as_scaled_ppm(),
            secs: timex.time.unix_secs(),
            subsecs: i64::from(timex.time.subsec_nanos()) / unit,
            tick: timex.tick.as_nanos() / 1_000,
            ppsfreq: pps.ppsfreq.as_scaled_ppm(),
            jitter: pps.jitter.as_nanos() / unit,
            shift: pps.shift.into(),
            stabil: pps.stabil.as_scaled_ppm(),
            jitcnt: count(pps.jitcnt),
            calcnt: count(pps.calcnt),
            errcnt: count(pps.errcnt),
            stbcnt: count(pps.stbcnt),
            tai: timex.tai,
        };
        let floor = |number: i64| number.max(0);
        let expected = Raw {
            jitcnt: floor(jitcnt), calcnt: floor(calcnt), errcnt: floor(errcnt),
            stbcnt: floor(jitcnt), ..raw
        };
        prop_assert_eq!(again, expected);
    }

    #[test]
    fn no_reply_panics(
        longs in prop::array::uniform16(any::<i64>()), ints in prop::array::uniform3(any::<i32>()),
    ) {
        let [offset, freq, maxerror, esterror, constant, precision, tolerance, secs, subsecs, tick,
            ppsfreq, jitter, stabil, jitcnt, calcnt, errcnt] = longs;
        let [status, shift, tai] = ints;
        let raw = Raw {
            modes: 0, offset, freq, maxerror, esterror, status, constant, precision, tolerance,
            secs, subsecs, tick, ppsfreq, jitter, shift, stabil, jitcnt, calcnt, errcnt,
            stbcnt: jitcnt, tai,
        };
        let _ = (raw.decode(&Request::READ), raw.decode(&Request::SingleShotRemaining));
    }
}
