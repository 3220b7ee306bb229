//! What no noise explains: steps of a clock and changes of the route.
//!
//! A packet cannot arrive before it was sent, so a direction that is much faster than the base
//! delay *violates* what is believed. One such exchange may be a fault of its own and is skipped;
//! three in a row are a step. A longer route shows in both directions alike; a delay of one
//! direction alone stays an outlier on purpose, for it looks the same as a step that is too small
//! to violate anything. Source: `ALGORITHM` §7.

use heapless::Deque;

use super::bank::{Bank, Kind};
use super::filter::{BACK, FORTH};
use super::sample::Delays;
use crate::maths::sqrtf;

/// A direction must be faster than predicted by this many standard deviations ...
const VIOLATION: f32 = 8.0;
/// ... and this many µs, which clocks that are only read coarsely may show.
const TOLERANCE: f32 = 1.0;
/// Only what is beyond all hypotheses within this many nats of the best one violates.
const HEARD: f32 = 10.0;
/// Violations in a row that are a step.
const PROOF: u8 = 3;
/// A second step within this many samples was no step of the phase.
const AGAIN: u8 = 12;
/// A change by less than this, in µs/s, may be one of the frequency in a long interval; a faster
/// one is a step of the phase, and the frequency is kept.
const FREQUENCY_STEP: f32 = 10.0;
/// The shortest interval, in seconds, that a change of the frequency is spread over.
const SHORTEST_GAP: f32 = 16.0;
/// Exchanges in which a change of the route must show.
const WINDOW: usize = 6;
/// Of these, the ones that must agree on the round trip.
const AGREEING: usize = 4;
/// How much longer each direction must take, in sums of both jitters.
const LONGER: f32 = 5.0;
/// How well round trips must agree, in sums of both jitters.
const AGREEMENT: f32 = 6.0;

/// What an exchange did to an estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was taken in.
    Taken,
    /// It contradicts what is believed and was skipped: ask again soon. At most two in a row.
    Violated,
    /// The clock or the path has changed: it was taken in and outweighs what was believed.
    Reset,
}

/// The memory of the guard.
#[derive(Debug, Clone)]
pub struct Guard {
    /// Violations in a row.
    violations: u8,
    /// Samples since the last step, the start counting as one.
    since_step: u8,
    /// The last innovations of the best filter, µs.
    innovations: Deque<[f32; 2], WINDOW>,
}

impl Guard {
    pub const fn new() -> Self {
        Self { violations: 0, since_step: 0, innovations: Deque::new() }
    }

    /// A further sample contradicts what is believed. Whether that proves that it is wrong.
    pub fn violated(&mut self) -> bool {
        self.violations += 1;
        if self.violations < PROOF {
            return false;
        }
        self.violations = 0;
        true
    }

    /// An exchange was `innovation` later than predicted, there and back.
    fn remember(&mut self, innovation: [f32; 2]) {
        if self.innovations.is_full() {
            self.innovations.pop_front();
        }
        // There is room now.
        let _ = self.innovations.push_back(innovation);
    }

    /// The window's least innovations in both directions, if both have become longer.
    fn longer_route(&self, jitters: f32) -> Option<[f32; 2]> {
        if !self.innovations.is_full() {
            return None;
        }
        let all = || self.innovations.iter();
        let least = all().fold([f32::MAX; 2], |[forth, back], seen| {
            [forth.min(seen[FORTH]), back.min(seen[BACK])]
        });
        let limit = least[FORTH] + least[BACK] + AGREEMENT * jitters;
        let agreeing = all().filter(|seen| seen[FORTH] + seen[BACK] < limit).count();
        let longer = least.iter().all(|delay| *delay > LONGER * jitters);
        (longer && agreeing >= AGREEING).then_some(least)
    }
}

