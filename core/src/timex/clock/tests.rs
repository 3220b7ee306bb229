mod exact;

use super::*;
use crate::timex::{ClockState, Constant};
use crate::wire::LeapIndicator;

const START: Instant = Instant::from_nanos(7_000_000_123);
/// 2026-09-21 14:13:20.25: three quarters of a second before the first new one.
const TIME: WallTime = WallTime::from_unix(1_790_000_000, 250_000_000);
const MIDNIGHT: i64 = 20_718 * 86_400;

fn after(nanos: i64) -> Instant {
    START + Span::from_nanos(nanos)
}

fn after_secs(secs: i64) -> Instant {
    START + Span::from_secs(secs)
}

/// How far the clock is ahead of a clock that was never touched.
fn ahead(clock: &SoftwareClock, at: Instant) -> Span {
    clock.read(at) - (TIME + (at - START))
}

fn synced() -> Settings {
    Settings {
        status: Some(Status::PLL),
        resolution: Some(Resolution::Nano),
        max_error: Some(Span::ZERO),
        est_error: Some(Span::ZERO),
        ..Settings::NONE
    }
}

/// A clock with the settings, at [`START`].
fn clock(settings: Settings) -> SoftwareClock {
    let mut clock = SoftwareClock::new(START, TIME);
    clock.ntp_adjtime(START, &Request::Set(settings)).expect("settings that are allowed");
    clock
}

fn read(clock: &mut SoftwareClock, at: Instant) -> Reply {
    clock.ntp_adjtime(at, &Request::READ).expect("reading is allowed")
}

#[test]
fn boots_as_the_kernel_does() {
    let mut clock = SoftwareClock::new(START, TIME);
    let Reply { state, timex } = read(&mut clock, START);
    assert_eq!(state, ClockState::Error);
    assert_eq!(timex.status, Status::UNSYNC);
    assert_eq!((timex.maxerror, timex.esterror), (Span::from_secs(16), Span::from_secs(16)));
    assert_eq!((timex.constant, timex.tick), (2, Span::from_millis(10)));
    assert_eq!(timex.tolerance.as_scaled_ppm(), 32_768_000);
    assert_eq!((timex.offset, timex.freq, timex.tai), (Span::ZERO, FreqOffset::ZERO, 0));
    assert_eq!(timex.precision, Span::from_micros(1));
    assert_eq!(timex.time, TIME);
}

#[test]
fn frequency_and_tick_count_at_once() {
    let mut clock = clock(Settings { frequency: Some(FreqOffset::from_ppm(80)), ..synced() });
    assert_eq!(ahead(&clock, after_secs(3_600)), Span::from_millis(288));
    let settings = Settings { tick: Some(Span::from_micros(10_001)), ..Settings::NONE };
    let reply = clock.ntp_adjtime(after_secs(3_600), &Request::Set(settings));
    assert_eq!(reply.map(|reply| reply.timex.tick), Ok(Span::from_micros(10_001)));
    assert_eq!(ahead(&clock, after_secs(3_610)), Span::from_micros(288_000 + 1_800));
}

#[test]
fn frequency_is_clamped_and_tick_is_not() {
    let mut clock = clock(synced());
    for (asked, got) in [(501, 500), (-2_147_483, -500), (500, 500)] {
        let frequency = Some(FreqOffset::from_ppm(asked));
        let reply =
            clock.ntp_adjtime(START, &Request::Set(Settings { frequency, ..Settings::NONE }));
        let fields = reply.map(|Reply { timex, .. }| (timex.freq, timex.pps.ppsfreq));
        assert_eq!(fields, Ok((FreqOffset::from_ppm(got), FreqOffset::from_ppm(got))));
    }
    let before = read(&mut clock, START);
    let refused = FreqOffset::from_ppm(2_147_483) + FreqOffset::from_ppm(1);
    for (settings, error) in [
        (
            Settings { tick: Some(Span::from_micros(8_999)), ..Settings::NONE },
            Error::invalid(Field::Tick, Span::from_micros(8_999)),
        ),
        (
            Settings { tick: Some(Span::from_nanos(10_000_001)), ..Settings::NONE },
            Error::invalid(Field::Tick, Span::from_nanos(10_000_001)),
        ),
        (
            Settings { frequency: Some(refused), ..Settings::NONE },
            Error::invalid(Field::Freq, refused),
        ),
    ] {
        let settings = Settings { status: Some(Status::INS), ..settings };
        assert_eq!(clock.ntp_adjtime(START, &Request::Set(settings)), Err(error));
    }
    assert_eq!(read(&mut clock, START), before);
    for tick in [9_000, 11_000] {
        let tick = Some(Span::from_micros(tick));
        assert!(clock.ntp_adjtime(START, &Request::Set(Settings { tick, ..synced() })).is_ok());
    }
}

