//! From an exchange's integers to what filters reckon with: small differences from a reference.

use super::filter::{BACK, FORTH};
use crate::peer::Exchange;
use crate::units::{Span, WallTime};

/// An offset that is further from the predicted one is no measurement of the same clock, and
/// beyond what single precision is for.
const REACH: Span = Span::from_secs(1_000);
/// Nothing is left of what was known after so long, 116 days.
const LONGEST_GAP: Span = Span::from_secs(10_000_000);

/// One exchange in free-running time.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// The middle of the exchange.
    pub time: WallTime,
    /// T2 − T1, the delay there plus the offset.
    pub forth: Span,
    /// T4 − T3, the delay back minus the offset.
    pub back: Span,
    /// (T4 − T1) / 2.
    pub half: Span,
}

impl Sample {
    pub fn new(exchange: &Exchange) -> Self {
        let half = (exchange.received - exchange.sent).half();
        Self {
            time: exchange.sent + half,
            forth: exchange.server_received - exchange.sent,
            back: exchange.received - exchange.server_sent,
            half,
        }
    }

    /// By how much the source is ahead if the delays were alike.
    pub fn offset(&self) -> Span {
        self.forth.half() - self.back.half()
    }

    /// Whether it can be a measurement of the same clock as another one.
    pub fn is_near(&self, other: &Self) -> bool {
        (self.forth - other.forth).abs() <= REACH
            && (self.back - other.back).abs() <= REACH
            && (self.time - other.time).abs() <= LONGEST_GAP
    }

    /// Of the round trip.
    pub fn delay(&self) -> Span {
        (self.forth + self.back).max(Span::ZERO)
    }
}

/// The measured delays of an exchange.
#[derive(Debug, Clone, Copy)]
pub struct Delays {
    /// In seconds, from the last exchange.
    pub gap: f32,
    /// There and back, relative to the reference.
    pub seen: [f32; 2],
    /// In seconds, from either end of the exchange to its middle.
    pub half: f32,
}

/// What filters' states are relative to; moved to the best one at each sample.
#[derive(Debug, Clone, Copy)]
pub struct Reference {
    pub time: WallTime,
    /// The source's time minus free-running time, about.
    pub offset: Span,
    /// As `Filter::state`, the first two less or more `offset`: µs and µs/s.
    pub state: [f64; 3],
}

impl Reference {
    /// Itself at the middle of an exchange, and the exchange's delays relative to that; `None`
    /// if they are out of reach.
    pub fn follow(&self, sample: &Sample) -> Option<(Self, Delays)> {
        // A clock that was set back makes time stand still until it catches up.
        let elapsed = (sample.time - self.time).max(Span::ZERO);
        let (gap, half) = (elapsed.as_secs_f64(), sample.half.as_secs_f64());
        let [forth, back, frequency] = self.state;
        let state = [forth + gap * frequency, back - gap * frequency, frequency];
        let seen = [
            micros(sample.forth - self.offset) - state[FORTH] + half * frequency,
            micros(sample.back + self.offset) - state[BACK] + half * frequency,
        ];
        let near = seen.iter().all(|delay| delay.abs() <= micros(REACH));
        let possible = elapsed <= LONGEST_GAP && (Span::ZERO..=REACH).contains(&sample.half);
        (near && possible).then(|| {
            let reference = Self { time: sample.time, state, ..*self };
            let [forth, back] = seen;
            let (gap, half) = (gap as f32, half as f32);
            (reference, Delays { gap, seen: [forth as f32, back as f32], half })
        })
    }
}

/// A span in µs.
pub fn micros(span: Span) -> f64 {
    span.as_nanos() as f64 * 1e-3
}

pub fn from_micros(micros: f64) -> Span {
    Span::from_secs_f64(micros * 1e-6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_small_differences_to_the_nanosecond() {
        // The source is 40 years and 3 µs ahead; 1.5 ms there, 2.5 ms back, 1 s in the server;
        // the local clock loses 100 µs/s, so that the offset grows by that.
        let years = Span::from_secs(1_262_304_000);
        let start = WallTime::from_unix(500_000_000, 0);
        let reference = Reference { time: start, offset: years, state: [1_500.0, 2_500.0, 100.0] };
        let sent = start + Span::from_secs(64);
        let grown = Span::from_micros(6_400 + 3);
        let server_received = sent + years + grown + Span::from_micros(1_500);
        let server_sent = server_received + Span::from_secs(1);
        let received = sent + Span::from_micros(1_004_000);
        let sample = Sample::new(&Exchange { sent, server_received, server_sent, received });
        assert_eq!(sample.time, sent + Span::from_micros(502_000));
        let (moved, delays) = reference.follow(&sample).unwrap();
        assert_eq!((moved.time, moved.offset), (sample.time, years));
        let expected = [1_500.0 + 6_450.2, 2_500.0 - 6_450.2, 100.0];
        for (got, expected) in moved.state.into_iter().zip(expected) {
            assert!((got - expected).abs() < 1e-6);
        }
        assert!((delays.gap - 64.502).abs() < 1e-5 && (delays.half - 0.502).abs() < 1e-6);
        // There the offset was 3 µs more than expected, and back, 1.004 s later, 100.4 µs less
        // than it would have grown to.
        let [forth, back] = delays.seen;
        assert!((forth - 3.0).abs() < 1e-3, "{forth}");
        assert!((back - (100.4 - 3.0)).abs() < 1e-3, "{back}");
    }

    #[test]
    fn what_is_out_of_reach_is_none_of_this_clocks() {
        let start = WallTime::from_unix(1_800_000_000, 0);
        let reference = Reference { time: start, offset: Span::ZERO, state: [0.0; 3] };
        let sample = Sample {
            time: start + Span::from_secs(64),
            forth: Span::from_secs(999),
            back: Span::from_secs(-999),
            half: Span::ZERO,
        };
        assert!(reference.follow(&sample).is_some());
        let out_of_reach = [
            Sample { forth: Span::from_secs(1_001), ..sample },
            Sample { back: Span::MIN, ..sample },
            Sample { time: start + Span::from_secs(10_000_001), ..sample },
            Sample { half: Span::from_nanos(-1), ..sample },
        ];
        for sample in out_of_reach {
            assert!(reference.follow(&sample).is_none(), "{sample:?}");
        }
        let earlier = Sample { time: start + Span::from_secs(-64), ..sample };
        assert_eq!(reference.follow(&earlier).unwrap().1.gap, 0.0);
    }
}
