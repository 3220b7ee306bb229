//! What a real-time clock's reading is worth: its offset when it was last compared with a clock
//! that was right, its rate, and how far either may be off.
//!
//! A reading is known to lie in an interval, and so is what follows from it: no noise is averaged,
//! for the second in which a clock is read is the same again and again. The rate is what two
//! comparisons far apart say of it, so setting the clock without need spoils what is learnt
//! ([`RtcModel::is_to_be_set`]).

use crate::units::{FreqOffset, Span, WallTime};

/// What the rate of one on a running board may change by: a tuning fork's is 35 ppb/K² less on either
/// side of 25 °C, 10 ppm at 8 and 42 °C.
const POWERED: FreqOffset = FreqOffset::from_ppm(10);
/// On a board that was off: 24 K from there.
const UNPOWERED: FreqOffset = FreqOffset::from_ppm(20);
/// A rate is learnt anew after this: crystals age.
const LONGEST_BASELINE: Span = Span::from_secs(16 * 86_400);
/// It is set when it is off by more than this: others who read it count in seconds.
const SET_LIMIT: Span = Span::from_secs(1);

/// How exact a real-time clock is, as its driver knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RtcSpec {
    /// It shows at most so much less than it has counted: a second, or the time between two looks
    /// of a driver that waits for the second's edge.
    pub resolution: Span,
    /// Its rate is off by no more than this, whatever the temperature.
    pub tolerance: FreqOffset,
}

impl Default for RtcSpec {
    /// Whole seconds, and a crystal of which nothing is known: 100 ppm.
    fn default() -> Self {
        Self { resolution: Span::from_secs(1), tolerance: FreqOffset::from_ppm(100) }
    }
}

/// A reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RtcReading {
    /// What it showed.
    pub time: WallTime,
    /// How exactly.
    pub spec: RtcSpec,
}

impl RtcReading {
    /// The middle of what it may have counted, and how far that may be off.
    fn middle(&self) -> (WallTime, Span) {
        let half = self.spec.resolution.half();
        (self.time + half, half)
    }
}

/// What is known of a real-time clock after it was compared or set, for the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Compared {
    /// When, by a clock that was right.
    pub at: WallTime,
    /// By how much it was ahead then.
    pub ahead: Span,
    /// How far that may be off.
    pub error: Span,
    /// What it gains.
    pub rate: FreqOffset,
    /// How far that may be off, over the time that it was learnt in.
    pub rate_error: FreqOffset,
}

impl Compared {
    /// By how much it is ahead at another time, and how far that may be off if its rate changed by
    /// `change`.
    fn predict(&self, at: WallTime, change: FreqOffset) -> (Span, Span) {
        let elapsed = at - self.at;
        let error = self.error + (self.rate_error + change).gain(elapsed.abs(), 0).0;
        (self.ahead + self.rate.gain(elapsed, 0).0, error)
    }

    /// The time when it reads so, and the greatest error of that; `None` if it must have been set
    /// back since.
    #[must_use]
    pub fn time_of(&self, reading: &RtcReading) -> Option<(WallTime, Span)> {
        self.time_after(reading, UNPOWERED)
    }

    fn time_after(&self, reading: &RtcReading, change: FreqOffset) -> Option<(WallTime, Span)> {
        let (counted, half) = reading.middle();
        let elapsed = counted - (self.at + self.ahead);
        let ratio = self.rate.as_ratio();
        let gained = FreqOffset::from_ratio(ratio / (1.0 + ratio)).gain(elapsed, 0).0;
        let time = self.at + (elapsed - gained);
        let worst = (self.rate_error + change).min(reading.spec.tolerance + self.rate.abs());
        let error = half + self.error + worst.gain(elapsed.abs(), 0).0;
        (elapsed >= -error).then_some((time, error))
    }
}

