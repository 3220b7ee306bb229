use super::*;
use proptest::prelude::*;
use truechimer_core::timex::{
    ClockState, Constant, Error, Pps, Resolution, Settings, Status, Timex,
};
use truechimer_core::units::FreqOffset;

const NO_PULSES: Pps = Pps {
    ppsfreq: FreqOffset::ZERO,
    jitter: Span::ZERO,
    shift: 0,
    stabil: FreqOffset::ZERO,
    jitcnt: 0,
    calcnt: 0,
    errcnt: 0,
    stbcnt: 0,
};

const READ: Timex = Timex {
    offset: Span::ZERO,
    freq: FreqOffset::ZERO,
    maxerror: Span::ZERO,
    esterror: Span::ZERO,
    status: Status::NANO,
    constant: 6,
    precision: Span::ZERO,
    tolerance: FreqOffset::ZERO,
    time: WallTime::UNIX_EPOCH,
    tick: Span::ZERO,
    pps: NO_PULSES,
    tai: 0,
};

fn differences(settings: Settings, timex: Timex) -> Vec<String> {
    let reply = Reply { state: ClockState::Ok, timex };
    clamped(&Request::Set(settings), &reply).map(|clamped| clamped.to_string()).collect()
}

#[test]
fn reads_without_privilege() {
    let reply = ntp_adjtime(&Request::READ).unwrap();
    let time = ntp_gettime().unwrap();
    assert!((time.time - reply.timex.time).abs() < Span::from_secs(10));
    assert!((crate::clock::realtime() - time.time).abs() < Span::from_secs(10));
    assert_eq!(time.tai, reply.timex.tai);
    assert_eq!(reply.timex.tolerance, FreqOffset::from_ppm(500));
    assert_eq!(reply.timex.status.is_error(), reply.state == ClockState::Error);
    let remaining = ntp_adjtime(&Request::SingleShotRemaining).unwrap().timex;
    assert_eq!(remaining.tolerance, reply.timex.tolerance);
}

#[cfg(target_os = "linux")]
#[test]
fn the_same_clock_by_its_id() {
    let reply = clock_adjtime(ClockId::CLOCK_REALTIME, &Request::READ).unwrap();
    let time = ntp_gettime().unwrap();
    assert!((time.time - reply.timex.time).abs() < Span::from_secs(10));
    let error = clock_adjtime(ClockId::CLOCK_MONOTONIC, &Request::READ).unwrap_err();
    assert_eq!(error, TimexError::Os(Errno::EOPNOTSUPP));
    assert_eq!(
        error.to_string(),
        "the kernel's clock: Operation not supported on transport endpoint"
    );
}

/// Found before the kernel is asked, and so without privilege too.
#[test]
fn steps_out_of_the_calendar_are_refused() {
    for by in [Span::from_secs(-60 * 366 * 86_400 * 2), Span::MIN, Span::MAX] {
        let request = Request::Set(Settings { set_offset: Some(by), ..Settings::NONE });
        let error = Error::invalid(Field::SetOffset, by);
        assert_eq!(stepped(ClockId::CLOCK_REALTIME, by), Err(error.into()));
        assert_eq!(refused(Errno::EINVAL, &request), error.into());
    }
    assert!(stepped(ClockId::CLOCK_REALTIME, Span::from_secs(-1)).is_ok());
}

#[test]
fn errors_by_their_numbers() {
    let tick = Request::Set(Settings { tick: Some(Span::from_millis(10)), ..Settings::NONE });
    for (errno, expected) in [
        (Errno::EPERM, Error::NotPermitted.into()),
        (Errno::EINVAL, TimexError::Os(Errno::EINVAL)),
        (Errno::ENOSYS, TimexError::Os(Errno::ENOSYS)),
    ] {
        assert_eq!(refused(errno, &tick), expected);
    }
}

#[test]
fn each_clamped_field_is_named() {
    let none = Settings::NONE;
    let cases = [
        (
            Settings { frequency: Some(FreqOffset::from_ppm(600)), ..none },
            Timex { freq: FreqOffset::from_ppm(500), ..READ },
            "freq: asked for 600.000000 ppm, got 500.000000 ppm",
        ),
        (
            Settings { offset: Some(Span::from_secs(2)), ..none },
            Timex { offset: Span::from_millis(500), ..READ },
            "offset: asked for 2000000.000 us, got 500000.000 us",
        ),
        (
            Settings { max_error: Some(Span::from_secs(17)), ..none },
            Timex { maxerror: Span::from_secs(16), ..READ },
            "maxerror: asked for 17000000.000 us, got 16000000.000 us",
        ),
        (
            Settings { est_error: Some(Span::from_micros(-1)), ..none },
            READ,
            "esterror: asked for -1.000 us, got 0.000 us",
        ),
        (
            Settings { status: Some(Status::PPSFREQ | Status::INS), ..none },
            Timex { status: Status::INS, ..READ },
            "status: asked for 0x0012 (PPSFREQ,INS), got 0x0010 (INS)",
        ),
        (
            Settings { constant: Some(Constant::Time(11)), ..none },
            Timex { constant: 10, ..READ },
            "constant: asked for 11 (log2 s), got 10 (log2 s)",
        ),
        (
            Settings { constant: Some(Constant::Tai(100_001)), ..none },
            READ,
            "tai: asked for 100001 s, got 0 s",
        ),
        (
            Settings { tick: Some(Span::from_micros(9_000)), ..none },
            Timex { tick: Span::from_micros(10_000), ..READ },
            "tick: asked for 9000.000 us, got 10000.000 us",
        ),
        (
            Settings { resolution: Some(Resolution::Nano), ..none },
            Timex { status: Status::empty(), ..READ },
            "resolution: asked for nano, got micro",
        ),
    ];
    for (settings, got, text) in cases {
        assert_eq!(differences(settings, got), [text]);
    }
}

#[test]
fn rounding_is_no_clamping() {
    let settings = Settings {
        frequency: Some(FreqOffset::from_scaled_ppm(1_000)),
        offset: Some(Span::from_nanos(-1_999_999)),
        max_error: Some(Span::from_nanos(1)),
        status: Some(Status::PLL | Status::PPSSIGNAL),
        constant: Some(Constant::Time(3)),
        ..Settings::NONE
    };
    let got = Timex {
        freq: FreqOffset::from_scaled_ppm(999),
        offset: Span::from_micros(-1_998),
        maxerror: Span::from_micros(1),
        status: Status::PLL,
        constant: if cfg!(target_os = "linux") { 7 } else { 3 },
        ..READ
    };
    assert_eq!(differences(settings, got), [""; 0]);
}

#[cfg(target_os = "linux")]
proptest! {
    // The structure of C holds all that is handed over, and all that the kernel hands back.
    #[test]
    fn the_structure_of_c_loses_nothing(
        longs in prop::array::uniform6(any::<i32>()), secs: i32, subsecs in 0i64..1_000_000_000,
        modes: u32, status: i32,
    ) {
        let [offset, freq, maxerror, esterror, constant, tick] = longs.map(i64::from);
        let raw = raw::Raw {
            modes, offset, freq, maxerror, esterror, status, constant, tick, secs: secs.into(),
            subsecs, ..raw::Raw::default()
        };
        prop_assert_eq!(linux::from_libc(&linux::to_libc(&raw).unwrap()), raw);
    }
}
