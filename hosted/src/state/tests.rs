//! Files as they are found after good days and bad ones.

use std::fs;

use nix::errno::Errno;
use tempfile::TempDir;
use truechimer_core::config::NOT_BEFORE;
use truechimer_core::holdover::UNKNOWN_FREQUENCY;
use truechimer_core::units::Span;

use super::*;
use crate::clock::SoftwareClock;
use crate::sys::fault::{Call, inject};

const FLOOR: WallTime = WallTime::from_unix(1_900_000_000, 0);

fn log() -> Log {
    Log::in_memory()
}

fn told(log: &Log) -> Vec<String> {
    log.since(0).0.into_iter().map(|line| line.text.as_str().to_owned()).collect()
}

fn known(ppm: f64, deviation: f64) -> KnownFrequency {
    KnownFrequency { frequency: FreqOffset::from_ppm_f64(ppm), deviation }
}

#[test]
fn what_is_saved_is_found_again() {
    let (folder, log) = (TempDir::new().unwrap(), log());
    let (mut files, nothing) = StateFiles::open(folder.path(), &log);
    assert_eq!(nothing, State::default());
    let state = State { frequency: Some(known(-12.5, 2.5e-7)), floor: Some(FLOOR) };
    files.save(&state, FLOOR, &log);
    let text = |name| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(text("drift"), "-12.500000 0.250000\n");
    assert_eq!(text("floor"), "1900000000 2030-03-17 17:46:40\n");
    assert_eq!(StateFiles::open(folder.path(), &log).1, state);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside");
    assert!(told(&log).is_empty(), "{:?}", told(&log));
}

#[test]
fn the_drift_file_is_written_only_on_significant_change() {
    let (folder, log) = (TempDir::new().unwrap(), log());
    let drift = folder.path().join("drift");
    fs::write(&drift, "   7.5  0.25\n").unwrap();
    let (mut files, found) = StateFiles::open(folder.path(), &log);
    assert_eq!(found.frequency, Some(known(7.5, 2.5e-7)));
    // What was found is handed back as a kernel rounds it, and is doubted since the start.
    for (known, text, secs) in [
        (known(7.500_01, 1e-6), "   7.5  0.25\n", 1),
        (known(7.499_99, 3e-7), "   7.5  0.25\n", 2),
        (known(7.6, 1e-6), "7.600000 1.000000\n", 3),
        (known(7.6, 4e-7), "7.600000 0.400000\n", 4),
        (known(7.6, 5e-7), "7.600000 0.400000\n", 5),
    ] {
        let state = State { frequency: Some(known), floor: Some(FLOOR + Span::from_secs(secs)) };
        files.save(&state, FLOOR, &log);
        assert_eq!(fs::read_to_string(&drift).unwrap(), text, "{known:?}");
        // That is written always.
        assert_eq!(StateFiles::open(folder.path(), &log).1.floor, state.floor);
    }
    assert!(told(&log).is_empty(), "{:?}", told(&log));
}

#[test]
fn the_files_of_others_are_read() {
    assert_eq!(drift::parse("23.456\n"), Ok(known(23.456, 5e-6)), "OpenNTPD");
    assert_eq!(drift::parse("      -5.1    0.25\n"), Ok(known(-5.1, 0.25e-6)), "chrony");
    assert_eq!(drift::parse("1 5000").map(|known| known.deviation), Ok(UNKNOWN_FREQUENCY));
}

