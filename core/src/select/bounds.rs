//! How far off the output may be: for sure, and very likely.

use super::intervals::Hull;
use super::weights::{Term, mean};
use crate::maths::sqrt;
use crate::units::Span;

/// Standard deviations of noise that are very likely not exceeded.
const DEVIATIONS: f64 = 5.0;
/// A shared asymmetry of the paths is very likely not a greater share of their reach ...
const LEAST_ASYMMETRY: f64 = 0.12;
/// ... nor more than so many times what the peers differ by.
const SPREADS: f64 = 3.0;

/// How far off a consensus may be when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// If less than half of the candidates lie: to the farthest point that the majority's intervals
    /// cover.
    pub guaranteed: Span,
    /// At least 99.9 % of the time, unless paths have gross asymmetries or share one that is
    /// greater than 12 % of the way: half of a difference of a quarter.
    pub likely: Span,
}

impl Bounds {
    pub(super) fn new(hull: Hull, offset: Span, terms: &[Term]) -> Self {
        let guaranteed = (hull.high - offset).max(offset - hull.low);
        let count = terms.len() as f64;
        let level = mean(terms, &|term: &Term| term.offset);
        let variance = mean(terms, &|term: &Term| {
            let share = (term.offset - level) / term.reach;
            share * share
        });
        // Of one alone nothing is known but what is usual.
        let spread = sqrt(variance * count / (count - 1.0).max(1.0));
        let asymmetry = (SPREADS * spread).max(LEAST_ASYMMETRY);
        let likely = DEVIATIONS * mean(terms, &|term: &Term| term.deviation)
            + asymmetry * mean(terms, &|term: &Term| term.reach);
        Self { guaranteed, likely: Span::from_secs_f64(likely).min(guaranteed) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Candidate;
    use super::super::intervals::majority;
    use super::super::tests::candidate;
    use super::super::weights::{Bias, weigh};
    use super::*;
    use std::vec::Vec;

    fn bounds(candidates: &[Candidate], offset: i64) -> Bounds {
        let term = |one| Term::new(one, Span::ZERO, Bias::default());
        let mut terms: Vec<Term> = candidates.iter().map(term).collect();
        weigh(&mut terms);
        Bounds::new(majority(candidates).unwrap(), Span::from_millis(offset), &terms)
    }

    #[test]
    fn one_alone_is_as_good_as_it_says_and_likely_twelve_per_cent_off() {
        let one = Candidate { offset_deviation: 1e-5, reach: 5e-3, ..candidate(0, 0, 10) };
        let bounds = bounds(&[one], 0);
        assert_eq!(bounds.guaranteed, Span::from_millis(10));
        assert_eq!(bounds.likely, Span::from_micros(650), "5 of 10 us and 12 % of 5 ms");
    }

    #[test]
    fn the_guaranteed_one_reaches_to_the_far_end_of_the_majority() {
        let three = [candidate(0, 0, 10), candidate(1, 15, 10), candidate(2, 30, 10)];
        assert_eq!(bounds(&three, 12).guaranteed, Span::from_millis(13));
        assert_eq!(bounds(&three, 20).guaranteed, Span::from_millis(15));
    }

    #[test]
    fn peers_that_differ_are_less_likely_right() {
        let two = |millis: i64| {
            [-millis, millis].map(|offset| Candidate {
                offset_deviation: 1e-5,
                reach: 0.1,
                ..candidate(0, offset, 100)
            })
        };
        assert_eq!(bounds(&two(1), 0).likely, Span::from_micros(12_050));
        // 3 times √2 times 10 %.
        let expected = Span::from_secs_f64(5e-5 + 0.3 * core::f64::consts::SQRT_2 * 0.1);
        assert!((bounds(&two(10), 0).likely - expected).abs() < Span::from_nanos(9));
    }
}
