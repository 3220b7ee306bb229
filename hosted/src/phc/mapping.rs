//! What a card's clock shows beside the system's.

use heapless::Deque;
use truechimer_core::units::{Span, WallTime};

/// So many readings are remembered.
const HISTORY: usize = 8;
/// The rates of the two clocks differ by less: a crystal's error, what disciplines the card's clock,
/// and a usual slew of the system's.
const GREATEST_RATE: f64 = 2e-3;
/// Two readings this far apart tell the difference of the rates.
const BASE: Span = Span::from_millis(100);
/// A stamp is of this time before the last reading.
const FRESH: Span = Span::from_millis(100);
/// A reading that takes longer was interrupted.
const LONGEST: Span = Span::from_millis(1);
/// The system's two clocks are read one after the other, so that a smaller step is not seen; nor
/// does it matter.
const STEP: Span = Span::from_micros(50);

/// What both showed at about the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    /// The card's clock.
    pub(super) card: WallTime,
    /// The system's, midway between the reading of it before and the one after.
    pub(super) system: WallTime,
    /// Between these two: the card's was read at any moment of it.
    pub(super) length: Span,
}

impl Reading {
    /// The shortest of several: of each what the system's clock showed before, the card's, and the
    /// system's after.
    pub(super) fn best(samples: &[[WallTime; 3]]) -> Option<Self> {
        let readings = samples.iter().map(|&[before, card, after]| {
            let length = after - before;
            Self { card, system: before + length.half(), length }
        });
        let usable = |reading: &Self| (Span::ZERO..=LONGEST).contains(&reading.length);
        readings.filter(usable).min_by_key(|reading| reading.length)
    }

    /// Whether both clocks ran on between that and this.
    fn follows(&self, earlier: &Self) -> bool {
        let (card, system) = (self.card - earlier.card, self.system - earlier.system);
        let apart = ((system - card).abs() - (self.length + earlier.length).half()).as_secs_f64();
        card > Span::ZERO && apart <= card.as_secs_f64() * GREATEST_RATE
    }
}

/// The last readings, between which no clock was stepped.
#[derive(Debug, Default)]
pub(super) struct Mapping {
    readings: Deque<Reading, HISTORY>,
    boot: WallTime,
}

impl Mapping {
    /// Adds a reading; `boot` is when the host was booted by its clock of now. If one of the clocks was
    /// stepped, the readings before are of no use.
    pub(super) fn add(&mut self, reading: Reading, boot: WallTime) {
        let stepped = (boot - self.boot).abs() > STEP;
        if stepped || self.readings.back().is_some_and(|last| !reading.follows(last)) {
            self.readings.clear();
        }
        if self.readings.is_full() {
            self.readings.pop_front();
        }
        // There is room.
        let _ = self.readings.push_back(reading);
        self.boot = boot;
    }

    /// What the system's clock showed when the card's showed `stamp`, and how far off that may
    /// be; `stamp` is not later than the last reading.
    pub(super) fn translate(&self, stamp: WallTime) -> Option<(WallTime, Span)> {
        let (last, first) = (self.readings.back()?, self.readings.front()?);
        let (base, age) = (last.card - first.card, last.card - stamp);
        if base < BASE || !(Span::ZERO..=FRESH).contains(&age) {
            return None;
        }
        let ratio = (last.system - first.system).as_secs_f64() / base.as_secs_f64();
        let age = Span::from_secs_f64(age.as_secs_f64() * ratio);
        Some((last.system + -age, last.length.half()))
    }
}