#[test]
fn damage_is_reported_and_ignored() {
    let numbers = "is not a frequency: a number of ppm from -100000 to 100000 is allowed";
    let deviations = "is not a deviation: a number of ppm above 0 is allowed";
    for (text, problem) in [
        ("", format!("\"\" {numbers}")),
        ("\0\0\0\0", format!("\"\\0\\0\\0\\0\" {numbers}")),
        ("12,5", format!("\"12,5\" {numbers}")),
        ("NaN 1", format!("\"NaN\" {numbers}")),
        ("100001", format!("\"100001\" {numbers}")),
        ("1 0", format!("\"0\" {deviations}")),
        ("1 inf", format!("\"inf\" {deviations}")),
    ] {
        let (folder, log) = (TempDir::new().unwrap(), log());
        let path = folder.path().join("drift");
        fs::write(&path, text).unwrap();
        assert_eq!(StateFiles::open(folder.path(), &log).1, State::default());
        assert_eq!(told(&log), [format!("can't read {}: {problem}", path.display())]);
    }
    for text in ["", "-1", "soon", "99999999999"] {
        let problem = floor::parse(text).unwrap_err().to_string();
        assert_eq!(
            problem,
            format!(
                "{text:?} is not a time: a number of seconds since 1970 from 0 to 16725225600 \
                 is allowed"
            )
        );
    }
}

#[test]
fn what_cannot_be_opened_or_read_is_told() {
    let (folder, log) = (TempDir::new().unwrap(), log());
    let path = folder.path().join("drift");
    fs::write(&path, "1").unwrap();
    let fault = inject(Call::ReadFile, Errno::EIO);
    assert_eq!(StateFiles::open(folder.path(), &log).1, State::default());
    drop(fault);
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&path, &path).unwrap();
    assert_eq!(StateFiles::open(folder.path(), &log).1, State::default());
    let path = path.display();
    assert_eq!(told(&log), [format!("can't read {path}: I/O error"), format!("can't open {path}")]);
}

#[test]
fn what_cannot_be_written_is_told_once_and_the_old_stays() {
    let (folder, log) = (TempDir::new().unwrap(), log());
    let (mut files, _) = StateFiles::open(folder.path(), &log);
    let state = |ppm| State { frequency: Some(known(ppm, 1e-6)), floor: Some(FLOOR) };
    files.save(&state(1.0), FLOOR, &log);
    let fault = inject(Call::WriteFile, Errno::ENOSPC);
    for ppm in [2.0, 3.0] {
        files.save(&state(ppm), FLOOR, &log);
    }
    let path = folder.path().join("drift");
    let problem = format!("can't write {}: No space left on device", path.display());
    assert_eq!(told(&log), [problem]);
    assert_eq!(StateFiles::open(folder.path(), &log).1, state(1.0));
    drop(fault);
    files.save(&state(3.0), FLOOR, &log);
    assert_eq!(StateFiles::open(folder.path(), &log).1, state(3.0));
}

/// As it begins from what was kept alone.
fn begin(clock: &mut SoftwareClock, state: State, log: &Log) -> (FreqOffset, Option<f64>) {
    let past = Past { state, rtc: None };
    let begun = restore(clock, FreqOffset::ZERO, &past, false, log);
    assert_eq!(begun.quality, None);
    (begun.rate, begun.deviation)
}

#[test]
fn a_clock_starts_from_what_was_kept() {
    let log = log();
    let mut clock = SoftwareClock::new(Span::from_secs(-9_000_000_000), FreqOffset::ZERO);
    let state = State { frequency: Some(known(-30.0, 1e-7)), floor: Some(FLOOR) };
    let begun = begin(&mut clock, state, &log);
    assert_eq!(begun, (FreqOffset::from_ppm(-30), Some(1e-7f64.hypot(1e-6))));
    assert!((clock.now().wall - FLOOR).abs() < Span::from_secs(60), "{}", clock.now().wall);
    assert!(told(&log)[0].ends_with("it starts from 2030-03-17 17:46:40"), "{:?}", told(&log));

    let mut clock = SoftwareClock::new(Span::ZERO, FreqOffset::ZERO);
    let before = State { frequency: None, floor: Some(NOT_BEFORE) };
    assert_eq!(begin(&mut clock, before, &log), (FreqOffset::ZERO, None));
    assert!(clock.error().abs() < Span::from_secs(60));
    assert_eq!(told(&log).len(), 1);
}