#[test]
fn status_takes_settable_bits_alone() {
    let mut clock = clock(synced());
    let status = |clock: &mut SoftwareClock, bits| {
        let settings = Settings { status: Some(bits), ..Settings::NONE };
        clock.ntp_adjtime(START, &Request::Set(settings)).map(|reply| reply.timex.status)
    };
    let all = status(&mut clock, Status::all());
    assert_eq!(all, Ok(Status::SETTABLE | Status::NANO));
    assert_eq!(status(&mut clock, Status::PLL), Ok(Status::PLL | Status::NANO));
    // Opening the loop resets the word, the resolution with it.
    assert_eq!(status(&mut clock, Status::INS), Ok(Status::INS));
}

#[test]
fn offset_is_corrected_from_the_next_second_on() {
    let mut clock = clock(Settings {
        constant: Some(Constant::Time(6)),
        offset: Some(Span::from_millis(10)),
        ..synced()
    });
    assert_eq!(ahead(&clock, after(750_000_000)), Span::ZERO);
    // A 256th of it in the first second of the clock's own time: 39,062.5 ns, which the counter
    // passes 39 us sooner.
    assert_eq!(ahead(&clock, after(1_750_000_000)), Span::from_nanos(39_062));
    let reply = read(&mut clock, after(750_000_000));
    assert_eq!(reply.timex.offset, Span::from_nanos(10_000_000 - 39_063));
    assert_eq!(reply.timex.freq, FreqOffset::ZERO);
    let reply = read(&mut clock, after_secs(100_000));
    assert_eq!(reply.timex.offset, Span::ZERO);
    let error = ahead(&clock, after_secs(100_000)) - Span::from_millis(10);
    assert!(error.abs() < Span::from_micros(1), "{error:.9}");
}

#[test]
fn offsets_steer_the_frequency() {
    let settings = Settings {
        constant: Some(Constant::Time(6)),
        offset: Some(Span::from_millis(10)),
        ..Settings::NONE
    };
    let mut clock = clock(synced());
    let reply = clock.ntp_adjtime(after(64_000_000_000), &Request::Set(settings));
    // 10 ms * 64 / 4^10 = 610.35 ns/s, 40,000 * 2^-16 ppm.
    assert_eq!(reply.map(|reply| reply.timex.freq.as_scaled_ppm()), Ok(40_000));
    // Without the loop they do nothing.
    let mut open = SoftwareClock::new(START, TIME);
    let reply = open.ntp_adjtime(after_secs(64), &Request::Set(settings));
    let fields = reply.map(|Reply { timex, .. }| (timex.freq, timex.offset));
    assert_eq!(fields, Ok((FreqOffset::ZERO, Span::ZERO)));
}

#[test]
fn resolution_rounds_offset_and_time() {
    let mut clock = clock(Settings { resolution: Some(Resolution::Micro), ..synced() });
    let settings = Settings { offset: Some(Span::from_nanos(-1_999)), ..Settings::NONE };
    let at = after(1_999);
    let micro = clock.ntp_adjtime(at, &Request::Set(settings)).expect("allowed");
    assert_eq!(micro.timex.offset, Span::from_micros(-1));
    assert_eq!(micro.timex.time, TIME + Span::from_micros(1));
    assert_eq!(micro.timex.precision, Span::from_micros(1));
    let settings = Settings { resolution: Some(Resolution::Nano), ..settings };
    let nano = clock.ntp_adjtime(at, &Request::Set(settings)).expect("allowed");
    // 7.996 ns a tick, rounded towards zero to 2^-32 ns, is that little less.
    assert_eq!(nano.timex.offset, Span::from_nanos(-1_998));
    assert_eq!(nano.timex.time, TIME + Span::from_nanos(1_999));
    assert_eq!(nano.timex.precision, Span::from_nanos(1));
}

