//! A simulated clock of a card, of which the truth is known.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::mapping::{Mapping, Reading};
use super::*;

const START: WallTime = WallTime::from_unix(1_800_000_000, 0);

fn nanos(nanos: i64) -> Span {
    Span::from_nanos(nanos)
}

/// A card's clock that shows `offset` ns more than the system's at the start and gains `ppm`.
#[derive(Debug, Clone, Copy)]
struct Card {
    offset: i64,
    ppm: f64,
}

impl Card {
    /// What it shows when the system's clock shows `time`.
    fn shows(self, time: WallTime) -> WallTime {
        let gained = (time - START).as_secs_f64() * self.ppm * 1e-6;
        time + nanos(self.offset) + Span::from_secs_f64(gained)
    }

    /// It is read so long after the system's clock is, and so long before that is again, ns.
    fn sample(self, time: WallTime, (before, after): (i64, i64)) -> [WallTime; 3] {
        [time + nanos(-before), self.shows(time), time + nanos(after)]
    }
}

fn boot() -> WallTime {
    START + Span::from_secs(-1_000)
}

/// The time by the system's clock of a stamp, and half the length of the reading.
fn mapped(card: Card, readings: &[(i64, (i64, i64))], stamp: i64) -> Option<(WallTime, Span)> {
    let mut mapping = Mapping::default();
    for &(at, delays) in readings {
        mapping.add(Reading::best(&[card.sample(START + nanos(at), delays)]).unwrap(), boot());
    }
    mapping.translate(card.shows(START + nanos(stamp)))
}

proptest! {
    /// The clock is read at any moment between two readings of the system's.
    #[test]
    fn a_stamp_is_off_by_half_a_reading(
        offset in -(1_i64 << 60)..1 << 60,
        ppm in -1_500.0..1_500.0,
        gaps in prop::collection::vec(50_000_000_i64..64_000_000_000, 2..12),
        delays in prop::collection::vec((0_i64..20_000, 0_i64..20_000), 12),
        age in 0_i64..100_000_000,
    ) {
        let at = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) });
        let readings: Vec<_> = at.zip(delays).collect();
        let (last, (before, after)) = readings[readings.len() - 1];
        let first = readings[readings.len().saturating_sub(8)].0;
        // By its own clock it is as old as the other's rate lets it be.
        prop_assume!(last - first >= 101_000_000 && age < 99_000_000);
        let (time, error) = mapped(Card { offset, ppm }, &readings, last - age).unwrap();
        let off = (time - (START + nanos(last - age))).abs();
        prop_assert_eq!(error, nanos(before + after).half());
        // The rates are known as well as two readings tell, 40 us at most.
        let by_rate = age as f64 * 40_000.0 / (last - first) as f64;
        prop_assert!(off <= error + nanos(3 + by_rate as i64), "{off:.9} {error:.9} {by_rate}");
    }

    /// The shortest of several is the best.
    #[test]
    fn the_shortest_is_taken(delays in prop::collection::vec((0_i64..9_000, 0_i64..9_000), 1..25)) {
        let card = Card { offset: -37, ppm: 0.0 };
        let at = (0..).map(|place| START + nanos(place * 20_000));
        let samples: Vec<_> =
            at.zip(&delays).map(|(at, delays)| card.sample(at, *delays)).collect();
        let least = delays.iter().map(|(before, after)| before + after).min().unwrap();
        let best = Reading::best(&samples).unwrap();
        prop_assert_eq!(best.length, nanos(least));
        prop_assert!((best.system - (best.card + nanos(37))).abs() <= nanos(least).half() + nanos(1));
    }
}

const CARD: Card = Card { offset: 37_000_000_000, ppm: 20.0 };
const SECOND: i64 = 1_000_000_000;
const QUICK: (i64, i64) = (500, 500);

#[test]
fn readings_that_are_none() {
    let sample = |before, after| CARD.sample(START, (before, after));
    assert_eq!(Reading::best(&[]), None);
    assert_eq!(Reading::best(&[sample(900_000, 200_000)]), None, "interrupted");
    assert_eq!(Reading::best(&[sample(-900, 200)]), None, "backwards");
    let best = Reading::best(&[sample(-900, 200), sample(300, 800)]).unwrap();
    assert_eq!((best.length, best.system), (nanos(1_100), START + nanos(250)));
}

#[test]
fn only_a_fresh_and_plausible_mapping_counts() {
    let at = |readings: &[i64], stamp| {
        let readings: Vec<_> = readings.iter().map(|&at| (at, QUICK)).collect();
        mapped(CARD, &readings, stamp).is_some()
    };
    assert!(at(&[0, SECOND], SECOND - 1_000));
    assert!(!at(&[], 0) && !at(&[0], -1_000), "one reading");
    assert!(!at(&[0, 50_000_000], 49_000_000), "two that are close");
    assert!(!at(&[0, SECOND], SECOND + 1), "later than the reading");
    assert!(!at(&[0, SECOND], SECOND - 101_000_000), "long before it");
    // The card's clock stands still, or runs away.
    for ppm in [-1e6, -5_000.0, 5_000.0, 1e6] {
        let card = Card { ppm, ..CARD };
        let readings = [(0, QUICK), (SECOND, QUICK), (2 * SECOND, QUICK)];
        assert_eq!(mapped(card, &readings, 2 * SECOND - 1_000), None, "{ppm}");
    }
}

