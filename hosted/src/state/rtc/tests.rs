//! Clocks that run without power, as files.

use std::fs;

use tempfile::TempDir;

use super::super::{Past, StateFiles, restore};
use super::*;
use crate::clock::{SoftwareClock, realtime};
use crate::log::Log;

const THEN: WallTime = WallTime::from_unix(1_900_000_000, 0);
const DAY: Span = Span::from_secs(86_400);

fn told(log: &Log) -> Vec<String> {
    log.since(0).0.into_iter().map(|line| line.text.as_str().to_owned()).collect()
}

/// Files in a folder with a clock beside them that shows `secs`.
fn files(folder: &TempDir, secs: i64, log: &Log) -> (StateFiles, Past) {
    let clock = folder.path().join("since_epoch");
    fs::write(&clock, format!("{secs}\n")).unwrap();
    let (mut files, state) = StateFiles::open(folder.path(), log);
    let rtc = files.heed_rtc(&clock, state, log);
    (files, Past { state, rtc })
}

fn save(files: &mut StateFiles, now: WallTime, log: &Log) {
    let state = State { frequency: None, floor: Some(now + -Span::from_millis(1)) };
    files.save(&state, now, log);
}

/// Slow by 20 s in ten days, it is corrected at the next start, and trusted within its error.
#[test]
fn it_is_learnt() {
    let (folder, log) = (TempDir::new().unwrap(), Log::in_memory());
    let (mut first, past) = files(&folder, THEN.unix_secs(), &log);
    let started = past.rtc.unwrap();
    assert_eq!((started.time, started.bound), (THEN, None), "nothing is known of it");
    save(&mut first, THEN, &log);
    let text = || fs::read_to_string(folder.path().join("rtc")).unwrap();
    assert_eq!(text(), "1900000000 0.500 0.502 0.000 100.001\n");

    // The kernel has set it in between.
    let later = THEN + DAY.times(10);
    let (mut second, _) = files(&folder, later.unix_secs() - 20, &log);
    save(&mut second, later, &log);
    fs::write(folder.path().join("since_epoch"), later.unix_secs().to_string()).unwrap();
    save(&mut second, later, &log);
    let numbers: Vec<f64> = text().split_whitespace().map(|word| word.parse().unwrap()).collect();
    assert!((numbers[3] + 20.0 / 0.864).abs() <= numbers[4] && numbers[4] < 3.0, "{}", text());

    let last = later + DAY.times(10);
    let (_, past) = files(&folder, last.unix_secs() - 20, &log);
    let Started { time, bound: Some(bound), .. } = past.rtc.unwrap() else { panic!("no bound") };
    assert!((time - last).abs() < Span::from_secs(2), "{time}");
    assert!(bound > Span::from_secs(1) && bound < Span::from_secs(30), "{bound}");
    assert!(told(&log).is_empty(), "{:?}", told(&log));
}

#[test]
fn a_clock_that_nobody_trusts_starts_from_it() {
    let real = realtime();
    let (folder, log) = (TempDir::new().unwrap(), Log::in_memory());
    let (mut first, _) = files(&folder, real.unix_secs(), &log);
    save(&mut first, real, &log);
    let (_, past) = files(&folder, real.unix_secs(), &log);
    let mut steps = 0;
    for (ahead, trusted, is_stepped) in [
        (86_400, false, true),
        (86_400, true, false),
        (0, false, false),
        // Earlier than the floor.
        (-86_400, true, true),
    ] {
        let mut clock = SoftwareClock::new(Span::from_secs(ahead), FreqOffset::ZERO);
        let begun = restore(&mut clock, FreqOffset::ZERO, &past, trusted, &log);
        let is_right = clock.error().abs() < Span::from_secs(30);
        assert_eq!(is_right, is_stepped || ahead == 0, "{ahead}: {}", clock.error());
        steps += usize::from(is_stepped);
        let texts = told(&log);
        let count =
            texts.iter().filter(|text| text.contains("as the real-time clock has it")).count();
        assert_eq!((count, texts.len()), (steps, steps), "{ahead}: {texts:?}");
        let quality = begun.quality.unwrap();
        assert_eq!(quality.status, TimeStatus::Rtc);
        assert!(clock.error().abs() <= quality.bound.unwrap(), "{ahead}: {quality:?}");
    }
}

#[test]
fn one_that_lost_its_power_is_not_believed() {
    let (folder, log) = (TempDir::new().unwrap(), Log::in_memory());
    let (mut first, _) = files(&folder, THEN.unix_secs(), &log);
    save(&mut first, THEN, &log);
    assert_eq!(files(&folder, 946_684_800, &log).1.rtc, None);
    assert_eq!(files(&folder, -1, &log).1.rtc, None);
    assert_eq!(read(&folder.path().join("none")), None);
    let path = folder.path().join("rtc");
    for text in ["", "1 2 3 4", "1 2 3 4 x", "-1 0 0 0 0", "1 0 -1 0 0", "1 0 0 5000 0"] {
        fs::write(&path, text).unwrap();
        let later = THEN + DAY;
        assert_eq!(files(&folder, later.unix_secs(), &log).1.rtc.unwrap().bound, None);
        let problem = format!("can't read {}: {text:?} is not what is known of a", path.display());
        assert!(told(&log).last().unwrap().starts_with(&problem), "{:?}", told(&log));
    }
}