/// Learns what a real-time clock does while there is one that is right to compare it with.
#[derive(Debug, Clone)]
pub struct RtcModel {
    spec: RtcSpec,
    /// After the last comparison.
    known: Option<Compared>,
    /// Where the baseline of the rate begins: when, by how much ahead, how far that may be off.
    anchor: Option<(WallTime, Span, Span)>,
    /// What the rate may have changed by since the last comparison.
    change: FreqOffset,
}

impl RtcModel {
    /// Of a clock that was compared in a former life, or never.
    #[must_use]
    pub fn new(spec: RtcSpec, known: Option<Compared>) -> Self {
        let anchor = known.map(|known| (known.at, known.ahead, known.error));
        Self { spec, known, anchor, change: UNPOWERED }
    }

    /// What is known of it.
    #[must_use]
    pub const fn known(&self) -> Option<Compared> {
        self.known
    }

    /// It read `reading` when the time was `at`, give or take `error`.
    pub fn compare(&mut self, at: WallTime, error: Span, reading: WallTime) {
        let (counted, half) = RtcReading { time: reading, spec: self.spec }.middle();
        let (ahead, error) = (counted - at, half + error);
        let Some(before) = self.known else { return self.begin(at, ahead, error) };
        let (predicted, doubt) = before.predict(at, self.change);
        let surprise = (ahead - predicted).abs();
        self.change = POWERED;
        if at < before.at || surprise > error + doubt {
            let possible = self.spec.tolerance.gain(at - before.at, 0).0;
            let drifted = (ahead - before.ahead).abs() <= possible + error + before.error;
            if at < before.at || !drifted {
                return self.begin(at, ahead, error);
            }
            // Its rate is another: of the old one nothing is left.
            self.anchor = Some((before.at, before.ahead, before.error));
            self.known = Some(Compared { rate_error: self.spec.tolerance, ..before });
        }
        self.learn(at, ahead, error);
    }

    /// It was set to `to` when the time was `at`, give or take `error`.
    pub fn set(&mut self, at: WallTime, error: Span, to: WallTime) {
        self.begin(at, to - at, error);
    }

    /// Whether it is to be set now, so that others who read it are right.
    #[must_use]
    pub fn is_to_be_set(&self, at: WallTime) -> bool {
        self.known.is_none_or(|known| known.predict(at, self.change).0.abs() > SET_LIMIT)
    }

    /// A baseline begins. The rate is as it was.
    fn begin(&mut self, at: WallTime, ahead: Span, error: Span) {
        let (rate, rate_error) = match self.known {
            Some(Compared { rate, rate_error, .. }) => (rate, rate_error),
            None => (FreqOffset::ZERO, self.spec.tolerance),
        };
        self.known = Some(Compared { at, ahead, error, rate, rate_error });
        self.anchor = Some((at, ahead, error));
        self.change = POWERED;
    }

    /// The clock has run on since the baseline began.
    fn learn(&mut self, at: WallTime, ahead: Span, error: Span) {
        let (Some(mut known), Some((since, was_ahead, was_error))) = (self.known, self.anchor)
        else {
            return;
        };
        let elapsed = at - since;
        let secs = elapsed.as_secs_f64();
        let rate_error = FreqOffset::from_ratio((error + was_error).as_secs_f64() / secs);
        let complete = elapsed > LONGEST_BASELINE;
        if secs > 0.0 && (rate_error < known.rate_error || complete) {
            known.rate = FreqOffset::from_ratio((ahead - was_ahead).as_secs_f64() / secs);
            known.rate_error = rate_error;
        }
        // It lies where it was predicted, and where it was seen.
        let (predicted, doubt) = known.predict(at, POWERED);
        let low = (predicted - doubt).max(ahead - error);
        let high = (predicted + doubt).min(ahead + error).max(low);
        let middle = low + (high - low).half();
        self.known = Some(Compared { at, ahead: middle, error: (high - low).half(), ..known });
        if complete {
            self.anchor = Some((at, ahead, error));
        }
    }
}

#[cfg(test)]
mod tests;
