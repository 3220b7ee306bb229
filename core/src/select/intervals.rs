//! Where correctness intervals overlap: the majority, and who agrees in it.
//!
//! Every candidate has a vote on where the truth is, suspect or not, for the claim that it makes
//! is the same. Only whom nobody suspects has a say in where exactly it is.

use super::Candidate;
use crate::units::Span;

/// In the contest of two groups of the same size: the size of the bias that candidates are
/// expected to have, as a share of their reach,
const SPREAD: f64 = 0.1;
/// and what it is worth to agree with what was said before, in nats.
const CONTINUITY: f64 = 3.0;

impl Candidate {
    pub(super) fn low(&self) -> Span {
        self.offset - self.distance
    }

    pub(super) fn high(&self) -> Span {
        self.offset + self.distance
    }

    pub(super) fn contains(&self, point: Span) -> bool {
        self.low() <= point && point <= self.high()
    }

    pub(super) fn seconds_from(&self, point: Span) -> f64 {
        (self.offset - point).as_secs_f64()
    }

    /// One over the variance that is expected of its offset.
    fn weight(&self) -> f64 {
        let bias = SPREAD * self.reach;
        let variance = self.offset_deviation * self.offset_deviation + bias * bias;
        1.0 / variance.max(f64::MIN_POSITIVE)
    }
}

/// From the first to the last point that the intervals of more than half of the candidates cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hull {
    pub low: Span,
    pub high: Span,
}

fn has_majority(candidates: &[Candidate], point: Span) -> bool {
    2 * candidates.iter().filter(|one| one.contains(point)).count() > candidates.len()
}

/// Where the truth is, if less than half of the candidates lie. `None` if they are more: one alone
/// is believed, two must agree.
pub fn majority(candidates: &[Candidate]) -> Option<Hull> {
    let covered = |point: &Span| has_majority(candidates, *point);
    let low = candidates.iter().map(Candidate::low).filter(covered).min()?;
    let high = candidates.iter().map(Candidate::high).filter(covered).max()?;
    Some(Hull { low, high })
}

/// A point, covered by the majority, that the intervals of as many free candidates as possible
/// contain: their common lower end. Of groups of the same size that one agrees which is closest
/// together and, if it is not much wider, contains what was `predicted`.
pub fn agreement(
    candidates: &[Candidate],
    is_free: impl Fn(&Candidate) -> bool,
    predicted: Option<Span>,
) -> Option<Span> {
    let mut best: Option<(usize, f64, Span)> = None;
    for point in candidates.iter().map(Candidate::low) {
        if !has_majority(candidates, point) {
            continue;
        }
        let group = || candidates.iter().filter(|one| one.contains(point) && is_free(one));
        let (mut size, mut high, mut weights, mut sum) = (0, Span::MAX, 0.0, 0.0);
        for one in group() {
            let weight = one.weight();
            size += 1;
            high = high.min(one.high());
            weights += weight;
            sum += weight * one.seconds_from(point);
        }
        let mean = if weights > 0.0 { sum / weights } else { 0.0 };
        // Half of the sum of the squared distances from the mean, each in standard deviations.
        let mut scatter = 0.0;
        for one in group() {
            let distance = one.seconds_from(point) - mean;
            scatter += one.weight() * distance * distance;
        }
        let continues =
            size > 0 && predicted.is_some_and(|predicted| point <= predicted && predicted <= high);
        let score = if continues { CONTINUITY } else { 0.0 } - scatter / 2.0;
        let is_better = |(its_size, its_score, _): (usize, f64, _)| {
            size.cmp(&its_size).then(score.total_cmp(&its_score)).is_ge()
        };
        if best.is_none_or(is_better) {
            best = Some((size, score, point));
        }
    }
    best.map(|(.., point)| point)
}

#[cfg(test)]
mod tests {
    use super::super::tests::candidate;
    use super::*;

    fn millis(hull: Option<Hull>) -> Option<[i64; 2]> {
        hull.map(|hull| [hull.low, hull.high].map(|end| end.as_nanos() / 1_000_000))
    }

    #[test]
    fn one_alone_is_believed_and_two_must_agree() {
        assert_eq!(majority(&[]), None);
        assert_eq!(millis(majority(&[candidate(0, 500, 10)])), Some([490, 510]));
        assert_eq!(majority(&[candidate(0, 0, 10), candidate(1, 30, 10)]), None);
        let touching = [candidate(0, 0, 10), candidate(1, 20, 10)];
        assert_eq!(millis(majority(&touching)), Some([10, 10]));
    }

    #[test]
    fn the_hull_spans_all_that_a_majority_covers() {
        let three = [candidate(0, 0, 10), candidate(1, 15, 10), candidate(2, 30, 10)];
        assert_eq!(millis(majority(&three)), Some([5, 25]), "of two majorities");
        let four = [three[0], three[1], three[2], candidate(3, 900, 10)];
        assert_eq!(majority(&four), None, "two of four are no majority");
    }

    #[test]
    fn the_greatest_group_of_free_candidates_agrees() {
        let five = [
            candidate(0, 0, 10),
            candidate(1, 3, 10),
            candidate(2, 15, 8),
            candidate(3, 16, 8),
            candidate(4, 20, 8),
        ];
        let of = |free: [bool; 5]| agreement(&five, |one| free[one.index], None);
        // From 8 to 10 ms all but the last overlap, from 12 to 13 ms all but the first.
        assert_eq!(of([true, true, true, true, false]), Some(Span::from_millis(8)));
        assert_eq!(of([false, true, true, true, true]), Some(Span::from_millis(12)));
        assert_eq!(of([false, false, false, false, true]), Some(Span::from_millis(12)));
        assert!(of([false; 5]).is_some(), "then the majority has it");
    }

    #[test]
    fn who_goes_on_as_before_wins_against_an_equal() {
        let three = [candidate(0, 0, 10), candidate(1, 15, 10), candidate(2, 30, 10)];
        for (predicted, expected) in [(7, 5), (22, 20)] {
            let predicted = Some(Span::from_millis(predicted));
            assert_eq!(agreement(&three, |_| true, predicted), Some(Span::from_millis(expected)));
        }
        // 9 ms apart are likelier than 15, at a spread of 1 ms and more.
        let uneven = [candidate(0, 0, 10), candidate(1, 15, 10), candidate(2, 24, 10)];
        let predicted = Some(Span::from_millis(7));
        assert_eq!(agreement(&uneven, |_| true, predicted), Some(Span::from_millis(14)));
    }
}