#[test]
fn single_shot_is_slewed_from_the_next_second_on() {
    for sign in [1, -1] {
        let mut clock = clock(synced());
        let by = Span::from_micros(1_200 * sign);
        let before = clock.ntp_adjtime(START, &Request::SingleShot(by)).expect("allowed");
        assert_eq!(before.timex.offset, Span::ZERO);
        let left = clock.ntp_adjtime(after(749_999_999), &Request::SingleShotRemaining);
        assert_eq!(left.map(|reply| reply.timex.offset), Ok(by));
        // The first 500 us are taken from the books as their second begins.
        let left = clock.ntp_adjtime(after(750_000_000), &Request::SingleShotRemaining);
        assert_eq!(left.map(|reply| reply.timex.offset), Ok(Span::from_micros(700 * sign)));
        assert_eq!(ahead(&clock, after(750_000_000)), Span::ZERO);
        let error = ahead(&clock, after_secs(9)) - by;
        assert!(error.abs() < Span::from_micros(1), "{error:.9}");
        let replaced = clock.ntp_adjtime(after_secs(9), &Request::SingleShot(Span::ZERO));
        assert_eq!(replaced.map(|reply| reply.timex.offset), Ok(Span::ZERO));
    }
}

#[test]
fn errors_grow_until_the_clock_is_not_synchronised() {
    let mut clock = clock(Settings { est_error: Some(Span::from_nanos(1)), ..synced() });
    for secs in [1, 2, 1_000, 32_000] {
        let reply = read(&mut clock, after_secs(secs));
        assert_eq!(reply.timex.maxerror, Span::from_micros(500 * secs));
        assert_eq!(reply.timex.esterror, Span::from_micros(1));
        assert_eq!(reply.state, ClockState::Ok);
    }
    let reply = read(&mut clock, after_secs(32_001));
    assert_eq!(reply.timex.maxerror, Span::from_secs(16));
    assert_eq!(reply.timex.status, Status::PLL | Status::NANO | Status::UNSYNC);
    assert_eq!(reply.state, ClockState::Error);
    let limits = Settings {
        max_error: Some(Span::MAX),
        est_error: Some(Span::from_nanos(-1_001)),
        ..Settings::NONE
    };
    let reply = clock.ntp_adjtime(after_secs(32_001), &Request::Set(limits)).expect("allowed");
    assert_eq!(reply.timex.maxerror, Span::from_secs(16));
    assert_eq!(reply.timex.esterror, Span::ZERO);
}

#[test]
fn set_offset_steps_and_forgets() {
    let mut clock = clock(Settings { offset: Some(Span::from_millis(100)), ..synced() });
    let by = Span::from_nanos(-1_500_000_001);
    let settings = Settings { set_offset: Some(by), ..Settings::NONE };
    let reply = clock.ntp_adjtime(after_secs(10), &Request::Set(settings)).expect("allowed");
    assert_eq!(reply.timex.offset, Span::ZERO);
    assert_eq!(reply.timex.maxerror, Span::from_secs(16));
    assert!(reply.timex.status.contains(Status::UNSYNC));
    // In microseconds, as none were asked for, rounded down.
    let slewed = ahead(&clock, after_secs(10)) - Span::from_nanos(-1_500_001_000);
    assert!(slewed > Span::ZERO && slewed < Span::from_millis(100));
    assert_eq!(ahead(&clock, after_secs(99)), ahead(&clock, after_secs(10)));
    let settings = Settings { resolution: Some(Resolution::Nano), ..settings };
    let before = ahead(&clock, after_secs(99));
    clock.ntp_adjtime(after_secs(99), &Request::Set(settings)).expect("allowed");
    assert_eq!(ahead(&clock, after_secs(99)) - before, by);
}

#[test]
fn set_offset_has_limits() {
    let mut clock = clock(synced());
    for by in [Span::from_secs(-1_790_000_001), Span::from_secs(8_277_292_036 - 1_790_000_000)] {
        let settings = Settings { set_offset: Some(by), ..synced() };
        let refused = clock.ntp_adjtime(START, &Request::Set(settings));
        assert_eq!(refused, Err(Error::invalid(Field::SetOffset, by)));
        assert_eq!(ahead(&clock, START), Span::ZERO);
        assert_eq!(read(&mut clock, START).state, ClockState::Error);
    }
    clock.step(START, Span::MIN);
    assert!(ahead(&clock, START) < Span::from_secs(-9_000_000_000));
}

#[test]
fn tai_is_set_and_follows_leap_seconds() {
    let mut clock = clock(Settings { constant: Some(Constant::Tai(37)), ..synced() });
    for out in [-1, 100_001] {
        let settings = Settings { constant: Some(Constant::Tai(out)), ..Settings::NONE };
        let reply = clock.ntp_adjtime(START, &Request::Set(settings));
        assert_eq!(reply.map(|reply| reply.timex.tai), Ok(37));
    }
    assert_eq!(clock.ntp_gettime(START).tai, 37);
}

