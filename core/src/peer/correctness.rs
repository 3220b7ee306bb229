//! The correctness interval: where the truth is if the server is right (RFC 5905 §11.2.1).
//!
//! No datagram arrives before it left: however long the queues are, each exchange puts the offset
//! between T3 - T4 and T2 - T1. What earlier exchanges have shown holds too, but for what the
//! frequency may have been wrong by meanwhile. All in free-running time.

use super::Exchange;
use crate::config::drift_bound;
use crate::estimate::Estimate;
use crate::units::{FreqOffset, Span, WallTime};

/// What true time minus free-running time is at a time, at least and at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Correctness {
    low: Span,
    high: Span,
    time: WallTime,
}

impl Correctness {
    /// What one exchange shows.
    fn of(exchange: &Exchange, frequency: FreqOffset) -> Self {
        let (ahead, _) = frequency.gain(exchange.received - exchange.sent, 0);
        let low = exchange.server_sent - exchange.received;
        let high = exchange.server_received - exchange.sent + ahead;
        // A short way may seem to be none, as finely as the clocks are read.
        Self { low: low.min(high), high: high.max(low), time: exchange.received }
    }

    /// What an exchange shows, and `before` as far as it does not contradict: then a clock has
    /// jumped, and what was known is worth nothing.
    pub fn new(before: Option<Self>, exchange: &Exchange, estimate: &Estimate) -> Self {
        let fresh = Self::of(exchange, estimate.frequency);
        let both = before.map(|before| {
            let before = before.at(fresh.time, estimate);
            Self { low: fresh.low.max(before.low), high: fresh.high.min(before.high), ..fresh }
        });
        both.filter(|both| both.low <= both.high).unwrap_or(fresh)
    }

    /// At another time.
    fn at(&self, time: WallTime, estimate: &Estimate) -> Self {
        let elapsed = time - self.time;
        let (ahead, _) = estimate.frequency.gain(elapsed, 0);
        let (drift, _) = drift_bound(estimate.frequency_deviation).gain(elapsed.abs(), 0);
        Self { low: self.low + ahead - drift, high: self.high + ahead + drift, time }
    }

    /// How far the estimate is from the truth at most.
    pub fn distance(&self, time: WallTime, estimate: &Estimate) -> Span {
        let Self { low, high, .. } = self.at(time, estimate);
        let offset = estimate.offset_at(time);
        (offset - low).max(high - offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: WallTime = WallTime::from_unix(1_800_000_000, 0);

    /// Known to 1 ppm, of an offset of nothing.
    fn estimate() -> Estimate {
        let mut estimate = Estimate::known_to(1e-3, 1e-6);
        estimate.time = START;
        estimate
    }

    /// It leaves after so many seconds, and finds the offset in ms and the delays there and back.
    fn exchange(secs: i64, offset: i64, there: i64, back: i64) -> Exchange {
        let sent = START + Span::from_secs(secs);
        let millis = Span::from_millis;
        let server = sent + millis(offset + there);
        Exchange {
            sent,
            server_received: server,
            server_sent: server,
            received: sent + millis(there + back),
        }
    }

    fn distance(correctness: &Correctness) -> Span {
        correctness.distance(correctness.time, &estimate())
    }

    #[test]
    fn the_truth_is_between_what_both_ways_leave_possible() {
        let one = Correctness::new(None, &exchange(0, 0, 3, 50), &estimate());
        assert_eq!((one.low, one.high), (Span::from_millis(-50), Span::from_millis(3)));
        assert_eq!(distance(&one), Span::from_millis(50));
        let other = Correctness::new(Some(one), &exchange(1, 0, 70, 4), &estimate());
        assert_eq!(other.low, Span::from_millis(-4));
        assert_eq!(distance(&other), Span::from_millis(4), "3 ms is known from before");
    }

    #[test]
    fn it_widens_by_what_the_frequency_may_be_wrong_by() {
        let one = Correctness::new(None, &exchange(0, 0, 3, 3), &estimate());
        let later = one.time + Span::from_secs(1_000);
        assert_eq!(one.distance(later, &estimate()), Span::from_millis(3 + 18), "18 ppm");
        let mut fast = estimate();
        fast.frequency = FreqOffset::from_ppm(100);
        let moved = one.at(later, &fast);
        assert_eq!(moved.low + moved.high, Span::from_millis(200));
    }

    #[test]
    fn what_contradicts_is_forgotten() {
        let one = Correctness::new(None, &exchange(0, 0, 3, 3), &estimate());
        let jumped = Correctness::new(Some(one), &exchange(10, 20, 5, 5), &estimate());
        assert_eq!(distance(&jumped), Span::from_millis(25), "as far as the estimate is off");
    }

    #[test]
    fn less_than_no_way_is_none() {
        let one = Correctness::new(None, &exchange(0, 0, 1, -2), &estimate());
        assert!(one.low <= one.high);
    }
}
