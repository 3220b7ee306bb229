//! What is kept in files or comes with the system: by the first octet the drift file, the floor, what is
//! known of the real-time clock, the list of leap seconds, and a firmware's record.
#![no_main]

use libfuzzer_sys::fuzz_target;
use truechimer::leap::{List, ListError};
use truechimer::state::{drift, floor, rtc};
use truechimer_core::holdover::Record;
use truechimer_core::units::{FreqOffset, Span, WallTime};
use truechimer_fuzz::plant;

fuzz_target!(init: plant(seeds()), |data: &[u8]| {
    let Some((kind, bytes)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(bytes);
    match kind % 5 {
        0 => drift(&text),
        1 => floor(&text),
        2 => rtc(&text),
        3 => list(&text),
        _ => record(bytes),
    }
});

/// To the last digit that is written.
fn drift(text: &str) {
    let Ok(known) = drift::parse(text) else { return };
    assert!(known.deviation > 0.0 && known.frequency.abs() <= FreqOffset::from_ppm(100_000));
    let again = drift::parse(&drift::format(known)).unwrap();
    assert!((again.frequency - known.frequency).abs() <= FreqOffset::from_ppm_f64(1e-6));
    assert!((again.deviation - known.deviation).abs() <= 1e-12);
}

fn floor(text: &str) {
    let Ok(floor) = floor::parse(text) else { return };
    assert!(floor >= WallTime::UNIX_EPOCH);
    assert_eq!(floor::parse(&floor::format(floor)).as_ref(), Ok(&floor));
}

/// What is not known is never less for having been written.
fn rtc(text: &str) {
    let Ok(known) = rtc::parse(text) else { return };
    let Ok(again) = rtc::parse(&rtc::format(&known)) else {
        panic!("{}", rtc::format(&known));
    };
    assert_eq!(again.at, known.at);
    assert!((again.ahead - known.ahead).abs() <= Span::from_millis(1));
    assert!(again.error >= known.error && again.rate_error >= known.rate_error);
}

/// With a hash that is right: nobody finds one by trying.
fn list(text: &str) {
    let list = match text.parse::<List>() {
        Err(ListError::Damaged { found, .. }) => {
            let words: Vec<_> = (0..5).map(|word| &found[8 * word..][..8]).collect();
            format!("{text}\n#h {}", words.join(" ")).parse()
        }
        parsed => parsed,
    };
    let Ok(list) = list else { return };
    let _ = list.expires().to_string();
    for secs in [i64::MIN, -2_208_988_800, 0, 1_483_228_799, 1_483_228_800, i64::MAX] {
        let time = WallTime::from_unix(secs, 0);
        let next = list.at(time).and_then(|list| list.next);
        assert!(next.is_none_or(|leap| leap.end > time));
    }
}

fn record(bytes: &[u8]) {
    let Some(bytes) = bytes.first_chunk() else { return };
    let Ok(record) = Record::parse(bytes) else { return };
    assert_eq!(Record::parse(&record.emit()), Ok(record));
}

fn seeds() -> Vec<Vec<u8>> {
    let mut record = vec![4];
    record.extend(Record::default().emit());
    record[2] = 7;
    let texts = [
        "0-12.345678 0.250000\n",
        "01e-3",
        "11800000000 2027-01-15 08:00:00\n",
        "21800000000 -0.750 0.004 20.000 0.501\n",
    ];
    let digits = texts.map(|text| [&[text.as_bytes()[0] - b'0'], &text.as_bytes()[1..]].concat());
    let list = [&[3], &include_bytes!("../../../vectors/leap-seconds.list")[..]].concat();
    // One that is short enough to be changed much.
    let short = b"\x03#$\t3676924800\n#@\t3707596800\n2272060800\t10\n2287785600\t11\n2303683200 \
                  10\n#h\tc4a8cb8 b1cc440c 8a2955b5 72aa0364 bad08c0f\n";
    digits.into_iter().chain([list, short.to_vec(), record]).collect()
}