/// What `ntp_gettime` says in the middle of each second around midnight, five from before it.
fn around_midnight(bit: Status) -> std::vec::Vec<(i64, ClockState, i32)> {
    let late = WallTime::from_unix(MIDNIGHT - 5, 500_000_000);
    let mut clock = SoftwareClock::new(START, late);
    let settings =
        Settings { status: Some(Status::PLL | bit), constant: Some(Constant::Tai(37)), ..synced() };
    clock.ntp_adjtime(START, &Request::Set(settings)).expect("allowed");
    (0..9)
        .map(|secs| {
            let now = clock.ntp_gettime(after_secs(secs));
            assert_eq!(now.time, clock.read(after_secs(secs)));
            (now.time.unix_secs() - MIDNIGHT, now.state, now.tai)
        })
        .collect()
}

#[test]
fn leap_second_is_repeated() {
    let mut expected = std::vec![(-5, ClockState::Ok, 37)];
    expected.extend((-4..=-1).map(|secs| (secs, ClockState::Insert, 37)));
    expected.push((-1, ClockState::InProgress, 38));
    expected.extend((0..=2).map(|secs| (secs, ClockState::Wait, 38)));
    assert_eq!(around_midnight(Status::INS), expected);
}

#[test]
fn leap_second_is_skipped() {
    let mut expected = std::vec![(-5, ClockState::Ok, 37)];
    expected.extend((-4..=-2).map(|secs| (secs, ClockState::Delete, 37)));
    expected.extend((0..=4).map(|secs| (secs, ClockState::Wait, 36)));
    assert_eq!(around_midnight(Status::DEL), expected);
}

#[test]
fn pulses_discipline_frequency_and_phase() {
    // The counter loses 20 ppm on the source of the pulses, the clock is 3 us late.
    let bits = Status::PLL | Status::PPSFREQ | Status::PPSTIME;
    let time = WallTime::from_unix(1_790_000_000, 0) + Span::from_micros(-3);
    let mut clock = SoftwareClock::new(START, time);
    let settings = Settings { status: Some(bits), ..synced() };
    let reply = clock.ntp_adjtime(START, &Request::Set(settings)).expect("allowed");
    assert_eq!(reply.state, ClockState::Error);
    let pulse = |second: i64| after(second * (1_000_000_000 - 20_000));
    for second in 0..60 {
        clock.pulse(pulse(second));
    }
    let error = clock.read(pulse(60)) - (WallTime::from_unix(1_790_000_060, 0));
    assert!(error.abs() <= Span::from_nanos(2), "{error:.9}");
    let reply = read(&mut clock, pulse(60));
    assert_eq!(reply.state, ClockState::Ok);
    assert_eq!(reply.timex.freq, FreqOffset::from_ppm(20));
    assert_eq!(reply.timex.pps.ppsfreq, FreqOffset::from_ppm(20));
    let reply = read(&mut clock, pulse(72));
    assert_eq!(reply.state, ClockState::Error);
    assert!(!reply.timex.status.contains(Status::PPSSIGNAL));
}

#[test]
fn steering_comes_on_top() {
    let mut clock = clock(Settings { frequency: Some(FreqOffset::from_ppm(5)), ..synced() });
    let rate = FreqOffset::from_ppm(-100_001);
    assert_eq!(clock.steer(START, rate), -MAX_FREQUENCY);
    assert_eq!(clock.steer(START, FreqOffset::from_ppm(10)), FreqOffset::from_ppm(10));
    assert_eq!(ahead(&clock, after_secs(1_000)), Span::from_millis(15));
    assert_eq!(clock.frequency(), FreqOffset::from_ppm(15));
    assert_eq!(read(&mut clock, START).timex.freq, FreqOffset::from_ppm(5));
}

#[test]
fn told_status_leaves_the_other_bits() {
    let mut clock = clock(Settings { status: Some(Status::PLL | Status::INS), ..synced() });
    let (max_error, estimated_error) = (Span::from_millis(3), Span::from_millis(1));
    for synced in [false, true] {
        clock.set_status(START, &ClockStatus { synced, max_error, estimated_error });
        let Reply { timex, .. } = read(&mut clock, START);
        assert_eq!((timex.maxerror, timex.esterror), (max_error, estimated_error));
        let unsync = if synced { Status::empty() } else { Status::UNSYNC };
        assert_eq!(timex.status, Status::PLL | Status::INS | Status::NANO | unsync);
    }
}