impl<const KINDS: usize> Bank<KINDS> {
    /// Compares an exchange with what all likely hypotheses predict, and makes room for it if it
    /// proves them wrong. [`Verdict::Violated`] means that it must not be taken in.
    pub(super) fn judge(&mut self, delays: &Delays) -> Verdict {
        self.guard.since_step = self.guard.since_step.saturating_add(1);
        let (best, _, best_filter) = self.best();
        let hearable = best_filter.log_weight - HEARD;
        let mut fast = [true; 2];
        let mut innovation = [0.0; 2];
        for (place, Kind { noise, scales, .. }, filter) in self.filters() {
            if filter.log_weight < hearable {
                continue;
            }
            let mut filter = *filter;
            filter.predict(delays.gap, self.ladder.wander(place.wander), *noise, scales);
            for direction in FORTH..BACK + 1 {
                let symmetric = noise.symmetric_variance(scales[direction].jitter);
                let limit = VIOLATION * sqrtf(filter.variance[direction] + symmetric) + TOLERANCE;
                let seen = filter.innovation(delays, direction);
                fast[direction] &= seen < -limit;
                if place == best {
                    innovation[direction] = seen;
                }
            }
        }
        if fast[FORTH] || fast[BACK] {
            if !self.guard.violated() {
                return Verdict::Violated;
            }
            self.admit_step(innovation, delays.gap);
            return Verdict::Reset;
        }
        self.guard.violations = 0;
        self.guard.remember(innovation);
        let Some(longer) = self.follow_route() else { return Verdict::Taken };
        for kind in &mut self.kinds {
            let doubt = kind.base_doubt();
            for filter in &mut kind.filters {
                filter.lengthen(longer);
                filter.loosen(0.0, doubt, 0.0);
            }
        }
        Verdict::Reset
    }

    /// The clock was stepped, or its frequency has changed in a long interval.
    fn admit_step(&mut self, innovation: [f32; 2], gap: f32) {
        let again = self.guard.since_step < AGAIN;
        self.guard.since_step = 0;
        self.guard.innovations.clear();
        let offset = 0.5 * (innovation[FORTH] - innovation[BACK]);
        let base = 0.5 * (innovation[FORTH] + innovation[BACK]);
        let rate = offset / gap.max(SHORTEST_GAP);
        let frequency = if again || rate.abs() < FREQUENCY_STEP { rate } else { 0.0 };
        for kind in &mut self.kinds {
            let doubt = kind.base_doubt();
            for (wander, filter) in kind.filters.iter_mut().enumerate() {
                filter.loosen(offset, sqrtf(base * base + doubt * doubt), frequency);
                if base.abs() > offset.abs() {
                    filter.lengthen(base);
                }
                if again {
                    filter.log_weight = kind.noise.prior() + self.ladder.prior(wander);
                }
            }
        }
    }

    /// By how much the route has become longer, each way.
    fn follow_route(&mut self) -> Option<f32> {
        let (_, kind, _) = self.best();
        // To a base delay that may change all the time, that is nothing new.
        if kind.noise.base_steps() > 0.0 {
            return None;
        }
        let jitters = kind.scales[FORTH].jitter + kind.scales[BACK].jitter;
        let [forth, back] = self.guard.longer_route(jitters)?;
        self.guard.innovations.clear();
        Some(forth.min(back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_violation_in_a_row_is_proof() {
        let mut guard = Guard::new();
        let proofs: std::vec::Vec<_> = (0..6).map(|_| guard.violated()).collect();
        assert_eq!(proofs, [false, false, true, false, false, true]);
    }

    #[test]
    fn a_longer_route_shows_in_both_directions() {
        let window = |innovations: &[[f32; 2]]| {
            let mut guard = Guard::new();
            for innovation in innovations {
                guard.remember(*innovation);
            }
            guard.longer_route(20.0)
        };
        let longer = [[500.0, 510.0], [530.0, 520.0], [505.0, 900.0], [540.0, 505.0]];
        let late = [700.0, 600.0];
        let six = [&longer[..], &[late; 2]].concat();
        assert_eq!(window(&six), None, "three of six agree");
        let six = [&longer[..2], &longer[..2], &[late; 2]].concat();
        assert_eq!(window(&six), Some([500.0, 510.0]));
        assert_eq!(window(&six[..5]), None, "too early to tell");
        let one_prompt = [&six[..5], &[[90.0, 505.0]]].concat();
        assert_eq!(window(&one_prompt), None);
        let one_way = six.iter().map(|[forth, _]| [*forth, 0.0]);
        assert_eq!(window(&one_way.collect::<std::vec::Vec<_>>()), None);
    }
}
