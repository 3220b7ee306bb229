//! Who is right, and what they say together.
//!
//! Each valid peer claims that the truth lies within its root distance of its offset. The point
//! that most of these correctness intervals contain shows the truechimers, if they are a majority;
//! the others are falsetickers (RFC 5905 §11.2.1, after Marzullo). The truechimers' offsets are
//! averaged by the inverse squares of their root distances, their frequencies by their variances.

use core::fmt;

use crate::units::{FreqOffset, Span};

/// What selection thinks of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Standing {
    /// Not trusted yet, or not any more.
    #[default]
    Unusable,
    /// Its root distance is too great to be of use.
    TooDistant,
    /// Its interval does not contain the point that the majority agrees on.
    Falseticker,
    /// There is no majority.
    NoMajority,
    /// A truechimer that takes part in the average.
    Combined,
    /// The truechimer of the least root distance.
    Selected,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unusable => "unusable",
            Self::TooDistant => "too distant",
            Self::Falseticker => "falseticker",
            Self::NoMajority => "no majority",
            Self::Combined => "combined",
            Self::Selected => "selected",
        })
    }
}

/// A valid peer's claim.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Which peer.
    pub index: usize,
    /// True time minus free-running time, as it says.
    pub offset: Span,
    /// How far off it may be.
    pub distance: Span,
    /// Standard deviation of the offset by its noise alone, in seconds.
    pub offset_deviation: f64,
    /// What it says of the frequency.
    pub frequency: FreqOffset,
    /// Standard deviation of that, as a plain ratio.
    pub frequency_deviation: f64,
}

impl Candidate {
    fn low(&self) -> Span {
        self.offset - self.distance
    }

    fn contains(&self, point: Span) -> bool {
        (self.offset - point).abs() <= self.distance
    }
}

/// What the truechimers say together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Consensus {
    /// The truechimer of the least root distance.
    pub selected: Candidate,
    /// True time minus free-running time.
    pub offset: Span,
    /// Standard deviation of that by the sources' noise alone, in seconds.
    pub offset_deviation: f64,
    /// How fast that grows.
    pub frequency: FreqOffset,
    /// Standard deviation of that, as a plain ratio.
    pub frequency_deviation: f64,
    /// A point that all truechimers' intervals contain; the falsetickers' do not.
    point: Span,
}

impl Consensus {
    /// What this consensus makes of a candidate.
    #[must_use]
    pub fn standing(&self, candidate: &Candidate) -> Standing {
        if candidate.index == self.selected.index {
            Standing::Selected
        } else if candidate.contains(self.point) {
            Standing::Combined
        } else {
            Standing::Falseticker
        }
    }
}

/// The truechimers' consensus; `None` without a majority that agrees.
#[must_use]
pub fn select(candidates: &[Candidate]) -> Option<Consensus> {
    // The point is a lower end: the highest one of the intervals that overlap there.
    let agreeing = |point| candidates.iter().filter(|candidate| candidate.contains(point)).count();
    let (count, point) = candidates
        .iter()
        .map(|candidate| (agreeing(candidate.low()), candidate.low()))
        .max_by_key(|&(count, _)| count)?;
    if count * 2 <= candidates.len() {
        return None;
    }
    let truechimers = || candidates.iter().filter(|candidate| candidate.contains(point));
    let selected = truechimers().min_by_key(|candidate| candidate.distance)?;

    // Weighted means of the differences to the selected one: centred, so exact in f64.
    let (mut weights, mut offset, mut variance) = (0.0, 0.0, 0.0);
    let (mut frequency_weights, mut frequency) = (0.0, 0.0);
    for candidate in truechimers() {
        let distance = candidate.distance.as_secs_f64().max(1e-9);
        let weight = 1.0 / (distance * distance);
        weights += weight;
        variance += weight * weight * candidate.offset_deviation * candidate.offset_deviation;
        offset += weight * (candidate.offset - selected.offset).as_secs_f64();
        let deviation = candidate.frequency_deviation.max(1e-12);
        let weight = 1.0 / (deviation * deviation);
        frequency_weights += weight;
        frequency += weight * (candidate.frequency - selected.frequency).as_ratio();
    }
    Some(Consensus {
        selected: *selected,
        offset: selected.offset + Span::from_secs_f64(offset / weights),
        offset_deviation: libm::sqrt(variance) / weights,
        frequency: selected.frequency + FreqOffset::from_ratio(frequency / frequency_weights),
        frequency_deviation: libm::sqrt(1.0 / frequency_weights),
        point,
    })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn candidate(index: usize, offset: i64, distance: i64) -> Candidate {
        Candidate {
            index,
            offset: Span::from_millis(offset),
            distance: Span::from_millis(distance),
            offset_deviation: 1e-6,
            frequency: FreqOffset::from_ppm(10),
            frequency_deviation: 1e-6,
        }
    }

    #[test]
    fn one_alone_is_believed_and_two_must_agree() {
        assert_eq!(select(&[]), None);
        let alone = select(&[candidate(3, 500, 10)]).unwrap();
        assert_eq!((alone.selected.index, alone.offset), (3, Span::from_millis(500)));
        assert_eq!(alone.frequency, FreqOffset::from_ppm(10));
        assert_eq!(select(&[candidate(0, 0, 10), candidate(1, 30, 10)]), None);
    }

    #[test]
    fn the_majority_outvotes_liars() {
        let candidates = [
            candidate(0, 5, 10),
            candidate(1, 900, 10),
            candidate(2, -3, 20),
            candidate(3, 900, 1),
            candidate(4, 0, 8),
        ];
        let consensus = select(&candidates).unwrap();
        let standings: Vec<_> = candidates.iter().map(|one| consensus.standing(one)).collect();
        use Standing::{Combined, Falseticker, Selected};
        assert_eq!(standings, [Combined, Falseticker, Combined, Falseticker, Selected]);
        // (5/10² − 3/20² + 0/8²) / (1/10² + 1/20² + 1/8²) ms
        let expected = (0.05 - 0.0075) / (0.01 + 0.0025 + 0.015_625);
        assert!((consensus.offset.as_secs_f64() * 1e3 - expected).abs() < 1e-5);
    }

    proptest! {
        // f liars among 2f + 1 never move the consensus out of the honest intervals' reach.
        #[test]
        fn liars_in_the_minority_fail(truth in -1_000_000i64..1_000_000,
                                      honest in prop::collection::vec((-100i64..=100, 100i64..200), 3..6),
                                      lies in prop::collection::vec(-2_000_000i64..2_000_000, 0..3)) {
            prop_assume!(lies.len() < honest.len());
            let mut candidates: Vec<_> =
                honest.iter().map(|(error, distance)| candidate(0, truth + error, *distance)).collect();
            candidates.extend(lies.iter().map(|lie| candidate(0, truth + lie, 50)));
            for (index, candidate) in candidates.iter_mut().enumerate() {
                candidate.index = index;
            }
            let consensus = select(&candidates).unwrap();
            prop_assert!((consensus.offset - Span::from_millis(truth)).abs() <= Span::from_millis(500));
        }
    }
}