#[test]
fn reads_before_the_last_change() {
    let mut clock = clock(synced());
    clock.steer(after_secs(10), FreqOffset::from_ppm(100));
    clock.step(after_secs(10), Span::from_secs(5));
    assert_eq!(ahead(&clock, after_secs(9)), Span::from_micros(4_999_900));
    clock.steer(after_secs(8), FreqOffset::from_ppm(-100));
    assert_eq!(ahead(&clock, after_secs(11)), Span::from_micros(4_999_900));
}

#[test]
fn what_a_loop_was_given_ends_with_it() {
    let at = |secs| Instant::default() + Span::from_secs(secs);
    let start = WallTime::from_unix(1_790_000_000, 0);
    let mut clock = SoftwareClock::new(at(0), start);
    let offset = Span::from_millis(10);
    clock.steer(at(0), FreqOffset::from_ppm(-90));
    let frequency = FreqOffset::from_ppm(30);
    assert_eq!(clock.lock(at(0), Some(frequency), offset, 0), frequency);
    // 30 us a second, and a quarter of the offset in each, whose seconds are the clock's own.
    let gained = |clock: &SoftwareClock, secs| clock.read(at(secs)) - start - Span::from_secs(secs);
    let third = gained(&clock, 3) - Span::from_micros(90);
    assert!((third - Span::from_nanos(4_375_000)).abs() < Span::from_micros(10), "{third:.9}");
    let faster = clock.lock(at(64), None, offset, 0);
    assert!(faster > frequency, "it learns from the offset");

    let rate = FreqOffset::from_ppm(5);
    assert_eq!((clock.unlock(at(65), rate), clock.frequency()), (rate, rate));
    let before = clock.read(at(66));
    let passed = clock.read(at(166)) - before - Span::from_secs(100);
    assert_eq!(passed, Span::from_micros(500), "nothing is corrected any more");
    let reply = clock.ntp_adjtime(at(166), &Request::READ);
    let status = reply.map(|reply| reply.timex.status);
    assert_eq!(status.map(|status| status & Status::SETTABLE), Ok(Status::UNSYNC));
}

/// A clock that is locked, has learnt a frequency and corrects an offset.
fn locked() -> SoftwareClock {
    let mut clock = SoftwareClock::new(START, TIME);
    clock.set_leap(START, &LeapPlan { leap: LeapIndicator::NoWarning, tai: Some(37) });
    for (secs, poll) in [(0, 4), (300, 6), (700, 11)] {
        clock.lock(after_secs(secs), None, Span::from_micros(700), poll);
    }
    clock
}

#[test]
fn unlocking_is_what_these_calls_do() {
    let at = after_secs(800);
    let rate = FreqOffset::from_ppm(3);
    let (mut ours, mut by_calls) = (locked(), locked());
    ours.unlock(at, rate);
    let before = read(&mut by_calls, at).timex;
    assert!(before.offset > Span::ZERO && before.freq > FreqOffset::ZERO, "{before:?}");
    for settings in [
        Settings { offset: Some(Span::ZERO), ..Settings::NONE },
        Settings {
            status: Some(before.status.difference(Status::PLL | Status::FLL)),
            frequency: Some(FreqOffset::ZERO),
            ..Settings::NONE
        },
    ] {
        by_calls.ntp_adjtime(at, &Request::Set(settings)).expect("settings that are allowed");
    }
    by_calls.steer(at, rate);
    for secs in [800, 801, 900, 5_000] {
        let at = after_secs(secs);
        assert_eq!(read(&mut ours, at), read(&mut by_calls, at), "after {secs} s");
    }
    // Another loop begins as it would.
    for clock in [&mut ours, &mut by_calls] {
        clock.lock(after_secs(5_400), None, Span::from_micros(300), 6);
    }
    let at = after_secs(6_000);
    assert_eq!(read(&mut ours, at), read(&mut by_calls, at));
}

#[test]
fn a_status_is_set_as_these_calls_set_it() {
    let at = after_secs(800);
    for synced in [false, true] {
        let (mut ours, mut by_calls) = (locked(), locked());
        let (max_error, estimated_error) = (Span::from_nanos(1_234_567), Span::from_secs(20));
        ours.set_status(at, &ClockStatus { synced, max_error, estimated_error });
        let mut status = read(&mut by_calls, at).timex.status;
        status.set(Status::UNSYNC, !synced);
        let settings = Settings {
            status: Some(status),
            max_error: Some(max_error),
            est_error: Some(estimated_error),
            ..Settings::NONE
        };
        by_calls.ntp_adjtime(at, &Request::Set(settings)).expect("settings that are allowed");
        for secs in [800, 801, 2_000] {
            let at = after_secs(secs);
            assert_eq!(read(&mut ours, at), read(&mut by_calls, at), "after {secs} s");
        }
    }
}