/// Either clock, by little, and what was known before is forgotten.
#[test]
fn a_step_discards_the_mapping() {
    let read = |card: Card, at| Reading::best(&[card.sample(START + nanos(at), QUICK)]).unwrap();
    let mut mapping = Mapping::default();
    mapping.add(read(CARD, 0), boot());
    mapping.add(read(CARD, SECOND), boot());
    let fresh = |mapping: &Mapping, card: Card, at| {
        mapping.translate(card.shows(START + nanos(at - 1_000))).is_some()
    };
    assert!(fresh(&mapping, CARD, SECOND));
    // The system's clock is 100 us ahead of before.
    let system = boot() + Span::from_micros(100);
    mapping.add(read(CARD, 2 * SECOND), system);
    assert!(!fresh(&mapping, CARD, 2 * SECOND));
    mapping.add(read(CARD, 3 * SECOND), system);
    assert!(fresh(&mapping, CARD, 3 * SECOND));
    for offset in [-1_000_000_000, 5_000_000] {
        let stepped = Card { offset: CARD.offset + offset, ..CARD };
        mapping.add(read(stepped, 4 * SECOND), system);
        assert!(!fresh(&mapping, stepped, 4 * SECOND), "{offset}");
        mapping.add(read(CARD, 5 * SECOND), system);
        mapping.add(read(CARD, 6 * SECOND), system);
        assert!(fresh(&mapping, CARD, 6 * SECOND));
    }
}

/// A clock whose readings a test gives.
#[derive(Debug, Clone, Default)]
struct Scripted(Arc<Mutex<Vec<Reading>>>);

impl Source for Scripted {
    fn read(&self) -> Result<Option<Reading>, Errno> {
        self.0.lock().unwrap().pop().map(Some).ok_or(Errno::ENODEV)
    }
}

/// An interface whose clock is the system's.
pub(crate) fn steady(index: u32) -> Hardware {
    #[derive(Debug)]
    struct Steady(std::sync::atomic::AtomicBool);
    impl Source for Steady {
        fn read(&self) -> Result<Option<Reading>, Errno> {
            // It has been known for a second.
            let first = self.0.swap(false, std::sync::atomic::Ordering::Relaxed);
            let now = realtime() + Span::from_secs(if first { -1 } else { 0 });
            Ok(Some(Reading { card: now, system: now, length: Span::ZERO }))
        }
    }
    let interface = Interface { index, speed: 0, clock: 0 };
    Hardware::new(vec![interface], vec![Box::new(Steady(true.into()))])
}

/// What a card of a gigabit makes of a stamp that is by `lag` ns off the kernel's, of a frame of 86
/// octets in 8 readings of a length.
fn judged(lag: i64, length: i64) -> [bool; 2] {
    let half = length / 2;
    let stamp = START + nanos(SECOND);
    let script = Scripted::default();
    let read = |at| Reading::best(&[CARD.sample(START + nanos(at), (half, half))]).unwrap();
    script.0.lock().unwrap().extend([SECOND + 2_000, SECOND + 1_000, 0].map(read));
    let interface = Interface { index: 7, speed: 1_000, clock: 0 };
    let mut hardware = Hardware::new(vec![interface], vec![Box::new(script)]);
    assert!(hardware.is_there());
    let card = CardStamp { interface: 7, time: CARD.shows(stamp), octets: 86 };
    let left = hardware.departure(&card, stamp + nanos(-lag));
    // The frame and its check sequence take 720 ns.
    let arrived = hardware.arrival(&card, stamp + nanos(720 + lag));
    for (time, expected) in [(left, stamp), (arrived, stamp + nanos(720))] {
        assert!(time.is_none_or(|time| (time - expected).abs() <= nanos(2)), "{time:?}");
    }
    [left, arrived].map(|time| time.is_some())
}

#[test]
fn no_card_is_believed_against_the_kernel() {
    for (lag, length, believed) in [
        (0, 1_000, true),
        (5_000, 1_000, true),
        (9_999_900, 1_000, true),
        (10_000_100, 1_000, false),
        (SECOND, 1_000, false),
        // Earlier than it can be, but for what is not known.
        (-1_400, 1_000, true),
        (-1_600, 1_000, false),
        (-10_900, 20_000, true),
        (-11_100, 20_000, false),
        (-SECOND, 20_000, false),
    ] {
        assert_eq!(judged(lag, length), [believed; 2], "{lag} ns, read in {length} ns");
    }
}

#[test]
fn nobody_elses_stamp_is_taken() {
    let mut none = Hardware::default();
    let card = CardStamp { interface: 7, time: CARD.shows(START), octets: 0 };
    assert!(!none.is_there() && none.departure(&card, START).is_none());
    let script = Scripted::default();
    let read = |at| Reading::best(&[CARD.sample(START + nanos(at), QUICK)]).unwrap();
    script.0.lock().unwrap().extend([1_000, -SECOND].map(read));
    let clocks = |script: &Scripted| vec![Box::new(script.clone()) as _];
    let of = |index, clock| vec![Interface { index, speed: 0, clock }];
    assert_eq!(Hardware::new(of(8, 0), clocks(&script)).arrival(&card, START), None);
    assert_eq!(Hardware::new(of(7, 1), clocks(&script)).arrival(&card, START), None, "no clock");
    // And of one that is gone.
    assert_eq!(Hardware::new(of(7, 0), clocks(&script)).arrival(&card, START), None);
}
